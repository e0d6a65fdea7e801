//! One conversation at a door: who came, what was said, and what became of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Protocol;
use super::sessions::Sessions;
use crate::mail::{JourneyId, Side, Transcript};
use crate::net;
use crate::sync::lock;

/// Messages and refusals of one conversation that are listed; further ones are counted.
const MAX_LISTED: usize = 100;
/// A name that a client sends is cut to this many characters.
const MAX_NAME_CHARS: usize = 255;

/// What can become of a conversation; several may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A message was accepted.
    Accepted,
    /// A message was fetched as a whole.
    Retrieved,
    /// A user logged in.
    LoggedIn,
    /// A command was answered by `4yz`, `5yz`, `-ERR`, `NO` or `BAD`.
    Refused,
    /// A login was refused: RFC 4954 §6 (535), RFC 3206 §4 (`AUTH`), RFC 5530 §3 (`AUTHENTICATIONFAILED`).
    WrongPassword,
    /// The TLS handshake failed.
    TlsFailed,
    /// The client was silent for too long, or read nothing.
    TimedOut,
    /// The client hung up without a farewell.
    HungUp,
    /// The same, after the beginning of a message and before the reply to it.
    HungUpInData,
    /// This side broke it off: the host was killed, or a fault did it.
    BrokenOff,
}

impl Outcome {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Retrieved => "retrieved",
            Self::LoggedIn => "logged_in",
            Self::Refused => "refused",
            Self::WrongPassword => "wrong_password",
            Self::TlsFailed => "tls_failed",
            Self::TimedOut => "timed_out",
            Self::HungUp => "hung_up",
            Self::HungUpInData => "hung_up_in_data",
            Self::BrokenOff => "broken_off",
        }
    }
}

/// A command that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// The command, as in the transcript; empty for the greeting.
    pub command: String,
    /// The reply; of several lines, the last.
    pub reply: String,
}

/// One conversation, as it is at the moment.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// Its number, which grows from conversation to conversation, also from start to start of the process.
    pub id: u64,
    /// The protocol.
    pub protocol: Protocol,
    /// The host that answers, by its short name.
    pub host: String,
    /// The address of the client.
    pub client: IpAddr,
    /// The name that it gave in EHLO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello: Option<String>,
    /// When it connected.
    pub began: Timestamp,
    /// When the conversation ended.
    pub ended: Option<Timestamp>,
    /// TLS version and cipher, if encrypted.
    pub tls: Option<String>,
    /// The name with which the client tried to log in last.
    pub login: Option<String>,
    /// What became of it so far, sorted.
    pub outcome: Vec<Outcome>,
    /// The messages that were accepted or fetched.
    pub journeys: Vec<JourneyId>,
    /// How many messages were accepted.
    pub accepted: u64,
    /// The commands that were refused.
    pub refusals: Vec<Refusal>,
    /// How many.
    pub refused: u64,
    /// Why it ended, unless in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was said.
    #[serde(skip)]
    pub dialogue: TimedTranscript,
    /// The last command, which a refusal is about.
    #[serde(skip)]
    command: String,
    /// The data of a message have begun, and there is no reply to them.
    #[serde(skip)]
    is_in_data: bool,
}

/// A transcript whose lines have times: `[side, line, milliseconds since the conversation began]`.
#[derive(Clone, Debug, Default)]
pub struct TimedTranscript {
    transcript: Transcript,
    times: Vec<u32>,
}

impl TimedTranscript {
    /// The lines in order, without line ends, with their times in milliseconds since the conversation began.
    pub fn lines(&self) -> impl Iterator<Item = (Side, &str, u32)> {
        self.transcript.lines().zip(&self.times).map(|((side, line), time)| (side, line, *time))
    }

    /// Adds one line of this side, with its time in milliseconds since the beginning. Once the transcript is full, the
    /// line is only counted as dropped, and `time` is not called.
    fn note(&mut self, side: Side, line: &str, time: impl FnOnce() -> u32) {
        self.transcript.note(side, line);
        self.add_time(time);
    }

    /// Adds one line that stands for this many bytes of message data, as [`Self::note`].
    fn note_data(&mut self, side: Side, bytes: usize, time: impl FnOnce() -> u32) {
        self.transcript.note_data(side, bytes);
        self.add_time(time);
    }

    /// Adds the time of the last line, if it was kept.
    fn add_time(&mut self, time: impl FnOnce() -> u32) {
        if self.times.len() < self.transcript.len() {
            self.times.push(time());
        }
    }

