//! Takes each message when it is due, and tries its recipients: [`super::settle`] stores what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::destination::Admission;
use super::route::{NextHop, TlsPreference};
use super::settle::{self, Outcome, STORE_RETRY_INTERVAL};
use super::{Entry, Mta};
use crate::mail::{Envelope, Recipient};
use crate::net::Stop;
use crate::store;
use crate::world::{Retry, later};

/// Messages that are tried at once by one host.
const MAX_ATTEMPTS: usize = 400;
/// How long what is known of some recipients waits for the others, to share one commit and one report.
const PARTIAL_SETTLE_DELAY: Duration = Duration::from_secs(1);
/// How long transactions under way may go on after a stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn run(mta: Mta, stop: Stop, end: Stop) {
    let (attempts, attempt_permits) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_ATTEMPTS)));
    while let Some(Ok(permit)) = stop.run_until_cancelled(attempt_permits.clone().acquire_owned()).await {
        let Some(row) = stop.run_until_cancelled(mta.queue().next_due(&mta.context().clock)).await else { break };
        // Most that are due while their hop is dead or busy go no further: they cost no task.
        let Some((mut entry, groups)) = start_attempt(&mta, row).await else { continue };
        let trying = mta.clone();
        attempts.spawn(mta.living(async move {
            try_all(&trying, &mut entry, groups).await;
            drop(permit);
        }));
    }
    attempts.close();
    // What does not end in time stays in the queue, and is tried again after the next start; never beside it.
    let _ = timeout(SHUTDOWN_TIMEOUT, attempts.wait()).await;
    end.cancel();
    attempts.wait().await;
}

/// The recipients of one message by where they go next.
type Groups = BTreeMap<NextHop, Vec<Recipient>>;

/// Begins an attempt for all recipients of one message, if it is its turn.
async fn start_attempt(mta: &Mta, row: i64) -> Option<(Entry, Groups)> {
    let entry = match mta.queue().load(row) {
        Ok(Some(entry)) => entry,
        Ok(None) => {
            mta.queue().remove_from_index(row);
            mta.destinations().release_reservation(mta, row);
            return None;
        }
        Err(error @ (store::Error::Corrupt(_) | store::Error::Damaged { .. } | store::Error::Missing(_))) => {
            hold_unreadable(mta, row, &error).await;
            return None;
        }
        Err(error) => {
            retry_later(mta, row, &error);
            return None;
        }
    };
    let groups = by_next_hop(mta, &entry);
    let (hops, sender) = (groups.keys().collect::<Vec<_>>(), &entry.queued.envelope.reverse_path);
    match mta.destinations().admit(mta, row, sender, &hops, report_due(mta, &entry)) {
        Admission::Granted => {
            return Some((entry, groups));
        }
        Admission::Parked => mta.queue().cache_entry(entry),
        Admission::BackOffUntil(until) => mta.queue().reschedule(row, until),
    }
    None
}

/// Puts a message on hold that will not become readable by itself.
async fn hold_unreadable(mta: &Mta, row: i64, error: &store::Error) {
    tracing::error!(host = %mta.host(), %error, row, "queue entry unreadable; held until it is released");
    match mta.queue().hold_unreadable(row, error).await {
        Ok(()) => mta.destinations().release_reservation(mta, row),
        Err(error) => retry_later(mta, row, &error),
    }
}

fn retry_later(mta: &Mta, row: i64, error: &store::Error) {
    tracing::error!(host = %mta.host(), %error, "cannot read queue entry; retrying in 5 s");
    mta.queue().reschedule(row, later(mta.context().clock.now(), STORE_RETRY_INTERVAL));
}

/// The recipients by where they go next.
fn by_next_hop(mta: &Mta, entry: &Entry) -> Groups {
    let mut groups = Groups::new();
    let tls_preference = TlsPreference::of_message(&entry.queued.envelope, &entry.queued.message);
    for recipient in &entry.queued.envelope.recipients {
        groups.entry(NextHop::of(mta, &recipient.address, tls_preference)).or_default().push(recipient.clone());
    }
    groups
}

