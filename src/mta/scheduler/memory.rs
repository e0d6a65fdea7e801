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
    /// Whether a message to these destinations fits now, and none waits that would stay within the limits of its own
    /// destinations. Always for one of up to `UNCOUNTED_BYTES`, and for one that has taken its memory already. Takes
    /// nothing.
    pub(super) fn has_room(&self, row: i64, bytes: usize, hops: &[NextHop]) -> bool {
        bytes <= UNCOUNTED_BYTES || self.in_flight.contains_key(&row) || {
            let message = LargeMessage::new(bytes, hops);
            let is_next = self.waiting.iter().all(|(_, other)| !self.fits_destinations(other));
            is_next && self.fits_destinations(&message) && self.fits(bytes)
        }
    }

    /// Counts the memory of a message until [`MessageMemory::release`]; one of up to `UNCOUNTED_BYTES` is not counted.
    pub(super) fn take(&mut self, row: i64, bytes: usize, hops: &[NextHop]) {
        if UNCOUNTED_BYTES < bytes {
            self.in_flight.insert(row, LargeMessage::new(bytes, hops));
        }
    }

    /// Adds a message behind those that wait for memory.
    pub(super) fn wait(&mut self, row: i64, bytes: usize, hops: &[NextHop]) {
        self.waiting.push_back((row, LargeMessage::new(bytes, hops)));
    }

    /// Frees the memory of a message, if it has taken some. Returns the rows of those that waited and have taken it
    /// now; they do not wait any more.
    pub(super) fn release(&mut self, row: i64) -> Vec<i64> {
        if self.in_flight.remove(&row).is_some() { self.admit_waiting() } else { Vec::new() }
    }

    /// Removes these messages from those that wait. Others behind them that fit now take their memory, and are
    /// returned; they do not wait any more.
    pub(super) fn withdraw(&mut self, rows: &BTreeSet<i64>) -> Vec<i64> {
        self.waiting.retain(|(row, _)| !rows.contains(row));
        self.admit_waiting()
    }

    /// Whether this message waits for memory.
    pub(super) fn is_waiting(&self, row: i64) -> bool {
        self.waiting_rows().any(|waiting| waiting == row)
    }

    /// The rows of the messages that wait for memory, the first one first.
    pub(super) fn waiting_rows(&self) -> impl Iterator<Item = i64> {
        self.waiting.iter().map(|(row, _)| *row)
    }

    /// The number of messages that wait for memory.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no large message is in flight or waits.
    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }

    /// Whether so many bytes more stay within the limit of all large messages in flight; always if there is none.
    fn fits(&self, bytes: usize) -> bool {
        let taken: usize = self.in_flight.values().map(|message| message.bytes).sum();
        taken == 0 || taken + bytes <= MAX_BYTES
    }

    /// Whether the message stays within the limit of each of its destinations; always at one to which no large message
    /// is in flight.
    fn fits_destinations(&self, message: &LargeMessage) -> bool {
        message.hops.iter().all(|hop| {
            let to_hop = self.in_flight.values().filter(|other| other.hops.contains(hop));
            let taken: usize = to_hop.map(|other| other.bytes).sum();
            taken == 0 || taken + message.bytes <= MAX_DESTINATION_BYTES
        })
    }

    /// Takes the memory for those that waited longest and returns their rows. Skips those whose destinations have their
    /// part of it; stops at the first other one that does not fit.
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
