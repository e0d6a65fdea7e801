//! The queues of a running world, over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{LIMIT_DEFAULT, World, problem};
use crate::host::Running;
use crate::mail::QueueId;
use crate::mta::{Listing, Mta, Waiting, Which};
use crate::store;

/// What an operator does to messages that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They are not tried until they are released.
    Hold,
    /// They are not held any more.
    Release,
    /// They are tried now.
    Flush,
    /// They are gone for good.
    Delete,
}

/// To which messages something was done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {
    /// What.
    pub action: Action,
    /// To which.
    pub messages: Vec<QueueId>,
}

/// A message in detail.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shown {
    /// What a list has, too.
    #[serde(flatten)]
    pub message: Waiting,
    /// Its header, trace lines included.
    pub header: String,
}

/// Which messages are meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    host: Option<String>,
    id: Option<String>,
    #[serde(default)]
    all: bool,
    limit: Option<usize>,
}

impl Choice {
    fn which(&self) -> Result<Which, Problem> {
        let wrong = "that is no message id; they look like 3FK9Q2XW7T-04KMX, or 3FK9Q2XW7T for a journey";
        self.id.as_ref().map_or(Ok(Which::All), |id| id.parse()).map_err(|_| (StatusCode::BAD_REQUEST, wrong.into()))
    }

    /// The MTAs whose queues are meant.
    fn mtas<'a>(&self, running: &'a Running) -> Result<Vec<&'a Mta>, Problem> {
        let Some(name) = &self.host else { return Ok(running.mtas.values().collect()) };
        let wrong = || (StatusCode::NOT_FOUND, format!("`{name}` is no host with a queue; /api/v1/hosts lists them"));
        running.mtas.get(name.as_str()).map(|mta| vec![mta]).ok_or_else(wrong)
    }

    fn list(&self, running: &Running) -> Result<Listing, Problem> {
        let (which, limit) = (self.which()?, self.limit.unwrap_or(LIMIT_DEFAULT));
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

type Problem = (StatusCode, String);

fn failed(error: store::Error) -> Problem {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn answer(outcome: Result<impl Serialize, Problem>) -> Response {
    match outcome {
        Ok(answer) => Json(answer).into_response(),
        Err((status, text)) => problem(status, &text),
    }
}

pub(super) async fn list(State(running): World, Query(choice): Query<Choice>) -> Response {
    answer(choice.list(&running))
}

pub(super) async fn show(State(running): World, Path(id): Path<String>) -> Response {
    let found = Choice { host: None, id: Some(id), all: false, limit: Some(1) }.list(&running);
    let shown = found.and_then(|listing| {
        let gone = || (StatusCode::NOT_FOUND, "no such message waits in a queue".to_owned());
        let message = listing.messages.into_iter().next().ok_or_else(gone)?;
        let mta = running.mtas.get(&message.host).ok_or_else(gone)?;
        let header = mta.queue().header(message.id).map_err(failed)?.ok_or_else(gone)?;
        Ok(Shown { message, header })
    });
    answer(shown)
}

pub(super) async fn act(State(running): World, Path(action): Path<Action>, Query(choice): Query<Choice>) -> Response {
    // In a task of its own: a client that hangs up does not leave it half done.
    match tokio::spawn(act_on(running, action, choice)).await {
        Ok(outcome) => answer(outcome),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn act_on(running: Arc<Running>, action: Action, choice: Choice) -> Result<Done, Problem> {
    if choice.host.is_none() && choice.id.is_none() && !choice.all {
        return Err((StatusCode::BAD_REQUEST, "say which: by id, by host, or all=true".to_owned()));
    }
    let (which, mut messages) = (choice.which()?, Vec::new());
    for mta in choice.mtas(&running)? {
        let done = match action {
            Action::Hold => mta.queue().hold(which).await,
            Action::Release => mta.release(which).await,
            Action::Flush => mta.flush(which).await,
            Action::Delete => mta.delete(which).await,
        };
        messages.extend(done.map_err(failed)?);
    }
    Ok(Done { action, messages })
}
