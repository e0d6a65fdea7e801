//! A consistent copy of the data of a running world.

use std::path::PathBuf;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{Answer, AppState, Json, Problem};
use crate::host::DataDir;

/// Where it is asked for.
pub const PATH: &str = "/api/v1/backup";

/// Where the copy goes.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// An absolute path of a folder that is empty or not there yet, on the machine of the world.
    #[schema(value_type = String)]
    pub folder: PathBuf,
}

/// Copies the data of the world into an empty folder of its machine, and answers once that is on stable storage.
///
/// Answers with the folder; 400 if its path is not absolute, 409 if it is not empty or a file cannot be read or
/// written.
#[utoipa::path(
    post,
    path = PATH,
    tag = "world",
    request_body = BackupRequest,
    responses((status = 200, body = BackupRequest))
)]
pub(super) async fn create(
    State(running): AppState,
    Json(request): Json<BackupRequest>,
) -> Answer<Json<BackupRequest>> {
    let BackupRequest { folder } = request;
    if !folder.is_absolute() {
        return Err(Problem::invalid("`folder` must be an absolute path"));
    }
    let (store, target) = (running.env.store.clone(), folder.clone());
    let copied = spawn_blocking(move || DataDir::backup(&store, &target)).await.map_err(Problem::internal)?;
    copied.map_err(Problem::conflict)?;
    Ok(Json(BackupRequest { folder }))
}
