//! One destination: its slots, and the messages that its workers send.
//!
//! The number of workers grows only after the first connection succeeded. When a destination is down, everything queued for
//! it fails at once, it is not tried again during a back-off period, and other destinations are not affected. If a further
//! connection is refused while others are up, their number is the limit.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::slots::Slots;
use crate::mta::job::Job;

/// Successful messages after which a lowered limit allows one more worker.
const GROW_AFTER_SUCCESSES: usize = 100;

/// The slots, jobs and workers of a destination.
pub(in crate::mta) struct Destination {
    pub(super) slots: Slots,
    jobs: VecDeque<Job>,
    /// Wakes a worker that is idle.
    arrived: Arc<Notify>,
    max_connections: usize,
    workers: usize,
    idle: usize,
    /// Workers whose last connection succeeded.
    up: usize,
    /// Maximum number of workers.
    limit: usize,
    /// Successful messages since the limit changed.
    successes: usize,
}

impl Destination {
    pub(super) fn new(max_connections: usize) -> Self {
        Self {
            slots: Slots::new(max_connections),
            jobs: VecDeque::new(),
            arrived: Arc::default(),
            max_connections,
            workers: 0,
            idle: 0,
            up: 0,
            limit: 1,
            successes: 0,
        }
    }

    /// Whether there is nothing to remember about the destination: it has no worker, job, taken slot or parked message,
    /// and no failure, not even one whose back-off is over.
    pub(super) fn is_idle(&self) -> bool {
        self.workers == 0 && self.jobs.is_empty() && self.slots.is_idle()
    }

    /// Whether the destination has no worker, job, taken slot or parked message, and is not in back-off at `now`; its
    /// failures may be remembered.
    pub(super) fn is_unused(&self, now: Timestamp) -> bool {
        self.workers == 0 && self.jobs.is_empty() && self.slots.is_unused() && self.slots.backoff_until(now).is_none()
    }

    /// Queues a job and wakes an idle worker; returns whether the caller has to start one more worker, which is counted
    /// already. During back-off at `now`, the job fails at once, with the reason of the back-off, and the result is
    /// `false`.
    pub(in crate::mta) fn submit(&mut self, job: Job, now: Timestamp) -> bool {
        if let Some(reason) = self.slots.backoff_reason(now) {
            let attempt = reason.for_recipients(job.envelope.recipients.len());
            job.finish(attempt);
            return false;
        }
        self.jobs.push_back(job);
        let starts = self.adds_worker();
        self.arrived.notify_one();
        starts
    }

    /// Counts one more worker if there are more jobs than idle workers, up to the limit; returns whether it did.
    fn adds_worker(&mut self) -> bool {
        let adds = self.idle < self.jobs.len() && self.workers < self.limit;
        self.workers += usize::from(adds);
        adds
    }

    /// What an idle worker waits for: it is notified once for each job that is queued.
    pub(in crate::mta) fn arrival_notify(&self) -> Arc<Notify> {
        self.arrived.clone()
    }

    /// Removes and returns the first job; without one, counts the worker that asks as idle until
    /// [`Destination::on_wakeup`].
    pub(in crate::mta) fn take_job(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front();
        self.idle += usize::from(job.is_none());
        job
    }

    /// Counts one idle worker less, since the wait that [`Destination::take_job`] began is over, with or without a job.
    pub(in crate::mta) fn on_wakeup(&mut self) {
        self.idle -= 1;
    }

    /// Deregisters a worker, whose last connection succeeded if `is_up`, and returns `true`; if there is a job, changes
    /// nothing and returns `false`, so that the worker stays. Without a connected worker, the limit of workers is 1
    /// again.
    pub(in crate::mta) fn try_exit(&mut self, is_up: bool) -> bool {
        if !self.jobs.is_empty() {
            return false;
        }
        self.workers -= 1;
        self.up -= usize::from(is_up);
        if self.up == 0 {
            (self.limit, self.successes) = (1, 0);
        }
        true
    }

    /// Notes that a worker has connected (`was_up`: its connection before had succeeded, too). The first one lifts the
    /// limit of workers. Returns how many workers the caller has to start for the queued jobs; they are counted
    /// already.
    pub(in crate::mta) fn on_connected(&mut self, was_up: bool) -> usize {
        self.slots.mark_up();
        let mut starts = 0;
        if self.up == 0 {
            self.limit = self.max_connections;
            starts = (0..self.jobs.len().min(self.limit)).filter(|_| self.adds_worker()).count();
        }
        self.up += usize::from(!was_up);
        starts
    }

    /// Notes that a worker has sent a message: the destination answers, and after more than `GROW_AFTER_SUCCESSES` such
    /// messages a limit of workers below the maximum rises by one.
    pub(in crate::mta) fn on_success(&mut self) {
        self.slots.mark_up();
        self.successes += 1;
        if GROW_AFTER_SUCCESSES < self.successes {
            self.successes = 0;
            self.limit = (self.limit + 1).min(self.max_connections);
        }
    }

    /// Takes back the job of a worker that cannot connect (`was_up`: its connection before had succeeded). If others
    /// are connected, puts the job first in line, lowers the limit to their number, deregisters the worker and returns
    /// `None`; else returns the job, and the worker stays.
    pub(in crate::mta) fn requeue(&mut self, job: Job, was_up: bool) -> Option<Job> {
        self.up -= usize::from(was_up);
        if self.up == 0 {
            return Some(job);
        }
        self.workers -= 1;
        (self.limit, self.successes) = (self.up, 0);
        self.jobs.push_front(job);
        self.arrived.notify_one();
        None
    }

    /// Removes and returns all jobs, and limits the workers to one, since the only worker cannot connect.
    pub(super) fn take_all_jobs(&mut self) -> VecDeque<Job> {
        (self.limit, self.successes) = (1, 0);
        std::mem::take(&mut self.jobs)
    }
}
