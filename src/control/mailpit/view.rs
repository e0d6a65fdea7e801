//! The parts that a reader sees, for browsers: HTML in a sandbox, and text.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use mail_parser::{MessageParser, MimeHeaders};
use serde::Deserialize;

use super::list::ListQuery;
use super::message::{find, inert};
use super::{Answer, AppState, Failure, catalogue, extract};
use crate::catalogue::parts;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ViewQuery {
    /// `1` lets links open another page.
    #[serde(default)]
    embed: Option<String>,
}

/// A message for browsers: `ID.html` and `ID.txt` are its parts, and `latest` leads to the newest message.
///
/// `ID` is the HTML, or the text if there is none. `latest` leads to `/` if no message matches. In the HTML, `cid:`
/// URLs become those of the parts. Answers 404 if there is no such message, it has no HTML for `ID.html`, or the ending
/// is another.
#[utoipa::path(
    get,
    path = "/view/{name}",
    tag = "messages",
    params(("name" = String, Path, description = "`ID.html`, `ID.txt`, `ID` or `latest`."), ListQuery, ViewQuery),
    responses((status = 200, body = String, content_type = "text/html"), (status = 302, description = "From `latest`."))
)]
pub(super) async fn view(
    State(running): AppState,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
    Query(ViewQuery { embed }): Query<ViewQuery>,
) -> Answer {
    let (id, kind) = name.rsplit_once('.').unwrap_or((name.as_str(), ""));
    if !matches!(kind, "" | "html" | "txt") {
        return Err(Failure::not_found());
    }
    let entry = find(&running, id, &query).await;
    if (id, kind) == ("latest", "") {
        let target = entry.map_or_else(|_| "/".to_owned(), |entry| format!("/view/{}", entry.id));
        let target = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
        return Ok((StatusCode::FOUND, [(header::LOCATION, target)]).into_response());
    }
    let entry = entry?;
    let bytes = catalogue(&running)?.message(&entry)?.to_bytes();
    let parsed = MessageParser::default().parse(bytes.as_ref()).unwrap_or_default();
    let mut html = extract::html(&parsed);
    if kind == "txt" || kind.is_empty() && html.is_empty() {
        return Ok(inert("text/plain; charset=utf-8", extract::text(&parsed).into_bytes()));
    }
    if html.is_empty() {
        return Err(Failure::not_found());
    }
    for part in parts(&parsed) {
        if let Some(content_id) = part.part.content_id().filter(|id| !id.is_empty()) {
            let target = format!("/api/v1/message/{}/part/{}", entry.id, part.id);
            html = html.replace(&format!("cid:{content_id}"), &target);
        }
    }
    if embed.as_deref() == Some("1") {
        html.insert_str(0, "<base target=\"_blank\">");
    }
    Ok(inert("text/html; charset=utf-8", html.into_bytes()))
}
