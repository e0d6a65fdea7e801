//! The thread of a message.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Serialize;

use super::list::ListQuery;
use super::message::find;
use super::types::MessageSummary;
use super::{Answer, AppState, catalogue};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Thread {
    /// Oldest first, this one among them.
    messages: Vec<MessageSummary>,
}

/// The messages of the thread of one, oldest first; ours.
///
/// Those that name each other's Message-ID, and replies to its subject; the message itself is among them. Answers 404
/// if there is no such message.
#[utoipa::path(
    get,
    path = "/api/v1/message/{id}/thread",
    tag = "messages",
    params(("id" = String, Path, description = "The id of a message, or `latest`."), ListQuery),
    responses((status = 200, body = Thread))
)]
pub(super) async fn thread(
    State(running): AppState,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Thread>> {
    let entry = find(&running, &id, &query).await?;
    let catalogue = catalogue(&running)?;
    let entries = catalogue.thread(&entry).await?;
    let messages = entries.iter().map(|entry| MessageSummary::of(catalogue, entry)).collect::<Result<_, _>>()?;
    Ok(Json(Thread { messages }))
}
