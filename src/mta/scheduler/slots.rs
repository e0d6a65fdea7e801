//! The slots of one destination: a bounded number of messages at once, fair between senders, and none during back-off.
//!
//! A destination that has not answered yet, or is down, gets few slots, so that messages for an unreachable host cannot use
//! up all attempts of the host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use jiff::Timestamp;

use crate::mail::ReversePath;
use crate::mta::attempt::ConnectError;

/// Slots for each connection to a destination that answers, so that no connection is ever idle.
const SLOTS_PER_CONNECTION: usize = 10;

/// The slots of one destination.
pub(super) struct Slots {
    max_connections: usize,
    /// Slots that are used or reserved.
    taken: usize,
    parked: Parked,
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
    pub(super) fn new(max_connections: usize) -> Self {
        Self { max_connections, taken: 0, parked: Parked::default(), is_up: false, back_off: None }
    }

    /// End of the current back-off; `None` if there is none, or it is over at `now`.
    pub(super) fn backoff_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.back_off.as_ref().map(|back_off| back_off.until).filter(|until| now < *until)
    }

    /// Why the destination is not tried now; `None` outside of a back-off.
    pub(super) fn backoff_reason(&self, now: Timestamp) -> Option<&ConnectError> {
        self.back_off.as_ref().filter(|back_off| now < back_off.until).map(|back_off| &back_off.reason)
    }

    /// Whether a slot is free and no parked message waits for it.
    pub(super) fn has_free(&self) -> bool {
        self.parked.count == 0 && self.taken < self.limit()
    }

    /// Takes a slot, also beyond the limit.
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    /// Releases a slot that was taken or reserved; gives it to no parked message.
    pub(super) fn release(&mut self) {
        self.taken -= 1;
    }

    /// Lets a message wait for a slot, behind those of the same sender.
    pub(super) fn park(&mut self, sender: ReversePath, row: i64) {
        self.parked.add(sender, row);
    }

    /// Takes a free slot for the next parked message, which is no longer parked, and returns its row; `None` if no slot
    /// is free or no message parked.
    pub(super) fn reserve(&mut self) -> Option<i64> {
        let row = if self.taken < self.limit() { self.parked.next() } else { None };
        self.taken += usize::from(row.is_some());
        row
    }

    /// The number of parked messages.
    pub(super) fn parked(&self) -> usize {
        self.parked.count
    }

    /// Whether this message is parked.
    pub(super) fn is_parked(&self, row: i64) -> bool {
        self.parked.by_sender.values().any(|rows| rows.contains(&row))
    }

    /// The rows of the parked messages, by sender, those of a sender in the order in which they were parked.
    pub(super) fn parked_rows(&self) -> impl Iterator<Item = i64> {
        self.parked.by_sender.values().flatten().copied()
    }

    /// Removes those of these messages that are parked.
    pub(super) fn withdraw(&mut self, rows: &BTreeSet<i64>) {
        self.parked.remove(rows);
    }

    /// Notes that the destination answers: it has `SLOTS_PER_CONNECTION` slots for each allowed connection, no
    /// back-off, and no failures in a row.
    pub(super) fn mark_up(&mut self) {
        (self.is_up, self.back_off) = (true, None);
    }

    /// Notes that the destination does not answer: it has one slot for each allowed connection again, and a back-off
    /// begins, whose end `wait` returns for the number of failures in a row before this one. Returns the rows of the
    /// messages that were parked, which are not any more, and that end.
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

    /// Ends the back-off; the number of failures in a row is kept, so that the next back-off is longer.
    pub(super) fn clear_backoff(&mut self) {
        if let Some(back_off) = &mut self.back_off {
            back_off.until = Timestamp::MIN;
        }
    }

    /// Whether no slot is taken, no message parked, and no failure remembered, not even one whose back-off is over.
    pub(super) fn is_idle(&self) -> bool {
        self.is_unused() && self.back_off.is_none()
    }

    /// Whether no slot is taken and no message parked; failures may be remembered.
    pub(super) fn is_unused(&self) -> bool {
        self.taken == 0 && self.parked.count == 0
    }

    /// The number of slots: one for each allowed connection until the destination has answered, then
    /// `SLOTS_PER_CONNECTION` for each.
    fn limit(&self) -> usize {
        if self.is_up { self.max_connections * SLOTS_PER_CONNECTION } else { self.max_connections }
    }
}

