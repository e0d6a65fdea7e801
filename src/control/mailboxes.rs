//! HTTP handlers for mailboxes: list, read and upload without a login.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Answer, AppState, DEFAULT_LIMIT, Json, MAX_LIMIT, Problem, Query};
use crate::host::RunningWorld;
use crate::imap::{Flags, SystemFlags};
use crate::mail::{Address, Message};
use crate::mda::{AppendMessage, Counters, Error, Mailbox, MessageMeta};
use crate::sync::beside_others;

/// The largest message that is accepted, in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A mailbox and its totals.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// Returns the report of a stored message; its system flags come before its keywords.
    fn of(message: &MessageMeta) -> Self {
        let system = SystemFlags::ALL.iter().filter(|(flag, _)| message.flags.contains(*flag)).map(|(_, name)| *name);
        let flags = system.chain(message.keywords.iter().map(String::as_str)).map(str::to_owned).collect();
        Self { uid: message.uid, flags, received: message.received_at(), size: message.size }
    }

    /// The flags as [`Flags`]; a name that is no system flag is a keyword.
    pub fn flags(&self) -> Flags {
        read_flags(self.flags.iter().map(String::as_str))
    }
}

/// Some messages of a mailbox.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageList {
    /// How many it has in all.
    pub total: usize,
    /// `cursor` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// Oldest first.
    pub messages: Vec<MessageReport>,
}

/// Where an uploaded message was stored.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UploadReport {
    /// The mailbox.
    pub mailbox: String,
    /// The UID.
    pub uid: u32,
}

/// Returns the flags of these names, such as `\Seen` or `$Forwarded`. A name that is no system flag is a keyword; empty
/// ones are skipped.
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

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AccountQuery {
    /// Only those of this account.
    account: Option<String>,
}

/// Mailboxes of all accounts or of one, with totals.
///
/// Names that are no mailboxes themselves, as the parents of others, are left out. Answers 404 if the account is not
/// one of this world.
#[utoipa::path(
    get,
    path = "/api/v1/mailboxes",
    tag = "mailboxes",
    params(AccountQuery),
    responses((status = 200, body = Vec<MailboxReport>))
)]
pub(super) async fn list(
    State(running): AppState,
    Query(whose): Query<AccountQuery>,
) -> Answer<Json<Vec<MailboxReport>>> {
    let mailboxes = &running.mailboxes;
    let accounts = match whose.account {
        Some(account) => vec![key(&running, &account)?],
        None => mailboxes.accounts()?,
    };
    let mut all = Vec::new();
    for account in accounts {
        for listed in mailboxes.list(&account)? {
            let Some(status) = listed.status else { continue };
            let Counters { messages, unseen, octets: bytes, .. } = status.counters;
            all.push(MailboxReport { account: account.clone(), mailbox: listed.name, messages, unseen, bytes });
        }
    }
    Ok(Json(all))
}

