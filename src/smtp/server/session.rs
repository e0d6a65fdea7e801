//! The server session: its states, the answers of its owner, and the loop that processes input.
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
use super::super::command::Command;
use super::super::lines::{Line, Lines};
use super::super::message_reader::MessageReader;
use super::{Config, Event, Protocol, Tls};
use crate::auth::SaslServer;
use crate::journey::Recorder;
use crate::mail::{Envelope, Recipient, Side};
use crate::net::{Machine, Next, UploadShare};

/// Replies to pipelined commands are sent once this much is buffered.
const MAX_OUTPUT_BYTES: usize = 16 * 1024;

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
    /// Random text for this session.
    pub(super) nonce: String,
    pub(super) lines: Lines,
    output: String,
    event: Option<Event>,
    pub(super) state: State,
    pub(super) hello: Option<Hello>,
    pub(super) user: Option<String>,
    pub(super) transaction: Option<Transaction>,
    /// Number of transactions so far. RFC 9422 §4.1.
    pub(super) transactions: usize,
    /// Domains of all recipients so far, if they are limited. RFC 9422 §4.3.
    pub(super) domains: BTreeSet<String>,
    /// The last transaction began with SMTPUTF8.
    pub(super) is_utf8: bool,
    /// Number of SASL exchanges so far: each needs its own nonce.
    pub(super) logins: usize,
    /// Number of failed logins.
    pub(super) failed_logins: usize,
    /// Protocol errors since the last command that succeeded.
    errors: usize,
    /// Waiting time since the last message.
    pub(super) waited: Duration,
    is_stopping: bool,
    /// Notes the conversation.
    pub(super) recorder: Recorder,
    /// AUTH was tried: an unknown command may be a password.
    has_tried_login: bool,
}

/// The client's greeting.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) esmtp: bool,
}

/// The transaction that MAIL started. RFC 5321 §3.3.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) envelope: Envelope,
    pub(super) size: Option<u64>,
    /// The message so far, if it is sent by BDAT.
    pub(super) chunks: Option<MessageReader>,
}

#[derive(Debug)]
pub(super) enum State {
    /// Waits for a command.
    Command,
    /// After 354.
    Data(MessageReader),
    /// After BDAT: `left` bytes follow, which are discarded if there is a refusal.
    Chunk {
        left: u64,
        is_last: bool,
        refusal: Option<Reply>,
    },
    /// After 334.
    Login(SaslServer),
    /// Waits for the owner's answer.
    AwaitingOwner(PendingRequest),
    Over,
}

/// The request that waits for the owner's answer.
#[derive(Debug)]
pub(super) enum PendingRequest {
    Hello(Hello),
    Tls,
    Secret(SaslServer),
    Mail(Transaction),
    Rcpt(Recipient),
    Data(MessageReader),
    /// A BDAT chunk.
    Chunk {
        bytes: u64,
        is_last: bool,
    },
    Message {
        recipients: usize,
        /// The memory that the message takes until it is stored.
        _share: UploadShare,
    },
    Verify,
}

impl Session {
    /// Starts with the greeting. If it is not `2yz`, the connection is closed after it: RFC 5321 §3.1.
    ///
    /// `nonce` is printable ASCII without a comma, unique to the session; it is used in SCRAM logins.
    pub fn new(config: Config, greeting: &Reply, nonce: String) -> Self {
        Self::recorded(config, greeting, nonce, Recorder::default())
    }

