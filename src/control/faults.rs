//! HTTP handlers for faults: list, inject and clear.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{AppState, error_reply};
use crate::host::{Active, Fault};

pub(super) async fn list(State(running): AppState) -> Json<Vec<Active>> {
    Json(running.active_faults())
}

/// Requires `application/json`, which a foreign web page can post only after a CORS preflight request.
pub(super) async fn begin(State(running): AppState, headers: HeaderMap, body: String) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return error_reply(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json");
    }
    let fault: Fault = match serde_json::from_str(&body) {
        Ok(fault) => fault,
        Err(error) => return error_reply(StatusCode::BAD_REQUEST, &format!("invalid fault: {error}")),
    };
    if let Err(error) = running.validate(&fault) {
        return error_reply(StatusCode::BAD_REQUEST, &error);
    }
    let began = uninterrupted(async move { running.begin_fault(fault).await }).await;
    began.map_or_else(|response| response, |active| (StatusCode::CREATED, Json(active)).into_response())
}

pub(super) async fn end(State(running): AppState, Path(id): Path<u64>) -> Response {
    match uninterrupted(async move { running.end_fault(id).await }).await {
        Ok(Ok(Some(ended))) => Json(ended).into_response(),
        Ok(Ok(None)) => error_reply(StatusCode::NOT_FOUND, "no such fault is active; /api/v1/faults lists them"),
        Ok(Err(error)) => error_reply(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Err(response) => response,
    }
}

pub(super) async fn end_all(State(running): AppState) -> Response {
    match uninterrupted(async move { running.end_all_faults().await }).await {
        Ok(Ok(ended)) => Json(ended).into_response(),
        Ok(Err(error)) => error_reply(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Err(response) => response,
    }
}

/// Does work to its end, also if the client hangs up meanwhile: a host that takes its time to stop would be off
/// otherwise, without a fault in the list that says so.
pub(super) async fn uninterrupted<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Response> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| error_reply(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
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
