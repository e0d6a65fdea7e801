//! Lists and searches entries. Every one of them is by an index: the order of acceptance, an address, or trigrams of words.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::catalogue::search::{Filter, Key, Term};
use crate::catalogue::{Entry, Totals, Window, summary};
use crate::mail::JourneyId;
use crate::store::Error;

/// Shorter texts have no trigram, and are looked for in all words.
const MIN_INDEXED_CHARS: usize = 3;

/// The columns of a [`Row`].
pub(super) const COLUMNS: &str =
    "e.number, e.journey, e.content, e.trace, e.arrived, e.reverse_path, e.recipients, e.login,
     e.size, e.unread, s.summary";

/// A row of the tables.
pub(super) struct Row(Entry);

impl Row {
    /// Reads the [`COLUMNS`] of a row; the entry has no tags yet, which [`read`] adds. What cannot be parsed is empty,
    /// and a summary that cannot be, or is not there, is `None`.
    pub(super) fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let recipients = serde_json::from_str(row.get_ref(6)?.as_str()?).unwrap_or_default();
        let reverse_path = row.get_ref(5)?.as_str_or_null()?.and_then(|text| text.parse().ok());
        let summary = row.get_ref(10)?.as_str_or_null()?.and_then(|json| serde_json::from_str(json).ok());
        Ok(Self(Entry {
            number: row.get(0)?,
            id: JourneyId::from_random(row.get(1)?),
            content: row.get(2)?,
            trace: row.get::<_, Vec<u8>>(3)?.into(),
            arrived: Timestamp::from_millisecond(row.get(4)?).unwrap_or(Timestamp::UNIX_EPOCH),
            reverse_path,
            recipients,
            login: row.get(7)?,
            size: row.get(8)?,
            is_unread: row.get(9)?,
            tags: Vec::new(),
            summary,
        }))
    }
}

/// Returns the entry of a row, with its tags, which are read here, sorted.
pub(super) fn read(connection: &Connection, Row(mut entry): Row) -> Result<Entry, Error> {
    let sql = "SELECT tag FROM entry_tag WHERE entry = ?1 ORDER BY tag";
    let mut query = connection.prepare_cached(sql)?;
    entry.tags = query.query_map([entry.number], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(entry)
}

/// Returns the entry with this id, with its tags; `None` if there is none.
pub(in crate::catalogue) fn find(connection: &Connection, id: JourneyId) -> Result<Option<Entry>, Error> {
    one(connection, "e.journey = ?1", id.to_bits() as i64)
}

/// Returns the entry with this number, with its tags; `None` if there is none.
pub(in crate::catalogue) fn entry(connection: &Connection, number: i64) -> Result<Option<Entry>, Error> {
    one(connection, "e.number = ?1", number)
}

/// Returns the entry that meets an SQL condition, in which `?1` is `value`; `None` if there is none.
fn one(connection: &Connection, condition: &str, value: i64) -> Result<Option<Entry>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM entry e LEFT JOIN entry_summary s ON s.entry = e.number WHERE {condition}");
    let row = connection.prepare_cached(&sql)?.query_row([value], Row::of).optional()?;
    row.map(|row| read(connection, row)).transpose()
}

/// Returns the entries in the window that match, with their tags, newest first. Words are found in indexed entries
/// only.
pub(in crate::catalogue) fn page(
    connection: &Connection,
    filter: &Filter,
    window: Window,
) -> Result<Vec<Entry>, Error> {
    let Statement { from, conditions, group, order, mut values } = Statement::of(filter);
    let limits = limits(&mut values, window);
    let sql = format!(
        "SELECT {COLUMNS} {from} LEFT JOIN entry_summary s ON s.entry = e.number
         WHERE {conditions} AND {order} < {} {group} ORDER BY {order} DESC LIMIT {} OFFSET {}",
        limits[0], limits[1], limits[2]
    );
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(values), Row::of)?;
    rows.map(|row| read(connection, row?)).collect()
}

