//! Durable storage: one SQLite database, one writer, and one commit for every job that waits.
//!
//! ```text
//!   write(job) ---.
//!   write(job) ----> store thread: BEGIN, job, job, job, COMMIT --> all three futures resolve
//!   write(job) ---'
//!   read(query) -----> a connection beside it, which sees the last commit (WAL)
//! ```
//!
//! Modules above bring their own tables as a [`Schema`]. The bytes of messages are kept here, once each, by
//! [`content`]: small ones in their rows, larger ones in segment files beside the database.
//!
//! # The contract
//!
//! A future of [`Store::write`] resolves after its commit is on stable storage, and only then. A commit is, in this order:
//!
//! 1. `BEGIN IMMEDIATE`; each job runs. Where one failed and left changes, all is taken back, and the jobs before it
//!    run again without it.
//! 2. Large contents are appended to the last segment. A write that fails, as on a full disk, is taken back; the jobs are
//!    refused, and the store goes on.
//! 3. `fsync` of the folder of a new segment, `fdatasync` of the segment. If one fails, the store stops for good: what the system believes to be written may be
//!    lost, and a second sync would not tell.
//! 4. The end of the segment moves, and never back: a COMMIT that failed may still come to life after a crash, so no
//!    place that it named is written again.
//! 5. `COMMIT`: SQLite writes the rows to its WAL and syncs it (`synchronous=FULL`). `SQLITE_FULL` and `SQLITE_BUSY`
//!    refuse the jobs; an I/O error stops the store.
//! 6. Completions run, and callers are answered. A completion that panics harms no other.
//! 7. On the same thread, when no caller waits for it: the WAL is copied into the database from 8 MiB on, and when the disk
//!    is full, so that the next commit finds the room that the WAL takes (it never gets shorter). A segment of
//!    which little is needed is compacted by a commit of its own, and segments that hold nothing are removed.
//! 8. A file beside the database keeps the room of a commit and a checkpoint. On a full disk, jobs that delete
//!    ([`Store::freeing`]) are committed apart from the others, with that room; so does a start.
//!
//! So bytes are durable before the rows that name them, whatever a power cut interrupts, and nothing is deleted at a
//! start: the WAL is written and synced once more, since a process that was killed may have left it in the memory of the
//! system only; SQLite replays it, and files that no row names are removed. A segment that is missing or too short is
//! damage, and the store refuses to open. Bytes are compared with their hash when they are read.
//!
//! A stopped store answers every write with [`Error::Stopped`] and why; it goes on reading. [`Store::health`] tells it.

mod backup;
mod cache;
mod commit;
pub mod content;
mod disk_faults;
mod error;
mod open;
mod private;
mod reserve;
mod segment_files;
mod segments;
mod simulated_writer;
mod transaction;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::mail::Content;
use crate::sync::{beside_others, lock};
use cache::Cache;
use commit::{CommitState, Counters, Job};
use content::{ContentRef, LoadError};
pub use disk_faults::{DiskFault, DiskFaults};
pub use error::Error;
pub(crate) use private::{private_file, private_folder};
use reserve::Reserve;
pub(crate) use segment_files::sync_folder;
use segment_files::{DiskFiles, MemoryFiles, SegmentFiles};
use segments::Segments;
use simulated_writer::SimulatedWriter;
use transaction::ContentRegistry;
pub use transaction::Transaction;
use writer::{Priority, Writer};

/// The folder of segments, beside the database.
const CONTENTS: &str = "contents";
/// Retries of a content read that races with segment compaction.
const MAX_READ_RETRIES: usize = 8;

/// The tables of one module.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Whose tables they are.
    pub module: &'static str,
    /// SQL that makes them, run once each, in order. To change a table, add a migration.
    pub migrations: &'static [&'static str],
    /// Deletes what the tables know of the content `?1`, which is deleted. A trigger would make SQLite keep a journal for
    /// each.
    pub on_content_deleted: Option<&'static str>,
    /// Selects what refers to the content `?1`, as one text a row, for the report of damage.
    pub content_owners: Option<&'static str>,
    /// Selects the ids of contents that the tables refer to, and how often, for [`Store::refcount_errors`].
    pub content_uses: Option<&'static str>,
}

