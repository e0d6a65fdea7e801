//! One commit: runs the jobs that wait in one transaction, makes it durable, and tells each what became of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::error::Failure;
use super::segments::Segments;
use super::transaction::{ContentRegistry, Transaction};
use super::{Error, content};

/// Contents below this size are stored in their row; larger ones would be written twice, to the WAL and to the database.
const INLINE_LIMIT: usize = 16 * 1024;

/// What one caller wants stored.
pub(super) trait Job: Send {
    /// Runs the job in the transaction, perhaps once more in a later one. Returns `false` if it failed: then nothing
    /// that it did is committed.
    fn run(&mut self, transaction: &Transaction<'_>) -> bool;

    /// Whether the job deletes, so that on a full disk it gets the room that is kept for deleting.
    fn frees_room(&self) -> bool;

    /// Answers the caller: with the job's own error if it failed, otherwise with the outcome of the commit.
    fn complete(self: Box<Self>, outcome: Result<(), Error>);
}

/// What commits work on, apart from the connection.
pub(super) struct CommitState {
    segments: Segments,
    registry: ContentRegistry,
    /// The last commit found no room.
    was_full: bool,
    /// Why nothing is stored any more, for [`super::Store::health`].
    stopped: watch::Sender<Option<Error>>,
    counters: Arc<Counters>,
}

/// What was done since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Commits that were tried, without those of compactions.
    pub(super) commits: AtomicU64,
    /// Jobs that were completed, also those that failed or were refused.
    pub(super) jobs: AtomicU64,
}

impl CommitState {
    pub(super) fn new(segments: Segments, registry: ContentRegistry) -> Self {
        Self { segments, registry, was_full: false, stopped: watch::Sender::new(None), counters: Arc::default() }
    }

    /// Replaces the segments by those that were opened anew after a simulated power cut.
    pub(super) fn replace_segments(&mut self, segments: Segments) {
        self.segments = segments;
    }

    /// A receiver of the [`Error::Stopped`] with which the store stops; `None` while it works.
    pub(super) fn stopped(&self) -> watch::Receiver<Option<Error>> {
        self.stopped.subscribe()
    }

