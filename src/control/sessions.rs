//! `/api/v1/sessions`: the conversations at the doors of the world, with or without a message.
//!
//! | parameter | a conversation matches |
//! |---|---|
//! | `protocol` | `smtp`, `submission`, `pop3`, `imap` |
//! | `host` | the host that answers |
//! | `client` | a part of the client's address, or of its name in EHLO |
//! | `login` | a part of the name with which it tried to log in |
//! | `outcome` | what became of it: [`Outcome`](crate::journey::Outcome) |
//! | `journey` | the id of a message that was accepted or fetched |
//! | `open` | whether it goes on |
//! | `text` | a part of what was said |
//!
//! `cursor`, `limit` select a page, and `wait` waits until one matches.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout_at};

use super::problem::{Path, Problem, Query};
use super::{Answer, AppState, MAX_LIMIT, default_limit, wait};
use crate::journey::{Outcome, Protocol, Session, SessionFilter, TimedTranscript};
use crate::mail::JourneyId;

/// A request that waits looks again after this time at the earliest.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionQuery {
    #[param(value_type = Option<String>)]
    protocol: Option<Protocol>,
    host: Option<String>,
    client: Option<String>,
    login: Option<String>,
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
    journey: Option<JourneyId>,
    open: Option<bool>,
    text: Option<String>,
    /// `next` of the page before.
    cursor: Option<u64>,
    #[serde(default = "default_limit")]
    limit: usize,
    wait: Option<String>,
}

/// A conversation with what was said.
#[derive(Serialize)]
struct WithDialogue<'a> {
    #[serde(flatten)]
    session: &'a Session,
    dialogue: &'a TimedTranscript,
}

#[derive(Serialize)]
struct SessionList<'a> {
    /// How many match.
    total: usize,
    /// `cursor` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// Newest first, without what was said.
    sessions: Vec<&'a Session>,
}

/// Conversations, newest first, without what was said.
///
/// If the page is empty and `wait` is given, waits until it is not, the time is over, or the world stops, and then
/// answers with it as it is. A `wait` that is no duration is 400; a `limit` above 10,000 is taken as 10,000.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    tag = "sessions",
    params(SessionQuery),
    responses((status = 200, body = Object))
)]
pub(super) async fn list(State(running): AppState, Query(query): Query<SessionQuery>) -> Answer<Response> {
    let SessionQuery { protocol, host, client, login, outcome, journey, open, text, cursor, limit, wait } = query;
    let filter = SessionFilter { protocol, host, client, login, outcome, journey, open, text };
    let deadline = wait::deadline(wait.as_deref()).map_err(Problem::invalid)?;
    let (sessions, stop) = (running.env.event_log.sessions(), running.stopping());
    let mut changes = sessions.changes();
    loop {
        let page = sessions.page(&filter, cursor.unwrap_or(u64::MAX), limit.min(MAX_LIMIT));
        if let (true, Some(deadline)) = (page.sessions.is_empty(), deadline) {
            let change = async {
                sleep(LOOK_INTERVAL).await;
                changes.changed().await
            };
            if let Ok(Some(Ok(()))) = timeout_at(deadline, stop.run_until_cancelled(change)).await {
                continue;
            }
        }
        let sessions = page.sessions.iter().map(|session| &**session).collect();
        return Ok(Json(SessionList { total: page.total, next: page.next, sessions }).into_response());
    }
}

/// One conversation, with what was said.
///
/// Answers 404 if none has this number, or it was dropped as one of the oldest.
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = u64, Path)),
    responses((status = 200, body = Object))
)]
pub(super) async fn show(State(running): AppState, Path(id): Path<u64>) -> Answer<Response> {
    let session = running.env.event_log.sessions().session(id);
    let session = session.ok_or_else(|| {
        Problem::not_found("no such conversation, or it was dropped as one of the oldest; /api/v1/sessions lists them")
    })?;
    Ok(Json(WithDialogue { session: &session, dialogue: &session.dialogue }).into_response())
}
