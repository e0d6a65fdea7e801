//! The control interface of a running world: HTTP and JSON, used by tests and by the commands of this program.
//!
//! | path | response |
//! |---|---|
//! | `/livez`, `/readyz` | 200 while the process runs; 200 while the world accepts mail |
//! | `/api/v1/hosts` | all hosts with role, addresses, state and queue length |
//! | `POST /api/v1/hosts/NAME/on`, `…/off` | turns a host on or off; responds when that is done |
//! | `/api/v1/queue?host=NAME&id=ID&cursor=CURSOR&limit=N` | queued messages, oldest first; ID of a message or a journey |
//! | `/api/v1/queue/ID` | one queued message with its header |
//! | `POST /api/v1/queue/hold`, `release`, `flush`, `delete` | acts on the messages of `?host=NAME&id=ID`, or on all with `?all=true` |
//! | `/api/v1/mailboxes?account=ADDRESS` | mailboxes of all accounts or of one, with totals |
//! | `/api/v1/mailboxes/messages?account=ADDRESS&mailbox=NAME&cursor=UID&limit=N` | messages of a mailbox, without content; `POST` stores one, with `&flags=FLAGS&received=TIME` |
//! | `/api/v1/mailboxes/message?account=ADDRESS&mailbox=NAME&uid=UID` | the content of a message |
//! | `/api/openapi.json` | this interface, as an OpenAPI 3.1 document |
//! | `/api/v1/ports` | the bound address of each service |
//! | `/api/v1/ca` | the root certificate of the world, as PEM |
//! | `/` | the page, for browsers; this list, for programs |
//! | `/api/v1/world` | domains, users and routes as declared, and the world's time |
//! | `/api/v1/journeys?to=ADDRESS&from=ADDRESS&settled=BOOL&cursor=N&limit=N` | journeys without events, newest first |
//! | `/api/v1/journeys?ids=ID,ID` | these journeys without events |
//! | `/api/v1/journeys/ID?wait=TIME` | one journey with its events and transcripts; waits until it is settled |
//! | `/api/v1/events?since=N` | a page of the events after number N; `last` is N of the next page; `POST` imports events of another process |
//! | `/api/v1/events/stream?since=N&dialogue=BOOL` | the same and more as it happens, by server-sent events: `stream` |
//! | `/api/v1/sessions`, `/api/v1/sessions/ID` | conversations at the doors, with or without a message: `sessions` |
//! | `/metrics` | numbers for Prometheus: `metrics` |
//! | `POST /api/v1/backup` | copies the world's data into the empty folder that the body names: `{"folder": "/mnt/copy"}` |
//! | `/api/v1/faults` | active faults; `POST` injects one (JSON), `DELETE /api/v1/faults/ID` clears it, `DELETE` clears all |
//! | `/api/v1/faults/history` | the latest faults, those that ended and hosts that were switched off too |
//! | `/api/v1/faults/kinds` | every kind of fault with its fields, as forms need them |
//! | `/sheet/ID?dark=true` | the HTML of a message, for the page's frame: no scripts, and nothing is loaded |
//!
//! The paths for messages are Mailpit's: `mailpit` lists them.
//!
//! Lists have a `total`, and `next` unless they are at their end, which is `cursor` of the next page. An error is
//! `application/problem+json` (`problem`). Requests of foreign web pages are refused (`guard`), and those without credentials where there are some
//! (`access`); `GET` changes nothing, but that a message that was fetched is read.

mod access;
mod answers;
mod backup;
mod client;
mod fault_kinds;
mod faults;
pub mod fuzzing;
mod guard;
mod http;
mod mailboxes;
mod mailpit;
mod metrics;
mod openapi;
mod otlp;
mod post;
mod problem;
mod queue;
mod sessions;
mod share;
mod stream;
mod traces;
mod wait;
mod webhooks;
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::host::RunningWorld;
use crate::journey::{Journey, JourneyFilter};
use crate::mail::{Address, JourneyId};
use crate::net::{self, Listener, Net, ServerConfig, Stop};
use crate::page;
use crate::world::Service;
use problem::{Json, Path, Problem, Query};

