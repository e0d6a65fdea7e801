//! Sends messages into the world: new ones, and those of the list again.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::Address as HeaderAddress;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use serde::{Deserialize, Serialize};

use super::list::ListQuery;
use super::message::find;
use super::tags::clean_all;
use super::{Answer, AppState, Failure, catalogue, done, read_json};
use crate::host::RunningWorld;
use crate::mail::{Address, Body, Envelope, JourneyId, Message, Recipient};
use crate::mta::{self, Mta};

/// Fields that have a key of their own.
const OWN_FIELDS: [&str; 9] =
    ["to", "from", "cc", "bcc", "reply-to", "date", "subject", "content-type", "mime-version"];

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(rename_all = "PascalCase")]
struct Person {
    #[serde(default)]
    name: String,
    email: String,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(rename_all = "PascalCase")]
struct File {
    content: String,
    filename: String,
    #[schema(rename = "ContentType")]
    contenttype: Option<String>,
    #[schema(rename = "ContentID")]
    contentid: Option<String>,
}

/// Lists may be `null`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(rename_all = "PascalCase")]
struct SendRequest {
    from: Person,
    #[serde(default)]
    to: Option<Vec<Person>>,
    #[serde(default)]
    cc: Option<Vec<Person>>,
    #[serde(default)]
    bcc: Option<Vec<String>>,
    #[serde(default)]
    #[schema(rename = "ReplyTo")]
    replyto: Option<Vec<Person>>,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    #[schema(rename = "HTML")]
    html: String,
    #[serde(default)]
    attachments: Option<Vec<File>>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
}

/// The answer to a message that was sent.
#[derive(Serialize, utoipa::ToSchema)]
struct SendConfirmation {
    #[serde(rename = "ID")]
    id: String,
}

/// Why it was not sent.
#[derive(Serialize, utoipa::ToSchema)]
struct SendError {
    #[serde(rename = "Error")]
    error: String,
}

/// Sends a message into the world. Errors are JSON here: `{"Error": "…"}`.
///
/// Answers with the id of its journey; 400 if the request, an address, a header, an attachment or a tag is not valid.
#[utoipa::path(
    post,
    path = "/api/v1/send",
    tag = "messages",
    request_body = SendRequest,
    responses((status = 200, body = SendConfirmation), (status = "default", description = "An error.", body = SendError))
)]
pub(super) async fn send(State(running): AppState, body: Bytes) -> Response {
    match accept_request(&running, &body).await {
        Ok(id) => Json(SendConfirmation { id: id.to_string() }).into_response(),
        Err(Failure(status, text)) => (status, Json(SendError { error: text })).into_response(),
    }
}

/// Makes a message of a JSON request, sends it into the world, and tags it; returns the id of its journey. Nothing is
/// sent if a part of the request is not valid, which is 400.
async fn accept_request(running: &RunningWorld, body: &[u8]) -> Answer<JourneyId> {
    let catalogue = catalogue(running)?;
    let request: SendRequest = read_json(body).map_err(Failure::invalid)?;
    let tags = clean_all(request.tags.as_deref().unwrap_or_default())?;
    let (from, recipients) = addresses(&request)?;
    let bytes = build(&request)?;
    let id = submit(running, from, recipients, Message::new(bytes.into())).await?;
    if !tags.is_empty()
        && let Some(entry) = catalogue.find(id)?
    {
        running.mailboxes.tag_entries(&[entry.number], &tags).await?;
    }
    Ok(id)
}

/// Returns the envelope of a request: its sender, and the recipients in `to`, `cc` and `bcc`, in this order. 400 if one
/// is no address.
fn addresses(request: &SendRequest) -> Answer<(Address, Vec<Address>)> {
    let people = request.to.iter().chain(&request.cc).flatten().map(|person| person.email.as_str());
    let recipients = people.chain(request.bcc.iter().flatten().map(String::as_str)).map(address);
    Ok((address(&request.from.email)?, recipients.collect::<Result<_, _>>()?))
}

/// Reads an address, without white space around it; 400 if it is none.
fn address(text: &str) -> Answer<Address> {
    text.trim().parse().map_err(|_| Failure::invalid(format!("invalid email address: {text}")))
}

