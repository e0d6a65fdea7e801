//! What an operator sees of a queue, and does to it: list, show, hold, release, flush, delete.
//!
//! A message that is under way just now is not deleted, for nobody could say whether the next host has it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::row_ids::OF_HOST;
use super::{Queue, time};
use crate::journey::EventKind;
use crate::mail::{Address, Envelope, JourneyId, QueueId, ReversePath};
use crate::mta::Mta;
use crate::store::{self, Transaction, content};
use crate::world::HostName;

/// The most of a message's header that is shown, in octets.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Selector messages of a queue.
#[derive(Clone, Copy, Debug)]
pub enum Selector {
    /// All.
    All,
    /// Those of a journey.
    Journey(JourneyId),
    /// One.
    One(QueueId),
}

impl std::str::FromStr for Selector {
    type Err = crate::mail::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::One).or_else(|_| text.parse().map(Self::Journey))
    }
}

impl Selector {
    /// As the second parameter of [`filter`].
    fn name(self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Journey(journey) => Some(journey.to_string()),
            Self::One(id) => Some(id.to_string()),
        }
    }
}

/// Of a host, and of a name if there is one: JOURNEY-STAY or JOURNEY.
fn filter() -> String {
    format!("{OF_HOST} AND (?2 IS NULL OR name = ?2 OR name LIKE ?2 || '-%')")
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its next attempt.
    Waiting,
    /// The operator.
    Held,
    /// The end of an attempt.
    Underway,
}

/// A message as the operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// Its name.
    pub id: QueueId,
    /// In whose queue.
    pub host: HostName,
    /// What it waits for.
    pub state: State,
    /// Who sent it.
    pub reverse_path: ReversePath,
    /// Who still waits for it.
    pub recipients: Vec<Address>,
    /// Octets, trace lines included.
    pub size: usize,
    /// When it came.
    pub arrived: Timestamp,
    /// When the next attempt is due.
    pub due: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub reason: Option<String>,
}

/// Some of a queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Listing {
    /// How many there are.
    pub total: usize,
    /// The oldest of them.
    pub messages: Vec<QueueEntry>,
}

impl Queue {
    /// The oldest of those messages.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self, selector: Selector, limit: usize) -> Result<Listing, store::Error> {
        let (host, name, filter) = (&self.0.host, selector.name(), filter());
        let count = format!("SELECT count(*) FROM queue WHERE {filter}");
        let sql = format!(
            "SELECT id, name, envelope, length(trace)
                    + (SELECT length FROM content WHERE content.id = queue.content),
                arrived, due, attempts, held, reason FROM queue WHERE {filter} ORDER BY arrived, id LIMIT ?3"
        );
        let (total, listed) = self.0.store.read(|connection| {
            let of = (host, &name);
            let total = connection.query_row(&count, of, |row| row.get(0))?;
            let mut query = connection.prepare_cached(&sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let listed = query.query_map(params![host, name, limit], |row| seen(host, row))?;
            Ok((total, listed.collect::<rusqlite::Result<Vec<_>>>()?))
        })?;
        let index = self.index();
        let state = |(row, mut message): (i64, QueueEntry)| {
            if index.is_underway(row) {
                message.state = State::Underway;
            }
            message
        };
        Ok(Listing { total, messages: listed.into_iter().map(state).collect() })
    }

