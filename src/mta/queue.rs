//! The durable queue of one MTA.
//!
//! Whenever the power fails, a message is in exactly one of these states:
//!
//! ```text
//!                        row in queue   who is responsible (RFC 5321 §6.1)
//! Q0 not committed            -         the sender: nobody was told 250, it will try again
//! Q1 waiting                  +         this host: 250 may be said; the start after a crash finds the row
//! Q2 passed on, not settled   +         the next host, but nobody here knows: it is sent again, the one duplicate
//!                                       that SMTP cannot close
//! Q3 settled                  -         the next host, or the sender again by a bounce that stands in the queue
//!                                       since the same commit
//! ```
//!
//! Each recipient of a row has a state of its own: who is settled stands no more in its envelope, while others are still
//! tried or wait. A row that is held is Q1, too, until the operator releases or deletes it. Memory holds the due time of
//! every row and a bounded cache of new entries; everything else is read from the store when it is due.

mod index;
mod operator;
mod row_ids;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::Notify;

use crate::mail::{Content, Envelope, Message, QueueId};
use crate::store::{self, Schema, Store, Transaction, content};
use crate::world::HostName;

use index::{DueIndex, Next};
pub use operator::{Listing, QueueEntry, Selector, State};
use row_ids::OF_HOST;

/// The tables of this room.
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
    warned INTEGER NOT NULL,     -- 1: the sender was told that it is late
    held INTEGER NOT NULL DEFAULT 0, -- 1: until the operator releases it
    reason TEXT                  -- why the last attempt failed, or why it is held
) STRICT;
"],
    on_content_deleted: None,
    content_owners: Some(
        "SELECT 'message ' || name || ' in the queue of ' || host FROM queue
         JOIN queue_host ON number = id >> 32 WHERE content = ?1",
    ),
};

/// Proof that a message is on stable storage in a queue. Only [`Queue::put`] makes one, and only who holds one may
/// answer `250`.
#[must_use]
#[derive(Debug)]
pub struct Receipt {
    /// The message's name in this queue.
    pub id: QueueId,
}

/// A message to be queued.
#[derive(Clone, Debug)]
pub struct QueuedMessage {
    /// Its name.
    pub id: QueueId,
    /// Who sent it, to whom.
    pub envelope: Envelope,
    /// Its bytes.
    pub message: Message,
    /// When it came.
    pub arrived: Timestamp,
}

/// A message that waits in the queue.
#[derive(Clone, Debug)]
pub struct Entry {
    row: i64,
    content: i64,
    /// The message; its recipients are those that still wait.
    pub queued: QueuedMessage,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether the sender was told that it is late.
    pub warned: bool,
}

/// What an attempt leads to, stored in one commit.
#[derive(Clone, Debug, Default)]
pub struct Settlement {
    /// The recipients that are left.
    pub remaining: Remaining,
    /// New messages that tell the sender.
    pub reports: Vec<QueuedMessage>,
}

/// The recipients of a message that are left after an attempt, or while others of it are still tried.
#[derive(Clone, Debug, Default)]
pub enum Remaining {
    /// None: the message goes.
    #[default]
    None,
    /// These; their attempt is still under way.
    InFlight(Envelope),
    /// These wait.
    RetryAt {
        /// They, and who sent it.
        envelope: Envelope,
        /// The next attempt.
        due: Timestamp,
        /// Whether the sender has been told, with these reports at the latest, that it is late.
        warned: bool,
        /// Why it still waits, for the operator.
        reason: Option<String>,
    },
}

/// The queue of one host. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    host: HostName,
    store: Store,
    index: Mutex<DueIndex>,
    changed: Notify,
}

