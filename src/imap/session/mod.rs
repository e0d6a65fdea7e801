//! The server side of an IMAP session. RFC 9051 §3.
//!
//! ```text
//! NotAuthenticated --AUTHENTICATE--> Authenticating --> Checking --> Opening --OK--> Ready(Authenticated)
//!    |  ^   '------------LOGIN-----------------------------^                              |   ^
//!    |  '-- Securing (STARTTLS)                                                SELECT, OK |   | CLOSE, UNSELECT
//!    '--LOGOUT--> Over <-- BYE                                                            v   |
//!                                 Idling <--IDLE, DONE--> Answering <-------- Ready(Selected)
//! ```
//!
//! Checking, Opening, Securing and Answering wait for the owner: each has emitted one [`Event`], and one method of
//! [`Session`] answers it. One command is in progress at a time; later ones wait in the input.

mod command;
mod compress;
mod login;
mod reply;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::auth::SaslServer;
use crate::imap::command::Request;
use crate::imap::parse::{Limits, Reader};
use crate::imap::sync::Enabled;
use crate::imap::write::ResponseBuffer;
use crate::journey::{Dialogue, Recorder};
use crate::mail::Transcript;
use crate::net::{Machine, Next, UploadBudget, UploadShare};

use compress::Compressed;
pub use reply::Reply;

/// Most consecutive `BAD` replies; the next one closes the session. People who type make mistakes.
const MAX_BAD_COMMANDS: usize = 50;
/// Longest command without its literals. RFC 7162 §4 requires at least 8 KiB.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// Most bytes of the literals of one command, except `APPEND` and `REPLACE`.
const MAX_LITERALS_BYTES: usize = 64 * 1024;
/// Most steps by which input is inflated before other sessions have their turn: 64 KiB.
const MAX_INFLATE_STEPS: usize = 4;
/// Output is sent at this size, before anything else is done.
const OUTPUT_FULL_BYTES: usize = 64 * 1024;
/// How long a client may take to log in, or to read output.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(3 * 60);
/// The autologout timer. RFC 9051 §5.4: at least 30 minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(31 * 60);

/// The configuration of a session.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The name in the greeting.
    pub host: String,
    /// Whether to offer STARTTLS.
    pub starttls: bool,
    /// Whether passwords may be sent without TLS; if not, `LOGINDISABLED` is announced until TLS is active.
    pub cleartext_login: bool,
    /// The largest message that `APPEND` accepts, in bytes.
    pub max_message_bytes: usize,
    /// A fresh random value per session, printable ASCII without a comma.
    pub nonce: String,
    /// Whether to keep a [`Transcript`].
    pub record: bool,
    /// Notes the conversation.
    pub recorder: Recorder,
    /// The memory for messages that are being received, shared with other connections.
    pub uploads: UploadBudget,
}

/// A request to the owner of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Encrypt the stream, then call [`Session::encrypted`].
    StartTls,
    /// Look up the password of this user: [`Session::secret`].
    NeedSecret(String),
    /// Open the mailboxes of this authenticated user: [`Session::opened`].
    Open {
        /// The name used at login.
        user: String,
    },
    /// Execute this: write untagged responses to [`Session::out`], then call [`Session::done`]; for [`Request::Idle`],
    /// call [`Session::idle`].
    Request(Request),
    /// The client ends its IDLE: call [`Session::done`] with this.
    IdleEnd(Reply),
}

/// One session, from the greeting to `BYE`.
pub struct Session {
    config: SessionConfig,
    state: State,
    reader: Reader,
    out: ResponseBuffer,
    event: Option<Event>,
    encrypted: bool,
    /// Set once the client has enabled compression. RFC 4978.
    compressed: Option<Box<Compressed>>,
    enabled: Enabled,
    /// Close as soon as no command is in progress.
    stopping: bool,
    attempts: usize,
    failed_logins: usize,
    bad_commands: usize,
    /// The memory that the command in progress takes.
    upload: Option<UploadShare>,
    /// Not all input was inflated, so that other sessions have their turn.
    is_inflating: bool,
}

