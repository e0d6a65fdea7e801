//! The POP3 server session.
//!
//! ```text
//! Authorization --USER, PASS--> Checking --> Opening --> Transaction --QUIT--> Updating --> Over
//!       |  ^                      ^ |                      |    ^
//!       |  '-- Securing (STLS)    | v                      v    |
//!       '-------AUTH--------> Authenticating             Fetching (RETR, TOP)
//! ```
//!
//! Checking, Opening, Fetching, Updating and Securing wait for the owner: each has emitted one [`Event`], which one
//! method of [`Session`] answers. Messages are deleted only by QUIT; any other end of the session keeps them (RFC 1939
//! §6).

mod authorization;
mod command;
mod maildrop;
mod transaction;

use std::time::Duration;

use super::AUTOLOGOUT_TIMEOUT;
use super::lines::{Line, Lines};
use super::output_buffer::OutputBuffer;
use crate::auth::SaslServer;
use crate::journey::{Dialogue, Recorder};
use crate::mail::{Message, Side, Transcript};
use crate::net::{Machine, Next};
use command::{Command, ParseError};
use maildrop::Maildrop;

/// Maximum number of protocol errors without a success between them; one more ends the session. People who type make
/// mistakes.
const MAX_ERRORS: usize = 50;

/// Configuration of a server session.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host name in the greeting.
    pub host: String,
    /// Whether to offer STLS.
    pub starttls: bool,
    /// Printable ASCII without a comma, random for each session.
    pub nonce: String,
    /// Record a [`Transcript`].
    pub transcript: bool,
    /// Notes the conversation.
    pub recorder: Recorder,
}

/// What the owner of a session must decide, look up or do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Encrypt the stream, then call [`Session::encrypted`].
    StartTls,
    /// Look up the password of this user: [`Session::secret`].
    NeedSecret(String),
    /// Lock and list the maildrop of this authenticated user: [`Session::opened`].
    Open {
        /// The name used at login.
        user: String,
    },
    /// Read the message with this index: [`Session::message`].
    Retrieve {
        /// Its index in the list, from 0.
        index: usize,
        /// Whether the client gets the whole message, by RETR and not TOP.
        whole: bool,
    },
    /// Delete these messages and unlock the maildrop: [`Session::updated`].
    Update {
        /// Their indexes, from 0, ascending; may be empty.
        deleted: Vec<usize>,
    },
}

/// One message of an opened maildrop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its size in bytes.
    pub size: u64,
    /// Its unique id: 1 to 70 visible ASCII characters. RFC 1939 §7 (UIDL).
    pub uid: String,
}

/// Why the owner refuses a request. RFC 2449 §8, RFC 3206 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another session has locked the maildrop.
    InUse,
    /// The message was deleted by other means, such as IMAP.
    Gone,
    /// The server has no room to store the change.
    DiskFull,
    /// The message is damaged.
    Damaged,
    /// A temporary failure of the server.
    Temporary,
    /// A permanent failure of the server.
    Permanent,
}

impl Refusal {
    /// The `-ERR` line for the client, with a response code except for a message that is gone.
    fn reply(self) -> &'static str {
        match self {
            Self::InUse => "-ERR [IN-USE] Maildrop is locked by another session",
            Self::Gone => "-ERR No such message any more",
            Self::DiskFull => "-ERR [SYS/TEMP] The disk of the server is full, try again later",
            Self::Damaged => "-ERR [SYS/PERM] The message is damaged on the disk of the server",
            Self::Temporary => "-ERR [SYS/TEMP] Temporary failure, try again later",
            Self::Permanent => "-ERR [SYS/PERM] Server failure, contact the postmaster",
        }
    }
}

/// One session, from the greeting to QUIT.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    lines: Lines,
    out: OutputBuffer,
    event: Option<Event>,
    encrypted: bool,
    /// Whether the client takes headers in UTF-8. RFC 6856 §2.
    utf8: bool,
    failed_logins: usize,
    /// SASL exchanges so far: each needs its own nonce.
    exchanges: usize,
    /// Protocol errors since the last success.
    errors: usize,
    dialogue: Dialogue,
    /// In the greeting, until APOP has used it. RFC 1939 §7.
    timestamp: Option<String>,
}

