//! What an operator sees of a queue, and does to it: list, show, hold, release, flush, delete.
//!
//! A message that is under way just now is not deleted, for nobody could say whether the next host has it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Queue, sqlite};
use crate::journey::EventKind;
use crate::mail::{Address, JourneyId, QueueId, ReversePath};
use crate::mta::Mta;
use crate::store;
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
    /// The name that is looked for, or the journey that begins it; `None` for all.
    pub(super) fn name(self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Journey(journey) => Some(journey.to_string()),
            Self::One(id) => Some(id.to_string()),
        }
    }
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
    /// Who sent it; `None` also where that cannot be read.
    pub reverse_path: ReversePath,
    /// Who still waits for it; none where that cannot be read.
    pub recipients: Vec<Address>,
    /// Octets, trace lines included.
    pub size: usize,
    /// When it came.
    pub arrived: Timestamp,
    /// When the next attempt is due.
    pub due: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last one failed, or why the message is held.
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
        let list = |connection: &_| sqlite::list(connection, &self.0.host, selector, limit);
        let (total, listed) = self.0.store.read(list)?;
        let index = self.index();
        let state = |(row, mut message): (i64, QueueEntry)| {
            if index.is_underway(row) {
                message.state = State::Underway;
            }
            message
        };
        Ok(Listing { total, messages: listed.into_iter().map(state).collect() })
    }

    /// The header of a message, trace lines included, as far as it can be shown; only these where the rest is damaged.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn header(&self, id: QueueId) -> Result<Option<String>, store::Error> {
        let found = self.0.store.read(|connection| sqlite::header(connection, &self.0.host, id))?;
        let Some((mut header, content)) = found else { return Ok(None) };
        match self.0.store.get(content) {
            Ok(content) => {
                let start = content.bytes();
                let end = memchr::memmem::find(start, b"\r\n\r\n").map_or(start.len(), |at| at + 2);
                header.extend_from_slice(&start[..end.min(MAX_HEADER_BYTES)]);
            }
            Err(store::Error::Missing(_) | store::Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Some(String::from_utf8_lossy(&header).replace("\r\n", "\n")))
    }

    /// Keeps messages from being tried, over restarts too, until they are released. An attempt under way may end.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn hold(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        let host = self.0.host.clone();
        let held = self.0.store.write(move |transaction| sqlite::hold(transaction, &host, selector)).await?;
        self.change(|index| index.withdraw(&held.rows));
        Ok(held.ids)
    }

    /// Lets held messages be tried again, now.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn release(&self, selector: Selector, now: Timestamp) -> Result<Vec<QueueId>, store::Error> {
        let host = self.0.host.clone();
        let released =
            self.0.store.write(move |transaction| sqlite::release(transaction, &host, selector, now)).await?;
        self.change(|index| index.wake(&released.rows, now));
        Ok(released.ids)
    }

    /// Makes messages due now, those held excepted.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn flush(&self, selector: Selector, now: Timestamp) -> Result<Vec<QueueId>, store::Error> {
        let host = self.0.host.clone();
        let flushed = self.0.store.write(move |transaction| sqlite::flush(transaction, &host, selector, now)).await?;
        self.change(|index| index.wake(&flushed.rows, now));
        Ok(flushed.ids)
    }

    /// Deletes messages, those under way excepted, and says which and for whom.
    pub(super) async fn delete(
        &self,
        selector: Selector,
        now: Timestamp,
    ) -> Result<Vec<(QueueId, Vec<Address>)>, store::Error> {
        let rows = self.0.store.read(|connection| sqlite::rows(connection, &self.0.host, selector))?;
        let claimed = self.change(|index| index.claim(&rows));
        let wanted = claimed.clone();
        let deleted = self
            .0
            .store
            .freeing()
            .write(move |transaction| {
                let deleted: Result<Vec<_>, store::Error> =
                    wanted.iter().map(|row| sqlite::remove(transaction, *row)).collect();
                Ok(deleted?.into_iter().flatten().collect())
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
#[derive(Default)]
pub(super) struct Affected {
    pub(super) rows: BTreeSet<i64>,
    /// Those that can be read.
    pub(super) ids: Vec<QueueId>,
}