/// The store of one process. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    faults: DiskFaults,
}

struct Inner {
    backend: Backend,
    cache: Arc<Cache>,
    schemas: Vec<Schema>,
    stopped: watch::Receiver<Option<Error>>,
    counters: Arc<Counters>,
}

enum Backend {
    Disk(Disk),
    Memory(Memory),
}

/// A database file and segments beside it.
struct Disk {
    /// Connections for readers, as many as were ever needed at once. Closed before the writer, which then copies the WAL.
    readers: Mutex<Vec<Connection>>,
    writer: Writer,
    path: PathBuf,
    files: Arc<DiskFiles>,
    /// Released when the store is closed.
    _lock: File,
}

/// A database in memory, and segments in memory that know what a power cut would leave.
struct Memory {
    writer: SimulatedWriter,
    connection: Arc<Mutex<Connection>>,
    files: Arc<MemoryFiles>,
}

impl Inner {
    /// Queues a job for a commit. On a disk, returns before the commit, and waits only while the queue is full; in
    /// memory, ignores the priority and returns once the job is completed.
    async fn submit(&self, job: Box<dyn Job>, priority: Priority) {
        match &self.backend {
            Backend::Disk(disk) => disk.writer.submit(job, priority).await,
            Backend::Memory(memory) => memory.writer.submit(job).await,
        }
    }
}

