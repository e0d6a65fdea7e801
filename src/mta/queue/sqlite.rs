//! The queue's tables in SQLite: the only file of this module, with those below it, that knows SQL.
//!
//! Another engine would implement these functions, with the same promises. Those with a `Transaction` change rows; the
//! changes of one job become durable together, or not at all. Those with a `Connection` read the last commit. Each
//! row counts as one use of its content in [`crate::store::content`].
//!
//! | function | promise |
//! |---|---|
//! | [`waiting`] | all rows of a host that are not held, with the time at which each is due |
//! | [`find`] | one row that is not held; `Corrupt` if it does not hold what it should |
//! | [`insert`] | a new row, due at once, with an id that no row of this host ever had |
//! | [`settle`] | the result of an attempt, with its reports |
//! | [`hold`], [`release`], [`flush`] | operations on selected rows; return those that were changed |
//! | [`hold_row`] | puts one row on hold, with the reason |
//! | [`rows`], [`remove`] | the ids of selected rows; deletes one, and returns its id and recipients |
//! | [`list`], [`header`] | rows as the operator sees them, those with unreadable parts too |
//! | [`messages_after`] | rows after one, in order |
//! | [`inventory`] | what simulations check |

mod row_ids;
#[cfg(test)]
pub(in crate::mta) mod tests;

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::listing::{Affected, Inventory, QueueEntry, QueuePlace, Selector, State, WaitingMessage};
use crate::mail::{Address, Envelope, QueueId};
use crate::mta::entry::{Entry, QueuedMessage, Remaining, Settlement};
use crate::store::{Error, Schema, Transaction, content};
use crate::world::HostName;
use row_ids::OF_HOST;

/// The tables of this module.
pub const SCHEMA: Schema = Schema {
    module: "mta",
    migrations: &["
CREATE TABLE queue_host (
    number INTEGER PRIMARY KEY,  -- rows of the host have the ids (number << 32) + 1 and on
    host TEXT NOT NULL UNIQUE,
    last INTEGER NOT NULL        -- the last that was given to a row
) STRICT;
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,          -- mail::QueueId
    envelope TEXT NOT NULL,      -- JSON; only recipients that still wait
    trace BLOB NOT NULL,
    content INTEGER NOT NULL REFERENCES content (id),
    arrived INTEGER NOT NULL,    -- milliseconds since 1970
    due INTEGER NOT NULL,        -- the same; the next attempt
    attempts INTEGER NOT NULL,   -- made so far
    warned INTEGER NOT NULL,     -- 1: a report told the sender that it is late
    held INTEGER NOT NULL DEFAULT 0, -- 1: until the operator releases it
    reason TEXT                  -- why the last attempt failed, or why it is held
) STRICT;
"],
    on_content_deleted: None,
    content_owners: Some(
        "SELECT 'message ' || name || ' in the queue of ' || host FROM queue
         JOIN queue_host ON number = id >> 32 WHERE content = ?1",
    ),
    content_uses: Some("SELECT content, count(*) FROM queue GROUP BY 1"),
};

/// A row of the queue, whose content is not read yet.
pub(super) struct Stored {
    pub(super) id: QueueId,
    pub(super) envelope: Envelope,
    pub(super) trace: Bytes,
    pub(super) content: i64,
    pub(super) arrived: Timestamp,
    pub(super) due: Timestamp,
    pub(super) attempts: u32,
    pub(super) warned: bool,
}

/// When a row is due.
pub(super) type Due = (Timestamp, i64);

/// All rows of the host that are not held, each with the time at which it is due, which may be past.
pub(super) fn waiting(connection: &Connection, host: &HostName) -> Result<BTreeSet<Due>, Error> {
    let mut query = connection.prepare(&format!("SELECT due, id FROM queue WHERE {OF_HOST} AND held = 0"))?;
    let due = query.query_map([host], |row| Ok((time(row.get(0)?), row.get(1)?)))?;
    Ok(due.collect::<rusqlite::Result<_>>()?)
}

