//! The POP3 client session.
//!
//! ```text
//! greeting -> CAPA -> [STLS -> TLS -> CAPA] -> [UTF8] -> AUTH PLAIN, or USER and PASS -> Event::Ready
//!          -> the owner's requests: list, retrieve, delete, quit             -> one event for each
//! ```
//!
//! If the server offers PIPELINING (RFC 2449 §6.6), a bounded number of commands is sent at once.

mod event;
mod reply;
mod transaction;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::AUTOLOGOUT_TIMEOUT;
use super::lines::{Line, Lines};
use super::multiline::MultilineReader;
use super::output_buffer::OutputBuffer;
use crate::auth::{Mechanism, SaslClient, line};
use crate::mail::{Side, Transcript};
use crate::net::{Machine, Next};
pub use event::{Entry, Event, Failure};
use reply::Reply;
use transaction::Transaction;

/// Maximum length of a capability list.
const MAX_CAPABILITIES_BYTES: usize = 16 * 1024;
/// Maximum length of a command. RFC 2449 §4.
const MAX_COMMAND_BYTES: usize = 255;

/// Configuration of a client session.
#[derive(Clone, Debug)]
pub struct Config {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
    /// Whether to start TLS before the login.
    pub starttls: StartTls,
    /// Maximum message size.
    pub max_message_bytes: usize,
    /// Record a [`Transcript`].
    pub transcript: bool,
}

/// When to use STLS. RFC 2595 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// Never, as on a connection with TLS from the start.
    Never,
    /// If the server offers it.
    IfOffered,
    /// Always; without it, no password is sent.
    Required,
}

/// One session, from the greeting to QUIT.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    lines: Lines,
    out: OutputBuffer,
    event: Option<Event>,
    secured: bool,
    capabilities: BTreeSet<String>,
    transcript: Option<Transcript>,
}

/// What the session waits for.
#[derive(Debug)]
enum State {
    /// The greeting. RFC 1939 §4.
    Greeting,
    /// The reply to CAPA: first its status line, then the list. RFC 2449 §5.
    Capabilities(Option<MultilineReader>),
    /// The reply to STLS.
    StartingTls,
    /// The owner's TLS handshake.
    Securing,
    /// The reply to UTF8. RFC 6856 §2.
    Utf8,
    /// The reply to USER.
    User,
    /// The reply to PASS or AUTH.
    Password,
    /// Replies to the owner's requests.
    Transaction(Transaction),
    /// The reply to the QUIT after a refused login.
    Quitting,
    /// Nothing: the session is over.
    Over,
}

impl Session {
    /// Starts a session, which waits for the greeting; `secured` means TLS from the start.
    pub fn new(config: Config, secured: bool) -> Self {
        let transcript = config.transcript.then(Transcript::default);
        Self {
            config,
            state: State::Greeting,
            lines: Lines::default(),
            out: OutputBuffer::default(),
            event: None,
            secured,
            capabilities: BTreeSet::new(),
            transcript,
        }
    }

    /// Answers [`Event::StartTls`] after the handshake: discards earlier input (RFC 2595 §4), and requests the
    /// capabilities again. Ignored if that event is not pending.
    pub fn encrypted(&mut self) {
        if matches!(self.state, State::Securing) {
            self.secured = true;
            self.lines.clear();
            self.request_capabilities();
        }
    }

    /// Requests numbers, sizes and, if the server supports them, unique ids: [`Event::Listing`]. Sends UIDL before LIST
    /// if the server offers it or has listed no capabilities. Ignored unless logged in.
    pub fn list(&mut self) {
        // A server without CAPA may support UIDL.
        let uidl = self.capabilities.is_empty() || self.capabilities.contains("UIDL");
        self.transaction(|transaction| transaction.list(uidl));
    }

    /// Requests the message with this number in the session: [`Event::Message`], or [`Event::Refused`] if the server
    /// refuses. Ignored unless logged in.
    pub fn retrieve(&mut self, number: usize) {
        self.transaction(|transaction| transaction.retrieve(number));
    }

    /// Marks the message with this number in the session for deletion by QUIT: [`Event::Deleted`], or
    /// [`Event::Refused`] if the server refuses. Ignored unless logged in.
    pub fn delete(&mut self, number: usize) {
        self.transaction(|transaction| transaction.delete(number));
    }

    /// Sends QUIT after the requests before it; the server then deletes the marked messages: [`Event::Closed`], or
    /// [`Event::Failed`] if it refuses. Ignored unless logged in.
    pub fn quit(&mut self) {
        self.transaction(Transaction::quit);
    }