    /// Starts a session as [`Session::new`] does; `recorder` notes the conversation.
    pub(super) fn recorded(config: Config, greeting: &Reply, nonce: String, recorder: Recorder) -> Self {
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
            failed_logins: 0,
            errors: 0,
            waited: Duration::ZERO,
            is_stopping: false,
            recorder,
            has_tried_login: false,
        };
        session.send_reply(greeting);
        if !greeting.is_positive() {
            session.state = State::Over;
        }
        session
    }

    /// Answers [`Event::Hello`], [`Event::Mail`], [`Event::Rcpt`], [`Event::Data`], [`Event::Message`] and
    /// [`Event::Verify`], and with a refusal also [`Event::NeedSecret`], whose login ends. A positive reply opens the
    /// transaction or adds the recipient. The reply is sent, except that for a positive one to `Hello` or `Data` the
    /// session sends its own; a refusal of BDAT is sent after its chunk. `421` ends the session as well. Over LMTP the
    /// reply to `Message` is repeated for each recipient.
    ///
    /// # Panics
    /// If no such event is pending.
    pub fn answer(&mut self, reply: Reply) {
        let State::AwaitingOwner(pending) = std::mem::replace(&mut self.state, State::Command) else {
            panic!("answered {reply} without a pending event");
        };
        let mut times = 1;
        match pending {
            PendingRequest::Hello(hello) if reply.is_positive() => return self.accept_hello(hello),
            PendingRequest::Mail(transaction) if reply.is_positive() => {
                self.is_utf8 = transaction.envelope.smtputf8;
                self.transaction = Some(transaction);
            }
            PendingRequest::Rcpt(recipient) if reply.is_positive() => {
                self.note_domain(&recipient);
                self.transaction.as_mut().expect("RCPT needs MAIL").envelope.recipients.push(recipient);
            }
            PendingRequest::Data(reader) if reply.is_positive() => return self.begin_data(reader),
            PendingRequest::Chunk { bytes, is_last } => {
                return self.begin_chunk(bytes, is_last, (!reply.is_positive()).then_some(reply));
            }
            PendingRequest::Message { recipients, .. } => times = self.replies_to_message(recipients),
            PendingRequest::Hello(_)
            | PendingRequest::Mail(_)
            | PendingRequest::Rcpt(_)
            | PendingRequest::Data(_)
            | PendingRequest::Verify => {}
            // The login ends with this refusal.
            PendingRequest::Secret(_) if !reply.is_positive() => {}
            PendingRequest::Tls | PendingRequest::Secret(_) => panic!("answered {reply} to an event of another kind"),
        }
        self.send_replies(&reply, times);
    }

    /// Answers [`Event::Message`] of LMTP: one reply per recipient, in order. RFC 2033 §4.2. With a `421` among them,
    /// the session ends after the last one: without its reply, a recipient that has the message would get it twice.
    ///
    /// # Panics
    /// If no message is pending, or the number of replies is wrong.
    pub fn answer_each(&mut self, replies: &[Reply]) {
        let State::AwaitingOwner(PendingRequest::Message { recipients, .. }) =
            std::mem::replace(&mut self.state, State::Command)
        else {
            panic!("answered each recipient without a pending message");
        };
        assert_eq!(replies.len(), self.replies_to_message(recipients), "one reply per recipient");
        replies.iter().for_each(|reply| self.send_replies(reply, 1));
    }

    /// Answers [`Event::StartTls`] after the handshake; `description` gives version and cipher. Unread input, greeting,
    /// login and transaction are discarded: RFC 3207 §4.2.
    ///
    /// # Panics
    /// If that event is not pending.
    pub fn encrypted(&mut self, description: String) {
        assert!(
            matches!(self.state, State::AwaitingOwner(PendingRequest::Tls)),
            "encrypted without a pending StartTls"
        );
        self.lines.clear();
        (self.hello, self.user, self.transaction) = (None, None, None);
        self.config.tls = Tls::Active(description);
        self.state = State::Command;
    }

    /// The envelope of the open transaction, with the recipients accepted so far; `None` if no transaction is open.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.transaction.as_ref().map(|transaction| &transaction.envelope)
    }

    /// The client's name in EHLO, HELO or LHLO; `None` until one was accepted.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// The user who logged in, if one has.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// TLS version and cipher, if encrypted.
    pub fn tls(&self) -> Option<&str> {
        match &self.config.tls {
            Tls::Active(description) => Some(description),
            Tls::Absent | Tls::Offered => None,
        }
    }

    /// The protocol after `with` in a Received field, such as `ESMTPSA`: `S` stands for TLS, `A` for a login, `UTF8`
    /// for SMTPUTF8 in the last MAIL. After HELO it is always `SMTP`. RFC 3848, RFC 6531 §4.3.
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

    /// Queues a reply and records it; a positive one ends a series of errors. Replies to pipelined commands are sent
    /// together (RFC 2920 §3.2).
    pub(super) fn send_reply(&mut self, reply: &Reply) {
        if reply.is_positive() {
            self.errors = 0;
        }
        let start = self.output.len();
        // Writing to a String cannot fail.
        let _ = write!(self.output, "{reply}\r\n");
        self.recorder.note_lines(Side::Server, &self.output[start..]);
    }

    /// Queues a reply several times; 421 is queued once and closes the session (RFC 5321 §3.8).
    pub(super) fn send_replies(&mut self, reply: &Reply, times: usize) {
        if reply.is_farewell() {
            return self.close_with(reply);
        }
        (0..times).for_each(|_| self.send_reply(reply));
    }

    /// Queues the reply to a protocol error and counts the error; once more than the configured number come without a
    /// success in between, 421 in its place closes the session.
    pub(super) fn send_error(&mut self, reply: &Reply) {
        self.errors += 1;
        if self.config.max_errors < self.errors {
            return self.close_with(&Reply::new(421, (4, 7, 0), "Too many errors"));
        }
        self.send_reply(reply);
    }

    /// Queues a last reply and closes the session; further input is not processed.
    pub(super) fn close_with(&mut self, reply: &Reply) {
        self.send_reply(reply);
        self.state = State::Over;
    }

    /// Passes an event to the owner, whose answer completes `pending`.
    pub(super) fn forward(&mut self, pending: PendingRequest, event: Event) {
        self.state = State::AwaitingOwner(pending);
        self.event = Some(event);
    }

    /// Processes the next line, or the unread message data; `false` if more input or an answer of the owner is needed,
    /// or the session is over. An endless line, an HTTP request and, where a command or a response of AUTH is due, a
    /// shutdown close the session.
    fn step(&mut self) -> bool {
        match &self.state {
            State::AwaitingOwner(_) | State::Over => false,
            State::Command | State::Login(_) if self.is_stopping => {
                let name = self.config.hostname.clone();
                self.close_with(&Reply::new(421, (4, 3, 2), &format!("{name} is shutting down, try again later")));
                true
            }
            State::Command | State::Login(_) => match self.lines.next() {
                None => false,
                Some(Line::Endless) => {
                    self.close_with(&Reply::new(421, (4, 7, 0), "Line too long, closing connection"));
                    true
                }
                // As Postfix replies to its smtpd_forbidden_commands. The rest of the request may hold commands.
                Some(Line::Http) => {
                    self.close_with(&Reply::new(221, (2, 7, 0), "This is no HTTP server, closing connection"));
                    true
                }
                Some(line) => {
                    self.handle_line(line);
                    true
                }
            },
            State::Data(_) | State::Chunk { .. } if self.lines.is_empty() && !self.is_chunk_read() => false,
            State::Data(_) | State::Chunk { .. } => {
                let mut bytes = self.lines.take_all();
                let used = self.read_content(&bytes);
                bytes.advance(used);
                self.lines.put_back(bytes);
                true
            }
        }
    }

    /// Processes a line: during AUTH the response to a challenge, else a command. A line that is too long is an error,
    /// and ends AUTH.
    fn handle_line(&mut self, line: Line) {
        if let Line::Whole(line) = &line {
            self.note_command(line);
        }
        match (std::mem::replace(&mut self.state, State::Command), line) {
            (State::Login(exchange), Line::Whole(line)) => self.login_response(exchange, &line),
            (State::Login(_), _) => self.send_error(&Reply::new(500, (5, 5, 6), "Line too long")),
            (_, Line::Whole(line)) => self.handle_command(&line),
            (_, _) => self.send_error(&Reply::new(500, (5, 5, 2), "Line too long")),
        }
    }

    /// Records a line of the client, if the conversation is recorded: responses to AUTH challenges, initial responses
    /// and, after an attempt to log in, unknown commands are replaced by `***`.
    fn note_command(&mut self, line: &[u8]) {
        if self.recorder.is_noting() {
            let is_response = matches!(self.state, State::Login(_));
            self.has_tried_login |= is_response || line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"));
            let shown = if is_response { "***".into() } else { Command::shown(line, self.has_tried_login) };
            self.recorder.note_lines(Side::Client, &shown);
        }
    }

    /// Records that the client has closed its side and, inside DATA, how many bytes of the message had come.
    fn note_end(&self) {
        if let State::Data(reader) = &self.state {
            self.recorder.note_data(Side::Client, reader.bytes());
        }
        self.recorder.hung_up();
    }

    /// Takes the queued replies, to be sent; `None` if there are none.
    fn flush(&mut self) -> Option<Bytes> {
        let output = std::mem::take(&mut self.output);
        (!output.is_empty()).then(|| output.into())
    }
}

