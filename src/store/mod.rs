//! Durable storage: one SQLite database, one writer, and one commit for everything that waits.
//!
//! ```text
//!   write(job) ---.
//!   write(job) ----> writer: BEGIN, job, job, job, COMMIT, sync --> all three futures resolve
//!   write(job) ---'
//!   read(query) -----> a reader beside it, which sees the last commit (WAL)
//! ```
//!
//! A future of [`Store::write`] resolves after its commit is on stable storage, and only then: see `mirror`. Rooms above
//! bring their own tables as a [`Schema`]; the bytes of letters are kept here, once each, by [`content`], in their rows or in
//! files beside the database.

mod aside;
mod cache;
pub mod content;
mod disk;
mod inline;
mod keeper;
mod log;
mod mirror;
mod recovery;
mod segments;
mod straight;
mod transaction;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::mail::Content;
pub use disk::Disk;
use keeper::{Keeper, Memory, Unsure};
use mirror::Mirror;
use segments::{Files, Segments};
use transaction::Contents;
pub use transaction::Transaction;
use writer::{Haste, Job, Writer};

/// Pages that the writer keeps, in KiB: what a few commits touch; the rest is as near in the memory of the system.
const WRITER_CACHE_KIB: i64 = 4 * 1024;
/// Waits this long for another process that holds the database, in milliseconds.
const BUSY_PATIENCE_MS: u32 = 5_000;
/// The folder of contents, beside the database.
const CONTENTS: &str = "contents";
/// So often a content may be moved while somebody looks for it.
const MOVES_MAX: usize = 8;
/// So much of the file is read where the system has it in memory, without a call for each page.
const READ_MAPPED_BYTES: i64 = 4 << 30;

/// The tables of one room: SQL steps, run once each, in order. To change a table, add a step.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Whose tables they are.
    pub room: &'static str,
    /// What made them so far.
    pub steps: &'static [&'static str],
    /// Forgets what they know of the content ?1, which has gone. A trigger would make SQLite keep a journal for each.
    pub forget: Option<&'static str>,
    /// Counts again what is in them, after a start has forgotten rows.
    pub recount: Option<&'static str>,
}

/// Why something was not stored or not found.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No room, or no right to write.
    #[error("the disk refused to store it: {0}")]
    Refused(Arc<str>),
    /// What should be there is not.
    #[error("no such content: {0}")]
    Missing(i64),
    /// The database or its folder cannot be used.
    #[error("the store {path} cannot be used: {why}")]
    Unusable {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        why: Arc<str>,
    },
    /// The process is about to end.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error.to_string().into())
    }
}

/// The store of one process. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>, Disk);

struct Inner {
    writer: Writer,
    readers: Readers,
    cache: cache::Cache,
}

/// Where reads happen.
enum Readers {
    /// Connections of their own, as many as were ever needed at once.
    Pool { path: PathBuf, idle: Mutex<Vec<Connection>>, files: Arc<Files>, unsure: Arc<Unsure> },
    /// The writer's connection, and the contents.
    Shared(Arc<Mutex<Connection>>, Arc<Memory>),
}

impl Store {
    /// Opens the database file, or makes it, and starts the writer's thread.
    ///
    /// # Errors
    /// The file cannot be made or is not a database of ours.
    pub fn open(path: &Path, schemas: &[Schema]) -> Result<Self, Error> {
        let unusable =
            |error: &dyn std::fmt::Display| Error::Unusable { path: path.into(), why: error.to_string().into() };
        let files = Arc::new(Files::new(path.with_file_name(CONTENTS)));
        let has_crashed = mirror::restore(path, &files).map_err(|error| unusable(&error))?;
        let ready = open_writer(path).and_then(|connection| {
            let mut connection = prepare(connection, schemas)?;
            if has_crashed {
                recovery::forget_torn(&mut connection, &files, schemas)?;
            }
            Ok((recovery::live(&connection)?, recovery::last(&connection)?, connection))
        });
        let (live, last, connection) = ready.map_err(|error| unusable(&error))?;
        let segments = Segments::open(files.clone(), &live).map_err(|error| unusable(&error))?;
        let log = Mirror::start(&connection, path).map_err(|error| unusable(&error))?.map(Box::new);
        let keeper = Keeper::files(segments, log, Contents::new(last, schemas));
        let readers = Readers::Pool { path: path.into(), idle: Mutex::default(), files, unsure: keeper.unsure() };
        Ok(Self::with(Writer::thread(connection, keeper)?, readers))
    }

