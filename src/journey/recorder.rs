//! Where events go: a bounded journal in memory, followed live by whoever subscribes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::{Event, Step};
use crate::mail::{Dialogue, JourneyId, QueueId};
use crate::world::Clock;

/// Events that a slow subscriber may fall behind before it misses some.
const BEHIND_MAX: usize = 4096;

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

/// Hears of every event, at once and in order.
type Watcher = Box<dyn Fn(&Event) + Send + Sync>;

#[derive(Default)]
struct Pages {
    seq: u64,
    events: VecDeque<Event>,
    octets: usize,
}

impl Journal {
    /// A journal that keeps this many events, and dialogues with them if asked.
    pub fn new(clock: Clock, capacity: usize, dialogues: bool) -> Self {
        Self::with(clock, capacity, dialogues, None)
    }

    /// A journal that keeps nothing: `watcher` hears of every event as it happens, and misses none.
    pub fn watched(clock: Clock, dialogues: bool, watcher: impl Fn(&Event) + Send + Sync + 'static) -> Self {
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

    /// Every event from now on. One who falls far behind is told how many were missed.
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.0.followers.subscribe()
    }

    /// Whether actors shall record what is said.
    pub fn wants_dialogues(&self) -> bool {
        self.0.dialogues
    }

    fn write(&self, mut event: Event) {
        let mut pages = self.pages();
        pages.seq += 1;
        event.seq = pages.seq;
        if let Some(watcher) = &self.0.watcher {
            watcher(&event);
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
