//! The session itself: its states, its owner's answers, and the loop that turns bytes into steps.
//!
//! ```text
//!            ┌───────────── a line ─────────────┐
//!            ▼                                  │
//!  Command ──┬── EHLO MAIL RCPT VRFY STARTTLS ──▶ Asked ── answer() secret() encrypted() ──▶ Command
//!            ├── AUTH ──▶ Login ── who? ────────▶ Asked
//!            ├── DATA ──▶ Asked ── answer() ─────▶ Data ── dot ────▶ Asked
//!            ├── BDAT ──▶ Asked ── answer() ─────▶ Chunk ── read ──▶ Asked or Command
//!            └── QUIT ──▶ Over
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::super::Reply;
use super::super::incoming::Incoming;
use super::super::lines::{Line, Lines};
use super::{Config, Event, Protocol, Tls};
use crate::auth::Exchange;
use crate::mail::{Dialogue, Envelope, Recipient, Speaker};
use crate::net::{Machine, Next};

/// Replies are sent off when so many octets have gathered, however much the client pipelines.
const OUTPUT_OCTETS_MAX: usize = 16 * 1024;

/// The server's end of one connection.
///
/// ```
/// use postroad::net::{Machine, Next};
/// use postroad::smtp::{Reply, server::{Config, Event, Session}};
/// let mut session = Session::new(Config::default(), &Reply::plain(220, "localhost"), "drawn".into());
/// assert!(matches!(session.next(), Next::Send(bytes) if bytes == "220 localhost\r\n"));
/// session.receive(b"HELO a.test\r\nMAIL FROM:<ann@a.test>\r\n");
/// assert!(matches!(session.next(), Next::Event(Event::Hello { esmtp: false, .. })));
/// session.answer(Reply::plain(250, ""));
/// assert!(matches!(session.next(), Next::Event(Event::Mail { .. })));
/// session.answer(Reply::new(250, (2, 1, 0), "go on"));
/// assert!(matches!(session.next(), Next::Send(_)));
/// ```
#[derive(Debug)]
pub struct Session {
    pub(super) config: Config,
    /// Drawn by the owner for this session.
    pub(super) nonce: String,
    pub(super) lines: Lines,
    output: String,
    event: Option<Event>,
    pub(super) state: State,
    pub(super) hello: Option<Hello>,
    pub(super) user: Option<String>,
    pub(super) transaction: Option<Transaction>,
    /// How many have begun. RFC 9422 §4.1.
    pub(super) transactions: usize,
    /// Of all recipients so far, where they are counted. RFC 9422 §4.3.
    pub(super) domains: BTreeSet<String>,
    /// The last transaction began with SMTPUTF8.
    pub(super) is_utf8: bool,
    /// How many exchanges have begun: each needs a nonce of its own.
    pub(super) logins: usize,
    /// From here on a line that is no command may be a password out of place.
    pub(super) has_tried_login: bool,
    /// How many logins have failed.
    pub(super) denials: usize,
    errors: usize,
    /// How long the client has kept us waiting since its last message.
    pub(super) waited: Duration,
    is_stopping: bool,
    dialogue: Option<Dialogue>,
}

/// What the client called itself.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) esmtp: bool,
}

/// What MAIL began. RFC 5321 §3.3.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) envelope: Envelope,
    pub(super) size: Option<u64>,
    /// The message so far, when it comes by BDAT.
    pub(super) chunks: Option<Incoming>,
}

#[derive(Debug)]
pub(super) enum State {
    /// A command is next.
    Command,
    /// Behind 354.
    Data(Incoming),
    /// Behind BDAT: so many octets are still to come, to be kept unless there is something against it.
    Chunk {
        left: u64,
        is_last: bool,
        refusal: Option<Reply>,
    },
    /// Behind 334.
    Login(Exchange),
    /// The owner thinks.
    Asked(Question),
    Over,
}

/// What the owner was asked, and what its answer will be needed for.
#[derive(Debug)]
pub(super) enum Question {
    Hello(Hello),
    Tls,
    Secret(Exchange),
    Mail(Transaction),
    Rcpt(Recipient),
    Data(Incoming),
    /// A chunk of so many octets waits.
    Chunk {
        octets: u64,
        is_last: bool,
    },
    Message {
        recipients: usize,
    },
    Verify,
}

