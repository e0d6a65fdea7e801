//! The memory of messages in flight: what has no room waits until others are done.
//!
//! A destination has half of it, so that one that takes no data, as over a stalled link, does not hold up the mail to others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::mta::next_hop::NextHop;

/// A message of up to this size always has room: as many as can be in flight take 25 MiB.
const UNCOUNTED_BYTES: usize = 64 * 1024;
/// Maximum size of all larger messages in flight; one has room whatever its size.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Maximum size of those to one destination; one has room whatever its size.
const MAX_DESTINATION_BYTES: usize = MAX_BYTES / 2;

/// Which large messages are in flight, and which wait for room.
#[derive(Default)]
pub(super) struct MessageMemory {
    in_flight: BTreeMap<i64, LargeMessage>,
    waiting: VecDeque<(i64, LargeMessage)>,
}

struct LargeMessage {
    bytes: usize,
    hops: Vec<NextHop>,
}

impl LargeMessage {
    fn new(bytes: usize, hops: &[NextHop]) -> Self {
        Self { bytes, hops: hops.to_vec() }
    }
}

impl MessageMemory {
    /// Whether a message to these destinations has room now, and is not before its turn.
    pub(super) fn has_room(&self, row: i64, bytes: usize, hops: &[NextHop]) -> bool {
        bytes <= UNCOUNTED_BYTES || self.in_flight.contains_key(&row) || {
            let message = LargeMessage::new(bytes, hops);
            let is_next = self.waiting.iter().all(|(_, other)| !self.fits_destinations(other));
            is_next && self.fits_destinations(&message) && self.fits(bytes)
        }
    }

    /// A message takes its room until [`MessageMemory::release`].
    pub(super) fn take(&mut self, row: i64, bytes: usize, hops: &[NextHop]) {
        if UNCOUNTED_BYTES < bytes {
            self.in_flight.insert(row, LargeMessage::new(bytes, hops));
        }
    }

    /// A message waits until it has room.
    pub(super) fn wait(&mut self, row: i64, bytes: usize, hops: &[NextHop]) {
        self.waiting.push_back((row, LargeMessage::new(bytes, hops)));
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
        self.waiting_rows().any(|waiting| waiting == row)
    }

    /// The messages that wait.
    pub(super) fn waiting_rows(&self) -> impl Iterator<Item = i64> {
        self.waiting.iter().map(|(row, _)| *row)
    }

    /// The number of messages that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }

    fn fits(&self, bytes: usize) -> bool {
        let taken: usize = self.in_flight.values().map(|message| message.bytes).sum();
        taken == 0 || taken + bytes <= MAX_BYTES
    }

    fn fits_destinations(&self, message: &LargeMessage) -> bool {
        message.hops.iter().all(|hop| {
            let to_hop = self.in_flight.values().filter(|other| other.hops.contains(hop));
            let taken: usize = to_hop.map(|other| other.bytes).sum();
            taken == 0 || taken + message.bytes <= MAX_DESTINATION_BYTES
        })
    }

    /// Takes the room for those that waited longest, except those whose destinations have their part of it.
    fn admit_waiting(&mut self) -> Vec<i64> {
        let mut admitted = Vec::new();
        while let Some(at) = self.waiting.iter().position(|(_, message)| self.fits_destinations(message))
            && self.fits(self.waiting[at].1.bytes)
            && let Some((row, message)) = self.waiting.remove(at)
        {
            self.in_flight.insert(row, message);
            admitted.push(row);
        }
        admitted
    }
}
