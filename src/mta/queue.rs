//! The durable queue of one MTA.
//!
//! Whenever the power fails, a message is in exactly one of these states:
//!
//! ```text
//!                            row in queue   who is responsible (RFC 5321 §6.1)
//! Q0 not committed                -         the sender, which got no 250 and will try again
//! Q1 waiting                      +         this host: 250 may be sent; the start after a crash finds the row
//! Q2 relayed, not settled         +         the next host, but this one does not know it, and sends the message again:
//!                                           the one duplicate that SMTP cannot exclude
//! Q3 settled                      -         the next host; or the sender again, by a bounce that was queued in the
//!                                           same commit
//! ```
//!
//! Each recipient of a row has its own state: one that is settled is removed from the envelope, while others are still
//! tried or wait. A row on hold is Q1, too, until the operator releases or deletes it; one that cannot be read is put on
//! hold. The store is read and written by the functions of [`sqlite`] only; the [`Scheduler`] knows when each row is due.

mod listing;
mod operator;
mod sqlite;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::entry::{Entry, QueuedMessage, Remaining, Settlement};
use super::scheduler::Scheduler;
use crate::catalogue::{self, Arrival, Catalogue};
use crate::mail::{Message, QueueId};
use crate::store::{self, Store, Transaction};
use crate::world::HostName;

use listing::Affected;
pub use listing::{ActiveAttempt, Inventory, Listing, QueueEntry, QueuePlace, Selector, State, WaitingMessage};
pub use sqlite::SCHEMA;
use sqlite::Stored;
#[cfg(test)]
pub(super) use sqlite::tests as sqlite_tests;

/// Proof that a message is on stable storage in a queue. Only [`Queue::put`] creates one, and `250` is sent only with one.
#[must_use]
#[derive(Debug)]
pub struct Receipt {
    /// The message's id in this queue.
    pub id: QueueId,
}

/// The queue of one host. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    host: HostName,
    store: Store,
    catalogue: Option<Catalogue>,
    scheduler: Arc<Scheduler>,
}

