//! Errors of our own resources as `application/problem+json` (RFC 9457): those of handlers, of layers, and of reading a path,
//! a query or a body.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{mda, store};

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request failed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says what kind of error it is. RFC 9457 §4.2.1.
    #[serde(rename = "type", default)]
    kind: String,
    /// The words of the status.
    #[serde(default)]
    title: String,
    /// The HTTP status.
    #[serde(default)]
    status: u16,
    /// What is wrong, and what to do about it, in one line.
    pub(super) detail: String,
}

impl Problem {
    /// Returns the problem with this status, the words of the status as its title, and this detail.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default().to_owned();
        Self { kind: "about:blank".to_owned(), title, status: status.as_u16(), detail: detail.into() }
    }

    /// 400: the request cannot be understood or is not allowed.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: what the path or a parameter names is not there.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 503: it may work later.
    pub(super) fn unavailable(error: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }

    /// 409: the state of the world does not allow it.
    pub(super) fn conflict(error: impl ToString) -> Self {
        Self::new(StatusCode::CONFLICT, error.to_string())
    }

    /// 500: a defect of the program.
    pub(super) fn internal(error: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Problem {
    /// Returns the problem as JSON of the type [`MEDIA_TYPE`], with its status; 500 if its number is no status.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A struct of strings and a number.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
    }
}

impl From<store::Error> for Problem {
    /// Returns 503 with the text of the error.
    fn from(error: store::Error) -> Self {
        Self::unavailable(error)
    }
}

impl From<mda::Error> for Problem {
    /// Returns the problem with the text of the error: 404 for a missing mailbox, 400 for an invalid name or keyword,
    /// 503 for the store, else 409.
    fn from(error: mda::Error) -> Self {
        match error {
            mda::Error::NoMailbox(_) => Self::not_found(error.to_string()),
            mda::Error::BadKeyword(_) | mda::Error::BadName(_) => Self::invalid(error.to_string()),
            mda::Error::Store(_) => Self::unavailable(error),
            _ => Self::conflict(error),
        }
    }
}

/// The same as that of axum, with our errors.
pub(super) struct Path<T>(pub(super) T);

/// The same as that of axum, with our errors.
pub(super) struct Query<T>(pub(super) T);

/// The same as that of axum, with our errors; needs `Content-Type: application/json`, which a foreign web page can post only
/// after a CORS preflight request.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    /// As axum reads it, but a path that cannot be read is a problem, with the status and text that axum gives it.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(value)| Self(value))
            .map_err(|error: PathRejection| Problem::new(error.status(), error.body_text()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    /// As axum reads it, but a query that cannot be read is a problem, with the status and text that axum gives it.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(value)| Self(value))
            .map_err(|error: QueryRejection| Problem::new(error.status(), error.body_text()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    /// As axum reads it, but JSON of another form than `T` is 400 instead of 422.
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = axum::Json::from_request(request, state).await;
        read.map(|axum::Json(value)| Self(value)).map_err(|error| match error {
            JsonRejection::JsonDataError(error) => Problem::invalid(error.body_text()),
            error => Problem::new(error.status(), error.body_text()),
        })
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    /// Returns the value as JSON, with the status 200.
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Method;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Number {
        #[expect(dead_code, reason = "only read")]
        number: u64,
    }

    fn request(method: Method, uri: &str, kind: &str, body: &'static str) -> Request {
        Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, kind).body(Body::from(body)).unwrap()
    }

    #[tokio::test]
    async fn problem_is_a_document_of_rfc_9457() {
        let response = Problem::not_found("no such \"thing\"").into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]),
            (404, &MEDIA_TYPE.parse().unwrap())
        );
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        let text = r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no such \"thing\""}"#;
        assert_eq!(body, text);
    }

    #[tokio::test]
    async fn unreadable_query_or_body_is_a_problem() {
        let json = "application/json";
        for (kind, body, status) in [
            (json, "{", 400),
            (json, r#"{"number":-1}"#, 400),
            (json, r#"{"number":1,"other":1}"#, 400),
            ("text/plain", r#"{"number":1}"#, 415),
        ] {
            let read = Json::<Number>::from_request(request(Method::POST, "/", kind, body), &()).await;
            assert_eq!(read.err().unwrap().status, status, "{body}");
        }
        for uri in ["/", "/?number=x", "/?number=1&number=2", "/?number=1&other=1", "/?number=%ff"] {
            let (mut parts, _) = request(Method::GET, uri, json, "").into_parts();
            let read = Query::<Number>::from_request_parts(&mut parts, &()).await;
            assert_eq!(read.err().unwrap().status, 400, "{uri}");
        }
    }
}
