//! Commits without a thread, for virtual time: jobs of the same moment share a commit.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::task::yield_now;

use super::commit::{CommitState, Job};
use super::segments::Segments;
use crate::sync::lock;

pub(super) struct SimulatedWriter {
    connection: Arc<Mutex<Connection>>,
    state: Mutex<CommitState>,
    queue: Mutex<Queue>,
}

/// Jobs that wait for the others of their moment.
#[derive(Default)]
struct Queue {
    last_ticket: u64,
    jobs: Vec<(u64, Box<dyn Job>)>,
}

impl SimulatedWriter {
    pub(super) fn new(connection: Arc<Mutex<Connection>>, state: CommitState) -> Self {
        Self { connection, state: Mutex::new(state), queue: Mutex::default() }
    }

    /// Queues a job, lets all other tasks run that can, and returns once it is completed: the first caller that runs
    /// again commits the jobs of all. If the future is dropped before, the job is removed without having run.
    pub(super) async fn submit(&self, job: Box<dyn Job>) {
        let _ticket = self.enqueue(job);
        yield_now().await;
        self.commit();
    }

    /// Replaces the segments by those that were opened anew after a simulated power cut.
    pub(super) fn replace_segments(&self, segments: Segments) {
        lock(&self.state).replace_segments(segments);
    }

    /// Queues a job. Dropping the ticket removes it again, unless its commit has begun.
    fn enqueue(&self, job: Box<dyn Job>) -> Ticket<'_> {
        let mut queue = lock(&self.queue);
        queue.last_ticket += 1;
        let id = queue.last_ticket;
        queue.jobs.push((id, job));
        Ticket { queue: &self.queue, id }
    }

    /// Commits all jobs that wait, in as many transactions as that takes, and then compacts all sparse segments. Does
    /// nothing if none waits.
    fn commit(&self) {
        let jobs: Vec<_> = std::mem::take(&mut lock(&self.queue).jobs).into_iter().map(|(_, job)| job).collect();
        if !jobs.is_empty() {
            let (connection, mut state) = (lock(&self.connection), lock(&self.state));
            state.commit_all(&connection, jobs);
            while state.compact(&connection) {}
        }
    }
}

/// The place of a caller in the queue. One that is dropped before the commit takes its job along.
struct Ticket<'a> {
    queue: &'a Mutex<Queue>,
    id: u64,
}

impl Drop for Ticket<'_> {
    /// Removes the job from the queue, unless its commit has begun.
    fn drop(&mut self) {
        lock(self.queue).jobs.retain(|(id, _)| *id != self.id);
    }
}
