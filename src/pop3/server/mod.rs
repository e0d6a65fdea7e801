//! The server end: one session at a maildrop.
//!
//! ```text
//! Authorization --USER, PASS--> Checking --> Opening --> Transaction --QUIT--> Updating --> Over
//!       |  ^                      ^ |                      |    ^
//!       |  '-- Securing (STLS)    | v                      v    |
//!       '-------AUTH--------> Authenticating             Fetching (RETR, TOP)
//! ```
//!
//! Checking, Opening, Fetching, Updating and Securing wait for the owner: each has put out one [`Event`], and one method
//! of [`Session`] answers it. Messages are deleted only by QUIT; any other end leaves all of them (RFC 1939 §6).

mod authorization;
mod command;
mod maildrop;
mod transaction;

use std::time::Duration;

use super::PATIENCE;
use super::lines::{Line, Lines};
use super::outgoing::Outgoing;
use crate::auth::Exchange;
use crate::mail::{Dialogue, Letter, Speaker};
use crate::net::{Machine, Next};
use command::{Command, Unreadable};
use maildrop::Maildrop;

/// Lines that are no command; one more ends the session.
const BLUNDERS_MAX: usize = 10;

/// What a session must know of its host.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The name in the greeting.
    pub host: String,
    /// Whether to offer STLS.
    pub starttls: bool,
    /// Drawn new for each session, printable ASCII without a comma.
    pub nonce: String,
    /// Keep a [`Dialogue`].
    pub record: bool,
}

/// What the owner of a session decides or knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Encrypt the stream, then call [`Session::encrypted`].
    StartTls,
    /// Look up the password of this user: [`Session::secret`].
    Who(String),
    /// Lock and list the maildrop of this user, who has proven to be that: [`Session::opened`].
    Open {
        /// The name used at login.
        user: String,
    },
    /// Fetch the message at this place of the list: [`Session::message`].
    Retrieve {
        /// Its place, from 0.
        index: usize,
        /// RETR: the client gets all of it; TOP only shows what it is.
        whole: bool,
    },
    /// Delete these, for good, and unlock the maildrop: [`Session::updated`].
    Update {
        /// Their places, from 0, ascending; may be empty.
        deleted: Vec<usize>,
    },
}

/// One message of an opened maildrop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its size in octets.
    pub size: u64,
    /// Its name in all sessions: 1 to 70 visible ASCII characters. RFC 1939 §7 (UIDL).
    pub uid: String,
}

/// Why the owner cannot do what is asked. RFC 2449 §8, RFC 3206 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another session holds the maildrop.
    InUse,
    /// The message went away by another door, such as IMAP.
    Gone,
    /// Something of ours failed; later it may work.
    Temporary,
    /// Something of ours fails, and will until somebody repairs it.
    Permanent,
}

impl Refusal {
    fn reply(self) -> &'static str {
        match self {
            Self::InUse => "-ERR [IN-USE] another session holds this maildrop",
            Self::Gone => "-ERR this message is gone",
            Self::Temporary => "-ERR [SYS/TEMP] not possible now, try again later",
            Self::Permanent => "-ERR [SYS/PERM] not possible, tell the postmaster",
        }
    }
}

/// One session, from the greeting to the goodbye.
#[derive(Debug)]
pub struct Session {
    setup: Setup,
    state: State,
    lines: Lines,
    out: Outgoing,
    event: Option<Event>,
    encrypted: bool,
    denials: usize,
    blunders: usize,
    dialogue: Option<Dialogue>,
    /// In the greeting, until APOP has used it. RFC 1939 §7.
    timestamp: Option<String>,
}

/// Where the session stands, with what is valid there.
#[derive(Debug)]
enum State {
    /// RFC 1939 §4: who is it? After USER, the name that PASS belongs to.
    Authorization { user: Option<String> },
    /// RFC 5034 §4: the next line answers a challenge.
    Authenticating(Exchange),
    /// The owner looks up a password.
    Checking(Exchange),
    /// The owner opens the maildrop.
    Opening,
    /// RFC 1939 §5: the maildrop is locked and its numbers are frozen.
    Transaction(Maildrop),
    /// The owner fetches a message; with a number, only so many lines of its body are sent.
    Fetching { maildrop: Maildrop, body_lines: Option<usize> },
    /// RFC 1939 §6: the owner deletes what is marked.
    Updating,
    /// RFC 2595 §4: the owner shakes hands.
    Securing,
    /// Nothing more is read.
    Over,
}

impl Session {
    /// Greets a client; `encrypted` says that the connection is TLS from the start.
    pub fn new(setup: Setup, encrypted: bool) -> Self {
        let dialogue = setup.record.then(Dialogue::default);
        let timestamp = format!("<{}@{}>", setup.nonce, setup.host);
        let greeting = format!("+OK {} POP3 server ready {timestamp}", setup.host);
        let mut session = Self {
            timestamp: Some(timestamp),
            setup,
            state: State::Authorization { user: None },
            lines: Lines::default(),
            out: Outgoing::default(),
            event: None,
            encrypted,
            denials: 0,
            blunders: 0,
            dialogue,
        };
        session.say(&greeting);
        session
    }

