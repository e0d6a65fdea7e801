//! Fetches from a mailbox over IMAP, with async-imap.

use std::time::Duration;

use async_imap::Session;
use async_imap::imap_proto::{MailboxDatum, RequestId, Response, Status};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Desk, Error, Login, Security, Server};
use crate::net::{self, Stream};

/// How long the server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A session with one selected mailbox.
pub struct ImapMailbox {
    session: Session<Stream>,
    server: String,
    /// How many messages are there.
    pub messages: u32,
}

impl ImapMailbox {
    /// Connects, encrypts as the server's entry says, logs in and selects the mailbox.
    ///
    /// # Errors
    /// No connection, no encryption where it is asked for, the login was refused, or there is no such mailbox.
    pub async fn open(desk: &Desk, server: &Server, login: &Login, mailbox: &str) -> Result<Self, Error> {
        let mut session = session(desk, server, login).await?;
        let messages = in_time(&server.name, session.select(mailbox)).await?.exists;
        Ok(Self { session, server: server.name.clone(), messages })
    }

    /// Fetches the messages of a sequence set such as `1:*`, in order, without marking them as read.
    ///
    /// # Errors
    /// The server refused, or the connection broke; so with all that follow.
    pub async fn fetch(&mut self, set: &str, mut each: impl FnMut(u32, Bytes)) -> Result<(), Error> {
        let server = self.server.clone();
        let mut fetched = in_time(&server, self.session.fetch(set, "(UID BODY.PEEK[])")).await?;
        while let Some(message) = in_time(&server, fetched.try_next()).await? {
            if let (Some(uid), Some(body)) = (message.uid, message.body()) {
                each(uid, Bytes::copy_from_slice(body));
            }
        }
        Ok(())
    }

    /// Waits in IDLE until the mailbox holds more messages than before, or for so long. RFC 9051 §6.3.13 asks clients to
    /// begin anew after 29 minutes.
    ///
    /// # Errors
    /// As [`ImapMailbox::fetch`].
    pub async fn idle(&mut self, patience: Duration) -> Result<(), Error> {
        let server = self.server.clone();
        let id = in_time(&server, self.session.run_command("IDLE")).await?;
        let until = Instant::now() + patience;
        let before = self.messages;
        while self.messages <= before {
            let Ok(heard) = timeout_at(until, self.hear()).await else { break };
            heard?;
        }
        in_time(&server, self.session.run_command_untagged("DONE")).await?;
        while timeout(PATIENCE, self.hear()).await.unwrap_or_else(|_| Err(silent(&server)))?.as_ref() != Some(&id) {}
        Ok(())
    }

    /// The next thing that the server says; the tag if it ends a command.
    async fn hear(&mut self) -> Result<Option<RequestId>, Error> {
        let net = |why| Error::Net { server: self.server.clone(), why };
        let heard = self.session.read_response().await.map_err(|error| net(net::Error::Io(error)))?;
        let heard = heard.ok_or_else(|| net(net::Error::Closed))?;
        match heard.parsed() {
            Response::MailboxData(MailboxDatum::Exists(count)) => self.messages = *count,
            Response::Data { status: Status::Bye, .. } => return Err(net(net::Error::Closed)),
            Response::Done { tag, status: Status::Ok, .. } => return Ok(Some(tag.clone())),
            Response::Done { .. } => {
                let why = "refused a command".to_owned();
                return Err(Error::Protocol { server: self.server.clone(), why });
            }
            _ => {}
        }
        Ok(None)
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// As [`ImapMailbox::fetch`].
    pub async fn logout(mut self) -> Result<(), Error> {
        in_time(&self.server, self.session.logout()).await
    }
}

/// Watches an INBOX without opening it.
pub struct ImapWatch {
    session: Session<Stream>,
    server: String,
}

impl ImapWatch {
    /// Connects, encrypts as the server's entry says, and logs in.
    ///
    /// # Errors
    /// No connection, no encryption where it is asked for, or the login was refused.
    pub async fn open(desk: &Desk, server: &Server, login: &Login) -> Result<Self, Error> {
        Ok(Self { session: session(desk, server, login).await?, server: server.name.clone() })
    }

    /// The unique id that the next message will have. RFC 9051 §6.3.11.
    ///
    /// # Errors
    /// The server does not say, or the connection broke.
    pub async fn uid_next(&mut self) -> Result<u32, Error> {
        let status = in_time(&self.server, self.session.status("INBOX", "(UIDNEXT)")).await?;
        let silent = || Error::Protocol { server: self.server.clone(), why: "told no UIDNEXT".to_owned() };
        status.uid_next.ok_or_else(silent)
    }
}

/// Connects, encrypts, logs in.
async fn session(desk: &Desk, server: &Server, login: &Login) -> Result<Session<Stream>, Error> {
    let stream = desk.connect(server).await?;
    let name = server.name.clone();
    let mut client = async_imap::Client::new(stream);
    let greeting = in_time(&name, client.read_response()).await?;
    greeting.ok_or_else(|| Error::Net { server: name.clone(), why: net::Error::Closed })?;
    if server.security == Security::Upgrade {
        in_time(&name, client.run_command_and_check_ok("STARTTLS", None)).await?;
        let mut stream = client.into_inner();
        let shake = stream.connect_tls(&desk.trust, &name).await;
        shake.map_err(|why| Error::Net { server: name.clone(), why })?;
        client = async_imap::Client::new(stream);
    }
    let refused = |why: String| Error::Login { server: name.clone(), user: login.user.clone(), why };
    match timeout(PATIENCE, client.login(&login.user, &login.password)).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err((error, _))) => Err(refused(said(&error.to_string()))),
        Err(_) => Err(refused(format!("no answer within {PATIENCE:?}"))),
    }
}

/// The server's own words where it refused something; the library has them in the form for its developers,
/// `no response: code: None, info: Some("the words")`.
fn said(error: &str) -> String {
    let words = error.split_once("info: Some(\"").and_then(|(_, words)| words.strip_suffix("\")"));
    words.unwrap_or(error).replace("\\\"", "\"")
}

fn silent(server: &str) -> Error {
    Error::Protocol { server: server.to_owned(), why: format!("no answer within {PATIENCE:?}") }
}

async fn in_time<T, E>(server: &str, answer: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    E: std::fmt::Display,
{
    let protocol = |why: String| Error::Protocol { server: server.to_owned(), why };
    match timeout(PATIENCE, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(protocol(said(&error.to_string()))),
        Err(_) => Err(silent(server)),
    }
}
