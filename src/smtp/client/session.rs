//! The client session: its states, the requests of its owner, and the loop that processes replies.
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
use super::super::reply::{InvalidReply, Replies, Reply};
use super::limits::Usage;
use super::transaction::Transaction;
use super::waits::Stopwatch;
use super::{Cause, Config, Event, Extensions, Failure, Stage, Waits, requirements};
use crate::auth::SaslClient;
use crate::mail::{Envelope, Message, Recipient, Side, Transcript};
use crate::net::{Machine, Next};
use crate::sync::beside_others;

/// Minimum transfer rate of a message.
const MIN_BYTES_PER_SECOND: u64 = 500;

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
/// assert_eq!(session.extensions().size, Some(1000));
/// session.quit();
/// ```
pub struct Session {
    pub(super) config: Config,
    pub(super) lines: Lines,
    replies: Replies,
    output: String,
    pub(super) event: Option<Event>,
    pub(super) state: State,
    pub(super) extensions: Extensions,
    /// How much of the peer's limits has been used.
    used: Usage,
    /// Number of login attempts: each needs its own nonce.
    pub(super) login_attempts: usize,
    /// The peer has an open transaction, which was abandoned.
    needs_reset: bool,
    /// Waiting time for the reply that is due.
    waited: Duration,
    pub(super) stopwatch: Stopwatch,
    /// See [`Session::hold_next_message`].
    holds_message: bool,
    is_stopping: bool,
    transcript: Option<Transcript>,
}

pub(super) enum State {
    Greeting,
    Hello {
        /// HELO after EHLO was refused.
        is_fallback: bool,
    },
    /// Waits for the owner.
    Idle,
    StartTls,
    /// Waits for the owner.
    Encrypting,
    Login(SaslClient),
    /// The login was cancelled; waits for the peer's reply.
    Cancelled,
    Transaction(Box<Transaction>),
    Quit,
    Over,
}

impl Session {
    /// Starts a session, which waits for the peer's greeting.
    pub fn new(config: Config) -> Self {
        let transcript = config.transcript.then(Transcript::default);
        Self {
            config,
            lines: Lines::default(),
            replies: Replies::default(),
            output: String::new(),
            event: None,
            state: State::Greeting,
            extensions: Extensions::default(),
            used: Usage::default(),
            login_attempts: 0,
            needs_reset: false,
            waited: Duration::ZERO,
            stopwatch: Stopwatch::default(),
            holds_message: false,
            is_stopping: false,
            transcript,
        }
    }

    /// The peer's extensions, as in its last reply to EHLO or LHLO; none before that, after HELO, and between the TLS
    /// handshake and the next [`Event::Ready`].
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Number of these recipients, from the first on, that the peer's limits allow on this connection. RFC 9422.
    pub fn recipient_capacity(&self, recipients: &[Recipient]) -> usize {
        self.used.capacity(&self.extensions.limits, recipients)
    }

    /// Sends a message to all recipients of the envelope, its lone CR and LF replaced if [`Config::bare_line_ends`]
    /// says so; [`Event::Sent`] has the results. This takes one transaction, or more if the peer limits recipients;
    /// those beyond the [capacity](Self::recipient_capacity) get a transient `NotSent`.
    ///
    /// # Panics
    /// If the session is not ready.
    pub fn send(&mut self, envelope: Envelope, message: &Message) {
        let rule = self.config.bare_line_ends;
        let fixed = || requirements::with_fixed_line_ends(&envelope, message, rule);
        let message = beside_others(message.len(), fixed);
        let capacity = self.recipient_capacity(&envelope.recipients);
        self.used.note(&self.extensions.limits, &envelope.recipients[..capacity]);
        let mut transaction =
            Transaction::new(envelope, message, &self.extensions, &self.config, self.needs_reset, capacity);
        if std::mem::take(&mut self.holds_message) {
            transaction.hold_message();
        }
        self.begin(State::Transaction(Box::new(transaction)));
    }