/// A row without its content; `None` if it was deleted or is held. `Error::Corrupt` if its id or envelope is
/// unreadable.
pub(super) fn find(connection: &Connection, row: i64) -> Result<Option<Stored>, Error> {
    let invalid = |what: &str| Error::Corrupt(format!("row {row} of the queue has an unreadable {what}").into());
    let sql = "SELECT name, envelope, trace, content, arrived, due, attempts, warned FROM queue
        WHERE id = ?1 AND held = 0";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([row])?;
    let Some(found) = rows.next()? else { return Ok(None) };
    Ok(Some(Stored {
        id: id(found, 0).ok_or_else(|| invalid("name"))?,
        envelope: envelope(found, 1).ok_or_else(|| invalid("envelope"))?,
        trace: found.get::<_, Vec<u8>>(2)?.into(),
        content: found.get(3)?,
        arrived: time(found.get(4)?),
        due: time(found.get(5)?),
        attempts: found.get(6)?,
        warned: found.get(7)?,
    }))
}

/// Adds a row for a message, due when it arrived, and one use of its content; returns its entry, which shares the
/// buffer of the content with equal ones.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    host: &HostName,
    mut queued: QueuedMessage,
) -> Result<Entry, Error> {
    let (content, shared) = content::put(transaction, &queued.message.content)?;
    queued.message.content = shared;
    let sql = "INSERT INTO queue (id, name, envelope, trace, content, arrived, due, attempts, warned)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0, 0)";
    let (name, envelope, arrived) = (queued.id.to_string(), json(&queued.envelope)?, queued.arrived.as_millisecond());
    let (row, trace) = (row_ids::next(transaction, host)?, queued.message.trace.as_ref());
    transaction.prepare_cached(sql)?.execute(params![row, name, envelope, trace, content, arrived])?;
    Ok(Entry { row, content, due: queued.arrived, queued, attempts: 0, warned: false })
}

/// Stores the result of an attempt, and adds its reports. Deletes the row and one use of its content if no recipient
/// remains; replaces only the envelope if some are still in flight; else counts the attempt, too. Returns when the row
/// is due (`None` if it was deleted, is held, or is still in flight), and when each report is.
pub(super) fn settle(
    transaction: &Transaction<'_>,
    host: &HostName,
    row: i64,
    content: i64,
    settlement: &Settlement,
) -> Result<(Option<Timestamp>, Vec<Due>), Error> {
    let until = match &settlement.remaining {
        Remaining::None => {
            transaction.prepare_cached("DELETE FROM queue WHERE id = ?1")?.execute([row])?;
            content::release(transaction, content)?;
            None
        }
        Remaining::InFlight(envelope) => {
            let sql = "UPDATE queue SET envelope = ?2 WHERE id = ?1";
            transaction.prepare_cached(sql)?.execute(params![row, json(envelope)?])?;
            None
        }
        Remaining::RetryAt { envelope, due, warned, reason } => {
            let sql = "UPDATE queue SET envelope = ?2, due = ?3, attempts = attempts + 1, warned = ?4, reason = ?5
                WHERE id = ?1 RETURNING held";
            let values = params![row, json(envelope)?, due.as_millisecond(), warned, reason];
            let is_held = transaction.prepare_cached(sql)?.query_row(values, |row| row.get::<_, bool>(0))?;
            Some(*due).filter(|_| !is_held)
        }
    };
    let put = |report: &QueuedMessage| Ok((report.arrived, insert(transaction, host, report.clone())?.row));
    Ok((until, settlement.reports.iter().map(put).collect::<Result<Vec<_>, Error>>()?))
}

/// Holds the selected rows of the host that are not held yet; returns those.
pub(super) fn hold(transaction: &Transaction<'_>, host: &HostName, selector: Selector) -> Result<Vec<Affected>, Error> {
    update(transaction, "held = 1", "held = 0", host, selector, Timestamp::UNIX_EPOCH)
}

/// Ends the hold of the selected rows that are held, which are due at `now`; returns those.
pub(super) fn release(
    transaction: &Transaction<'_>,
    host: &HostName,
    selector: Selector,
    now: Timestamp,
) -> Result<Vec<Affected>, Error> {
    update(transaction, "held = 0, due = ?3", "held = 1", host, selector, now)
}

/// Makes the selected rows due at `now`, except those that are held; returns those that it changed.
pub(super) fn flush(
    transaction: &Transaction<'_>,
    host: &HostName,
    selector: Selector,
    now: Timestamp,
) -> Result<Vec<Affected>, Error> {
    update(transaction, "due = ?3", "held = 0", host, selector, now)
}