/// Messages without a slot. Senders take turns, so that thousands of messages of one do not delay a single one of another.
#[derive(Default)]
struct Parked {
    by_sender: BTreeMap<ReversePath, VecDeque<i64>>,
    count: usize,
    /// The sender whose message was the last to leave.
    last: Option<ReversePath>,
}

impl Parked {
    /// Adds a message behind those of its sender.
    fn add(&mut self, sender: ReversePath, row: i64) {
        self.by_sender.entry(sender).or_default().push_back(row);
        self.count += 1;
    }

    /// Removes and returns the row that was parked first by the next sender in turn; `None` if none is parked.
    fn next(&mut self) -> Option<i64> {
        let after = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut following = self.by_sender.range((after, Bound::Unbounded));
        let sender = following.next().or_else(|| self.by_sender.first_key_value())?.0.clone();
        let rows = self.by_sender.get_mut(&sender)?;
        let row = rows.pop_front()?;
        if rows.is_empty() {
            self.by_sender.remove(&sender);
        }
        self.count -= 1;
        self.last = Some(sender);
        Some(row)
    }

    /// Removes those of these messages that are parked.
    fn remove(&mut self, rows: &BTreeSet<i64>) {
        if 0 < self.count {
            self.by_sender.values_mut().for_each(|parked| parked.retain(|row| !rows.contains(row)));
            self.by_sender.retain(|_, parked| !parked.is_empty());
            self.count = self.by_sender.values().map(VecDeque::len).sum();
        }
    }

    /// Removes and returns the rows of all messages, by sender.
    fn take_all(&mut self) -> Vec<i64> {
        self.count = 0;
        std::mem::take(&mut self.by_sender).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mta::Failure;

    fn sender(name: &str) -> ReversePath {
        format!("{name}@x.test").parse().ok()
    }

    /// Releases a slot; returns the messages that get one.
    fn release(slots: &mut Slots) -> Vec<i64> {
        slots.release();
        std::iter::from_fn(|| slots.reserve()).collect()
    }

    #[test]
    fn slots_are_given_to_senders_in_turn() {
        let mut slots = Slots::new(2);
        (0..2).for_each(|_| slots.take());
        for (name, rows) in [("bulk", 10..15), ("ann", 20..21), ("bob", 30..32)] {
            rows.for_each(|row| slots.park(sender(name), row));
        }
        slots.park(None, 40);
        assert_eq!((slots.has_free(), slots.parked()), (false, 9));
        let mut reserved = release(&mut slots);
        assert!(!slots.has_free(), "parked messages come first");
        reserved.extend((0..8).flat_map(|_| release(&mut slots)));
        assert_eq!(reserved, [40, 20, 30, 10, 31, 11, 12, 13, 14]);
        assert!(!slots.has_free(), "both slots are reserved");
        assert!(release(&mut slots).is_empty() && slots.has_free());
    }

    #[test]
    fn slots_when_destination_is_down_are_few_and_back_off_grows() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let error = || ConnectError::new(Failure::Loop(String::new()), Duration::ZERO, None);
        let mut slots = Slots::new(2);
        slots.mark_up();
        (0..20).for_each(|_| {
            assert!(slots.has_free());
            slots.take();
        });
        assert!(!slots.has_free());
        slots.park(None, 20);
        let (parked, until) = slots.mark_down(error(), |failures| at(10 + i64::from(failures)));
        assert_eq!((parked, until, slots.parked()), (vec![20], at(10), 0));
        assert_eq!((slots.backoff_until(at(9)), slots.backoff_until(at(10))), (Some(at(10)), None));
        assert_eq!(slots.mark_down(error(), |failures| at(i64::from(failures))).1, at(1));
        slots.clear_backoff();
        assert_eq!(slots.backoff_until(at(0)), None);
        (0..19).for_each(|_| assert!(release(&mut slots).is_empty()));
        assert!(slots.has_free(), "one may try");
        slots.take();
        assert!(!slots.has_free());
    }

    #[test]
    fn slots_do_not_go_to_messages_that_were_withdrawn() {
        let mut slots = Slots::new(1);
        slots.take();
        (2..5).for_each(|row| slots.park(None, row));
        slots.withdraw(&BTreeSet::from([2, 4, 9]));
        assert_eq!((slots.parked(), slots.is_parked(2), slots.is_parked(3)), (1, false, true));
        assert_eq!(release(&mut slots), [3]);
        assert!(release(&mut slots).is_empty() && slots.is_idle());
    }
}