/// The state of the session.
enum State {
    /// RFC 9051 §3.1.
    NotAuthenticated,
    /// RFC 9051 §6.2.2: the next line is the response to a challenge.
    Authenticating { tag: String, exchange: SaslServer },
    /// The owner looks up a password.
    Checking { tag: String, exchange: SaslServer },
    /// The owner opens the user's mailboxes.
    Opening { tag: String },
    /// RFC 9051 §6.2.1: the owner performs the TLS handshake.
    Securing,
    /// Logged in, waiting for a command.
    Ready(SessionState),
    /// The owner executes a command.
    Answering(PendingCommand),
    /// The owner reports changes until the client ends IDLE. RFC 9051 §6.3.13.
    Idling(PendingCommand),
    /// Closed; nothing more is read. RFC 9051 §3.4.
    Over,
}

/// The state of a logged-in session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SessionState {
    /// No mailbox is selected. RFC 9051 §3.2.
    Authenticated,
    /// A mailbox is selected. RFC 9051 §3.3.
    Selected,
}

/// A command in progress.
struct PendingCommand {
    tag: String,
    /// The state after `OK`.
    after: SessionState,
    /// The state after `NO` or `BAD`.
    otherwise: SessionState,
}

impl Session {
    /// Begins a session with the greeting of the server; `encrypted` is whether TLS is active already (implicit TLS).
    pub fn new(config: SessionConfig, encrypted: bool) -> Self {
        let mut out = ResponseBuffer::default();
        out.record(Dialogue::new(config.record, config.recorder.clone()));
        let mut session = Self {
            state: State::NotAuthenticated,
            reader: Reader::new(config.uploads.clone()),
            upload: None,
            is_inflating: false,
            out,
            event: None,
            encrypted,
            compressed: None,
            enabled: Enabled::default(),
            stopping: false,
            attempts: 0,
            failed_logins: 0,
            bad_commands: 0,
            config,
        };
        let capabilities = session.capabilities();
        let Session { out, config, .. } = &mut session;
        out.text("* OK [CAPABILITY").text(&capabilities).text("] ").line_text(&config.host).text(" ready").end();
        session
    }

    /// Returns the buffer into which the owner writes untagged responses: while it executes a command, and during IDLE.
    pub fn out(&mut self) -> &mut ResponseBuffer {
        &mut self.out
    }

    /// Sets the limit of `APPEND`, for when the mailboxes were opened: their host may have another limit than the host
    /// that the client connected to.
    pub fn limit_append(&mut self, max_bytes: usize) {
        self.config.max_message_bytes = max_bytes;
    }

    /// Returns the size in bytes of the largest message that `APPEND` accepts, capped to an IMAP number. RFC 7889 §5.
    pub fn append_limit(&self) -> u32 {
        self.config.max_message_bytes.try_into().unwrap_or(u32::MAX)
    }

    /// Returns whether the client is in IDLE, so that changes may be sent at any time.
    pub fn is_idling(&self) -> bool {
        matches!(self.state, State::Idling(_))
    }

    /// Returns the extensions that the client has enabled.
    pub fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// Enables CONDSTORE, as a command that [implies it](Request::enables_condstore) does; returns whether it was not
    /// enabled before. RFC 7162 §3.1.
    pub fn enable_condstore(&mut self) -> bool {
        !std::mem::replace(&mut self.enabled.condstore, true)
    }

    /// Returns the recorder of [`SessionConfig::recorder`], which notes the conversation.
    pub fn recorder(&self) -> &Recorder {
        &self.config.recorder
    }

    /// Takes the transcript since the last call, without passwords and messages; empty unless [`SessionConfig::record`]
    /// is set.
    pub fn take_transcript(&mut self) -> Transcript {
        self.out.dialogue_mut().take_transcript()
    }

    /// Returns the limits for reading the next command; before the login, messages are limited like other literals.
    fn limits(&self) -> Limits {
        let message = match self.state {
            State::Ready(_) => self.config.max_message_bytes,
            // APPEND needs a login.
            _ => MAX_LITERALS_BYTES,
        };
        Limits { line: MAX_LINE_BYTES, message, literals: MAX_LITERALS_BYTES }
    }

    /// Writes `BYE` with this text, and ends the session: nothing more is read, and the stream is closed once all
    /// output was sent. Does nothing if the session is over already. RFC 9051 §7.1.5.
    fn bye(&mut self, why: &str) {
        if !matches!(self.state, State::Over) {
            self.out.text("* BYE ").text(why).end();
            self.state = State::Over;
        }
    }

