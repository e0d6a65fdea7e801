//! The server end of a conversation. RFC 9051 §3.
//!
//! ```text
//! NotAuthenticated --AUTHENTICATE--> Authenticating --> Checking --> Opening --OK--> Standing(Authenticated)
//!    |  ^   '------------LOGIN-----------------------------^                              |   ^
//!    |  '-- Securing (STARTTLS)                                                SELECT, OK |   | CLOSE, UNSELECT
//!    '--LOGOUT--> Over <-- BYE                                                            v   |
//!                                 Idling <--IDLE, DONE--> Answering <-------- Standing(Selected)
//! ```
//!
//! Checking, Opening, Securing and Answering wait for the owner: each has put out one [`Event`], and one method of
//! [`Session`] answers it. One command is in progress at a time; what the client sends meanwhile waits.

mod command;
mod compress;
mod login;
mod reply;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::auth::Exchange;
use crate::imap::command::Request;
use crate::imap::parse::{Limits, Reader};
use crate::imap::sync::Enabled;
use crate::imap::write::Out;
use crate::mail::Dialogue;
use crate::net::{Machine, Next};

use compress::Compressed;
pub use reply::Reply;

/// Commands in a row that make no sense; one more ends the session.
const BLUNDERS_MAX: usize = 10;
/// A command without its literals. RFC 7162 §4 asks for 8 KiB at least.
const LINE_OCTETS_MAX: usize = 64 * 1024;
/// All literals of a command but `APPEND`.
const LITERALS_OCTETS_MAX: usize = 64 * 1024;
/// So much waits to be sent before it is sent, whatever else there is to do.
const OUT_OCTETS_FULL: usize = 64 * 1024;
/// How long a client may take to log in, or to read.
const LOGIN_PATIENCE: Duration = Duration::from_secs(3 * 60);
/// RFC 9051 §5.4: at least 30 minutes.
const PATIENCE: Duration = Duration::from_secs(31 * 60);

/// What a session must know of its host.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The name in the greeting.
    pub host: String,
    /// Whether to offer STARTTLS.
    pub starttls: bool,
    /// Whether passwords may pass unencrypted; if not, `LOGINDISABLED` is announced until TLS is active.
    pub cleartext_login: bool,
    /// The largest message that `APPEND` takes, in octets.
    pub message_octets_max: usize,
    /// Drawn new for each session, printable ASCII without a comma.
    pub nonce: String,
    /// Keep a [`Dialogue`].
    pub record: bool,
}

/// What the owner of a session decides or knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Encrypt the stream, then call [`Session::encrypted`].
    StartTls,
    /// Look up the password of this user: [`Session::secret`].
    Who(String),
    /// Open the mailboxes of this user, who has proven to be that: [`Session::opened`].
    Open {
        /// The name used at login.
        user: String,
    },
    /// Answer this with untagged replies into [`Session::out`], then [`Session::done`]; for [`Request::Idle`], with
    /// [`Session::idle`].
    Request(Request),
    /// The client ends its IDLE: [`Session::done`].
    IdleEnd,
}

/// One session, from the greeting to the goodbye.
pub struct Session {
    setup: Setup,
    state: State,
    reader: Reader,
    out: Out,
    event: Option<Event>,
    encrypted: bool,
    /// Once the client has asked for it. RFC 4978.
    compressed: Option<Box<Compressed>>,
    enabled: Enabled,
    /// Say goodbye as soon as no command is in progress.
    stopping: bool,
    attempts: usize,
    denials: usize,
    blunders: usize,
}

/// Where the session stands, with what is valid there.
enum State {
    /// RFC 9051 §3.1: who is it?
    NotAuthenticated,
    /// RFC 9051 §6.2.2: the next line answers a challenge.
    Authenticating { tag: String, exchange: Exchange },
    /// The owner looks up a password.
    Checking { tag: String, exchange: Exchange },
    /// The owner opens the user's mailboxes.
    Opening { tag: String },
    /// RFC 9051 §6.2.1: the owner shakes hands.
    Securing,
    /// The user is known; the next command may come.
    Standing(Standing),
    /// The owner answers a command.
    Answering(Asked),
    /// The owner tells what changes until the client is done. RFC 9051 §6.3.13.
    Idling(Asked),
    /// Nothing more is read. RFC 9051 §3.4.
    Over,
}

/// Where a user stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// No mailbox is selected. RFC 9051 §3.2.
    Authenticated,
    /// A mailbox is selected. RFC 9051 §3.3.
    Selected,
}

/// A command in progress.
struct Asked {
    tag: String,
    /// Where the session stands after `OK`.
    after: Standing,
    /// Where it stands after `NO` or `BAD`.
    otherwise: Standing,
}

