//! HTTP handlers for the queues of a running world.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::{Answer, AppState, DEFAULT_LIMIT, Json, MAX_LIMIT, Path, Problem, Query};
use crate::host::RunningWorld;
use crate::mail::QueueId;

use crate::mta::{self, Listing, Mta, QueueEntry, QueuePlace, Selector};

/// An operator's action on queued messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActionReport {
    /// The action.
    pub action: Action,
    /// The affected messages.
    pub messages: Vec<QueueId>,
}

/// A queued message in detail.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueueMessage {
    /// The fields of a list entry.
    #[serde(flatten)]
    pub message: QueueEntry,
    /// Its header, with trace lines.
    pub header: String,
}

/// Selects queued messages.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct QueueQuery {
    /// Only the queue of this host.
    host: Option<String>,
    /// Only the message with this id, or those of this journey.
    id: Option<String>,
    /// For an action without `host` and `id`: acts on all messages.
    #[serde(default)]
    all: bool,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<QueuePlace>,
    /// The length of a page: 100 by default, 10,000 at most.
    limit: Option<usize>,
}

impl QueueQuery {
    /// Returns the selector of the messages that `id` names, which is the id of a message or of a journey; of all
    /// messages without `id`. 400 if `id` is neither.
    fn which(&self) -> Answer<Selector> {
        let wrong = "not a message id; an id looks like 3FK9Q2XW7T-04KMX, or 3FK9Q2XW7T for a journey";
        self.id.as_ref().map_or(Ok(Selector::All), |id| id.parse()).map_err(|_| Problem::invalid(wrong))
    }

    /// Returns the MTAs whose queues `host` selects: the MTA of that name, or without `host` all of this process. 404
    /// if the host has no queue here.
    fn mtas<'a>(&self, running: &'a RunningWorld) -> Answer<Vec<&'a Mta>> {
        let Some(name) = &self.host else { return Ok(running.mtas.values().collect()) };
        let wrong = || Problem::not_found(format!("`{name}` is not a host with a queue; /api/v1/hosts lists them"));
        running.mtas.get(name.as_str()).map(|mta| vec![mta]).ok_or_else(wrong)
    }

    /// Returns a page of the selected messages, of all selected queues together, oldest first: those after `cursor`, as
    /// many as `limit`. `total` is the number of selected messages on all pages, and `next` is set if more follow.
    fn list(&self, running: &RunningWorld) -> Answer<Listing> {
        let (which, limit) = (self.which()?, self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT));
        let (mut all, mut is_more) = (Listing::default(), false);
        for mta in self.mtas(running)? {
            let Listing { total, next, messages } = mta.queue().list(which, self.cursor, limit)?;
            all.total += total;
            all.messages.extend(messages.into_iter().map(|message| explained(running, message)));
            is_more |= next.is_some();
        }
        all.messages.sort_by_key(QueueEntry::place);
        is_more |= limit < all.messages.len();
        all.messages.truncate(limit);
        all.next = all.messages.last().filter(|_| is_more).map(QueueEntry::place);
        Ok(all)
    }
}

/// Returns an entry for the answer: as it is, but if its message waits in the queue of a host that is off, with
/// `HOST is off` put before its reason.
fn explained(running: &RunningWorld, mut message: QueueEntry) -> QueueEntry {
    if message.state == mta::State::Waiting && !running.is_on(&message.host) {
        message.explain(&format!("{} is off", message.host));
    }
    message
}

/// Queued messages, oldest first.
///
/// Answers 400 if `id` is no id, and 404 if `host` has no queue.
#[utoipa::path(get, path = "/api/v1/queue", tag = "queue", params(QueueQuery), responses((status = 200, body = Listing)))]
pub(super) async fn list(State(running): AppState, Query(choice): Query<QueueQuery>) -> Answer<Json<Listing>> {
    choice.list(&running).map(Json)
}

/// One queued message, by its id or that of its journey, with its header.
///
/// If several messages of the journey are queued, the oldest one. Answers 404 if there is none, and 400 if it is no id.
#[utoipa::path(
    get,
    path = "/api/v1/queue/{what}",
    tag = "queue",
    params(("what" = String, Path, description = "The id of a message or a journey.")),
    responses((status = 200, body = QueueMessage))
)]
pub(super) async fn show(State(running): AppState, Path(id): Path<String>) -> Answer<Json<QueueMessage>> {
    let choice = QueueQuery { id: Some(id), limit: Some(1), ..QueueQuery::default() };
    let gone = || Problem::not_found("no such message in a queue");
    let message = choice.list(&running)?.messages.into_iter().next().ok_or_else(gone)?;
    let mta = running.mtas.get(&message.host).ok_or_else(gone)?;
    let header = mta.queue().header(message.id)?.ok_or_else(gone)?;
    Ok(Json(QueueMessage { message, header }))
}

/// Acts on the messages that `host` and `id` select, or on all.
///
/// Answers with the ids of the messages on which it acted. Without `host` and `id`, `all=true` is required, else 400.
/// The action goes on to its end even if the client disconnects.
#[utoipa::path(
    post,
    path = "/api/v1/queue/{what}",
    tag = "queue",
    params(("what" = Action, Path, description = "What to do."), QueueQuery),
    responses((status = 200, body = ActionReport))
)]
pub(super) async fn act(
    State(running): AppState,
    Path(action): Path<Action>,
    Query(choice): Query<QueueQuery>,
) -> Answer<Json<ActionReport>> {
    // A separate task, so that it completes even if the client disconnects.
    tokio::spawn(act_on(running, action, choice)).await.map_err(Problem::internal)?.map(Json)
}

/// Acts on the selected messages, one queue after the other, and returns the ids of those on which it acted. 400 if
/// none of `id`, `host` and `all` is given; after an error in one queue, what was done in those before stays done.
async fn act_on(running: Arc<RunningWorld>, action: Action, choice: QueueQuery) -> Answer<ActionReport> {
    if choice.host.is_none() && choice.id.is_none() && !choice.all {
        return Err(Problem::invalid("select messages by id, host or all=true"));
    }
    let (which, mut messages) = (choice.which()?, Vec::new());
    for mta in choice.mtas(&running)? {
        let done = match action {
            Action::Hold => mta.hold(which).await,
            Action::Release => mta.release(which).await,
            Action::Flush => mta.flush(which).await,
            Action::Delete => mta.delete(which).await,
        };
        messages.extend(done?);
    }
    Ok(ActionReport { action, messages })
}