/// Composes the message of a request and returns its bytes, without a `Bcc` field. 400 if an address in `to`, `cc` or
/// `replyto`, a header or an attachment is not valid. Control characters in names and in the subject become spaces.
fn build(request: &SendRequest) -> Answer<Vec<u8>> {
    let person = |Person { name, email }: &Person| {
        // Line ends would begin a field of their own.
        let name = name.replace(char::is_control, " ");
        HeaderAddress::new_address(Some(name).filter(|name| !name.trim().is_empty()), email.trim().to_owned())
    };
    let people = |people: &[Person]| HeaderAddress::new_list(people.iter().map(person).collect());
    let mut message = MessageBuilder::new().from(person(&request.from));
    message = message.subject(request.subject.replace(char::is_control, " "));
    let lists = [(&request.to, "To"), (&request.cc, "Cc"), (&request.replyto, "Reply-To")];
    for (list, name) in lists.into_iter().filter_map(|(list, name)| Some((list.as_ref()?, name))) {
        if !list.is_empty() {
            list.iter().try_for_each(|person| address(&person.email).map(drop))?;
            message = message.header(name, HeaderType::Address(people(list)));
        }
    }
    for (name, value) in request.headers.iter().flatten() {
        let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !is_token || OWN_FIELDS.contains(&name.to_lowercase().as_str()) || value.contains(char::is_control) {
            return Err(Failure::invalid(format!("header not allowed: {name}")));
        }
        message = message.header(name.clone(), HeaderType::Raw(Raw::new(value.clone())));
    }
    if !request.text.is_empty() || request.html.is_empty() {
        message = message.text_body(request.text.clone());
    }
    if !request.html.is_empty() {
        message = message.html_body(request.html.clone());
    }
    for file in request.attachments.iter().flatten() {
        let content = file.content.split_once(";base64,").map_or(file.content.as_str(), |(_, content)| content);
        let bytes = STANDARD.decode(content.trim());
        let bytes = bytes.map_err(|error| Failure::invalid(format!("error decoding attachment: {error}")))?;
        let named = file.contenttype.clone().filter(|kind| !kind.is_empty() && !kind.contains(char::is_control));
        let kind = named.unwrap_or_else(|| media_type(&file.filename).to_owned());
        let name = file.filename.replace(char::is_control, " ");
        message = match file.contentid.as_ref().filter(|id| !id.is_empty()) {
            Some(id) => {
                let kind = ContentType::new(kind).attribute("name", name);
                with_part(message, MimePart::new(kind, bytes).inline().cid(id.replace(char::is_control, "")))
            }
            None => message.attachment(kind, name, bytes),
        };
    }
    message.write_to_vec().map_err(|error| Failure::invalid(error.to_string()))
}

/// Adds a part, with the headers that it has, to the attachments of a message, and returns that: the builder has no
/// inline parts with a name.
fn with_part<'a>(mut message: MessageBuilder<'a>, part: mail_builder::mime::MimePart<'a>) -> MessageBuilder<'a> {
    message.attachments.get_or_insert_with(Vec::new).push(part);
    message
}

/// Returns the media type of a file by the ending of its name, in any case of letters; `application/octet-stream` if
/// that is unknown.
fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "txt" | "log" => "text/plain",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "ics" => "text/calendar",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "json" => "application/json",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

/// Accepts a message at the first MTA of the sender's domain that runs in this process, or else at the entry of the
/// world, or else at any; returns the id of its new journey. 503 if no MTA runs here.
async fn submit(
    running: &RunningWorld,
    from: Address,
    recipients: Vec<Address>,
    message: Message,
) -> Answer<JourneyId> {
    let world = &running.env.world;
    let own = world.domains.get(from.domain()).and_then(|domain| domain.mx.iter().find_map(|mx| running.mtas.get(mx)));
    let mta: Option<&Mta> = own.or_else(|| running.mtas.get(&world.entry)).or_else(|| running.mtas.values().next());
    let mta = mta.ok_or_else(|| Failure(StatusCode::SERVICE_UNAVAILABLE, "no MTA of ours in this world".to_owned()))?;
    let envelope = Envelope {
        reverse_path: Some(from),
        recipients: recipients.into_iter().map(Recipient::from).collect(),
        body: Body::of(message.content.bytes()),
        smtputf8: false,
        ..Envelope::default()
    };
    Ok(mta::accept(mta, envelope, message).await?.id.journey)
}

/// Recipients, as an object or as a list.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum Release {
    Named {
        #[schema(rename = "To")]
        to: Vec<String>,
    },
    List(Vec<String>),
}

/// Sends a message into the world again, as a new one.
///
/// To the recipients in the body, from its reverse-path, or else its From, or else the first recipient. It has a new
/// journey; the trace lines of hosts are left out. Answers `ok`; 400 if there is no recipient, or one is no address.
#[utoipa::path(
    post,
    path = "/api/v1/message/{id}/release",
    tag = "messages",
    params(("id" = String, Path, description = "The id of a message, or `latest`."), ListQuery),
    request_body = Release,
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn release(
    State(running): AppState,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
    body: Bytes,
) -> Answer {
    let entry = find(&running, &id, &query).await?;
    let release = read_json(&body).map_err(|error| Failure::invalid(format!("invalid JSON: {error}")))?;
    let (Release::Named { to } | Release::List(to)) = release;
    let recipients: Vec<Address> = to.iter().map(|text| address(text)).collect::<Result<_, _>>()?;
    if recipients.is_empty() {
        return Err(Failure::invalid("No valid addresses found"));
    }
    let catalogue = catalogue(&running)?;
    let message = catalogue.message(&entry)?;
    let shown = catalogue.summary(&entry)?.from.and_then(|from| from.address.parse().ok());
    let from = entry.reverse_path.or(shown).or(recipients.first().cloned());
    let from = from.ok_or_else(|| Failure::invalid("No valid addresses found"))?;
    // Its trace would lead the new message to the journey of the old one.
    let message = Message { trace: Bytes::new(), content: message.content };
    submit(&running, from, recipients, message).await?;
    Ok(done())
}
