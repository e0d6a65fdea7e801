//! The memory of messages in flight: what has no room waits until others are done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A message of up to this size always has room: as many as can be in flight take 25 MiB.
const UNCOUNTED_BYTES: usize = 64 * 1024;
/// Maximum size of all larger messages in flight; one has room whatever its size.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Which large messages are in flight, and which wait for room.
#[derive(Default)]
pub(super) struct MessageMemory {
    in_flight: BTreeMap<i64, usize>,
    waiting: VecDeque<(i64, usize)>,
}

impl MessageMemory {
    /// Whether a message has room now, and is not before its turn.
    pub(super) fn has_room(&self, row: i64, bytes: usize) -> bool {
        bytes <= UNCOUNTED_BYTES || self.in_flight.contains_key(&row) || (self.waiting.is_empty() && self.fits(bytes))
    }

    /// A message takes its room until [`MessageMemory::release`].
    pub(super) fn take(&mut self, row: i64, bytes: usize) {
        if UNCOUNTED_BYTES < bytes {
            self.in_flight.insert(row, bytes);
        }
    }

    /// A message waits until it has room.
    pub(super) fn wait(&mut self, row: i64, bytes: usize) {
        self.waiting.push_back((row, bytes));
    }

    /// A message is no longer in flight. Those that have taken its room are returned, and do not wait any more.
    pub(super) fn release(&mut self, row: i64) -> Vec<i64> {
        if self.in_flight.remove(&row).is_some() { self.admit_waiting() } else { Vec::new() }
    }

    /// These messages do not wait any more. Those that have taken their turn are returned.
    pub(super) fn withdraw(&mut self, rows: &BTreeSet<i64>) -> Vec<i64> {
        self.waiting.retain(|(row, _)| !rows.contains(row));
        self.admit_waiting()
    }

    pub(super) fn is_waiting(&self, row: i64) -> bool {
        self.waiting.iter().any(|(waiting, _)| *waiting == row)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }

    fn fits(&self, bytes: usize) -> bool {
        let taken: usize = self.in_flight.values().sum();
        taken == 0 || taken + bytes <= MAX_BYTES
    }

    /// Takes the room for those that waited longest.
    fn admit_waiting(&mut self) -> Vec<i64> {
        let mut admitted = Vec::new();
        while let Some((row, bytes)) = self.waiting.front().copied().filter(|(_, bytes)| self.fits(*bytes)) {
            self.waiting.pop_front();
            self.in_flight.insert(row, bytes);
            admitted.push(row);
        }
        admitted
    }
}