pub use access::{Access, Credentials};
pub use answers::{HostReport, JourneyList, JourneyReport};
pub use backup::{BackupRequest, PATH as BACKUP};
pub use client::{Client, ClientError};
pub use mailboxes::{MailboxReport, MessageList, MessageReport, UploadReport};
pub use queue::{Action, ActionReport, QueueMessage};
pub use share::{EventBatch, EventPage, follow_events, send_events};
pub use traces::{Traces, send_traces};
pub use wait::until;

/// The path of the root certificate.
pub const CA: &str = "/api/v1/ca";
/// The default length of a list.
const DEFAULT_LIMIT: usize = 100;
/// The longest list of journeys.
const MAX_LIMIT: usize = 10_000;
/// Journeys that are asked for by their ids at once.
const MAX_IDS: usize = 500;
/// The largest batch of events that is accepted, in bytes.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

type AppState = State<Arc<RunningWorld>>;

/// The answer of our own resources.
type Answer<T> = Result<T, Problem>;

/// Serves the control interface at a listener, to clients that `access` admits, until `stop`. Starts what works beside
/// it, too: the webhooks of the world, the counting for `/metrics`, the index of messages and the deletion of old ones.
pub async fn serve(listener: Listener, running: Arc<RunningWorld>, access: Access, stop: Stop) {
    let config = ServerConfig { listener, tls: None, limits: http::LIMITS };
    let (work, ended) = (mailpit::work(running.clone()), stop.clone());
    running.spawn(async move { ended.run_until_cancelled(work).await.unwrap_or_default() });
    for webhook in &running.env.world.webhooks {
        let source = webhooks::Source {
            event_log: running.env.event_log.clone(),
            catalogue: running.env.catalogue.clone(),
            interface: Net::sockets().interface(&[]),
            clock: running.env.clock,
        };
        running.spawn(webhooks::run(webhook.clone(), source, stop.clone()));
    }
    let metrics = Arc::new(metrics::Metrics::new(&running));
    running.spawn(metrics.clone().follow(stop.clone()));
    net::serve(config, http::Http(router(running, access, metrics)), stop).await;
}

/// Serves one HTML document at `/`, to every client and without checks, until `stop`; other paths are 404.
pub async fn serve_document(listener: Listener, html: String, stop: Stop) {
    let html = axum::body::Bytes::from(html);
    let answer = move || std::future::ready(axum::response::Html(html.clone()));
    let router = Router::new().route("/", axum::routing::get(answer));
    net::serve(ServerConfig { listener, tls: None, limits: http::LIMITS }, http::Http(router), stop).await;
}

/// Returns the router of the interface: all routes, the page and the OpenAPI document, with the fallbacks for other
/// paths and methods. A request passes `guard` first, then `access`, then the limits of its body.
fn router(running: Arc<RunningWorld>, access: Access, metrics: Arc<metrics::Metrics>) -> Router {
    let (router, document) = openapi::router(routes());
    router
        .merge(page::router())
        .method_not_allowed_fallback(no_such_method)
        .fallback(no_such_path)
        .layer(document)
        .layer(Extension(metrics))
        .layer(from_fn_with_state(running.clone(), http::limit_body))
        .layer(from_fn_with_state(access, access::authorize))
        .layer(from_fn_with_state(running.clone(), guard::guard))
        .with_state(running)
}