/// The state of the session.
#[derive(Debug)]
enum State {
    /// RFC 1939 §4. After USER, with the name for PASS.
    Authorization { user: Option<String> },
    /// RFC 5034 §4: the next line is the response to a challenge.
    Authenticating(SaslServer),
    /// Waits for the owner to look up a password.
    Checking(SaslServer),
    /// Waits for the owner to open the maildrop.
    Opening,
    /// RFC 1939 §5: the maildrop is locked, and message numbers are fixed.
    Transaction(Maildrop),
    /// Waits for the owner to read a message; with `body_lines`, only that many lines of its body are sent.
    Fetching { maildrop: Maildrop, body_lines: Option<usize> },
    /// RFC 1939 §6: waits for the owner to delete the marked messages.
    Updating,
    /// RFC 2595 §4: waits for the TLS handshake.
    Securing,
    /// The session is over.
    Over,
}

impl Session {
    /// Starts a session with the greeting; `encrypted` means TLS from the start.
    pub fn new(config: Config, encrypted: bool) -> Self {
        let dialogue = Dialogue::new(config.transcript, config.recorder.clone());
        let timestamp = format!("<{}@{}>", config.nonce, config.host);
        let greeting = format!("+OK {} POP3 server ready {timestamp}", config.host);
        let mut session = Self {
            timestamp: Some(timestamp),
            config,
            state: State::Authorization { user: None },
            lines: Lines::default(),
            out: OutputBuffer::default(),
            event: None,
            encrypted,
            utf8: false,
            failed_logins: 0,
            exchanges: 0,
            errors: 0,
            dialogue,
        };
        session.send_line(&greeting);
        session
    }

    /// Answers [`Event::StartTls`] after the handshake; ignored if it is not pending. Earlier input is discarded (RFC
    /// 2595 §4).
    pub fn encrypted(&mut self) {
        if matches!(self.state, State::Securing) {
            self.encrypted = true;
            self.lines.clear();
            self.state = State::Authorization { user: None };
        }
    }

    /// Answers [`Event::Open`] with the messages in the maildrop, in the order of their numbers; ignored if it is not
    /// pending. After a refusal the client may log in again.
    pub fn opened(&mut self, outcome: Result<Vec<Entry>, Refusal>) {
        if !matches!(self.state, State::Opening) {
            return;
        }
        match outcome {
            Ok(entries) => {
                let maildrop = Maildrop::new(entries);
                let (count, bytes) = maildrop.totals();
                self.send_line(&format!("+OK {count} messages, {bytes} octets"));
                self.state = State::Transaction(maildrop);
            }
            Err(refusal) => {
                self.state = State::Authorization { user: None };
                self.send_error(refusal.reply());
            }
        }
    }

