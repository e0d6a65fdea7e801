//! Which messages of a host are tried now: the due times of its queue and the slots of its destinations, under one lock.
//!
//! ```text
//!  due ── next_due ──▶ in flight ── admit ──┬─▶ slots at all its destinations: the attempt begins
//!   ▲                                       ├─▶ all are in back-off: due again at the end of it
//!   │                                       ├─▶ large, and no memory is free: waits until there is
//!   │                                       └─▶ no slot is free at one: parked there
//!   │◀── reschedule: the attempt is over                     │
//!   └◀── complete: a slot became free, and is reserved ──────┘
//! ```
//!
//! Each row is in one of these places: due, in flight, waiting for memory, or parked at one destination. A slot that became free is reserved
//! for a parked row, and the row becomes due; if it is withdrawn by then, the slot goes to the next one.

mod active_attempts;
mod destination;
mod entry_cache;
mod index;
mod memory;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::attempt::ConnectError;
use super::entry::Entry;
use super::job::Job;
use super::next_hop::NextHop;
use super::queue::ActiveAttempt;
use crate::sync::lock;
use crate::world::Clock;
use active_attempts::ActiveAttempts;
pub(super) use active_attempts::AttemptProgress;
pub(super) use destination::Destination;
use entry_cache::EntryCache;
use index::DueIndex;
pub(super) use index::Next;
use memory::MessageMemory;

/// Number of destinations after which unused ones are dropped.
const MAX_IDLE_DESTINATIONS: usize = 1000;

/// The permission to send one message to a destination. It ends with [`Scheduler::complete`], or when the host stops.
#[must_use]
#[derive(Debug)]
pub(super) struct Slot(NextHop);

impl Slot {
    /// The destination.
    pub(super) fn hop(&self) -> &NextHop {
        &self.0
    }
}

/// The schedule of one MTA.
pub(super) struct Scheduler {
    clock: Clock,
    max_connections: usize,
    state: Mutex<State>,
    active_attempts: ActiveAttempts,
    changed: Notify,
}

#[derive(Default)]
struct State {
    index: DueIndex,
    /// Entries that were read or written already.
    cache: EntryCache,
    destinations: BTreeMap<NextHop, Destination>,
    /// The slots that are reserved for rows which are due, or in flight and not admitted yet.
    reserved: BTreeMap<i64, Vec<NextHop>>,
    memory: MessageMemory,
}

impl Scheduler {
    /// A schedule without messages, for destinations with at most so many connections each.
    pub(super) fn new(clock: Clock, max_connections: usize) -> Self {
        Self {
            clock,
            max_connections,
            state: Mutex::default(),
            active_attempts: ActiveAttempts::default(),
            changed: Notify::new(),
        }
    }

    /// Replaces all state, also about destinations, slots and the cache, by these rows, each due at its time. All
    /// workers must have ended.
    pub(super) fn reset(&self, due: BTreeSet<(Timestamp, i64)>) {
        self.active_attempts.clear();
        self.change(|state| *state = State { index: DueIndex::new(due), ..State::default() });
    }

    /// Adds new rows, due when they arrived; keeps their entries in the cache until the first attempt.
    pub(super) fn add(&self, entries: Vec<Entry>) {
        self.change(|state| {
            for entry in entries {
                state.index.add(entry.queued.arrived, entry.row);
                state.cache.insert(entry);
            }
        });
    }

    /// Adds new rows, each due at its time, without entries in the cache.
    pub(super) fn add_due(&self, due: Vec<(Timestamp, i64)>) {
        self.change(|state| due.into_iter().for_each(|(due, row)| state.index.add(due, row)));
    }