impl Store {
    /// Opens the database file, or makes it, with the tables of these schemas, removes segment files that no row names,
    /// and starts the store thread. On an almost full disk, the room that is kept for deleting is freed first. When the
    /// last clone is dropped, the jobs that wait are finished first.
    ///
    /// # Errors
    /// [`Error::Unusable`]: another process has it, an older build wrote it, it is not ours, or a segment is missing.
    /// [`Error::Io`]: the store thread cannot be started.
    pub fn open(path: &Path, schemas: &[Schema]) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Unusable { path: path.into(), reason: reason.into() };
        let lock = open::lock_database(path).map_err(unusable)?;
        let mut reserve = Reserve::new(open::beside(path, "-reserve"));
        if reserve.is_needed() {
            reserve.give_up();
        }
        let files = Arc::new(DiskFiles::new(path.with_file_name(CONTENTS)));
        let opened = open::open_writer(path, &files, schemas)
            .and_then(|connection| Ok((Segments::open(files.clone(), &connection)?, connection)));
        let (segments, connection) = opened.map_err(|error| unusable(error.to_string()))?;
        let cache = Arc::new(Cache::default());
        let state = CommitState::new(segments, ContentRegistry::new(cache.clone(), schemas));
        let (stopped, counters) = (state.stopped(), state.counters());
        let writer = Writer::start(connection, state, reserve)?;
        let disk = Disk { readers: Mutex::default(), writer, path: path.into(), files, _lock: lock };
        Ok(Self::with(Inner { backend: Backend::Disk(disk), cache, schemas: schemas.to_vec(), stopped, counters }))
    }

    /// A database in memory, with segments in memory, without a thread: it commits once all other tasks that can run
    /// have run, so that no virtual time passes. For virtual time, and for tests of modules above.
    ///
    /// # Errors
    /// A schema is wrong.
    pub fn in_memory(schemas: &[Schema]) -> Result<Self, Error> {
        let (connection, files) = (open::open_in_memory(schemas)?, Arc::new(MemoryFiles::default()));
        let cache = Arc::new(Cache::default());
        let registry = ContentRegistry::new(cache.clone(), schemas);
        let state = CommitState::new(Segments::open(files.clone(), &connection)?, registry);
        let (stopped, counters) = (state.stopped(), state.counters());
        let connection = Arc::new(Mutex::new(connection));
        let memory = Memory { writer: SimulatedWriter::new(connection.clone(), state), connection, files };
        Ok(Self::with(Inner { backend: Backend::Memory(memory), cache, schemas: schemas.to_vec(), stopped, counters }))
    }

    /// A store without disk faults.
    fn with(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), faults: DiskFaults::default() }
    }

    /// Returns a handle to the same store whose writes meet these injected faults of a host's disk, in the place of
    /// those of `self`. Reads do not meet them.
    pub fn with_disk_faults(&self, faults: DiskFaults) -> Self {
        Self { inner: self.inner.clone(), faults }
    }

    /// The same store for jobs that free room, by deleting what a user or the queue no longer needs: on a full disk
    /// they have the room that is kept for them (step 8 above), and an injected [`DiskFault::Full`] lets them pass.
    pub fn freeing(&self) -> Self {
        self.with_disk_faults(self.faults.freeing())
    }

    /// Runs `job` in the next transaction, waits until it is durable, and returns what the job made.
    ///
    /// A job that fails changes nothing, and the others of its transaction are not touched. It may run more than once,
    /// where another job failed. If the future is dropped while it waits, the job may be committed all the same.
    ///
    /// # Errors
    /// The job's own, or why the commit failed; then nothing of it is stored.
    pub async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        self.write_with(job, |value| value).await
    }

    /// The same as [`Store::write`] for a job that is not urgent: it shares the next commit, and has one of its own
    /// after some milliseconds. Also returns once it is durable.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn write_batched<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        self.submit(job, |value| value, Priority::Batched).await
    }

    /// The same as [`Store::write`], but once the job is durable, runs `then` with what the job made, and returns the
    /// result of `then`. That runs in the order of commits, before the caller is answered, and even if the caller no
    /// longer waits. `then` must be short and must not use the store.
    ///
    /// # Errors
    /// As for [`Store::write`]. If `then` panics, [`Error::Panicked`], and what the job stored stays.
    pub async fn write_with<T, U, E, F, G>(&self, job: F, then: G) -> Result<U, E>
    where
        T: Send + 'static,
        U: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        G: FnOnce(T) -> U + Send + 'static,
    {
        self.submit(job, then, Priority::Immediate).await
    }

    /// Queues a [`Task`] of the job and its completion `then`, and waits for its answer. The disk faults of this handle
    /// delay the task, or refuse it before it is queued. If `then` panics, there is no answer, and [`Error::Panicked`]
    /// is returned.
    async fn submit<T, U, E, F, G>(&self, job: F, then: G, priority: Priority) -> Result<U, E>
    where
        T: Send + 'static,
        U: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        G: FnOnce(T) -> U + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let task = Task { job, then, result: None, answer, frees_room: self.faults.frees_room() };
        let commit = async {
            self.inner.submit(Box::new(task), priority).await;
            // Unanswered are jobs whose completion panicked.
            answered.await.unwrap_or_else(|_| Err(Error::Panicked.into()))
        };
        self.faults.around(commit).await
    }

    /// Runs a short query, on this thread; it sees every commit that was answered before. On a disk, it has a read-only
    /// connection of its own, beside the writer; in memory, it blocks the one connection.
    ///
    /// # Errors
    /// The query's, or the database cannot be opened.
    pub fn read<T, E>(&self, query: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, Error>
    where
        Error: From<E>,
    {
        match &self.inner.backend {
            Backend::Memory(memory) => Ok(query(&lock(&memory.connection))?),
            Backend::Disk(disk) => {
                let pooled = lock(&disk.readers).pop();
                let connection = match pooled {
                    Some(connection) => connection,
                    None => open::open_reader(&disk.path)?,
                };
                let result = query(&connection);
                lock(&disk.readers).push(connection);
                Ok(result?)
            }
        }
    }

    /// The content with this id, from the cache where possible; otherwise its bytes are read and compared with their
    /// hash.
    ///
    /// # Errors
    /// [`Error::Missing`], or [`Error::Damaged`], which is logged once with all that refers to the content, or why the
    /// tables cannot be read.
    pub fn get(&self, id: i64) -> Result<Content, Error> {
        if let Some(content) = self.inner.cache.find(id) {
            return Ok(content);
        }
        self.load(id, self.read(|connection| ContentRef::find(connection, id))?)
    }

    /// The contents with these ids, in their order; those that are not cached are found in one snapshot of the tables.
    ///
    /// # Errors
    /// The tables cannot be read. That a content is missing or damaged is said in its place.
    pub fn get_many(&self, ids: &[i64]) -> Result<Vec<Result<Content, Error>>, Error> {
        let cached: Vec<_> = ids.iter().map(|id| self.inner.cache.find(*id)).collect();
        if cached.iter().all(Option::is_some) {
            return Ok(cached.into_iter().flatten().map(Ok).collect());
        }
        let find = |connection: &Connection| {
            let _snapshot = connection.unchecked_transaction()?;
            let one = |(id, cached): (&i64, &Option<Content>)| match cached {
                Some(_) => Ok(None),
                None => ContentRef::find(connection, *id),
            };
            ids.iter().zip(&cached).map(one).collect::<rusqlite::Result<Vec<_>>>()
        };
        let found = self.read(find)?;
        let all = ids.iter().zip(cached).zip(found);
        Ok(all.map(|((id, cached), found)| cached.map_or_else(|| self.load(*id, found), Ok)).collect())
    }

    /// Reads the bytes of a content whose row is `found`, and offers them to the cache. Where the segment is gone,
    /// since a compaction moved the content, looks for the row again, up to [`MAX_READ_RETRIES`] times. If there is no
    /// row, returns [`Error::Missing`]; damage is noted and logged by [`Store::report_damage`].
    fn load(&self, id: i64, mut found: Option<ContentRef>) -> Result<Content, Error> {
        let mut retries = 0;
        loop {
            let content = found.ok_or(Error::Missing(id))?;
            let hash = *content.hash();
            match beside_others(content.len(), move || content.load(self.files())) {
                Ok(content) => {
                    self.inner.cache.insert_if_room(id, &content);
                    return Ok(content);
                }
                Err(LoadError::NoFile(_)) if retries < MAX_READ_RETRIES => retries += 1,
                Err(error) => return Err(self.report_damage(id, &hash, error.of(id))),
            }
            found = self.read(|connection| ContentRef::find(connection, id))?;
        }
    }

    /// Returns the error of a damaged content, after noting the damage in the cache, so that an equal content that is
    /// stored later replaces the bytes. At the first time only, logs the error with all that refers to the content.
    fn report_damage(&self, id: i64, hash: &[u8; 32], error: Error) -> Error {
        if self.inner.cache.note_damaged(id, hash) {
            let owners = self.owners(id).unwrap_or_default();
            let owners = if owners.is_empty() { "nothing".to_owned() } else { owners.join("; ") };
            tracing::error!("{error}; it is the content of {owners}");
        }
        error
    }

    /// How many contents are counted as used more or less often than the tables of modules refer to them.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn refcount_errors(&self) -> Result<u64, Error> {
        let uses = self.inner.schemas.iter().filter_map(|schema| schema.content_uses);
        self.read(|connection| content::refcount_errors(connection, uses))
    }

    /// What refers to a content, in words, by the [`Schema::content_owners`] of all schemas; empty if nothing does.
    fn owners(&self, id: i64) -> Result<Vec<String>, Error> {
        let mut owners = Vec::new();
        for sql in self.inner.schemas.iter().filter_map(|schema| schema.content_owners) {
            owners.extend(self.read(|connection| {
                connection.prepare(sql)?.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
            })?);
        }
        Ok(owners)
    }

    /// The files of the segments.
    fn files(&self) -> &dyn SegmentFiles {
        match &self.inner.backend {
            Backend::Disk(disk) => &*disk.files,
            Backend::Memory(memory) => &*memory.files,
        }
    }

    /// Returns `Ok` if the store has not stopped and the database can be read. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Stopped`], or why the database cannot be read.
    pub fn health(&self) -> Result<(), Error> {
        if let Some(error) = self.inner.stopped.borrow().clone() {
            return Err(error);
        }
        self.read(|connection| connection.query_row("SELECT 1", [], |_| Ok(())))
    }

    /// Resolves when the store has stopped after an I/O error, with why; never if it is only closed.
    pub async fn stopped(&self) -> Error {
        let mut stopped = self.inner.stopped.clone();
        let reason = stopped.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(error) => error,
            // The writer is gone without having failed.
            None => std::future::pending().await,
        }
    }

    /// Copies the store, as it is at one moment, into an empty folder, while it goes on. Blocks for as long as the copy
    /// takes.
    ///
    /// # Errors
    /// The folder holds something, a file cannot be read or written, or the store is in memory.
    pub fn backup(&self, folder: &Path) -> Result<(), Error> {
        match &self.inner.backend {
            Backend::Disk(disk) => backup::backup(&disk.path, &disk.files, folder),
            Backend::Memory(_) => Err(Error::Io("a world in memory has no files to copy".into())),
        }
    }

    /// Loses the bytes and names of segments that were not synced, as a power cut does, empties the cache, and opens
    /// the segments that are left. Committed rows stay, and jobs that wait go on. A store on a disk is not touched.
    ///
    /// # Errors
    /// What is left cannot be opened: something was named before it was on stable storage.
    pub fn cut_power(&self) -> Result<(), Error> {
        let Backend::Memory(memory) = &self.inner.backend else { return Ok(()) };
        memory.files.cut_power();
        self.inner.cache.clear();
        let segments = Segments::open(memory.files.clone(), &lock(&memory.connection))?;
        memory.writer.replace_segments(segments);
        Ok(())
    }

    /// The folder that the database lies in; `None` when the store is in memory.
    pub fn folder(&self) -> Option<&Path> {
        match &self.inner.backend {
            Backend::Disk(disk) => disk.path.parent(),
            Backend::Memory(_) => None,
        }
    }

    /// How many jobs were completed since the start, also those that failed or were refused.
    pub fn jobs(&self) -> u64 {
        self.inner.counters.jobs.load(Ordering::Relaxed)
    }

    /// How many commits were tried since the start, also those that were refused, without those of compactions.
    pub fn commits(&self) -> u64 {
        self.inner.counters.commits.load(Ordering::Relaxed)
    }
}