    /// A database in memory that commits at the same moment, without a thread: for virtual time and for tests of rooms
    /// above.
    ///
    /// # Errors
    /// A schema is wrong.
    pub fn in_memory(schemas: &[Schema]) -> Result<Self, Error> {
        let connection = Arc::new(Mutex::new(prepare(open_memory()?, schemas)?));
        let memory = Arc::new(Memory::default());
        let writer = Writer::inline(connection.clone(), Keeper::memory(memory.clone(), Contents::new(0, schemas)));
        Ok(Self::with(writer, Readers::Shared(connection, memory)))
    }

    fn with(writer: Writer, readers: Readers) -> Self {
        Self(Arc::new(Inner { writer, readers, cache: cache::Cache::default() }), Disk::default())
    }

    /// The same store, as a host with this disk sees it.
    pub fn on(&self, disk: Disk) -> Self {
        Self(self.0.clone(), disk)
    }

    /// Runs `job` in the next transaction and waits until it is durable.
    ///
    /// A job that fails changes nothing, and the others of its transaction are not touched.
    ///
    /// # Errors
    /// The job failed, or the commit did: then nothing of it is stored.
    pub async fn write<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.write_then(job, |value| value).await
    }

    /// The same where nobody waits for it: it shares the next commit, and has one of its own after some milliseconds.
    ///
    /// # Errors
    /// The job failed, or the commit did: then nothing of it is stored.
    pub async fn write_soon<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.submit(job, |value| value, Haste::Soon).await
    }

    /// The same, and once it is durable, `then` with what the job made: in the order of commits, before anybody is
    /// answered, and whether or not the caller still waits. It must be short and must not ask the store.
    ///
    /// # Errors
    /// The job failed, or the commit did: then nothing of it is stored.
    pub async fn write_then<T, U, F, G>(&self, job: F, then: G) -> Result<U, Error>
    where
        T: Send + 'static,
        U: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        G: FnOnce(T) -> U + Send + 'static,
    {
        self.submit(job, then, Haste::Now).await
    }

    async fn submit<T, U, F, G>(&self, job: F, then: G, haste: Haste) -> Result<U, Error>
    where
        T: Send + 'static,
        U: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        G: FnOnce(T) -> U + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let result = job(transaction);
            let kept = result.is_ok();
            let tell = move |commit: Result<(), Error>| {
                // Whoever asked may have gone; what was stored stays stored.
                let _ = answer.send(commit.and_then(|()| Ok(then(result?))));
            };
            (kept, Box::new(tell))
        });
        self.1.work().await;
        self.1.check()?;
        let caller = (haste == Haste::Now).then(|| self.0.writer.enter());
        self.0.writer.submit(job, haste).await;
        let outcome = answered.await.map_err(|_| Error::Closed)?;
        drop(caller);
        self.1.work().await;
        outcome
    }

    /// Runs a short query beside the writer; it sees every commit that was answered before.
    ///
    /// # Errors
    /// SQLite cannot answer.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        match &self.0.readers {
            Readers::Shared(connection, _) => Ok(query(&connection.lock().unwrap_or_else(PoisonError::into_inner))?),
            Readers::Pool { path, idle, unsure, .. } => {
                let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = match pooled {
                    Some(connection) => connection,
                    None => open_reader(path)?,
                };
                let result = query(&connection);
                unsure.wait();
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                Ok(result?)
            }
        }
    }

    /// The content stored under this id, from memory where possible; it is at hand from now on.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn content(&self, id: i64) -> Result<Content, Error> {
        if let Some(content) = self.at_hand(id) {
            return Ok(content);
        }
        self.glance(id).inspect(|content| self.remember(id, content))
    }

    /// The same for somebody who may be the last to ask for a while: it takes no room at hand from others.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn glance(&self, id: i64) -> Result<Content, Error> {
        let mut tries = 0..MOVES_MAX;
        loop {
            if let Some(content) = self.at_hand(id) {
                return Ok(content);
            }
            let found = self.read(|connection| content::find(connection, id))?.ok_or(Error::Missing(id))?;
            match self.open_content(found) {
                // It was moved between the two steps.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries.next().is_some() => {}
                outcome => return outcome.map_err(|error| Error::Refused(error.to_string().into())),
            }
        }
    }

    /// Contents by their ids, those that are not at hand by one read; `None` for those that are gone. They take no room
    /// at hand from others.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn contents(&self, ids: &[i64]) -> Result<Vec<Option<Content>>, Error> {
        let mut contents: Vec<_> = ids.iter().map(|id| self.at_hand(*id)).collect();
        let missing = || ids.iter().enumerate().filter(|(at, _)| contents[*at].is_none());
        if missing().next().is_none() {
            return Ok(contents);
        }
        let found: Vec<(usize, Option<content::Found>)> = self.read(|connection| {
            let _moment = connection.unchecked_transaction()?;
            missing().map(|(at, id)| Ok((at, content::find(connection, *id)?))).collect()
        })?;
        for (at, found) in found {
            contents[at] = match found.map(|found| self.found(found)).transpose() {
                Err(Error::Missing(_)) => None,
                outcome => outcome?,
            };
        }
        Ok(contents)
    }

    /// A content whose place was found beside other things.
    ///
    /// # Errors
    /// It is gone, or cannot be read.
    pub fn found(&self, found: content::Found) -> Result<Content, Error> {
        let id = found.id;
        match self.at_hand(id) {
            Some(content) => Ok(content),
            None => {
                let opened = self.open_content(found).inspect(|content| self.0.cache.offer(id, content));
                opened.or_else(|_| self.content(id))
            }
        }
    }

    fn open_content(&self, found: content::Found) -> io::Result<Content> {
        let id = found.id;
        let content = match &self.0.readers {
            Readers::Pool { files, .. } => found.open(files)?,
            Readers::Shared(..) => return Err(io::ErrorKind::NotFound.into()),
        };
        content.set_stored_id(id);
        Ok(content)
    }

    /// The content stored under this id if it is in memory.
    pub fn at_hand(&self, id: i64) -> Option<Content> {
        match &self.0.readers {
            Readers::Shared(_, memory) => memory.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned(),
            Readers::Pool { .. } => self.0.cache.find(id),
        }
    }

    /// Keeps a content that was just stored or read at hand, since the next to ask for it is near.
    pub fn remember(&self, id: i64, content: &Content) {
        self.0.cache.keep(id, content);
    }

    /// The buffer already at hand for the same content, so that hops of one process share it; else the given one.
    pub fn share(&self, content: Content) -> Content {
        self.0.cache.same(&content).unwrap_or(content)
    }

    /// A large content at hand that may begin like this, for who receives one: it may be that.
    pub fn like(&self, start: &[u8]) -> Option<Content> {
        self.0.cache.like(start)
    }

    /// The folder that the database lies in; `None` when it is in memory.
    pub fn folder(&self) -> Option<&Path> {
        match &self.0.readers {
            Readers::Pool { path, .. } => path.parent(),
            Readers::Shared(..) => None,
        }
    }

    /// How many transactions were committed since the start, for the benchmark and the group commit test.
    pub fn commits(&self) -> u64 {
        self.0.writer.commits()
    }
}