impl Session {
    /// Begins with a greeting. One that is not `2yz` is all the client gets to read: RFC 5321 §3.1.
    ///
    /// `nonce` is printable ASCII without a comma that no other session has; it enters SCRAM logins.
    pub fn new(config: Config, greeting: &Reply, nonce: String) -> Self {
        let dialogue = config.dialogue.then(Dialogue::default);
        let mut session = Self {
            config,
            nonce,
            lines: Lines::default(),
            output: String::new(),
            event: None,
            state: State::Command,
            hello: None,
            user: None,
            transaction: None,
            transactions: 0,
            domains: BTreeSet::new(),
            is_utf8: false,
            logins: 0,
            has_tried_login: false,
            denials: 0,
            errors: 0,
            waited: Duration::ZERO,
            is_stopping: false,
            dialogue,
        };
        session.say(greeting);
        if !greeting.is_positive() {
            session.state = State::Over;
        }
        session
    }

    /// Answers [`Event::Hello`], [`Event::Mail`], [`Event::Rcpt`], [`Event::Data`], [`Event::Message`] and
    /// [`Event::Verify`]. `421` ends the session as well.
    ///
    /// # Panics
    /// If the owner was asked nothing of that kind.
    pub fn answer(&mut self, reply: Reply) {
        let State::Asked(question) = std::mem::replace(&mut self.state, State::Command) else {
            panic!("answered {reply} though nothing was asked");
        };
        let mut times = 1;
        match question {
            Question::Hello(hello) if reply.is_positive() => return self.welcome(hello),
            Question::Mail(transaction) if reply.is_positive() => {
                self.is_utf8 = transaction.envelope.smtputf8;
                self.transaction = Some(transaction);
            }
            Question::Rcpt(recipient) if reply.is_positive() => {
                self.note_domain(&recipient);
                self.transaction.as_mut().expect("RCPT needs MAIL").envelope.recipients.push(recipient);
            }
            Question::Data(incoming) if reply.is_positive() => return self.begin_data(incoming),
            Question::Chunk { octets, is_last } => {
                return self.begin_chunk(octets, is_last, (!reply.is_positive()).then_some(reply));
            }
            Question::Message { recipients } => times = self.replies_to_message(recipients),
            Question::Hello(_) | Question::Mail(_) | Question::Rcpt(_) | Question::Data(_) | Question::Verify => {}
            Question::Tls | Question::Secret(_) => panic!("answered {reply} to a question of another kind"),
        }
        self.say_times(&reply, times);
    }

    /// Answers [`Event::Message`] of LMTP: one reply a recipient, in their order. RFC 2033 §4.2.
    ///
    /// # Panics
    /// If this is not LMTP, no message waits, or the numbers differ.
    pub fn answer_each(&mut self, replies: &[Reply]) {
        let State::Asked(Question::Message { recipients }) = std::mem::replace(&mut self.state, State::Command) else {
            panic!("answered each recipient though no message waits");
        };
        assert_eq!(replies.len(), self.replies_to_message(recipients), "one reply a recipient");
        replies.iter().for_each(|reply| self.say_times(reply, 1));
    }

    /// Answers [`Event::StartTls`] once the handshake is done. The client starts anew: RFC 3207 §4.2.
    ///
    /// # Panics
    /// If the client did not ask for it.
    pub fn encrypted(&mut self, description: String) {
        assert!(matches!(self.state, State::Asked(Question::Tls)), "encrypted though nobody asked");
        self.lines.clear();
        (self.hello, self.user, self.transaction) = (None, None, None);
        self.config.tls = Tls::Active(description);
        self.state = State::Command;
    }

