//! When each row of a queue is due, and which rows are in flight.
//!
//! A row that was deleted or is on hold may still be here: an attempt that takes it finds that in the store. A row that
//! waits is never missing, and none is taken twice at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// Maximum number of rows in flight. An operator who deletes more rows at once delays new attempts until that is stored.
const MAX_IN_FLIGHT: usize = 400;

/// The next row.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mta) enum Next {
    /// This row, now; it is in flight until [`DueIndex::end`].
    Due(i64),
    /// One is due then.
    At(Timestamp),
    /// None before a row is added or another is no longer in flight.
    Nothing,
}

#[derive(Default)]
pub(super) struct DueIndex {
    due: BTreeSet<(Timestamp, i64)>,
    /// Rows that are being tried or deleted.
    in_flight: BTreeMap<i64, AtEnd>,
}

/// What happens to a row when it is no longer in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtEnd {
    /// What the result of the attempt says.
    AsSettled,
    /// It is due then: the operator released or flushed it.
    DueAt(Timestamp),
    /// It is not due: the operator put it on hold.
    Held,
}

impl DueIndex {
    pub(super) fn new(due: BTreeSet<(Timestamp, i64)>) -> Self {
        Self { due, ..Self::default() }
    }

    /// Number of rows that wait for their time, without those in flight.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether no row waits for its time or is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.in_flight.is_empty()
    }

    /// Takes the first row if it is due at `now`, which is in flight from then on; else says when it is due. `Nothing`
    /// if none is due ever, or `MAX_IN_FLIGHT` rows are in flight.
    pub(super) fn next(&mut self, now: Timestamp) -> Next {
        match self.due.first().copied() {
            _ if MAX_IN_FLIGHT <= self.in_flight.len() => Next::Nothing,
            Some((due, row)) if due <= now => {
                self.due.remove(&(due, row));
                self.in_flight.insert(row, AtEnd::AsSettled);
                Next::Due(row)
            }
            Some((due, _)) => Next::At(due),
            None => Next::Nothing,
        }
    }

    /// Makes a row that is not in flight due at `due`.
    pub(super) fn add(&mut self, due: Timestamp, row: i64) {
        self.due.insert((due, row));
    }

    /// Ends the flight of a row. The row is due at `until`, if at all, unless the operator decided otherwise meanwhile:
    /// then it is due at the time of a release or flush, or not at all if it is on hold.
    pub(super) fn end(&mut self, row: i64, until: Option<Timestamp>) {
        let due = match self.in_flight.remove(&row) {
            None | Some(AtEnd::AsSettled) => until,
            Some(AtEnd::DueAt(due)) => Some(due),
            Some(AtEnd::Held) => None,
        };
        if let Some(due) = due {
            self.add(due, row);
        }
    }

    /// Ends the flight of a row that is to wait for a slot or for memory, with no due time. Returns `false` if the
    /// operator put the row on hold meanwhile, so that it must not wait.
    pub(super) fn leave(&mut self, row: i64) -> bool {
        self.in_flight.remove(&row) != Some(AtEnd::Held)
    }

    /// Whether the row is being tried or deleted.
    pub(super) fn is_in_flight(&self, row: i64) -> bool {
        self.in_flight.contains_key(&row)
    }

    /// The rows that are being tried or deleted, in ascending order.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = i64> {
        self.in_flight.keys().copied()
    }

    /// Marks these rows as in flight, so that no attempt takes them; the caller has made sure that none is due.
    pub(super) fn claim(&mut self, rows: &BTreeSet<i64>) {
        self.in_flight.extend(rows.iter().map(|row| (*row, AtEnd::AsSettled)));
    }

    /// Removes these rows from the due ones; those in flight are not due at the end of their flight either.
    pub(super) fn withdraw(&mut self, rows: &BTreeSet<i64>) {
        self.due.retain(|(_, row)| !rows.contains(row));
        for row in rows {
            self.in_flight.entry(*row).and_modify(|end| *end = AtEnd::Held);
        }
    }

    /// Makes these rows due at `due`, in place of any other time; those in flight as soon as their flight ends.
    pub(super) fn wake(&mut self, rows: &BTreeSet<i64>, due: Timestamp) {
        self.due.retain(|(_, row)| !rows.contains(row));
        for row in rows {
            match self.in_flight.get_mut(row) {
                Some(end) => *end = AtEnd::DueAt(due),
                None => self.add(due, *row),
            }
        }
    }
}
