//! The mailboxes of a running world, over HTTP: listed, read and filled without anybody's password.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{LIMIT_DEFAULT, World, problem};
use crate::host::Running;
use crate::imap::{Flags, SystemFlags};
use crate::mail::{Address, Letter};
use crate::mda::{Brought, Error, Mailbox, Message};

/// The largest message that is taken, in octets.
pub(super) const MESSAGE_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// A mailbox in numbers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxReport {
    /// Whose it is.
    pub account: String,
    /// Its name.
    pub mailbox: String,
    /// How many messages.
    pub messages: u32,
    /// How many of them without `\Seen`.
    pub unseen: u32,
    /// Octets of all of them.
    pub octets: u64,
}

/// A message of a mailbox, without its octets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReport {
    /// Its unique id there.
    pub uid: u32,
    /// System flags with their backslash, and keywords.
    pub flags: Vec<String>,
    /// When it arrived.
    pub received: Timestamp,
    /// Its octets.
    pub size: u64,
}

impl MessageReport {
    fn of(message: &Message) -> Self {
        let Flags { system, keywords } = &message.flags;
        let system = SystemFlags::ALL.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name);
        let flags = system.chain(keywords.iter().map(String::as_str)).map(str::to_owned).collect();
        Self { uid: message.uid, flags, received: message.received, size: message.size }
    }

    /// Its flags as mailboxes have them.
    pub fn flags(&self) -> Flags {
        read_flags(self.flags.iter().map(String::as_str))
    }
}

/// Where a message is now.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledReport {
    /// In which mailbox.
    pub mailbox: String,
    /// Its unique id there.
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

type Problem = (StatusCode, String);

fn failed(error: &Error) -> Problem {
    let status = match error {
        Error::NoMailbox(_) => StatusCode::NOT_FOUND,
        Error::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    (status, error.to_string())
}

fn answer(outcome: Result<impl Serialize, Problem>) -> Response {
    match outcome {
        Ok(answer) => Json(answer).into_response(),
        Err((status, text)) => problem(status, &text),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    account: Option<String>,
}

pub(super) async fn list(State(running): World, Query(whose): Query<Whose>) -> Response {
    answer(listed(&running, whose.account.as_deref()))
}

fn listed(running: &Running, account: Option<&str>) -> Result<Vec<MailboxReport>, Problem> {
    let mailboxes = &running.mailboxes;
    let accounts = match account {
        Some(account) => vec![key(running, account)?],
        None => mailboxes.accounts().map_err(|error| failed(&error))?,
    };
    let mut all = Vec::new();
    for account in accounts {
        for listed in mailboxes.list(&account).map_err(|error| failed(&error))? {
            let Ok(status) = mailboxes.status(&account, &listed.name) else { continue };
            let (messages, unseen, octets) = (status.messages, status.unseen, status.size);
            all.push(MailboxReport { account: account.clone(), mailbox: listed.name, messages, unseen, octets });
        }
    }
    Ok(all)
}

/// The account of a user, or of somebody elsewhere for whom mail has come.
fn key(running: &Running, account: &str) -> Result<String, Problem> {
    let wrong = |why: &str| (StatusCode::NOT_FOUND, format!("`{account}` {why}; /api/v1/mailboxes lists accounts"));
    let address: Address = account.parse().map_err(|_| wrong("is no address"))?;
    let known = running.ground.world.secret(account).is_some();
    if known { Ok(address.key()) } else { Err(wrong("has no mailboxes in this world")) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    account: String,
    mailbox: String,
    #[serde(default)]
    after: u32,
    limit: Option<usize>,
}

fn open(running: &Running, account: &str, mailbox: &str) -> Result<Mailbox, Problem> {
    running.mailboxes.open(&key(running, account)?, mailbox).map_err(|error| failed(&error))
}

pub(super) async fn messages(State(running): World, Query(which): Query<Which>) -> Response {
    let mailbox = open(&running, &which.account, &which.mailbox);
    let view = mailbox.and_then(|mailbox| mailbox.view().map_err(|error| failed(&error)));
    answer(view.map(|view| {
        let first = view.messages.count_before(which.after.saturating_add(1));
        let page = view.messages.iter_from(first).take(which.limit.unwrap_or(LIMIT_DEFAULT));
        page.map(MessageReport::of).collect::<Vec<_>>()
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    account: String,
    mailbox: String,
    uid: u32,
}

pub(super) async fn message(State(running): World, Query(one): Query<One>) -> Response {
    let mailbox = open(&running, &one.account, &one.mailbox);
    let letter = mailbox.and_then(|mailbox| mailbox.letter(one.uid).map_err(|error| failed(&error)));
    match letter {
        Ok(Some(letter)) => ([(header::CONTENT_TYPE, "message/rfc822")], letter.to_bytes()).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "no such message"),
        Err((status, text)) => problem(status, &text),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    account: String,
    mailbox: String,
    /// With a space between.
    #[serde(default)]
    flags: String,
    received: Option<Timestamp>,
}

pub(super) async fn file(State(running): World, Query(new): Query<New>, body: Bytes) -> Response {
    // In a task of its own: a client that hangs up does not leave it half done.
    match tokio::spawn(file_one(running, new, body)).await {
        Ok(outcome) => answer(outcome),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The mailbox is made if there is none of that name.
async fn file_one(running: Arc<Running>, new: New, body: Bytes) -> Result<FiledReport, Problem> {
    let (account, mailboxes) = (key(&running, &new.account)?, &running.mailboxes);
    if body.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "a message without octets is no message".to_owned()));
    }
    mailboxes.ensure_account(&account).await.map_err(|error| failed(&error))?;
    match mailboxes.open(&account, &new.mailbox) {
        Err(Error::NoMailbox(_)) => mailboxes.create(&account, &new.mailbox).await.map_err(|error| failed(&error))?,
        Err(error) => return Err(failed(&error)),
        Ok(_) => {}
    }
    let flags = read_flags(new.flags.split(' '));
    let brought = Brought { letter: Letter::new(body), flags, received: new.received };
    let filed = mailboxes.append(&account, &new.mailbox, vec![brought]).await.map_err(|error| failed(&error))?;
    let filed = filed.into_iter().next().ok_or((StatusCode::INTERNAL_SERVER_ERROR, "nothing was filed".to_owned()))?;
    Ok(FiledReport { mailbox: filed.mailbox, uid: filed.uid })
}
