//! A consistent copy of the data of a running world.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{AppState, error_reply};
use crate::host::DataDir;

/// Where it is asked for.
pub const PATH: &str = "/api/v1/backup";

/// Where the copy goes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// An absolute path of a folder that is empty or not there yet, on the machine of the world.
    pub folder: PathBuf,
}

/// Makes the copy, and answers once it is on stable storage.
pub(super) async fn create(State(running): AppState, Json(request): Json<BackupRequest>) -> Response {
    let BackupRequest { folder } = request;
    if !folder.is_absolute() {
        return error_reply(StatusCode::BAD_REQUEST, "`folder` must be an absolute path");
    }
    let (store, target) = (running.env.store.clone(), folder.clone());
    match spawn_blocking(move || DataDir::backup(&store, &target)).await {
        Ok(Ok(())) => Json(BackupRequest { folder }).into_response(),
        Ok(Err(error)) => error_reply(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => error_reply(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