/// All routes; each is described by the attribute of its handler.
fn routes() -> OpenApiRouter<Arc<RunningWorld>> {
    OpenApiRouter::new()
        .routes(routes!(index))
        .routes(routes!(alive))
        .routes(routes!(ready))
        .routes(routes!(openapi::show))
        .routes(routes!(hosts))
        .routes(routes!(power))
        .routes(routes!(queue::list))
        .routes(routes!(queue::show, queue::act))
        .routes(routes!(mailboxes::list))
        .routes(
            routes!(mailboxes::messages, mailboxes::upload).layer(DefaultBodyLimit::max(mailboxes::MAX_MESSAGE_BYTES)),
        )
        .routes(routes!(mailboxes::message))
        .routes(routes!(ports))
        .routes(routes!(ca))
        .routes(routes!(journeys))
        .routes(routes!(journey))
        .routes(routes!(events, import).layer(DefaultBodyLimit::max(MAX_BATCH_BYTES)))
        .routes(routes!(stream::follow))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show))
        .routes(routes!(metrics::show))
        .routes(routes!(backup::create))
        .routes(routes!(faults::list, faults::begin, faults::end_all))
        .routes(routes!(faults::end))
        .routes(routes!(faults::history))
        .routes(routes!(fault_kinds::list))
        .routes(routes!(world::show))
        .merge(mailpit::routes())
}

/// Answers requests of paths that have no handler: redirects a `GET` of a path with doubled slashes to the one without
/// (301), with its query, as Mailpit does; else 404. No other method is redirected, since that would change something.
async fn no_such_path(request: Request) -> Response {
    let (path, query) = (request.uri().path(), request.uri().query());
    if request.method() == Method::GET && path.contains("//") {
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(target) = HeaderValue::try_from(format!("/{}{query}", parts.join("/"))) {
            return (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, target)]).into_response();
        }
    }
    Problem::not_found("no such path; / lists them").into_response()
}

/// Answers 405 with a problem: the path has handlers, but none for this method.
async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods; the header Allow lists them")
}

/// The page, for browsers, and the paths, for programs.
///
/// A client whose `Accept` names `text/html` is a browser; others get a list of paths as plain text.
#[utoipa::path(get, path = "/", tag = "world", responses((status = 200, body = String, content_type = "text/plain")))]
async fn index(uri: Uri, headers: HeaderMap) -> Response {
    let vary = [(header::VARY, "accept")];
    match page::is_wanted(&headers) {
        true => (vary, page::document(uri, headers).await).into_response(),
        false => (vary, PATHS).into_response(),
    }
}

/// The paths, for programs.
const PATHS: &str = "Postroad's control interface.

/livez
/readyz
/api/v1/world
/api/v1/hosts
POST /api/v1/hosts/NAME/on|off
/api/v1/queue?host=NAME&id=ID&cursor=CURSOR&limit=N
/api/v1/queue/ID
POST /api/v1/queue/hold|release|flush|delete?host=NAME&id=ID&all=true
/api/v1/mailboxes?account=ADDRESS
/api/v1/mailboxes/messages?account=ADDRESS&mailbox=NAME&cursor=UID&limit=N
POST /api/v1/mailboxes/messages?account=ADDRESS&mailbox=NAME&flags=FLAGS&received=TIME
/api/v1/mailboxes/message?account=ADDRESS&mailbox=NAME&uid=UID
/api/v1/ports
/api/openapi.json
/api/v1/ca
/api/v1/journeys?to=ADDRESS&from=ADDRESS&settled=true|false&cursor=N&limit=N
/api/v1/journeys?ids=ID,ID
/api/v1/journeys/ID?wait=TIME
/api/v1/events?since=N
/api/v1/events/stream?since=N&dialogue=true|false (server-sent events)
/api/v1/sessions?protocol=&host=&client=&login=&outcome=&journey=&open=&text=&cursor=N&limit=N&wait=TIME
/api/v1/sessions/ID
/metrics
POST /api/v1/backup
/api/v1/faults
POST /api/v1/faults
DELETE /api/v1/faults/ID
DELETE /api/v1/faults
/api/v1/faults/history
/api/v1/faults/kinds

Mailpit's interface, with ?mailbox=ADDRESS for one mailbox, &folder=NAME for one folder of it, and wait=30s to wait for a match:
/api/v1/messages
/api/v1/search?query=WORDS
POST /api/v1/messages/move
/api/v1/message/ID, latest, ID/headers, ID/raw, ID/part/PART, ID/link-check, ID/thread
POST /api/v1/message/ID/release
POST /api/v1/send
/api/v1/tags
/api/v1/info
/api/v1/webui
/api/v1/chaos
/view/ID.html, ID.txt, latest
/api/events (websocket)
";

