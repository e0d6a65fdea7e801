//! The event log: the newest events in memory, an index of their journeys, and readers at any place of it.
//!
//! ```text
//!  EventEmitter ──▶ memory, numbered ──▶ Subscription: each consumer at its own place
//!                        │      └──────▶ index of journeys
//!                        └─ saver ─────▶ store: what is no longer in memory, and what survives a restart
//! ```
//!
//! An event is in memory, in the index and readable when [`EventEmitter::report`] returns. It is stored later, in batches,
//! and no reply waits for it; a log without a store forgets what no longer fits into memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use tokio::sync::watch;

use super::fault_history::FaultHistory;
use super::index::JourneyIndex;
use super::{Event, EventKind, Sessions, Subscription};
use crate::mail::{JourneyId, QueueId, Transcript};
use crate::store::Store;
use crate::sync::lock;
use crate::world::Clock;

/// Size of the retained events, with their transcripts and journeys; beyond it, the oldest are dropped.
const MAX_RETAINED_BYTES: usize = 192 * 1024 * 1024;
/// The same while the oldest is stored, too.
const MAX_STORED_BYTES: usize = 16 * 1024 * 1024;

/// The newest events of a world, limited in number and memory. Cheap to clone.
#[derive(Clone)]
pub struct EventLog(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) clock: Clock,
    /// The most events in memory.
    pub(super) capacity: usize,
    /// The most of their bytes; less if they are stored.
    max_bytes: usize,
    transcripts: bool,
    has_index: bool,
    pub(super) store: Option<Store>,
    state: Mutex<LogState>,
    newest: watch::Sender<u64>,
    /// The number of the last event that is stored.
    saved: watch::Sender<u64>,
    sessions: Sessions,
    pub(super) faults: Mutex<FaultHistory>,
}

pub(super) struct LogState {
    /// The number of the newest event.
    pub(super) seq: u64,
    pub(super) events: VecDeque<Arc<Event>>,
    bytes: usize,
    pub(super) index: JourneyIndex,
    /// For each other process: its instance, and the number of its last imported event.
    sources: BTreeMap<String, (u64, u64)>,
    /// The number of the last event that is stored.
    pub(super) saved: u64,
    /// How many journeys are stored.
    pub(super) stored_journeys: u64,
}

impl LogState {
    /// The state of a log without events in memory. The next event gets a number above `seq`; all up to `seq` count as
    /// stored.
    fn starting_at(seq: u64) -> Self {
        Self {
            seq,
            events: VecDeque::new(),
            bytes: 0,
            index: JourneyIndex::default(),
            sources: BTreeMap::new(),
            saved: seq,
            stored_journeys: 0,
        }
    }

    /// The number of the oldest event in memory; that of the next event if there is none.
    pub(super) fn first_seq(&self) -> u64 {
        self.events.front().map_or(self.seq + 1, |event| event.seq)
    }

    /// Whether events are not stored yet.
    pub(super) fn has_unsaved(&self) -> bool {
        self.saved < self.seq
    }

    /// Drops the oldest event from memory and from the index, stored or not; `false` if there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.events.pop_front() else { return false };
        self.bytes -= oldest.retained_bytes();
        self.index.remove(&oldest);
        true
    }
}

impl EventLog {
    /// An event log in memory that retains up to `capacity` events and 192 MiB. If `transcripts`, it keeps the
    /// transcripts of events, and notes conversations.
    pub fn new(clock: Clock, capacity: usize, transcripts: bool) -> Self {
        Self::with(clock, (capacity, MAX_RETAINED_BYTES), transcripts, true, None, 0)
    }

    /// An event log without an index that retains every event until [`EventLog::discard_through`], for a simulation
    /// that reads all of them.
    pub fn until_discarded(clock: Clock) -> Self {
        Self::with(clock, (usize::MAX, usize::MAX), false, false, None, 0)
    }

    /// An event log over a store; its events have numbers above `seq`, and all up to that count as stored.
    pub(super) fn over(store: Store, seq: u64, clock: Clock, capacity: usize, transcripts: bool) -> Self {
        Self::with(clock, (capacity, MAX_RETAINED_BYTES), transcripts, true, Some(store), seq)
    }

