//! What a job works with: the tables, and the contents that become durable in the same commit.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use rusqlite::Connection;

use super::Schema;
use super::cache::Cache;
use super::segments::Location;
use crate::mail::Content;

/// A transaction of the writer; several jobs share one. Dropped before its commit, it changes nothing.
pub struct Transaction<'a> {
    connection: &'a Connection,
    registry: &'a ContentRegistry,
    /// Contents below this size are stored in their row.
    inline_limit: usize,
    batch: RefCell<Batch>,
}

/// What every transaction has to know of contents.
pub(super) struct ContentRegistry {
    pub(super) cache: Arc<Cache>,
    /// See [`Schema::on_content_deleted`].
    on_deleted: Vec<&'static str>,
}

impl ContentRegistry {
    pub(super) fn new(cache: Arc<Cache>, schemas: &[Schema]) -> Self {
        Self { cache, on_deleted: schemas.iter().filter_map(|schema| schema.on_content_deleted).collect() }
    }
}

/// What happens to contents in one commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// New contents of a segment, one after the other.
    pub(super) added: Vec<Added>,
    /// New contents, to be cached once they are committed.
    pub(super) new: Vec<(i64, Content)>,
    /// Places whose contents are deleted or were moved.
    pub(super) freed: Vec<Location>,
    /// Contents that are deleted.
    pub(super) deleted: Vec<i64>,
    /// Where the next content goes.
    end: Location,
}

/// A content on its way into a segment.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) location: Location,
    pub(super) content: Content,
}

impl<'a> Transaction<'a> {
    /// Begins a transaction, which takes SQLite's write lock. New contents of at least `inline_limit` bytes go to a
    /// segment, the first of them to `end`.
    pub(super) fn begin(
        connection: &'a Connection,
        registry: &'a ContentRegistry,
        end: Location,
        inline_limit: usize,
    ) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let batch = Batch { end, ..Batch::default() };
        Ok(Self { connection, registry, inline_limit, batch: RefCell::new(batch) })
    }

    /// Takes what happened to contents out of the transaction; what is left is empty.
    pub(super) fn take_batch(&self) -> Batch {
        self.batch.take()
    }

    /// Runs COMMIT. If it fails, the transaction is rolled back.
    pub(super) fn commit(self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// The cache of contents of the store.
    pub(super) fn cache(&self) -> &Cache {
        &self.registry.cache
    }

    /// Gives a content the next place in a segment, where the commit writes it; `None` if it is small enough for its
    /// row, and then nothing is noted.
    pub(super) fn place(&self, content: &Content) -> Option<Location> {
        (self.inline_limit <= content.bytes().len()).then(|| self.append(content))
    }

    /// Gives a content, of any size, the next place in a segment, where the commit writes it.
    pub(super) fn append(&self, content: &Content) -> Location {
        let mut batch = self.batch.borrow_mut();
        let location = Location { length: content.bytes().len() as u64, ..batch.end };
        batch.end.start += location.length;
        batch.added.push(Added { location, content: content.clone() });
        location
    }

    /// Notes a new content, which is cached after the commit.
    pub(super) fn note_new(&self, id: i64, content: &Content) {
        self.batch.borrow_mut().new.push((id, content.clone()));
    }

    /// Notes that a content is deleted and its place in a segment free, if it has one, and runs the
    /// [`Schema::on_content_deleted`] of each module.
    pub(super) fn note_deleted(&self, id: i64, location: Option<Location>) -> rusqlite::Result<()> {
        location.into_iter().for_each(|location| self.release_location(location));
        self.batch.borrow_mut().deleted.push(id);
        self.registry.on_deleted.iter().try_for_each(|sql| self.prepare_cached(sql)?.execute([id]).map(drop))
    }

    /// Notes that a place in a segment is no longer used, which the commit counts as free.
    pub(super) fn release_location(&self, location: Location) {
        self.batch.borrow_mut().freed.push(location);
    }
}

impl Drop for Transaction<'_> {
    /// Rolls the transaction back, unless it was committed. A failure is logged.
    fn drop(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "ROLLBACK failed");
        }
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}