    /// Waits for the next row that is due and takes it. It is in flight until [`Scheduler::reschedule`], or until
    /// [`Scheduler::admit`] returns `None`.
    pub(super) async fn next_due(&self) -> i64 {
        loop {
            let changed = self.changed.notified();
            match self.next(self.clock.now()) {
                Next::Due(row) => return row,
                Next::At(due) => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = tokio::time::sleep_until(self.clock.instant(due)) => {}
                    }
                }
                Next::Nothing => changed.await,
            }
        }
    }

    /// Takes the next row if one is due at `now`, without waiting; else returns when one is. `Nothing` also if too many
    /// rows are in flight.
    pub(super) fn next(&self, now: Timestamp) -> Next {
        self.state().index.next(now)
    }

    /// Removes and returns an entry of the cache; `None` if it is not there.
    pub(super) fn take_cached(&self, row: i64) -> Option<Entry> {
        self.state().cache.take(row)
    }

    /// Asks for a slot at each of these destinations, in ascending order, for an entry in flight, and for memory.
    /// `None` if one is lacking; then the entry is no longer in flight: it is parked at the first destination without a
    /// free slot, waits for memory or, if all are in back-off, is due when the first of those ends. An entry about
    /// which a report is due (`urgent`) ignores back-off.
    pub(super) fn admit(&self, entry: Entry, hops: &[NextHop], urgent: bool) -> Option<(Entry, Vec<Slot>)> {
        let now = self.clock.now();
        self.change(|state| {
            if MAX_IDLE_DESTINATIONS < state.destinations.len() {
                state.destinations.retain(|_, destination| !destination.is_unused(now));
            }
            if let Some(until) = state.backoff_until(hops, now)
                && !urgent
            {
                state.end(entry.row, Some(until), now);
                return None;
            }
            let (row, bytes) = (entry.row, entry.queued.message.len());
            if !state.memory.has_room(row, bytes, hops) {
                state.release_reserved(row, now);
                if state.index.leave(row) {
                    state.memory.wait(row, bytes, hops);
                }
                return None;
            }
            let own = state.reserved.get(&entry.row).map_or(&[][..], Vec::as_slice);
            let is_full = |hop: &&NextHop| {
                !own.contains(hop)
                    && state.destinations.get(*hop).is_some_and(|destination| !destination.slots.has_free())
            };
            if let Some(hop) = hops.iter().find(is_full) {
                state.release_above(entry.row, hop, now);
                self.park(state, entry, hop, now);
                return None;
            }
            let reserved = state.reserved.remove(&entry.row).unwrap_or_default();
            for hop in hops.iter().filter(|hop| !reserved.contains(hop)) {
                self.destination_of(state, hop).slots.take();
            }
            state.memory.take(row, bytes, hops);
            // Its route has changed since it was parked.
            for hop in reserved.iter().filter(|hop| !hops.contains(hop)) {
                state.release(hop, now);
            }
            Some((entry, hops.iter().cloned().map(Slot).collect()))
        })
    }

    /// Parks an entry in flight, which it puts into the cache, at a destination without a free slot; it takes no memory
    /// then. Does not park it, but frees its slots, if the operator has put it on hold meanwhile.
    fn park(&self, state: &mut State, entry: Entry, hop: &NextHop, now: Timestamp) {
        state.release_memory(entry.row, now);
        if !state.index.leave(entry.row) {
            // The operator has put it on hold meanwhile.
            state.release_reserved(entry.row, now);
            return;
        }
        let sender = entry.queued.envelope.reverse_path.clone();
        self.destination_of(state, hop).slots.park(sender, entry.row);
        state.cache.insert(entry);
    }

    /// Frees the slot after a message was sent to its destination, or failed there; the next message parked there gets
    /// the slot and is due.
    pub(super) fn complete(&self, slot: Slot) {
        let now = self.clock.now();
        self.change(|state| state.release(&slot.0, now));
    }

    /// Ends the flight of a row, its attempts, and what it has of memory and reserved slots. The row is due at `until`,
    /// unless the operator decided otherwise meanwhile; `until` is `None` if it was deleted or is on hold.
    pub(super) fn reschedule(&self, row: i64, until: Option<Timestamp>) {
        let now = self.clock.now();
        self.active_attempts.end(row);
        self.change(|state| state.end(row, until, now));
    }

    /// Takes and returns the jobs of a destination that cannot be reached, which the caller fails with this error.
    /// Unless the error is permanent, begins a back-off, at the end of which the parked messages of the destination are
    /// due. `wait` returns that end for the number of failures in a row before this one.
    pub(super) fn mark_down(
        &self,
        hop: &NextHop,
        error: &ConnectError,
        wait: impl FnOnce(u32) -> Timestamp,
    ) -> VecDeque<Job> {
        self.change(|state| {
            let destination = self.destination_of(state, hop);
            let jobs = destination.take_all_jobs();
            if !error.is_permanent() {
                let (parked, until) = destination.slots.mark_down(error.without_details(), wait);
                parked.into_iter().for_each(|row| state.index.add(until, row));
            }
            jobs
        })
    }

    /// Ends the back-off of all destinations. Messages that were to be tried at its end are still due then, not now.
    pub(super) fn clear_backoff(&self) {
        self.state().destinations.values_mut().for_each(|destination| destination.slots.clear_backoff());
    }

    /// Calls a function with a destination, which is added if it is unknown, under the lock, and returns its result;
    /// drops the destination if there is nothing to remember about it then.
    pub(super) fn with_destination<T>(&self, hop: &NextHop, change: impl FnOnce(&mut Destination) -> T) -> T {
        let state = &mut *self.state();
        let changed = change(self.destination_of(state, hop));
        state.prune(hop);
        changed
    }

    /// The destination, which is added without workers or slots in use if it is unknown.
    fn destination_of<'a>(&self, state: &'a mut State, hop: &NextHop) -> &'a mut Destination {
        state.destinations.entry(hop.clone()).or_insert_with(|| Destination::new(self.max_connections))
    }

    /// Notes that an attempt of a row in flight begins at one destination, for the operator. It is listed until the
    /// result is dropped, or the row is rescheduled.
    pub(super) fn begin_attempt(&self, row: i64) -> Arc<AttemptProgress> {
        self.active_attempts.begin(row, self.clock.now())
    }

    /// The attempts of a row in flight that have not ended, one for each destination, with the host that each is with.
    pub(super) fn active_attempts_of(&self, row: i64) -> Vec<ActiveAttempt> {
        self.active_attempts.of(row)
    }

    /// For those of these rows that are parked or wait for memory: why, in words for the operator. Rows that are due or
    /// in flight are not in the result.
    pub(super) fn waits(&self, rows: &BTreeSet<i64>) -> BTreeMap<i64, &'static str> {
        let state = self.state();
        let for_memory =
            state.memory.waiting_rows().map(|row| (row, "waits for memory that other large messages take"));
        let parked = state.destinations.values().flat_map(|destination| destination.slots.parked_rows());
        let for_slots = parked.map(|row| (row, "waits until fewer messages are under way to its next host"));
        for_memory.chain(for_slots).filter(|(row, _)| rows.contains(row)).collect()
    }

    /// The rows in flight.
    pub(super) fn in_flight(&self) -> BTreeSet<i64> {
        self.state().index.in_flight().collect()
    }

    /// Removes these rows from all that is due or waits, from the cache, and from reserved slots, which go to others.
    /// Those in flight end their attempt, and are not due after it.
    pub(super) fn withdraw(&self, rows: &BTreeSet<i64>) {
        let now = self.clock.now();
        self.change(|state| state.withdraw(rows, now));
    }

    /// Takes those of these rows that are not in flight out of all that is due or waits, marks them as in flight, and
    /// returns them.
    pub(super) fn claim(&self, rows: &BTreeSet<i64>) -> BTreeSet<i64> {
        let now = self.clock.now();
        self.change(|state| {
            let free = rows.iter().copied().filter(|row| !state.index.is_in_flight(*row)).collect();
            state.withdraw(&free, now);
            state.index.claim(&free);
            free
        })
    }

    /// Makes these rows due at `due`, in place of any other time; those in flight as soon as their flight ends. Those
    /// that wait for a slot or for memory still do.
    pub(super) fn wake(&self, rows: &BTreeSet<i64>, due: Timestamp) {
        self.change(|state| {
            let is_parked =
                |row: &i64| state.destinations.values().any(|destination| destination.slots.is_parked(*row));
            let waits = |row: &i64| is_parked(row) || state.memory.is_waiting(*row);
            let rows = rows.iter().copied().filter(|row| !waits(row)).collect();
            state.index.wake(&rows, due);
        });
    }

    /// The number of rows that are due, now or later, or wait for memory or a slot, without those in flight.
    pub(super) fn len(&self) -> usize {
        let state = self.state();
        let due = state.index.len() + state.memory.waiting();
        due + state.destinations.values().map(|destination| destination.slots.parked()).sum::<usize>()
    }

    /// Whether the schedule holds no state for any message: none is due, in flight, cached, parked or waits for memory,
    /// and no slot is taken or reserved.
    pub(super) fn is_idle(&self) -> bool {
        let State { index, cache, destinations, reserved, memory } = &*self.state();
        let is_unused = |destination: &Destination| destination.slots.is_unused();
        index.is_empty()
            && cache.is_empty()
            && reserved.is_empty()
            && memory.is_empty()
            && destinations.values().all(is_unused)
    }

    /// Changes the state under its lock, and wakes [`Scheduler::next_due`].
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed.notify_one();
        changed
    }

    /// Locks the state.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// The end of the back-off that ends first, if all of these destinations are in one at `now`; else `None`.
    fn backoff_until(&self, hops: &[NextHop], now: Timestamp) -> Option<Timestamp> {
        let until = |hop| self.destinations.get(hop).and_then(|destination| destination.slots.backoff_until(now));
        let until: Option<Vec<_>> = hops.iter().map(until).collect();
        until.and_then(|until| until.into_iter().min())
    }

    /// Ends the flight of a row: it is due at `until`, unless the operator decided otherwise, and the slots that it had
    /// reserved and its memory go to others.
    fn end(&mut self, row: i64, until: Option<Timestamp>, now: Timestamp) {
        self.index.end(row, until);
        self.release_reserved(row, now);
        self.release_memory(row, now);
    }

    /// Removes the rows from all that is due, parked or waits for memory, and from the cache. Slots that were reserved
    /// for them go to others, as does their memory, unless they are in flight.
    fn withdraw(&mut self, rows: &BTreeSet<i64>, now: Timestamp) {
        self.index.withdraw(rows);
        self.destinations.values_mut().for_each(|destination| destination.slots.withdraw(rows));
        for row in rows {
            // What is on hold must not be sent from the cache.
            self.cache.take(*row);
            self.release_reserved(*row, now);
            if !self.index.is_in_flight(*row) {
                self.release_memory(*row, now);
            }
        }
        let admitted = self.memory.withdraw(rows);
        admitted.into_iter().for_each(|row| self.index.add(now, row));
    }

    /// Frees the memory of a row, if it has any; those that waited and fit now are due at `now`.
    fn release_memory(&mut self, row: i64, now: Timestamp) {
        self.memory.release(row).into_iter().for_each(|row| self.index.add(now, row));
    }

    /// Releases all slots that are reserved for a row; parked messages get them.
    fn release_reserved(&mut self, row: i64, now: Timestamp) {
        for hop in self.reserved.remove(&row).unwrap_or_default() {
            self.release(&hop, now);
        }
    }

    /// Releases the slots that are reserved for a row at destinations after this one, at which it is going to wait.
    /// Since all rows that wait hold slots at earlier destinations only, none waits for another in a circle.
    fn release_above(&mut self, row: i64, hop: &NextHop, now: Timestamp) {
        let Some(reserved) = self.reserved.remove(&row) else { return };
        let (kept, above): (Vec<_>, Vec<_>) = reserved.into_iter().partition(|own| own < hop);
        if !kept.is_empty() {
            self.reserved.insert(row, kept);
        }
        above.iter().for_each(|hop| self.release(hop, now));
    }

    /// Releases a slot at a destination. All slots that are free then are reserved for the next parked messages, which
    /// are due at `now`. Drops the destination if there is nothing to remember about it.
    fn release(&mut self, hop: &NextHop, now: Timestamp) {
        let Some(destination) = self.destinations.get_mut(hop) else { return };
        destination.slots.release();
        while let Some(row) = destination.slots.reserve() {
            self.reserved.entry(row).or_default().push(hop.clone());
            self.index.add(now, row);
        }
        self.prune(hop);
    }

    /// Drops the destination if there is nothing to remember about it.
    fn prune(&mut self, hop: &NextHop) {
        if self.destinations.get(hop).is_some_and(Destination::is_idle) {
            self.destinations.remove(hop);
        }
    }
}
