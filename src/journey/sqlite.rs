//! The tables of events and journeys in SQLite: the only file of this module that knows SQL.
//!
//! Another engine would implement these functions, with the same promises. A journey has the number of its first event;
//! both grow with time, so that what is new is stored side by side.
//!
//! | function | promise |
//! |---|---|
//! | [`last_seq`], [`last_time`], [`count`] | the number and the time of the newest event; how many journeys there are |
//! | [`save`] | stores a batch of events, and what they make of their journeys; returns what was known of these before |
//! | [`find`], [`events_of`] | one journey by its id; its events, the newest if they are very many |
//! | [`page`], [`count_matching`] | journeys below a number, newest first, by an index; how many there are |
//! | [`events_between`] | events in their order, by number |
//! | [`reader_position`], [`set_reader_position`] | the number of the last event that a reader has, by its name |
//! | [`save_fault`], [`faults`] | stores a fault, or its end; the latest ones, oldest first |
//! | [`prune`] | removes the oldest journeys with all that belongs to them |
//! | [`delete`], [`is_deleted`], [`deleted`] | removes a journey once it is settled, and remembers that; whether it does; all of them |
//! | [`oldest_settled`] | settled journeys above a number, oldest first |

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::fault_history::{FaultRecord, MAX_FAULTS};
use super::index::JourneyFilter;
use super::status::Part;
use super::{Event, JourneyState};
use crate::mail::JourneyId;
use crate::store::{Error, Schema, Transaction};

