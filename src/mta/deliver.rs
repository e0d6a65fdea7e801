//! One connection to a next hop, and the transactions made on it. RFC 5321 §3.3, §5.1; TLS where the peer has it
//! (RFC 7435: some protection most of the time).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::route::{NextHop, Target};
use super::{Failure, Mta};
use crate::mail::{Dialogue, Envelope, Letter, Recipient};
use crate::net::{self, Conn, Stop};
use crate::smtp::Reply;
use crate::smtp::client::{self, Cause, Config, Event, Session, Stage};
use crate::world::TlsMode;

/// An open connection that waits for a message.
pub(super) struct Line {
    conn: Box<Conn<Session>>,
    /// The peer's name, as far as we know it.
    host: String,
    began: Instant,
    /// When it last answered.
    heard: Instant,
}

/// Behind a longer pause the peer may have hung up.
const PAUSE: Duration = Duration::from_millis(250);

/// What became of one message at one next hop.
#[derive(Debug)]
pub(super) struct Attempt {
    /// One for each recipient, in the order of the envelope.
    pub(super) verdicts: Vec<Verdict>,
    /// The host that was spoken to.
    pub(super) host: Option<String>,
    /// It takes over the duty to report. RFC 3461 §5.2.1.
    pub(super) keeps_dsn: bool,
    /// Version and cipher.
    pub(super) tls: Option<String>,
    /// From connecting, or from the first command on a connection that was open already, to the last reply.
    pub(super) took: Duration,
    pub(super) dialogue: Option<Dialogue>,
    /// The peer was gone before it heard of the message, as may happen on a connection that was idle.
    pub(super) unheard: bool,
}

/// What became of one recipient.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Accepted(Reply),
    Failed(Failure),
}

/// No connection came up.
#[derive(Clone, Debug)]
pub(super) struct NoLine {
    failure: Failure,
    took: Duration,
    dialogue: Option<Dialogue>,
}

impl NoLine {
    #[cfg(test)]
    pub(super) fn of_test() -> Self {
        Self { failure: Failure::Loop(String::new()), took: Duration::ZERO, dialogue: None }
    }

    /// Whether trying again cannot help.
    pub(super) fn is_permanent(&self) -> bool {
        self.failure.is_permanent()
    }

    /// The same bad news for a message with so many recipients.
    pub(super) fn for_recipients(&self, count: usize) -> Attempt {
        Attempt {
            verdicts: vec![Verdict::Failed(self.failure.clone()); count],
            host: self.failure.host().map(str::to_owned),
            keeps_dsn: false,
            tls: None,
            took: self.took,
            dialogue: self.dialogue.clone(),
            unheard: false,
        }
    }
}

impl Attempt {
    /// Both together: what the second connection did for the recipients that the first had no room for.
    pub(super) fn and(mut self, rest: Self) -> Self {
        self.verdicts.extend(rest.verdicts);
        self.took += rest.took;
        self.keeps_dsn &= rest.keeps_dsn;
        match (&mut self.dialogue, rest.dialogue) {
            (Some(dialogue), Some(more)) => dialogue.append(&more),
            (dialogue, more) => *dialogue = dialogue.take().or(more),
        }
        self
    }

    /// The worker is gone before it answered, because the host stops.
    pub(super) fn interrupted(count: usize) -> Self {
        let what = "was left in the middle, since this host stopped".to_owned();
        let failure = Failure::Broken { host: "the next host".to_owned(), what, in_doubt: true };
        NoLine { failure, took: Duration::ZERO, dialogue: None }.for_recipients(count)
    }
}

/// How far a connection got before it failed.
enum Trouble {
    /// Without TLS it may work.
    Tls(net::Error),
    Other(Failure, Option<Dialogue>),
}

impl Line {
    /// Connects to the first host of a next hop that will talk to us.
    pub(super) async fn open(mta: &Mta, hop: &NextHop) -> Result<Self, NoLine> {
        let began = Instant::now();
        let fail = |failure, dialogue| NoLine { failure, took: began.elapsed(), dialogue };
        let targets = hop.targets(mta).await.map_err(|failure| fail(failure, None))?;
        let mut worst = fail(Failure::Loop(String::new()), None);
        for target in &targets {
            for address in &target.addresses {
                match Self::reach(mta, hop, target, *address).await {
                    Ok(line) => return Ok(Self { began, heard: Instant::now(), ..line }),
                    Err((failure, dialogue)) => worst = fail(failure, dialogue),
                }
            }
        }
        Err(worst)
    }

    /// As well protected as the way must be: with opportunistic TLS, without it if that fails.
    async fn reach(
        mta: &Mta,
        hop: &NextHop,
        target: &Target,
        address: SocketAddr,
    ) -> Result<Self, (Failure, Option<Dialogue>)> {
        let host = || target.name.clone();
        match Self::greet(mta, hop, target, address, hop.tls != TlsMode::None).await {
            Ok(line) => Ok(line),
            Err(Trouble::Other(failure, dialogue)) => Err((failure, dialogue)),
            Err(Trouble::Tls(error)) if TlsMode::Opportunistic < hop.tls => {
                Err((Failure::BadTls { host: host(), why: error.to_string(), required: hop.sender_requires }, None))
            }
            Err(Trouble::Tls(error)) => {
                tracing::info!(host = %target.name, %error, "going on without TLS");
                Self::greet(mta, hop, target, address, false).await.map_err(|trouble| match trouble {
                    Trouble::Other(failure, dialogue) => (failure, dialogue),
                    Trouble::Tls(error) => (Failure::unreachable(&target.name, &error), None),
                })
            }
        }
    }

