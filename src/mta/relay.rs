//! Relays each message when it is due: tries its recipients, whose results [`super::settle`] stores.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::entry::Entry;
use super::job::Job;
use super::next_hop::NextHop;
use super::route::TlsPreference;
use super::scheduler::Slot;
use super::settle::{self, Outcome, STORE_RETRY_INTERVAL};
use super::{Mta, Tasks, worker};
use crate::mail::Recipient;
use crate::net::{Lifetime, Stop};
use crate::store;
use crate::world::{Retry, later};

/// How long results wait for those of other destinations, to share one commit and one report.
const PARTIAL_SETTLE_DELAY: Duration = Duration::from_secs(1);
/// How long attempts may go on after a stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

impl Mta {
    /// Loads the schedule, and clears the state of the policy. The future that is returned relays what is in the queue,
    /// until `stop`; attempts in flight may end. When `end` fires, they are dropped where they are, as if the process
    /// were killed. Nothing in memory is kept from before: it starts with what is in the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn start(&self, stop: Stop, end: Stop) -> Result<impl Future<Output = ()> + use<>, store::Error> {
        self.queue().reload()?;
        self.policy().reset();
        let lifetime = Some(Lifetime::new(stop.clone(), end.clone()));
        let tasks = Tasks { lifetime, end: end.child_token(), workers: TaskTracker::new() };
        self.set_tasks(tasks.clone());
        Ok(run(self.clone(), stop, tasks))
    }
}

/// Begins attempts as rows become due, until `stop`; then waits for those in flight, and drops what is left after
/// `SHUTDOWN_TIMEOUT`.
async fn run(mta: Mta, stop: Stop, tasks: Tasks) {
    let attempts = TaskTracker::new();
    while let Some(row) = stop.run_until_cancelled(mta.scheduler().next_due()).await {
        // Most that are due while their destination is down or busy end here, and cost no task.
        let Some((entry, parts)) = start_attempt(&mta, row).await else { continue };
        let trying = mta.clone();
        attempts.spawn(tasks.until_end(async move { try_all(&trying, entry, parts).await }));
    }
    attempts.close();
    // What does not end in time stays in the queue, and is tried again after the next start, when no task is left.
    let _ = timeout(SHUTDOWN_TIMEOUT, attempts.wait()).await;
    tasks.end.cancel();
    tasks.workers.close();
    attempts.wait().await;
    tasks.workers.wait().await;
}

/// The slot at a destination, and the recipients of the message that go there.
type Part = (Slot, Vec<Recipient>);

/// Loads an entry that is due and asks for slots at the destinations of its recipients. `None` if no attempt begins:
/// the entry waits for a slot or for memory, is due again later, was put on hold since it cannot be read, or is gone.
async fn start_attempt(mta: &Mta, row: i64) -> Option<(Entry, Vec<Part>)> {
    let entry = match mta.queue().load(row) {
        Ok(Some(entry)) => entry,
        Ok(None) => {
            mta.scheduler().reschedule(row, None);
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
    let (hops, recipients): (Vec<_>, Vec<_>) = by_next_hop(mta, &entry).into_iter().unzip();
    let is_urgent = report_due(mta, &entry);
    let (entry, slots) = mta.scheduler().admit(entry, &hops, is_urgent)?;
    Some((entry, slots.into_iter().zip(recipients).collect()))
}

/// Logs the error, and puts a message on hold whose row or content is corrupt or missing, since that lasts. If the hold
/// cannot be stored, the row is due again after `STORE_RETRY_INTERVAL`.
async fn hold_unreadable(mta: &Mta, row: i64, error: &store::Error) {
    tracing::error!(host = %mta.host(), %error, row, "queue entry unreadable; held until it is released");
    if let Err(error) = mta.hold_unreadable(row, error).await {
        retry_later(mta, row, &error);
    }
}

/// Logs the error; the row is no longer in flight, and due again after `STORE_RETRY_INTERVAL`.
fn retry_later(mta: &Mta, row: i64, error: &store::Error) {
    tracing::error!(host = %mta.host(), %error, "cannot read queue entry; retrying in 5 s");
    mta.scheduler().reschedule(row, Some(later(mta.context().clock.now(), STORE_RETRY_INTERVAL)));
}

/// Groups the recipients of the entry by their destination, in ascending order of destinations.
fn by_next_hop(mta: &Mta, entry: &Entry) -> BTreeMap<NextHop, Vec<Recipient>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let tls_preference = TlsPreference::of_message(&entry.queued.envelope, &entry.queued.message);
    for recipient in &entry.queued.envelope.recipients {
        groups.entry(NextHop::of(mta, &recipient.address, tls_preference)).or_default().push(recipient.clone());
    }
    groups
}

/// Whether a report to the sender is due if the message cannot be relayed now: the time to give up is over, or that to
/// warn is, and no report has warned yet.
fn report_due(mta: &Mta, entry: &Entry) -> bool {
    let (now, Retry { give_up, warn, .. }) = (mta.context().clock.now(), mta.context().settings.retry);
    let is_over = |time| later(entry.queued.arrived, time) <= now;
    is_over(give_up) || (!entry.warned && is_over(warn))
}

/// Tries all destinations at once, and stores the results when all are known. Whenever some are known and the rest
/// takes longer than `PARTIAL_SETTLE_DELAY`, those that are final are stored first, so that a crash does not repeat
/// them.
async fn try_all(mta: &Mta, mut entry: Entry, parts: Vec<Part>) {
    let id = entry.queued.id;
    let mut tries: FuturesUnordered<_> = parts
        .into_iter()
        .map(|(slot, recipients)| {
            let progress = mta.scheduler().begin_attempt(entry.row);
            let job = Job::new(&entry, recipients.clone(), progress);
            async move {
                let hop = slot.hop().clone();
                let attempt = worker::send(mta, slot, job).await;
                Outcome::recorded(mta, id, hop, recipients, attempt)
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
            known = settle::settle_partial(mta, &mut entry, known).await;
        }
    }
    settle::settle_final(mta, &entry, known).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mail::QueueId;
    use crate::mta::queue::sqlite_tests::execute;
    use crate::mta::test_support::{self, mail};
    use crate::mta::{QueueEntry, Selector, State};
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
            let row = self.mta.scheduler().next_due().await;
            let is_begun = start_attempt(&self.mta, row).await.is_some();
            (is_begun, self.mta.queue().list(Selector::All, None, 9).unwrap().messages.remove(0))
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