    /// Reads and processes the next line of the input during AUTHENTICATE and IDLE, else the next command. Returns
    /// `false` when more bytes or an answer of the owner are needed, or the session is over.
    fn read(&mut self) -> bool {
        match self.state {
            State::Authenticating { .. } | State::Idling(_) => self.read_line(),
            State::NotAuthenticated | State::Ready(_) => self.read_command(),
            State::Checking { .. } | State::Opening { .. } | State::Securing => false,
            State::Answering(_) | State::Over => false,
        }
    }

    /// Reads a line that is not a command, and handles it: a SASL response, or the end of IDLE. Returns `false` when
    /// more bytes are needed; a line longer than `MAX_LINE_BYTES` ends the session with `BYE`.
    fn read_line(&mut self) -> bool {
        let line = match self.reader.line(MAX_LINE_BYTES) {
            Ok(Some(line)) => line,
            Ok(None) => return false,
            Err(_) => {
                self.bye("Line too long");
                return true;
            }
        };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Authenticating { tag, exchange } => self.respond(tag, exchange, &line),
            State::Idling(pending) => self.end_idle(pending, &line),
            other => self.state = other,
        }
        true
    }
}

impl Machine for Session {
    type Event = Event;

    /// Takes bytes of the client, compressed ones if it has enabled that; none mean the end of the stream, which ends
    /// the session at once, without `BYE`.
    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.config.recorder.hung_up();
            self.state = State::Over;
        } else if let Some(compressed) = &mut self.compressed {
            compressed.receive(bytes);
        } else if !matches!(self.state, State::Over) {
            self.reader.receive(bytes);
        }
    }

    /// Returns output as soon as there are `OUTPUT_FULL_BYTES`, else the event, else reads input, inflated in at most
    /// `MAX_INFLATE_STEPS` steps, and then returns what output is left. Without any, releases memory, and returns what
    /// the session waits for, or that it is over.
    fn next(&mut self) -> Next<Event> {
        let mut steps = 0;
        self.is_inflating = false;
        loop {
            if OUTPUT_FULL_BYTES <= self.out.len()
                && let Some(bytes) = self.outgoing()
            {
                return Next::Send(bytes);
            }
            if let Some(event) = self.event.take() {
                return Next::Event(event);
            }
            if self.read() {
                continue;
            }
            self.is_inflating = MAX_INFLATE_STEPS <= steps;
            if !self.is_inflating && self.inflate() {
                steps += 1;
                continue;
            }
            if let Some(bytes) = self.outgoing() {
                return Next::Send(bytes);
            }
            if matches!(self.state, State::NotAuthenticated | State::Ready(_)) {
                self.upload = None;
            }
            self.release_memory();
            return match self.state {
                State::Over => Next::Close,
                State::Checking { .. } | State::Opening { .. } | State::Securing | State::Answering(_) => {
                    Next::AwaitOwner
                }
                State::NotAuthenticated | State::Authenticating { .. } => Next::Read,
                State::Ready(_) | State::Idling(_) => Next::Read,
            };
        }
    }

    /// Returns whether the last call of `next` stopped before all compressed input was inflated, so that other sessions
    /// have their turn.
    fn has_input(&self) -> bool {
        self.is_inflating
    }

    /// Returns how long to wait for the client: `IDLE_TIMEOUT` in IDLE and while a logged-in client sends no command,
    /// else `LOGIN_TIMEOUT`, also while a command is answered.
    fn timeout(&self) -> Duration {
        match self.state {
            State::Ready(_) | State::Idling(_) => IDLE_TIMEOUT,
            _ => LOGIN_TIMEOUT,
        }
    }

    /// Writes `BYE` and ends the session at once while it waits for the client, also during AUTHENTICATE and IDLE.
    /// While it waits for the owner, the answer of the owner ends it. RFC 9051 §7.1.5.
    fn shut_down(&mut self) {
        self.stopping = true;
        match self.state {
            State::NotAuthenticated | State::Authenticating { .. } | State::Ready(_) | State::Idling(_) => {
                self.bye("Server shutting down");
            }
            State::Checking { .. } | State::Opening { .. } | State::Securing => {}
            State::Answering(_) | State::Over => {}
        }
    }

    /// Writes `BYE` and ends the session, unless it is over. RFC 9051 §5.4.
    fn on_timeout(&mut self) {
        if !matches!(self.state, State::Over) {
            self.bye("Autologout, idle for too long");
        }
    }
}