    /// Up to the point where a message may be sent.
    async fn greet(mta: &Mta, hop: &NextHop, target: &Target, address: SocketAddr, tls: bool) -> Result<Self, Trouble> {
        let setup = mta.setup();
        let broken = |error: net::Error| Trouble::Other(Failure::unreachable(&target.name, &error), None);
        let stream = setup.interface.connect(address).await.map_err(broken)?;
        let config = Config {
            hello: mta.fqdn().to_owned(),
            lmtp: hop.is_lmtp(),
            bare_line_ends: setup.settings.policy.bare_line_ends,
            dialogue: setup.recorder.wants_dialogues(),
            ..Config::default()
        };
        let trust = if hop.tls == TlsMode::Verified { &setup.authority } else { &setup.trust };
        let host = target.name.clone();
        let conn = Box::new(Conn::new(stream, Session::new(config), Stop::new()));
        let mut line = Self { conn, host, began: Instant::now(), heard: Instant::now() };
        loop {
            match line.conn.event().await.map_err(broken)? {
                Some(Event::Ready)
                    if tls && line.conn.stream().tls().is_none() && line.conn.machine.offers().starttls =>
                {
                    line.conn.machine.starttls();
                }
                Some(Event::Ready | Event::TlsRefused(_))
                    if TlsMode::Opportunistic < hop.tls && line.conn.stream().tls().is_none() =>
                {
                    let failure = Failure::NoTls { host: target.name.clone(), required: hop.sender_requires };
                    let dialogue = line.take_dialogue();
                    line.quit().await;
                    return Err(Trouble::Other(failure, dialogue));
                }
                Some(Event::Ready | Event::TlsRefused(_)) => return Ok(line),
                Some(Event::StartTls) => {
                    line.conn.connect_tls(trust, &target.name).await.map_err(Trouble::Tls)?;
                    line.conn.machine.encrypted();
                }
                Some(Event::Failed(failure)) => {
                    return Err(Trouble::Other(line.failure(&failure), line.take_dialogue()));
                }
                Some(Event::LoginRefused(_) | Event::Sent(_)) | None => {
                    let failure = line.broken("hung up before it said hello", false);
                    return Err(Trouble::Other(failure, line.take_dialogue()));
                }
            }
        }
    }

    /// How many of these recipients, from the first on, the peer takes on this connection. RFC 9422.
    pub(super) fn room(&self, recipients: &[Recipient]) -> usize {
        self.conn.machine.room(recipients)
    }

    /// One transaction; the connection comes back if it can be used again.
    pub(super) async fn send(mut self, envelope: &Envelope, letter: &Letter) -> (Attempt, Option<Self>) {
        if PAUSE < self.heard.elapsed() {
            self.conn.machine.may_be_alone();
        }
        self.conn.machine.send(envelope.clone(), letter);
        match self.outcome().await {
            Ok(outcome) => {
                let verdicts = outcome.verdicts.into_iter().map(|verdict| self.verdict(verdict)).collect();
                let attempt = self.attempt(verdicts);
                (self.began, self.heard) = (Instant::now(), Instant::now());
                (attempt, Some(self))
            }
            Err(failure) => {
                let rest = self.failure(&failure);
                let unheard = failure.stage < Stage::Message && failure.verdicts.iter().all(Option::is_none);
                let mut known = failure.verdicts.into_iter();
                let verdicts = envelope.recipients.iter().map(|_| match known.next().flatten() {
                    Some(verdict) => self.verdict(verdict),
                    None => Verdict::Failed(rest.clone()),
                });
                let verdicts = verdicts.collect();
                (Attempt { unheard, ..self.attempt(verdicts) }, None)
            }
        }
    }

    async fn outcome(&mut self) -> Result<client::Outcome, client::Failure> {
        loop {
            match self.conn.event().await {
                Ok(Some(Event::Sent(outcome))) => return Ok(outcome),
                Ok(Some(Event::Failed(failure))) => return Err(failure),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(self.conn.machine.abandon()),
            }
        }
    }

    /// Says goodbye; nobody waits for the answer long.
    pub(super) async fn quit(mut self) {
        self.conn.machine.quit();
        while let Ok(Some(_)) = self.conn.event().await {}
    }

    fn attempt(&mut self, verdicts: Vec<Verdict>) -> Attempt {
        Attempt {
            verdicts,
            host: Some(self.host.clone()),
            keeps_dsn: self.conn.machine.offers().dsn,
            tls: self.conn.stream().tls(),
            took: self.began.elapsed(),
            dialogue: self.take_dialogue(),
            unheard: false,
        }
    }

    fn take_dialogue(&mut self) -> Option<Dialogue> {
        Some(self.conn.machine.take_dialogue()).filter(|dialogue| !dialogue.is_empty())
    }

    fn verdict(&self, verdict: client::Verdict) -> Verdict {
        match verdict {
            client::Verdict::Accepted(reply) => Verdict::Accepted(reply),
            client::Verdict::Refused { reply, .. } => {
                Verdict::Failed(Failure::Refused { host: self.host.clone(), reply })
            }
        }
    }

    fn failure(&self, failure: &client::Failure) -> Failure {
        match &failure.cause {
            Cause::Refused(reply) => Failure::Refused { host: self.host.clone(), reply: transient(reply.clone()) },
            _ => self.broken(&failure.to_string(), failure.stage == Stage::Dot),
        }
    }

    fn broken(&self, what: &str, in_doubt: bool) -> Failure {
        Failure::Broken { host: self.host.clone(), what: what.to_owned(), in_doubt }
    }
}

/// A host that refuses every message, this one among them, may be mended, or another one may take it: a `5yz` greeting
/// is no verdict on the message. RFC 5321 §4.5.4.1.
fn transient(reply: Reply) -> Reply {
    if reply.is_permanent() { Reply { code: reply.code - 100, enhanced: Some((4, 3, 2)), ..reply } } else { reply }
}