/// Whether there is something to tell the sender, wherever the message could not go.
fn report_due(mta: &Mta, entry: &Entry) -> bool {
    let (now, Retry { give_up, warn, .. }) = (mta.context().clock.now(), mta.context().settings.retry);
    let is_over = |time| later(entry.queued.arrived, time) <= now;
    is_over(give_up) || (!entry.warned && is_over(warn))
}

/// Tries all destinations at once. A slow one does not keep what the others took from being settled: whatever happens to
/// us meanwhile, it is not sent there again.
async fn try_all(mta: &Mta, entry: &mut Entry, groups: Groups) {
    let (envelope, message) = (entry.queued.envelope.clone(), entry.queued.message.clone());
    let mut tries: FuturesUnordered<_> = groups
        .into_iter()
        .map(|(hop, recipients)| {
            let envelope = Envelope { recipients: recipients.clone(), ..envelope.clone() };
            let message = message.clone();
            async move {
                let attempt = mta.destinations().send(mta, &hop, envelope, message).await;
                Outcome { hop, recipients, attempt }
            }
        })
        .collect();
    let mut known = Vec::new();
    while let Some(outcome) = tries.next().await {
        known.push(outcome);
        let others = async {
            while let Some(outcome) = tries.next().await {
                known.push(outcome);
            }
        };
        if timeout(PARTIAL_SETTLE_DELAY, others).await.is_err() {
            known = settle::settle_partial(mta, entry, known).await;
        }
    }
    settle::settle_final(mta, entry, known).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::QueueId;
    use crate::mta::queue::sqlite_tests::execute;
    use crate::mta::queue::tests::mail;
    use crate::mta::{QueueEntry, Selector, State, test_support};
    use crate::net::Net;

    /// A message whose row is damaged, and the only entry of the queue as an operator sees it after each attempt.
    struct Damaged {
        mta: Mta,
        id: QueueId,
    }

    impl Damaged {
        async fn new(damage: &'static str) -> Self {
            let net = Net::memory(Arc::new(|_, _| Duration::from_millis(1)));
            let (mta, _) = test_support::mta(include_str!("../../config/journey.toml"), "mta-sina", &net, vec![]);
            let id = mta.queue().put(mail(1)).await.unwrap().id;
            execute(&mta.context().store, damage).await;
            mta.queue().reload().unwrap();
            Self { mta, id }
        }

        async fn attempt(&self) -> (bool, QueueEntry) {
            let row = self.mta.queue().next_due(&self.mta.context().clock).await;
            let is_begun = start_attempt(&self.mta, row).await.is_some();
            (is_begun, self.mta.queue().list(Selector::All, 9).unwrap().messages.remove(0))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn start_attempt_of_an_unreadable_message_holds_it_until_it_is_readable_and_released() {
        let damaged = Damaged::new("UPDATE queue SET envelope = '!' || envelope").await;
        for _ in 0..2 {
            let (is_begun, entry) = damaged.attempt().await;
            let reason = entry.reason.unwrap_or_default();
            assert!(!is_begun && reason.contains("unreadable envelope"), "{reason}");
            assert_eq!((entry.id, entry.state, entry.recipients.len()), (damaged.id, State::Held, 0));
            assert!(damaged.mta.queue().is_idle(), "it would be tried again by itself");
            assert_eq!(damaged.mta.release(Selector::One(damaged.id)).await.unwrap(), [damaged.id]);
        }
        execute(&damaged.mta.context().store, "UPDATE queue SET envelope = substr(envelope, 2)").await;
        let (is_begun, entry) = damaged.attempt().await;
        assert_eq!((is_begun, entry.state, entry.recipients.len()), (true, State::Underway, 1));
    }
}