    /// Whether the store has stopped for good after an I/O error.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.borrow().is_some()
    }

    /// Whether the last commit found no room.
    pub(super) fn was_full(&self) -> bool {
        self.was_full
    }

    /// The counters, which go on to change.
    pub(super) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Runs, commits and completes jobs, in as many transactions as that takes, and counts both.
    pub(super) fn commit_all(&mut self, connection: &Connection, mut jobs: Vec<Box<dyn Job>>) {
        while !jobs.is_empty() {
            let count = jobs.len();
            jobs = self.commit(connection, jobs);
            self.counters.jobs.fetch_add((count - jobs.len()) as u64, Ordering::Relaxed);
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs and commits jobs in one transaction, all or the first of them, and completes these, also if the commit
    /// failed; returns the others, to be committed after these. A job that fails and left changes is completed, and
    /// those before it run again in a new transaction. In a stopped store, all jobs are completed with its error.
    fn commit(&mut self, connection: &Connection, mut jobs: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        if let Some(error) = self.stopped.borrow().clone() {
            complete_all(jobs, &Err(error));
            return Vec::new();
        }
        let mut later = Vec::new();
        while !jobs.is_empty() {
            let end = self.segments.next_location();
            let transaction = match Transaction::begin(connection, &self.registry, end, INLINE_LIMIT) {
                Ok(transaction) => transaction,
                Err(error) => {
                    complete_all(jobs, &Err(log_refused(error.into())));
                    break;
                }
            };
            let (run, end) = run_all(&transaction, &mut jobs);
            later.splice(..0, jobs.split_off(run));
            let committed = match end {
                End::Complete => finish(transaction, connection, &mut self.segments, &self.registry),
                End::Aborted => {
                    drop(transaction);
                    Err(Failure::Refused(Error::Full))
                }
                End::Failed => {
                    drop(transaction);
                    complete_all(jobs.split_off(run - 1), &Ok(()));
                    continue;
                }
            };
            let outcome = committed.map_err(|failure| self.note(failure));
            self.was_full = matches!(outcome, Err(Error::Full));
            complete_all(jobs, &outcome);
            break;
        }
        later
    }

    /// Compacts one sparse segment, if there is one, in a commit of its own, and returns whether it did. After a
    /// failure, which is logged, the segment is not tried again, or after [`Error::Full`] none until something was
    /// appended or removed. Does nothing in a stopped store.
    pub(super) fn compact(&mut self, connection: &Connection) -> bool {
        if self.has_stopped() {
            return false;
        }
        let Some(segment) = self.segments.compaction_candidate() else { return false };
        let end = self.segments.next_location();
        let files = self.segments.files().clone();
        let moved =
            Transaction::begin(connection, &self.registry, end, 0).map_err(Error::from).and_then(|transaction| {
                content::compact_segment(&transaction, segment, &*files)?;
                Ok(transaction)
            });
        let moved = moved.map_err(Failure::Refused);
        let committed =
            moved.and_then(|transaction| finish(transaction, connection, &mut self.segments, &self.registry));
        if let Err(error) = committed.map_err(|failure| self.note(failure)) {
            tracing::error!(%error, segment, "segment compaction failed; segment kept");
            self.segments.skip_compaction(segment, &error);
            return false;
        }
        true
    }

    /// Stops the store for good after an I/O error, which is logged: what the system still believes to be written may
    /// be lost. Returns the [`Error::Stopped`] that answers all jobs from now on.
    pub(super) fn stop_with(&self, error: &Error) -> Error {
        let reason: Arc<str> = error.to_string().into();
        tracing::error!(%reason, "store stopped after an I/O error; restart required");
        let stopped = Error::Stopped(reason);
        self.stopped.send_replace(Some(stopped.clone()));
        stopped
    }

    /// Logs why a transaction was not committed, and returns the error. A fatal one stops the store, and is then its
    /// [`Error::Stopped`].
    fn note(&self, failure: Failure) -> Error {
        match failure {
            Failure::Refused(error) => log_refused(error),
            Failure::Fatal(error) => self.stop_with(&error),
        }
    }
}

/// Logs the error of a commit that was refused, and returns it unchanged.
fn log_refused(error: Error) -> Error {
    tracing::error!(%error, "commit refused");
    error
}

/// Makes a transaction durable: first its bytes in a segment, then its rows. Then updates the usage of segments in
/// memory, removes segments that hold nothing, and updates the cache. If a sync fails, or COMMIT by an I/O error, the
/// failure is fatal; otherwise the commit is refused, and the transaction is rolled back.
fn finish(
    transaction: Transaction<'_>,
    connection: &Connection,
    segments: &mut Segments,
    registry: &ContentRegistry,
) -> Result<(), Failure> {
    let batch = transaction.take_batch();
    let change = segments.record(connection, &batch).map_err(|error| Failure::Refused(error.into()))?;
    segments.append(&batch)?;
    transaction.commit().map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => Failure::Fatal(error.into()),
        _ => Failure::Refused(error.into()),
    })?;
    segments.apply_committed(change);
    batch.new.iter().for_each(|(id, content)| registry.cache.insert(*id, content));
    batch.deleted.iter().for_each(|id| registry.cache.remove(*id));
    Ok(())
}

/// How the jobs of a transaction ended.
enum End {
    /// All have run; what failed changed nothing.
    Complete,
    /// The last of them failed and left changes. Without it, the others run again: they are functions of what is stored.
    /// Savepoints would make each job pay for that.
    Failed,
    /// SQLite gave up the transaction, as it does when there is no room for what it has to write before the commit.
    Aborted,
}

/// Runs jobs in order, up to the first that ends the transaction, and returns how many ran with that one. A job that
/// failed or panicked without leaving changes does not end it.
fn run_all(transaction: &Transaction<'_>, jobs: &mut [Box<dyn Job>]) -> (usize, End) {
    for (at, job) in jobs.iter_mut().enumerate() {
        let changes = transaction.total_changes();
        let has_failed = !catch_unwind(AssertUnwindSafe(|| job.run(transaction))).unwrap_or(false);
        if transaction.is_autocommit() {
            return (at + 1, End::Aborted);
        }
        if has_failed && transaction.total_changes() != changes {
            return (at + 1, End::Failed);
        }
    }
    (jobs.len(), End::Complete)
}

/// Completes all jobs with this outcome, in order. A completion that panics is logged, and the next ones follow.
fn complete_all(jobs: Vec<Box<dyn Job>>, outcome: &Result<(), Error>) {
    for job in jobs {
        if catch_unwind(AssertUnwindSafe(|| job.complete(outcome.clone()))).is_err() {
            tracing::error!("a completion panicked; its caller is told");
        }
    }
}
