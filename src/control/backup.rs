//! A consistent copy of the data of a running world.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{World, problem};
use crate::host::Data;

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
pub(super) async fn create(State(running): World, Json(request): Json<BackupRequest>) -> Response {
    let BackupRequest { folder } = request;
    if !folder.is_absolute() {
        return problem(StatusCode::BAD_REQUEST, "`folder` must be an absolute path");
    }
    let (store, target) = (running.ground.store.clone(), folder.clone());
    match spawn_blocking(move || Data::backup(&store, &target)).await {
        Ok(Ok(())) => Json(BackupRequest { folder }).into_response(),
        Ok(Err(error)) => problem(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
