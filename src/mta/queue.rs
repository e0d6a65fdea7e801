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
//! tried or wait. A row that is held is Q1, too, until the operator releases or deletes it; one that cannot be read is put
//! on hold. Memory holds the due time of every row and a bounded cache of new entries; everything else is read from the
//! store when it is due, by the functions of [`sqlite`], the one file that knows how rows are stored.

mod index;
mod operator;
mod sqlite;
#[cfg(test)]
pub(super) mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::mail::{Address, Envelope, JourneyId, Message, QueueId};
use crate::store::{self, Store, Transaction};
use crate::world::HostName;

use index::{DueIndex, Next};
pub use operator::{Listing, QueueEntry, Selector, State};
pub use sqlite::SCHEMA;
use sqlite::Stored;
#[cfg(test)]
pub(super) use sqlite::tests as sqlite_tests;

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
        let index = Mutex::new(DueIndex::new(store.read(|connection| sqlite::waiting(connection, &host))?));
        Ok(Self(Arc::new(Inner { host, store, index, changed: Notify::new() })))
    }

    /// Forgets what it knew and reads the store again, as after a crash.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn reload(&self) -> Result<(), store::Error> {
        let due = self.0.store.read(|connection| sqlite::waiting(connection, &self.0.host))?;
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
            let put = |queued| sqlite::insert(transaction, &host, queued);
            mails.into_iter().map(put).collect::<Result<Vec<_>, store::Error>>()
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
    /// The store cannot be read, or this row of it; see `hold_unreadable`.
    pub fn load(&self, row: i64) -> Result<Option<Entry>, store::Error> {
        if let Some(entry) = self.index().take_cached(row) {
            return Ok(Some(entry));
        }
        let stored = self.0.store.read(|connection| sqlite::find(connection, row))?;
        let Some(Stored { id, envelope, trace, content, arrived, attempts, warned }) = stored else { return Ok(None) };
        let message = Message { trace, content: self.0.store.get(content)? };
        let queued = QueuedMessage { id, envelope, message, arrived };
        Ok(Some(Entry { row, content, queued, attempts, warned }))
    }

    /// Puts a row on hold that cannot be read, with the reason: to try it again and again would not help. The operator
    /// sees it in the list, and may release or delete it.
    ///
    /// # Errors
    /// It could not be stored; the message waits as before.
    pub(super) async fn hold_unreadable(&self, row: i64, reason: &store::Error) -> Result<(), store::Error> {
        let reason = reason.to_string();
        self.0.store.write(move |transaction| sqlite::hold_row(transaction, row, &reason)).await?;
        self.remove_from_index(row);
        Ok(())
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
        let settle = move |transaction: &Transaction<'_>| sqlite::settle(transaction, &host, row, content, &settlement);
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

/// What all queues of a store hold at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Copies: host, journey, recipient.
    pub queued: Vec<(String, JourneyId, Address)>,
    /// Contents of messages with a null reverse-path.
    pub reports: Vec<i64>,
}

/// Reads what all queues of a store hold; what cannot be read is left out.
///
/// # Errors
/// The store cannot be read.
pub fn inventory(store: &Store) -> Result<Inventory, store::Error> {
    store.read(sqlite::inventory)
}
