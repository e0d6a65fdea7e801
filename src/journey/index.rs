//! The journeys of the events in memory, by id, by order, by address, and those that are not settled. Kept up to date as
//! events come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use super::deletion::Remembered;
use super::status::Part;
use super::{Event, Journey, JourneyState};
use crate::mail::{Address, JourneyId};

/// Which journeys are wanted; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct JourneyFilter {
    /// The mailbox of a recipient; see [`Address::key`].
    pub to: Option<Address>,
    /// The mailbox of the sender.
    pub from: Option<Address>,
    /// Whether they are settled.
    pub settled: Option<bool>,
}

/// The journeys of a number of events. A journey has the number of its first event, so that later ones have higher numbers.
#[derive(Debug, Default)]
pub(super) struct JourneyIndex {
    entries: BTreeMap<JourneyId, Entry>,
    by_number: BTreeMap<u64, JourneyId>,
    open: BTreeSet<u64>,
    by_address: BTreeSet<(String, Part, u64)>,
    /// Journeys of which earlier events may be in the store.
    unresolved: BTreeSet<JourneyId>,
    /// Journeys that go once they are settled.
    deleted: Remembered,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    /// What is known from events that are not in memory.
    base: JourneyState,
    /// By time, since events of other processes come late.
    events: Vec<Arc<Event>>,
    /// The base and the events.
    state: JourneyState,
}

impl JourneyIndex {
    /// Adds the newest event to its journey, at its place by time; a new journey gets the number of the event, and is
    /// unresolved if `may_be_stored`, since the store may have earlier events of it. A deleted journey that is settled
    /// by the event is dropped.
    pub(super) fn add(&mut self, event: &Arc<Event>, may_be_stored: bool) {
        let entry = self.entries.entry(event.journey).or_insert_with(|| {
            self.by_number.insert(event.seq, event.journey);
            if may_be_stored {
                self.unresolved.insert(event.journey);
            }
            let base = JourneyState::new(event.journey, event.at);
            Entry { number: event.seq, state: base.clone(), base, events: Vec::new() }
        });
        let named = entry.state.address_count();
        let at = entry.events.partition_point(|known| known.at <= event.at);
        entry.events.insert(at, event.clone());
        if at + 1 == entry.events.len() {
            entry.state.add_all([&**event]);
        } else {
            entry.work_out();
        }
        if named != entry.state.address_count() {
            self.by_address.extend(entry.state.keys().map(|(key, part)| (key, part, entry.number)));
        }
        set(&mut self.open, entry.number, !entry.state.is_settled());
        self.drop_deleted(event.journey);
    }

    /// Remembers that the message of a journey was deleted, and drops the journey if it is settled; otherwise, it goes
    /// once it is. Returns whether it was dropped now; `false` also if it is not in memory, or unresolved.
    pub(super) fn delete(&mut self, journey: JourneyId) -> bool {
        self.deleted.insert(journey);
        self.drop_deleted(journey)
    }

    /// Drops a journey that is deleted and settled, or of which only late events came after that, unless the store may
    /// know more of it. Returns whether it was dropped.
    fn drop_deleted(&mut self, journey: JourneyId) -> bool {
        let is_over = |entry: &Entry| entry.state.is_settled() || !entry.begins();
        let is_dropped = self.deleted.contains(journey)
            && !self.unresolved.contains(&journey)
            && self.entries.get(&journey).is_some_and(is_over);
        if is_dropped {
            self.drop_entry(journey);
        }
        is_dropped
    }

    /// Removes a journey from all indexes.
    fn drop_entry(&mut self, journey: JourneyId) {
        let Some(Entry { number, state, .. }) = self.entries.remove(&journey) else { return };
        self.by_number.remove(&number);
        self.open.remove(&number);
        self.unresolved.remove(&journey);
        for (key, part) in state.keys() {
            self.by_address.remove(&(key, part, number));
        }
    }

    /// Removes an event that leaves the memory from its journey, whose state keeps what it made of it; with its last
    /// event, the journey is dropped.
    pub(super) fn remove(&mut self, event: &Event) {
        let Some(entry) = self.entries.get_mut(&event.journey) else { return };
        entry.events.retain(|known| known.seq != event.seq);
        entry.base.add_all([event]);
        if entry.events.is_empty() {
            self.drop_entry(event.journey);
        }
    }

    /// The journeys of which the store may have earlier events that memory lacks.
    pub(super) fn unresolved(&self) -> Vec<JourneyId> {
        self.unresolved.iter().copied().collect()
    }

    /// Whether the store need not be asked for earlier events of a journey; `true` also for one that is not in memory.
    pub(super) fn is_resolved(&self, journey: JourneyId) -> bool {
        !self.unresolved.contains(&journey)
    }

