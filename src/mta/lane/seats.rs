//! Who may go on in a lane: so many messages at once, fair between senders, and none while the next hop is dead.
//!
//! ```text
//!  a message that is due ──▶ turn ──▶ Go: it has a seat, and gives it back when its transaction is over
//!                              ├────▶ Parked: no seat is free; it is called when it has one, senders taking turns
//!                              └────▶ Rest: the hop is dead, the message waits until it is tried again
//! ```
//!
//! A hop that did not answer yet, or not lately, has few seats: what waits for a black hole takes none from others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use jiff::Timestamp;

use crate::mail::ReversePath;
use crate::mta::deliver::NoLine;

/// Seats for each connection to a hop that answers, so that none of them is ever idle.
const SEATS_EACH: usize = 10;

/// What a message may do now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mta) enum Turn {
    /// Go on.
    Go,
    /// Wait until then.
    Rest(Timestamp),
    /// Wait until it is called.
    Parked,
}

/// The seats of one lane.
#[derive(Default)]
pub(super) struct Seats {
    taken: usize,
    parked: Parked,
    /// Messages that have a seat and were called to take it.
    called: BTreeSet<i64>,
    /// Whether the hop answered when it was last tried.
    is_alive: bool,
    rest: Option<Rest>,
}

/// The hop is dead.
struct Rest {
    /// How often in a row it did not answer.
    failures: u32,
    until: Timestamp,
    why: NoLine,
}

impl Seats {
    /// Until when nobody shall try.
    pub(super) fn rests(&self, now: Timestamp) -> Option<Timestamp> {
        self.rest.as_ref().map(|rest| rest.until).filter(|until| now < *until)
    }

    /// Why the hop is not tried now.
    pub(super) fn why_rests(&self, now: Timestamp) -> Option<&NoLine> {
        self.rest.as_ref().filter(|rest| now < rest.until).map(|rest| &rest.why)
    }

    /// Whether this message finds a seat.
    pub(super) fn has_room(&self, row: i64, connections_max: usize) -> bool {
        self.called.contains(&row) || (self.parked.is_empty() && self.taken < self.most(connections_max))
    }

    /// Takes a seat, or the one that it was called to.
    pub(super) fn take(&mut self, row: i64) {
        if !self.called.remove(&row) {
            self.taken += 1;
        }
    }

    pub(super) fn park(&mut self, sender: ReversePath, row: i64) {
        self.parked.add(sender, row);
    }

    /// Gives a seat back; the messages that are called for it.
    pub(super) fn give_back(&mut self, connections_max: usize) -> Vec<i64> {
        self.taken = self.taken.saturating_sub(1);
        let mut called = Vec::new();
        while self.taken < self.most(connections_max)
            && let Some(row) = self.parked.next()
        {
            if self.called.insert(row) {
                self.taken += 1;
                called.push(row);
            }
        }
        called
    }

    /// The message does not come, though it was called; those that are called instead.
    pub(super) fn excuse(&mut self, row: i64, connections_max: usize) -> Vec<i64> {
        if self.called.remove(&row) { self.give_back(connections_max) } else { Vec::new() }
    }

    /// The hop answers.
    pub(super) fn note_alive(&mut self) {
        (self.is_alive, self.rest) = (true, None);
    }

    /// The hop does not answer: nobody tries until then; those who were parked have to wait as long.
    pub(super) fn note_dead(&mut self, why: NoLine, wait: impl FnOnce(u32) -> Timestamp) -> (Vec<i64>, Timestamp) {
        let failures = self.rest.as_ref().map_or(0, |rest| rest.failures);
        let until = wait(failures);
        (self.is_alive, self.rest) = (false, Some(Rest { failures: failures.saturating_add(1), until, why }));
        (self.parked.take_all(), until)
    }

    /// Lets the hop be tried at once.
    pub(super) fn rouse(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.until = Timestamp::MIN;
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_blank(&self) -> bool {
        self.is_free() && self.rest.is_none()
    }

    /// Whether nobody has a seat or waits for one.
    pub(super) fn is_free(&self) -> bool {
        self.taken == 0 && self.parked.is_empty()
    }

    fn most(&self, connections_max: usize) -> usize {
        if self.is_alive { connections_max * SEATS_EACH } else { connections_max }
    }
}

/// Messages without a seat. Their senders take turns, so that thousands of one do not hold up a single one of another.
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
    fn senders_take_turns_whoever_came_with_more() {
        let mut seats = Seats::default();
        (0..2).for_each(|row| seats.take(row));
        for (name, rows) in [("bulk", 10..15), ("ann", 20..21), ("bob", 30..32)] {
            rows.for_each(|row| seats.park(sender(name), row));
        }
        seats.park(None, 40);
        assert!(!seats.has_room(99, 2), "nobody passes those who wait");
        let called: Vec<_> = (0..9).flat_map(|_| seats.give_back(2)).collect();
        assert_eq!(called, [40, 20, 30, 10, 31, 11, 12, 13, 14]);
        assert!(seats.has_room(14, 2) && !seats.has_room(99, 2), "their seats are kept");
    }

    #[test]
    fn a_dead_hop_has_few_seats_and_rests_longer_each_time() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut seats = Seats::default();
        seats.note_alive();
        (0..20).for_each(|row| {
            assert!(seats.has_room(row, 2));
            seats.take(row);
        });
        assert!(!seats.has_room(20, 2));
        seats.park(None, 20);
        let (parked, until) = seats.note_dead(NoLine::of_test(), |failures| at(10 + i64::from(failures)));
        assert_eq!((parked, until), (vec![20], at(10)));
        assert_eq!((seats.rests(at(9)), seats.rests(at(10))), (Some(at(10)), None));
        assert_eq!(seats.note_dead(NoLine::of_test(), |failures| at(i64::from(failures))).1, at(1));
        seats.rouse();
        assert_eq!(seats.rests(at(0)), None);
        (0..19).for_each(|_| assert!(seats.give_back(2).is_empty()));
        assert!(seats.has_room(50, 2), "one may try");
        seats.take(50);
        assert!(!seats.has_room(51, 2));
    }

    #[test]
    fn who_does_not_come_when_called_loses_the_seat() {
        let mut seats = Seats::default();
        seats.take(1);
        seats.park(None, 2);
        seats.park(None, 3);
        assert_eq!(seats.give_back(1), [2]);
        assert_eq!(seats.excuse(9, 1), [0; 0]);
        assert_eq!(seats.excuse(2, 1), [3]);
        seats.take(3);
        assert_eq!(seats.give_back(1), [0; 0]);
        assert!(seats.is_blank());
    }
}
