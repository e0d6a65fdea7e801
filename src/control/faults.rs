//! HTTP handlers for faults: list, inject and clear.

use axum::extract::State;
use axum::http::StatusCode;

use super::{Answer, AppState, Json, Path, Problem};
use crate::host::{Active, Fault};
use crate::journey::FaultRecord;

/// The active faults.
///
/// The oldest one first.
#[utoipa::path(get, path = "/api/v1/faults", tag = "faults", responses((status = 200, body = Vec<Active>)))]
pub(super) async fn list(State(running): AppState) -> Json<Vec<Active>> {
    Json(running.active_faults())
}

/// The latest faults, newest first, with those that ended and hosts that were switched off.
#[utoipa::path(get, path = "/api/v1/faults/history", tag = "faults", responses((status = 200, body = Vec<FaultRecord>)))]
pub(super) async fn history(State(running): AppState) -> Json<Vec<FaultRecord>> {
    Json(running.env.event_log.faults())
}

/// Injects a fault.
///
/// Answers 201 with the fault and its id; 400 if it is not possible in this world. It is done to its end even if the
/// client disconnects.
#[utoipa::path(
    post,
    path = "/api/v1/faults",
    tag = "faults",
    request_body = Fault,
    responses((status = 201, body = Active))
)]
pub(super) async fn begin(State(running): AppState, Json(fault): Json<Fault>) -> Answer<(StatusCode, Json<Active>)> {
    running.validate(&fault).map_err(Problem::invalid)?;
    let active = uninterrupted(async move { running.begin_fault(fault).await }).await?;
    Ok((StatusCode::CREATED, Json(active)))
}

/// Clears a fault.
///
/// Answers with the fault; 404 if none with this id is active, 503 if a host cannot be started again, so that the fault
/// stays active.
#[utoipa::path(
    delete,
    path = "/api/v1/faults/{id}",
    tag = "faults",
    params(("id" = u64, Path, description = "Its id.")),
    responses((status = 200, body = Active))
)]
pub(super) async fn end(State(running): AppState, Path(id): Path<u64>) -> Answer<Json<Active>> {
    let ended = uninterrupted(async move { running.end_fault(id).await }).await?.map_err(Problem::unavailable)?;
    ended.map(Json).ok_or_else(|| Problem::not_found("no such fault is active; /api/v1/faults lists them"))
}

/// Clears all faults.
///
/// Answers with those that were cleared; 503 if a host cannot be started again: that fault stays active, and the others
/// are cleared.
#[utoipa::path(delete, path = "/api/v1/faults", tag = "faults", responses((status = 200, body = Vec<Active>)))]
pub(super) async fn end_all(State(running): AppState) -> Answer<Json<Vec<Active>>> {
    let ended = uninterrupted(async move { running.end_all_faults().await }).await?;
    ended.map(Json).map_err(Problem::unavailable)
}

/// Does work to its end, also if the client hangs up meanwhile, and returns its result: a host that takes its time to
/// stop would be off otherwise, without a fault in the list that says so. 500 if the work panics.
pub(super) async fn uninterrupted<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Answer<T> {
    tokio::spawn(work).await.map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_of_a_client_that_hangs_up_is_done_to_its_end() {
        static IS_DONE: AtomicBool = AtomicBool::new(false);
        let work = uninterrupted(async {
            sleep(Duration::from_secs(5)).await;
            IS_DONE.store(true, Ordering::Relaxed);
        });
        assert!(timeout(Duration::from_secs(1), work).await.is_err());
        sleep(Duration::from_secs(5)).await;
        assert!(IS_DONE.load(Ordering::Relaxed));
    }
}
