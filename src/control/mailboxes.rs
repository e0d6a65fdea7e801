//! HTTP handlers for mailboxes: list, read and upload without a login.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AppState, DEFAULT_LIMIT, error_reply};
use crate::host::RunningWorld;
use crate::imap::{Flags, SystemFlags};
use crate::mail::{Address, Message};
use crate::mda::{AppendMessage, Counters, Error, Mailbox, MessageMeta};
use crate::sync::beside_others;

/// The largest message that is accepted, in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A mailbox and its totals.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxReport {
    /// Its account.
    pub account: String,
    /// Its name.
    pub mailbox: String,
    /// Number of messages.
    pub messages: u32,
    /// Number of messages without `\Seen`.
    pub unseen: u32,
    /// Total size in bytes.
    pub bytes: u64,
}

/// A message of a mailbox, without its content.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReport {
    /// Its UID.
    pub uid: u32,
    /// System flags with their backslash, and keywords.
    pub flags: Vec<String>,
    /// Its internal date.
    pub received: Timestamp,
    /// Its size in bytes.
    pub size: u64,
}

impl MessageReport {
    fn of(message: &MessageMeta) -> Self {
        let system = SystemFlags::ALL.iter().filter(|(flag, _)| message.flags.contains(*flag)).map(|(_, name)| *name);
        let flags = system.chain(message.keywords.iter().map(String::as_str)).map(str::to_owned).collect();
        Self { uid: message.uid, flags, received: message.received_at(), size: message.size }
    }

    /// The flags as [`Flags`].
    pub fn flags(&self) -> Flags {
        read_flags(self.flags.iter().map(String::as_str))
    }
}

/// Where an uploaded message was stored.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadReport {
    /// The mailbox.
    pub mailbox: String,
    /// The UID.
    pub uid: u32,
}

fn read_flags<'a>(names: impl Iterator<Item = &'a str>) -> Flags {
    let mut flags = Flags::default();
    for name in names.filter(|name| !name.is_empty()) {
        match SystemFlags::named(name) {
            Some(flag) => flags.system = flags.system.with(flag),
            None => flags.add_keyword(name),
        }
    }
    flags
}

type ErrorReply = (StatusCode, String);

fn failed(error: &Error) -> ErrorReply {
    let status = match error {
        Error::NoMailbox(_) => StatusCode::NOT_FOUND,
        Error::BadKeyword(_) | Error::BadName(_) => StatusCode::BAD_REQUEST,
        Error::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    (status, error.to_string())
}

fn answer(outcome: Result<impl Serialize, ErrorReply>) -> Response {
    match outcome {
        Ok(answer) => Json(answer).into_response(),
        Err((status, text)) => error_reply(status, &text),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountQuery {
    account: Option<String>,
}

pub(super) async fn list(State(running): AppState, Query(whose): Query<AccountQuery>) -> Response {
    answer(listed(&running, whose.account.as_deref()))
}

fn listed(running: &RunningWorld, account: Option<&str>) -> Result<Vec<MailboxReport>, ErrorReply> {
    let mailboxes = &running.mailboxes;
    let accounts = match account {
        Some(account) => vec![key(running, account)?],
        None => mailboxes.accounts().map_err(|error| failed(&error))?,
    };
    let mut all = Vec::new();
    for account in accounts {
        for listed in mailboxes.list(&account).map_err(|error| failed(&error))? {
            let Some(status) = listed.status else { continue };
            let Counters { messages, unseen, octets: bytes, .. } = status.counters;
            all.push(MailboxReport { account: account.clone(), mailbox: listed.name, messages, unseen, bytes });
        }
    }
    Ok(all)
}

/// The account key of a user, or of an address outside the world that has received mail.
fn key(running: &RunningWorld, account: &str) -> Result<String, ErrorReply> {
    let not_found = |why: &str| (StatusCode::NOT_FOUND, format!("`{account}` {why}; /api/v1/mailboxes lists accounts"));
    let address: Address = account.parse().map_err(|_| not_found("is not an address"))?;
    let known = running.env.world.secret(account).is_some();
    if known { Ok(address.key()) } else { Err(not_found("has no mailboxes in this world")) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MailboxQuery {
    account: String,
    mailbox: String,
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

fn open(running: &RunningWorld, account: &str, mailbox: &str) -> Result<Mailbox, ErrorReply> {
    running.mailboxes.open(&key(running, account)?, mailbox).map_err(|error| failed(&error))
}

pub(super) async fn messages(State(running): AppState, Query(which): Query<MailboxQuery>) -> Response {
    let mailbox = open(&running, &which.account, &which.mailbox);
    let view = mailbox.and_then(|mailbox| mailbox.view().map_err(|error| failed(&error)));
    answer(view.map(|view| {
        let first = view.messages.count_before(which.after.saturating_add(1));
        let page = view.messages.iter_from(first).take(which.limit.unwrap_or(DEFAULT_LIMIT));
        page.map(MessageReport::of).collect::<Vec<_>>()
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageQuery {
    account: String,
    mailbox: String,
    uid: u32,
}

pub(super) async fn message(State(running): AppState, Query(one): Query<MessageQuery>) -> Response {
    let mailbox = open(&running, &one.account, &one.mailbox);
    let message = mailbox.and_then(|mailbox| mailbox.message(one.uid).map_err(|error| failed(&error)));
    match message {
        Ok(Some(message)) => ([(header::CONTENT_TYPE, "message/rfc822")], message.to_bytes()).into_response(),
        Ok(None) => error_reply(StatusCode::NOT_FOUND, "no such message"),
        Err((status, text)) => error_reply(status, &text),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadQuery {
    account: String,
    mailbox: String,
    /// Separated by spaces.
    #[serde(default)]
    flags: String,
    received: Option<Timestamp>,
}

pub(super) async fn upload(State(running): AppState, Query(new): Query<UploadQuery>, body: Bytes) -> Response {
    // A separate task, so that it completes even if the client disconnects.
    match tokio::spawn(store(running, new, body)).await {
        Ok(outcome) => answer(outcome),
        Err(error) => error_reply(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Stores a message. Creates the mailbox if it does not exist.
async fn store(running: Arc<RunningWorld>, new: UploadQuery, body: Bytes) -> Result<UploadReport, ErrorReply> {
    let (account, mailboxes) = (key(&running, &new.account)?, &running.mailboxes);
    if body.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "the message is empty".to_owned()));
    }
    mailboxes.ensure_account(&account).await.map_err(|error| failed(&error))?;
    match mailboxes.open(&account, &new.mailbox) {
        Err(Error::NoMailbox(_)) => mailboxes.create(&account, &new.mailbox).await.map_err(|error| failed(&error))?,
        Err(error) => return Err(failed(&error)),
        Ok(_) => {}
    }
    let flags = read_flags(new.flags.split(' '));
    let message = beside_others(body.len(), || Message::new(body.clone()));
    let brought = AppendMessage { message, flags, received: new.received };
    let filed = mailboxes.append(&account, &new.mailbox, vec![brought]).await.map_err(|error| failed(&error))?;
    let filed =
        filed.into_iter().next().ok_or((StatusCode::INTERNAL_SERVER_ERROR, "no message was stored".to_owned()))?;
    Ok(UploadReport { mailbox: filed.mailbox, uid: filed.uid })
}
