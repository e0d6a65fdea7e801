//! `/metrics`: numbers of a running world, in the text format of OpenMetrics 1.0 for a client that asks for it, as Prometheus
//! does, and in Prometheus' own, 0.0.4, for all others.
//!
//! Counters begin at the start of the process. What happened to messages is counted from their events, once a second and
//! before each answer, off the path of any reply; the rest is read when it is asked for.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::sleep;

use super::mailpit::resident_bytes;
use super::problem::Problem;
use super::{Answer, AppState};
use crate::host::RunningWorld;
use crate::journey::{Event, EventKind, Subscription};
use crate::mail::JourneyId;
use crate::net::Stop;
use crate::sync::lock;

/// OpenMetrics 1.0.0, "Content type".
const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Prometheus, "Exposition formats".
const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Interval between two looks at the events.
const INTERVAL: Duration = Duration::from_secs(1);
/// Journeys whose beginning is known, for the time that they take.
const MAX_BEGUN: usize = 50_000;
/// The upper bounds of the times, in seconds.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 3600.0, 86_400.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostLabel {
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    host: String,
    protocol: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SessionLabels {
    protocol: String,
    outcome: String,
}

/// The numbers of a world.
pub(super) struct Metrics(Mutex<Counted>);

struct Counted {
    registry: Registry,
    events: Subscription,
    /// Where the time of journeys begins, by id and in order.
    begun: BTreeMap<JourneyId, Timestamp>,
    order: VecDeque<JourneyId>,
    received: Family<DoorLabels, Counter>,
    received_bytes: Family<DoorLabels, Counter>,
    recipients: Family<OutcomeLabel, Counter>,
    retrieved: Family<DoorLabels, Counter>,
    deferred: Family<HostLabel, Counter>,
    bounces: Family<HostLabel, Counter>,
    missed: Counter,
    hop: Family<HostLabel, Histogram, fn() -> Histogram>,
    journey: Histogram,
    queued: Family<HostLabel, Gauge>,
    host_up: Family<HostLabel, Gauge>,
    open_sessions: Gauge,
    sessions: Family<SessionLabels, Counter>,
    faults: Gauge,
    unsaved: Gauge,
    commits: Counter,
    jobs: Counter,
    memory: Gauge,
}