    /// Approximate memory use in bytes.
    fn memory_bytes(&self) -> usize {
        self.transcript.memory_bytes() + size_of_val(&*self.times)
    }
}

impl Serialize for TimedTranscript {
    /// As an object: `lines`, each with side, text and time, and `dropped`, the number of lines that were not kept.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Lines<'a> {
            lines: Vec<(Side, &'a str, u32)>,
            dropped: usize,
        }
        Lines { lines: self.lines().collect(), dropped: self.transcript.dropped }.serialize(serializer)
    }
}

/// Milliseconds from `began` to `now`; [`u32::MAX`] if they are more, or `now` is earlier.
fn millis(began: Timestamp, now: Timestamp) -> u32 {
    now.duration_since(began).as_millis().try_into().unwrap_or(u32::MAX)
}

impl Session {
    pub(super) fn new(id: u64, (protocol, host, client): (Protocol, &str, IpAddr), began: Timestamp) -> Self {
        Self {
            id,
            protocol,
            host: host.to_owned(),
            client,
            hello: None,
            began,
            ended: None,
            tls: None,
            login: None,
            outcome: Vec::new(),
            journeys: Vec::new(),
            accepted: 0,
            refusals: Vec::new(),
            refused: 0,
            error: None,
            dialogue: TimedTranscript::default(),
            command: String::new(),
            is_in_data: false,
        }
    }

    /// Approximate memory use in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let refusals =
            self.refusals.iter().map(|refusal| size_of::<Refusal>() + refusal.command.len() + refusal.reply.len());
        let names = [&self.hello, &self.tls, &self.login, &self.error].into_iter().flatten().map(String::len);
        size_of::<Self>()
            + self.host.len()
            + self.command.len()
            + names.chain(refusals).sum::<usize>()
            + size_of_val(&*self.journeys)
            + self.dialogue.memory_bytes()
    }

    /// Adds an outcome, at its place in the order, unless it is there already.
    fn add(&mut self, outcome: Outcome) {
        if let Err(place) = self.outcome.binary_search(&outcome) {
            self.outcome.insert(place, outcome);
        }
    }

    /// Adds a line to the dialogue. A line of the server is judged as a reply, and begins the data of a message if it
    /// is 354, else ends it. A line of the client is the command of later refusals, and begins the data if it is BDAT.
    fn note(&mut self, side: Side, line: &str, now: impl Fn() -> Timestamp) {
        // POP3 and IMAP have no DATA, whatever their lines look like.
        let is_smtp = !matches!(self.protocol, Protocol::Pop3 | Protocol::Imap);
        match side {
            Side::Server => {
                self.is_in_data = is_smtp && line.starts_with("354");
                self.judge(line, &now);
            }
            Side::Client => {
                // RFC 3030 §2.
                self.is_in_data |= is_smtp && line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case("BDAT"));
                self.command.clear();
                self.command.extend(line.chars().take(MAX_NAME_CHARS));
            }
        }
        self.dialogue.note(side, line, || millis(self.began, now()));
    }

    /// If the line of the server is a refusal, adds [`Outcome::WrongPassword`] or [`Outcome::Refused`], counts it, and
    /// lists it with the last command, up to 100. Other lines change nothing.
    fn judge(&mut self, reply: &str, now: impl Fn() -> Timestamp) {
        let mut words = reply.split_ascii_whitespace();
        let is_refusal = match self.protocol {
            // RFC 5321 §4.2.1; only the last line of a reply, as all have the same code.
            Protocol::Smtp | Protocol::Submission | Protocol::Lmtp => {
                reply.starts_with(['4', '5']) && reply.as_bytes().get(3) != Some(&b'-')
            }
            Protocol::Pop3 => reply.starts_with("-ERR"),
            // RFC 9051 §7.1: tagged replies are about the command.
            Protocol::Imap => words.next() != Some("*") && matches!(words.next(), Some("NO" | "BAD")),
        };
        if !is_refusal {
            return;
        }
        let has_code = |code: &str| reply.contains(code);
        let is_login = match self.protocol {
            Protocol::Smtp | Protocol::Submission | Protocol::Lmtp => reply.starts_with("535"),
            Protocol::Pop3 => has_code("[AUTH]"),
            Protocol::Imap => has_code("[AUTHENTICATIONFAILED]"),
        };
        self.add(if is_login { Outcome::WrongPassword } else { Outcome::Refused });
        self.refused += 1;
        if self.refusals.len() < MAX_LISTED {
            let reply = reply.trim_end().chars().take(MAX_NAME_CHARS).collect();
            self.refusals.push(Refusal { at: now(), command: self.command.clone(), reply });
        }
    }

    /// Notes the error with which it ended, and adds its outcome: timed out, TLS failed, hung up if the connection was
    /// closed and no fault broke it off, otherwise broken off. Changes nothing if it ended in order.
    fn end(&mut self, result: Result<(), &net::Error>) {
        let Err(error) = result else { return };
        self.error = Some(error.to_string());
        match error {
            net::Error::Silent(_) => self.add(Outcome::TimedOut),
            net::Error::Tls { .. } => self.add(Outcome::TlsFailed),
            net::Error::Closed if self.outcome.contains(&Outcome::BrokenOff) => {}
            net::Error::Closed => self.hung_up(),
            _ => self.add(Outcome::BrokenOff),
        }
    }

    /// Adds [`Outcome::HungUpInData`] between the beginning of a message and the reply to it, otherwise
    /// [`Outcome::HungUp`].
    fn hung_up(&mut self) {
        let outcome = if self.is_in_data { Outcome::HungUpInData } else { Outcome::HungUp };
        self.add(outcome);
    }
}