/// Returns the account key of the address of a user, or of any address of an undeclared domain whose mail goes to
/// `elsewhere`; 404 for others, and for what is no address.
fn key(running: &RunningWorld, account: &str) -> Answer<String> {
    let not_found = |why: &str| Problem::not_found(format!("`{account}` {why}; /api/v1/mailboxes lists accounts"));
    let address: Address = account.parse().map_err(|_| not_found("is not an address"))?;
    let known = running.env.world.secret(account).is_some();
    if known { Ok(address.key()) } else { Err(not_found("has no mailboxes in this world")) }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MailboxQuery {
    account: String,
    mailbox: String,
    /// `next` of the page before: a UID.
    #[serde(default)]
    cursor: u32,
    /// The length of a page: 100 by default, 10,000 at most.
    limit: Option<usize>,
}

/// Opens a mailbox of an account, by its address; 404 if the account is not one of this world, or has no such mailbox.
fn open(running: &RunningWorld, account: &str, mailbox: &str) -> Answer<Mailbox> {
    Ok(running.mailboxes.open(&key(running, account)?, mailbox)?)
}

/// Messages of a mailbox, oldest first, without content.
///
/// Those with a UID above `cursor`. Answers 404 if the account or the mailbox does not exist.
#[utoipa::path(
    get,
    path = "/api/v1/mailboxes/messages",
    tag = "mailboxes",
    params(MailboxQuery),
    responses((status = 200, body = MessageList))
)]
pub(super) async fn messages(State(running): AppState, Query(which): Query<MailboxQuery>) -> Answer<Json<MessageList>> {
    let view = open(&running, &which.account, &which.mailbox)?.view()?;
    let first = view.messages.count_before(which.cursor.saturating_add(1));
    let limit = which.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let messages: Vec<_> = view.messages.iter_from(first).take(limit).map(MessageReport::of).collect();
    let total = view.messages.len();
    let next = messages.last().filter(|_| first + messages.len() < total).map(|last| last.uid);
    Ok(Json(MessageList { total, next, messages }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MessageQuery {
    account: String,
    mailbox: String,
    uid: u32,
}

/// The content of a message of a mailbox.
///
/// Its flags stay as they are. Answers 404 if the account, the mailbox or the message does not exist.
#[utoipa::path(
    get,
    path = "/api/v1/mailboxes/message",
    tag = "mailboxes",
    params(MessageQuery),
    responses((status = 200, body = Vec<u8>, content_type = "message/rfc822"))
)]
pub(super) async fn message(State(running): AppState, Query(one): Query<MessageQuery>) -> Answer<Response> {
    let message = open(&running, &one.account, &one.mailbox)?.message(one.uid)?;
    let message = message.ok_or_else(|| Problem::not_found("no such message"))?;
    Ok(([(header::CONTENT_TYPE, "message/rfc822")], message.to_bytes()).into_response())
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    account: String,
    mailbox: String,
    /// Flags and keywords, separated by spaces.
    #[serde(default)]
    flags: String,
    /// The internal date; now by default.
    received: Option<Timestamp>,
}

/// Stores a message in a mailbox, which is created if it does not exist.
///
/// Answers with the mailbox and the UID; 400 if the body is empty, 404 if the account is not one of this world. It is
/// stored even if the client disconnects.
#[utoipa::path(
    post,
    path = "/api/v1/mailboxes/messages",
    tag = "mailboxes",
    params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "message/rfc822"),
    responses((status = 200, body = UploadReport))
)]
pub(super) async fn upload(
    State(running): AppState,
    Query(new): Query<UploadQuery>,
    body: Bytes,
) -> Answer<Json<UploadReport>> {
    // A separate task, so that it completes even if the client disconnects.
    tokio::spawn(store(running, new, body)).await.map_err(Problem::internal)?.map(Json)
}

/// Stores the body as a message of the account and mailbox that `new` names, with its flags and date, and returns the
/// mailbox and the UID. Creates the account and the mailbox if they do not exist. An empty body is 400, an address that
/// cannot have mail 404.
async fn store(running: Arc<RunningWorld>, new: UploadQuery, body: Bytes) -> Answer<UploadReport> {
    let (account, mailboxes) = (key(&running, &new.account)?, &running.mailboxes);
    if body.is_empty() {
        return Err(Problem::invalid("the message is empty"));
    }
    mailboxes.ensure_account(&account).await?;
    match mailboxes.open(&account, &new.mailbox) {
        Err(Error::NoMailbox(_)) => mailboxes.create(&account, &new.mailbox).await?,
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let flags = read_flags(new.flags.split(' '));
    let message = beside_others(body.len(), || Message::new(body.clone()));
    let brought = AppendMessage { message, flags, received: new.received };
    let filed = mailboxes.append(&account, &new.mailbox, vec![brought]).await?;
    let filed = filed.into_iter().next().ok_or_else(|| Problem::internal("no message was stored"))?;
    Ok(UploadReport { mailbox: filed.mailbox, uid: filed.uid })
}