impl Session {
    /// Greets a client; `encrypted` says that the connection is TLS from the start.
    pub fn new(setup: Setup, encrypted: bool) -> Self {
        let mut out = Out::default();
        if setup.record {
            out.record(Dialogue::default());
        }
        let mut session = Self {
            setup,
            state: State::NotAuthenticated,
            reader: Reader::new(),
            out,
            event: None,
            encrypted,
            compressed: None,
            enabled: Enabled::default(),
            stopping: false,
            attempts: 0,
            denials: 0,
            blunders: 0,
        };
        let capabilities = session.capabilities();
        let Session { out, setup, .. } = &mut session;
        out.text("* OK [CAPABILITY").text(&capabilities).text("] ").line_text(&setup.host).text(" ready").end();
        session
    }

    /// Where untagged replies go while a command is answered, and while the client idles.
    pub fn out(&mut self) -> &mut Out {
        &mut self.out
    }

    /// From now on `APPEND` takes messages of so many octets: where the mailboxes of the user are may differ from where
    /// the client has connected.
    pub fn limit_append(&mut self, octets_max: usize) {
        self.setup.message_octets_max = octets_max;
    }

    /// The largest message that `APPEND` takes, as far as a number of IMAP can tell. RFC 7889 §5.
    pub fn append_limit(&self) -> u32 {
        self.setup.message_octets_max.try_into().unwrap_or(u32::MAX)
    }

    /// Whether the client waits for news, so that the owner may tell them as they come.
    pub fn is_idling(&self) -> bool {
        matches!(self.state, State::Idling(_))
    }

    /// What the client has enabled.
    pub fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// The client has asked for modification sequences; whether that is new. RFC 7162 §3.1.
    pub fn enable_condstore(&mut self) -> bool {
        !std::mem::replace(&mut self.enabled.condstore, true)
    }

    /// What was said since the last call, without passwords and messages, if [`Setup::record`] asks for it.
    pub fn take_dialogue(&mut self) -> Dialogue {
        self.out.dialogue_mut().map(std::mem::take).unwrap_or_default()
    }

    fn limits(&self) -> Limits {
        let message = match self.state {
            State::Standing(_) => self.setup.message_octets_max,
            // Nobody appends before login.
            _ => LITERALS_OCTETS_MAX,
        };
        Limits { line: LINE_OCTETS_MAX, message, literals: LITERALS_OCTETS_MAX }
    }

    /// RFC 9051 §7.1.5.
    fn bye(&mut self, why: &str) {
        self.out.text("* BYE ").text(why).end();
        self.state = State::Over;
    }

    /// Reads on; `false` when there is nothing to do before more bytes come.
    fn read(&mut self) -> bool {
        match self.state {
            State::Authenticating { .. } | State::Idling(_) => self.read_line(),
            State::NotAuthenticated | State::Standing(_) => self.read_command(),
            State::Checking { .. } | State::Opening { .. } | State::Securing => false,
            State::Answering(_) | State::Over => false,
        }
    }

    /// Takes a line that is not a command.
    fn read_line(&mut self) -> bool {
        let line = match self.reader.line(LINE_OCTETS_MAX) {
            Ok(Some(line)) => line,
            Ok(None) => return false,
            Err(_) => {
                self.bye("the line is too long");
                return true;
            }
        };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Authenticating { tag, exchange } => self.respond(tag, exchange, &line),
            State::Idling(asked) => self.end_idle(asked, &line),
            other => self.state = other,
        }
        true
    }
}

impl Machine for Session {
    type Event = Event;

    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.state = State::Over;
        } else if let Some(compressed) = &mut self.compressed {
            compressed.receive(bytes);
        } else if !matches!(self.state, State::Over) {
            self.reader.receive(bytes);
        }
    }

    fn next(&mut self) -> Next<Event> {
        loop {
            if OUT_OCTETS_FULL <= self.out.len()
                && let Some(bytes) = self.outgoing()
            {
                return Next::Send(bytes);
            }
            if let Some(event) = self.event.take() {
                return Next::Event(event);
            }
            if self.read() || self.inflate() {
                continue;
            }
            if let Some(bytes) = self.outgoing() {
                return Next::Send(bytes);
            }
            self.rest();
            return match self.state {
                State::Over => Next::Close,
                State::Checking { .. } | State::Opening { .. } | State::Securing | State::Answering(_) => Next::Answer,
                State::NotAuthenticated | State::Authenticating { .. } => Next::Read,
                State::Standing(_) | State::Idling(_) => Next::Read,
            };
        }
    }

    fn patience(&self) -> Duration {
        match self.state {
            State::Standing(_) | State::Idling(_) => PATIENCE,
            _ => LOGIN_PATIENCE,
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        match self.state {
            State::NotAuthenticated | State::Authenticating { .. } | State::Standing(_) | State::Idling(_) => {
                self.bye("the server goes down");
            }
            State::Checking { .. } | State::Opening { .. } | State::Securing => {}
            State::Answering(_) | State::Over => {}
        }
    }

    /// RFC 9051 §5.4.
    fn expire(&mut self) {
        if !matches!(self.state, State::Over) {
            self.bye("you were silent for too long");
        }
    }
}
