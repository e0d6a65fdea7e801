//! The one writer: takes every job that waits into one transaction, and their contents into one piece of a segment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::keeper::Keeper;
use super::{Error, Transaction, content};

/// Jobs that may wait; more make their senders wait.
const WAITING_MAX: usize = 4096;
/// Jobs in one transaction, so that the first of them does not wait for ever.
const BATCH_MAX: usize = 2048;

/// What one caller wants stored: does it, and says whether to keep it and whom to tell about the commit.
pub(super) type Job = Box<dyn FnOnce(&Transaction<'_>) -> (bool, Tell) + Send>;
pub(super) type Tell = Box<dyn FnOnce(Result<(), Error>) + Send>;

pub(super) struct Writer {
    way: Way,
    commits: Arc<AtomicU64>,
}

enum Way {
    Thread(mpsc::Sender<Job>),
    Inline(Arc<Mutex<Connection>>, Mutex<Keeper>),
}

impl Writer {
    /// Commits on a thread of its own, which ends when the writer is dropped.
    pub(super) fn thread(mut connection: Connection, mut keeper: Keeper) -> Result<Self, Error> {
        let (sender, mut waiting) = mpsc::channel::<Job>(WAITING_MAX);
        let commits = Arc::new(AtomicU64::new(0));
        let count = commits.clone();
        let work = move || {
            while let Some(first) = waiting.blocking_recv() {
                let rest = std::iter::from_fn(|| waiting.try_recv().ok());
                commit(&mut connection, &mut keeper, std::iter::once(first).chain(rest).take(BATCH_MAX));
                count.fetch_add(1, Ordering::Relaxed);
                tidy(&mut connection, &mut keeper);
            }
        };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(work);
        thread.map_err(|error| Error::Refused(error.to_string().into()))?;
        Ok(Self { way: Way::Thread(sender), commits })
    }

    /// Commits at once, in the caller's own task.
    pub(super) fn inline(connection: Arc<Mutex<Connection>>, keeper: Keeper) -> Self {
        Self { way: Way::Inline(connection, Mutex::new(keeper)), commits: Arc::default() }
    }

    pub(super) async fn submit(&self, job: Job) -> Result<(), Error> {
        match &self.way {
            Way::Thread(sender) => sender.send(job).await.map_err(|_| Error::Closed)?,
            Way::Inline(connection, keeper) => {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let mut keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner);
                commit(&mut connection, &mut keeper, std::iter::once(job));
                self.commits.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

/// Runs the jobs in one transaction and tells each what became of it.
fn commit(connection: &mut Connection, keeper: &mut Keeper, jobs: impl Iterator<Item = Job>) {
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
    jobs: impl Iterator<Item = Job>,
    tells: &mut Vec<Tell>,
) -> Result<(), Error> {
    let transaction = Transaction::new(connection.transaction()?, keeper);
    for job in jobs {
        attempt(&transaction, job, tells)?;
    }
    finish(transaction, keeper)
}

/// Makes a transaction durable: its bytes and its rows side by side.
fn finish(transaction: Transaction<'_>, keeper: &mut Keeper) -> Result<(), Error> {
    let (sql, batch) = transaction.into_parts();
    keeper.write(&batch)?;
    let committed = sql.commit();
    keeper.wait()?;
    committed?;
    keeper.settle(batch);
    Ok(())
}

/// Empties a segment in which little lives.
fn tidy(connection: &mut Connection, keeper: &mut Keeper) {
    let Some((segment, files)) = keeper.sparse() else { return };
    let gathered = connection.transaction().map_err(Error::from).and_then(|sql| {
        let transaction = Transaction::new(sql, keeper);
        content::gather(&transaction, segment, &files)?;
        finish(transaction, keeper)
    });
    if let Err(error) = gathered {
        tracing::error!(%error, segment, "contents cannot be moved; their segment stays as it is");
        keeper.leave(segment);
    }
}

/// One job on a savepoint. A job that panics is one that failed; the writer goes on for the others.
fn attempt(transaction: &Transaction<'_>, job: Job, tells: &mut Vec<Tell>) -> rusqlite::Result<()> {
    transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
    let mark = transaction.mark();
    let outcome = catch_unwind(AssertUnwindSafe(|| job(transaction)));
    let kept = match outcome {
        Ok((kept, tell)) => {
            tells.push(tell);
            kept
        }
        Err(_) => false,
    };
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
    Ok(())
}
