//! Traces: sends each journey to a collector of OpenTelemetry, by OTLP over HTTP in JSON (OTLP 1, "OTLP/HTTP").
//!
//! It follows the event log at its own place, off the path of any reply. While the collector is down, events stay in the log; of those, it
//! gets the newest afterwards.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::otlp::Request;
use super::post::post;
use crate::journey::{Event, EventKind, EventLog, JourneyState, Subscription};
use crate::mail::JourneyId;
use crate::net::{Interface, Stop};

/// How long events wait for others, with which they are sent.
const INTERVAL: Duration = Duration::from_secs(1);
/// The events of one request.
const MAX_EVENTS: usize = 500;
/// The events that a collector gets which was down or slow; those before them are left out.
const MAX_BEHIND: u64 = 50_000;
/// Journeys of which it is known whether they were sent.
const MAX_JOURNEYS: usize = 50_000;
/// How long the collector may take. OTLP exporters have this default.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait after the first failure; doubled after each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The wait never grows beyond this, and failures are logged no more often.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long the last events may take when the world stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// What is sent, and where.
pub struct Traces {
    /// The collector: the requests go to `/v1/traces` below it.
    pub collector: Url,
    /// The network by which it is reached.
    pub interface: Interface,
    /// The events.
    pub event_log: EventLog,
    /// The name of the world.
    pub world: String,
    /// Whether the log has the events of all hosts, so that it is known when a journey has ended.
    pub has_all_hosts: bool,
}

/// Sends the events of a subscription as spans to the collector until `stop`; then sends those that are left, for 2 s
/// at most and until the first failure.
pub async fn send_traces(traces: Traces, events: Subscription, stop: Stop) {
    let mut sender = Sender { traces, events, unsent: Vec::new(), journeys: Journeys::default(), complained: None };
    stop.run_until_cancelled(sender.send_all()).await;
    if timeout(SHUTDOWN_TIMEOUT, sender.send_rest()).await.is_err() {
        sender.complain("the last events were not sent in time");
    }
}

struct Sender {
    traces: Traces,
    events: Subscription,
    /// Events that were read, and not taken by the collector yet.
    unsent: Vec<Arc<Event>>,
    journeys: Journeys,
    /// When a failure was logged last.
    complained: Option<Instant>,
}