/// Notes one conversation, or nothing. The protocol's session and the handler of the connection each have a clone; the
/// conversation ends with the last of them, if it was not ended before.
#[derive(Clone, Default)]
pub struct Recorder(Option<Arc<Recording>>);

/// A conversation that goes on.
pub(super) struct Recording {
    pub(super) sessions: Sessions,
    pub(super) id: u64,
    pub(super) session: Mutex<Session>,
}

impl Recorder {
    pub(super) fn new(recording: Arc<Recording>) -> Self {
        Self(Some(recording))
    }

    /// Whether the recorder notes a conversation; otherwise it does nothing.
    pub fn is_noting(&self) -> bool {
        self.0.is_some()
    }

    /// The number of the conversation; `None` if the recorder does nothing.
    pub fn id(&self) -> Option<u64> {
        self.0.as_ref().map(|recording| recording.id)
    }

    /// Applies a change to the conversation, if it is noted, with the clock, and reports the sizes before and after to
    /// the list of conversations.
    fn update(&self, change: impl FnOnce(&mut Session, &dyn Fn() -> Timestamp)) {
        if let Some(recording) = &self.0 {
            let (before, after) = {
                let mut session = lock(&recording.session);
                let before = session.memory_bytes();
                change(&mut session, &|| recording.sessions.now());
                (before, session.memory_bytes())
            };
            recording.sessions.changed(before, after);
        }
    }

    /// Notes a line, or several, of one side, and the refusals among them. Without memory for more, they are only
    /// counted as dropped.
    pub fn note_lines(&self, side: Side, lines: &str) {
        let has_room = self.0.as_ref().is_some_and(|recording| recording.sessions.has_room());
        self.update(|session, now| match has_room {
            true => lines.lines().for_each(|line| session.note(side, line, now)),
            false => session.dialogue.transcript.dropped += lines.lines().count(),
        });
    }

    /// Notes that one side sent this many bytes of message data, which are not kept, as one line.
    pub fn note_data(&self, side: Side, bytes: usize) {
        self.update(|session, now| session.dialogue.note_data(side, bytes, || millis(session.began, now())));
    }

    /// Notes the name that the client gives itself in EHLO, HELO or LHLO, up to 255 characters.
    pub fn hello(&self, name: &str) {
        self.update(|session, _| session.hello = Some(name.chars().take(MAX_NAME_CHARS).collect()));
    }

    /// Notes the TLS version and cipher; `None` if the connection is not encrypted.
    pub fn encrypted(&self, description: Option<String>) {
        self.update(|session, _| session.tls = description);
    }

    /// Notes the user name of an attempt to log in, up to 255 characters, in the place of an earlier one.
    pub fn login(&self, name: &str) {
        self.update(|session, _| session.login = Some(name.chars().take(MAX_NAME_CHARS).collect()));
    }

    /// Notes that the attempt to log in succeeded.
    pub fn logged_in(&self) {
        self.update(|session, _| session.add(Outcome::LoggedIn));
    }