/// Sets columns, as the SQL `set` says, of the selected rows for which the SQL condition `only` holds; returns those.
/// `now` is the value of `?3`, in milliseconds since 1970.
fn update(
    transaction: &Transaction<'_>,
    set: &str,
    only: &str,
    host: &HostName,
    selector: Selector,
    now: Timestamp,
) -> Result<Vec<Affected>, Error> {
    // Every statement names ?3, so that all take the same values.
    let filter = filter();
    let sql =
        format!("UPDATE queue SET {set} WHERE {filter} AND {only} AND ?3 IS NOT NULL RETURNING id, name, envelope");
    let mut update = transaction.prepare_cached(&sql)?;
    let changed = update.query_map(params![host, selector.name(), now.as_millisecond()], affected)?;
    Ok(changed.collect::<rusqlite::Result<_>>()?)
}

/// Reads a changed row from the columns id, name and envelope; without an id or recipients if they are unreadable.
fn affected(row: &Row<'_>) -> rusqlite::Result<Affected> {
    let recipients = addresses(envelope(row, 2).unwrap_or_default());
    Ok(Affected { row: row.get(0)?, id: id(row, 1), recipients })
}

/// Holds one row, also if it is held already, and replaces its reason; returns the row, or nothing if it was deleted.
pub(super) fn hold_row(transaction: &Transaction<'_>, row: i64, reason: &str) -> Result<Vec<Affected>, Error> {
    let sql = "UPDATE queue SET held = 1, reason = ?2 WHERE id = ?1 RETURNING id, name, envelope";
    let mut update = transaction.prepare_cached(sql)?;
    let changed = update.query_map(params![row, reason], affected)?;
    Ok(changed.collect::<rusqlite::Result<_>>()?)
}

