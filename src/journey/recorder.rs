//! Where events go: a bounded journal in memory, followed live by whoever subscribes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::{Event, Step};
use crate::mail::{Dialogue, JourneyId, QueueId};
use crate::world::Clock;

/// Events that a slow subscriber may fall behind before it misses some.
const BEHIND_MAX: usize = 4096;

/// Octets of events in one batch.
const BATCH_OCTETS_MAX: usize = 512 * 1024;

/// Octets of events, dialogues included, that are kept; the oldest go first.
const KEPT_OCTETS_MAX: usize = 128 * 1024 * 1024;

/// All events of a world, the newest `capacity` of them, within a bound of memory. Cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    clock: Clock,
    capacity: usize,
    dialogues: bool,
    pages: Mutex<Pages>,
    followers: broadcast::Sender<Event>,
    watcher: Option<Watcher>,
}

/// Gets every event, at once and in order.
type Watcher = Box<dyn Fn(Event) + Send + Sync>;

#[derive(Default)]
struct Pages {
    seq: u64,
    events: VecDeque<Event>,
    octets: usize,
    /// How far the events of other processes are taken over: their instance, and their number there.
    sources: BTreeMap<String, (u64, u64)>,
}

impl Journal {
    /// A journal that keeps this many events, and dialogues with them if asked.
    pub fn new(clock: Clock, capacity: usize, dialogues: bool) -> Self {
        Self::with(clock, capacity, dialogues, None)
    }

    /// A journal that keeps nothing: `watcher` gets every event as it happens, and misses none. Nobody can follow it.
    pub fn watched(clock: Clock, dialogues: bool, watcher: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self::with(clock, 0, dialogues, Some(Box::new(watcher)))
    }

    fn with(clock: Clock, capacity: usize, dialogues: bool, watcher: Option<Watcher>) -> Self {
        let (followers, _) = broadcast::channel(BEHIND_MAX);
        Self(Arc::new(Inner { clock, capacity, dialogues, pages: Mutex::default(), followers, watcher }))
    }

    /// The pen of one host.
    pub fn recorder(&self, host: &str) -> Recorder {
        Recorder { journal: self.clone(), host: host.into() }
    }

    /// The events kept, oldest first, from `seq` on.
    pub fn since(&self, seq: u64) -> Vec<Event> {
        let pages = self.pages();
        let start = pages.events.partition_point(|event| event.seq < seq);
        pages.events.range(start..).cloned().collect()
    }

    /// The oldest of the events kept from `seq` on, as many as fit into some hundred thousand octets, but at least one.
    pub fn batch_since(&self, seq: u64) -> Vec<Event> {
        let pages = self.pages();
        let start = pages.events.partition_point(|event| event.seq < seq);
        let mut octets = 0;
        let fits = |event: &&Event| {
            let first = octets == 0;
            octets += event.weight();
            first || octets < BATCH_OCTETS_MAX
        };
        pages.events.range(start..).take_while(fits).cloned().collect()
    }

    /// The number of the last event.
    pub fn last_seq(&self) -> u64 {
        self.pages().seq
    }

    /// Every event from now on. One who falls far behind is told how many were missed.
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.0.followers.subscribe()
    }

    /// Takes over events that another process reported, in its order; `instance` is drawn anew whenever that process
    /// starts. What was taken over before is passed over, so a batch may be sent again when no answer came.
    pub fn adopt(&self, source: &str, instance: u64, events: Vec<Event>) {
        let mut pages = self.pages();
        let (known, last) = pages.sources.get(source).copied().unwrap_or_default();
        let mut last = if known == instance { last } else { 0 };
        for event in events {
            if last < event.seq {
                last = event.seq;
                self.append(&mut pages, event);
            }
        }
        pages.sources.insert(source.to_owned(), (instance, last));
    }

    /// Whether actors shall record what is said.
    pub fn wants_dialogues(&self) -> bool {
        self.0.dialogues
    }

    fn write(&self, event: Event) {
        self.append(&mut self.pages(), event);
    }

    fn append(&self, pages: &mut Pages, mut event: Event) {
        pages.seq += 1;
        event.seq = pages.seq;
        if let Some(watcher) = &self.0.watcher {
            return watcher(event);
        }
        pages.octets += event.weight();
        pages.events.push_back(event.clone());
        while self.0.capacity < pages.events.len() || KEPT_OCTETS_MAX < pages.octets {
            let Some(oldest) = pages.events.pop_front() else { break };
            pages.octets -= oldest.weight();
        }
        // Sent under the lock, so that followers see the order of the numbers. Nobody may be following.
        let _ = self.0.followers.send(event);
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports the events of one host. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    journal: Journal,
    host: Arc<str>,
}

impl Recorder {
    /// Reports that `step` happened now.
    pub fn report(&self, journey: JourneyId, id: Option<QueueId>, step: Step, dialogue: Option<Dialogue>) {
        tracing::debug!(host = %self.host, %journey, ?step, "event");
        let (at, host) = (self.journal.0.clock.now(), self.host.clone());
        let dialogue = dialogue.filter(|_| self.journal.0.dialogues).map(Arc::new);
        self.journal.write(Event { seq: 0, at, host, journey, id, step, dialogue });
    }

    /// Whether to record what is said.
    pub fn wants_dialogues(&self) -> bool {
        self.journal.wants_dialogues()
    }

    /// The host whose events these are.
    pub fn host(&self) -> &str {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Dialogue;

    fn journal() -> Journal {
        Journal::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), 100, true)
    }

    fn reported(count: u64) -> Vec<Event> {
        let journal = journal();
        for number in 0..count {
            let step = Step::Reported { about: JourneyId::of(number), recipients: vec!["a@x.test".parse().unwrap()] };
            journal.recorder("mta").report(JourneyId::of(number), None, step, Some(Dialogue::default()));
        }
        journal.since(0)
    }

    #[test]
    fn what_another_process_sends_twice_is_taken_over_once() {
        let (journal, events) = (journal(), reported(4));
        journal.adopt("mta", 7, events[..2].to_vec());
        journal.adopt("mta", 7, events[1..].to_vec());
        assert_eq!(journal.since(0), events);
        journal.adopt("mta", 8, events[..1].to_vec());
        assert_eq!(journal.last_seq(), 5, "a process that starts again counts from the start");
    }

    #[test]
    fn events_travel_as_json() {
        let events = reported(2);
        let text = serde_json::to_string(&events).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Event>>(&text).unwrap(), events);
    }

    #[test]
    fn a_batch_has_at_least_one_event_and_ends_somewhere() {
        let journal = journal();
        let mut dialogue = Dialogue::default();
        (0..400).for_each(|_| dialogue.note(crate::mail::Speaker::Client, &"😀".repeat(300)));
        for _ in 0..2 {
            let step = Step::Reported { about: JourneyId::of(1), recipients: Vec::new() };
            journal.recorder("mta").report(JourneyId::of(1), None, step, Some(dialogue.clone()));
        }
        assert_eq!(journal.batch_since(1).len(), 1);
        assert_eq!(journal.batch_since(2).len(), 1);
        assert!(journal.batch_since(3).is_empty());
    }
}
