//! Admission to a destination: a bounded number of messages at once, fair between senders, and none during back-off.
//!
//! ```text
//!  a message that is due ──▶ admit ──▶ Granted: it holds a slot until its transaction is over
//!                              ├────▶ Parked: no slot is free; one is reserved for it later, senders taking turns
//!                              └────▶ BackOffUntil: the destination is down; the message waits
//! ```
//!
//! A destination that has not answered yet, or is down, gets few slots, so that messages for an unreachable host cannot use
//! up the attempt permits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use jiff::Timestamp;

use crate::mail::ReversePath;
use crate::mta::connection::ConnectError;

/// Slots for each connection to a hop that answers, so that none of them is ever idle.
const SLOTS_PER_CONNECTION: usize = 10;

/// Whether a message may be sent now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mta) enum Admission {
    /// It holds a slot.
    Granted,
    /// The destination is in back-off until then.
    BackOffUntil(Timestamp),
    /// No slot is free; the message waits until one is reserved for it.
    Parked,
}

/// The slots of one destination.
#[derive(Default)]
pub(super) struct Slots {
    taken: usize,
    parked: Parked,
    /// Parked messages for which a slot is reserved.
    reserved: BTreeSet<i64>,
    /// Whether the destination answered the last attempt.
    is_up: bool,
    back_off: Option<BackOff>,
}

/// The back-off of a destination that is down.
struct BackOff {
    /// Number of consecutive failures.
    failures: u32,
    until: Timestamp,
    reason: ConnectError,
}

impl Slots {
    /// End of the current back-off, if any.
    pub(super) fn backoff_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.back_off.as_ref().map(|back_off| back_off.until).filter(|until| now < *until)
    }

    /// Why the hop is not tried now.
    pub(super) fn backoff_reason(&self, now: Timestamp) -> Option<&ConnectError> {
        self.back_off.as_ref().filter(|back_off| now < back_off.until).map(|back_off| &back_off.reason)
    }

    /// Whether a slot is free for this message.
    pub(super) fn has_slot(&self, row: i64, max_connections: usize) -> bool {
        self.reserved.contains(&row) || (self.parked.is_empty() && self.taken < self.limit(max_connections))
    }

    /// Takes a free slot, or the one reserved for the message.
    pub(super) fn acquire(&mut self, row: i64) {
        if !self.reserved.remove(&row) {
            self.taken += 1;
        }
    }

    pub(super) fn park(&mut self, sender: ReversePath, row: i64) {
        self.parked.add(sender, row);
    }

    /// Releases a slot; returns the messages for which it is reserved.
    pub(super) fn release(&mut self, max_connections: usize) -> Vec<i64> {
        self.taken = self.taken.saturating_sub(1);
        let mut reserved = Vec::new();
        while self.taken < self.limit(max_connections)
            && let Some(row) = self.parked.next()
        {
            if self.reserved.insert(row) {
                self.taken += 1;
                reserved.push(row);
            }
        }
        reserved
    }

    /// Releases the reservation of a message that no longer exists; returns the messages that get its slot.
    pub(super) fn release_reservation(&mut self, row: i64, max_connections: usize) -> Vec<i64> {
        if self.reserved.remove(&row) { self.release(max_connections) } else { Vec::new() }
    }

    /// The destination answers.
    pub(super) fn mark_up(&mut self) {
        (self.is_up, self.back_off) = (true, None);
    }

    /// The destination does not answer: starts a back-off; returns the parked messages and its end.
    pub(super) fn mark_down(
        &mut self,
        reason: ConnectError,
        wait: impl FnOnce(u32) -> Timestamp,
    ) -> (Vec<i64>, Timestamp) {
        let failures = self.back_off.as_ref().map_or(0, |back_off| back_off.failures);
        let until = wait(failures);
        (self.is_up, self.back_off) = (false, Some(BackOff { failures: failures.saturating_add(1), until, reason }));
        (self.parked.take_all(), until)
    }

    /// Ends the back-off.
    pub(super) fn clear_backoff(&mut self) {
        if let Some(back_off) = &mut self.back_off {
            back_off.until = Timestamp::MIN;
        }
    }

    /// Whether this entry can be dropped.
    pub(super) fn is_idle(&self) -> bool {
        self.is_unused() && self.back_off.is_none()
    }

    /// Whether no slot is used and no message parked.
    pub(super) fn is_unused(&self) -> bool {
        self.taken == 0 && self.parked.is_empty()
    }

    fn limit(&self, max_connections: usize) -> usize {
        if self.is_up { max_connections * SLOTS_PER_CONNECTION } else { max_connections }
    }
}