/// The tables of this module.
pub const SCHEMA: Schema = Schema {
    module: "journey",
    migrations: &[
        "
CREATE TABLE journey (
    number INTEGER PRIMARY KEY,  -- of its first event
    id INTEGER NOT NULL UNIQUE,  -- mail::JourneyId
    settled INTEGER NOT NULL,    -- 1: no recipient's copy is in transit
    state TEXT NOT NULL,         -- JSON of journey::JourneyState
    batches TEXT NOT NULL        -- JSON: the batches that hold its events, in order
) STRICT;
CREATE INDEX journey_open ON journey (number) WHERE settled = 0;
CREATE TABLE journey_address (
    address TEXT NOT NULL,       -- mail::Address::key
    part INTEGER NOT NULL,       -- 0: a recipient; 1: the sender
    number INTEGER NOT NULL,     -- of the journey
    PRIMARY KEY (address, part, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE event_batch (
    last INTEGER PRIMARY KEY,    -- the number of its last event
    journeys INTEGER NOT NULL,   -- how many stored journeys have events in it
    events BLOB NOT NULL         -- JSON of their journey::Event, in order, compressed (LZ4, after its size)
) STRICT;
",
        "
CREATE TABLE event_reader (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL    -- the number of the last event that it has
) STRICT, WITHOUT ROWID;
",
        "
CREATE TABLE journey_deleted (
    number INTEGER PRIMARY KEY,     -- in the order of deletion
    journey INTEGER NOT NULL UNIQUE -- mail::JourneyId
) STRICT;
",
        "
CREATE TABLE fault (
    number INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    since INTEGER NOT NULL,      -- milliseconds since 1970
    until INTEGER,               -- NULL while it lasts
    fault TEXT NOT NULL          -- JSON
) STRICT;
",
    ],
    on_content_deleted: None,
    content_owners: None,
    content_uses: None,
};

/// The most bytes of the events of a batch; far more than one of [`MAX_BATCH_BYTES`](super::subscription::MAX_BATCH_BYTES)
/// has.
const MAX_DECODED_BYTES: usize = 256 * 1024 * 1024;
/// The most events of a journey that are read.
const MAX_JOURNEY_EVENTS: usize = 10_000;
/// How many deleted journeys are remembered, whose messages may be under way.
pub(super) const MAX_DELETED: usize = 100_000;

/// The number of the newest event; 0 if there is none.
pub(super) fn last_seq(connection: &Connection) -> Result<u64, Error> {
    Ok(connection.query_row("SELECT ifnull(max(last), 0) FROM event_batch", [], |row| row.get(0))?)
}

/// The time of the last event of the newest batch; `None` if there is none.
pub(super) fn last_time(connection: &Connection) -> Result<Option<Timestamp>, Error> {
    let mut query = connection.prepare("SELECT events FROM event_batch ORDER BY last DESC LIMIT 1")?;
    let mut rows = query.query([])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(decode(row)?.last().map(|event| event.at))
}

/// The number of the last event that the reader of this name has; `None` if it was never stored.
pub(super) fn reader_position(connection: &Connection, name: &str) -> Result<Option<u64>, Error> {
    let sql = "SELECT position FROM event_reader WHERE name = ?1";
    Ok(connection.query_row(sql, [name], |row| row.get(0)).optional()?)
}

/// Stores the number of the last event that the reader of this name has, in the place of the one before.
pub(super) fn set_reader_position(transaction: &Transaction<'_>, name: &str, position: u64) -> Result<(), Error> {
    let sql = "INSERT INTO event_reader (name, position) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET position = excluded.position";
    transaction.prepare_cached(sql)?.execute(params![name, position])?;
    Ok(())
}

/// Stores a fault, or that it ended, and removes those beyond the latest [`MAX_FAULTS`].
pub(super) fn save_fault(transaction: &Transaction<'_>, record: &FaultRecord) -> Result<(), Error> {
    let FaultRecord { number, title, since, until, fault } = record;
    let values =
        params![number, title, since.as_millisecond(), until.map(|until| until.as_millisecond()), fault.to_string()];
    transaction.prepare_cached("INSERT OR REPLACE INTO fault VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(values)?;
    let sql = "DELETE FROM fault WHERE number <= (SELECT max(number) FROM fault) - ?1";
    transaction.prepare_cached(sql)?.execute([MAX_FAULTS])?;
    Ok(())
}

/// The faults, oldest first; the fault itself is `null` where it cannot be read.
pub(super) fn faults(connection: &Connection) -> Result<VecDeque<FaultRecord>, Error> {
    let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut query = connection.prepare("SELECT number, title, since, until, fault FROM fault ORDER BY number")?;
    let records = query.query_map([], |row| {
        Ok(FaultRecord {
            number: row.get(0)?,
            title: row.get(1)?,
            since: time(row.get(2)?),
            until: row.get::<_, Option<i64>>(3)?.map(time),
            fault: serde_json::from_str(row.get_ref(4)?.as_str()?).unwrap_or_default(),
        })
    })?;
    Ok(records.collect::<rusqlite::Result<_>>()?)
}

/// How many journeys are stored.
pub(super) fn count(connection: &Connection) -> Result<u64, Error> {
    Ok(connection.query_row("SELECT count(*) FROM journey", [], |row| row.get(0))?)
}

/// Events in their order, and how they are stored.
pub(super) struct EventBatch {
    events: Vec<Arc<Event>>,
    encoded: Vec<u8>,
}

impl EventBatch {
    /// Encodes events as JSON, compressed by LZ4 after the size.
    pub(super) fn new(events: Vec<Arc<Event>>) -> Result<Self, Error> {
        let json = serde_json::to_vec(&events).map_err(corrupt)?;
        Ok(Self { events, encoded: lz4_flex::compress_prepend_size(&json) })
    }
}

/// The events of a batch, in order; the first column of the row is `event_batch.events`. [`Error::Corrupt`] if they
/// cannot be decoded.
fn decode(row: &Row<'_>) -> Result<Vec<Event>, Error> {
    let stored = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    let invalid = |error| Error::Corrupt(format!("events are unreadable: {error}").into());
    let (size, compressed) = lz4_flex::block::uncompressed_size(stored).map_err(invalid)?;
    let json = lz4_flex::decompress(compressed, size.min(MAX_DECODED_BYTES)).map_err(invalid)?;
    serde_json::from_slice(&json).map_err(corrupt)
}

/// The [`Error::Corrupt`] of events that are not valid JSON, or cannot be written as JSON.
fn corrupt(error: serde_json::Error) -> Error {
    Error::Corrupt(format!("events are unreadable: {error}").into())
}

/// What the store knew of a journey.
pub(super) struct Stored {
    pub(super) number: u64,
    /// `None` if it cannot be read.
    pub(super) state: Option<JourneyState>,
    batches: Vec<u64>,
}

/// What a batch did to the journeys.
#[derive(Default)]
pub(super) struct Saved {
    /// What was known of each of them before.
    pub(super) known: Vec<(JourneyId, Option<Stored>)>,
    /// How many are new.
    pub(super) added: u64,
    /// How many were removed, since they are deleted and settled now.
    pub(super) removed: u64,
}

/// Stores a batch of events, and what they make of their journeys; returns what was known of these before. A deleted
/// journey that they settle is removed. Does nothing for an empty batch.
pub(super) fn save(transaction: &Transaction<'_>, EventBatch { events, encoded }: &EventBatch) -> Result<Saved, Error> {
    let mut saved = Saved::default();
    let Some(last) = events.last().map(|event| event.seq) else { return Ok(saved) };
    let mut by_journey: BTreeMap<JourneyId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_journey.entry(event.journey).or_default().push(event);
    }
    let mut journeys = 0;
    for (id, events) in by_journey {
        let (known, is_kept) = add_to_journey(transaction, id, events, last)?;
        journeys += u64::from(is_kept);
        saved.added += u64::from(is_kept && known.is_none());
        saved.removed += u64::from(!is_kept && known.is_some());
        saved.known.push((id, known));
    }
    remove_empty_batch(transaction)?;
    let sql = "INSERT INTO event_batch (last, journeys, events) VALUES (?1, ?2, ?3)";
    transaction.prepare_cached(sql)?.execute(params![last, journeys, encoded])?;
    Ok(saved)
}

/// Removes the newest batch if no stored journey has events in it, before a newer one is stored; it stayed for its
/// number.
fn remove_empty_batch(transaction: &Transaction<'_>) -> Result<(), Error> {
    let sql = "DELETE FROM event_batch WHERE last = (SELECT max(last) FROM event_batch) AND journeys <= 0";
    transaction.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Adds the events that the batch with the number `batch` has of a journey, or begins the journey with them. A deleted
/// journey that is settled now, or consists of late events only, is removed, or not stored at all. Returns what was
/// stored of it before, and whether it is stored now.
fn add_to_journey(
    transaction: &Transaction<'_>,
    id: JourneyId,
    mut events: Vec<&Event>,
    batch: u64,
) -> Result<(Option<Stored>, bool), Error> {
    let found = find(transaction, id)?;
    let number = found.as_ref().map_or(events[0].seq, |found| found.number);
    events.sort_by_key(|event| event.at);
    let known = found.as_ref().and_then(|found| found.state.clone());
    let mut state = known.unwrap_or_else(|| JourneyState::new(id, events[0].at));
    let known: BTreeSet<_> = state.keys().collect();
    let begins = found.is_some() || events.iter().any(|event| event.kind.begins());
    state.add_all(events);
    if (!begins || state.is_settled()) && is_deleted(transaction, id)? {
        if let Some(found) = &found {
            remove(transaction, found.number)?;
        }
        return Ok((found, false));
    }
    let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO journey_address VALUES (?1, ?2, ?3)")?;
    for (key, part) in state.keys().filter(|key| !known.contains(key)) {
        insert.execute(params![key, part_number(part), number])?;
    }
    let mut batches = found.as_ref().map_or(Vec::new(), |found| found.batches.clone());
    batches.push(batch);
    let sql = "INSERT INTO journey (number, id, settled, state, batches) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (number) DO UPDATE
        SET settled = excluded.settled, state = excluded.state, batches = excluded.batches";
    let (state, settled) = (serde_json::to_string(&state).map_err(corrupt)?, state.is_settled());
    let batches = serde_json::to_string(&batches).map_err(corrupt)?;
    transaction.prepare_cached(sql)?.execute(params![number, id.to_bits(), settled, state, batches])?;
    Ok((found, true))
}

/// How the column `part` of `journey_address` represents a part.
fn part_number(part: Part) -> u8 {
    match part {
        Part::Recipient => 0,
        Part::Sender => 1,
    }
}

/// What is stored of the journey with this id; `None` if there is none. A column that cannot be read is no error: then
/// the state is `None`, or there are no batches.
pub(super) fn find(connection: &Connection, id: JourneyId) -> Result<Option<Stored>, Error> {
    let mut query = connection.prepare_cached("SELECT number, state, batches FROM journey WHERE id = ?1")?;
    let read = |row: &Row<'_>| Ok(Stored { number: row.get(0)?, state: state(row, 1), batches: batches(row, 2) });
    Ok(query.query_row([id.to_bits()], read).optional()?)
}

/// The numbers of batches in a column, from JSON; none if it cannot be read.
fn batches(row: &Row<'_>, column: usize) -> Vec<u64> {
    let text = row.get_ref(column).ok().and_then(|value| value.as_str().ok());
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The state of a journey in a column, from JSON; `None` if it cannot be read, which is logged: the events have it,
/// too.
fn state(row: &Row<'_>, column: usize) -> Option<JourneyState> {
    let text = row.get_ref(column).ok()?.as_str().ok()?;
    let state = serde_json::from_str(text);
    state.inspect_err(|error| tracing::error!(%error, "the state of a journey is unreadable")).ok()
}

/// The events of a journey, in the order of their numbers; of very many, those of the newest batches, from
/// [`MAX_JOURNEY_EVENTS`] on without the older ones.
pub(super) fn events_of(connection: &Connection, id: JourneyId, stored: &Stored) -> Result<Vec<Event>, Error> {
    let mut query = connection.prepare_cached("SELECT events FROM event_batch WHERE last = ?1")?;
    let mut events = VecDeque::new();
    for batch in stored.batches.iter().rev() {
        let mut rows = query.query([batch])?;
        let found = rows.next()?.map_or(Ok(Vec::new()), decode)?;
        found.into_iter().rev().filter(|event| event.journey == id).for_each(|event| events.push_front(event));
        if MAX_JOURNEY_EVENTS <= events.len() {
            break;
        }
    }
    Ok(events.into())
}

/// The events with numbers between these two, both excluded, in order: as many as have this size together, at least
/// one.
pub(super) fn events_between(
    connection: &Connection,
    after: u64,
    before: u64,
    max_bytes: usize,
) -> Result<Vec<Event>, Error> {
    let mut query = connection.prepare_cached("SELECT events FROM event_batch WHERE ?1 < last ORDER BY last")?;
    let mut rows = query.query([signed(after)])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        for event in decode(row)?.into_iter().filter(|event| after < event.seq) {
            bytes += event.memory_bytes();
            let is_enough = max_bytes < bytes && !events.is_empty();
            if is_enough || before <= event.seq {
                return Ok(events);
            }
            events.push(event);
        }
    }
    Ok(events)
}

/// Up to `limit` stored journeys that match the filter, with their numbers, which are below `before` and not among
/// `except`, newest first. The state is `None` where it cannot be read.
pub(super) fn page(
    connection: &Connection,
    filter: &JourneyFilter,
    before: u64,
    limit: usize,
    except: &[u64],
) -> Result<Vec<(u64, Option<JourneyState>)>, Error> {
    let (condition, mut values) = matching(filter, before, except);
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let sql = format!(
        "SELECT number, state FROM (SELECT number {condition} ORDER BY number DESC LIMIT ?) JOIN journey USING (number)
         ORDER BY number DESC"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let found = query.query_map(params_from_iter(values), |row| Ok((row.get(0)?, state(row, 1))))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// How many stored journeys match the filter and have numbers that are below `before` and not among `except`.
pub(super) fn count_matching(
    connection: &Connection,
    filter: &JourneyFilter,
    before: u64,
    except: &[u64],
) -> Result<u64, Error> {
    let (condition, values) = matching(filter, before, except);
    let mut query = connection.prepare_cached(&format!("SELECT count(*) {condition}"))?;
    Ok(query.query_row(params_from_iter(values), |row| row.get(0))?)
}

/// The `FROM` and `WHERE` of a query for the numbers of journeys that match, with its values. It reads the rows of one
/// address, those that are open, or all, by an index, and nothing else of them where it need not.
fn matching(filter: &JourneyFilter, before: u64, except: &[u64]) -> (String, Vec<Value>) {
    let JourneyFilter { to, from, settled } = filter;
    let parts = [(to, Part::Recipient), (from, Part::Sender)];
    let mut parts = parts.into_iter().filter_map(|(address, part)| Some((address.as_ref()?.key(), part_number(part))));
    let first = if *settled == Some(false) { None } else { parts.next() };
    let (mut sql, mut values) = match first {
        Some((key, part)) => (
            "FROM journey_address AS one WHERE address = ? AND part = ? AND number < ?".to_owned(),
            vec![Value::from(key), part.into(), signed(before).into()],
        ),
        None => ("FROM journey AS one WHERE number < ?".to_owned(), vec![signed(before).into()]),
    };
    for (key, part) in parts {
        sql += " AND EXISTS (SELECT 1 FROM journey_address AS other
             WHERE other.address = ? AND other.part = ? AND other.number = one.number)";
        values.extend([Value::from(key), part.into()]);
    }
    match settled {
        // Not as a value: the index of open journeys is used only where the statement says so.
        Some(false) => sql += " AND settled = 0",
        Some(true) => sql += " AND number NOT IN (SELECT number FROM journey WHERE settled = 0)",
        None => {}
    }
    if !except.is_empty() {
        sql += " AND number NOT IN (SELECT value FROM json_each(?))";
        values.push(serde_json::json!(except).to_string().into());
    }
    (sql, values)
}

/// A number as SQLite has it; those that are too large become its largest, as [`u64::MAX`] for no limit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Removes up to `most` of the oldest journeys with their events, and returns how many: only those that are settled,
/// unless `even_open`.
pub(super) fn prune(transaction: &Transaction<'_>, most: u64, even_open: bool) -> Result<u64, Error> {
    let settled = if even_open { "" } else { "WHERE settled = 1" };
    let mut query =
        transaction.prepare_cached(&format!("SELECT number FROM journey {settled} ORDER BY number LIMIT ?1"))?;
    let numbers = query.query_map([signed(most)], |row| row.get(0))?.collect::<rusqlite::Result<Vec<u64>>>()?;
    for number in &numbers {
        remove(transaction, *number)?;
    }
    Ok(numbers.len() as u64)
}

/// Remembers that the message of a journey is deleted, beyond [`MAX_DELETED`] in the place of the oldest, and removes
/// the journey if it is settled; otherwise, [`save`] does so once it is. Returns whether it was removed now.
pub(super) fn delete(transaction: &Transaction<'_>, id: JourneyId) -> Result<bool, Error> {
    let sql = "INSERT OR IGNORE INTO journey_deleted (journey) VALUES (?1)";
    transaction.prepare_cached(sql)?.execute([id.to_bits()])?;
    let sql = "DELETE FROM journey_deleted WHERE number <= (SELECT max(number) FROM journey_deleted) - ?1";
    transaction.prepare_cached(sql)?.execute([MAX_DELETED as i64])?;
    let sql = "SELECT number FROM journey WHERE id = ?1 AND settled = 1";
    let settled = transaction.prepare_cached(sql)?.query_row([id.to_bits()], |row| row.get(0)).optional()?;
    settled.map(|number| remove(transaction, number)).transpose()?;
    Ok(settled.is_some())
}

/// Whether the message of a journey was deleted, so that copies of it that are under way are removed. `false` again
/// when 100,000 others were deleted since.
///
/// # Errors
/// The tables cannot be read.
pub fn is_deleted(connection: &Connection, id: JourneyId) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM journey_deleted WHERE journey = ?1";
    Ok(connection.prepare_cached(sql)?.exists([id.to_bits()])?)
}

/// The deleted journeys that are remembered, oldest first.
pub(super) fn deleted(connection: &Connection) -> Result<Vec<JourneyId>, Error> {
    let mut query = connection.prepare("SELECT journey FROM journey_deleted ORDER BY number")?;
    Ok(query.query_map([], |row| Ok(JourneyId::from_random(row.get(0)?)))?.collect::<rusqlite::Result<_>>()?)
}

/// Up to `limit` settled journeys with numbers above `after`, oldest first. Those whose state cannot be read are left
/// out.
pub(super) fn oldest_settled(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, JourneyState)>, Error> {
    let sql = "SELECT number, state FROM journey WHERE ?1 < number AND settled = 1 ORDER BY number LIMIT ?2";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query(params![signed(after), limit as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        found.extend(state(row, 1).map(|state| (number, state)));
    }
    Ok(found)
}

/// Removes journeys, settled or not, and skips those that are not stored. Returns how many were removed.
pub(super) fn remove_all(transaction: &Transaction<'_>, journeys: &[JourneyId]) -> Result<u64, Error> {
    let mut removed = 0;
    for journey in journeys {
        if let Some(found) = find(transaction, *journey)? {
            remove(transaction, found.number)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes the journey with this number, its addresses, and the batches that have no events of others; an error if it
/// is not stored. The newest batch stays, since its number must not be given to another event.
fn remove(transaction: &Transaction<'_>, number: u64) -> Result<(), Error> {
    let sql = "DELETE FROM journey WHERE number = ?1 RETURNING state, batches";
    let found = transaction.prepare_cached(sql)?.query_row([number], |row| Ok((state(row, 0), batches(row, 1))));
    let (state, batches) = found?;
    let sql = "DELETE FROM journey_address WHERE address = ?1 AND part = ?2 AND number = ?3";
    let mut delete = transaction.prepare_cached(sql)?;
    for (key, part) in state.iter().flat_map(JourneyState::keys) {
        delete.execute(params![key, part_number(part), number])?;
    }
    for batch in batches {
        let sql = "UPDATE event_batch SET journeys = journeys - 1 WHERE last = ?1";
        transaction.prepare_cached(sql)?.execute([batch])?;
        let sql = "DELETE FROM event_batch WHERE last = ?1 AND journeys <= 0
            AND last < (SELECT max(last) FROM event_batch)";
        transaction.prepare_cached(sql)?.execute([batch])?;
    }
    Ok(())
}

/// Changes rows behind the back of the event log, as a failing disk might.
#[cfg(test)]
pub(super) async fn execute(store: &crate::store::Store, sql: &'static str) {
    let job = move |transaction: &Transaction<'_>| Ok::<_, Error>(transaction.execute(sql, [])?);
    store.write(job).await.unwrap();
}
