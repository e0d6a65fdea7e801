//! What a job works with: the tables, and the contents that become durable in the same commit.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;

use super::Schema;
use super::keeper::Keeper;
use super::segments::Place;
use crate::mail::Content;

/// A transaction of the writer; several jobs share one. Dropped before its commit, it changes nothing.
pub struct Transaction<'a> {
    sql: &'a Connection,
    contents: Arc<Contents>,
    batch: RefCell<Batch>,
}

/// What every transaction has to know of contents.
pub(super) struct Contents {
    /// The id that one got last.
    last: AtomicI64,
    /// See [`Schema::forget`].
    forget: Vec<&'static str>,
}

impl Contents {
    /// What was there before has no higher id than `last`.
    pub(super) fn new(last: i64, schemas: &[Schema]) -> Self {
        Self { last: last.into(), forget: schemas.iter().filter_map(|schema| schema.forget).collect() }
    }
}

/// What happens to contents in one commit.
#[derive(Debug)]
pub(super) struct Batch {
    /// New ones with their ids, as they lie one after the other.
    pub(super) added: Vec<(i64, Content)>,
    /// Those that are gone.
    pub(super) freed: Vec<(i64, Place)>,
    /// Where the next one goes.
    pub(super) end: Place,
    /// Smaller ones lie in their rows.
    small: usize,
}

/// How far a batch was before a job.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    added: usize,
    freed: usize,
    end: Place,
}

impl<'a> Transaction<'a> {
    /// Contents with fewer octets than `small` lie in their rows.
    pub(super) fn begin(sql: &'a mut Connection, keeper: &mut Keeper, small: usize) -> rusqlite::Result<Self> {
        sql.prepare_cached("BEGIN")?.execute([])?;
        let batch = Batch { added: Vec::new(), freed: Vec::new(), end: keeper.end(), small };
        Ok(Self { sql, contents: keeper.contents(), batch: RefCell::new(batch) })
    }

    /// What happened to contents.
    pub(super) fn take_batch(&mut self) -> Batch {
        let Batch { added, freed, end, small } = self.batch.get_mut();
        Batch { added: std::mem::take(added), freed: std::mem::take(freed), end: *end, small: *small }
    }

    pub(super) fn commit(self) -> rusqlite::Result<()> {
        self.sql.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// The id of a new content; nobody gets it again while the process lives.
    pub(super) fn next_id(&self) -> i64 {
        self.contents.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Where a content of so many octets is going to lie.
    pub(super) fn next_place(&self, octets: usize) -> Place {
        let batch = self.batch.borrow();
        if octets < batch.small { Place::default() } else { Place { octets: octets as u64, ..batch.end } }
    }

    /// It lies in the next place.
    pub(super) fn add(&self, id: i64, content: Content) {
        let mut batch = self.batch.borrow_mut();
        batch.end.start += content.bytes().len() as u64;
        batch.added.push((id, content));
    }

    /// Its row is gone, so its place is free, and nobody needs to know anything of it.
    pub(super) fn free(&self, id: i64, place: Place) -> rusqlite::Result<()> {
        self.vacate(id, place);
        self.contents.forget.iter().try_for_each(|sql| self.prepare_cached(sql)?.execute([id]).map(drop))
    }

    /// It is gone from its place.
    pub(super) fn vacate(&self, id: i64, place: Place) {
        self.batch.borrow_mut().freed.push((id, place));
    }

    pub(super) fn mark(&self) -> Mark {
        let batch = self.batch.borrow();
        Mark { added: batch.added.len(), freed: batch.freed.len(), end: batch.end }
    }

    /// What happened since the mark did not.
    pub(super) fn rewind(&self, mark: Mark) {
        let mut batch = self.batch.borrow_mut();
        batch.added.truncate(mark.added);
        batch.freed.truncate(mark.freed);
        batch.end = mark.end;
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.sql.is_autocommit()
            && let Err(error) = self.sql.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction cannot be taken back");
        }
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.sql
    }
}