/// Whether the process runs. Needs no credentials.
///
/// Always answers `ok`.
#[utoipa::path(get, path = "/livez", tag = "world", responses((status = 200, body = String, content_type = "text/plain")))]
async fn alive() -> &'static str {
    "ok\n"
}

/// Whether the world accepts mail. Needs no credentials.
///
/// Answers `ok`; 503 once the world stops, or if its store does not work.
#[utoipa::path(get, path = "/readyz", tag = "world", responses((status = 200, body = String, content_type = "text/plain")))]
async fn ready(State(running): AppState) -> Answer<&'static str> {
    if running.stopping().is_cancelled() {
        return Err(Problem::unavailable("shutting down"));
    }
    running.env.store.health()?;
    Ok("ok\n")
}

/// All hosts with role, addresses, state and length of the queue.
#[utoipa::path(get, path = "/api/v1/hosts", tag = "world", responses((status = 200, body = Vec<HostReport>)))]
async fn hosts(State(running): AppState) -> Json<Vec<HostReport>> {
    let hosts = running.env.world.hosts.values();
    Json(hosts.map(|host| HostReport::of(host, &running)).collect())
}

/// What to do with a host.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum HostAction {
    On,
    Off,
}

/// Turns a host on or off; answers when that is done.
///
/// Answers with its new state; 404 if there is no such host, 409 if a fault keeps it off or it cannot be started. It is
/// done to its end even if the client disconnects.
#[utoipa::path(
    post,
    path = "/api/v1/hosts/{name}/{power}",
    tag = "world",
    params(("name" = String, Path, description = "The host."), ("power" = inline(HostAction), Path, description = "What to do.")),
    responses((status = 200, body = HostReport))
)]
async fn power(State(running): AppState, Path((name, power)): Path<(String, HostAction)>) -> Answer<Json<HostReport>> {
    let no_host = || Problem::not_found("no such host; /api/v1/hosts lists them");
    let host = running.env.world.hosts.get(name.as_str()).ok_or_else(no_host)?;
    let (world, name) = (running.clone(), host.name.clone());
    let done = faults::uninterrupted(async move {
        match power {
            HostAction::On => world.turn_on(&name).await,
            HostAction::Off => {
                world.turn_off(&name).await;
                Ok(())
            }
        }
    });
    done.await?.map_err(Problem::conflict)?;
    Ok(Json(HostReport::of(host, &running)))
}

/// The bound address of each service.
///
/// Only public ports, which programs outside the world can reach, are listed.
#[utoipa::path(get, path = "/api/v1/ports", tag = "world", responses((status = 200, body = BTreeMap<String, String>)))]
async fn ports(State(running): AppState) -> Json<BTreeMap<Service, SocketAddr>> {
    Json(running.bound_ports().clone())
}

/// The root certificate of the world. RFC 8555 §9.1 registers the type.
#[utoipa::path(get, path = CA, tag = "world", responses((status = 200, body = String, content_type = "application/pem-certificate-chain")))]
async fn ca(State(running): AppState) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/pem-certificate-chain")], running.env.authority.root_pem())
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JourneyQuery {
    /// Only those to this address.
    to: Option<Address>,
    /// Only those from this address.
    from: Option<Address>,
    /// Only those that are settled, or are not.
    settled: Option<bool>,
    /// Only these; other parameters have no effect then.
    ids: Option<String>,
    /// `next` of the page before.
    cursor: Option<u64>,
    /// The length of a page: 10,000 at most.
    #[serde(default = "default_limit")]
    limit: usize,
}

/// Returns the length of a list without `limit`: [`DEFAULT_LIMIT`].
fn default_limit() -> usize {
    DEFAULT_LIMIT
}

