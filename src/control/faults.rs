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
    (StatusCode::CREATED, Json(running.begin_fault(fault).await)).into_response()
}

pub(super) async fn end(State(running): AppState, Path(id): Path<u64>) -> Response {
    match running.end_fault(id).await {
        Ok(Some(ended)) => Json(ended).into_response(),
        Ok(None) => error_reply(StatusCode::NOT_FOUND, "no such fault is active; /api/v1/faults lists them"),
        Err(error) => error_reply(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}
