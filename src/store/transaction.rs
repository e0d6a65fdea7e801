//! What a job works with: the tables, and the contents that become durable in the same commit.

use std::cell::RefCell;
use std::ops::Deref;

use super::keeper::Keeper;
use super::segments::Place;
use crate::mail::Content;

/// A transaction of the writer; several jobs share one.
pub struct Transaction<'a> {
    sql: rusqlite::Transaction<'a>,
    batch: RefCell<Batch>,
}

/// What happens to contents in one commit.
#[derive(Debug)]
pub(super) struct Batch {
    /// New ones with their ids, as they lie one after the other.
    pub(super) added: Vec<(i64, Content)>,
    /// Those that are gone.
    pub(super) freed: Vec<(i64, Place)>,
    /// Where the next one goes.
    end: Place,
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
    pub(super) fn new(sql: rusqlite::Transaction<'a>, keeper: &mut Keeper, small: usize) -> Self {
        let batch = Batch { added: Vec::new(), freed: Vec::new(), end: keeper.end(), small };
        Self { sql, batch: RefCell::new(batch) }
    }

    pub(super) fn into_parts(self) -> (rusqlite::Transaction<'a>, Batch) {
        (self.sql, self.batch.into_inner())
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

    /// It is gone from its place.
    pub(super) fn free(&self, id: i64, place: Place) {
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

impl<'a> Deref for Transaction<'a> {
    type Target = rusqlite::Transaction<'a>;

    fn deref(&self) -> &Self::Target {
        &self.sql
    }
}