    /// The transcript so far, with passwords masked; `None` unless [`Config::transcript`] is set.
    pub fn transcript(&self) -> Option<&Transcript> {
        self.transcript.as_ref()
    }

    /// Applies `ask`, which queues a request, to the transaction; does nothing before the login or after the end, which
    /// the owner knows from earlier events.
    fn transaction(&mut self, ask: impl FnOnce(&mut Transaction)) {
        if let State::Transaction(transaction) = &mut self.state {
            ask(transaction);
        }
    }

    /// Queues a command, given without its line end, and records it.
    fn send(&mut self, command: &str) {
        self.send_masked(command, command);
    }

    /// Queues a command, given without its line end, and records `shown` in its place.
    fn send_masked(&mut self, command: &str, shown: &str) {
        self.out.line(command);
        if let Some(transcript) = &mut self.transcript {
            transcript.note(Side::Client, shown);
        }
    }

    /// Sends CAPA and forgets the capabilities known so far.
    fn request_capabilities(&mut self) {
        self.capabilities.clear();
        self.send("CAPA");
        self.state = State::Capabilities(None);
    }

    /// Reports the failure to the owner and ends the session, without QUIT.
    fn fail(&mut self, failure: Failure) {
        self.event = Some(Event::Failed(failure));
        self.state = State::Over;
    }

    /// Reads one reply or a part of it and changes the state; returns whether it read any, `false` if more input or the
    /// owner is needed, or the session is over. After an error the caller ends the session.
    fn read(&mut self) -> Result<bool, Failure> {
        match &mut self.state {
            State::Securing | State::Over => Ok(false),
            State::Capabilities(Some(list)) => {
                let Some(text) = read_multiline(list, &mut self.lines, MAX_CAPABILITIES_BYTES)? else {
                    return Ok(false);
                };
                let text = String::from_utf8_lossy(&text);
                if let Some(transcript) = &mut self.transcript {
                    transcript.note_lines(Side::Server, &format!("{text}."));
                }
                self.capabilities = text.to_ascii_uppercase().lines().map(str::to_owned).collect();
                self.secure_or_login()
            }
            State::Transaction(transaction) => {
                let step = transaction.read(&mut self.lines, self.config.max_message_bytes, &mut self.transcript)?;
                if step.is_last {
                    self.state = State::Over;
                }
                self.event = step.event;
                Ok(step.progress)
            }
            _ => {
                let Some(reply) = Reply::read(&mut self.lines, &mut self.transcript)? else { return Ok(false) };
                self.advance(reply)
            }
        }
    }

    /// Processes a status line before the transaction: sends the next command or emits an event. `-ERR` to the
    /// connection or to STLS is the error; to the login it leads to [`Event::LoginRefused`] and QUIT, to CAPA or UTF8
    /// to the login without it. `Ok` is always `true`, for progress.
    fn advance(&mut self, reply: Reply) -> Result<bool, Failure> {
        let refused = |stage, text| Err(Failure::Refused { stage, text });
        match (&self.state, reply) {
            (State::Greeting, Reply::Ok(_)) => self.request_capabilities(),
            (State::Greeting, Reply::Err(text)) => return refused("the connection", text),
            (State::Capabilities(_), Reply::Ok(_)) => {
                self.state = State::Capabilities(Some(MultilineReader::default()))
            }
            (State::Capabilities(_), Reply::Err(_)) => return self.secure_or_login(),
            (State::StartingTls, Reply::Ok(_)) => {
                self.event = Some(Event::StartTls);
                self.state = State::Securing;
            }
            (State::StartingTls, Reply::Err(text)) => return refused("STLS", text),
            (State::Utf8, _) => self.log_in(),
            (State::User, Reply::Ok(_)) => {
                self.send_masked(&format!("PASS {}", self.config.password), "PASS ***");
                self.state = State::Password;
            }
            (State::Password, Reply::Ok(_)) => {
                self.event = Some(Event::Ready);
                self.state = State::Transaction(Transaction::new(self.capabilities.contains("PIPELINING")));
            }
            (State::User | State::Password, Reply::Err(text)) => self.refuse_login(text),
            (State::Quitting | State::Securing | State::Over | State::Transaction(_), _) => self.state = State::Over,
        }
        Ok(true)
    }

