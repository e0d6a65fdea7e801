//! The operator's view of a queue, and operations on it: list, show, hold, release, flush, delete.
//!
//! A message in flight is not deleted, since it would not be known whether the next host has it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::listing::{Affected, Listing, QueueEntry, QueuePlace, Selector, State};
use super::{Queue, sqlite};
use crate::journey::EventKind;
use crate::mail::{Address, QueueId};
use crate::mta::Mta;
use crate::store::{self, Transaction};

/// Maximum length of a header that is shown.
const MAX_HEADER_BYTES: usize = 64 * 1024;

impl Queue {
    /// Up to `limit` of the selected messages, oldest first, behind the place `after`, or from the oldest on; with the
    /// number of all that are selected, and the next place if there may be more. Each has its state, its active
    /// attempts, and why it waits. Those whose id is unreadable are counted only.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self, selector: Selector, after: Option<QueuePlace>, limit: usize) -> Result<Listing, store::Error> {
        let after = after.unwrap_or_default();
        let list = |connection: &_| sqlite::list(connection, &self.host, selector, after, limit);
        let (total, listed) = self.store.read(list)?;
        let rows = listed.iter().flatten().map(|message| message.row).collect();
        let (in_flight, waits) = (self.scheduler.in_flight(), self.scheduler.waits(&rows));
        let state = |mut message: QueueEntry| {
            if in_flight.contains(&message.row) {
                message.state = State::Underway;
                message.active_attempts = self.scheduler.active_attempts_of(message.row);
            } else if let Some(wait) = waits.get(&message.row) {
                message.explain(wait);
            }
            message
        };
        let is_full = listed.len() == limit;
        let messages: Vec<_> = listed.into_iter().flatten().map(state).collect();
        let next = messages.last().filter(|_| is_full).map(QueueEntry::place);
        Ok(Listing { total, next, messages })
    }

    /// The header of a message, its trace fields first, with LF line ends and without the empty line; up to
    /// `MAX_HEADER_BYTES` besides the trace fields. Only the trace fields if the content is missing or damaged. `None`
    /// without such a message.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn header(&self, id: QueueId) -> Result<Option<String>, store::Error> {
        let found = self.store.read(|connection| sqlite::header(connection, &self.host, id))?;
        let Some((mut header, content)) = found else { return Ok(None) };
        match self.store.get(content) {
            Ok(content) => {
                let lines = content.header();
                header.extend_from_slice(&lines[..lines.len().min(MAX_HEADER_BYTES)]);
            }
            Err(store::Error::Missing(_) | store::Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Some(String::from_utf8_lossy(&header).replace("\r\n", "\n")))
    }

    /// Puts messages on hold, also across restarts, until they are released. An attempt in flight may end. `then` gets
    /// those that were not on hold before, after the commit; their ids are returned.
    ///
    /// # Errors
    /// It could not be stored.
    pub(super) async fn hold(
        &self,
        selector: Selector,
        then: impl FnOnce(&[Affected]),
    ) -> Result<Vec<QueueId>, store::Error> {
        let host = self.host.clone();
        let held = self.store.write(move |transaction| sqlite::hold(transaction, &host, selector)).await?;
        self.scheduler.withdraw(&rows(&held));
        then(&held);
        Ok(ids(&held))
    }

    /// Releases messages on hold, which are due now, after `then`: that gets those released, after the commit. Their
    /// ids are returned.
    ///
    /// # Errors
    /// It could not be stored.
    pub(super) async fn release(
        &self,
        selector: Selector,
        now: Timestamp,
        then: impl FnOnce(&[Affected]),
    ) -> Result<Vec<QueueId>, store::Error> {
        let host = self.host.clone();
        let release = move |transaction: &Transaction<'_>| sqlite::release(transaction, &host, selector, now);
        let released = self.store.write(release).await?;
        then(&released);
        self.scheduler.wake(&rows(&released), now);
        Ok(ids(&released))
    }

    /// Makes messages due now, except those on hold, after `then`: that gets those changed, after the commit. Their ids
    /// are returned.
    ///
    /// # Errors
    /// It could not be stored.
    pub(super) async fn flush(
        &self,
        selector: Selector,
        now: Timestamp,
        then: impl FnOnce(&[Affected]),
    ) -> Result<Vec<QueueId>, store::Error> {
        let host = self.host.clone();
        let flush = move |transaction: &Transaction<'_>| sqlite::flush(transaction, &host, selector, now);
        let flushed = self.store.write(flush).await?;
        then(&flushed);
        self.scheduler.wake(&rows(&flushed), now);
        Ok(ids(&flushed))
    }

    /// Deletes messages, also those on hold, except those in flight; returns the ids and recipients of those whose id
    /// can be read.
    ///
    /// # Errors
    /// They could not be deleted; they are due `now`.
    pub(super) async fn delete(
        &self,
        selector: Selector,
        now: Timestamp,
    ) -> Result<Vec<(QueueId, Vec<Address>)>, store::Error> {
        let rows = self.store.read(|connection| sqlite::rows(connection, &self.host, selector))?;
        let claimed = self.scheduler.claim(&rows);
        let wanted = claimed.clone();
        let deleted = self
            .store
            .freeing()
            .write(move |transaction| {
                let deleted: Result<Vec<_>, store::Error> =
                    wanted.iter().map(|row| sqlite::remove(transaction, *row)).collect();
                Ok(deleted?.into_iter().flatten().collect())
            })
            .await;
        // What could not be deleted is due; if it is on hold, the next attempt finds that in the store.
        let until = deleted.is_err().then_some(now);
        claimed.iter().for_each(|row| self.scheduler.reschedule(*row, until));
        deleted
    }
}