/// Returns an empty histogram of times with the upper bounds [`BUCKETS`].
fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Counted {
    fn new(events: Subscription, now: Timestamp) -> Self {
        let mut all = Self {
            registry: Registry::default(),
            events,
            begun: BTreeMap::new(),
            order: VecDeque::new(),
            received: Family::default(),
            received_bytes: Family::default(),
            recipients: Family::default(),
            retrieved: Family::default(),
            deferred: Family::default(),
            bounces: Family::default(),
            missed: Counter::default(),
            hop: Family::new_with_constructor(histogram),
            journey: histogram(),
            queued: Family::default(),
            host_up: Family::default(),
            open_sessions: Gauge::default(),
            sessions: Family::default(),
            faults: Gauge::default(),
            unsaved: Gauge::default(),
            commits: Counter::default(),
            jobs: Counter::default(),
            memory: Gauge::default(),
        };
        all.register(now);
        all
    }

    /// Registers all numbers under their names. `now` is exported as the start of the process.
    fn register(&mut self, now: Timestamp) {
        let registry = &mut self.registry;
        let started = Gauge::<i64>::default();
        started.set(now.as_second());
        registry.register("postroad_build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_with_unit("process_start_time", "Start of the process, Unix time", Unit::Seconds, started);
        let memory = self.memory.clone();
        registry.register_with_unit("process_resident_memory", "Resident memory", Unit::Bytes, memory);
        let registry = registry.sub_registry_with_prefix("postroad");
        registry.register("messages_received", "Messages that a host accepted", self.received.clone());
        let bytes = self.received_bytes.clone();
        registry.register_with_unit("received", "Size of the messages that a host accepted", Unit::Bytes, bytes);
        registry.register("messages_retrieved", "Messages that clients fetched", self.retrieved.clone());
        registry.register("recipients", "What became of messages, for each recipient", self.recipients.clone());
        registry.register("attempts_deferred", "Attempts that will be repeated", self.deferred.clone());
        registry.register("bounces", "Delivery reports that hosts created", self.bounces.clone());
        registry.register("events_missed", "Events that were not counted", self.missed.clone());
        registry.register_with_unit(
            "hop_duration",
            "From the connection to the reply",
            Unit::Seconds,
            self.hop.clone(),
        );
        let journey = self.journey.clone();
        registry.register_with_unit("journey_duration", "From the first host to a mailbox", Unit::Seconds, journey);
        registry.register("queue_messages", "Messages in the queue of a host", self.queued.clone());
        registry.register("host_up", "Whether a host is on", self.host_up.clone());
        registry.register("sessions_open", "Conversations at the doors that go on", self.open_sessions.clone());
        registry.register(
            "sessions",
            "Conversations that ended, each with every outcome that it had",
            self.sessions.clone(),
        );
        registry.register("faults", "Active faults", self.faults.clone());
        registry.register("events_unsaved", "Events that are not stored yet", self.unsaved.clone());
        registry.register("store_commits", "Commits of the store", self.commits.clone());
        registry.register("store_jobs", "Jobs in these commits", self.jobs.clone());
    }

    /// Counts the events since the last call, as [`Self::count`] does; those that the log dropped before they were read
    /// count as missed.
    fn catch_up(&mut self) {
        loop {
            match self.events.try_next() {
                Ok(events) if events.is_empty() => return,
                Ok(events) => events.iter().for_each(|event| self.count(event)),
                Err(lagged) => {
                    self.missed.inc_by(lagged.missed);
                }
            }
        }
    }

    /// Adds an event to the numbers of its kind, and notes where a journey begins with it. A delivery adds the time
    /// since the journey began, if that is known. Kinds without a number, as tries and holds, change nothing.
    fn count(&mut self, event: &Event) {
        let host = || HostLabel { host: event.host.to_string() };
        let at_door = |protocol: crate::journey::Protocol| DoorLabels {
            host: event.host.to_string(),
            protocol: protocol.to_string().to_lowercase(),
        };
        let count = |outcome, count: usize| {
            self.recipients.get_or_create(&OutcomeLabel { outcome }).inc_by(count as u64);
        };
        match &event.kind {
            EventKind::Received { protocol, size, .. } => {
                self.received.get_or_create(&at_door(*protocol)).inc();
                self.received_bytes.get_or_create(&at_door(*protocol)).inc_by(*size as u64);
                self.begin(event.journey, event.at);
            }
            EventKind::Reported { .. } => {
                self.bounces.get_or_create(&host()).inc();
                self.begin(event.journey, event.at);
            }
            EventKind::Relayed { recipients, took_ms, leaves, .. } => {
                self.hop.get_or_create(&host()).observe(took_ms / 1e3);
                if *leaves {
                    count("relayed", recipients.len());
                }
            }
            EventKind::Deferred { .. } => {
                self.deferred.get_or_create(&host()).inc();
            }
            EventKind::Failed { recipients, .. } => count("failed", recipients.len()),
            EventKind::Deleted { recipients } => count("deleted", recipients.len()),
            EventKind::Gone { recipients } => count("gone", recipients.len()),
            EventKind::Expanded { targets, discarded, .. } if targets.is_empty() && *discarded => count("discarded", 1),
            EventKind::Delivered { .. } => {
                count("delivered", 1);
                if let Some(began) = self.begun.get(&event.journey) {
                    self.journey.observe(event.at.duration_since(*began).as_secs_f64());
                }
            }
            EventKind::Retrieved { protocol, .. } => {
                self.retrieved.get_or_create(&at_door(*protocol)).inc();
            }
            EventKind::Expanded { .. }
            | EventKind::Tried { .. }
            | EventKind::Held { .. }
            | EventKind::Released { .. }
            | EventKind::Flushed { .. }
            | EventKind::Found { .. } => {}
        }
    }

    /// Notes when a journey began, unless that is known; beyond [`MAX_BEGUN`], forgets the one that was noted first.
    fn begin(&mut self, journey: JourneyId, at: Timestamp) {
        if let Entry::Vacant(place) = self.begun.entry(journey) {
            place.insert(at);
            self.order.push_back(journey);
        }
        if MAX_BEGUN < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.begun.remove(&oldest);
        }
    }

    /// Sets the numbers that are not counted from events to their present values: queues, hosts, sessions, faults,
    /// events that are not stored, the store's commits and jobs, and memory.
    fn refresh(&mut self, running: &RunningWorld) {
        for host in running.env.world.hosts.values() {
            let label = HostLabel { host: host.name.to_string() };
            if let Some(mta) = running.mtas.get(&host.name) {
                self.queued.get_or_create(&label).set(mta.queue().len() as i64);
            }
            self.host_up.get_or_create(&label).set(running.is_on(&host.name).into());
        }
        let sessions = running.env.event_log.sessions();
        self.open_sessions.set(sessions.open_count() as i64);
        for ((protocol, outcome), count) in sessions.ended_counts() {
            let outcome = outcome.map_or_else(|| "all".to_owned(), |outcome| outcome.name().to_owned());
            let labels = SessionLabels { protocol: protocol.to_string().to_lowercase(), outcome };
            set_counter(&self.sessions.get_or_create(&labels), count);
        }
        self.faults.set(running.active_faults().len() as i64);
        self.unsaved.set(running.env.event_log.unsaved_count() as i64);
        set_counter(&self.commits, running.env.store.commits());
        set_counter(&self.jobs, running.env.store.jobs());
        self.memory.set(resident_bytes().unwrap_or_default() as i64);
    }
}

