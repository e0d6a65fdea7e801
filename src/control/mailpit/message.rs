//! One message: its fields, header, bytes and parts.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use mail_parser::{MessageParser, MimeHeaders};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde::Deserialize;

use super::list::{ListQuery, Wait};
use super::types::{Attachment, Checksums, Envelope, Headers, ListUnsubscribe, Message};
use super::{Answer, AppState, Failure, catalogue, extract};
use crate::auth::md5_hex;
use crate::catalogue::{Entry, Part, Placement, parts};
use crate::host::RunningWorld;
use crate::mda::CopyFilter;
use crate::sync::beside_others;

/// What a browser may do with bytes of a message: show them, and nothing else.
pub(super) const INERT: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:";

/// Returns the entry in the catalogue of the message that `id`, from a path, names; 404 if there is none. `latest` is
/// the newest message that matches `query`, and is waited for as its `wait` says; with any other id, `query` has no
/// effect.
pub(super) async fn find(running: &RunningWorld, id: &str, query: &ListQuery) -> Answer<Entry> {
    let catalogue = catalogue(running)?;
    if id != "latest" {
        let found = id.parse().ok().map(|id| catalogue.find(id)).transpose()?.flatten();
        return found.ok_or_else(Failure::not_found);
    }
    let filter = query.filter(running, query.query.as_deref())?;
    let mut wait = Wait::new(running, query.deadline()?)?;
    let mut found = catalogue.newest(&filter).await?;
    while found.is_none() && wait.for_change().await {
        found = catalogue.newest(&filter).await?;
    }
    found.ok_or_else(|| Failure(axum::http::StatusCode::NOT_FOUND, "Message not found".to_owned()))
}

/// A message; as clients of Mailpit expect, it is read from then on.
#[utoipa::path(
    get,
    path = "/api/v1/message/{id}",
    tag = "messages",
    params(("id" = String, Path, description = "The id of a message, or `latest`."), ListQuery),
    responses((status = 200, body = Message))
)]
pub(super) async fn message(
    State(running): AppState,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Message>> {
    let entry = find(&running, &id, &query).await?;
    let message = details(&running, &entry)?;
    if entry.is_unread {
        running.mailboxes.mark_entries(&[entry.number], &CopyFilter::default(), true).await?;
    }
    Ok(Json(message))
}

/// Returns the JSON of a message, and changes nothing. `read` is always true, since the request for it marks the
/// message as read.
fn details(running: &RunningWorld, entry: &Entry) -> Answer<Message> {
    let catalogue = catalogue(running)?;
    let journey = running.env.event_log.journey_state(entry.id)?;
    let bytes = catalogue.message(entry)?.to_bytes();
    let summary = catalogue.summary(entry)?;
    let from = summary.from.unwrap_or_default();
    Ok(beside_others(bytes.len(), || {
        let parsed = MessageParser::default().parse(bytes.as_ref()).unwrap_or_default();
        let (text, html) = (extract::text(&parsed), extract::html(&parsed));
        let (mut inline, mut attachments) = (Vec::new(), Vec::new());
        for part in parts(&parsed) {
            match part.placement() {
                Some(Placement::Inline) => inline.push(attachment(&part)),
                Some(Placement::Attached) => attachments.push(attachment(&part)),
                None => {}
            }
        }
        let date = parsed.date().and_then(|date| Timestamp::from_second(date.to_timestamp()).ok());
        let return_path = entry.reverse_path.as_ref().map(ToString::to_string);
        let unsubscribe = extract::unsubscribe(&parsed);
        Message {
            id: entry.id.to_string(),
            message_id: summary.message_id,
            return_path: return_path.unwrap_or_else(|| from.address.clone()),
            from,
            to: summary.to,
            cc: summary.cc,
            bcc: summary.bcc,
            reply_to: summary.reply_to,
            list_unsubscribe: ListUnsubscribe {
                header: unsubscribe.header.clone(),
                links: unsubscribe.links.clone(),
                errors: unsubscribe.errors.clone(),
                header_post: unsubscribe.header_post.clone(),
            },
            date: date.unwrap_or(entry.arrived),
            tags: entry.tags.clone(),
            username: entry.login.clone().unwrap_or_default(),
            codes: extract::codes(&summary.subject, &text),
            links: extract::links(&html, &text),
            invitations: extract::invitations(&parsed),
            unsubscribe,
            subject: summary.subject,
            text,
            html,
            size: entry.size,
            inline,
            attachments,
            read: true,
            envelope: Envelope::of(entry),
            recipients: journey.map(|journey| journey.recipients).unwrap_or_default(),
        }
    }))
}

/// Returns the description of a part: its id, name, media type and Content-ID, and the size and checksums of its
/// decoded content.
fn attachment(part: &Part<'_>) -> Attachment {
    let bytes = part.part.contents();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Attachment {
        part_id: part.id.clone(),
        file_name: part.name().to_owned(),
        content_type: part.media_type(),
        content_id: part.part.content_id().unwrap_or_default().to_owned(),
        size: bytes.len(),
        checksums: Checksums {
            md5: md5_hex(bytes),
            sha1: hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref()),
            sha256: hex(digest(&SHA256, bytes).as_ref()),
        },
    }
}

