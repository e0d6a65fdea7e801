//! One queue per destination, whose messages share a small pool of connections.
//!
//! The pool grows only after the first connection succeeded. When a destination is down, everything queued for it fails at
//! once, it is not tried again during a back-off period, and other destinations are not affected. If a further connection
//! is refused while others are up, the pool is limited to those.

mod slots;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::Mta;
use super::connection::{Attempt, ConnectError, OutboundConnection};
use super::route::NextHop;
use crate::mail::{Envelope, Message, ReversePath};
use crate::world::later;
pub(super) use slots::Admission;
use slots::Slots;

/// How long an idle connection stays open for the next message.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum back-off of a destination that is down.
const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);
/// Successful messages after which a limited pool tries one more connection.
const GROW_AFTER_SUCCESSES: usize = 100;
/// Number of destinations after which idle ones are dropped.
const MAX_IDLE_DESTINATIONS: usize = 1000;

/// The destinations of one MTA.
#[derive(Default)]
pub(super) struct Destinations(Mutex<BTreeMap<NextHop, Arc<Destination>>>);

/// One message for one destination.
struct Job {
    envelope: Envelope,
    message: Message,
    result: oneshot::Sender<Attempt>,
}

#[derive(Default)]
struct Destination {
    state: Mutex<State>,
    arrived: Notify,
}

struct State {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    /// Workers whose last connection succeeded.
    up: usize,
    /// Maximum number of workers.
    limit: usize,
    /// Successful messages since the limit changed.
    successes: usize,
    slots: Slots,
}

impl Default for State {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), workers: 0, idle: 0, up: 0, limit: 1, successes: 0, slots: Slots::default() }
    }
}

impl Destinations {
    /// Asks for a slot at every destination of a message. If granted, each slot is held until [`Destinations::send`]
    /// returns. A message that is due for a report (`urgent`) ignores back-off.
    pub(super) fn admit(
        &self,
        mta: &Mta,
        row: i64,
        sender: &ReversePath,
        hops: &[&NextHop],
        urgent: bool,
    ) -> Admission {
        let (now, max_connections) = (mta.context().clock.now(), mta.context().settings.connections_max);
        let mut destinations = lock(&self.0);
        if MAX_IDLE_DESTINATIONS < destinations.len() {
            destinations.retain(|_, destination| !lock(&destination.state).is_idle(now));
        }
        let found: Vec<_> = hops.iter().map(|hop| destinations.entry((*hop).clone()).or_default().clone()).collect();
        drop(destinations);
        let until: Option<Vec<_>> =
            found.iter().map(|destination| lock(&destination.state).slots.backoff_until(now)).collect();
        if let Some(until) = until.and_then(|until| until.into_iter().min())
            && !urgent
        {
            release_reservation(mta, &found, row);
            return Admission::BackOffUntil(until);
        }
        for destination in &found {
            let mut state = lock(&destination.state);
            if !state.slots.has_slot(row, max_connections) {
                // Under one lock: the task that unparks it must find it.
                mta.queue().park(row);
                state.slots.park(sender.clone(), row);
                return Admission::Parked;
            }
        }
        found.iter().for_each(|destination| lock(&destination.state).slots.acquire(row));
        Admission::Granted
    }

    /// Releases the slots reserved for a message that no longer exists.
    pub(super) fn release_reservation(&self, mta: &Mta, row: i64) {
        let destinations: Vec<_> = lock(&self.0).values().cloned().collect();
        release_reservation(mta, &destinations, row);
    }

    /// Ends the back-off of all destinations.
    pub(super) fn clear_backoff(&self) {
        lock(&self.0).values().for_each(|destination| lock(&destination.state).slots.clear_backoff());
    }

    /// Sends a message to a destination where it holds a slot; returns the result for each recipient.
    pub(super) async fn send(&self, mta: &Mta, hop: &NextHop, envelope: Envelope, message: Message) -> Attempt {
        let count = envelope.recipients.len();
        let (result, completed) = oneshot::channel();
        let destination = self.submit(mta, hop, Job { envelope, message, result });
        let attempt = completed.await.unwrap_or_else(|_| Attempt::interrupted(count));
        let reserved = lock(&destination.state).slots.release(mta.context().settings.connections_max);
        unpark(mta, &destination, reserved);
        self.prune(hop);
        attempt
    }

