//! The one writer: takes every job that waits into one transaction, and their contents into one piece of a segment.
//!
//! ```text
//!  write ──── nobody else writes ───▶ the caller commits at once, and all that waits with it
//!  write ──── others do ────┐
//!  write_soon ──────────────┴─▶ waits ─▶ the writer's thread commits all that waits
//! ```

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::inline::Inline;
use super::keeper::Keeper;
use super::segments::Files;
use super::{Error, Transaction, content};

/// Jobs that may wait; more make their senders wait.
const WAITING_MAX: usize = 4096;
/// Jobs in one transaction, so that the first of them does not wait for ever.
const BATCH_MAX: usize = 2048;
/// So long a job waits for others that nobody is in a hurry for.
const PATIENCE: Duration = Duration::from_millis(5);
/// A commit that takes no longer may hold up the other tasks of its thread: to hand them to another thread costs a third
/// of that on a fast disk.
const BRIEF: Duration = Duration::from_millis(1);
/// To write more takes longer than that.
const BRIEF_OCTETS: usize = 256 << 10;

/// What one caller wants stored: does it, and says whether to keep it and whom to tell about the commit.
pub(super) type Job = Box<dyn FnOnce(&Transaction<'_>) -> (bool, Tell) + Send>;
pub(super) type Tell = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// How soon a job should be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// Somebody waits.
    Now,
    /// With the next commit, or after [`PATIENCE`].
    Soon,
}

pub(super) struct Writer {
    way: Way,
    commits: Arc<AtomicU64>,
}

enum Way {
    /// With the writer's thread.
    Shared(Arc<Shared>, Option<JoinHandle<()>>),
    Inline(Box<Inline>),
}

/// What the writer's thread and its callers work on.
struct Shared {
    /// Whoever holds it commits.
    desk: Mutex<ClientContext>,
    waiting: Mutex<Waiting>,
    bell: Condvar,
    room: Semaphore,
    /// Callers who want something now and have no answer yet.
    callers: AtomicUsize,
    commits: Arc<AtomicU64>,
}

struct ClientContext {
    connection: Connection,
    keeper: Keeper,
    /// How long the last commit took.
    took: Duration,
}

impl Drop for ClientContext {
    fn drop(&mut self) {
        self.keeper.close(&self.connection);
    }
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// One of them is wanted now.
    is_urgent: bool,
    /// A segment is to be emptied.
    is_untidy: bool,
    is_closed: bool,
}

impl Writer {
    /// Commits on a thread of its own where several want something, which ends when the writer is dropped.
    pub(super) fn thread(connection: Connection, keeper: Keeper) -> Result<Self, Error> {
        let commits = Arc::new(AtomicU64::new(0));
        let shared = Arc::new(Shared {
            desk: Mutex::new(ClientContext { connection, keeper, took: BRIEF }),
            waiting: Mutex::default(),
            bell: Condvar::new(),
            room: Semaphore::new(WAITING_MAX),
            callers: AtomicUsize::new(0),
            commits: commits.clone(),
        });
        let work = {
            let shared = shared.clone();
            move || while shared.work() {}
        };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(work);
        let thread = thread.map_err(|error| Error::Refused(error.to_string().into()))?;
        Ok(Self { way: Way::Shared(shared, Some(thread)), commits })
    }

    /// Commits in the callers' own tasks, at the same moment of virtual time.
    pub(super) fn inline(connection: Arc<Mutex<Connection>>, keeper: Keeper) -> Self {
        Self { way: Way::Inline(Box::new(Inline::new(connection, keeper))), commits: Arc::default() }
    }

    /// Sees to it that the job is done and told of, which may be later.
    pub(super) async fn submit(&self, job: Job, haste: Haste) {
        match &self.way {
            Way::Shared(shared, _) => {
                let job = if haste == Haste::Now && shared.may_lead() {
                    // Others of this thread may be about to write.
                    yield_now().await;
                    shared.lead(job)
                } else {
                    Some(job)
                };
                let Some(job) = job else { return };
                if let Ok(room) = shared.room.acquire().await {
                    room.forget();
                }
                shared.wait_in_line(job, haste);
            }
            Way::Inline(inline) => {
                let commits = inline.submit(job).await;
                self.commits.fetch_add(commits, Ordering::Relaxed);
            }
        }
    }