impl Queue {
    /// Opens the queue of `host`; what waited there before goes on waiting.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(host: HostName, store: Store) -> Result<Self, store::Error> {
        let index = Mutex::new(DueIndex::new(store.read(|connection| waiting(connection, &host))?));
        Ok(Self(Arc::new(Inner { host, store, index, changed: Notify::new() })))
    }

    /// Forgets what it knew and reads the store again, as after a crash.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn reload(&self) -> Result<(), store::Error> {
        let due = self.0.store.read(|connection| waiting(connection, &self.0.host))?;
        *self.index() = DueIndex::new(due);
        Ok(())
    }

    /// Makes a message durable, due at once.
    ///
    /// # Errors
    /// It could not be stored, and nothing of it is.
    pub async fn put(&self, message: QueuedMessage) -> Result<Receipt, store::Error> {
        self.put_all(message.id, vec![message]).await
    }

    /// Makes durable, in one commit, all that became of the message `id`: several copies where aliases led it on, none
    /// where they threw it away. All are due at once.
    ///
    /// # Errors
    /// Something could not be stored, and nothing is.
    pub async fn put_all(&self, id: QueueId, mails: Vec<QueuedMessage>) -> Result<Receipt, store::Error> {
        if mails.is_empty() {
            return Ok(Receipt { id });
        }
        let host = self.0.host.clone();
        let put = move |transaction: &Transaction<'_>| {
            mails.into_iter().map(|queued| insert(transaction, &host, queued)).collect::<Result<Vec<_>, store::Error>>()
        };
        let entries = self.0.store.write(put).await?;
        self.change(|index| {
            for entry in entries {
                index.add(entry.queued.arrived, entry.row);
                index.cache(entry);
            }
        });
        Ok(Receipt { id })
    }

    /// Keeps an entry at hand that is still to be tried, where there is room.
    pub(super) fn cache_entry(&self, entry: Entry) {
        self.index().cache(entry);
    }

    /// Waits for the next message that is due, and takes it out of the waiting list. It stays in the store until
    /// [`Queue::settle`]; whoever drops it without settling calls [`Queue::reschedule`] or [`Queue::remove_from_index`].
    pub(super) async fn next_due(&self, clock: &crate::world::Clock) -> i64 {
        loop {
            let changed = self.0.changed.notified();
            let next = self.index().next(clock.now());
            match next {
                Next::Due(row) => return row,
                Next::At(due) => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = tokio::time::sleep_until(clock.instant(due)) => {}
                    }
                }
                Next::Nothing => changed.await,
            }
        }
    }

    /// Reads a waiting message; `None` if it is there no more, or is held.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn load(&self, row: i64) -> Result<Option<Entry>, store::Error> {
        if let Some(entry) = self.index().take_cached(row) {
            return Ok(Some(entry));
        }
        let sql = "SELECT name, envelope, trace, content, arrived, attempts, warned FROM queue
            WHERE id = ?1 AND held = 0";
        let found = self.0.store.read(|connection| {
            connection.prepare_cached(sql)?.query_row([row], |found| Stored::read(row, found)).optional()
        })?;
        found.map(|stored| stored.entry(&self.0.store)).transpose()
    }

    /// Stores what an attempt led to. The row stays under way if recipients of it still are.
    ///
    /// # Errors
    /// It could not be stored; the message waits as before.
    pub async fn settle(&self, entry: &Entry, settlement: Settlement) -> Result<(), store::Error> {
        let (row, content) = (entry.row, entry.content);
        let is_underway = matches!(settlement.remaining, Remaining::InFlight(_));
        let has_retry = matches!(settlement.remaining, Remaining::RetryAt { .. });
        let (host, store, is_quiet) = (self.0.host.clone(), &self.0.store, settlement.reports.is_empty());
        let settle = move |transaction: &Transaction<'_>| apply(transaction, &host, row, content, &settlement);
        // Nobody waits to hear that it is done; that reports are on their way, somebody may.
        let settled = match is_quiet {
            // What was passed on takes less room then, or none.
            true if !has_retry => store.freeing().write_batched(settle).await,
            true => store.write_batched(settle).await,
            false => store.write(settle).await,
        };
        let (until, reports) = settled?;
        self.change(|index| {
            if !is_underway {
                index.end(row, until);
            }
            reports.into_iter().for_each(|(due, row)| index.add(due, row));
        });
        Ok(())
    }

    /// Lets a message that could not even be tried wait until then.
    pub(super) fn reschedule(&self, row: i64, until: Timestamp) {
        self.change(|index| index.end(row, Some(until)));
    }

    /// Drops a row from the index that was deleted or is on hold.
    pub(super) fn remove_from_index(&self, row: i64) {
        self.change(|index| index.end(row, None));
    }

    /// Lets a message that is due wait until [`Queue::unpark`]; the operator may hold or delete it meanwhile.
    pub(super) fn park(&self, row: i64) {
        self.index().park(row);
    }

    /// Lets a parked message wait until then; `false` if it is not there any more.
    pub(super) fn unpark(&self, row: i64, until: Timestamp) -> bool {
        self.change(|index| index.unpark(row, until))
    }

    /// How many messages wait for their time, those held or under way not counted.
    pub fn len(&self) -> usize {
        self.index().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it keeps nothing of any message in mind: none waits, is under way, or is at hand.
    pub fn is_idle(&self) -> bool {
        self.index().is_idle()
    }

    fn change<T>(&self, change: impl FnOnce(&mut DueIndex) -> T) -> T {
        let changed = change(&mut self.index());
        self.0.changed.notify_one();
        changed
    }

    /// A panic elsewhere does not make it wrong: each change to it is whole.
    fn index(&self) -> MutexGuard<'_, DueIndex> {
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn waiting(connection: &Connection, host: &HostName) -> rusqlite::Result<BTreeSet<(Timestamp, i64)>> {
    let mut query = connection.prepare(&format!("SELECT due, id FROM queue WHERE {OF_HOST} AND held = 0"))?;
    query.query_map([host], |row| Ok((time(row.get(0)?), row.get(1)?)))?.collect()
}

fn insert(transaction: &Transaction<'_>, host: &HostName, mut queued: QueuedMessage) -> Result<Entry, store::Error> {
    let (content, shared) = content::put(transaction, &queued.message.content)?;
    queued.message.content = shared;
    let sql = "INSERT INTO queue (id, name, envelope, trace, content, arrived, due, attempts, warned)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0, 0)";
    let (name, envelope, arrived) = (queued.id.to_string(), json(&queued.envelope)?, queued.arrived.as_millisecond());
    let (row, trace) = (row_ids::next(transaction, host)?, queued.message.trace.as_ref());
    transaction.prepare_cached(sql)?.execute(params![row, name, envelope, trace, content, arrived])?;
    Ok(Entry { row, content, queued, attempts: 0, warned: false })
}

/// When a row is due.
type Due = (Timestamp, i64);

/// Says until when it waits by itself, if it does, and when the reports are due.
fn apply(
    transaction: &Transaction<'_>,
    host: &HostName,
    row: i64,
    content: i64,
    settlement: &Settlement,
) -> Result<(Option<Timestamp>, Vec<Due>), store::Error> {
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
    Ok((until, settlement.reports.iter().map(put).collect::<Result<Vec<_>, store::Error>>()?))
}

/// A row as it stands in the store.
struct Stored {
    row: i64,
    name: String,
    envelope: String,
    trace: Vec<u8>,
    content: i64,
    arrived: i64,
    attempts: u32,
    warned: bool,
}

impl Stored {
    fn read(id: i64, row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row: id,
            name: row.get(0)?,
            envelope: row.get(1)?,
            trace: row.get(2)?,
            content: row.get(3)?,
            arrived: row.get(4)?,
            attempts: row.get(5)?,
            warned: row.get(6)?,
        })
    }

    fn entry(self, store: &Store) -> Result<Entry, store::Error> {
        let invalid = |what: &str| {
            store::Error::Corrupt(format!("row {} of the queue has an unreadable {what}", self.row).into())
        };
        let content: Content = store.get(self.content)?;
        let queued = QueuedMessage {
            id: self.name.parse().map_err(|_| invalid("name"))?,
            envelope: serde_json::from_str(&self.envelope).map_err(|_| invalid("envelope"))?,
            message: Message { trace: self.trace.into(), content },
            arrived: time(self.arrived),
        };
        Ok(Entry { row: self.row, content: self.content, queued, attempts: self.attempts, warned: self.warned })
    }
}

fn json(envelope: &Envelope) -> rusqlite::Result<String> {
    serde_json::to_string(envelope).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}
