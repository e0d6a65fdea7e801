//! `/api/v1/events/stream`: what happens in the world, as it happens, by server-sent events.
//!
//! | event | id | data |
//! |---|---|---|
//! | `start` | the newest event's number | `{"last": NUMBER}`; the first of each answer |
//! | `journey` | its number | an event, as in `/api/v1/events` |
//! | `reset` | the number to go on from | `{"missed": COUNT}`: events, or changes of messages, are not in the stream; read the lists again |
//! | `message-added` | | a message, as in the list of messages |
//! | `message-changed` | | `{"ID", "Read", "Tags"}` |
//! | `message-deleted` | | `{"ID"}` |
//! | `faults` | | the active faults, when one began or ended, or a host was switched on or off |
//! | `sessions` | | `{"open": COUNT}`: conversations at the doors began, went on or ended; twice a second at most |
//!
//! A client that comes again says by `Last-Event-ID`, or `since=N`, what it has, and gets the numbered events after it. Those without a
//! number are of the present: after a `start`, the lists are read again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::mailpit::News;
use super::problem::{Problem, Query};
use super::{Answer, AppState};
use crate::catalogue::{Catalogue, Changes};
use crate::host::RunningWorld;
use crate::journey::{Event, Lagged, Subscription};

/// Clients at a time.
const MAX_CLIENTS: usize = 256;
/// Interval of the comments that keep proxies from closing a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The least time between two messages about conversations, of which each line is a change.
const SESSIONS_INTERVAL: Duration = Duration::from_millis(500);

static CLIENTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_CLIENTS)));

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// The number of the last event that the client has; by default, it gets those from now on.
    since: Option<u64>,
    /// Whether events have their transcript.
    #[serde(default = "yes")]
    dialogue: bool,
}

/// Returns the default of `dialogue`: true.
fn yes() -> bool {
    true
}