fn prepare(mut connection: Connection, schemas: &[Schema]) -> rusqlite::Result<Connection> {
    // Uses are counted. SQLite would look through every queue for each content that goes.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS schema (room TEXT PRIMARY KEY, steps INTEGER NOT NULL) STRICT")?;
    for schema in std::iter::once(&content::SCHEMA).chain(schemas) {
        migrate(&mut connection, schema)?;
    }
    Ok(connection)
}

/// The writer's connection, which syncs what it commits until a mirror of its log does.
fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_PATIENCE_MS.into()))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    Ok(connection)
}

/// A database in memory. SQLite looks through all pages of such a one after most commits that split one, so they are
/// large: few, and seldom split.
fn open_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "page_size", 16_384)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, schema: &Schema) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let sql = "INSERT INTO schema VALUES (?1, 0) ON CONFLICT (room) DO UPDATE SET steps = steps RETURNING steps";
    let done: usize = transaction.query_row(sql, [schema.room], |row| row.get(0))?;
    for step in schema.steps.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    let steps = done.max(schema.steps.len());
    transaction.execute("UPDATE schema SET steps = ?2 WHERE room = ?1", rusqlite::params![schema.room, steps])?;
    transaction.commit()
}

fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_PATIENCE_MS.into()))?;
    connection.pragma_update(None, "mmap_size", READ_MAPPED_BYTES)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

#[cfg(test)]
pub(crate) mod tests;
