//! One commit: runs the jobs that wait in one transaction, makes it durable, and tells each what became of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use super::segments::{AppendError, Segments};
use super::transaction::{ContentRegistry, Transaction};
use super::{Error, content};

/// Contents below this size are stored in their row; larger ones would be written twice, to the WAL and to the database.
const INLINE_LIMIT: usize = 16 * 1024;

/// What one caller wants stored.
pub(super) trait Job: Send {
    /// Runs in the transaction. Returns whether its changes are kept.
    fn run(&mut self, transaction: &Transaction<'_>) -> bool;

    /// Whether it deletes, so that it has the room that is kept for that.
    fn frees_room(&self) -> bool;

    /// Reports the outcome of the commit to the caller.
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
}

/// What became of a transaction whose jobs were run.
enum Outcome {
    Committed,
    /// Nothing is stored, and the store goes on.
    Refused(Error),
    /// Nothing more can be stored: what is on the disk is unknown.
    Failed(Error),
}

impl CommitState {
    pub(super) fn new(segments: Segments, registry: ContentRegistry) -> Self {
        Self { segments, registry, was_full: false, stopped: watch::Sender::new(None) }
    }

    /// Goes on with what a crash left of the segments.
    pub(super) fn replace_segments(&mut self, segments: Segments) {
        self.segments = segments;
    }

    pub(super) fn stopped(&self) -> watch::Receiver<Option<Error>> {
        self.stopped.subscribe()
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.borrow().is_some()
    }

    /// Whether the last commit found no room.
    pub(super) fn was_full(&self) -> bool {
        self.was_full
    }

    /// Commits all jobs, but for those that SQLite kept from running: they come back, to be committed on their own.
    pub(super) fn commit(&mut self, connection: &Connection, jobs: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        if let Some(error) = self.stopped.borrow().clone() {
            complete_all(jobs, &Err(error));
            return Vec::new();
        }
        let end = self.segments.next_location();
        let transaction = match Transaction::begin(connection, &self.registry, end, INLINE_LIMIT) {
            Ok(transaction) => transaction,
            Err(error) => {
                complete_all(jobs, &Err(refused(error.into())));
                return Vec::new();
            }
        };
        let mut waiting = jobs.into_iter();
        let mut run = Vec::with_capacity(waiting.len());
        let mut aborted = Ok(());
        for mut job in waiting.by_ref() {
            aborted = run_in_savepoint(&transaction, job.as_mut());
            run.push(job);
            if aborted.is_err() {
                break;
            }
        }
        let outcome = match aborted {
            Ok(()) => finish(transaction, connection, &mut self.segments, &self.registry),
            Err(error) => {
                drop(transaction);
                Outcome::Refused(error)
            }
        };
        let result = self.note(outcome).map_or(Ok(()), Err);
        self.was_full = matches!(result, Err(Error::Full));
        complete_all(run, &result);
        waiting.collect()
    }

    /// Compacts one sparse segment, if there is one. Returns whether it did.
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
        let outcome = match moved {
            Ok(transaction) => finish(transaction, connection, &mut self.segments, &self.registry),
            Err(error) => Outcome::Refused(error),
        };
        if let Some(error) = self.note(outcome) {
            tracing::error!(%error, segment, "segment compaction failed; segment kept");
            self.segments.skip_compaction(segment, &error);
            return false;
        }
        true
    }

    /// Stores nothing from now on, since a sync failed: what the system still believes to be written may be lost.
    pub(super) fn stop_with(&self, error: &Error) -> Error {
        let reason: Arc<str> = error.to_string().into();
        tracing::error!(%reason, "store stopped after an I/O error; restart required");
        let stopped = Error::Stopped(reason);
        self.stopped.send_replace(Some(stopped.clone()));
        stopped
    }

    /// The error of a transaction that was not committed.
    fn note(&self, outcome: Outcome) -> Option<Error> {
        match outcome {
            Outcome::Committed => None,
            Outcome::Refused(error) => Some(refused(error)),
            Outcome::Failed(error) => Some(self.stop_with(&error)),
        }
    }
}

fn refused(error: Error) -> Error {
    tracing::error!(%error, "commit refused");
    error
}

/// Makes a transaction durable: first its bytes in a segment, then its rows.
fn finish(
    transaction: Transaction<'_>,
    connection: &Connection,
    segments: &mut Segments,
    registry: &ContentRegistry,
) -> Outcome {
    let batch = transaction.take_batch();
    let change = match segments.record(connection, &batch) {
        Ok(change) => change,
        Err(error) => return Outcome::Refused(error.into()),
    };
    match segments.append(&batch) {
        Ok(()) => {}
        Err(AppendError::Refused(error)) => return Outcome::Refused(error.into()),
        Err(AppendError::Failed(error)) => return Outcome::Failed(error.into()),
    }
    if let Err(error) = transaction.commit() {
        let is_io = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        return if is_io { Outcome::Failed(error.into()) } else { Outcome::Refused(error.into()) };
    }
    segments.apply_committed(change);
    batch.new.iter().for_each(|(id, content)| registry.cache.insert(*id, content));
    batch.deleted.iter().for_each(|id| registry.cache.remove(*id));
    Outcome::Committed
}

/// Runs a job, and undoes its changes if it fails. One that panics has failed.
///
/// # Errors
/// SQLite gave up the whole transaction, with the jobs before this one.
fn run_in_savepoint(transaction: &Transaction<'_>, job: &mut dyn Job) -> Result<(), Error> {
    transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
    let savepoint = transaction.savepoint();
    let kept = catch_unwind(AssertUnwindSafe(|| job.run(transaction))).unwrap_or(false);
    if transaction.is_autocommit() {
        // It does so when there is no room for what it has to write before the commit.
        return Err(Error::Full);
    }
    if !kept {
        transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
        transaction.rollback_to(savepoint);
    }
    transaction.prepare_cached("RELEASE job")?.execute([])?;
    Ok(())
}

/// Completes jobs. One whose completion panics keeps no other from its own.
fn complete_all(jobs: Vec<Box<dyn Job>>, outcome: &Result<(), Error>) {
    for job in jobs {
        if catch_unwind(AssertUnwindSafe(|| job.complete(outcome.clone()))).is_err() {
            tracing::error!("a completion panicked; its caller is told");
        }
    }
}