impl Sender {
    /// Sends events as they come, and again, with growing waits, those that the collector did not take. When all events
    /// are read, waits [`INTERVAL`] for others to send with them. Failures are logged. Never returns.
    async fn send_all(&mut self) {
        loop {
            self.skip_old();
            match self.events.next().await {
                Ok(events) => self.unsent.extend(events),
                Err(lagged) => self.complain(&lagged.to_string()),
            }
            if self.events.position() == self.traces.event_log.last_seq() {
                sleep(INTERVAL).await;
                self.read_more();
            }
            let mut wait = FIRST_WAIT;
            while let Err(why) = self.send_unsent().await {
                self.complain(&format!("{why}; trying again"));
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    /// Sends the unsent events and those that the log has now, without waiting for others, until all are sent or the
    /// first failure.
    async fn send_rest(&mut self) {
        loop {
            self.read_more();
            if self.unsent.is_empty() || self.send_unsent().await.is_err() {
                return;
            }
        }
    }

    /// Reads events that are in the log already into `unsent`, without waiting, until there are [`MAX_EVENTS`] or
    /// somewhat more, or none is left.
    fn read_more(&mut self) {
        while self.unsent.len() < MAX_EVENTS {
            let events = self.events.try_next_kept();
            if events.is_empty() {
                return;
            }
            self.unsent.extend(events);
        }
    }

    /// If more than [`MAX_BEHIND`] events are not read yet, goes on at the newest [`MAX_BEHIND`] and logs that the
    /// others are left out.
    fn skip_old(&mut self) {
        let oldest = self.traces.event_log.last_seq().saturating_sub(MAX_BEHIND);
        if self.events.position() < oldest {
            self.complain("events that were too many are left out");
            self.events = self.traces.event_log.subscribe(oldest);
        }
    }

    /// Sends the events in `unsent`, and the spans of journeys that end with them. What the collector refuses for good
    /// is left out; after an error, `unsent` has what it did not take.
    async fn send_unsent(&mut self) -> Result<(), String> {
        while !self.unsent.is_empty() {
            let count = self.unsent.len().min(MAX_EVENTS);
            let ended = self.find_ended(count);
            let events = self.unsent[..count].iter().map(|event| &**event);
            let request = Request::new(&self.traces.world, events, &ended);
            let body = Bytes::from(serde_json::to_vec(&request).map_err(|error| error.to_string())?);
            if let Some(refused) = self.post(body).await? {
                self.complain(&format!("it answered {refused}, so these events are left out"));
            }
            self.unsent.drain(..count);
            ended.iter().for_each(|(state, _)| self.journeys.set_sent(state.journey));
        }
        Ok(())
    }

    /// Notes the times of the first `count` unsent events, except retrievals. Returns the journeys that have no later
    /// event and are settled, whose root spans are to be sent with these: each with the time of its last event, in the
    /// order of their ids, without those whose span was sent before. Empty if the log has not the events of all hosts.
    fn find_ended(&mut self, count: usize) -> Vec<(JourneyState, Timestamp)> {
        let events = &self.unsent[..count];
        for event in events.iter().filter(|event| !matches!(event.kind, EventKind::Retrieved { .. })) {
            self.journeys.note(event.journey, event.at);
        }
        if !self.traces.has_all_hosts {
            return Vec::new();
        }
        let last = events.last().map_or(0, |event| event.seq);
        let ids: BTreeSet<_> = events.iter().map(|event| event.journey).collect();
        let ended = ids.into_iter().filter_map(|id| {
            let end = self.journeys.open_until(id)?;
            let state = self.traces.event_log.journey_state(id).ok()??;
            // Further events of it are in the log, and come next.
            (state.is_settled() && state.last_seq() <= last).then_some((state, end))
        });
        ended.collect()
    }

    /// Sends a request. Returns `None` if the collector took it (2xx), and the status if it refused it for good. An
    /// error says why it is to be sent again: no answer in time, or 408, 429 or 5xx. OTLP 1, "OTLP/HTTP Response".
    async fn post(&self, body: Bytes) -> Result<Option<StatusCode>, String> {
        let Traces { interface, collector, .. } = &self.traces;
        let status = match timeout(RESPONSE_TIMEOUT, post(interface, &requests_url(collector), &[], body)).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer within {RESPONSE_TIMEOUT:?}")),
        };
        let is_passing = matches!(status.as_u16(), 408 | 429) || status.is_server_error();
        match status {
            status if status.is_success() => Ok(None),
            status if is_passing => Err(format!("it answered {status}")),
            status => Ok(Some(status)),
        }
    }

    /// Logs why traces are not sent, unless a failure was logged in the last minute.
    fn complain(&mut self, why: &str) {
        if self.complained.is_none_or(|last| LONGEST_WAIT <= last.elapsed()) {
            self.complained = Some(Instant::now());
            tracing::warn!(collector = %self.traces.collector, why, "traces are not sent");
        }
    }
}

/// Returns the URL to which the requests go: `/v1/traces` below the path of the collector's URL.
fn requests_url(collector: &Url) -> Url {
    let mut url = collector.clone();
    url.set_path(&format!("{}/v1/traces", collector.path().trim_end_matches('/')));
    url
}

/// The newest journeys: the time of their last event, or `None` after their span was sent.
#[derive(Default)]
struct Journeys {
    known: BTreeMap<JourneyId, Option<Timestamp>>,
    order: VecDeque<JourneyId>,
}

impl Journeys {
    /// Notes the time of an event of a journey, of which the latest counts; one whose span was sent stays so. Beyond
    /// [`MAX_JOURNEYS`], forgets the journey that was noted first.
    fn note(&mut self, journey: JourneyId, at: Timestamp) {
        match self.known.get_mut(&journey) {
            Some(end) => *end = end.map(|end| end.max(at)),
            None => {
                self.known.insert(journey, Some(at));
                self.order.push_back(journey);
            }
        }
        if MAX_JOURNEYS < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// The time of the last event of a journey; `None` if its span was sent, or it is not known.
    fn open_until(&self, journey: JourneyId) -> Option<Timestamp> {
        self.known.get(&journey).copied().flatten()
    }

    /// Notes that the span of a journey was sent; does nothing if the journey is not known.
    fn set_sent(&mut self, journey: JourneyId) {
        if let Some(end) = self.known.get_mut(&journey) {
            *end = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::Router;
    use axum::routing::post;
    use serde_json::Value;

    use super::super::http::{Http, LIMITS};
    use super::*;
    use crate::net::{Net, ServerConfig, serve};
    use crate::sync::lock;
    use crate::world::Clock;

    #[test]
    fn traces_go_to_a_path_below_the_collector() {
        for (collector, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://otel.test/in/", "http://otel.test/in/v1/traces"),
        ] {
            assert_eq!(requests_url(&collector.parse().unwrap()).as_str(), expected);
        }
    }

    fn report(event_log: &EventLog, journeys: std::ops::Range<u64>) {
        for number in journeys {
            let kind = EventKind::Released { recipients: vec!["a@x.test".parse().unwrap()] };
            event_log.emitter("mta").report(JourneyId::from_random(number), None, kind, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn traces_of_a_collector_that_was_down_come_later_in_bounded_requests_and_without_those_too_old() {
        let net = Net::memory(Arc::new(|_, _| Duration::from_millis(5)));
        let event_log = EventLog::new(Clock::starting_at(Timestamp::UNIX_EPOCH), 80_000, false);
        let traces = Traces {
            collector: "http://192.0.2.1:4318".parse().unwrap(),
            interface: net.interface(&[[192, 0, 2, 2].into()]),
            event_log: event_log.clone(),
            world: "w".to_owned(),
            has_all_hosts: true,
        };
        let stop = Stop::new();
        let sending = tokio::spawn(send_traces(traces, event_log.subscribe_from_now(), stop.clone()));
        report(&event_log, 0..10);
        sleep(Duration::from_secs(600)).await;
        report(&event_log, 10..60_010);

        let (taken, refusals) = (Arc::<Mutex<Vec<usize>>>::default(), Arc::new(Mutex::new(2)));
        let seen = taken.clone();
        let take = async move |body: Bytes| {
            if 0 < *lock(&refusals) {
                *lock(&refusals) -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            let request: Value = serde_json::from_slice(&body).unwrap();
            lock(&seen).push(request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len());
            StatusCode::OK
        };
        let listener = net.interface(&[[192, 0, 2, 1].into()]).listen(4318).await.unwrap().remove(0);
        let server = Http(Router::new().route("/v1/traces", post(take)));
        let down = Stop::new();
        let serving = tokio::spawn(serve(ServerConfig { listener, tls: None, limits: LIMITS }, server, down.clone()));
        sleep(Duration::from_secs(900)).await;
        report(&event_log, 60_010..60_015);
        sleep(Duration::from_millis(10)).await;
        stop.cancel();
        sending.await.unwrap();
        let taken = lock(&taken).clone();
        assert!(taken.iter().all(|count| *count <= MAX_EVENTS), "{taken:?}");
        // The first ten had been read when the collector was down; the last five are sent at the end.
        assert_eq!((taken[0], taken.iter().sum::<usize>()), (10, 10 + 50_000 + 5));
        down.cancel();
        serving.await.unwrap();
    }
}
