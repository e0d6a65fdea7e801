//! Fetches messages from a mailbox over IMAP, with async-imap.

use std::io::ErrorKind;
use std::time::Duration;

use async_imap::Session;
use async_imap::imap_proto::{MailboxDatum, RequestId, Response, Status};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::recording::{Recorded, Recording};
use super::{ClientContext, Error, Login, Security, Server};
use crate::mail::Transcript;
use crate::net;

/// Time limit for one response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest greeting that is read.
const MAX_GREETING_BYTES: usize = 8192;
/// How much of the greeting of another protocol is shown.
const MAX_SHOWN_CHARS: usize = 100;

/// A session with one selected mailbox.
pub struct ImapMailbox {
    session: Session<Recorded>,
    server: String,
    recording: Option<Recording>,
    /// The number of messages.
    pub messages: u32,
}

impl ImapMailbox {
    /// Connects, encrypts as configured, logs in and selects the mailbox.
    ///
    /// # Errors
    /// The connection failed, required encryption is not available, the login was refused, or the mailbox does not
    /// exist.
    pub async fn open(context: &ClientContext, server: &Server, login: &Login, mailbox: &str) -> Result<Self, Error> {
        let recording = context.transcripts.then(Recording::default);
        let mut session = session(context, server, login, recording.clone()).await?;
        let messages = with_timeout(&server.name, session.select(mailbox)).await?.exists;
        Ok(Self { session, server: server.name.clone(), recording, messages })
    }

    /// Fetches the messages of a set of sequence numbers such as `1:*`, in order, without marking them as read; calls
    /// `each` with the unique id and the bytes.
    ///
    /// # Errors
    /// The server refused, or the connection failed.
    pub async fn fetch(&mut self, set: &str, mut each: impl FnMut(u32, Bytes)) -> Result<(), Error> {
        let server = self.server.clone();
        let mut fetched = with_timeout(&server, self.session.fetch(set, "(UID BODY.PEEK[])")).await?;
        while let Some(message) = with_timeout(&server, fetched.try_next()).await? {
            if let (Some(uid), Some(body)) = (message.uid, message.body()) {
                each(uid, Bytes::copy_from_slice(body));
            }
        }
        Ok(())
    }

    /// Waits in IDLE until the mailbox has more messages than before, at most for `wait`. RFC 9051 §6.3.13 recommends
    /// to restart IDLE after 29 minutes.
    ///
    /// # Errors
    /// As [`ImapMailbox::fetch`].
    pub async fn idle(&mut self, wait: Duration) -> Result<(), Error> {
        let server = self.server.clone();
        let id = with_timeout(&server, self.session.run_command("IDLE")).await?;
        let until = Instant::now() + wait;
        let before = self.messages;
        while self.messages <= before {
            let Ok(response) = timeout_at(until, self.read_response()).await else { break };
            response?;
        }
        with_timeout(&server, self.session.run_command_untagged("DONE")).await?;
        while timeout(RESPONSE_TIMEOUT, self.read_response())
            .await
            .unwrap_or_else(|_| Err(no_answer(&server)))?
            .as_ref()
            != Some(&id)
        {}
        Ok(())
    }