    /// An empty event log with these limits; `capacity` is a number of events. Without an index, it knows no journeys.
    /// The first event has the number `seq + 1`.
    fn with(
        clock: Clock,
        (capacity, max_bytes): (usize, usize),
        transcripts: bool,
        has_index: bool,
        store: Option<Store>,
        seq: u64,
    ) -> Self {
        let (state, newest) = (Mutex::new(LogState::starting_at(seq)), watch::Sender::new(seq));
        let saved = watch::Sender::new(seq);
        let sessions = Sessions::new(clock, transcripts);
        let faults = Mutex::default();
        Self(Arc::new(Inner {
            clock,
            capacity,
            max_bytes,
            transcripts,
            has_index,
            store,
            state,
            newest,
            saved,
            sessions,
            faults,
        }))
    }

    /// The event emitter of one host.
    pub fn emitter(&self, host: &str) -> EventEmitter {
        EventEmitter { event_log: self.clone(), host: host.into() }
    }

    /// The conversations of the hosts with clients outside; noted where transcripts are recorded.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The number of the newest event.
    pub fn last_seq(&self) -> u64 {
        self.state().seq
    }

    /// A reader of all events after number `seq`.
    pub fn subscribe(&self, seq: u64) -> Subscription {
        Subscription::new(self.clone(), seq)
    }

    /// A reader of all events from now on.
    pub fn subscribe_from_now(&self) -> Subscription {
        self.subscribe(self.last_seq())
    }

    /// Drops the events up to number `seq` from memory, with journeys that have no event left there.
    pub fn discard_through(&self, seq: u64) {
        let mut state = self.state();
        while state.first_seq() <= seq && state.drop_oldest() {}
    }

    /// Imports events of another process, with its name `source`; `instance` is a random number for each start of it.
    /// The events get new numbers here, in their order. Those with numbers up to the last one that was imported from
    /// this instance are skipped, so a batch may be sent again.
    pub fn import(&self, source: &str, instance: u64, events: impl IntoIterator<Item = Event>) {
        let mut state = self.state();
        let (known, last) = state.sources.get(source).copied().unwrap_or_default();
        let mut last = if known == instance { last } else { 0 };
        for event in events {
            if last < event.seq {
                last = event.seq;
                self.append(&mut state, event);
            }
        }
        state.sources.insert(source.to_owned(), (instance, last));
    }

    /// Whether transcripts are recorded.
    pub fn wants_transcripts(&self) -> bool {
        self.0.transcripts
    }

    /// Resolves when there is an event with a number above `seq`; at once if there is one already.
    pub(super) async fn appended_after(&self, seq: u64) {
        // The log holds the sender, so this does not fail.
        let _ = self.0.newest.subscribe().wait_for(|newest| seq < *newest).await;
    }

    /// Resolves when all events so far are stored; at once in a log without a store. To ask about their journeys reads
    /// nothing from the store then.
    pub async fn saved_so_far(&self) {
        if self.0.store.is_some() {
            let seq = self.last_seq();
            let _ = self.0.saved.subscribe().wait_for(|saved| seq <= *saved).await;
        }
    }

    /// How many events are not stored yet: a process that is killed loses them. 0 for a log without a store.
    pub fn unsaved_count(&self) -> u64 {
        if self.0.store.is_none() {
            return 0;
        }
        let state = self.state();
        state.seq - state.saved
    }

    /// Notifies those who wait in [`EventLog::saved_so_far`] that events up to number `seq` are stored.
    pub(super) fn set_saved(&self, seq: u64) {
        self.0.saved.send_replace(seq);
    }

    /// Gives an event the next number, adds it to memory and index, drops the oldest events beyond the limits, and
    /// notifies the readers.
    fn append(&self, state: &mut LogState, mut event: Event) {
        state.seq += 1;
        event.seq = state.seq;
        state.bytes += event.retained_bytes();
        let event = Arc::new(event);
        if self.0.has_index {
            state.index.add(&event, self.0.store.is_some());
        }
        state.events.push_back(event);
        while self.is_over_limits(state) && state.drop_oldest() {}
        // Under the lock, so that the number never goes back.
        self.0.newest.send_replace(state.seq);
    }

    /// Whether the oldest event is to be dropped: there are more than `capacity`, or they take more than the most
    /// bytes, which is less while the oldest is stored.
    fn is_over_limits(&self, state: &LogState) -> bool {
        let is_stored = state.first_seq() <= state.saved;
        let max_bytes = if is_stored { self.0.max_bytes.min(MAX_STORED_BYTES) } else { self.0.max_bytes };
        self.0.capacity < state.events.len() || max_bytes < state.bytes
    }