/// Sets a counter to a value that something else has counted, instead of adding to it.
fn set_counter(counter: &Counter, count: u64) {
    counter.inner().store(count, std::sync::atomic::Ordering::Relaxed);
}

impl Metrics {
    /// Returns the numbers of a world, counted from the events from now on.
    pub(super) fn new(running: &RunningWorld) -> Self {
        Self(Mutex::new(Counted::new(running.env.event_log.subscribe_from_now(), running.env.clock.now())))
    }

    /// Counts the events, once in [`INTERVAL`], until `stop`.
    pub(super) async fn follow(self: Arc<Self>, stop: Stop) {
        while stop.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
            lock(&self.0).catch_up();
        }
    }
}

/// Converts text of OpenMetrics 1.0 to Prometheus' own format, 0.0.4: families have the names of their samples, there
/// is no type `info`, no units and no end mark.
fn as_text(openmetrics: &str) -> String {
    let (mut text, mut help) = (String::with_capacity(openmetrics.len()), "");
    for line in openmetrics.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "EOF"] | ["#", "UNIT", ..] => {}
            ["#", "HELP", _, about] => help = about,
            ["#", "TYPE", name, kind] => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                let _ = writeln!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

/// The numbers, for Prometheus: OpenMetrics 1.0 if `Accept` names it.
///
/// Else they are in the text format 0.0.4. Events up to now are counted first.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "world",
    responses((
        status = 200,
        content((String = "text/plain"), (String = "application/openmetrics-text"))
    ))
)]
pub(super) async fn show(
    State(running): AppState,
    Extension(metrics): Extension<Arc<Metrics>>,
    headers: HeaderMap,
) -> Answer<Response> {
    let mut text = String::new();
    {
        let mut counted = lock(&metrics.0);
        counted.catch_up();
        counted.refresh(&running);
        encode(&mut text, &counted.registry).map_err(Problem::internal)?;
    }
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (media_type, text) = match accepted.into_iter().any(|value| value.contains(OPENMETRICS)) {
        true => (OPENMETRICS_TYPE, text),
        false => (TEXT_TYPE, as_text(&text)),
    };
    Ok(([(header::CONTENT_TYPE, media_type), (header::VARY, "Accept")], text).into_response())
}
