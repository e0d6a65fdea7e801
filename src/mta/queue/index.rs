//! When each row of a queue is due, and which are under way.
//!
//! A row that is not there any more, or is held, may stand here: whoever takes it out finds that in the store. A row
//! that waits is never missing, and none is taken out twice at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Entry;

/// Entries at hand, and their octets.
const MAX_CACHED_ENTRIES: usize = 4096;
const MAX_CACHED_BYTES: usize = 16 * 1024 * 1024;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This row, now; it is under way until [`DueIndex::end`].
    Due(i64),
    /// Something, then.
    At(Timestamp),
    /// Nothing.
    Nothing,
}

#[derive(Default)]
pub(super) struct DueIndex {
    due: BTreeSet<(Timestamp, i64)>,
    /// Entries that wait for their first attempt, as they stand in the store.
    cached: BTreeMap<i64, Entry>,
    /// Octets of them.
    cached_bytes: usize,
    /// Rows that are due, and wait until there is room on their way.
    parked: BTreeSet<i64>,
    /// Rows that are tried or changed, and when they are due again whatever comes of that.
    in_flight: BTreeMap<i64, Option<Timestamp>>,
}

impl DueIndex {
    pub(super) fn new(due: BTreeSet<(Timestamp, i64)>) -> Self {
        Self { due, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.due.len() + self.parked.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.len() == 0 && self.in_flight.is_empty() && self.cached.is_empty() && self.cached_bytes == 0
    }

    pub(super) fn next(&mut self, now: Timestamp) -> Next {
        match self.due.first().copied() {
            Some((due, row)) if due <= now => {
                self.due.remove(&(due, row));
                self.in_flight.insert(row, None);
                Next::Due(row)
            }
            Some((due, _)) => Next::At(due),
            None => Next::Nothing,
        }
    }

    /// Keeps an entry at hand until it is asked for, where there is room.
    pub(super) fn cache(&mut self, entry: Entry) {
        let bytes = self.cached_bytes + entry.queued.message.len();
        if self.cached.len() < MAX_CACHED_ENTRIES && bytes <= MAX_CACHED_BYTES && entry.attempts == 0 {
            self.cached_bytes = bytes;
            self.cached.insert(entry.row, entry);
        }
    }

    /// Takes an entry that is at hand.
    pub(super) fn take_cached(&mut self, row: i64) -> Option<Entry> {
        let entry = self.cached.remove(&row)?;
        self.cached_bytes -= entry.queued.message.len();
        Some(entry)
    }

    /// A new row.
    pub(super) fn add(&mut self, due: Timestamp, row: i64) {
        self.due.insert((due, row));
    }

    /// A row is under way no more; it waits until then, if at all.
    pub(super) fn end(&mut self, row: i64, until: Option<Timestamp>) {
        let again = self.in_flight.remove(&row).flatten();
        if let Some(due) = again.or(until) {
            self.add(due, row);
        }
    }

    /// A row is under way no more, and not due before [`DueIndex::unpark`].
    pub(super) fn park(&mut self, row: i64) {
        self.in_flight.remove(&row);
        self.parked.insert(row);
    }

    /// A parked row is due then; `false` if it is parked no more.
    pub(super) fn unpark(&mut self, row: i64, due: Timestamp) -> bool {
        let is_parked = self.parked.remove(&row);
        if is_parked {
            self.add(due, row);
        }
        is_parked
    }

    /// Whether the row is under way.
    pub(super) fn is_underway(&self, row: i64) -> bool {
        self.in_flight.contains_key(&row)
    }

    /// Takes those rows out that nobody else has, and says which.
    pub(super) fn claim(&mut self, rows: &BTreeSet<i64>) -> BTreeSet<i64> {
        let free: BTreeSet<_> = rows.iter().copied().filter(|row| !self.is_underway(*row)).collect();
        self.withdraw(&free);
        self.in_flight.extend(free.iter().map(|row| (*row, None)));
        free
    }

    /// These rows do not come up by themselves.
    pub(super) fn withdraw(&mut self, rows: &BTreeSet<i64>) {
        self.due.retain(|(_, row)| !rows.contains(row));
        self.parked.retain(|row| !rows.contains(row));
        // What is held must not be found at hand.
        rows.iter().for_each(|row| drop(self.take_cached(*row)));
    }

    /// These rows are due then, or as soon as they are not under way; parked ones are already.
    pub(super) fn wake(&mut self, rows: &BTreeSet<i64>, due: Timestamp) {
        let rows: BTreeSet<_> = rows.difference(&self.parked).copied().collect();
        self.withdraw(&rows);
        for row in &rows {
            match self.in_flight.get_mut(row) {
                Some(again) => *again = Some(due),
                None => self.add(due, *row),
            }
        }
    }
}