    /// Counts a caller who wants something now, for as long as the guard lives.
    pub(super) fn enter(&self) -> Option<Caller<'_>> {
        let Way::Shared(shared, _) = &self.way else { return None };
        shared.callers.fetch_add(1, Ordering::Relaxed);
        Some(Caller(&shared.callers))
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Way::Shared(shared, thread) = &mut self.way else { return };
        lock(&shared.waiting).is_closed = true;
        shared.bell.notify_one();
        // Afterwards the files are closed, unless the last who knew of the store was told of something by that thread.
        if let Some(thread) = thread.take_if(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

/// See [`Writer::enter`].
pub(super) struct Caller<'a>(&'a AtomicUsize);

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Whether nobody else writes, in a runtime whose threads may wait for a disk.
    fn may_lead(&self) -> bool {
        self.callers.load(Ordering::Relaxed) <= 1 && may_wait()
    }

    /// Commits here and now if nobody else writes: two hand-overs between threads take as long as a fast disk. Where
    /// others do, gives the job back, since it can share their commit. On a slow disk, other tasks of this thread go on.
    fn lead(&self, job: Job) -> Option<Job> {
        if !self.may_lead() {
            return Some(job);
        }
        let Ok(mut desk) = self.desk.try_lock() else { return Some(job) };
        if desk.took < BRIEF {
            self.commit(&mut desk, Some(job));
        } else {
            tokio::task::block_in_place(|| self.commit(&mut desk, Some(job)));
        }
        if desk.keeper.sparse().is_some() {
            lock(&self.waiting).is_untidy = true;
            self.bell.notify_one();
        }
        None
    }

    fn wait_in_line(&self, job: Job, haste: Haste) {
        let mut waiting = lock(&self.waiting);
        waiting.jobs.push_back(job);
        // Who is patient wakes nobody but a thread that knows of none.
        if waiting.jobs.len() == 1 || (haste == Haste::Now && !waiting.is_urgent) {
            self.bell.notify_one();
        }
        waiting.is_urgent |= haste == Haste::Now;
    }

