//! The tables of events and journeys in SQLite: the only file of this module that knows SQL.
//!
//! Another engine would implement these functions, with the same promises. A journey has the number of its first event;
//! both grow with time, so that what is new is stored side by side.
//!
//! | function | promise |
//! |---|---|
//! | [`last_seq`], [`last_time`], [`count`] | the number and the time of the newest event; how many journeys there are |
//! | [`save`] | stores events, each once, and what they make of their journeys |
//! | [`find`], [`events_of`] | one journey by its id; its events, the newest if they are very many |
//! | [`page`], [`count_matching`] | journeys below a number, newest first, by an index; how many there are |
//! | [`events_between`] | events in their order, by number |
//! | [`prune`] | removes the oldest journeys with all that belongs to them |

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::index::JourneyFilter;
use super::status::Part;
use super::{Event, JourneyState};
use crate::mail::JourneyId;
use crate::store::{Error, Schema, Transaction};

/// The tables of this module.
pub const SCHEMA: Schema = Schema {
    module: "journey",
    migrations: &["
CREATE TABLE journey (
    number INTEGER PRIMARY KEY,  -- of its first event
    id TEXT NOT NULL UNIQUE,     -- mail::JourneyId
    settled INTEGER NOT NULL,    -- 1: no recipient's copy is in transit
    state TEXT NOT NULL          -- JSON of journey::JourneyState
) STRICT;
CREATE INDEX journey_open ON journey (number) WHERE settled = 0;
CREATE TABLE journey_address (
    address TEXT NOT NULL,       -- mail::Address::key
    part INTEGER NOT NULL,       -- 0: a recipient; 1: the sender
    number INTEGER NOT NULL,     -- of the journey
    PRIMARY KEY (address, part, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE journey_event (
    seq INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,     -- of the journey
    event BLOB NOT NULL          -- JSON of journey::Event, compressed (zlib) if it is long
) STRICT;
CREATE INDEX journey_event_of ON journey_event (number, seq);
"],
    on_content_deleted: None,
    content_owners: None,
    content_uses: None,
};

/// Events from this size on are compressed; their transcripts are much alike.
const COMPRESS_BYTES: usize = 512;
/// The most bytes that a stored event may have.
const MAX_EVENT_BYTES: u64 = 4 * 1024 * 1024;
/// The most events of a journey that are read.
const MAX_JOURNEY_EVENTS: u32 = 10_000;

/// The number of the newest event; 0 if there is none.
pub(super) fn last_seq(connection: &Connection) -> Result<u64, Error> {
    Ok(connection.query_row("SELECT ifnull(max(seq), 0) FROM journey_event", [], |row| row.get(0))?)
}

/// The time of the newest event.
pub(super) fn last_time(connection: &Connection) -> Result<Option<Timestamp>, Error> {
    let mut query = connection.prepare("SELECT event FROM journey_event ORDER BY seq DESC LIMIT 1")?;
    let mut rows = query.query([])?;
    rows.next()?.map(|row| Ok(event(row)?.at)).transpose()
}

/// How many journeys there are.
pub(super) fn count(connection: &Connection) -> Result<u64, Error> {
    Ok(connection.query_row("SELECT count(*) FROM journey", [], |row| row.get(0))?)
}

/// An event, and how it is stored.
pub(super) struct Encoded {
    event: Arc<Event>,
    bytes: Vec<u8>,
}

impl Encoded {
    /// Encodes an event.
    pub(super) fn new(event: Arc<Event>) -> Result<Self, Error> {
        let json = serde_json::to_vec(&event).map_err(corrupt)?;
        if json.len() < COMPRESS_BYTES {
            return Ok(Self { event, bytes: json });
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&json)?;
        Ok(Self { event, bytes: encoder.finish()? })
    }
}

fn decode(stored: &[u8]) -> Result<Event, Error> {
    if stored.starts_with(b"{") {
        return serde_json::from_slice(stored).map_err(corrupt);
    }
    let mut json = Vec::new();
    ZlibDecoder::new(stored).take(MAX_EVENT_BYTES).read_to_end(&mut json)?;
    serde_json::from_slice(&json).map_err(corrupt)
}

fn corrupt(error: serde_json::Error) -> Error {
    Error::Corrupt(format!("an event is unreadable: {error}").into())
}

/// Stores events, and says how many journeys are new. An event that is stored already is skipped.
pub(super) fn save(transaction: &Transaction<'_>, events: &[Encoded]) -> Result<u64, Error> {
    let mut by_journey: BTreeMap<JourneyId, Vec<&Encoded>> = BTreeMap::new();
    for event in events {
        by_journey.entry(event.event.journey).or_default().push(event);
    }
    let mut new = 0;
    for (id, mut events) in by_journey {
        let [Encoded { event: first, .. }, ..] = events[..] else { continue };
        let found = lookup(transaction, id)?;
        new += u64::from(found.is_none());
        let (number, state) = found.unwrap_or((first.seq, None));
        let mut state = state.unwrap_or_else(|| JourneyState::new(id, first.at));
        let known: BTreeSet<_> = state.keys().collect();
        let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO journey_event VALUES (?1, ?2, ?3)")?;
        for Encoded { event, bytes } in &events {
            insert.execute(params![event.seq, number, bytes])?;
        }
        events.sort_by_key(|encoded| encoded.event.at);
        state.add_all(events.iter().map(|encoded| &*encoded.event));
        let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO journey_address VALUES (?1, ?2, ?3)")?;
        for (key, part) in state.keys().filter(|key| !known.contains(key)) {
            insert.execute(params![key, part_number(part), number])?;
        }
        let sql = "INSERT INTO journey (number, id, settled, state) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (number) DO UPDATE SET settled = excluded.settled, state = excluded.state";
        let json = serde_json::to_string(&state).map_err(corrupt)?;
        transaction.prepare_cached(sql)?.execute(params![number, id.to_string(), state.is_settled(), json])?;
    }
    Ok(new)
}

fn part_number(part: Part) -> u8 {
    match part {
        Part::Recipient => 0,
        Part::Sender => 1,
    }
}

/// The number of a journey, and what is known of it.
pub(super) fn find(connection: &Connection, id: JourneyId) -> Result<Option<(u64, JourneyState)>, Error> {
    Ok(lookup(connection, id)?.and_then(|(number, state)| Some((number, state?))))
}

/// The number of a journey, and what is known of it, if that can be read.
fn lookup(connection: &Connection, id: JourneyId) -> rusqlite::Result<Option<(u64, Option<JourneyState>)>> {
    let mut query = connection.prepare_cached("SELECT number, state FROM journey WHERE id = ?1")?;
    query.query_row([id.to_string()], |row| Ok((row.get(0)?, state(row, 1)))).optional()
}

/// `None` if it cannot be read, which is logged: the events of a journey have it, too.
fn state(row: &Row<'_>, column: usize) -> Option<JourneyState> {
    let text = row.get_ref(column).ok()?.as_str().ok()?;
    let state = serde_json::from_str(text);
    state.inspect_err(|error| tracing::error!(%error, "the state of a journey is unreadable")).ok()
}

/// The events of the journey with this number, in order.
pub(super) fn events_of(connection: &Connection, number: u64) -> Result<Vec<Event>, Error> {
    let sql = "SELECT event FROM journey_event WHERE number = ?1 ORDER BY seq DESC LIMIT ?2";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query(params![number, MAX_JOURNEY_EVENTS])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row)?);
    }
    events.reverse();
    Ok(events)
}