    fn submit(&self, mta: &Mta, hop: &NextHop, job: Job) -> Arc<Destination> {
        let mut destinations = lock(&self.0);
        let destination = destinations.entry(hop.clone()).or_default().clone();
        let mut state = lock(&destination.state);
        if let Some(reason) = state.slots.backoff_reason(mta.context().clock.now()) {
            let _ = job.result.send(reason.for_recipients(job.envelope.recipients.len()));
        } else {
            state.jobs.push_back(job);
            state.spawn_worker(mta, hop, &destination);
            destination.arrived.notify_one();
        }
        drop(state);
        destination
    }

    /// Drops all destinations; their workers have ended.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    fn prune(&self, hop: &NextHop) {
        let mut destinations = lock(&self.0);
        let is_idle = destinations.get(hop).is_some_and(|destination| {
            let state = lock(&destination.state);
            state.workers == 0 && state.jobs.is_empty() && state.slots.is_idle()
        });
        if is_idle {
            destinations.remove(hop);
        }
    }
}

impl State {
    /// Starts a worker if there are more jobs than idle workers.
    fn spawn_worker(&mut self, mta: &Mta, hop: &NextHop, destination: &Arc<Destination>) {
        if self.idle < self.jobs.len() && self.workers < self.limit {
            self.workers += 1;
            let worker = Worker {
                mta: mta.clone(),
                hop: hop.clone(),
                destination: destination.clone(),
                line: None,
                is_up: false,
            };
            tokio::spawn(mta.living(worker.work()));
        }
    }

    /// Whether it has no work and no back-off.
    fn is_idle(&self, now: Timestamp) -> bool {
        self.workers == 0 && self.jobs.is_empty() && self.slots.is_unused() && self.slots.backoff_until(now).is_none()
    }
}

/// Gives the slots reserved for a message to others.
fn release_reservation(mta: &Mta, destinations: &[Arc<Destination>], row: i64) {
    for destination in destinations {
        let reserved = lock(&destination.state).slots.release_reservation(row, mta.context().settings.connections_max);
        unpark(mta, destination, reserved);
    }
}

/// Makes parked messages due now; the slots of those that are gone are given to others.
fn unpark(mta: &Mta, destination: &Destination, rows: Vec<i64>) {
    let (now, max_connections) = (mta.context().clock.now(), mta.context().settings.connections_max);
    let mut rows = VecDeque::from(rows);
    while let Some(row) = rows.pop_front() {
        if !mta.queue().unpark(row, now) {
            rows.extend(lock(&destination.state).slots.release_reservation(row, max_connections));
        }
    }
}

impl Destination {
    /// The next job, if one comes before the connection has been idle for too long.
    async fn next(&self) -> Option<Job> {
        timeout(IDLE_TIMEOUT, async {
            loop {
                let arrived = self.arrived.notified();
                if let Some(job) = lock(&self.state).jobs.pop_front() {
                    return job;
                }
                lock(&self.state).idle += 1;
                // Also decremented when the wait is cancelled.
                let _idle = IdleGuard(self);
                arrived.await;
            }
        })
        .await
        .ok()
    }
}

struct IdleGuard<'a>(&'a Destination);

impl Drop for IdleGuard<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).idle -= 1;
    }
}

/// Sends messages to a destination, one after the other, on one connection.
struct Worker {
    mta: Mta,
    hop: NextHop,
    destination: Arc<Destination>,
    line: Option<OutboundConnection>,
    /// Its last connection succeeded.
    is_up: bool,
}

impl Worker {
    async fn work(mut self) {
        loop {
            let Some(job) = self.destination.next().await else {
                if let Some(line) = self.line.take() {
                    line.quit().await;
                }
                if self.try_exit() {
                    return;
                }
                continue;
            };
            match self.transact(&job).await {
                Ok(attempt) => {
                    self.on_success();
                    // The receiver is only gone when the MTA stops; the message stays in the queue then.
                    let _ = job.result.send(attempt);
                }
                Err(failed) => {
                    let Some(job) = self.requeue(job) else { return };
                    self.fail_all(job, &failed);
                }
            }
        }
    }

    /// Deregisters this worker; `false` if there is a job.
    fn try_exit(&self) -> bool {
        let mut state = lock(&self.destination.state);
        if !state.jobs.is_empty() {
            return false;
        }
        state.workers -= 1;
        state.up -= usize::from(self.is_up);
        if state.up == 0 {
            (state.limit, state.successes) = (1, 0);
        }
        drop(state);
        self.mta.destinations().prune(&self.hop);
        true
    }