    /// The thread's round: waits for work and does it; `false` when there will be no more.
    fn work(&self) -> bool {
        let is_idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.is_untidy && !waiting.is_closed;
        let is_patient = |waiting: &mut Waiting| !(waiting.is_urgent || waiting.is_untidy || waiting.is_closed);
        let waiting = lock(&self.waiting);
        let waiting = self.bell.wait_while(waiting, is_idle).unwrap_or_else(PoisonError::into_inner);
        let waiting = self.bell.wait_timeout_while(waiting, PATIENCE, is_patient);
        let (mut waiting, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        let (is_last, is_untidy) = (waiting.is_closed, std::mem::take(&mut waiting.is_untidy));
        drop(waiting);
        let mut desk = lock(&self.desk);
        self.commit(&mut desk, None);
        if is_untidy || desk.keeper.sparse().is_some() {
            let ClientContext { connection, keeper, .. } = &mut *desk;
            tidy(connection, keeper);
        }
        !(is_last && lock(&self.waiting).jobs.is_empty())
    }

    /// Everything that waits, and this job behind it.
    fn commit(&self, desk: &mut ClientContext, own: Option<Job>) {
        let jobs: Vec<_> = {
            let mut waiting = lock(&self.waiting);
            let taken = waiting.jobs.len().min(BATCH_MAX);
            waiting.is_urgent &= taken < waiting.jobs.len();
            self.room.add_permits(taken);
            waiting.jobs.drain(..taken).chain(own).collect()
        };
        if jobs.is_empty() {
            return;
        }
        let ClientContext { connection, keeper, took } = desk;
        let began = Instant::now();
        commit(connection, keeper, jobs);
        self.commits.fetch_add(1, Ordering::Relaxed);
        *took = began.elapsed();
        keeper.tidy(connection);
    }
}

/// What a panic elsewhere has left is whole: transactions end with their jobs.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the jobs in one transaction and tells each what became of it.
pub(super) fn commit(connection: &mut Connection, keeper: &mut Keeper, jobs: Vec<Job>) {
    let mut tells = Vec::new();
    let outcome = transact(connection, keeper, jobs, &mut tells);
    if let Err(error) = &outcome {
        tracing::error!(%error, jobs = tells.len(), "commit failed");
    }
    for tell in tells {
        tell(outcome.clone());
    }
}

fn transact(
    connection: &mut Connection,
    keeper: &mut Keeper,
    jobs: Vec<Job>,
    tells: &mut Vec<Tell>,
) -> Result<(), Error> {
    keeper.check()?;
    let small = keeper.small(jobs.len());
    let transaction = Transaction::begin(connection, keeper, small)?;
    // One that has the transaction for itself needs no savepoint.
    let is_alone = jobs.len() == 1;
    for job in jobs {
        let kept = if is_alone { run(&transaction, job, tells) } else { attempt(&transaction, job, tells)? };
        if is_alone && !kept {
            return Ok(());
        }
    }
    finish(transaction, keeper)
}

/// Makes a transaction durable: its bytes and its rows side by side.
fn finish(mut transaction: Transaction<'_>, keeper: &mut Keeper) -> Result<(), Error> {
    let batch = transaction.take_batch();
    let octets: usize = batch.added.iter().map(|(_, content)| content.bytes().len()).sum();
    let store = || {
        keeper.write(&batch)?;
        commit_rows(transaction, keeper)
    };
    // A large letter holds nobody up whose task has this thread, too.
    if BRIEF_OCTETS < octets && may_wait() { tokio::task::block_in_place(store) } else { store() }?;
    keeper.settle(batch);
    Ok(())
}

fn commit_rows(transaction: Transaction<'_>, keeper: &mut Keeper) -> Result<(), Error> {
    let unsure = keeper.unsure();
    let _unsure = unsure.begin();
    let committed = transaction.commit();
    if committed.is_err() {
        keeper.give_up();
    }
    keeper.wait()?;
    Ok(committed?)
}

/// Whether this is a runtime whose threads may wait for a disk.
fn may_wait() -> bool {
    Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Empties a segment in which little lives.
fn tidy(connection: &mut Connection, keeper: &mut Keeper) {
    let Some((segment, files)) = keeper.sparse() else { return };
    let gathered = gather(connection, keeper, segment, &files);
    if let Err(error) = gathered {
        tracing::error!(%error, segment, "contents cannot be moved; their segment stays as it is");
        keeper.leave(segment);
    }
}

fn gather(connection: &mut Connection, keeper: &mut Keeper, segment: i64, files: &Files) -> Result<(), Error> {
    let mut transaction = Transaction::begin(connection, keeper, 0)?;
    content::gather(&transaction, segment, files)?;
    let batch = transaction.take_batch();
    // Somebody relies on them: no row must say where bytes are not yet.
    keeper.moved(&batch)?;
    commit_rows(transaction, keeper)?;
    keeper.settle(batch);
    Ok(())
}

/// Does a job and says whether to keep it. One that panics has failed; the writer goes on for the others.
fn run(transaction: &Transaction<'_>, job: Job, tells: &mut Vec<Tell>) -> bool {
    let Ok((kept, tell)) = catch_unwind(AssertUnwindSafe(|| job(transaction))) else { return false };
    tells.push(tell);
    kept
}

/// The same on a savepoint.
fn attempt(transaction: &Transaction<'_>, job: Job, tells: &mut Vec<Tell>) -> rusqlite::Result<bool> {
    transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
    let mark = transaction.mark();
    let kept = run(transaction, job, tells);
    if transaction.is_autocommit() {
        // A full disk makes SQLite give up the whole transaction, with the jobs before this one.
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        return Err(rusqlite::Error::SqliteFailure(full, Some("no room for the whole transaction".to_owned())));
    }
    if !kept {
        transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
        transaction.rewind(mark);
    }
    transaction.prepare_cached("RELEASE job")?.execute([])?;
    Ok(kept)
}