    /// Answers [`Event::StartTls`]: what follows is encrypted. What came before is forgotten (RFC 2595 §4).
    pub fn encrypted(&mut self) {
        if matches!(self.state, State::Securing) {
            self.encrypted = true;
            self.lines.clear();
            self.state = State::Authorization { user: None };
        }
    }

    /// Answers [`Event::Open`] with the messages in the maildrop, in the order of their numbers.
    pub fn opened(&mut self, outcome: Result<Vec<Entry>, Refusal>) {
        if !matches!(self.state, State::Opening) {
            return;
        }
        match outcome {
            Ok(entries) => {
                let maildrop = Maildrop::new(entries);
                let (count, octets) = maildrop.totals();
                self.say(&format!("+OK {count} messages, {octets} octets"));
                self.state = State::Transaction(maildrop);
            }
            Err(refusal) => {
                self.state = State::Authorization { user: None };
                self.blunder(refusal.reply());
            }
        }
    }

    /// Answers [`Event::Retrieve`].
    pub fn message(&mut self, outcome: Result<&Letter, Refusal>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Fetching { maildrop, body_lines } => {
                self.send_message(outcome, body_lines);
                self.state = State::Transaction(maildrop);
            }
            other => self.state = other,
        }
    }

    /// Answers [`Event::Update`].
    pub fn updated(&mut self, outcome: Result<(), Refusal>) {
        if matches!(self.state, State::Updating) {
            self.say(outcome.map_or_else(Refusal::reply, |()| "+OK goodbye"));
            self.state = State::Over;
        }
    }

    /// What was said since the last call, without passwords and messages, if [`Setup::record`] asks for it.
    pub fn take_dialogue(&mut self) -> Dialogue {
        self.dialogue.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn say(&mut self, line: &str) {
        self.out.line(line);
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.note(Speaker::Server, line);
        }
    }

    /// Says no to what should not have been said; too much of that ends the session.
    fn blunder(&mut self, reply: &str) {
        self.say(reply);
        self.blunders += 1;
        if BLUNDERS_MAX < self.blunders {
            self.say("-ERR too many errors, goodbye");
            self.state = State::Over;
        }
    }

    fn hear(&mut self, line: Line) {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong => {
                if let State::Authenticating(_) = self.state {
                    self.state = State::Authorization { user: None };
                }
                return self.blunder("-ERR the line is too long");
            }
        };
        if let Some(dialogue) = &mut self.dialogue {
            let secret = matches!(self.state, State::Authenticating(_));
            dialogue.note(Speaker::Client, &if secret { "***".to_owned() } else { Command::shown(&line) });
        }
        if let State::Authenticating(_) = self.state {
            return self.respond(&line);
        }
        match Command::parse(&line) {
            Ok(command) => self.obey(command),
            Err(Unreadable::Unknown) => self.blunder("-ERR unknown command"),
            Err(Unreadable::Arguments) => self.blunder("-ERR wrong arguments"),
        }
    }

    fn obey(&mut self, command: Command<'_>) {
        match (std::mem::replace(&mut self.state, State::Over), command) {
            (State::Authorization { user }, command) => self.authorize(user, command),
            (State::Transaction(maildrop), command) => self.transact(maildrop, command),
            (other, _) => self.state = other,
        }
    }

    /// RFC 6856 §3: we speak English.
    fn language(&mut self, language: Option<&str>) {
        match language {
            None => ["+OK these languages", "en English", "."].iter().for_each(|line| self.say(line)),
            Some(tag) if ["*", "en", "i-default"].iter().any(|known| known.eq_ignore_ascii_case(tag)) => {
                self.say("+OK en English it is");
            }
            Some(_) => self.say("-ERR only English is spoken here"),
        }
    }

    /// RFC 2449 §5, §6; each line only in the states where its command works.
    fn capabilities(&mut self, before_login: bool) {
        self.say("+OK capabilities follow");
        if before_login {
            self.say("USER");
            self.say(&authorization::sasl());
            if self.setup.starttls && !self.encrypted {
                self.say("STLS");
            }
        }
        for line in ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER", "LANG"] {
            self.say(line);
        }
        self.say(concat!("IMPLEMENTATION Postroad-", env!("CARGO_PKG_VERSION")));
        self.say(".");
    }
}

impl Machine for Session {
    type Event = Event;

    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
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
                    Next::Answer
                }
                State::Authorization { .. } | State::Authenticating(_) | State::Transaction(_) => {
                    match self.lines.next() {
                        Some(line) => {
                            self.hear(line);
                            continue;
                        }
                        None => Next::Read,
                    }
                }
            };
            return self.out.take().map_or(idle, Next::Send);
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// POP3 has no word for it: the client sees the connection end, and no message is deleted.
    fn stop(&mut self) {
        self.state = State::Over;
    }

    /// RFC 1939 §3: the connection ends without a response and without deleting.
    fn expire(&mut self) {
        self.state = State::Over;
    }
}

#[cfg(test)]
mod tests;