    /// The destination answers: other workers may connect as well.
    fn on_connected(&mut self) {
        let state = &mut *lock(&self.destination.state);
        state.slots.mark_up();
        if state.up == 0 {
            state.limit = self.mta.context().settings.connections_max;
            for _ in 0..state.jobs.len().min(state.limit) {
                state.spawn_worker(&self.mta, &self.hop, &self.destination);
            }
        }
        state.up += usize::from(!self.is_up);
        self.is_up = true;
    }

    fn on_success(&self) {
        let state = &mut *lock(&self.destination.state);
        state.slots.mark_up();
        state.successes += 1;
        if GROW_AFTER_SUCCESSES < state.successes {
            state.successes = 0;
            state.limit = (state.limit + 1).min(self.mta.context().settings.connections_max);
        }
    }

    /// If other workers are connected and this one cannot connect, puts the job back, lowers the connection limit and exits.
    fn requeue(&mut self, job: Job) -> Option<Job> {
        let state = &mut *lock(&self.destination.state);
        state.up -= usize::from(std::mem::take(&mut self.is_up));
        if state.up == 0 {
            return Some(job);
        }
        state.workers -= 1;
        (state.limit, state.successes) = (state.up, 0);
        state.jobs.push_front(job);
        self.destination.arrived.notify_one();
        None
    }

    /// Fails all jobs of the destination with this error and starts a back-off, instead of repeating the error for each.
    fn fail_all(&self, job: Job, failed: &ConnectError) {
        let (context, now) = (self.mta.context(), self.mta.context().clock.now());
        let wait = |failures| later(now, context.settings.retry.wait(failures, &context.rng).min(MAX_BACKOFF));
        let (jobs, parked) = {
            let state = &mut *lock(&self.destination.state);
            (state.limit, state.successes) = (1, 0);
            let parked = if failed.is_permanent() { None } else { Some(state.slots.mark_down(failed.clone(), wait)) };
            (std::mem::take(&mut state.jobs), parked)
        };
        if let Some((parked, until)) = parked {
            for row in parked {
                self.mta.queue().unpark(row, until);
            }
        }
        for job in jobs.into_iter().chain([job]) {
            let _ = job.result.send(failed.for_recipients(job.envelope.recipients.len()));
        }
    }

    /// Sends a message, on the open connection or a new one; recipients beyond the limits of a connection (RFC 9422) are
    /// sent on further ones. The error is that of the first connection.
    async fn transact(&mut self, job: &Job) -> Result<Attempt, ConnectError> {
        let mut attempt = self.send_part(&job.envelope, &job.message).await?;
        while let Some(rest) = job.envelope.recipients.get(attempt.verdicts.len()..).filter(|rest| !rest.is_empty()) {
            let envelope = Envelope { recipients: rest.to_vec(), ..job.envelope.clone() };
            let next = match self.send_part(&envelope, &job.message).await {
                Ok(next) => next,
                Err(failed) => failed.for_recipients(rest.len()),
            };
            attempt = attempt.and(next);
        }
        Ok(attempt)
    }

    /// Sends to as many recipients, from the first on, as one connection allows; at least one.
    async fn send_part(&mut self, envelope: &Envelope, message: &Message) -> Result<Attempt, ConnectError> {
        if let Some(open) = self.line.take() {
            match open.recipient_limit(&envelope.recipients) {
                0 => open.quit().await,
                limit => {
                    let (attempt, open) = open.send(&first(envelope, limit), message).await;
                    if !attempt.not_started {
                        self.line = open;
                        return Ok(attempt);
                    }
                }
            }
        }
        let fresh = OutboundConnection::open(&self.mta, &self.hop).await?;
        self.on_connected();
        let limit = fresh.recipient_limit(&envelope.recipients).max(1);
        let (attempt, open) = fresh.send(&first(envelope, limit), message).await;
        self.line = open;
        Ok(attempt)
    }
}

fn first(envelope: &Envelope, count: usize) -> Envelope {
    let recipients = envelope.recipients.iter().take(count).cloned().collect();
    Envelope { recipients, ..envelope.clone() }
}

/// A poisoned lock is fine: no change leaves the data inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
