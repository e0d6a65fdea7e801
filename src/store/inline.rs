//! Commits without a thread, for virtual time: whoever stores something at one moment of it shares a commit.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::task::yield_now;

use super::keeper::Keeper;
use super::writer::{Job, commit, lock};

/// The writer's end of a database in memory.
pub(super) struct Inline {
    connection: Arc<Mutex<Connection>>,
    keeper: Mutex<Keeper>,
    waiting: Mutex<Waiting>,
}

/// Jobs that wait for the others of their moment.
#[derive(Default)]
struct Waiting {
    drawn: u64,
    jobs: Vec<(u64, Job)>,
}

impl Inline {
    pub(super) fn new(connection: Arc<Mutex<Connection>>, keeper: Keeper) -> Self {
        Self { connection, keeper: Mutex::new(keeper), waiting: Mutex::default() }
    }

    /// Lets all others come that are busy now; the first that comes back then commits for all. Says how often it did.
    pub(super) async fn submit(&self, job: Job) -> u64 {
        let _place = self.enter(job);
        yield_now().await;
        self.commit()
    }

    fn enter(&self, job: Job) -> Place<'_> {
        let mut waiting = lock(&self.waiting);
        waiting.drawn += 1;
        let id = waiting.drawn;
        waiting.jobs.push((id, job));
        Place { waiting: &self.waiting, id }
    }

    fn commit(&self) -> u64 {
        let jobs = std::mem::take(&mut lock(&self.waiting).jobs);
        if jobs.is_empty() {
            return 0;
        }
        let jobs = jobs.into_iter().map(|(_, job)| job).collect();
        commit(&mut lock(&self.connection), &mut lock(&self.keeper), jobs);
        1
    }
}

/// A caller who waits. One who is killed before the commit takes the job along.
struct Place<'a> {
    waiting: &'a Mutex<Waiting>,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(self.waiting).jobs.retain(|(id, _)| *id != self.id);
    }
}