    /// Answers [`Event::Retrieve`] with the whole message, even for TOP, or a refusal, after which the session
    /// continues; ignored if it is not pending.
    pub fn message(&mut self, outcome: Result<&Message, Refusal>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Fetching { maildrop, body_lines } => {
                self.send_message(outcome, body_lines);
                self.state = State::Transaction(maildrop);
            }
            other => self.state = other,
        }
    }

    /// Answers [`Event::Update`]: replies `+OK` or the refusal to QUIT, and ends the session. Ignored if it is not
    /// pending.
    pub fn updated(&mut self, outcome: Result<(), Refusal>) {
        if matches!(self.state, State::Updating) {
            self.send_line(outcome.map_or_else(Refusal::reply, |()| "+OK Goodbye"));
            self.state = State::Over;
        }
    }

    /// Takes the transcript since the last call; empty unless [`Config::transcript`] is set.
    pub fn take_transcript(&mut self) -> Transcript {
        self.dialogue.take_transcript()
    }

    /// Queues a line, given without its line end, and records it; `+OK` ends a series of errors.
    fn send_line(&mut self, line: &str) {
        if line.starts_with("+OK") {
            self.errors = 0;
        }
        self.out.line(line);
        self.dialogue.note(Side::Server, line);
    }

    /// Queues the reply to a protocol error; the session ends if more than [`MAX_ERRORS`] came without an `+OK` reply
    /// between them.
    fn send_error(&mut self, reply: &str) {
        self.send_line(reply);
        self.errors += 1;
        if MAX_ERRORS < self.errors {
            self.send_line("-ERR Too many errors, closing connection");
            self.state = State::Over;
        }
    }

    /// Processes a line and records it without secrets: during AUTH the response to a challenge, else a command. A line
    /// that is too long ends AUTH with an error; an HTTP request ends the session.
    fn handle_line(&mut self, line: Line) {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong => {
                if let State::Authenticating(_) = self.state {
                    self.state = State::Authorization { user: None };
                }
                return self.send_error("-ERR Line too long");
            }
            // The rest of the request may hold commands.
            Line::Http => {
                self.send_line("-ERR This is no HTTP server, closing connection");
                self.state = State::Over;
                return;
            }
        };
        if self.dialogue.is_wanted() {
            let secret = matches!(self.state, State::Authenticating(_));
            self.dialogue.note(Side::Client, &if secret { "***".to_owned() } else { Command::shown(&line) });
        }
        if let State::Authenticating(_) = self.state {
            return self.respond(&line);
        }
        match Command::parse(&line) {
            Ok(command) => self.execute(command),
            Err(ParseError::Unknown) => self.send_error("-ERR Unknown command"),
            Err(ParseError::Arguments) => self.send_error("-ERR Invalid arguments"),
        }
    }

    /// Executes a command by the state of the session: before or after the login; ignored while the owner must answer.
    fn execute(&mut self, command: Command<'_>) {
        match (std::mem::replace(&mut self.state, State::Over), command) {
            (State::Authorization { user }, command) => self.authorize(user, command),
            (State::Transaction(maildrop), command) => self.transact(maildrop, command),
            (other, _) => self.state = other,
        }
    }

    /// Executes LANG: without a tag lists the languages; accepts `*`, `en` and `i-default`, and refuses others, since
    /// there is only English. RFC 6856 §3.
    fn language(&mut self, language: Option<&str>) {
        match language {
            None => ["+OK Language listing follows", "en English", "."].iter().for_each(|line| self.send_line(line)),
            Some(tag) if ["*", "en", "i-default"].iter().any(|known| known.eq_ignore_ascii_case(tag)) => {
                self.send_line("+OK en Language changed");
            }
            Some(_) => self.send_line("-ERR Only English is supported"),
        }
    }

    /// Executes CAPA: sends the same list before and after the login, except that STLS is in it only if it is offered
    /// and TLS is not active. RFC 2449 §5, §6.
    fn capabilities(&mut self) {
        self.send_line("+OK Capability list follows");
        self.send_line("USER");
        self.send_line(&authorization::sasl());
        if self.config.starttls && !self.encrypted {
            self.send_line("STLS");
        }
        for line in ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER", "LANG"] {
            self.send_line(line);
        }
        self.send_line(concat!("IMPLEMENTATION Postroad-", env!("CARGO_PKG_VERSION")));
        self.send_line(".");
    }
}

impl Machine for Session {
    type Event = Event;

    /// Takes input, empty at the end of the stream, which ends the session without deleting messages and is noted in
    /// its record.
    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.dialogue.recorder().hung_up();
            self.state = State::Over;
        } else if !matches!(self.state, State::Over) {
            self.lines.receive(bytes);
        }
    }

    fn next(&mut self) -> Next<Event> {
        loop {
            if self.out.is_full()
                && let Some(bytes) = self.out.take()
            {
                return Next::Send(bytes);
            }
            if let Some(event) = self.event.take() {
                return Next::Event(event);
            }
            let idle = match self.state {
                State::Over => Next::Close,
                State::Checking(_) | State::Opening | State::Fetching { .. } | State::Updating | State::Securing => {
                    Next::AwaitOwner
                }
                State::Authorization { .. } | State::Authenticating(_) | State::Transaction(_) => {
                    match self.lines.next() {
                        Some(line) => {
                            self.handle_line(line);
                            continue;
                        }
                        None => Next::Read,
                    }
                }
            };
            return self.out.take().map_or(idle, Next::Send);
        }
    }

    fn timeout(&self) -> Duration {
        AUTOLOGOUT_TIMEOUT
    }

    /// Closes the connection without a reply, as POP3 has none for a shutdown; no message is deleted.
    fn shut_down(&mut self) {
        self.state = State::Over;
    }

    /// Ends the connection without a response and without deleting messages. RFC 1939 §3.
    fn on_timeout(&mut self) {
        self.state = State::Over;
    }
}

#[cfg(test)]
mod tests;
