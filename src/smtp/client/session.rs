//! The session itself: its states, what the owner may ask for, and the loop that turns replies into steps.
//!
//! ```text
//!  Greeting ─▶ Hello ─▶ Idle ─┬─ starttls() ─────▶ StartTls ─▶ Encrypting ─ encrypted() ─▶ Hello
//!                        ▲    ├─ authenticate() ─▶ Login ──────▶ Idle
//!                        │    ├─ send() ─────────▶ Transaction ─▶ Idle
//!                        └────┤
//!                             └─ quit() ─────────▶ Quit ─▶ Over
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::super::command::Command;
use super::super::lines::{Line, Lines};
use super::super::reply::{Replies, Reply};
use super::limits::Used;
use super::transaction::Transaction;
use super::{Cause, Config, Event, Failure, Offers, Stage, needs};
use crate::auth::Claim;
use crate::mail::{Dialogue, Envelope, Letter, Recipient, Speaker};
use crate::net::{Machine, Next};

/// A peer that takes a message more slowly than this is given up.
const OCTETS_A_SECOND_MIN: u64 = 500;

/// The client's end of one connection.
///
/// ```
/// use postroad::net::{Machine, Next};
/// use postroad::smtp::client::{Config, Event, Session};
/// let mut session = Session::new(Config { hello: "a.test".into(), ..Config::default() });
/// assert!(matches!(session.next(), Next::Read));
/// session.receive(b"220 b.test\r\n");
/// assert!(matches!(session.next(), Next::Send(bytes) if bytes == "EHLO a.test\r\n"));
/// session.receive(b"250-b.test\r\n250 SIZE 1000\r\n");
/// assert!(matches!(session.next(), Next::Event(Event::Ready)));
/// assert_eq!(session.offers().size, Some(1000));
/// session.quit();
/// ```
pub struct Session {
    pub(super) config: Config,
    pub(super) lines: Lines,
    replies: Replies,
    output: String,
    pub(super) event: Option<Event>,
    pub(super) state: State,
    pub(super) offers: Offers,
    /// What the connection was used for, of all that the peer takes.
    used: Used,
    /// How many logins were tried: each needs a nonce of its own.
    pub(super) claims: usize,
    /// The peer has a transaction open that we gave up.
    needs_reset: bool,
    /// How long the peer has kept us waiting for what it owes us now.
    waited: Duration,
    /// See [`Session::may_be_alone`].
    is_wary: bool,
    is_stopping: bool,
    dialogue: Option<Dialogue>,
}

pub(super) enum State {
    Greeting,
    Hello {
        /// EHLO was refused, this is HELO.
        is_fallback: bool,
    },
    /// The owner's turn.
    Idle,
    StartTls,
    /// The owner's turn.
    Encrypting,
    Login(Claim),
    /// We gave up the login; the peer must say so too.
    Cancelled,
    Transaction(Box<Transaction>),
    Quit,
    Over,
}

impl Session {
    /// Begins by waiting for the peer's greeting.
    pub fn new(config: Config) -> Self {
        let dialogue = config.dialogue.then(Dialogue::default);
        Self {
            config,
            lines: Lines::default(),
            replies: Replies::default(),
            output: String::new(),
            event: None,
            state: State::Greeting,
            offers: Offers::default(),
            used: Used::default(),
            claims: 0,
            needs_reset: false,
            waited: Duration::ZERO,
            is_wary: false,
            is_stopping: false,
            dialogue,
        }
    }

    /// What the peer offers now; nothing before [`Event::Ready`].
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// How many of these recipients, from the first on, the peer's limits leave room for on this connection. RFC 9422.
    pub fn room(&self, recipients: &[Recipient]) -> usize {
        self.used.room(&self.offers.limits, recipients)
    }

    /// Sends a letter to all recipients of the envelope; [`Event::Sent`] tells of each. It takes one transaction, more
    /// where the peer limits them; recipients beyond the [room](Self::room) are refused for now.
    ///
    /// # Panics
    /// If it is not the owner's turn.
    pub fn send(&mut self, envelope: Envelope, letter: &Letter) {
        let letter = needs::mended(&envelope, letter, self.config.bare_line_ends);
        let room = self.room(&envelope.recipients);
        self.used.note(&self.offers.limits, &envelope.recipients[..room]);
        let mut transaction = Transaction::new(envelope, letter, &self.offers, &self.config, self.needs_reset, room);
        if std::mem::take(&mut self.is_wary) {
            transaction.hold_message();
        }
        self.begin(State::Transaction(Box::new(transaction)));
    }