/// Journeys without their events, newest first.
///
/// With `ids`, exactly these journeys in the order of `ids`, without those that are unknown. A `limit` above 10,000 is
/// taken as 10,000.
#[utoipa::path(
    get,
    path = "/api/v1/journeys",
    tag = "journeys",
    params(JourneyQuery),
    responses((status = 200, body = JourneyList))
)]
async fn journeys(State(running): AppState, Query(query): Query<JourneyQuery>) -> Answer<Json<JourneyList>> {
    let JourneyQuery { to, from, settled, ids, cursor, limit } = query;
    if let Some(ids) = ids {
        return journeys_of(&running, &ids);
    }
    let filter = JourneyFilter { to, from, settled };
    let page = running.env.event_log.journeys(&filter, cursor.unwrap_or(u64::MAX), limit.min(MAX_LIMIT))?;
    Ok(Json(JourneyList::of(page)))
}

/// Returns the journeys of ids with commas between, in the order of the ids, on one page: those of the first
/// [`MAX_IDS`] ids. What is no id is skipped, and unknown ids are left out. 503 if the store cannot be read.
fn journeys_of(running: &RunningWorld, ids: &str) -> Answer<Json<JourneyList>> {
    let ids = ids.split(',').filter_map(|id| id.trim().parse().ok()).take(MAX_IDS);
    let found = ids.map(|id| running.env.event_log.journey_state(id)).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(JourneyList::some(found.into_iter().flatten().collect())))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WaitQuery {
    /// Until it is settled, at most so long: `30s`, or a number of seconds.
    wait: Option<String>,
}

/// A journey with its events and transcripts.
///
/// With `wait`, waits until it is settled, the time is over, or the world stops, and then answers with it as it is.
/// Answers 404 if it is not known then, and 400 if the id or `wait` cannot be read.
#[utoipa::path(
    get,
    path = "/api/v1/journeys/{id}",
    tag = "journeys",
    params(("id" = String, Path, description = "Its id."), WaitQuery),
    responses((status = 200, body = Journey))
)]
async fn journey(
    State(running): AppState,
    Path(id): Path<String>,
    Query(WaitQuery { wait }): Query<WaitQuery>,
) -> Answer<Json<Journey>> {
    let invalid = |_| Problem::invalid("not a journey id; an id looks like 3FK9Q2XW7T");
    let id: JourneyId = id.parse().map_err(invalid)?;
    if let Some(deadline) = wait::deadline(wait.as_deref()).map_err(Problem::invalid)? {
        wait::until_settled(&running, id, deadline).await?;
    }
    let journey = running.env.event_log.journey(id)?;
    journey.map(Json).ok_or_else(|| {
        Problem::not_found("no such journey, or it was removed, with its message or as one of the oldest")
    })
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventQuery {
    /// `last` of the page before.
    #[serde(default)]
    since: u64,
}

/// The events after a number, as many as fit into a page.
///
/// A number above the newest is taken as the newest: the page is empty then, and `last` is the newest number.
#[utoipa::path(
    get,
    path = share::EVENTS,
    tag = "journeys",
    params(EventQuery),
    responses((status = 200, body = EventPage))
)]
async fn events(State(running): AppState, Query(EventQuery { since }): Query<EventQuery>) -> Json<EventPage> {
    Json(EventPage::after(&running.env.event_log, since))
}

/// The answer of what has nothing to say.
#[derive(Serialize, utoipa::ToSchema)]
struct Done {}

/// Imports the events of another process of the world.
///
/// They get new numbers in the event log; those of this `instance` of `source` that were imported before are skipped.
/// Answers `{}`, and 400 if `source` is no host of this world.
#[utoipa::path(
    post,
    path = share::EVENTS,
    tag = "journeys",
    request_body = EventBatch,
    responses((status = 200, body = Done))
)]
async fn import(State(running): AppState, Json(batch): Json<EventBatch>) -> Answer<Json<Done>> {
    if !running.env.world.hosts.contains_key(batch.source.as_str()) {
        return Err(Problem::invalid(format!("{} is not a host of this world", batch.source)));
    }
    let events = batch.events.into_iter().map(Arc::unwrap_or_clone);
    running.env.event_log.import(&batch.source, batch.instance, events);
    Ok(Json(Done {}))
}
