//! The one writer: a thread that takes every job that waits into one commit.
//!
//! ```text
//!  write ─────────┐
//!  write ─────────┤
//!  write_batched ─┴─▶ queue ─▶ the store thread: commit, answers, then checkpoint and compaction
//! ```

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::Semaphore;

use super::Error;
use super::commit::{CommitState, Job};
use super::reserve::Reserve;
use crate::sync::{ignore_poison, lock};

/// Jobs that may wait; more make their callers wait.
const MAX_QUEUED_JOBS: usize = 4096;
/// Jobs in one commit, so that the first of them does not wait for ever.
const MAX_COMMIT_JOBS: usize = 2048;
/// How long a batched job waits for others before it gets its own commit.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// The WAL is copied into the database when it has so many pages: 8 MiB.
const CHECKPOINT_PAGES: u32 = 2048;
/// A page in the WAL, with its header, in bytes.
const WAL_PAGE_BYTES: u64 = 4096 + 24;
/// A reader that keeps the WAL from being copied is reported at so many pages: 256 MiB.
const WARN_PAGES: u32 = 65_536;

/// How soon a job should be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// A caller waits for it.
    Immediate,
    /// With the next commit, or after [`BATCH_DELAY`].
    Batched,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the store thread and its callers share.
struct Shared {
    queue: Mutex<Queue>,
    wakeup: Condvar,
    capacity: Semaphore,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// A caller waits for one of them.
    is_urgent: bool,
    is_closed: bool,
}

thread_local! {
    /// The pages in the WAL after this thread's last commit. SQLite tells it by a function without a context.
    static WAL_PAGES: Cell<u32> = const { Cell::new(0) };
}

impl Writer {
    /// Starts the store thread, which ends when the writer is dropped.
    pub(super) fn start(connection: Connection, state: CommitState, reserve: Reserve) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wakeup: Condvar::new(),
            capacity: Semaphore::new(MAX_QUEUED_JOBS),
        });
        let work = {
            let shared = shared.clone();
            move || {
                // In the place of SQLite's own checkpoints, which it makes inside a COMMIT.
                connection.wal_hook(Some(|_, pages| {
                    WAL_PAGES.set(u32::try_from(pages).unwrap_or(0));
                    Ok(())
                }));
                StoreThread { shared, connection, state, reserve, has_warned: false }.run();
            }
        };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(work)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues a job, and returns before it runs; waits only while the queue is full. The job is completed once its
    /// commit is over.
    pub(super) async fn submit(&self, job: Box<dyn Job>, priority: Priority) {
        if let Ok(permit) = self.shared.capacity.acquire().await {
            permit.forget();
        }
        let mut queue = lock(&self.shared.queue);
        queue.jobs.push_back(job);
        let is_urgent = priority == Priority::Immediate;
        // A batched job wakes only a thread that knows of none.
        let wakes = queue.jobs.len() == 1 || (is_urgent && !queue.is_urgent);
        queue.is_urgent |= is_urgent;
        drop(queue);
        if wakes {
            self.shared.wakeup.notify_one();
        }
    }
}

impl Drop for Writer {
    /// Ends the store thread, and waits until the jobs in the queue are completed and the thread has ended.
    fn drop(&mut self) {
        lock(&self.shared.queue).is_closed = true;
        self.shared.wakeup.notify_one();
        // Afterwards the files are closed, unless a completion on that very thread dropped the store.
        if let Some(thread) = self.thread.take_if(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

struct StoreThread {
    shared: Arc<Shared>,
    connection: Connection,
    state: CommitState,
    reserve: Reserve,
    /// A reader was reported that keeps the WAL long.
    has_warned: bool,
}

impl StoreThread {
    /// Commits the jobs that wait, and maintains the files after each commit, until the writer is dropped and none is
    /// left. While the disk is full, or almost, jobs that free room get the reserve.
    fn run(mut self) {
        while let Some(jobs) = self.next_jobs() {
            let frees_room = jobs.iter().any(|job| job.frees_room());
            if frees_room && (self.state.was_full() || self.reserve.is_needed()) {
                self.commit_on_full_disk(jobs);
            } else {
                self.state.commit_all(&self.connection, jobs);
            }
            self.maintain();
        }
    }

    /// Commits jobs that free room apart from the others, and after them: in between, empties the reserve and copies
    /// the WAL, so that they have that room.
    fn commit_on_full_disk(&mut self, jobs: Vec<Box<dyn Job>>) {
        let (freeing, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.frees_room());
        self.state.commit_all(&self.connection, others);
        self.reserve.give_up();
        // The commit then has the room of the whole WAL, too, which never gets shorter.
        self.checkpoint();
        self.state.commit_all(&self.connection, freeing);
    }

    /// Waits for jobs, and takes the first [`MAX_COMMIT_JOBS`] at most; `None` once the writer is dropped and none is
    /// left. While all that wait are batched ones, waits up to [`BATCH_DELAY`] for others.
    fn next_jobs(&self) -> Option<Vec<Box<dyn Job>>> {
        let Shared { queue, wakeup, capacity, .. } = &*self.shared;
        let is_idle = |queue: &mut Queue| queue.jobs.is_empty() && !queue.is_closed;
        let is_patient = |queue: &mut Queue| !queue.is_urgent && !queue.is_closed;
        let queue = ignore_poison(wakeup.wait_while(lock(queue), is_idle));
        let (mut queue, _) = ignore_poison(wakeup.wait_timeout_while(queue, BATCH_DELAY, is_patient));
        let taken = queue.jobs.len().min(MAX_COMMIT_JOBS);
        queue.is_urgent &= taken < queue.jobs.len();
        capacity.add_permits(taken);
        let jobs: Vec<_> = queue.jobs.drain(..taken).collect();
        (!jobs.is_empty()).then_some(jobs)
    }

    /// Does what no caller waits for: copies the WAL if it has 8 MiB or the last commit found the disk full, fills the
    /// reserve, and compacts one segment if one is sparse.
    fn maintain(&mut self) {
        // On a full disk the WAL has the only room, which the next commit can use once it was copied.
        let is_due = CHECKPOINT_PAGES <= WAL_PAGES.get() || self.state.was_full();
        if is_due {
            self.checkpoint();
        }
        self.reserve.fill(u64::from(WAL_PAGES.get()) * WAL_PAGE_BYTES);
        self.state.compact(&self.connection);
    }

    /// Copies the WAL into the database as far as readers allow; if that was all, the next commit writes it anew from
    /// its start. A reader that keeps it above 256 MiB is logged once. An I/O error stops the store; another failure is
    /// logged. Does nothing in a stopped store.
    fn checkpoint(&mut self) {
        if self.state.has_stopped() {
            return;
        }
        let counts = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let copied = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], counts);
        match copied {
            Ok((pages, copied)) if copied < pages => {
                if i64::from(WARN_PAGES) < pages && !std::mem::replace(&mut self.has_warned, true) {
                    tracing::warn!(pages, "a reader of the database keeps its WAL from being copied; it grows");
                }
            }
            Ok(_) => self.has_warned = false,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                self.state.stop_with(&error.into());
            }
            // On a full disk the WAL keeps what it has, and the next commit tries again.
            Err(error) => tracing::error!(%error, "checkpoint failed; retrying after the next commit"),
        }
    }
}