    /// Takes the number and state that the store has of an unresolved journey, `None` if it has nothing; the journey is
    /// resolved then, and dropped if it is deleted and settled. Does nothing for one that is not unresolved.
    pub(super) fn resolve(&mut self, journey: JourneyId, stored: Option<(u64, JourneyState)>) {
        if !self.unresolved.remove(&journey) {
            return;
        }
        if let Some((number, base)) = stored {
            self.set_base(journey, number, base);
        }
        self.drop_deleted(journey);
    }

    /// Puts a stored state before the events in memory, and gives the journey its stored number.
    fn set_base(&mut self, journey: JourneyId, number: u64, base: JourneyState) {
        let Some(entry) = self.entries.get_mut(&journey) else { return };
        let old = std::mem::replace(&mut entry.number, number);
        for (key, part) in entry.state.keys() {
            self.by_address.remove(&(key, part, old));
        }
        self.by_number.remove(&old);
        self.open.remove(&old);
        entry.base = base;
        entry.work_out();
        self.by_number.insert(number, journey);
        self.by_address.extend(entry.state.keys().map(|(key, part)| (key, part, number)));
        set(&mut self.open, number, !entry.state.is_settled());
    }

    /// What is known of a journey, with its number; `None` if none of its events is in memory.
    pub(super) fn state(&self, journey: JourneyId) -> Option<(u64, &JourneyState)> {
        self.entries.get(&journey).map(|entry| (entry.number, &entry.state))
    }

    /// A journey with those of its events that are in memory; `None` if none is.
    pub(super) fn journey(&self, journey: JourneyId) -> Option<Journey> {
        let entry = self.entries.get(&journey)?;
        Some(Journey { state: entry.state.clone(), events: entry.events.clone() })
    }

    /// The journeys in memory that match the filter and have numbers below `before`, newest first, with their numbers.
    pub(super) fn matching<'a>(
        &'a self,
        filter: &'a JourneyFilter,
        before: u64,
    ) -> Box<dyn Iterator<Item = (u64, &'a JourneyState)> + 'a> {
        let of = |address: &Address, part: Part| {
            let range = (address.key(), part, 0)..(address.key(), part, before);
            self.by_address.range(range).rev().map(|(_, _, number)| *number)
        };
        let numbers: Box<dyn Iterator<Item = u64>> = match filter {
            JourneyFilter { to: Some(to), .. } => Box::new(of(to, Part::Recipient)),
            JourneyFilter { from: Some(from), .. } => Box::new(of(from, Part::Sender)),
            JourneyFilter { settled: Some(false), .. } => Box::new(self.open.range(..before).rev().copied()),
            _ => Box::new(self.by_number.range(..before).rev().map(|(number, _)| *number)),
        };
        let found = numbers.filter_map(|number| {
            let id = self.by_number.get(&number)?;
            Some((number, &self.entries.get(id)?.state))
        });
        Box::new(found.filter(|(number, _)| self.holds(filter, *number)))
    }

    /// Whether the journey in memory with this number matches the filter.
    fn holds(&self, filter: &JourneyFilter, number: u64) -> bool {
        let JourneyFilter { to, from, settled } = filter;
        let is = |address: &Address, part| self.by_address.contains(&(address.key(), part, number));
        to.as_ref().is_none_or(|to| is(to, Part::Recipient))
            && from.as_ref().is_none_or(|from| is(from, Part::Sender))
            && settled.is_none_or(|settled| settled != self.open.contains(&number))
    }

    /// The numbers, below this one, of journeys in memory.
    pub(super) fn numbers_before(&self, number: u64) -> Vec<u64> {
        self.by_number.range(..number).map(|(number, _)| *number).collect()
    }

    /// How many journeys in memory have this number or a higher one.
    pub(super) fn count_from(&self, number: u64) -> u64 {
        self.by_number.range(number..).count() as u64
    }
}

impl Entry {
    /// Whether there are earlier events, or one by which a host got the message, so that these are not only late
    /// events.
    fn begins(&self) -> bool {
        0 < self.base.event_count || self.events.iter().any(|event| event.kind.begins())
    }

    /// Works out the state anew from the base and the events.
    fn work_out(&mut self) {
        self.state = self.base.clone();
        self.state.add_all(self.events.iter().map(|event| &**event));
    }
}

