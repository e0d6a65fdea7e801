//! A message on its way to a destination where it has a slot.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::attempt::Attempt;
use super::entry::Entry;
use super::scheduler::AttemptProgress;
use crate::journey::milliseconds;
use crate::mail::{Address, Envelope, Message, QueueId, Recipient};

/// A message for a destination, for these recipients.
pub(super) struct Job {
    pub(super) id: QueueId,
    pub(super) envelope: Envelope,
    pub(super) message: Message,
    pub(super) progress: Arc<AttemptProgress>,
    /// Since when it waits: from the time at which it was due, or from the end of the host that was tried last.
    pub(super) waits_since: Timestamp,
    /// How many of the recipients have a verdict.
    pub(super) done: usize,
    result: oneshot::Sender<Attempt>,
}

impl Job {
    /// Returns a job for some recipients of an entry, none of which has a verdict, and the receiver of the result that
    /// [`Job::finish`] hands over.
    pub(super) fn new(
        entry: &Entry,
        recipients: Vec<Recipient>,
        progress: Arc<AttemptProgress>,
    ) -> (Self, oneshot::Receiver<Attempt>) {
        let (result, completed) = oneshot::channel();
        let envelope = Envelope { recipients, ..entry.queued.envelope.clone() };
        let (id, message, waits_since) = (entry.queued.id, entry.queued.message.clone(), entry.due);
        (Self { id, envelope, message, progress, waits_since, done: 0, result }, completed)
    }

    /// The recipients without a verdict.
    pub(super) fn rest(&self) -> &[Recipient] {
        self.envelope.recipients.get(self.done..).unwrap_or_default()
    }

    /// The addresses of the recipients without a verdict.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.rest().iter().map(|recipient| recipient.address.clone()).collect()
    }

    /// The envelope for the first `count` recipients without a verdict, at least one.
    pub(super) fn part(&self, count: usize) -> Envelope {
        let recipients = self.rest().iter().take(count.max(1)).cloned().collect();
        Envelope { recipients, ..self.envelope.clone() }
    }

    /// How long the job has waited at the time `until`, in milliseconds: since its message was due, or the end of the
    /// host that was tried last. 0 if it did not wait yet then.
    pub(super) fn waited_ms(&self, until: Timestamp) -> f64 {
        milliseconds(Duration::try_from(until.duration_since(self.waits_since)).unwrap_or_default())
    }

    /// Hands the result to the receiver that [`Job::new`] returned. If the attempt has details, sets in them how long
    /// the job waited until it began.
    pub(super) fn finish(self, mut attempt: Attempt) {
        if let Some(details) = &mut attempt.details {
            details.wait_ms = self.waited_ms(details.began);
        }
        // The receiver is only gone when the MTA stops; the message stays in the queue then.
        let _ = self.result.send(attempt);
    }
}