    /// The transaction that is open: its sender, and the recipients accepted so far.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.transaction.as_ref().map(|transaction| &transaction.envelope)
    }

    /// What the client called itself.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// Who logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Version and cipher, when the connection is encrypted.
    pub fn tls(&self) -> Option<&str> {
        match &self.config.tls {
            Tls::Active(description) => Some(description),
            Tls::Absent | Tls::Offered => None,
        }
    }

    /// The word behind `with` in a Received line. RFC 3848, RFC 6531 §4.3.
    pub fn with_protocol(&self) -> String {
        let is_extended = self.hello.as_ref().is_some_and(|hello| hello.esmtp);
        let base = match (self.config.protocol, self.is_utf8) {
            (Protocol::Lmtp, true) => "UTF8LMTP",
            (Protocol::Lmtp, false) => "LMTP",
            _ if !is_extended => return "SMTP".to_owned(),
            (_, true) => "UTF8SMTP",
            (_, false) => "ESMTP",
        };
        let secure = if self.tls().is_some() { "S" } else { "" };
        let known = if self.user.is_some() { "A" } else { "" };
        format!("{base}{secure}{known}")
    }

    /// What both ends said since the last call, if [`Config::dialogue`] asks for a record.
    pub fn take_dialogue(&mut self) -> Dialogue {
        self.dialogue.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Replies to pipelined commands gather (RFC 2920 §3.2).
    pub(super) fn say(&mut self, reply: &Reply) {
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.note_lines(Speaker::Server, &reply.to_string());
        }
        // Writing to a String cannot fail.
        let _ = write!(self.output, "{reply}\r\n");
    }

    /// Says it so many times, or once and for all if it is 421 (RFC 5321 §3.8).
    pub(super) fn say_times(&mut self, reply: &Reply, times: usize) {
        if reply.is_farewell() {
            return self.part(reply);
        }
        (0..times).for_each(|_| self.say(reply));
    }

    /// Says what the client did wrong, or that it was once too often.
    pub(super) fn complain(&mut self, reply: &Reply) {
        self.errors += 1;
        if self.config.errors_max < self.errors {
            return self.part(&Reply::new(421, (4, 7, 0), "too many mistakes"));
        }
        self.say(reply);
    }

    /// Says the last word.
    pub(super) fn part(&mut self, reply: &Reply) {
        self.say(reply);
        self.state = State::Over;
    }

    pub(super) fn ask(&mut self, question: Question, event: Event) {
        self.state = State::Asked(question);
        self.event = Some(event);
    }

    pub(super) fn note(&mut self, line: &str) {
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.note(Speaker::Client, line);
        }
    }

    pub(super) fn note_data(&mut self, octets: usize) {
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.note_data(Speaker::Client, octets);
        }
    }

    /// One step with what is there; `false` when more is needed from the client.
    fn step(&mut self) -> bool {
        match &self.state {
            State::Asked(_) | State::Over => false,
            State::Command | State::Login(_) if self.is_stopping => {
                let name = self.config.hostname.clone();
                self.part(&Reply::new(421, (4, 3, 2), &format!("{name} closes, try again later")));
                true
            }
            State::Command | State::Login(_) => match self.lines.next() {
                None => false,
                Some(Line::Endless) => {
                    self.part(&Reply::new(421, (4, 7, 0), "that line has no end"));
                    true
                }
                Some(line) => {
                    self.line(line);
                    true
                }
            },
            State::Data(_) | State::Chunk { .. } if self.lines.is_empty() && !self.is_chunk_read() => false,
            State::Data(_) | State::Chunk { .. } => {
                let mut bytes = self.lines.take_all();
                let used = self.content(&bytes);
                bytes.advance(used);
                self.lines.put_back(bytes);
                true
            }
        }
    }

    fn line(&mut self, line: Line) {
        match (std::mem::replace(&mut self.state, State::Command), line) {
            (State::Login(exchange), Line::Whole(line)) => self.login_response(exchange, &line),
            (State::Login(_), _) => self.complain(&Reply::new(500, (5, 5, 6), "that line is too long")),
            (_, Line::Whole(line)) => self.command(&line),
            (_, _) => self.complain(&Reply::new(500, (5, 5, 2), "that line is too long")),
        }
    }

    fn flush(&mut self) -> Option<Bytes> {
        let output = std::mem::take(&mut self.output);
        (!output.is_empty()).then(|| output.into())
    }
}

impl Machine for Session {
    type Event = Event;

    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.state = State::Over;
            return;
        }
        // Message data goes straight to its place.
        let used = if self.lines.is_empty() { self.content(bytes) } else { 0 };
        self.lines.receive(&bytes[used..]);
    }

    fn next(&mut self) -> Next<Event> {
        loop {
            // The client must read 220 before the handshake begins.
            let must_flush = OUTPUT_OCTETS_MAX <= self.output.len() || self.event == Some(Event::StartTls);
            if must_flush && let Some(output) = self.flush() {
                return Next::Send(output);
            }
            if let Some(event) = self.event.take() {
                return Next::Event(event);
            }
            if self.step() {
                continue;
            }
            return match (self.flush(), &self.state) {
                (Some(output), _) => Next::Send(output),
                (None, State::Asked(_)) => Next::Answer,
                (None, State::Over) => Next::Close,
                (None, _) => Next::Read,
            };
        }
    }

    fn patience(&self) -> Duration {
        self.config.patience.min(self.config.message_patience.saturating_sub(self.waited))
    }

    fn waited(&mut self, time: Duration) {
        self.waited = self.waited.saturating_add(time);
    }

    fn stop(&mut self) {
        self.is_stopping = true;
    }

    fn expire(&mut self) {
        let is_slow = self.config.message_patience <= self.waited;
        let words = if is_slow { "that takes too long" } else { "nothing came for too long" };
        self.part(&Reply::new(421, (4, 4, 2), words));
    }
}