/// What happens, as it happens, by server-sent events.
///
/// It goes on after the number in `Last-Event-ID`, or else in `since`, or else from now on. Answers 503 if 256 clients
/// follow already.
#[utoipa::path(
    get,
    path = "/api/v1/events/stream",
    tag = "events",
    params(StreamQuery),
    responses((status = 200, body = String, content_type = "text/event-stream"))
)]
pub(super) async fn follow(
    State(running): AppState,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let too_many = |_| Problem::unavailable("too many clients follow the events, try again later");
    let permit = CLIENTS.clone().try_acquire_owned().map_err(too_many)?;
    // What is no number is not of ours, and nothing that the client has.
    let last_id = headers.get(HeaderName::from_static("last-event-id"));
    let last_id = last_id.and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let feed = Feed::new(running, last_id.or(query.since), query.dialogue, permit);
    let events = stream::unfold(feed, async |mut feed| {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    // A proxy must not hold events back: nginx, ngx_http_proxy_module, X-Accel-Buffering.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

/// What one client is sent. It holds at most one batch of events and one commit's changes, and takes the next when these were
/// sent; a client that reads nothing is cut off by the connection.
struct Feed {
    running: Arc<RunningWorld>,
    log: Subscription,
    changes: Option<broadcast::Receiver<Arc<Changes>>>,
    faults: watch::Receiver<u64>,
    sessions: watch::Receiver<u64>,
    /// When the next change of conversations may be sent.
    sessions_due: Instant,
    has_transcripts: bool,
    /// What is sent before all else.
    first: VecDeque<Sent>,
    journeys: VecDeque<Arc<Event>>,
    messages: VecDeque<News>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    /// The feed of one client, which has the events up to number `since`; `None` if it wants those from now on. A
    /// number above the newest is that of other data: `reset` comes after `start`, and events from now on.
    fn new(
        running: Arc<RunningWorld>,
        since: Option<u64>,
        has_transcripts: bool,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let last = running.env.event_log.last_seq();
        // A higher number is of another world, or of one whose data are gone.
        let from = since.unwrap_or(last).min(last);
        let mut first = VecDeque::from([numbered_event("start", from, &json!({ "last": last }))]);
        if since.is_some_and(|since| last < since) {
            first.push_back(numbered_event("reset", from, &json!({ "missed": 0 })));
        }
        Self {
            log: running.env.event_log.subscribe(from),
            changes: running.env.catalogue.as_ref().map(Catalogue::changes),
            faults: running.fault_changes(),
            sessions: running.env.event_log.sessions().changes(),
            sessions_due: Instant::now(),
            running,
            has_transcripts,
            first,
            journeys: VecDeque::new(),
            messages: VecDeque::new(),
            _permit: permit,
        }
    }

    /// Waits for the next event of the stream and returns it; `None` when the world stops. What was read is sent first:
    /// the first events, those of journeys, and those of messages.
    async fn next(&mut self) -> Option<Sent> {
        let stop = self.running.stopping();
        loop {
            if let Some(event) = self.first.pop_front() {
                return Some(event);
            }
            if let Some(event) = self.journeys.pop_front() {
                return Some(self.journey(&event));
            }
            if let Some(news) = self.messages.pop_front() {
                match self.message(news) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                events = self.log.next() => match events {
                    Ok(events) => self.journeys.extend(events),
                    Err(Lagged { missed }) => {
                        let event = numbered_event("reset", self.log.position(), &json!({ "missed": missed }));
                        return Some(event);
                    }
                },
                changes = next_changes(&mut self.changes) => match changes {
                    Ok(changes) => self.messages.extend(News::of(&changes)),
                    Err(missed) => return Some(named_event("reset", &json!({ "missed": missed }))),
                },
                () = next_sessions(&mut self.sessions, self.sessions_due) => {
                    self.sessions_due = Instant::now() + SESSIONS_INTERVAL;
                    let open = self.running.env.event_log.sessions().open_count();
                    return Some(named_event("sessions", &json!({ "open": open })));
                }
                // The world holds the sender, so this does not fail.
                _ = self.faults.changed() => return Some(named_event("faults", &self.running.active_faults())),
            }
        }
    }

    /// Returns the server-sent event `journey` for an event of the log, with its number as the id, and without its
    /// transcript if the client wants none.
    fn journey(&self, event: &Arc<Event>) -> Sent {
        match self.has_transcripts || event.transcript.is_none() {
            true => numbered_event("journey", event.seq, event),
            false => numbered_event("journey", event.seq, &Event { transcript: None, ..(**event).clone() }),
        }
    }

    /// Returns the server-sent event of a change of a message; `None` if the message was deleted meanwhile or cannot be
    /// read.
    fn message(&self, news: News) -> Option<Sent> {
        let data: Value = news.data(self.running.env.catalogue.as_ref()?)?;
        let name = match news {
            News::Added(_) => "message-added",
            News::Changed(_) => "message-changed",
            News::Deleted(_) => "message-deleted",
        };
        Some(named_event(name, &data))
    }
}

/// Waits until `due`, and then for a change of the conversations, if there was none by then.
async fn next_sessions(changes: &mut watch::Receiver<u64>, due: Instant) {
    sleep_until(due).await;
    // The world holds the sender, so this does not fail.
    let _ = changes.changed().await;
}

/// Waits for the next changes of the catalogue, forever if there is none. The error is how many changes were missed.
async fn next_changes(changes: &mut Option<broadcast::Receiver<Arc<Changes>>>) -> Result<Arc<Changes>, u64> {
    let Some(receiver) = changes else { return std::future::pending().await };
    match receiver.recv().await {
        Ok(changes) => Ok(changes),
        Err(RecvError::Lagged(missed)) => Err(missed),
        // The world holds the catalogue, so there is no end before its own.
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// Returns a server-sent event of this name with JSON as its data, and without an id.
fn named_event(name: &str, data: &impl Serialize) -> Sent {
    // JSON has no line end outside of strings, and escapes those within.
    Sent::default().event(name).json_data(data).expect("events have a JSON form")
}

/// Returns a server-sent event of this name with JSON as its data, and with a number as its id, after which a client
/// that comes again goes on.
fn numbered_event(name: &str, number: u64, data: &impl Serialize) -> Sent {
    named_event(name, data).id(number.to_string())
}
