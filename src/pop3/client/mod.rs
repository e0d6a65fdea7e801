//! The client end: reads a maildrop, message by message.
//!
//! ```text
//! greeting -> CAPA -> [STLS -> TLS -> CAPA] -> AUTH PLAIN, or USER and PASS -> Event::Ready
//!          -> what the owner asks for: list, retrieve, delete, quit          -> one event for each
//! ```
//!
//! Where the server offers PIPELINING (RFC 2449 §6.6), a bounded number of commands is on its way at once.

mod event;
mod reply;
mod transaction;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::PATIENCE;
use super::gather::Gather;
use super::lines::{Line, Lines};
use super::outgoing::Outgoing;
use crate::auth::{Claim, Mechanism, line};
use crate::mail::{Dialogue, Speaker};
use crate::net::{Machine, Next};
pub use event::{Entry, Event, Failure};
use reply::Reply;
use transaction::Transaction;

/// A list of capabilities of more octets is not read.
const CAPABILITIES_OCTETS_MAX: usize = 16 * 1024;
/// Commands must fit into 255 octets. RFC 2449 §4.
const COMMAND_OCTETS_MAX: usize = 255;

/// How a client shall go about it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The name of the maildrop.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Whether to change over to TLS before the login.
    pub starttls: StartTls,
    /// Larger messages are not read.
    pub message_octets_max: usize,
    /// Keep a [`Dialogue`].
    pub record: bool,
}

/// When to ask for STLS. RFC 2595 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// Not at all, as on a connection that is TLS from the start.
    Never,
    /// If the server offers it.
    IfOffered,
    /// Without it, no password is sent.
    Required,
}

/// One session, from the greeting to the goodbye.
#[derive(Debug)]
pub struct Session {
    setup: Setup,
    state: State,
    lines: Lines,
    out: Outgoing,
    event: Option<Event>,
    secured: bool,
    capabilities: BTreeSet<String>,
    dialogue: Option<Dialogue>,
}

/// What the next octets of the server are.
#[derive(Debug)]
enum State {
    /// The greeting. RFC 1939 §4.
    Greeting,
    /// The reply to CAPA: first its status line, then the list. RFC 2449 §5.
    Capabilities(Option<Gather>),
    /// The reply to STLS.
    StartingTls,
    /// None: the owner is busy with the handshake.
    Securing,
    /// The reply to USER.
    User,
    /// The reply to PASS or AUTH.
    Password,
    /// Replies to what the owner asked.
    Transaction(Transaction),
    /// The reply to the QUIT after a refused login.
    Parting,
    /// None.
    Over,
}

impl Session {
    /// Waits for the greeting of a server; `secured` says that the connection is TLS already.
    pub fn new(setup: Setup, secured: bool) -> Self {
        let dialogue = setup.record.then(Dialogue::default);
        Self {
            setup,
            state: State::Greeting,
            lines: Lines::default(),
            out: Outgoing::default(),
            event: None,
            secured,
            capabilities: BTreeSet::new(),
            dialogue,
        }
    }

    /// Answers [`Event::StartTls`]: what follows is encrypted. What came before is forgotten (RFC 2595 §4).
    pub fn encrypted(&mut self) {
        if matches!(self.state, State::Securing) {
            self.secured = true;
            self.lines.clear();
            self.ask_capabilities();
        }
    }

    /// Asks for numbers, sizes and, where the server can, unique names: [`Event::Listing`].
    pub fn list(&mut self) {
        // A server that does not know CAPA may well know UIDL.
        let uidl = self.capabilities.is_empty() || self.capabilities.contains("UIDL");
        self.transaction(|transaction| transaction.list(uidl));
    }

    /// Asks for a whole message: [`Event::Message`].
    pub fn retrieve(&mut self, number: usize) {
        self.transaction(|transaction| transaction.retrieve(number));
    }

    /// Marks a message for deletion: [`Event::Deleted`].
    pub fn delete(&mut self, number: usize) {
        self.transaction(|transaction| transaction.delete(number));
    }

    /// Ends the session and deletes what is marked: [`Event::Closed`].
    pub fn quit(&mut self) {
        self.transaction(Transaction::quit);
    }

    /// What was said so far, without passwords and messages.
    pub fn dialogue(&self) -> Option<&Dialogue> {
        self.dialogue.as_ref()
    }

    /// Outside of a transaction there is nothing to ask, and the owner has heard why.
    fn transaction(&mut self, ask: impl FnOnce(&mut Transaction)) {
        if let State::Transaction(transaction) = &mut self.state {
            ask(transaction);
        }
    }

    fn send(&mut self, command: &str) {
        self.send_secret(command, command);
    }