/// A caller's job, its completion, and the way to answer the caller.
struct Task<T, U, E, F, G> {
    job: F,
    then: G,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<U, E>>,
    frees_room: bool,
}

impl<T, U, E, F, G> Job for Task<T, U, E, F, G>
where
    T: Send,
    U: Send,
    E: From<Error> + Send,
    F: Fn(&Transaction<'_>) -> Result<T, E> + Send,
    G: FnOnce(T) -> U + Send,
{
    /// Runs the job and keeps its result, in the place of an earlier one, for the completion.
    fn run(&mut self, transaction: &Transaction<'_>) -> bool {
        self.result = None;
        self.result = Some((self.job)(transaction));
        matches!(self.result, Some(Ok(_)))
    }

    /// Whether the task was submitted by a handle of [`Store::freeing`].
    fn frees_room(&self) -> bool {
        self.frees_room
    }

    /// Answers with the error of the job, else that of the commit, else the result of `then`; [`Error::Panicked`] if
    /// the job panicked.
    fn complete(self: Box<Self>, outcome: Result<(), Error>) {
        let Self { then, result, answer, .. } = *self;
        let answer_with = match (result, outcome) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.into()),
            (Some(Ok(value)), Ok(())) => Ok(then(value)),
            (None, Ok(())) => Err(Error::Panicked.into()),
        };
        // The caller may be gone; what was stored stays stored.
        let _ = answer.send(answer_with);
    }
}

#[cfg(test)]
pub(crate) mod tests;