    /// Makes the next [`Self::send`] transfer the message only after the peer has accepted its envelope. Used when the
    /// connection was idle and the peer may have closed it, so that the message is not in doubt then.
    pub fn hold_next_message(&mut self) {
        self.holds_message = true;
    }

    /// Sends QUIT; the session is over after the reply.
    ///
    /// # Panics
    /// If the session is not ready.
    pub fn quit(&mut self) {
        self.begin(State::Quit);
        self.send_line(&Command::Quit.to_string());
    }

    /// The stage of the session, by the reply that is due: at [`Stage::Dot`] the peer may have accepted the message.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting => Stage::Greeting,
            State::Hello { .. } => Stage::Hello,
            State::StartTls | State::Encrypting => Stage::StartTls,
            State::Login(_) | State::Cancelled => Stage::Login,
            State::Transaction(transaction) => transaction.stage(),
            State::Idle | State::Quit | State::Over => Stage::Idle,
        }
    }

    /// Ends the session after the owner has found the connection lost or timed out. Returns the failure, with what is
    /// known about the transaction; if there is a transcript, the unfinished line of the peer is recorded there.
    pub fn abandon(&mut self) -> Failure {
        self.note_rest();
        self.failure(Cause::Lost)
    }

    /// With a transcript, records what the peer sent after its last complete line, and discards it.
    fn note_rest(&mut self) {
        if let Some(transcript) = self.transcript.as_mut().filter(|_| !self.lines.is_empty()) {
            transcript.note(Side::Server, &String::from_utf8_lossy(self.lines.unread()));
            self.lines.clear();
        }
    }

    /// Takes the transcript since the last call; empty unless [`Config::transcript`] is set.
    pub fn take_transcript(&mut self) -> Transcript {
        self.transcript.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes how long the session waited for the peer since the last call, by purpose; not for AUTH and QUIT.
    pub fn take_waits(&mut self) -> Waits {
        self.stopwatch.take()
    }

    /// Starts a request of the owner: enters the state in which its reply is awaited, and restarts the waiting time.
    ///
    /// # Panics
    /// If the session is not ready.
    pub(super) fn begin(&mut self, state: State) {
        assert!(matches!(self.state, State::Idle), "the session is not ready");
        self.waited = Duration::ZERO;
        self.state = state;
    }

    /// Queues a line, given without its line end, and records it in the transcript.
    pub(super) fn send_line(&mut self, line: &str) {
        self.send_masked(line, line);
    }

    /// Queues a line, given without its line end, and records another one in the transcript.
    pub(super) fn send_masked(&mut self, line: &str, record: &str) {
        if let Some(transcript) = &mut self.transcript {
            transcript.note(Side::Client, record);
        }
        self.output.push_str(line);
        self.output.push_str("\r\n");
    }

    /// Queues EHLO, or LHLO over LMTP, and waits for its reply.
    pub(super) fn send_hello(&mut self) {
        let name = self.config.hello.clone();
        let command = if self.config.lmtp { Command::Lhlo(name) } else { Command::Ehlo(name) };
        self.state = State::Hello { is_fallback: false };
        self.send_line(&command.to_string());
    }

    /// Makes the session idle after EHLO or a login, and reports [`Event::Ready`] to the owner; while shutting down,
    /// queues QUIT instead.
    pub(super) fn ready(&mut self) {
        self.state = State::Idle;
        if self.is_stopping { self.quit() } else { self.event = Some(Event::Ready) }
    }

    /// Makes the session idle and reports, by this event, the end of a request to the owner, who may make the next one.
    pub(super) fn yield_turn(&mut self, event: Event) {
        self.state = State::Idle;
        self.event = Some(event);
    }

    /// Ends the session and reports the failure to the owner. After a refusal other than 421, QUIT is still sent.
    pub(super) fn fail(&mut self, cause: Cause) {
        // After a mere refusal, QUIT is sent: RFC 5321 §3.1, §4.1.1.10.
        let is_polite = matches!(&cause, Cause::Refused(reply) if !reply.is_farewell());
        let failure = self.failure(cause);
        self.event = Some(Event::Failed(failure));
        if is_polite {
            self.state = State::Quit;
            self.send_line(&Command::Quit.to_string());
        }
    }

    /// Ends the session; returns the cause with the stage and the verdicts of the transaction. The stage is `Dot` if
    /// the whole message was sent and the peer did not refuse it, whichever reply was due.
    fn failure(&mut self, cause: Cause) -> Failure {
        let stage = match &self.state {
            // Whichever reply was next, the peer has the whole message.
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

    /// Finishes a transaction that is over, queues its next commands, or processes a line of the peer; `false` if there
    /// is nothing to do before the peer or the owner acts.
    fn step(&mut self) -> bool {
        match &mut self.state {
            State::Idle | State::Encrypting | State::Over => false,
            State::Transaction(transaction) if transaction.is_over() => {
                self.finish_transaction();
                true
            }
            // Unsolicited input must not be taken for the reply to the next command.
            State::Transaction(transaction) if !transaction.is_waiting() && self.lines.is_empty() => {
                let group = transaction.group();
                group.iter().for_each(|command| self.send_line(command));
                true
            }
            _ => self.read_line(),
        }
    }

    /// Reports the results of the transaction to the owner, who may make the next request. If the peer still has it
    /// open, the next one begins with RSET.
    fn finish_transaction(&mut self) {
        if let State::Transaction(transaction) = std::mem::replace(&mut self.state, State::Idle) {
            self.needs_reset = transaction.is_open();
            self.event = Some(Event::Sent(transaction.outcome()));
        }
    }

    /// Processes the next line of the peer; `false` if none is complete. A line that is too long or not a reply ends
    /// the session as a violation; the latter after QUIT just ends it.
    fn read_line(&mut self) -> bool {
        let reply = match self.lines.next() {
            None => return false,
            Some(Line::Whole(line)) => {
                if let Some(transcript) = &mut self.transcript {
                    transcript.note(Side::Server, &String::from_utf8_lossy(&line));
                }
                self.replies.line(&line)
            }
            Some(Line::Http) => Err(InvalidReply::Code),
            Some(Line::TooLong | Line::Endless) => {
                if let Some(transcript) = &mut self.transcript {
                    transcript.note(Side::Server, "(a line that is too long)");
                }
                self.fail(Cause::Violation("a line of the peer is too long"));
                return true;
            }
        };
        match reply {
            Ok(Some(reply)) => self.handle_reply(reply),
            Ok(None) => {}
            Err(_) if matches!(self.state, State::Quit) => self.state = State::Over,
            Err(_) => self.fail(Cause::Violation("a line of the peer is not a reply")),
        }
        true
    }

    /// Processes a complete reply in the state for which it is. Any reply to QUIT, even 421, ends the session in order;
    /// else 421, a greeting other than `2yz` and a reply to no command end it as refused.
    fn handle_reply(&mut self, reply: Reply) {
        self.waited = Duration::ZERO;
        self.stopwatch.replied(self.stage());
        match std::mem::replace(&mut self.state, State::Over) {
            State::Quit | State::Over => {}
            state if reply.is_farewell() => {
                self.state = state;
                self.fail(Cause::Refused(reply));
            }
            State::Greeting if reply.is_positive() => self.send_hello(),
            State::Hello { is_fallback } => self.hello_reply(is_fallback, reply),
            State::StartTls => self.starttls_reply(reply),
            State::Login(sasl) => self.login_reply(sasl, reply),
            State::Cancelled => self.yield_turn(Event::LoginRefused(reply)),
            State::Transaction(mut transaction) => {
                let taken = transaction.handle_reply(reply);
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

    /// Processes the reply to EHLO, LHLO or, with `is_fallback`, HELO: stores the extensions and reports readiness. If
    /// EHLO is refused with `5yz`, HELO follows (RFC 5321 §3.2, §4.1.4); another refusal ends the session. LMTP has no
    /// older greeting.
    fn hello_reply(&mut self, is_fallback: bool, reply: Reply) {
        self.state = State::Hello { is_fallback: true };
        if reply.is_positive() {
            self.extensions = if is_fallback { Extensions::default() } else { Extensions::read(&reply) };
            self.ready();
        } else if reply.is_permanent() && !is_fallback && !self.config.lmtp {
            self.send_line(&Command::Helo(self.config.hello.clone()).to_string());
        } else {
            self.fail(Cause::Refused(reply));
        }
    }

    /// The next part of the message to send, `None` if none is due. After the last one, the transcript notes the
    /// message, and the wait for its reply begins.
    fn next_part(&mut self) -> Option<Bytes> {
        let State::Transaction(transaction) = &mut self.state else { return None };
        if transaction.stage() != Stage::Message {
            return None;
        }
        let part = transaction.next_part();
        if part.is_none() {
            self.waited = Duration::ZERO;
            if let Some(transcript) = &mut self.transcript {
                match transaction.data_bytes() {
                    // RFC 2920 §3.1: without a recipient, only the dot was sent.
                    0 => transcript.note(Side::Client, "."),
                    bytes => transcript.note_data(Side::Client, bytes),
                }
            }
        }
        part
    }
}

impl Machine for Session {
    type Event = Event;

    /// Buffers the input. The end of the stream ends the session; before QUIT, this is a failure.
    fn receive(&mut self, bytes: &[u8]) {
        match &self.state {
            _ if !bytes.is_empty() => self.lines.receive(bytes),
            State::Quit | State::Over => self.state = State::Over,
            _ => {
                self.note_rest();
                self.fail(Cause::Closed);
            }
        }
    }

    fn next(&mut self) -> Next<Event> {
        loop {
            // A failure is reported even if QUIT can no longer be sent.
            if let Some(event) = self.event.take() {
                return Next::Event(event);
            }
            if !self.output.is_empty() {
                return Next::Send(std::mem::take(&mut self.output).into());
            }
            if let Some(part) = self.next_part() {
                return Next::Send(part);
            }
            if self.step() {
                continue;
            }
            return match self.state {
                State::Idle | State::Encrypting => Next::AwaitOwner,
                State::Over => Next::Close,
                _ => Next::Read,
            };
        }
    }

    /// Whether only some replies to a group of pipelined commands, or over LMTP to the message, have arrived.
    fn expects_more(&self) -> bool {
        matches!(&self.state, State::Transaction(transaction) if transaction.expects_more())
    }

    /// Whether queued commands or a part of the message can be sent now, before an event is due.
    fn has_more(&self) -> bool {
        let has_part = || matches!(&self.state, State::Transaction(transaction) if transaction.has_part());
        self.event.is_none() && (!self.output.is_empty() || has_part())
    }

    /// How long to wait for the peer now: what is left of the total time of the stage, which partial replies do not
    /// extend. RFC 5321 §4.5.3.2. While the message is sent: the timeout for one block, within that plus the time of
    /// the message at 500 bytes per second.
    fn timeout(&self) -> Duration {
        let timeout = &self.config.timeout;
        let most = match (self.stage(), &self.state) {
            (Stage::Greeting, _) => timeout.greeting,
            (Stage::Rcpt, _) => timeout.rcpt,
            (Stage::Data, _) => timeout.data,
            (Stage::Message, State::Transaction(transaction)) => {
                let whole =
                    timeout.block + Duration::from_secs(transaction.message_bytes() as u64 / MIN_BYTES_PER_SECOND);
                return whole.saturating_sub(self.waited).min(timeout.block);
            }
            (Stage::Dot, _) => timeout.dot,
            _ => timeout.command,
        };
        most.saturating_sub(self.waited)
    }

    /// Adds the time to the waiting time for the reply that is due, which `timeout` limits, and to the waits of the
    /// stage.
    fn add_wait(&mut self, time: Duration) {
        self.waited = self.waited.saturating_add(time);
        self.stopwatch.add(self.stage(), time);
    }

    /// Makes the session quit where it would report [`Event::Ready`]. A transaction in progress is finished, and its
    /// [`Event::Sent`] reported, after which the owner quits.
    fn shut_down(&mut self) {
        self.is_stopping = true;
    }
}
