//! Faults over HTTP: which hold, begin one, end one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{World, problem};
use crate::host::{Active, Fault};

pub(super) async fn list(State(running): World) -> Json<Vec<Active>> {
    Json(running.active_faults())
}

/// Only as JSON: a page of somebody else's cannot post that without being asked first.
pub(super) async fn begin(State(running): World, headers: HeaderMap, body: String) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the fault as application/json");
    }
    let fault: Fault = match serde_json::from_str(&body) {
        Ok(fault) => fault,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("that is no fault: {error}")),
    };
    if let Err(error) = running.knows(&fault) {
        return problem(StatusCode::BAD_REQUEST, &error);
    }
    (StatusCode::CREATED, Json(running.begin_fault(fault).await)).into_response()
}

pub(super) async fn end(State(running): World, Path(id): Path<u64>) -> Response {
    match running.end_fault(id).await {
        Ok(Some(ended)) => Json(ended).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "no such fault holds; see /api/v1/faults"),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}
