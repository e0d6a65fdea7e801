//! The event log: bounded, in memory, with live subscribers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::broadcast;

use super::{Event, EventKind};
use crate::mail::{JourneyId, QueueId, Transcript};
use crate::sync::lock;
use crate::world::Clock;

/// Events that a slow subscriber may lag behind before it misses some.
const MAX_FOLLOWER_LAG: usize = 4096;

/// Size of one batch of events.
const MAX_BATCH_BYTES: usize = 512 * 1024;

/// Size of the retained events with their transcripts; beyond it, the oldest are dropped.
const MAX_RETAINED_BYTES: usize = 128 * 1024 * 1024;

/// The newest events of a world, limited in number and memory. Cheap to clone.
#[derive(Clone)]
pub struct EventLog(Arc<Inner>);

struct Inner {
    clock: Clock,
    capacity: usize,
    transcripts: bool,
    state: Mutex<LogState>,
    followers: broadcast::Sender<Event>,
    sink: Option<EventSink>,
}

/// Receives every event, synchronously and in order.
type EventSink = Box<dyn Fn(Event) + Send + Sync>;

#[derive(Default)]
struct LogState {
    seq: u64,
    events: VecDeque<Event>,
    bytes: usize,
    /// For each other process: its instance, and the number of its last imported event.
    sources: BTreeMap<String, (u64, u64)>,
}

impl EventLog {
    /// An event log that retains up to `capacity` events, with transcripts if requested.
    pub fn new(clock: Clock, capacity: usize, transcripts: bool) -> Self {
        Self::with(clock, capacity, transcripts, None)
    }

    /// An event log that retains no events, but passes each one to `sink`. It has no subscribers.
    pub fn with_sink(clock: Clock, transcripts: bool, sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self::with(clock, 0, transcripts, Some(Box::new(sink)))
    }

    fn with(clock: Clock, capacity: usize, transcripts: bool, sink: Option<EventSink>) -> Self {
        let (followers, _) = broadcast::channel(MAX_FOLLOWER_LAG);
        Self(Arc::new(Inner { clock, capacity, transcripts, state: Mutex::default(), followers, sink }))
    }

    /// The event emitter of one host.
    pub fn emitter(&self, host: &str) -> EventEmitter {
        EventEmitter { event_log: self.clone(), host: host.into() }
    }

    /// The retained events from number `seq` on.
    pub fn since(&self, seq: u64) -> Vec<Event> {
        let state = self.state();
        let start = state.events.partition_point(|event| event.seq < seq);
        state.events.range(start..).cloned().collect()
    }

    /// A batch of the retained events from number `seq` on: at least one event, and not more than fit into a request.
    pub fn batch_since(&self, seq: u64) -> Vec<Event> {
        let state = self.state();
        let start = state.events.partition_point(|event| event.seq < seq);
        let mut bytes = 0;
        let fits = |event: &&Event| {
            let first = bytes == 0;
            bytes += event.memory_bytes();
            first || bytes < MAX_BATCH_BYTES
        };
        state.events.range(start..).take_while(fits).cloned().collect()
    }

    /// The number of the last event.
    pub fn last_seq(&self) -> u64 {
        self.state().seq
    }

    /// Subscribes to all further events. A subscriber that lags too far behind gets the number of missed events.
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.0.followers.subscribe()
    }

    /// Imports events of another process; `instance` is a random number for each start of that process. Events that
    /// were imported before are skipped, so a batch may be sent again.
    pub fn import(&self, source: &str, instance: u64, events: Vec<Event>) {
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

    fn write(&self, event: Event) {
        self.append(&mut self.state(), event);
    }

    fn append(&self, state: &mut LogState, mut event: Event) {
        state.seq += 1;
        event.seq = state.seq;
        if let Some(sink) = &self.0.sink {
            return sink(event);
        }
        state.bytes += event.memory_bytes();
        state.events.push_back(event.clone());
        while self.0.capacity < state.events.len() || MAX_RETAINED_BYTES < state.bytes {
            let Some(oldest) = state.events.pop_front() else { break };
            state.bytes -= oldest.memory_bytes();
        }
        // Sent under the lock, so that subscribers get the events in order. Fails if there is no subscriber.
        let _ = self.0.followers.send(event);
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        lock(&self.0.state)
    }
}

/// Records the events of one host. Cheap to clone.
#[derive(Clone)]
pub struct EventEmitter {
    event_log: EventLog,
    host: Arc<str>,
}

impl EventEmitter {
    /// Records an event now.
    pub fn report(&self, journey: JourneyId, id: Option<QueueId>, kind: EventKind, transcript: Option<Transcript>) {
        tracing::debug!(host = %self.host, %journey, ?kind, "event");
        let (at, host) = (self.event_log.0.clock.now(), self.host.clone());
        let transcript = transcript.filter(|_| self.event_log.0.transcripts).map(Arc::new);
        self.event_log.write(Event { seq: 0, at, host, journey, id, kind, transcript });
    }

    /// Whether transcripts are recorded.
    pub fn wants_transcripts(&self) -> bool {
        self.event_log.wants_transcripts()
    }

    /// The host whose events these are.
    pub fn host(&self) -> &str {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Transcript;

    fn event_log() -> EventLog {
        EventLog::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), 100, true)
    }

    fn reported(count: u64) -> Vec<Event> {
        let event_log = event_log();
        for number in 0..count {
            let kind = EventKind::Reported {
                about: JourneyId::from_random(number),
                recipients: vec!["a@x.test".parse().unwrap()],
            };
            event_log.emitter("mta").report(JourneyId::from_random(number), None, kind, Some(Transcript::default()));
        }
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
    fn event_log_batch_has_at_least_one_event_and_is_bounded() {
        let event_log = event_log();
        let mut transcript = Transcript::default();
        (0..400).for_each(|_| transcript.note(crate::mail::Side::Client, &"😀".repeat(300)));
        for _ in 0..2 {
            let kind = EventKind::Reported { about: JourneyId::from_random(1), recipients: Vec::new() };
            event_log.emitter("mta").report(JourneyId::from_random(1), None, kind, Some(transcript.clone()));
        }
        assert_eq!(event_log.batch_since(1).len(), 1);
        assert_eq!(event_log.batch_since(2).len(), 1);
        assert!(event_log.batch_since(3).is_empty());
    }
}