/// The header fields of a message, by name.
///
/// Names are written as `Message-Id`; values are unfolded, but not decoded.
#[utoipa::path(
    get,
    path = "/api/v1/message/{id}/headers",
    tag = "messages",
    params(("id" = String, Path, description = "The id of a message, or `latest`."), ListQuery),
    responses((status = 200, body = BTreeMap<String, Vec<String>>))
)]
pub(super) async fn headers(
    State(running): AppState,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Headers>> {
    let entry = find(&running, &id, &query).await?;
    let bytes = catalogue(&running)?.message(&entry)?.to_bytes();
    let end = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    Ok(Json(read_headers(&String::from_utf8_lossy(&bytes[..end]))))
}

/// Returns the fields of a header, unfolded but not decoded, by their names as Go writes them: `Message-Id`. The values
/// of one name are in the order of the header; a line without a colon is skipped.
fn read_headers(text: &str) -> Headers {
    let mut headers = Headers::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let mut value = value.trim().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            value.push(' ');
            value.push_str(more.trim());
        }
        headers.entry(canonical(name.trim())).or_default().push(value.trim().to_owned());
    }
    headers
}

/// Returns a field name as Go writes it, with a capital after each dash: `message-ID` becomes `Message-Id`.
fn canonical(name: &str) -> String {
    let word = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + &rest.to_ascii_lowercase(),
        None => word.to_owned(),
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RawQuery {
    /// `1` for an answer that browsers save.
    #[serde(default)]
    dl: Option<String>,
}

/// A message as it was accepted.
///
/// With `dl=1`, browsers save it as `ID.eml`.
#[utoipa::path(
    get,
    path = "/api/v1/message/{id}/raw",
    tag = "messages",
    params(("id" = String, Path, description = "The id of a message, or `latest`."), ListQuery, RawQuery),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn raw(
    State(running): AppState,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
    Query(RawQuery { dl }): Query<RawQuery>,
) -> Answer {
    let entry = find(&running, &id, &query).await?;
    let message = catalogue(&running)?.message(&entry)?;
    let mut response = inert("text/plain; charset=utf-8", message.to_bytes().into());
    if dl.as_deref() == Some("1")
        && let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{}.eml\"", entry.id))
    {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// A part of a message, decoded.
///
/// Its media type and file name are those of the part, and its headers keep browsers from running it. Answers 404 if
/// there is no such message or part.
#[utoipa::path(
    get,
    path = "/api/v1/message/{id}/part/{part}",
    tag = "messages",
    params(
        ("id" = String, Path, description = "The id of a message, or `latest`."),
        ("part" = String, Path, description = "The `PartID`."),
        ListQuery
    ),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "Its media type is that of the part."))
)]
pub(super) async fn part(
    State(running): AppState,
    Path((id, wanted)): Path<(String, String)>,
    Query(query): Query<ListQuery>,
) -> Answer {
    let entry = find(&running, &id, &query).await?;
    let bytes = catalogue(&running)?.message(&entry)?.to_bytes();
    let parsed = MessageParser::default().parse(bytes.as_ref()).ok_or_else(Failure::not_found)?;
    let found = parts(&parsed).into_iter().find(|part| part.id == wanted).ok_or_else(Failure::not_found)?;
    let name: String = url::form_urlencoded::byte_serialize(found.name().as_bytes()).collect();
    let name = name.replace('+', "%20");
    let mut response = inert(&found.media_type(), found.part.contents().to_vec());
    if let Ok(value) = HeaderValue::try_from(format!("inline; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Returns an answer with bytes of a message, of this media type, and with headers that keep a browser from running
/// them and from loading what they name. A media type that no header can have becomes `application/octet-stream`.
pub(super) fn inert(media_type: &str, bytes: Vec<u8>) -> Response {
    let fallback = HeaderValue::from_static("application/octet-stream");
    let media_type = HeaderValue::try_from(media_type).unwrap_or(fallback);
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(INERT)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_unfolded_and_named_as_go_does() {
        let text = "MESSAGE-ID: <a@b>\r\nDKIM-Signature: a;\r\n\tb\r\nx-Y: 1\r\nX-y: =?utf-8?q?2?=\r\nno field";
        let headers = read_headers(text);
        let expected =
            [("Dkim-Signature", vec!["a; b"]), ("Message-Id", vec!["<a@b>"]), ("X-Y", vec!["1", "=?utf-8?q?2?="])];
        assert!(
            headers
                .iter()
                .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect::<Vec<_>>()))
                .eq(expected)
        );
    }
}