impl Mta {
    /// Deletes messages from the queue, also those on hold and on a full disk, except those in flight, and records an
    /// event for each. Returns their ids; one whose id cannot be read is deleted without either.
    ///
    /// # Errors
    /// It could not be stored; then none is deleted, and they are due now, except those on hold. Or the queue could not
    /// be read; then nothing changes.
    pub async fn delete(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        let context = self.context();
        let deleted = self.queue().delete(selector, context.clock.now()).await?;
        let record = |(id, recipients): (QueueId, Vec<Address>)| {
            context.emitter.report(id.journey, Some(id), EventKind::Deleted { recipients }, None);
            id
        };
        Ok(deleted.into_iter().map(record).collect())
    }

    /// Puts messages on hold, also across restarts, until they are released, and records an event for each. An attempt
    /// in flight may end. Returns the ids of those that were not on hold before.
    ///
    /// # Errors
    /// It could not be stored; then none is on hold.
    pub async fn hold(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        let record = |held: &[Affected]| self.record(held, |recipients| EventKind::Held { recipients, reason: None });
        self.queue().hold(selector, record).await
    }

    /// Releases messages on hold, which are due now, and records an event for each. Returns the ids of those that were
    /// on hold.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn release(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        let record = |released: &[Affected]| self.record(released, |recipients| EventKind::Released { recipients });
        self.queue().release(selector, self.context().clock.now(), record).await
    }

    /// Puts a row in flight that cannot be read on hold, with the reason, ends its flight, and records a `Held` event,
    /// if its id can be read. Does nothing to a row that was deleted. On an error, the row is still in flight.
    pub(in crate::mta) async fn hold_unreadable(&self, row: i64, reason: &store::Error) -> Result<(), store::Error> {
        let held = self.queue().hold_unreadable(row, reason).await?;
        self.record(&held, |recipients| EventKind::Held { recipients, reason: Some(reason.to_string()) });
        Ok(())
    }

    /// Records an event of each message whose id can be read, of the kind that `kind` returns for its recipients.
    fn record(&self, affected: &[Affected], kind: impl Fn(Vec<Address>) -> EventKind) {
        for Affected { id, recipients, .. } in affected {
            if let Some(id) = *id {
                self.context().emitter.report(id.journey, Some(id), kind(recipients.clone()), None);
            }
        }
    }

    /// Makes messages due now, except those on hold, records an event for each, and ends the back-off of all
    /// destinations. Returns the ids of those messages.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn flush(&self, selector: Selector) -> Result<Vec<QueueId>, store::Error> {
        // Before the messages are due: an attempt that finds a back-off ends at once.
        let record = |flushed: &[Affected]| {
            self.record(flushed, |recipients| EventKind::Flushed { recipients });
            self.scheduler().clear_backoff();
        };
        self.queue().flush(selector, self.context().clock.now(), record).await
    }
}

/// The rows of these messages.
fn rows(affected: &[Affected]) -> BTreeSet<i64> {
    affected.iter().map(|affected| affected.row).collect()
}

/// The ids of these messages, without those that cannot be read.
fn ids(affected: &[Affected]) -> Vec<QueueId> {
    affected.iter().filter_map(|affected| affected.id).collect()
}