    /// The header of a message, trace lines included, as far as it can be shown.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn header(&self, id: QueueId) -> Result<Option<String>, store::Error> {
        let sql = format!("SELECT trace, content FROM queue WHERE {OF_HOST} AND name = ?2");
        let (host, name) = (&self.0.host, id.to_string());
        let found = self.0.store.read(|connection| {
            let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?));
            connection.query_row(&sql, (host, name), read).optional()
        })?;
        let Some((mut header, content)) = found else { return Ok(None) };
        let content = self.0.store.get(content)?;
        let start = content.bytes();
        let end = memchr::memmem::find(start, b"\r\n\r\n").map_or(start.len(), |at| at + 2);
        header.extend_from_slice(&start[..end.min(MAX_HEADER_BYTES)]);
        Ok(Some(String::from_utf8_lossy(&header).replace("\r\n", "\n")))
    }

    /// Keeps messages from being tried, over restarts too, until they are released. An attempt under way may end.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn hold(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        let held = self.update("held = 1", "held = 0", selector, Timestamp::UNIX_EPOCH).await?;
        self.change(|index| index.withdraw(&held.rows));
        Ok(held.ids)
    }

    /// Lets held messages be tried again, now.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn release(&self, selector: Selector, now: Timestamp) -> Result<Vec<QueueId>, store::Error> {
        let released = self.update("held = 0, due = ?3", "held = 1", selector, now).await?;
        self.change(|index| index.wake(&released.rows, now));
        Ok(released.ids)
    }

    /// Makes messages due now, those held excepted.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn flush(&self, selector: Selector, now: Timestamp) -> Result<Vec<QueueId>, store::Error> {
        let flushed = self.update("due = ?3", "held = 0", selector, now).await?;
        self.change(|index| index.wake(&flushed.rows, now));
        Ok(flushed.ids)
    }

    async fn update(
        &self,
        set: &str,
        only: &str,
        selector: Selector,
        now: Timestamp,
    ) -> Result<Affected, store::Error> {
        // Every statement names ?3, so that all take the same values.
        let filter = filter();
        let sql = format!("UPDATE queue SET {set} WHERE {filter} AND {only} AND ?3 IS NOT NULL RETURNING id, name");
        let (host, name) = (self.0.host.clone(), selector.name());
        let change = move |transaction: &Transaction<'_>| {
            let mut update = transaction.prepare_cached(&sql)?;
            let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
            let affected = update.query_map(params![host, name, now.as_millisecond()], read)?;
            affected.collect::<rusqlite::Result<Vec<(i64, String)>>>().map_err(store::Error::from)
        };
        let affected = self.0.store.write(change).await?;
        let rows = affected.iter().map(|(row, _)| *row).collect();
        Ok(Affected { rows, ids: affected.iter().filter_map(|(_, name)| name.parse().ok()).collect() })
    }

    /// Deletes messages, those under way excepted, and says which and for whom.
    pub(super) async fn delete(
        &self,
        selector: Selector,
        now: Timestamp,
    ) -> Result<Vec<(QueueId, Vec<Address>)>, store::Error> {
        let (host, name) = (&self.0.host, selector.name());
        let sql = format!("SELECT id FROM queue WHERE {}", filter());
        let rows: BTreeSet<i64> = self
            .0
            .store
            .read(|connection| connection.prepare_cached(&sql)?.query_map((host, name), |row| row.get(0))?.collect())?;
        let claimed = self.change(|index| index.claim(&rows));
        let wanted = claimed.clone();
        let deleted = self
            .0
            .store
            .freeing()
            .write(move |transaction| {
                let gone: rusqlite::Result<Vec<_>> = wanted.iter().map(|row| remove(transaction, *row)).collect();
                Ok::<_, store::Error>(gone?.into_iter().flatten().collect())
            })
            .await;
        // What could not be deleted is tried again; a row that is gone, or held, is found to be so.
        let until = deleted.is_err().then_some(now);
        self.change(|index| claimed.iter().for_each(|row| index.end(*row, until)));
        deleted
    }
}

impl Mta {
    /// Deletes messages from the queue for good, those under way excepted; the event log knows it of each.
    ///
    /// # Errors
    /// It could not be stored; then none is deleted.
    pub async fn delete(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        let context = self.context();
        let deleted = self.queue().delete(selector, context.clock.now()).await?;
        let tell = |(id, recipients): (QueueId, Vec<Address>)| {
            context.emitter.report(id.journey, Some(id), EventKind::Deleted { recipients }, None);
            id
        };
        Ok(deleted.into_iter().map(tell).collect())
    }

    /// Lets held messages be tried again, now.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn release(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        self.queue().release(selector, self.context().clock.now()).await
    }

    /// Makes messages due now, those held excepted.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn flush(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        let flushed = self.queue().flush(selector, self.context().clock.now()).await;
        self.destinations().clear_backoff();
        flushed
    }
}

/// What a change was made to.
struct Affected {
    rows: BTreeSet<i64>,
    ids: Vec<QueueId>,
}

fn remove(transaction: &Transaction<'_>, row: i64) -> rusqlite::Result<Option<(QueueId, Vec<Address>)>> {
    let sql = "DELETE FROM queue WHERE id = ?1 RETURNING name, envelope, content";
    let read = |row: &Row<'_>| Ok((parsed(row, 0)?, envelope(row, 1)?, row.get(2)?));
    let found = transaction.prepare_cached(sql)?.query_row([row], read).optional()?;
    let Some((id, envelope, content)) = found else { return Ok(None) };
    content::release(transaction, content)?;
    Ok(Some((id, addresses(envelope))))
}

fn seen(host: &HostName, row: &Row<'_>) -> rusqlite::Result<(i64, QueueEntry)> {
    let envelope = envelope(row, 2)?;
    let message = QueueEntry {
        id: parsed(row, 1)?,
        host: host.clone(),
        state: if row.get(7)? { State::Held } else { State::Waiting },
        reverse_path: envelope.reverse_path.clone(),
        recipients: addresses(envelope),
        size: row.get(3)?,
        arrived: time(row.get(4)?),
        due: time(row.get(5)?),
        attempts: row.get(6)?,
        reason: row.get(8)?,
    };
    Ok((row.get(0)?, message))
}

fn addresses(envelope: Envelope) -> Vec<Address> {
    envelope.recipients.into_iter().map(|recipient| recipient.address).collect()
}

fn parsed(row: &Row<'_>, column: usize) -> rusqlite::Result<QueueId> {
    row.get::<_, String>(column)?.parse().map_err(|error| unreadable(column, error))
}

fn envelope(row: &Row<'_>, column: usize) -> rusqlite::Result<Envelope> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}