    /// Counts a message that was accepted, before the reply to it, and lists its journey unless 100 are listed.
    pub fn accepted(&self, journey: JourneyId) {
        self.update(|session, _| {
            session.accepted += 1;
            session.add(Outcome::Accepted);
            session.list(journey);
        });
    }

    /// Notes a message that was fetched as a whole, and lists its journey unless 100 are listed.
    pub fn retrieved(&self, journey: JourneyId) {
        self.update(|session, _| {
            session.add(Outcome::Retrieved);
            session.list(journey);
        });
    }

    /// Notes that the client closed its side before a farewell, or amid a message. The conversation goes on until
    /// [`Recorder::end`].
    pub fn hung_up(&self) {
        self.update(|session, _| session.hung_up());
    }

    /// Ends the conversation with the result of the connection, and moves it to those that ended. Does nothing if it
    /// has ended already.
    pub fn end(&self, result: Result<(), &net::Error>) {
        if let Some(recording) = &self.0 {
            recording.end(|session| session.end(result));
        }
    }

    /// Notes that a fault breaks the connection. The conversation goes on until [`Recorder::end`].
    pub fn broken_off(&self) {
        self.update(|session, _| session.add(Outcome::BrokenOff));
    }

    /// Ends, with this error, a conversation that failed before it could be noted, as in the TLS handshake. `took`
    /// before now becomes its beginning.
    pub fn end_after(&self, took: Duration, error: &net::Error) {
        self.update(|session, now| {
            let now = now();
            session.began = now.checked_sub(took).unwrap_or(now);
        });
        self.end(Err(error));
    }
}

impl Session {
    /// Lists the journey of a message, unless it is listed already, or [`MAX_LISTED`] others are.
    fn list(&mut self, journey: JourneyId) {
        if self.journeys.len() < MAX_LISTED && !self.journeys.contains(&journey) {
            self.journeys.push(journey);
        }
    }
}

impl Recording {
    /// Ends the conversation now, after a last change, and moves it to those that ended. Does nothing if it has ended
    /// already.
    fn end(&self, change: impl FnOnce(&mut Session)) {
        let (ended, before) = {
            let mut session = lock(&self.session);
            if session.ended.is_some() {
                return;
            }
            let before = session.memory_bytes();
            change(&mut session);
            session.ended = Some(self.sessions.now());
            (session.clone(), before)
        };
        self.sessions.close(ended, before);
    }
}

impl Drop for Recording {
    /// Ends the conversation as broken off, unless it has ended: no recorder of it is left.
    fn drop(&mut self) {
        self.end(|session| session.add(Outcome::BrokenOff));
    }
}

impl fmt::Debug for Recorder {
    /// Shows the number of the conversation only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({:?})", self.id())
    }
}

/// What is said on a connection: for the entry of the conversation and, as far as it is recorded, for the next event.
#[derive(Debug, Default)]
pub struct Dialogue {
    transcript: Option<Transcript>,
    recorder: Recorder,
}

impl Dialogue {
    /// A dialogue that has said nothing; `is_recorded` if events want a transcript.
    pub fn new(is_recorded: bool, recorder: Recorder) -> Self {
        Self { transcript: is_recorded.then(Transcript::default), recorder }
    }

    /// Whether the lines are kept at all, for events or for the conversation; otherwise they need not be made.
    pub fn is_wanted(&self) -> bool {
        self.transcript.is_some() || self.recorder.is_noting()
    }

    /// The recorder of the conversation.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Adds one line to the transcript and to the conversation.
    pub fn note(&mut self, side: Side, line: &str) {
        if let Some(transcript) = &mut self.transcript {
            transcript.note(side, line);
        }
        self.recorder.note_lines(side, line);
    }

    /// Adds several lines, as they were on the wire, to the transcript and to the conversation.
    pub fn note_lines(&mut self, side: Side, lines: &str) {
        if let Some(transcript) = &mut self.transcript {
            transcript.note_lines(side, lines);
        }
        self.recorder.note_lines(side, lines);
    }

    /// Adds one line to the transcript and to the conversation: that one side sent this many bytes of message data,
    /// which are not kept.
    pub fn note_data(&mut self, side: Side, bytes: usize) {
        if let Some(transcript) = &mut self.transcript {
            transcript.note_data(side, bytes);
        }
        self.recorder.note_data(side, bytes);
    }

    /// Takes the transcript since the last call, for an event; empty if events want none. The transcript of the
    /// conversation stays as it is.
    pub fn take_transcript(&mut self) -> Transcript {
        self.transcript.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