impl Machine for Session {
    type Event = Event;

    /// Reads message data at once, and buffers other input. The end of the stream ends the session without a reply.
    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.note_end();
            self.state = State::Over;
            return;
        }
        // Message data is not buffered as lines.
        let used = if self.lines.is_empty() { self.read_content(bytes) } else { 0 };
        self.lines.receive(&bytes[used..]);
    }

    fn next(&mut self) -> Next<Event> {
        loop {
            // 220 must be sent before the handshake.
            let must_flush = MAX_OUTPUT_BYTES <= self.output.len() || self.event == Some(Event::StartTls);
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
                (None, State::AwaitingOwner(_)) => Next::AwaitOwner,
                (None, State::Over) => Next::Close,
                (None, _) => Next::Read,
            };
        }
    }

    /// The length so far of the message that this input may complete: it may hold the end of DATA, or it has the rest
    /// of the last BDAT chunk; else 0.
    fn completed_bytes(&self, input: &[u8]) -> usize {
        match (&self.state, &self.transaction) {
            (State::Data(reader), _) if may_end_data(input) => reader.bytes(),
            (State::Chunk { left, is_last: true, .. }, Some(transaction)) if *left <= input.len() as u64 => {
                transaction.chunks.as_ref().map_or(0, MessageReader::bytes)
            }
            _ => 0,
        }
    }

    /// How long the client may be silent now: the configured time, but no more than what is left of the time for one
    /// message.
    fn timeout(&self) -> Duration {
        self.config.timeout.min(self.config.message_timeout.saturating_sub(self.waited))
    }

    /// Adds the time to the waiting time since the greeting or the last message, which `timeout` limits.
    fn add_wait(&mut self, time: Duration) {
        self.waited = self.waited.saturating_add(time);
    }

    /// Closes the session with 421 where the next command, or response of AUTH, is due; message data that is being
    /// received, and the reply to it, come first.
    fn shut_down(&mut self) {
        self.is_stopping = true;
    }

    /// Queues 421, whose text says whether the client was silent or its message took too long, and closes the session.
    fn on_timeout(&mut self) {
        let is_slow = self.config.message_timeout <= self.waited;
        let text = if is_slow { "Message took too long" } else { "Idle timeout" };
        self.close_with(&Reply::new(421, (4, 4, 2), text));
    }
}

/// Whether the end of DATA, a line with a dot, may be in this input, part of which may have come before. May be true
/// although the data goes on.
fn may_end_data(input: &[u8]) -> bool {
    memchr::memmem::find(input, b"\n.\r\n").is_some()
        || [b".\r\n".as_slice(), b"\r\n", b"\n"].iter().any(|end| input.starts_with(end))
}