/// Returns the numbers of the entries in the window that match, newest first. Words are found in indexed entries only.
pub(in crate::catalogue) fn numbers(
    connection: &Connection,
    filter: &Filter,
    window: Window,
) -> Result<Vec<i64>, Error> {
    let Statement { from, conditions, group, order, mut values } = Statement::of(filter);
    let limits = limits(&mut values, window);
    let sql = format!(
        "SELECT e.number {from} WHERE {conditions} AND {order} < {} {group} ORDER BY {order} DESC LIMIT {} OFFSET {}",
        limits[0], limits[1], limits[2]
    );
    let mut query = connection.prepare_cached(&sql)?;
    Ok(query.query_map(params_from_iter(values), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Appends the numbers of the window to the values; returns the parameters of `below`, `limit` and `skip`, in this
/// order.
fn limits(values: &mut Vec<Value>, Window { below, skip, limit }: Window) -> [String; 3] {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    [below, number(limit), number(skip)].map(|value| parameter(values, Value::Integer(value)))
}

/// Returns how many entries match, and how many of these are unread.
pub(in crate::catalogue) fn count(connection: &Connection, filter: &Filter) -> Result<(u64, u64), Error> {
    let both = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    if filter.mailbox.is_none() && filter.folder.is_none() && filter.search.is_empty() {
        // By two indexes, without the rows.
        let sql = "SELECT count(*), count(*) - (SELECT count(*) FROM entry WHERE unread = 0) FROM entry";
        return Ok(connection.prepare_cached(sql)?.query_row([], both)?);
    }
    let Statement { from, conditions, group, values, .. } = Statement::of(filter);
    let found = format!("SELECT e.unread AS unread {from} WHERE {conditions} {group}");
    let sql = format!("SELECT count(*), ifnull(sum(unread), 0) FROM ({found})");
    Ok(connection.prepare_cached(&sql)?.query_row(params_from_iter(values), both)?)
}

/// Returns all tags in use, sorted without regard to case, each with the number of its entries; those that differ only
/// in case are one.
pub(in crate::catalogue) fn tags(connection: &Connection) -> Result<Vec<(String, u64)>, Error> {
    let sql = "SELECT tag, count(*) FROM entry_tag GROUP BY tag ORDER BY tag";
    let mut query = connection.prepare_cached(sql)?;
    Ok(query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?)
}

/// Returns the number of entries that were ever added, and the bytes of those that are there.
pub(in crate::catalogue) fn totals(connection: &Connection) -> Result<Totals, Error> {
    let sql = "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0), (SELECT ifnull(sum(size), 0) FROM entry)";
    let read = |row: &rusqlite::Row<'_>| Ok(Totals { accepted: row.get(0)?, size: row.get(1)? });
    Ok(connection.prepare_cached(sql)?.query_row([], read)?)
}

/// Returns the entries of the thread of an entry, itself among them, by number, as far as they are indexed; at most
/// `limit`. Entries with a common key that is not weak in both are of one thread, and so are entries that are each of
/// one thread with a third.
pub(in crate::catalogue) fn thread(connection: &Connection, number: i64, limit: usize) -> Result<Vec<Entry>, Error> {
    let sql = format!(
        "WITH RECURSIVE thread (entry) AS (
             SELECT ?1 UNION
             SELECT other.entry FROM thread JOIN entry_thread own ON own.entry = thread.entry
             JOIN entry_thread other ON other.key = own.key AND NOT (own.weak AND other.weak)
             LIMIT ?2)
         SELECT {COLUMNS} FROM thread JOIN entry e ON e.number = thread.entry
         LEFT JOIN entry_summary s ON s.entry = e.number ORDER BY e.number"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map([number, i64::try_from(limit).unwrap_or(i64::MAX)], Row::of)?;
    rows.map(|row| read(connection, row?)).collect()
}

/// A filter as SQL: `e` is the entry.
struct Statement {
    from: String,
    conditions: String,
    /// Several copies in a folder are one entry.
    group: &'static str,
    /// The number of the entry, in the table that is read first.
    order: &'static str,
    values: Vec<Value>,
}

/// Appends a value to those of a statement; returns its parameter, such as `?3`.
fn parameter(values: &mut Vec<Value>, value: Value) -> String {
    values.push(value);
    format!("?{}", values.len())
}

impl Statement {
    /// Returns the SQL of a filter. If it has a folder, its mailbox is not compared, since every folder belongs to one
    /// mailbox. The table that is read first is that of words, if it can find one of the texts; else that of the copies
    /// in the folder, of the addresses of the mailbox, or of the entries.
    fn of(Filter { mailbox, folder, search }: &Filter) -> Self {
        let (mut values, mut conditions, mut matches) = (Vec::new(), vec!["TRUE".to_owned()], Vec::new());
        for term in &search.terms {
            match match_expression(term) {
                Some(expression) if !term.is_negated => matches.push(expression),
                _ => conditions.push(condition(term, &mut values)),
            }
        }
        // CROSS JOIN keeps the order of tables: matches of words are read first, newest first, then those of an address.
        let (mut from, mut group, mut order) = ("FROM entry e".to_owned(), "", "e.number");
        if !matches.is_empty() {
            let expression = parameter(&mut values, Value::Text(matches.join(" AND ")));
            conditions.push(format!("entry_text MATCH {expression}"));
            from = "FROM entry_text CROSS JOIN entry e ON e.number = entry_text.rowid".to_owned();
            order = "entry_text.rowid";
        }
        if let Some(folder) = folder {
            let folder = parameter(&mut values, integer(*folder));
            if matches.is_empty() {
                conditions.push(format!("c.folder = {folder}"));
                from = "FROM entry_copy c CROSS JOIN entry e ON e.number = c.entry".to_owned();
                (group, order) = ("GROUP BY c.entry", "c.entry");
            } else {
                conditions.push(format!(
                    "EXISTS (SELECT 1 FROM entry_copy c WHERE c.folder = {folder} AND c.entry = e.number)"
                ));
            }
        } else if let Some(address) = mailbox {
            let address = parameter(&mut values, Value::Text(address.clone()));
            conditions.push(format!("a.address = {address}"));
            if matches.is_empty() {
                (from, order) = ("FROM entry_address a JOIN entry e ON e.number = a.entry".to_owned(), "a.entry");
            } else {
                from.push_str(" CROSS JOIN entry_address a ON a.entry = e.number");
            }
        }
        Self { from, conditions: conditions.join(" AND "), group, order, values }
    }
}

/// Returns the expression of FTS5 that finds the text of a term by its trigrams; `None` if the text is too short for
/// that, or the term is not [`Key::Text`].
fn match_expression(Term { key, .. }: &Term) -> Option<String> {
    let Key::Text(columns, text) = key else { return None };
    if text.chars().count() < MIN_INDEXED_CHARS {
        return None;
    }
    // Normalised text has no quotes.
    let columns = if columns.is_empty() { String::new() } else { format!("{{{}}} : ", columns.join(" ")) };
    Some(format!("{columns}\"{text}\""))
}

/// Returns the SQL condition of a term, negated if the term is; appends its values.
fn condition(term: &Term, values: &mut Vec<Value>) -> String {
    let mut value = |value: Value| parameter(values, value);
    let condition = match (&term.key, match_expression(term)) {
        (Key::Text(..), Some(expression)) => format!(
            "e.number IN (SELECT rowid FROM entry_text WHERE entry_text MATCH {})",
            value(Value::Text(expression))
        ),
        (Key::Text(columns, text), None) => {
            let text = value(Value::Text(text.clone()));
            let columns = if columns.is_empty() { &summary::COLUMNS[..] } else { columns };
            let found: Vec<_> = columns.iter().map(|column| format!("instr(x.{column}, {text})")).collect();
            format!("EXISTS (SELECT 1 FROM entry_text x WHERE x.rowid = e.number AND ({}))", found.join(" OR "))
        }
        (Key::Tag(tag), _) => format!(
            "EXISTS (SELECT 1 FROM entry_tag g WHERE g.entry = e.number AND g.tag = {})",
            value(Value::Text(tag.clone()))
        ),
        (Key::Tagged, _) => "EXISTS (SELECT 1 FROM entry_tag g WHERE g.entry = e.number)".to_owned(),
        // In the form of the index of what is read.
        (Key::Unread, _) if term.is_negated => return "e.unread = 0".to_owned(),
        (Key::Unread, _) => "e.unread".to_owned(),
        (Key::Attachments, _) => counts_any("attachments"),
        (Key::Inlines, _) => counts_any("inlines"),
        (Key::ArrivedBefore(time), _) => format!("e.arrived <= {}", value(milliseconds(time))),
        (Key::ArrivedAfter(time), _) => format!("{} <= e.arrived", value(milliseconds(time))),
        (Key::Larger(bytes), _) => format!("{} < e.size", value(integer(*bytes))),
        (Key::Smaller(bytes), _) => format!("e.size < {}", value(integer(*bytes))),
    };
    if term.is_negated { format!("NOT ({condition})") } else { condition }
}

/// Returns the SQL condition that the summary of an entry counts at least one in `column`: `attachments` or `inlines`.
fn counts_any(column: &str) -> String {
    format!("EXISTS (SELECT 1 FROM entry_summary y WHERE y.entry = e.number AND 0 < y.{column})")
}

/// Returns the time as the tables have it, in milliseconds since 1970.
fn milliseconds(time: &Timestamp) -> Value {
    Value::Integer(time.as_millisecond())
}

/// Returns a number of 64 bits as SQL integer; larger ones than fit become the largest.
fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
