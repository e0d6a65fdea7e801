//! Workers: each sends the messages for one destination, one after the other, on one connection.

use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::Mta;
use super::attempt::{Attempt, ConnectError};
use super::connect::connect;
use super::connection::OutboundConnection;
use super::job::Job;
use super::next_hop::NextHop;
use super::scheduler::{Destination, Slot};
use crate::world::later;

/// How long an idle connection stays open for the next message.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum back-off of a destination that is down.
const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);

/// Submits a job to the destination of a slot, starts a worker if there is to be one more, and waits for the result;
/// then the slot is free. Returns an attempt that was interrupted if the job was dropped without a result.
pub(super) async fn send(mta: &Mta, slot: Slot, (job, completed): (Job, oneshot::Receiver<Attempt>)) -> Attempt {
    let (hop, now, count) = (slot.hop(), mta.context().clock.now(), job.rest().len());
    if mta.scheduler().with_destination(hop, |destination| destination.submit(job, now)) {
        Worker::spawn(mta, hop);
    }
    let attempt = completed.await.unwrap_or_else(|_| Attempt::interrupted(count));
    mta.scheduler().complete(slot);
    attempt
}

struct Worker {
    mta: Mta,
    hop: NextHop,
    connection: Option<OutboundConnection>,
    /// Its last connection succeeded.
    is_up: bool,
}

impl Worker {
    /// Spawns a worker of this destination that has no connection yet.
    fn spawn(mta: &Mta, hop: &NextHop) {
        let worker = Self { mta: mta.clone(), hop: hop.clone(), connection: None, is_up: false };
        mta.spawn_worker(worker.work());
    }

    /// Sends the jobs of the destination, until none comes for `IDLE_TIMEOUT`, or it cannot connect while others are
    /// connected; then deregisters, after QUIT on an open connection. If it cannot connect and is alone, all jobs fail,
    /// and it goes on.
    async fn work(mut self) {
        let arrived = self.with_destination(|destination| destination.arrival_notify());
        loop {
            let Some(mut job) = self.next_job(&arrived).await else {
                if let Some(connection) = self.connection.take() {
                    connection.quit().await;
                }
                if self.with_destination(|destination| destination.try_exit(self.is_up)) {
                    return;
                }
                continue;
            };
            match self.transact(&mut job).await {
                Ok(attempt) => {
                    self.with_destination(Destination::on_success);
                    job.finish(attempt);
                }
                Err(error) => {
                    let was_up = std::mem::take(&mut self.is_up);
                    let Some(job) = self.with_destination(|destination| destination.requeue(job, was_up)) else {
                        return;
                    };
                    self.fail_all(job, &error);
                }
            }
        }
    }

    /// Calls a function with the destination of this worker, under the lock of the scheduler.
    fn with_destination<T>(&self, change: impl FnOnce(&mut Destination) -> T) -> T {
        self.mta.scheduler().with_destination(&self.hop, change)
    }

    /// Takes the next job, and waits for one as an idle worker; `None` if none comes for `IDLE_TIMEOUT`.
    async fn next_job(&self, arrived: &Notify) -> Option<Job> {
        timeout(IDLE_TIMEOUT, async {
            loop {
                let arrived = arrived.notified();
                if let Some(job) = self.with_destination(Destination::take_job) {
                    return job;
                }
                // Also ends when the wait is cancelled.
                let _idle = IdleGuard(self);
                arrived.await;
            }
        })
        .await
        .ok()
    }

    /// Notes that the destination answers, and spawns the further workers for queued jobs that the limit now allows.
    fn on_connected(&mut self) {
        let was_up = std::mem::replace(&mut self.is_up, true);
        for _ in 0..self.with_destination(|destination| destination.on_connected(was_up)) {
            Self::spawn(&self.mta, &self.hop);
        }
    }

    /// Fails `job` and all queued jobs of the destination with this error and starts a back-off, unless the error is
    /// permanent, instead of repeating the error for each. The hosts that were tried become events of all of them;
    /// `job` has those already.
    fn fail_all(&self, job: Job, error: &ConnectError) {
        let (context, now) = (self.mta.context(), self.mta.context().clock.now());
        let wait = |failures| later(now, context.settings.retry.wait(failures, &context.rng).min(MAX_BACKOFF));
        let mut jobs = self.mta.scheduler().mark_down(&self.hop, error, wait);
        for job in &mut jobs {
            error.tried.iter().for_each(|host| host.report(&self.mta, &self.hop, job));
        }
        for job in jobs.into_iter().chain([job]) {
            let attempt = error.for_recipients(job.envelope.recipients.len());
            job.finish(attempt);
        }
    }

    /// Sends a message to all its recipients, on the open connection or a new one; those beyond the limits of a
    /// connection (RFC 9422) are sent to on further ones, and fail if those cannot be opened. If not even the first
    /// connection can be opened, returns that error, and no recipient has a verdict.
    async fn transact(&mut self, job: &mut Job) -> Result<Attempt, ConnectError> {
        let mut attempt = self.send_part(job).await?;
        job.done = attempt.verdicts.len();
        while !job.rest().is_empty() {
            let next = match self.send_part(job).await {
                Ok(next) => next,
                Err(error) => error.for_recipients(job.rest().len()),
            };
            attempt = attempt.and(next);
            job.done = attempt.verdicts.len();
        }
        Ok(attempt)
    }

    /// Sends a job to as many of its recipients, from the first without a verdict on, as one connection allows; at
    /// least one. An open connection that allows none, or that the peer closed before it saw the message, is replaced
    /// by a new one; the error is that of the new one. Keeps the connection if it can be used again.
    async fn send_part(&mut self, job: &mut Job) -> Result<Attempt, ConnectError> {
        let mut earlier = None;
        if let Some(open) = self.connection.take() {
            match open.recipient_limit(job.rest()) {
                0 => open.quit().await,
                limit => {
                    job.progress.set_host(open.host());
                    let (attempt, open) = open.send(&job.part(limit), &job.message).await;
                    if !attempt.not_started {
                        self.connection = open;
                        return Ok(attempt);
                    }
                    earlier = attempt.transcript;
                }
            }
        }
        let fresh = connect(&self.mta, &self.hop, job, earlier.unwrap_or_default()).await?;
        self.on_connected();
        let limit = fresh.recipient_limit(job.rest());
        let (attempt, open) = fresh.send(&job.part(limit), &job.message).await;
        self.connection = open;
        Ok(attempt)
    }
}

struct IdleGuard<'a>(&'a Worker);

impl Drop for IdleGuard<'_> {
    fn drop(&mut self) {
        self.0.with_destination(Destination::on_wakeup);
    }
}