fn event(row: &Row<'_>) -> Result<Event, Error> {
    decode(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)
}

/// The events with numbers between these two, both excluded, in order: as many as have this size together, at least one.
pub(super) fn events_between(
    connection: &Connection,
    after: u64,
    before: u64,
    max_bytes: usize,
) -> Result<Vec<Event>, Error> {
    let sql = "SELECT event FROM journey_event WHERE ?1 < seq AND seq < ?2 ORDER BY seq";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query(params![signed(after), signed(before)])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        bytes += event.memory_bytes();
        if max_bytes < bytes && !events.is_empty() {
            break;
        }
        events.push(event);
    }
    Ok(events)
}

/// Journeys with numbers below `before`, newest first, except those with these numbers.
pub(super) fn page(
    connection: &Connection,
    filter: &JourneyFilter,
    before: u64,
    limit: usize,
    except: &[u64],
) -> Result<Vec<(u64, JourneyState)>, Error> {
    let (condition, mut values) = matching(filter, before, except);
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let sql = format!(
        "SELECT number, state FROM (SELECT number {condition} ORDER BY number DESC LIMIT ?) JOIN journey USING (number)
         ORDER BY number DESC"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        found.extend(state(row, 1).map(|state| (number, state)));
    }
    Ok(found)
}

/// How many journeys [`page`] has without a limit.
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

/// The condition of a query for numbers, with its values. It reads the rows of one address, those that are open, or all,
/// by an index, and nothing else of them where it need not.
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

/// A number as SQLite has it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Removes up to `most` of the oldest journeys, and says how many: first those that are settled, `even_open` ones too.
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

/// Removes one journey.
fn remove(transaction: &Transaction<'_>, number: u64) -> Result<(), Error> {
    let sql = "DELETE FROM journey WHERE number = ?1 RETURNING state";
    let state = transaction.prepare_cached(sql)?.query_row([number], |row| Ok(state(row, 0)))?;
    let sql = "DELETE FROM journey_address WHERE address = ?1 AND part = ?2 AND number = ?3";
    let mut delete = transaction.prepare_cached(sql)?;
    for (key, part) in state.iter().flat_map(JourneyState::keys) {
        delete.execute(params![key, part_number(part), number])?;
    }
    transaction.prepare_cached("DELETE FROM journey_event WHERE number = ?1")?.execute([number])?;
    Ok(())
}