    /// Continues after CAPA: sends STLS if that is configured, offered and TLS is not active, else UTF8 if it is
    /// offered, else logs in. `Ok` is always `true`; the error is that TLS is required and not offered.
    fn secure_or_login(&mut self) -> Result<bool, Failure> {
        let offered = self.capabilities.contains("STLS");
        match self.config.starttls {
            StartTls::Required if !self.secured && !offered => return Err(Failure::NoTls),
            StartTls::Required | StartTls::IfOffered if !self.secured && offered => {
                self.send("STLS");
                self.state = State::StartingTls;
            }
            // Without it, the server may refuse messages whose header is in UTF-8.
            _ if self.capabilities.iter().any(|line| line == "UTF8" || line.starts_with("UTF8 ")) => {
                self.send("UTF8");
                self.state = State::Utf8;
            }
            _ => self.log_in(),
        }
        Ok(true)
    }

    /// Sends AUTH PLAIN (RFC 5034 §4) if that is offered and fits into a command line, else USER, after which PASS is
    /// sent; the transcript masks the password. A control character in name or password, which USER and PASS cannot
    /// send, counts as a refused login.
    fn log_in(&mut self) {
        let Config { user, password, .. } = &self.config;
        let plain = Mechanism::Plain.name();
        let mechanisms = self.capabilities.iter().find_map(|line| line.strip_prefix("SASL "));
        let offered = mechanisms.is_some_and(|names| names.split(' ').any(|name| name == plain));
        let response = SaslClient::new(Mechanism::Plain, user, password, "").initial().unwrap_or_default();
        let command = format!("AUTH {plain} {}", line::encode_initial(&response));
        if offered && command.len() + 2 <= MAX_COMMAND_BYTES {
            self.send_masked(&command, "AUTH PLAIN ***");
            self.state = State::Password;
        } else if user.contains(char::is_control) || password.contains(char::is_control) {
            // A line end in it would end the command, and the rest would be another command.
            self.refuse_login("the name or the password holds a control character".to_owned());
        } else {
            self.send(&format!("USER {user}"));
            self.state = State::User;
        }
    }

    /// Reports the refused login with this text to the owner, sends QUIT and waits for its reply.
    fn refuse_login(&mut self, text: String) {
        self.event = Some(Event::LoginRefused(text));
        self.send("QUIT");
        self.state = State::Quitting;
    }

    /// Sends the queued requests of the owner, as long as fewer than 32 commands are unanswered with PIPELINING, else
    /// none.
    fn send_asked(&mut self) {
        while let State::Transaction(transaction) = &mut self.state
            && let Some(command) = transaction.next_command()
        {
            self.send(&command);
        }
    }

    /// Whether the session waits for the owner: for the TLS handshake, or for a request while none is queued or
    /// unanswered.
    fn is_idle(&self) -> bool {
        match &self.state {
            State::Securing => true,
            State::Transaction(transaction) => transaction.is_idle(),
            _ => false,
        }
    }
}

/// Takes a complete multi-line response from the lines, without stuffed dots and final line; `None` until it is
/// complete. Fails with [`Failure::TooLarge`] if it has more than `max_bytes`.
fn read_multiline(gather: &mut MultilineReader, lines: &mut Lines, max_bytes: usize) -> Result<Option<Bytes>, Failure> {
    gather.read(lines.unread(), max_bytes).map_err(|_| Failure::TooLarge(max_bytes))
}

impl Machine for Session {
    type Event = Event;

    /// Takes input, empty at the end of the stream. The end is [`Failure::Closed`], except after the end of the session
    /// or while the reply to QUIT after a refused login is awaited.
    fn receive(&mut self, bytes: &[u8]) {
        match (bytes.is_empty(), &self.state) {
            (false, _) => self.lines.receive(bytes),
            (true, State::Quitting | State::Over) => self.state = State::Over,
            (true, _) => self.fail(Failure::Closed),
        }
    }

    fn next(&mut self) -> Next<Event> {
        loop {
            if let Some(event) = self.event.take() {
                return Next::Event(event);
            }
            self.send_asked();
            if let Some(bytes) = self.out.take() {
                return Next::Send(bytes);
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) if matches!(self.state, State::Over) => return Next::Close,
                Ok(false) if self.is_idle() => return Next::AwaitOwner,
                Ok(false) => return Next::Read,
                Err(failure) => self.fail(failure),
            }
        }
    }

    fn timeout(&self) -> Duration {
        AUTOLOGOUT_TIMEOUT
    }

    /// Closes without QUIT, so that nothing is deleted. RFC 1939 §6.
    fn shut_down(&mut self) {
        self.state = State::Over;
    }

    /// Closes without QUIT, so that nothing is deleted, and without an event.
    fn on_timeout(&mut self) {
        self.state = State::Over;
    }
}

#[cfg(test)]
mod tests;
