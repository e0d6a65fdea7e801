//! The control interface: HTTP and JSON about a running world, for tests, for the page, and for our own commands.
//!
//! | path | answers |
//! |---|---|
//! | `/livez`, `/readyz` | 200 while the process lives, and while the world takes mail |
//! | `/api/v1/hosts` | the hosts, what they do, how many messages wait in each |
//! | `POST /api/v1/hosts/NAME/on`, `…/off` | turns a host on or off, and answers once it is so |
//! | `/api/v1/queue?host=NAME&id=ID&limit=N` | what waits in the queues, oldest first; ID of a message or a journey |
//! | `/api/v1/queue/ID` | one message of a queue, with its header |
//! | `POST /api/v1/queue/hold`, `release`, `flush`, `delete` | does that to those of `?host=NAME&id=ID`, or to all with `?all=true` |
//! | `/api/v1/mailboxes?account=ADDRESS` | mailboxes in numbers, of all accounts or of one |
//! | `/api/v1/mailboxes/messages?account=ADDRESS&mailbox=NAME&after=UID&limit=N` | messages of one, without octets; `POST` files one, with `&flags=FLAGS&received=TIME` |
//! | `/api/v1/mailboxes/message?account=ADDRESS&mailbox=NAME&uid=UID` | a message as it is |
//! | `/api/v1/ports` | where each service is bound |
//! | `/api/v1/journeys?limit=N` | the newest journeys, newest first, without their events |
//! | `/api/v1/journeys/ID` | one journey with every event and what was said |
//! | `/api/v1/events?since=N` | events from number N on, as many as fit; `POST` brings those of another process |
//! | `POST /api/v1/backup` | copies the world's data into the empty folder that the body names: `{"folder": "/mnt/copy"}` |
//! | `/api/v1/faults` | the faults that hold now; POST one as JSON to begin it, DELETE `/api/v1/faults/ID` ends it |

mod answers;
mod backup;
mod client;
mod faults;
mod listen;
mod mailboxes;
mod queue;
mod share;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;

use crate::host::Running;
use crate::journey::Audit;
use crate::mail::JourneyId;
use crate::net::{Listener, Stop};
pub use answers::{HostReport, JourneyReport};
pub use backup::{BackupRequest, PATH as BACKUP};
pub use client::{Client, Failure};
pub use mailboxes::{FiledReport, MailboxReport, MessageReport};
pub use queue::{Action, Done, Shown};
pub use share::{Batch, News, follow_events, send_events};

/// Journeys in a list where the client does not say how many.
const LIMIT_DEFAULT: usize = 100;
/// Octets of the largest batch of events that is taken over.
const BATCH_MAX: usize = 16 * 1024 * 1024;

type World = State<Arc<Running>>;

/// Answers at a listener until the world stops.
pub async fn serve(listener: Listener, running: Arc<Running>, stop: Stop) {
    let router = router(running).into_make_service();
    let served = axum::serve(listen::Adapted(listener), router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the control interface ended");
    }
}

fn router(running: Arc<Running>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/v1/hosts", get(hosts))
        .route("/api/v1/hosts/{name}/{power}", post(power))
        .route("/api/v1/queue", get(queue::list))
        .route("/api/v1/queue/{what}", get(queue::show).post(queue::act))
        .route("/api/v1/mailboxes", get(mailboxes::list))
        .route(
            "/api/v1/mailboxes/messages",
            get(mailboxes::messages).post(mailboxes::file).layer(DefaultBodyLimit::max(mailboxes::MESSAGE_OCTETS_MAX)),
        )
        .route("/api/v1/mailboxes/message", get(mailboxes::message))
        .route("/api/v1/ports", get(ports))
        .route("/api/v1/journeys", get(journeys))
        .route("/api/v1/journeys/{id}", get(journey))
        .route(share::EVENTS, get(events).post(adopt).layer(DefaultBodyLimit::max(BATCH_MAX)))
        .route(backup::PATH, post(backup::create))
        .route("/api/v1/faults", get(faults::list).post(faults::begin))
        .route("/api/v1/faults/{id}", delete(faults::end))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such path; see /") })
        .with_state(running)
}

async fn index() -> &'static str {
    "Postroad's control interface.

/livez
/readyz
/api/v1/hosts
POST /api/v1/hosts/NAME/on|off
/api/v1/queue?host=NAME&id=ID&limit=N
/api/v1/queue/ID
POST /api/v1/queue/hold|release|flush|delete?host=NAME&id=ID&all=true
/api/v1/mailboxes?account=ADDRESS
/api/v1/mailboxes/messages?account=ADDRESS&mailbox=NAME&after=UID&limit=N
POST /api/v1/mailboxes/messages?account=ADDRESS&mailbox=NAME&flags=FLAGS&received=TIME
/api/v1/mailboxes/message?account=ADDRESS&mailbox=NAME&uid=UID
/api/v1/ports
/api/v1/journeys?limit=N
/api/v1/journeys/ID
/api/v1/events?since=N
POST /api/v1/backup
/api/v1/faults
"
}

async fn ready(State(running): World) -> Response {
    if running.stopping().is_cancelled() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the world is stopping");
    }
    match running.ground.store.health() {
        Ok(()) => "ok\n".into_response(),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn hosts(State(running): World) -> Json<Vec<HostReport>> {
    let hosts = running.ground.world.hosts.values();
    Json(hosts.map(|host| HostReport::of(host, &running)).collect())
}

/// What a host may be told.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Power {
    On,
    Off,
}

async fn power(State(running): World, Path((name, power)): Path<(String, Power)>) -> Response {
    let Some(host) = running.ground.world.hosts.get(name.as_str()) else {
        return problem(StatusCode::NOT_FOUND, "no such host; /api/v1/hosts lists them");
    };
    let done = match power {
        Power::On => running.turn_on(&host.name).await,
        Power::Off => {
            running.turn_off(&host.name).await;
            Ok(())
        }
    };
    match done {
        Ok(()) => Json(HostReport::of(host, &running)).into_response(),
        Err(error) => problem(StatusCode::CONFLICT, &error.to_string()),
    }
}

async fn ports(State(running): World) -> Response {
    Json(running.bound()).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default = "limit_default")]
    limit: usize,
}

fn limit_default() -> usize {
    LIMIT_DEFAULT
}

async fn journeys(State(running): World, Query(page): Query<Page>) -> Json<Vec<JourneyReport>> {
    let audit = Audit::of(running.ground.journal.since(0));
    Json(audit.stories().rev().take(page.limit).map(JourneyReport::of).collect())
}

async fn journey(State(running): World, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<JourneyId>() else {
        return problem(StatusCode::BAD_REQUEST, "that is no journey id; they look like 3FK9Q2XW7T");
    };
    match Audit::of(running.ground.journal.since(0)).story(id) {
        Some(story) => Json(story).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no such journey, or it is too long ago"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn events(State(running): World, Query(Since { since }): Query<Since>) -> Json<News> {
    let journal = &running.ground.journal;
    // In this order, nothing falls between the number and the events.
    let last = journal.last_seq();
    Json(News { last, events: journal.batch_since(since) })
}

async fn adopt(State(running): World, Json(batch): Json<Batch>) -> Response {
    if !running.ground.world.hosts.contains_key(batch.source.as_str()) {
        return problem(StatusCode::BAD_REQUEST, &format!("{} is no host of this world", batch.source));
    }
    running.ground.journal.adopt(&batch.source, batch.instance, batch.events);
    Json(serde_json::json!({})).into_response()
}

fn problem(status: StatusCode, error: &str) -> Response {
    (status, Json(serde_json::json!({ "error": error }))).into_response()
}
