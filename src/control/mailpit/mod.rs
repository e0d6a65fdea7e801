//! Mailpit's HTTP interface, version 1, over the catalogue: its clients work unchanged.
//!
//! | path | |
//! |---|---|
//! | `/api/v1/messages` | `GET` a page; `PUT` read state; `DELETE` |
//! | `/api/v1/search?query=WORDS` | `GET` a page; `DELETE` |
//! | `/api/v1/message/ID` | a message, which is marked as read; `…/headers`, `…/raw`, `…/part/PART`, `…/part/PART/thumb`,
//! | | `…/link-check`, `…/html-check` |
//! | `POST /api/v1/message/ID/release` | sends it into the world again |
//! | `POST /api/v1/send` | sends a message |
//! | `/api/v1/tags`, `/api/v1/tags/TAG` | tags in use; `PUT` and `DELETE` change them |
//! | `/api/v1/info`, `/api/v1/webui` | about this server |
//! | `/api/v1/chaos` | SMTP errors on purpose; `PUT` changes them |
//! | `/view/ID.html`, `/view/ID.txt`, `/view/latest` | the parts that a reader sees |
//! | `/api/events` | a websocket with changes |
//!
//! Ours, beyond Mailpit's: `POST /api/v1/messages/move` moves messages to another folder, `/api/v1/message/ID/thread` lists those of
//! its thread; `mailbox=ADDRESS` narrows every list, search and change but of tags to one mailbox, with `folder=NAME` to one folder of it; `wait=30s` on a list, a search
//! and `message/latest` waits for a match; `cursor` continues a list after `next`. `latest` stands for the newest message.

mod change;
mod chaos;
mod extract;
mod html_check;
mod info;
mod links;
mod list;
mod message;
mod news;
mod retention;
mod send;
mod sheet;
mod socket;
mod tags;
mod thread;
mod thumb;
mod types;
mod view;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

pub(super) use info::resident_bytes;
pub(super) use news::{News, summary};

use super::AppState;
use crate::catalogue::Catalogue;
use crate::host::RunningWorld;
use crate::{mda, store};

/// The largest body of a request, but for one that sends a message.
const MAX_BODY_BYTES: usize = 5 * 1024 * 1024;
/// The largest message that is sent, as JSON.
const MAX_SEND_BYTES: usize = 50 * 1024 * 1024;
/// Websockets at a time.
const MAX_SOCKETS: usize = 256;

/// What the handlers share beside the world.
struct Shared {
    began: Instant,
    chaos: tokio::sync::Mutex<chaos::Chaos>,
    sockets: Arc<Semaphore>,
}

type Ours = axum::Extension<Arc<Shared>>;

/// Returns the routes of Mailpit's interface and of ours beside it, with the limits of their bodies.
pub(super) fn routes() -> OpenApiRouter<Arc<RunningWorld>> {
    let sockets = Arc::new(Semaphore::new(MAX_SOCKETS));
    let shared = Shared { began: Instant::now(), chaos: tokio::sync::Mutex::default(), sockets };
    OpenApiRouter::new()
        .routes(routes!(list::messages, change::mark, change::delete_by_ids))
        .routes(routes!(list::search, change::delete_found))
        .routes(routes!(change::move_to))
        .routes(routes!(message::message))
        .routes(routes!(thread::thread))
        .routes(routes!(message::headers))
        .routes(routes!(message::raw))
        .routes(routes!(message::part))
        .routes(routes!(thumb::thumb))
        .routes(routes!(links::check))
        .routes(routes!(html_check::check))
        .routes(routes!(send::release))
        .routes(routes!(tags::list, tags::set))
        .routes(routes!(tags::rename, tags::delete))
        .routes(routes!(info::info))
        .routes(routes!(info::webui))
        .routes(routes!(chaos::show, chaos::set))
        .routes(routes!(socket::events))
        .routes(routes!(view::view))
        .routes(routes!(sheet::sheet))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .routes(routes!(send::send).layer(DefaultBodyLimit::max(MAX_SEND_BYTES)))
        .layer(axum::Extension(Arc::new(shared)))
}

/// Works beside the requests until it is dropped: indexes new messages, and deletes those that are not kept any longer.
/// Returns at once in a process without a catalogue.
pub(super) async fn work(running: Arc<RunningWorld>) {
    if let Some(catalogue) = running.env.catalogue.clone() {
        tokio::join!(catalogue.keep_indexed(), retention::run(running));
    }
}

/// An answer other than 200: plain text.
#[derive(Debug)]
struct Failure(StatusCode, String);

type Answer<T = Response> = Result<T, Failure>;

impl Failure {
    /// 400, with this text.
    fn invalid(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    /// 500, with this text.
    fn internal(text: impl Into<String>) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, text.into())
    }

    /// 404, with the text of Mailpit.
    fn not_found() -> Self {
        Self(StatusCode::NOT_FOUND, "404 page not found".to_owned())
    }
}

impl IntoResponse for Failure {
    /// Returns the text of the failure as plain text, with its status.
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<store::Error> for Failure {
    /// Returns 404 for a content that is missing, else 503 with the text of the error.
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Missing(_) => Self::not_found(),
            error => Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

impl From<mda::Error> for Failure {
    /// Returns the failure of the store's error; 404 for a missing mailbox, else 400, with the text of the error.
    fn from(error: mda::Error) -> Self {
        match error {
            mda::Error::Store(error) => error.into(),
            error @ mda::Error::NoMailbox(_) => Self(StatusCode::NOT_FOUND, error.to_string()),
            error => Self::invalid(error.to_string()),
        }
    }
}

/// The catalogue of this process; 501 if it has none.
fn catalogue(running: &RunningWorld) -> Answer<&Catalogue> {
    let none = "a process of `postroad host` has no list of messages: the collector has /api/v1/journeys and /api/v1/events of \
                the whole world, mailboxes have the messages (IMAP, POP3), and `postroad serve` has all of it over HTTP";
    running.env.catalogue.as_ref().ok_or_else(|| Failure(StatusCode::NOT_IMPLEMENTED, none.to_owned()))
}

/// Returns the answer to a request that changed something: 200 with `ok` as plain text.
fn done() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "ok").into_response()
}

/// Reads JSON whatever the case of its keys: `T` sees them in lower case, but those within `headers` as they are. The
/// error is that of the JSON reader, as text.
fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    serde_json::from_value(lower_case_keys(value)).map_err(|error| error.to_string())
}

/// Returns the value with the keys of all its objects, at every depth, in lower case; what stands below a key `headers`
/// stays as it is.
fn lower_case_keys(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            let lower = |(key, value): (String, Value)| {
                let key = key.to_lowercase();
                let value = if key == "headers" { value } else { lower_case_keys(value) };
                (key, value)
            };
            Value::Object(fields.into_iter().map(lower).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower_case_keys).collect()),
        other => other,
    }
}
