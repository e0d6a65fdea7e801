//! SMTP errors on purpose: faults of the replies of all MTAs, also between them, where they lead to retries and bounces.

use axum::body::Bytes;
use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::{Answer, AppState, Failure, Ours, read_json};
use crate::host::{Error, Fault, RunningWorld};
use crate::smtp::reply_faults::FaultPoint;

/// The error of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all(serialize = "PascalCase", deserialize = "lowercase"))]
#[schema(rename_all = "PascalCase")]
struct Trigger {
    #[serde(rename(serialize = "ErrorCode", deserialize = "errorcode"))]
    #[schema(rename = "ErrorCode")]
    error_code: u16,
    /// In percent.
    probability: u8,
}

/// All of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, rename_all(serialize = "PascalCase", deserialize = "lowercase"))]
#[schema(rename_all = "PascalCase")]
pub(super) struct Triggers {
    sender: Trigger,
    recipient: Trigger,
    authentication: Trigger,
}

impl Default for Triggers {
    fn default() -> Self {
        let off = |error_code| Trigger { error_code, probability: 0 };
        Self { sender: off(451), recipient: off(451), authentication: off(535) }
    }
}

/// The triggers, and the faults that they are.
#[derive(Debug, Default)]
pub(super) struct Chaos {
    triggers: Triggers,
    faults: Vec<u64>,
}

/// The SMTP errors on purpose.
///
/// As they were set last; at first, each has the probability 0.
#[utoipa::path(get, path = "/api/v1/chaos", tag = "messages", responses((status = 200, body = Triggers)))]
pub(super) async fn show(Extension(shared): Ours) -> Json<Triggers> {
    Json(shared.chaos.lock().await.triggers)
}

/// Replaces all triggers; what is left out is off.
///
/// Answers with the triggers. 400 if a probability is above 100 or a code is not between 400 and 599, and then nothing
/// changes; 503 if a fault of the triggers before cannot be ended.
#[utoipa::path(
    put,
    path = "/api/v1/chaos",
    tag = "messages",
    request_body = Triggers,
    responses((status = 200, body = Triggers))
)]
pub(super) async fn set(State(running): AppState, Extension(shared): Ours, body: Bytes) -> Answer<Json<Triggers>> {
    let triggers: Triggers = read_json(&body).map_err(Failure::invalid)?;
    for trigger in [triggers.sender, triggers.recipient, triggers.authentication] {
        if 100 < trigger.probability {
            return Err(Failure::invalid("probability must be between 0 and 100"));
        }
        if !(400..600).contains(&trigger.error_code) {
            return Err(Failure::invalid("error code must be between 400 and 599"));
        }
    }
    // In a task of its own, so that the faults and what is remembered of them agree even if the client disconnects.
    let replaced = tokio::spawn(async move { shared.chaos.lock().await.replace(&running, triggers).await }).await;
    replaced.map_err(|error| Failure::internal(error.to_string()))?.map_err(unavailable)?;
    Ok(Json(triggers))
}

impl Chaos {
    /// Ends the faults of the triggers before, the latest first, and begins those of the new ones, at every MTA of this
    /// process. A trigger with the probability 0 has none. If a fault cannot be ended, it and those begun before it
    /// stay, for the next call, the triggers stay as they were, and no new faults begin.
    async fn replace(&mut self, running: &RunningWorld, triggers: Triggers) -> Result<(), Error> {
        while let Some(id) = self.faults.last() {
            running.end_fault(*id).await?;
            self.faults.pop();
        }
        for (at, name, trigger) in [
            (FaultPoint::Mail, "sender", triggers.sender),
            (FaultPoint::Rcpt, "recipient", triggers.recipient),
            (FaultPoint::Auth, "authentication", triggers.authentication),
        ] {
            // Behind the public port, the provider of the sender answers.
            for host in running.mtas.keys().filter(|_| trigger.probability != 0) {
                self.faults.push(running.begin_fault(fault(host, at, name, trigger)).await.id);
            }
        }
        self.triggers = triggers;
        Ok(())
    }
}

/// Returns a fault by which the MTA `host` gives the reply `CODE Chaos NAME error` to the command `at`, with the code
/// and the probability of the trigger.
fn fault(host: &str, at: FaultPoint, name: &str, trigger: Trigger) -> Fault {
    Fault::Reply {
        host: host.to_owned(),
        at,
        reply: Some(format!("{} Chaos {name} error", trigger.error_code)),
        about: String::new(),
        share: f64::from(trigger.probability) / 100.0,
    }
}

/// Returns 503 with the text of the error.
fn unavailable(error: Error) -> Failure {
    Failure(axum::http::StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