    /// The connection was idle, and the peer may be gone: the next message waits until the peer takes its envelope, so
    /// that it is not in doubt if nobody answers.
    pub fn may_be_alone(&mut self) {
        self.is_wary = true;
    }

    /// Says goodbye; the conversation is over when the peer has answered.
    ///
    /// # Panics
    /// If it is not the owner's turn.
    pub fn quit(&mut self) {
        self.begin(State::Quit);
        self.say(&Command::Quit.to_string());
    }

    /// How far the conversation has come: at [`Stage::Dot`] the peer may have taken the message.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting => Stage::Greeting,
            State::Hello { .. } => Stage::Hello,
            State::StartTls | State::Encrypting => Stage::StartTls,
            State::Login(_) | State::Cancelled => Stage::Login,
            State::Transaction(transaction) => transaction.stage(),
            State::Idle | State::Quit | State::Over => Stage::Rest,
        }
    }

    /// The owner lost the connection, or patience: what is known about the transaction that was under way.
    /// The session is over.
    pub fn abandon(&mut self) -> Failure {
        self.failure(Cause::Lost)
    }

    /// What both ends said since the last call, if [`Config::dialogue`] asks for a record.
    pub fn take_dialogue(&mut self) -> Dialogue {
        self.dialogue.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn begin(&mut self, state: State) {
        assert!(matches!(self.state, State::Idle), "it is not the owner's turn");
        self.waited = Duration::ZERO;
        self.state = state;
    }

    pub(super) fn say(&mut self, line: &str) {
        self.say_masked(line, line);
    }

    /// Says a line and records another.
    pub(super) fn say_masked(&mut self, line: &str, record: &str) {
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.note(Speaker::Client, record);
        }
        self.output.push_str(line);
        self.output.push_str("\r\n");
    }

    pub(super) fn hello(&mut self) {
        let name = self.config.hello.clone();
        let command = if self.config.lmtp { Command::Lhlo(name) } else { Command::Ehlo(name) };
        self.state = State::Hello { is_fallback: false };
        self.say(&command.to_string());
    }

    /// Hands the turn to the owner, unless the house closes.
    pub(super) fn ready(&mut self) {
        self.state = State::Idle;
        if self.is_stopping { self.quit() } else { self.event = Some(Event::Ready) }
    }

    pub(super) fn turn(&mut self, event: Event) {
        self.state = State::Idle;
        self.event = Some(event);
    }

    pub(super) fn fail(&mut self, cause: Cause) {
        // A peer that only said no is told goodbye: RFC 5321 §3.1, §4.1.1.10.
        let is_polite = matches!(&cause, Cause::Refused(reply) if !reply.is_farewell());
        let failure = self.failure(cause);
        self.event = Some(Event::Failed(failure));
        if is_polite {
            self.state = State::Quit;
            self.say(&Command::Quit.to_string());
        }
    }

    fn failure(&mut self, cause: Cause) -> Failure {
        let stage = match &self.state {
            // Whatever reply was next, the message is with the peer.
            State::Transaction(transaction) if transaction.has_sent() && !matches!(cause, Cause::Refused(_)) => {
                Stage::Dot
            }
            _ => self.stage(),
        };
        let verdicts = match std::mem::replace(&mut self.state, State::Over) {
            State::Transaction(transaction) => transaction.verdicts(),
            _ => Vec::new(),
        };
        Failure { stage, cause, verdicts }
    }

    /// One step with what is there; `false` when more is needed from the peer or the owner.
    fn step(&mut self) -> bool {
        match &mut self.state {
            State::Idle | State::Encrypting | State::Over => false,
            State::Transaction(transaction) if transaction.is_over() => {
                self.end();
                true
            }
            // What the peer said unasked must not be taken for the reply to a command that follows.
            State::Transaction(transaction) if !transaction.is_waiting() && self.lines.is_empty() => {
                let group = transaction.group();
                group.iter().for_each(|command| self.say(command));
                true
            }
            _ => self.line(),
        }
    }

    /// Ends the transaction.
    fn end(&mut self) {
        if let State::Transaction(transaction) = std::mem::replace(&mut self.state, State::Idle) {
            self.needs_reset = transaction.is_open();
            self.event = Some(Event::Sent(transaction.outcome()));
        }
    }

    fn line(&mut self) -> bool {
        let reply = match self.lines.next() {
            None => return false,
            Some(Line::Whole(line)) => {
                if let Some(dialogue) = &mut self.dialogue {
                    dialogue.note(Speaker::Server, &String::from_utf8_lossy(&line));
                }
                self.replies.line(&line)
            }
            Some(Line::TooLong | Line::Endless) => {
                self.fail(Cause::Violation("a line of the peer is too long"));
                return true;
            }
        };
        match reply {
            Ok(Some(reply)) => self.reply(reply),
            Ok(None) => {}
            Err(_) if matches!(self.state, State::Quit) => self.state = State::Over,
            Err(_) => self.fail(Cause::Violation("a line of the peer is no reply")),
        }
        true
    }

    fn reply(&mut self, reply: Reply) {
        self.waited = Duration::ZERO;
        match std::mem::replace(&mut self.state, State::Over) {
            State::Quit | State::Over => {}
            state if reply.is_farewell() => {
                self.state = state;
                self.fail(Cause::Refused(reply));
            }
            State::Greeting if reply.is_positive() => self.hello(),
            State::Hello { is_fallback } => self.hello_reply(is_fallback, reply),
            State::StartTls => self.starttls_reply(reply),
            State::Login(claim) => self.login_reply(claim, reply),
            State::Cancelled => self.turn(Event::LoginRefused(reply)),
            State::Transaction(mut transaction) => {
                let taken = transaction.reply(reply);
                self.state = State::Transaction(transaction);
                if let Err(cause) = taken {
                    self.fail(cause);
                }
            }
            state @ (State::Greeting | State::Idle | State::Encrypting) => {
                self.state = state;
                self.fail(Cause::Refused(reply));
            }
        }
    }

    /// RFC 5321 §3.2, §4.1.4: a server that does not know EHLO may know HELO. LMTP has nothing older.
    fn hello_reply(&mut self, is_fallback: bool, reply: Reply) {
        self.state = State::Hello { is_fallback: true };
        if reply.is_positive() {
            self.offers = if is_fallback { Offers::default() } else { Offers::read(&reply) };
            self.ready();
        } else if reply.is_permanent() && !is_fallback && !self.config.lmtp {
            self.say(&Command::Helo(self.config.hello.clone()).to_string());
        } else {
            self.fail(Cause::Refused(reply));
        }
    }

    /// The next part of the message, if one goes out now.
    fn part(&mut self) -> Option<Bytes> {
        let State::Transaction(transaction) = &mut self.state else { return None };
        if transaction.stage() != Stage::Message {
            return None;
        }
        let part = transaction.part();
        if part.is_none() {
            self.waited = Duration::ZERO;
            if let Some(dialogue) = &mut self.dialogue {
                dialogue.note_data(Speaker::Client, transaction.octets());
            }
        }
        part
    }
}