    /// Reads one response, and takes a new number of messages from it; returns the tag if it completes a command with
    /// OK, otherwise `None`. BYE, the end of the connection and a refused command are errors.
    async fn read_response(&mut self) -> Result<Option<RequestId>, Error> {
        let net = |why| Error::Net { server: self.server.clone(), why };
        let response = self.session.read_response().await.map_err(|error| net(net::Error::Io(error)))?;
        let response = response.ok_or_else(|| net(net::Error::Closed))?;
        match response.parsed() {
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

    /// Logs out. Returns the transcript, empty unless it is recorded.
    ///
    /// # Errors
    /// As [`ImapMailbox::fetch`].
    pub async fn logout(mut self) -> Result<Transcript, Error> {
        with_timeout(&self.server, self.session.logout()).await?;
        Ok(self.recording.map(|recording| recording.transcript()).unwrap_or_default())
    }
}

/// Watches an INBOX without selecting it.
pub struct ImapWatch {
    session: Session<Recorded>,
    server: String,
}

impl ImapWatch {
    /// Connects, encrypts as configured, and logs in. No mailbox is selected.
    ///
    /// # Errors
    /// The connection failed, required encryption is not available, or the login was refused.
    pub async fn open(context: &ClientContext, server: &Server, login: &Login) -> Result<Self, Error> {
        Ok(Self { session: session(context, server, login, None).await?, server: server.name.clone() })
    }

    /// The unique id that the next message in INBOX will have. RFC 9051 §6.3.11.
    ///
    /// # Errors
    /// The server does not return it, or the connection failed.
    pub async fn uid_next(&mut self) -> Result<u32, Error> {
        let status = with_timeout(&self.server, self.session.status("INBOX", "(UIDNEXT)")).await?;
        let missing = || Error::Protocol { server: self.server.clone(), why: "returned no UIDNEXT".to_owned() };
        status.uid_next.ok_or_else(missing)
    }
}

/// Connects, reads the greeting, encrypts as configured, and logs in. With [`Security::UpgradeIfOffered`], STARTTLS is
/// required, too. Records what is said if there is a recording.
async fn session(
    context: &ClientContext,
    server: &Server,
    login: &Login,
    recording: Option<Recording>,
) -> Result<Session<Recorded>, Error> {
    let stream = context.connect(server).await?;
    let name = server.name.clone();
    let mut stream = Recorded { stream, recording };
    greeting(&mut stream, &name).await?;
    let mut client = async_imap::Client::new(stream);
    // Every server offers it: RFC 9051 §11.1.
    if matches!(server.security, Security::Upgrade | Security::UpgradeIfOffered) {
        with_timeout(&name, client.run_command_and_check_ok("STARTTLS", None)).await?;
        let mut stream = client.into_inner();
        let shake = stream.stream.connect_tls(&context.trust, &name).await;
        shake.map_err(|why| Error::Net { server: name.clone(), why })?;
        client = async_imap::Client::new(stream);
    }
    let refused = |why: String| Error::Login { server: name.clone(), user: login.user.clone(), why };
    match timeout(RESPONSE_TIMEOUT, client.login(&login.user, &login.password)).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err((error, _))) => Err(refused(server_text(&error.to_string()))),
        Err(_) => Err(refused(format!("no answer within {RESPONSE_TIMEOUT:?}"))),
    }
}

/// Reads and checks the greeting, and nothing of what follows it: of another protocol's, async-imap shows all octets as
/// numbers. RFC 9051 §7.1.
async fn greeting(stream: &mut Recorded, server: &str) -> Result<(), Error> {
    let protocol = |why: String| Error::Protocol { server: server.to_owned(), why };
    let line = timeout(RESPONSE_TIMEOUT, first_line(stream)).await.map_err(|_| no_answer(server))?;
    let line = line.map_err(|why| Error::Net { server: server.to_owned(), why })?;
    let words = line.strip_prefix("* ").and_then(|words| words.split_once(' ')).unwrap_or_default();
    match words {
        (status, _) if ["OK", "PREAUTH"].iter().any(|word| status.eq_ignore_ascii_case(word)) => Ok(()),
        (status, text) if status.eq_ignore_ascii_case("BYE") => {
            Err(protocol(format!("refused the connection: {text}")))
        }
        _ => {
            let start: String = line.chars().take(MAX_SHOWN_CHARS).collect();
            let more = if start.len() < line.len() { "…" } else { "" };
            Err(protocol(format!("does not speak IMAP; it began with `{start}{more}`")))
        }
    }
}

/// The first line of a connection, without its end; cut at [`MAX_GREETING_BYTES`].
async fn first_line(stream: &mut Recorded) -> Result<String, net::Error> {
    let mut line = Vec::new();
    while line.len() < MAX_GREETING_BYTES {
        let byte = stream.read_u8().await.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof if line.is_empty() => net::Error::Closed,
            _ => net::Error::Io(error),
        });
        match byte? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
}

/// The text of a refusal, extracted from an error of async-imap such as `no response: code: None, info: Some("the
/// text")`; an error of another form is returned whole.
fn server_text(error: &str) -> String {
    let text = error.split_once("info: Some(\"").and_then(|(_, text)| text.strip_suffix("\")"));
    text.unwrap_or(error).replace("\\\"", "\"")
}

/// The error that this server did not answer within [`RESPONSE_TIMEOUT`].
fn no_answer(server: &str) -> Error {
    Error::Protocol { server: server.to_owned(), why: format!("no answer within {RESPONSE_TIMEOUT:?}") }
}

/// Waits for the result of a request, up to [`RESPONSE_TIMEOUT`]; a refusal, a failure and a missing answer become
/// errors that name the server.
async fn with_timeout<T, E>(server: &str, answer: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    E: std::fmt::Display,
{
    let protocol = |why: String| Error::Protocol { server: server.to_owned(), why };
    match timeout(RESPONSE_TIMEOUT, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(protocol(server_text(&error.to_string()))),
        Err(_) => Err(no_answer(server)),
    }
}