/// Puts a number into a set, or takes it out.
fn set(numbers: &mut BTreeSet<u64>, number: u64, is_in: bool) {
    if is_in {
        numbers.insert(number);
    } else {
        numbers.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::journey::EventKind;
    use crate::journey::status::tests::{address, delivered, event, received};

    fn of(journey: u64, seq: u64, at: i64, kind: EventKind) -> Arc<Event> {
        let at = Timestamp::from_second(at).unwrap();
        Arc::new(Event { journey: JourneyId::from_random(journey), at, ..event(seq, kind) })
    }

    fn numbers(index: &JourneyIndex, filter: &JourneyFilter, before: u64) -> Vec<u64> {
        index.matching(filter, before).map(|(number, _)| number).collect()
    }

    #[test]
    fn index_finds_journeys_by_address_order_and_state() {
        let mut index = JourneyIndex::default();
        let events = [
            of(1, 1, 1, received(&["a@x.test", "b@x.test"])),
            of(2, 2, 2, received(&["B@x.test"])),
            of(1, 3, 3, delivered("a@x.test")),
            of(2, 4, 4, delivered("B@x.test")),
            of(3, 5, 5, received(&["a@x.test"])),
        ];
        events.iter().for_each(|event| index.add(event, false));
        let to = |text| JourneyFilter { to: Some(address(text)), ..JourneyFilter::default() };
        let all = JourneyFilter::default();
        assert_eq!(numbers(&index, &all, u64::MAX), [5, 2, 1]);
        assert_eq!(numbers(&index, &all, 5), [2, 1]);
        assert_eq!(numbers(&index, &to("b@x.test"), u64::MAX), [2, 1]);
        assert_eq!(numbers(&index, &to("a@x.test"), 5), [1]);
        let open = JourneyFilter { settled: Some(false), ..all.clone() };
        assert_eq!(numbers(&index, &open, u64::MAX), [5, 1]);
        assert_eq!(numbers(&index, &JourneyFilter { settled: Some(true), ..to("b@x.test") }, u64::MAX), [2]);
        let from = JourneyFilter { from: Some(address("me@x.test")), ..open };
        assert_eq!(numbers(&index, &from, 5), [1]);
        // With their last event, journeys go, and nothing is left of them.
        events.iter().for_each(|event| index.remove(event));
        let JourneyIndex { entries, by_number, open, by_address, unresolved, .. } = index;
        assert!(entries.is_empty() && by_number.is_empty() && open.is_empty());
        assert!(by_address.is_empty() && unresolved.is_empty());
    }

    #[test]
    fn index_puts_events_that_come_late_in_their_place() {
        let mut index = JourneyIndex::default();
        index.add(&of(1, 1, 5, delivered("a@x.test")), false);
        index.add(&of(1, 2, 1, received(&["a@x.test"])), false);
        let journey = index.journey(JourneyId::from_random(1)).unwrap();
        assert!(matches!(journey.events[0].kind, EventKind::Received { .. }), "{journey:?}");
        assert!(journey.arrived_once() && journey.began == Timestamp::from_second(1).unwrap());
    }

    #[test]
    fn index_drops_deleted_journeys_once_they_are_settled_and_what_comes_after() {
        let mut index = JourneyIndex::default();
        let events = [
            of(1, 1, 1, received(&["a@x.test"])),
            of(1, 2, 2, delivered("a@x.test")),
            of(2, 3, 3, received(&["a@x.test"])),
        ];
        events.iter().for_each(|event| index.add(event, false));
        assert_eq!([1, 2].map(|number| index.delete(JourneyId::from_random(number))), [true, false]);
        let all = JourneyFilter::default();
        assert_eq!(numbers(&index, &all, u64::MAX), [3], "that of 2 is open");
        // The last host but one says late that it passed the message on.
        let late = EventKind::Deferred {
            recipients: vec![address("a@x.test")],
            to: None,
            reason: "busy".to_owned(),
            until: Timestamp::UNIX_EPOCH,
            in_doubt: false,
            attempt: None,
        };
        for event in [of(1, 4, 4, late), of(2, 5, 5, delivered("a@x.test"))] {
            index.add(&event, false);
        }
        assert!(numbers(&index, &all, u64::MAX).is_empty());
        // It is deleted for ever, but shown while a host has it.
        index.add(&of(1, 6, 6, received(&["a@x.test"])), false);
        assert_eq!(numbers(&index, &all, u64::MAX), [6]);
        index.add(&of(1, 7, 7, delivered("a@x.test")), false);
        assert!(index.entries.is_empty() && index.by_number.is_empty() && index.by_address.is_empty());
    }

    #[test]
    fn index_takes_from_the_store_what_it_does_not_know() {
        let mut index = JourneyIndex::default();
        let (first, second) = (of(1, 1, 1, received(&["a@x.test"])), of(1, 90, 9, delivered("a@x.test")));
        let mut stored = JourneyState::new(first.journey, first.at);
        stored.add_all([&*first]);
        index.add(&second, true);
        assert_eq!(index.unresolved(), [first.journey]);
        index.resolve(first.journey, Some((1, stored)));
        let (number, state) = index.state(first.journey).unwrap();
        assert_eq!((number, state.event_count, state.reverse_path.clone()), (1, 2, Some(address("me@x.test"))));
        assert!(index.unresolved().is_empty());
        index.remove(&second);
        assert!(index.by_address.is_empty() && index.by_number.is_empty());
    }
}