impl Queue {
    /// Opens the queue of `host` in `store`; its messages there that are not on hold are scheduled in `scheduler`, due
    /// as before, in place of what that had.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn open(
        host: HostName,
        store: Store,
        catalogue: Option<Catalogue>,
        scheduler: Arc<Scheduler>,
    ) -> Result<Self, store::Error> {
        let queue = Self { host, store, catalogue, scheduler };
        queue.reload()?;
        Ok(queue)
    }

    /// Replaces the schedule by the rows in the store that are not on hold, each due as before, and forgets all other
    /// state of the scheduler, as after a crash.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn reload(&self) -> Result<(), store::Error> {
        self.scheduler.reset(self.store.read(|connection| sqlite::waiting(connection, &self.host))?);
        Ok(())
    }

    /// Makes a message durable, due at once; it gets no entry in the catalogue.
    ///
    /// # Errors
    /// It could not be stored, and nothing of it is.
    pub async fn put(&self, message: QueuedMessage) -> Result<Receipt, store::Error> {
        self.put_all(message.id, vec![message], vec![], || {}).await
    }

    /// Makes durable, in one commit, all that the message `id` became: several copies if aliases were expanded, none if
    /// they discard it; with new entries of the catalogue. After the commit, publishes the entries, calls `then`, and
    /// makes all copies due at once. Without copies and entries, only calls `then`.
    ///
    /// # Errors
    /// Something could not be stored, and nothing is.
    pub async fn put_all(
        &self,
        id: QueueId,
        messages: Vec<QueuedMessage>,
        arrivals: Vec<Arrival>,
        then: impl FnOnce(),
    ) -> Result<Receipt, store::Error> {
        if messages.is_empty() && arrivals.is_empty() {
            then();
            return Ok(Receipt { id });
        }
        let host = self.host.clone();
        let put = move |transaction: &Transaction<'_>| {
            let put = |queued: &QueuedMessage| sqlite::insert(transaction, &host, queued.clone());
            let entries = messages.iter().map(put).collect::<Result<Vec<_>, store::Error>>()?;
            Ok::<_, store::Error>((entries, enter(transaction, &arrivals)?))
        };
        let (entries, entered) = self.store.write(put).await?;
        self.publish(entered);
        then();
        self.scheduler.add(entries);
        Ok(Receipt { id })
    }

    /// Takes a message from the cache of the scheduler, or reads it and its content from the store; `None` if it was
    /// deleted or is on hold. A message from the cache is not read again.
    ///
    /// # Errors
    /// The store cannot be read; `Corrupt`, `Damaged` or `Missing` if this row or its content cannot.
    pub fn load(&self, row: i64) -> Result<Option<Entry>, store::Error> {
        if let Some(entry) = self.scheduler.take_cached(row) {
            return Ok(Some(entry));
        }
        let stored = self.store.read(|connection| sqlite::find(connection, row))?;
        let Some(Stored { id, envelope, trace, content, arrived, due, attempts, warned }) = stored else {
            return Ok(None);
        };
        let message = Message { trace, content: self.store.get(content)? };
        let queued = QueuedMessage { id, envelope, message, arrived };
        Ok(Some(Entry { row, content, queued, due, attempts, warned }))
    }

    /// Puts a row in flight that cannot be read on hold, with the reason, and ends its flight without a due time:
    /// trying it again would not help. The operator sees it in the list, and may release or delete it. Returns the row
    /// for its event; nothing if it was deleted.
    ///
    /// # Errors
    /// It could not be stored; the row is still in flight.
    async fn hold_unreadable(&self, row: i64, reason: &store::Error) -> Result<Vec<Affected>, store::Error> {
        let reason = reason.to_string();
        let held = self.store.write(move |transaction| sqlite::hold_row(transaction, row, &reason)).await?;
        self.scheduler.reschedule(row, None);
        Ok(held)
    }

    /// Stores the result of an attempt, its reports, and their entries in the catalogue, in one commit; deletes the row
    /// if no recipient remains. Then schedules the row for its next attempt, and the reports. The row stays in flight
    /// if some of its recipients are still being tried.
    ///
    /// # Errors
    /// It could not be stored; the row is still in flight.
    pub async fn settle(&self, entry: &Entry, settlement: Settlement) -> Result<(), store::Error> {
        let (row, content) = (entry.row, entry.content);
        let is_in_flight = matches!(settlement.remaining, Remaining::InFlight(_));
        let has_retry = matches!(settlement.remaining, Remaining::RetryAt { .. });
        let (host, store, is_quiet) = (self.host.clone(), &self.store, settlement.reports.is_empty());
        let arrivals = self.arrivals(&settlement.reports);
        let settle = move |transaction: &Transaction<'_>| {
            let settled = sqlite::settle(transaction, &host, row, content, &settlement)?;
            Ok::<_, store::Error>((settled, enter(transaction, &arrivals)?))
        };
        // No client waits for this commit, but one may wait for a report.
        let settled = match is_quiet {
            // A message that was relayed frees room on the disk.
            true if !has_retry => store.freeing().write_batched(settle).await,
            true => store.write_batched(settle).await,
            false => store.write(settle).await,
        };
        let ((until, reports), entered) = settled?;
        self.publish(entered);
        if !is_in_flight {
            self.scheduler.reschedule(row, until);
        }
        self.scheduler.add_due(reports);
        Ok(())
    }

    /// Up to `limit` messages of this queue whose rows come after `row` (0 for the first), in the order of rows; those
    /// on hold or in flight too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn messages_after(&self, row: i64, limit: usize) -> Result<Vec<WaitingMessage>, store::Error> {
        self.store.read(|connection| sqlite::messages_after(connection, &self.host, row, limit))
    }

    /// New entries of the catalogue for reports, which enter the world here; none if the queue has no catalogue.
    pub(super) fn arrivals(&self, reports: &[QueuedMessage]) -> Vec<Arrival> {
        let is_on = self.catalogue.is_some();
        reports.iter().filter(|_| is_on).map(|report| report.arrival(report.recipient_keys(), None)).collect()
    }

    /// Sends the new entries to the readers of the catalogue, after their commit; does nothing if the queue has none.
    fn publish(&self, entered: catalogue::Changes) {
        if let Some(catalogue) = &self.catalogue {
            catalogue.publish(entered);
        }
    }

    /// The number of messages that wait for their time, for memory or for a slot, without those on hold or in flight.
    pub fn len(&self) -> usize {
        self.scheduler.len()
    }

    /// Whether no message waits for its time, for memory or for a slot; one may be on hold or in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no state of any message is in memory: none waits, is in flight, or is cached, and no slot is taken or
    /// reserved.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }
}

/// Adds entries to the catalogue; returns their numbers, as what is to be published after the commit.
fn enter(transaction: &Transaction<'_>, arrivals: &[Arrival]) -> Result<catalogue::Changes, store::Error> {
    let added = arrivals.iter().map(|arrival| catalogue::insert(transaction, arrival));
    Ok(catalogue::Changes { added: added.collect::<Result<_, _>>()?, ..Default::default() })
}

/// Reads what the queues of all hosts in a store hold: the recipients, and the contents of reports. Rows whose envelope
/// cannot be read are left out.
///
/// # Errors
/// The store cannot be read.
pub fn inventory(store: &Store) -> Result<Inventory, store::Error> {
    store.read(sqlite::inventory)
}