/// Messages without a slot. Senders take turns, so that thousands of messages of one do not delay a single one of another.
#[derive(Default)]
struct Parked {
    by_sender: BTreeMap<ReversePath, VecDeque<i64>>,
    last: Option<ReversePath>,
}

impl Parked {
    fn is_empty(&self) -> bool {
        self.by_sender.is_empty()
    }

    fn add(&mut self, sender: ReversePath, row: i64) {
        self.by_sender.entry(sender).or_default().push_back(row);
    }

    fn next(&mut self) -> Option<i64> {
        let after = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut following = self.by_sender.range((after, Bound::Unbounded));
        let sender = following.next().or_else(|| self.by_sender.first_key_value())?.0.clone();
        let rows = self.by_sender.get_mut(&sender)?;
        let row = rows.pop_front();
        if rows.is_empty() {
            self.by_sender.remove(&sender);
        }
        self.last = Some(sender);
        row
    }

    fn take_all(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.by_sender).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(name: &str) -> ReversePath {
        format!("{name}@x.test").parse().ok()
    }

    #[test]
    fn slots_are_given_to_senders_in_turn() {
        let mut slots = Slots::default();
        (0..2).for_each(|row| slots.acquire(row));
        for (name, rows) in [("bulk", 10..15), ("ann", 20..21), ("bob", 30..32)] {
            rows.for_each(|row| slots.park(sender(name), row));
        }
        slots.park(None, 40);
        assert!(!slots.has_slot(99, 2), "parked messages come first");
        let reserved: Vec<_> = (0..9).flat_map(|_| slots.release(2)).collect();
        assert_eq!(reserved, [40, 20, 30, 10, 31, 11, 12, 13, 14]);
        assert!(slots.has_slot(14, 2) && !slots.has_slot(99, 2), "their slots are kept");
    }

    #[test]
    fn slots_when_destination_is_down_are_few_and_back_off_grows() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut slots = Slots::default();
        slots.mark_up();
        (0..20).for_each(|row| {
            assert!(slots.has_slot(row, 2));
            slots.acquire(row);
        });
        assert!(!slots.has_slot(20, 2));
        slots.park(None, 20);
        let (parked, until) = slots.mark_down(ConnectError::of_test(), |failures| at(10 + i64::from(failures)));
        assert_eq!((parked, until), (vec![20], at(10)));
        assert_eq!((slots.backoff_until(at(9)), slots.backoff_until(at(10))), (Some(at(10)), None));
        assert_eq!(slots.mark_down(ConnectError::of_test(), |failures| at(i64::from(failures))).1, at(1));
        slots.clear_backoff();
        assert_eq!(slots.backoff_until(at(0)), None);
        (0..19).for_each(|_| assert!(slots.release(2).is_empty()));
        assert!(slots.has_slot(50, 2), "one may try");
        slots.acquire(50);
        assert!(!slots.has_slot(51, 2));
    }

    #[test]
    fn reservation_when_released_goes_to_the_next_message() {
        let mut slots = Slots::default();
        slots.acquire(1);
        slots.park(None, 2);
        slots.park(None, 3);
        assert_eq!(slots.release(1), [2]);
        assert_eq!(slots.release_reservation(9, 1), [0; 0]);
        assert_eq!(slots.release_reservation(2, 1), [3]);
        slots.acquire(3);
        assert_eq!(slots.release(1), [0; 0]);
        assert!(slots.is_idle());
    }
}