impl Machine for Session {
    type Event = Event;

    fn receive(&mut self, bytes: &[u8]) {
        match &self.state {
            _ if !bytes.is_empty() => self.lines.receive(bytes),
            State::Quit | State::Over => self.state = State::Over,
            _ => self.fail(Cause::HungUp),
        }
    }

    fn next(&mut self) -> Next<Event> {
        loop {
            // The owner learns of a failure even when the peer cannot be told goodbye any more.
            if let Some(event) = self.event.take() {
                return Next::Event(event);
            }
            if !self.output.is_empty() {
                return Next::Send(std::mem::take(&mut self.output).into());
            }
            if let Some(part) = self.part() {
                return Next::Send(part);
            }
            if self.step() {
                continue;
            }
            return match self.state {
                State::Idle | State::Encrypting => Next::Answer,
                State::Over => Next::Close,
                _ => Next::Read,
            };
        }
    }

    fn awaits_rest(&self) -> bool {
        matches!(&self.state, State::Transaction(transaction) if transaction.awaits_rest())
    }

    fn has_more(&self) -> bool {
        let has_part = || matches!(&self.state, State::Transaction(transaction) if transaction.has_part());
        self.event.is_none() && (!self.output.is_empty() || has_part())
    }

    /// What a stage may take in all, however often the peer shows that it is alive. RFC 5321 §4.5.3.2.
    fn patience(&self) -> Duration {
        let patience = &self.config.patience;
        let most = match (self.stage(), &self.state) {
            (Stage::Greeting, _) => patience.greeting,
            (Stage::Rcpt, _) => patience.rcpt,
            (Stage::Data, _) => patience.data,
            (Stage::Message, State::Transaction(transaction)) => {
                let whole = patience.block + Duration::from_secs(transaction.octets() as u64 / OCTETS_A_SECOND_MIN);
                return whole.saturating_sub(self.waited).min(patience.block);
            }
            (Stage::Dot, _) => patience.dot,
            _ => patience.command,
        };
        most.saturating_sub(self.waited)
    }

    fn waited(&mut self, time: Duration) {
        self.waited = self.waited.saturating_add(time);
    }

    /// A transaction goes on to its end; otherwise the session quits when the peer is ready for it.
    fn stop(&mut self) {
        self.is_stopping = true;
    }
}