    fn send_secret(&mut self, command: &str, shown: &str) {
        self.out.line(command);
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.note(Speaker::Client, shown);
        }
    }

    fn ask_capabilities(&mut self) {
        self.capabilities.clear();
        self.send("CAPA");
        self.state = State::Capabilities(None);
    }

    fn fail(&mut self, failure: Failure) {
        self.event = Some(Event::Failed(failure));
        self.state = State::Over;
    }

    /// Reads one reply, or a part of one; `false` asks for more octets.
    fn read(&mut self) -> Result<bool, Failure> {
        match &mut self.state {
            State::Securing | State::Over => Ok(false),
            State::Capabilities(Some(list)) => {
                let Some(text) = gathered(list, &mut self.lines, CAPABILITIES_OCTETS_MAX)? else { return Ok(false) };
                let text = String::from_utf8_lossy(&text).to_ascii_uppercase();
                if let Some(dialogue) = &mut self.dialogue {
                    dialogue.note_lines(Speaker::Server, &format!("{text}."));
                }
                self.capabilities = text.lines().map(str::to_owned).collect();
                self.secure_or_login()
            }
            State::Transaction(transaction) => {
                let step = transaction.read(&mut self.lines, self.setup.message_octets_max, &mut self.dialogue)?;
                if step.over {
                    self.state = State::Over;
                }
                self.event = step.event;
                Ok(step.progress)
            }
            _ => {
                let Some(reply) = Reply::read(&mut self.lines, &mut self.dialogue)? else { return Ok(false) };
                self.advance(reply)
            }
        }
    }

    /// The reply to a command of the dialogue before the transaction.
    fn advance(&mut self, reply: Reply) -> Result<bool, Failure> {
        let refused = |stage, text| Err(Failure::Refused { stage, text });
        match (&self.state, reply) {
            (State::Greeting, Reply::Ok(_)) => self.ask_capabilities(),
            (State::Greeting, Reply::Err(text)) => return refused("the connection", text),
            (State::Capabilities(_), Reply::Ok(_)) => self.state = State::Capabilities(Some(Gather::default())),
            (State::Capabilities(_), Reply::Err(_)) => return self.secure_or_login(),
            (State::StartingTls, Reply::Ok(_)) => {
                self.event = Some(Event::StartTls);
                self.state = State::Securing;
            }
            (State::StartingTls, Reply::Err(text)) => return refused("STLS", text),
            (State::User, Reply::Ok(_)) => {
                self.send_secret(&format!("PASS {}", self.setup.password), "PASS ***");
                self.state = State::Password;
            }
            (State::Password, Reply::Ok(_)) => {
                self.event = Some(Event::Ready);
                self.state = State::Transaction(Transaction::new(self.capabilities.contains("PIPELINING")));
            }
            (State::User | State::Password, Reply::Err(text)) => self.part(text),
            (State::Parting | State::Securing | State::Over | State::Transaction(_), _) => self.state = State::Over,
        }
        Ok(true)
    }

    fn secure_or_login(&mut self) -> Result<bool, Failure> {
        let offered = self.capabilities.contains("STLS");
        match self.setup.starttls {
            StartTls::Required if !self.secured && !offered => return Err(Failure::NoTls),
            StartTls::Required | StartTls::IfOffered if !self.secured && offered => {
                self.send("STLS");
                self.state = State::StartingTls;
            }
            _ => self.log_in(),
        }
        Ok(true)
    }

    /// AUTH PLAIN (RFC 5034 §4) where it is offered and fits into a line, else USER and PASS.
    fn log_in(&mut self) {
        let Setup { user, password, .. } = &self.setup;
        let plain = Mechanism::Plain.name();
        let mechanisms = self.capabilities.iter().find_map(|line| line.strip_prefix("SASL "));
        let offered = mechanisms.is_some_and(|names| names.split(' ').any(|name| name == plain));
        let response = Claim::new(Mechanism::Plain, user, password, "").initial().unwrap_or_default();
        let command = format!("AUTH {plain} {}", line::encode_initial(&response));
        if offered && command.len() + 2 <= COMMAND_OCTETS_MAX {
            self.send_secret(&command, "AUTH PLAIN ***");
            self.state = State::Password;
        } else if user.contains(char::is_control) || password.contains(char::is_control) {
            // It would end the command, and the rest would be taken for another.
            self.part("the name or the password holds a control character".to_owned());
        } else {
            self.send(&format!("USER {user}"));
            self.state = State::User;
        }
    }

    /// There is no way in.
    fn part(&mut self, text: String) {
        self.event = Some(Event::LoginRefused(text));
        self.send("QUIT");
        self.state = State::Parting;
    }

    /// Sends what the owner asked for, as far as the server takes it now.
    fn send_asked(&mut self) {
        while let State::Transaction(transaction) = &mut self.state
            && let Some(command) = transaction.next_command()
        {
            self.send(&command);
        }
    }

    /// Whether it is the owner's turn.
    fn is_idle(&self) -> bool {
        match &self.state {
            State::Securing => true,
            State::Transaction(transaction) => transaction.is_idle(),
            _ => false,
        }
    }
}

/// A whole multi-line response, if it has come.
fn gathered(gather: &mut Gather, lines: &mut Lines, octets_max: usize) -> Result<Option<Bytes>, Failure> {
    gather.read(lines.unread(), octets_max).map_err(|_| Failure::TooLarge(octets_max))
}

impl Machine for Session {
    type Event = Event;

    fn receive(&mut self, bytes: &[u8]) {
        match (bytes.is_empty(), &self.state) {
            (false, _) => self.lines.receive(bytes),
            (true, State::Parting | State::Over) => self.state = State::Over,
            (true, _) => self.fail(Failure::HungUp),
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
                Ok(false) if self.is_idle() => return Next::Answer,
                Ok(false) => return Next::Read,
                Err(failure) => self.fail(failure),
            }
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// Without QUIT nothing is deleted, which is the safe way to be interrupted. RFC 1939 §6.
    fn stop(&mut self) {
        self.state = State::Over;
    }

    fn expire(&mut self) {
        self.state = State::Over;
    }
}

#[cfg(test)]
mod tests;
