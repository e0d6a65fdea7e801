//! HTTP handlers for the queues of a running world.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{AppState, DEFAULT_LIMIT, error_reply};
use crate::host::RunningWorld;
use crate::mail::QueueId;
use crate::mta::{Listing, Mta, QueueEntry, Selector};
use crate::store;

/// An operator's action on queued messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Suspends delivery until a release.
    Hold,
    /// Ends a hold.
    Release,
    /// Tries delivery now.
    Flush,
    /// Deletes the messages without a report.
    Delete,
}

/// The result of an action.
#[derive(Debug, Serialize, Deserialize)]
pub struct ActionReport {
    /// The action.
    pub action: Action,
    /// The affected messages.
    pub messages: Vec<QueueId>,
}

/// A queued message in detail.
#[derive(Debug, Serialize, Deserialize)]
pub struct QueueMessage {
    /// The fields of a list entry.
    #[serde(flatten)]
    pub message: QueueEntry,
    /// Its header, with trace lines.
    pub header: String,
}

/// Selects queued messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueQuery {
    host: Option<String>,
    id: Option<String>,
    #[serde(default)]
    all: bool,
    limit: Option<usize>,
}

impl QueueQuery {
    fn which(&self) -> Result<Selector, ErrorReply> {
        let wrong = "not a message id; an id looks like 3FK9Q2XW7T-04KMX, or 3FK9Q2XW7T for a journey";
        self.id.as_ref().map_or(Ok(Selector::All), |id| id.parse()).map_err(|_| (StatusCode::BAD_REQUEST, wrong.into()))
    }

    /// The selected MTAs.
    fn mtas<'a>(&self, running: &'a RunningWorld) -> Result<Vec<&'a Mta>, ErrorReply> {
        let Some(name) = &self.host else { return Ok(running.mtas.values().collect()) };
        let wrong =
            || (StatusCode::NOT_FOUND, format!("`{name}` is not a host with a queue; /api/v1/hosts lists them"));
        running.mtas.get(name.as_str()).map(|mta| vec![mta]).ok_or_else(wrong)
    }

    fn list(&self, running: &RunningWorld) -> Result<Listing, ErrorReply> {
        let (which, limit) = (self.which()?, self.limit.unwrap_or(DEFAULT_LIMIT));
        let mut all = Listing::default();
        for mta in self.mtas(running)? {
            let Listing { total, messages } = mta.queue().list(which, limit).map_err(failed)?;
            all.total += total;
            all.messages.extend(messages);
        }
        all.messages.sort_by_key(|message| message.arrived);
        all.messages.truncate(limit);
        Ok(all)
    }
}

type ErrorReply = (StatusCode, String);

fn failed(error: store::Error) -> ErrorReply {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn answer(outcome: Result<impl Serialize, ErrorReply>) -> Response {
    match outcome {
        Ok(answer) => Json(answer).into_response(),
        Err((status, text)) => error_reply(status, &text),
    }
}

pub(super) async fn list(State(running): AppState, Query(choice): Query<QueueQuery>) -> Response {
    answer(choice.list(&running))
}

pub(super) async fn show(State(running): AppState, Path(id): Path<String>) -> Response {
    let found = QueueQuery { host: None, id: Some(id), all: false, limit: Some(1) }.list(&running);
    let shown = found.and_then(|listing| {
        let gone = || (StatusCode::NOT_FOUND, "no such message in a queue".to_owned());
        let message = listing.messages.into_iter().next().ok_or_else(gone)?;
        let mta = running.mtas.get(&message.host).ok_or_else(gone)?;
        let header = mta.queue().header(message.id).map_err(failed)?.ok_or_else(gone)?;
        Ok(QueueMessage { message, header })
    });
    answer(shown)
}

pub(super) async fn act(
    State(running): AppState,
    Path(action): Path<Action>,
    Query(choice): Query<QueueQuery>,
) -> Response {
    // A separate task, so that it completes even if the client disconnects.
    match tokio::spawn(act_on(running, action, choice)).await {
        Ok(outcome) => answer(outcome),
        Err(error) => error_reply(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn act_on(running: Arc<RunningWorld>, action: Action, choice: QueueQuery) -> Result<ActionReport, ErrorReply> {
    if choice.host.is_none() && choice.id.is_none() && !choice.all {
        return Err((StatusCode::BAD_REQUEST, "select messages by id, host or all=true".to_owned()));
    }
    let (which, mut messages) = (choice.which()?, Vec::new());
    for mta in choice.mtas(&running)? {
        let done = match action {
            Action::Hold => mta.hold(which).await,
            Action::Release => mta.release(which).await,
            Action::Flush => mta.flush(which).await,
            Action::Delete => mta.delete(which).await,
        };
        messages.extend(done.map_err(failed)?);
    }
    Ok(ActionReport { action, messages })
}