    /// Locks the events and journeys in memory.
    pub(super) fn state(&self) -> MutexGuard<'_, LogState> {
        lock(&self.0.state)
    }

    /// The events in memory from number `seq` on.
    #[cfg(test)]
    pub(crate) fn since(&self, seq: u64) -> Vec<Event> {
        let state = self.state();
        state.events.iter().filter(|event| seq <= event.seq).map(|event| (**event).clone()).collect()
    }
}

/// Records the events of one host. Cheap to clone.
#[derive(Clone)]
pub struct EventEmitter {
    event_log: EventLog,
    host: Arc<str>,
}

impl EventEmitter {
    /// Records an event that happens now at the host of this emitter; `id` is that of the message in its queue. The
    /// transcript is dropped unless transcripts are recorded.
    pub fn report(&self, journey: JourneyId, id: Option<QueueId>, kind: EventKind, transcript: Option<Transcript>) {
        self.report_at(self.event_log.0.clock.now(), journey, id, kind, transcript);
    }

    /// Records an event as [`EventEmitter::report`] does, which happened at the time `at`.
    pub fn report_at(
        &self,
        at: Timestamp,
        journey: JourneyId,
        id: Option<QueueId>,
        kind: EventKind,
        transcript: Option<Transcript>,
    ) {
        let transcript = transcript.filter(|_| self.event_log.0.transcripts);
        self.append(at, journey, id, kind, transcript);
    }

    /// Adds an event of the host to the log, with this transcript in any case, and traces it.
    fn append(
        &self,
        at: Timestamp,
        journey: JourneyId,
        id: Option<QueueId>,
        kind: EventKind,
        transcript: Option<Transcript>,
    ) {
        tracing::debug!(host = %self.host, %journey, ?kind, "event");
        let (host, transcript) = (self.host.clone(), transcript.map(Arc::new));
        let event = Event { seq: 0, at, host, journey, id, kind, transcript };
        self.event_log.append(&mut self.event_log.state(), event);
    }

    /// Whether transcripts are recorded.
    pub fn wants_transcripts(&self) -> bool {
        self.event_log.wants_transcripts()
    }

    /// Where the host's conversations with clients outside are noted.
    pub fn sessions(&self) -> &Sessions {
        self.event_log.sessions()
    }

    /// The host whose events these are.
    pub fn host(&self) -> &str {
        &self.host
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::journey) fn event_log() -> EventLog {
        EventLog::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), 100, true)
    }

    pub(in crate::journey) fn report(event_log: &EventLog, count: u64, transcript: &Transcript) {
        for number in 0..count {
            let kind = EventKind::Reported {
                about: JourneyId::from_random(number),
                recipients: vec!["a@x.test".parse().unwrap()],
            };
            let journey = JourneyId::from_random(number);
            event_log.emitter("mta").report(journey, None, kind, Some(transcript.clone()));
        }
    }

    fn reported(count: u64) -> Vec<Event> {
        let event_log = event_log();
        report(&event_log, count, &Transcript::default());
        event_log.since(0)
    }

    #[test]
    fn event_log_import_of_repeated_events_adds_them_once() {
        let (event_log, events) = (event_log(), reported(4));
        event_log.import("mta", 7, events[..2].to_vec());
        event_log.import("mta", 7, events[1..].to_vec());
        assert_eq!(event_log.since(0), events);
        event_log.import("mta", 8, events[..1].to_vec());
        assert_eq!(event_log.last_seq(), 5, "a process that starts again counts from the start");
    }

    #[test]
    fn events_survive_a_json_round_trip() {
        let events = reported(2);
        let text = serde_json::to_string(&events).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Event>>(&text).unwrap(), events);
    }

    #[test]
    fn event_log_when_full_drops_the_oldest_events_with_their_journeys() {
        let event_log = EventLog::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), 3, false);
        report(&event_log, 5, &Transcript::default());
        assert_eq!(event_log.since(0).iter().map(|event| event.seq).collect::<Vec<_>>(), [3, 4, 5]);
        let state = event_log.state();
        assert!(state.index.state(JourneyId::from_random(1)).is_none());
        assert!(state.index.state(JourneyId::from_random(2)).is_some());
    }
}