/// The ids of the selected rows, held or not.
pub(super) fn rows(connection: &Connection, host: &HostName, selector: Selector) -> Result<BTreeSet<i64>, Error> {
    let mut query = connection.prepare_cached(&format!("SELECT id FROM queue WHERE {}", filter()))?;
    let rows = query.query_map(params![host, selector.name()], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Deletes a row, and one use of its content; returns its id and its recipients, none if the envelope is unreadable.
/// `None` if there is no such row, or if its name is unreadable: then it is deleted too.
pub(super) fn remove(transaction: &Transaction<'_>, row: i64) -> Result<Option<(QueueId, Vec<Address>)>, Error> {
    let sql = "DELETE FROM queue WHERE id = ?1 RETURNING name, envelope, content";
    let read = |row: &Row<'_>| Ok((id(row, 0), envelope(row, 1).unwrap_or_default(), row.get(2)?));
    let found = transaction.prepare_cached(sql)?.query_row([row], read).optional()?;
    let Some((id, envelope, content)) = found else { return Ok(None) };
    content::release(transaction, content)?;
    Ok(id.map(|id| (id, addresses(envelope))))
}

/// The number of all selected rows, held or not, and up to `limit` of them behind a place, oldest first. A row without
/// a readable name is `None`.
pub(super) fn list(
    connection: &Connection,
    host: &HostName,
    selector: Selector,
    after: QueuePlace,
    limit: usize,
) -> Result<(usize, Vec<Option<QueueEntry>>), Error> {
    let (name, filter) = (selector.name(), filter());
    let count = format!("SELECT count(*) FROM queue WHERE {filter}");
    let total = connection.query_row(&count, (host, &name), |row| row.get(0))?;
    let sql = format!(
        "SELECT id, name, envelope, length(trace)
                + ifnull((SELECT length FROM content WHERE content.id = queue.content), 0),
            arrived, due, attempts, held, reason FROM queue
            WHERE {filter} AND (arrived, id) > (?3, ?4) ORDER BY arrived, id LIMIT ?5"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let listed = query.query_map(params![host, name, after.arrived, after.row, limit], |row| read_listed(host, row))?;
    let listed = listed.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok((total, listed))
}

/// Reads a row of [`list`]; `None` if its name is unreadable. Never sets `Underway`, since only the scheduler knows
/// what is in flight.
fn read_listed(host: &HostName, row: &Row<'_>) -> rusqlite::Result<Option<QueueEntry>> {
    let Some(id) = id(row, 1) else { return Ok(None) };
    let envelope = envelope(row, 2).unwrap_or_default();
    let message = QueueEntry {
        row: row.get(0)?,
        id,
        host: host.clone(),
        state: if row.get(7)? { State::Held } else { State::Waiting },
        reverse_path: envelope.reverse_path.clone(),
        recipients: addresses(envelope),
        size: row.get(3)?,
        arrived: time(row.get(4)?),
        due: time(row.get(5)?),
        attempts: row.get(6).unwrap_or_default(),
        reason: row.get(8)?,
        active_attempts: Vec::new(),
    };
    Ok(Some(message))
}

/// The trace fields of a message of the host, and the id of its content; `None` without such a message.
pub(super) fn header(connection: &Connection, host: &HostName, id: QueueId) -> Result<Option<(Vec<u8>, i64)>, Error> {
    let sql = format!("SELECT trace, content FROM queue WHERE {OF_HOST} AND name = ?2");
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    Ok(connection.query_row(&sql, (host, id.to_string()), read).optional()?)
}

/// Up to `limit` rows of the host behind the id `row`, in the order of ids, held or not; without an id, sender or
/// recipients where they are unreadable.
pub(super) fn messages_after(
    connection: &Connection,
    host: &HostName,
    row: i64,
    limit: usize,
) -> Result<Vec<WaitingMessage>, Error> {
    let sql = format!(
        "SELECT id, name, envelope, arrived, due, held, reason FROM queue WHERE {OF_HOST} AND ?2 < id ORDER BY id LIMIT ?3"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = query.query_map(params![host, row, limit], |row| {
        let envelope = envelope(row, 2).unwrap_or_default();
        Ok(WaitingMessage {
            row: row.get(0)?,
            id: id(row, 1),
            reverse_path: envelope.reverse_path.clone(),
            recipients: addresses(envelope),
            arrived: time(row.get(3)?),
            due: time(row.get(4)?),
            is_held: row.get(5)?,
            reason: row.get(6)?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The recipients in all rows of all hosts, and the contents of rows with a null reverse-path; rows with an unreadable
/// envelope are left out, and recipients of rows with an unreadable name.
pub(super) fn inventory(connection: &Connection) -> Result<Inventory, Error> {
    let mut inventory = Inventory::default();
    let sql = "SELECT host, name, envelope, content FROM queue JOIN queue_host ON number = id >> 32 ORDER BY id";
    let mut query = connection.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let Some(envelope) = envelope(row, 2) else { continue };
        // A report has a null reverse-path. RFC 3464 §2.
        if envelope.reverse_path.is_none() {
            inventory.reports.push(row.get(3)?);
        }
        if let Some(id) = id(row, 1) {
            let host: String = row.get(0)?;
            inventory.queued.extend(addresses(envelope).into_iter().map(|to| (host.clone(), id.journey, to)));
        }
    }
    Ok(inventory)
}

/// An SQL condition: rows of the host `?1`, and, unless `?2` is NULL, with that queue id (JOURNEY-STAY), or with ids
/// that begin with that journey id.
fn filter() -> String {
    format!("{OF_HOST} AND (?2 IS NULL OR name = ?2 OR name LIKE ?2 || '-%')")
}

/// Reads the queue id in a column; `None` if it is unreadable.
fn id(row: &Row<'_>, column: usize) -> Option<QueueId> {
    row.get_ref(column).ok()?.as_str().ok()?.parse().ok()
}

/// Reads the envelope in a column, from JSON; `None` if it is unreadable.
fn envelope(row: &Row<'_>, column: usize) -> Option<Envelope> {
    serde_json::from_str(row.get_ref(column).ok()?.as_str().ok()?).ok()
}

/// The addresses of the recipients, in the order of the envelope.
fn addresses(envelope: Envelope) -> Vec<Address> {
    envelope.recipients.into_iter().map(|recipient| recipient.address).collect()
}

/// The envelope as JSON, as it is stored.
fn json(envelope: &Envelope) -> rusqlite::Result<String> {
    serde_json::to_string(envelope).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The time that a column has as milliseconds since 1970; the latest possible time if the number is out of range.
fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}
