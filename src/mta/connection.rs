//! An outgoing SMTP or LMTP connection. RFC 5321 §3.3, §5.1; opportunistic TLS by default (RFC 7435).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::route::{NextHop, Target};
use super::{Failure, Mta};
use crate::mail::{Envelope, Message, Recipient, Transcript};
use crate::net::{self, Conn, Stop};
use crate::smtp::Reply;
use crate::smtp::client::{self, Cause, Config, Event, Session, Stage};
use crate::world::TlsMode;

/// An open connection that waits for a message.
pub(super) struct OutboundConnection {
    conn: Box<Conn<Session>>,
    /// The peer's name, as far as we know it.
    host: String,
    started_at: Instant,
    /// When it last answered.
    last_reply_at: Instant,
}

/// After this much idle time, assume that the peer may have closed the connection.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// The result of sending a message to a destination.
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
    pub(super) transcript: Option<Transcript>,
    /// The peer closed the connection before it saw the message, as may happen after idle time.
    pub(super) not_started: bool,
}

/// The result for one recipient.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Accepted(Reply),
    Failed(Failure),
}

/// A connection could not be opened.
#[derive(Clone, Debug)]
pub(super) struct ConnectError {
    failure: Failure,
    took: Duration,
    transcript: Option<Transcript>,
}

impl ConnectError {
    #[cfg(test)]
    pub(super) fn of_test() -> Self {
        Self { failure: Failure::Loop(String::new()), took: Duration::ZERO, transcript: None }
    }

    /// Whether trying again cannot help.
    pub(super) fn is_permanent(&self) -> bool {
        self.failure.is_permanent()
    }

    /// The same failure for each of `count` recipients.
    pub(super) fn for_recipients(&self, count: usize) -> Attempt {
        Attempt {
            verdicts: vec![Verdict::Failed(self.failure.clone()); count],
            host: self.failure.host().map(str::to_owned),
            keeps_dsn: false,
            tls: None,
            took: self.took,
            transcript: self.transcript.clone(),
            not_started: false,
        }
    }
}

impl Attempt {
    /// Both together: what the second connection did for the recipients that the first had no room for.
    pub(super) fn and(mut self, rest: Self) -> Self {
        self.verdicts.extend(rest.verdicts);
        self.took += rest.took;
        self.keeps_dsn &= rest.keeps_dsn;
        match (&mut self.transcript, rest.transcript) {
            (Some(transcript), Some(more)) => transcript.append(&more),
            (transcript, more) => *transcript = transcript.take().or(more),
        }
        self
    }

    /// The attempt was interrupted, because the host stops.
    pub(super) fn interrupted(count: usize) -> Self {
        let what = "interrupted: this host is shutting down".to_owned();
        let failure = Failure::Broken { host: "the next host".to_owned(), what, in_doubt: true };
        ConnectError { failure, took: Duration::ZERO, transcript: None }.for_recipients(count)
    }
}

/// Why the connection could not be set up.
enum SetupError {
    /// Without TLS it may work.
    Tls(net::Error),
    Other(Failure, Option<Transcript>),
}

impl OutboundConnection {
    /// Connects to the first host of a next hop that will talk to us.
    pub(super) async fn open(mta: &Mta, hop: &NextHop) -> Result<Self, ConnectError> {
        let started_at = Instant::now();
        let failed = |failure, transcript| ConnectError { failure, took: started_at.elapsed(), transcript };
        let targets = hop.targets(mta).await.map_err(|failure| failed(failure, None))?;
        let mut worst = failed(Failure::Loop(String::new()), None);
        for target in &targets {
            for address in &target.addresses {
                match Self::connect_to(mta, hop, target, *address).await {
                    Ok(connection) => return Ok(Self { started_at, last_reply_at: Instant::now(), ..connection }),
                    Err((failure, transcript)) => worst = failed(failure, transcript),
                }
            }
        }
        Err(worst)
    }

    /// As well protected as the way must be: with opportunistic TLS, without it if that fails.
    async fn connect_to(
        mta: &Mta,
        hop: &NextHop,
        target: &Target,
        address: SocketAddr,
    ) -> Result<Self, (Failure, Option<Transcript>)> {
        let host = || target.name.clone();
        match Self::handshake(mta, hop, target, address, hop.tls != TlsMode::None).await {
            Ok(connection) => Ok(connection),
            Err(SetupError::Other(failure, transcript)) => Err((failure, transcript)),
            Err(SetupError::Tls(error)) if TlsMode::Opportunistic < hop.tls => {
                Err((Failure::BadTls { host: host(), why: error.to_string(), required: hop.sender_requires }, None))
            }
            Err(SetupError::Tls(error)) => {
                tracing::info!(host = %target.name, %error, "TLS failed; retrying in clear text (opportunistic)");
                Self::handshake(mta, hop, target, address, false).await.map_err(|trouble| match trouble {
                    SetupError::Other(failure, transcript) => (failure, transcript),
                    SetupError::Tls(error) => (Failure::unreachable(&target.name, &error), None),
                })
            }
        }
    }

    /// Connects and negotiates until a message can be sent.
    async fn handshake(
        mta: &Mta,
        hop: &NextHop,
        target: &Target,
        address: SocketAddr,
        tls: bool,
    ) -> Result<Self, SetupError> {
        let context = mta.context();
        let broken = |error: net::Error| SetupError::Other(Failure::unreachable(&target.name, &error), None);
        let stream = context.interface.connect(address).await.map_err(broken)?;
        let config = Config {
            hello: mta.fqdn().to_owned(),
            lmtp: hop.is_lmtp(),
            bare_line_ends: context.settings.policy.bare_line_ends,
            transcript: context.emitter.wants_transcripts(),
            ..Config::default()
        };
        let trust = if hop.tls == TlsMode::Verified { &context.authority } else { &context.trust };
        let host = target.name.clone();
        let conn = Box::new(Conn::new(stream, Session::new(config), Stop::new()));
        let mut connection = Self { conn, host, started_at: Instant::now(), last_reply_at: Instant::now() };
        loop {
            match connection.conn.event().await.map_err(broken)? {
                Some(Event::Ready)
                    if tls
                        && connection.conn.stream().tls().is_none()
                        && connection.conn.machine.extensions().starttls =>
                {
                    connection.conn.machine.starttls();
                }
                Some(Event::Ready | Event::TlsRefused(_))
                    if TlsMode::Opportunistic < hop.tls && connection.conn.stream().tls().is_none() =>
                {
                    let failure = Failure::NoTls { host: target.name.clone(), required: hop.sender_requires };
                    let transcript = connection.take_transcript();
                    connection.quit().await;
                    return Err(SetupError::Other(failure, transcript));
                }
                Some(Event::Ready | Event::TlsRefused(_)) => return Ok(connection),
                Some(Event::StartTls) => {
                    connection.conn.connect_tls(trust, &target.name).await.map_err(SetupError::Tls)?;
                    connection.conn.machine.encrypted();
                }
                Some(Event::Failed(failure)) => {
                    return Err(SetupError::Other(connection.failure(&failure), connection.take_transcript()));
                }
                Some(Event::LoginRefused(_) | Event::Sent(_)) | None => {
                    let failure = connection.broken("closed the connection before the session was ready", false);
                    return Err(SetupError::Other(failure, connection.take_transcript()));
                }
            }
        }
    }

    /// How many of these recipients, from the first on, the peer takes on this connection. RFC 9422.
    pub(super) fn recipient_limit(&self, recipients: &[Recipient]) -> usize {
        self.conn.machine.recipient_capacity(recipients)
    }

    /// One transaction; the connection comes back if it can be used again.
    pub(super) async fn send(mut self, envelope: &Envelope, message: &Message) -> (Attempt, Option<Self>) {
        if STALE_AFTER < self.last_reply_at.elapsed() {
            self.conn.machine.hold_next_message();
        }
        self.conn.machine.send(envelope.clone(), message);
        match self.outcome().await {
            Ok(outcome) => {
                let verdicts = outcome.verdicts.into_iter().map(|verdict| self.verdict(verdict)).collect();
                let attempt = self.attempt(verdicts);
                (self.started_at, self.last_reply_at) = (Instant::now(), Instant::now());
                (attempt, Some(self))
            }
            Err(failure) => {
                let rest = self.failure(&failure);
                let not_started = failure.stage < Stage::Message && failure.verdicts.iter().all(Option::is_none);
                let mut known = failure.verdicts.into_iter();
                let verdicts = envelope.recipients.iter().map(|_| match known.next().flatten() {
                    Some(verdict) => self.verdict(verdict),
                    None => Verdict::Failed(rest.clone()),
                });
                let verdicts = verdicts.collect();
                (Attempt { not_started, ..self.attempt(verdicts) }, None)
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

    /// Closes the connection with QUIT.
    pub(super) async fn quit(mut self) {
        self.conn.machine.quit();
        while let Ok(Some(_)) = self.conn.event().await {}
    }

    fn attempt(&mut self, verdicts: Vec<Verdict>) -> Attempt {
        Attempt {
            verdicts,
            host: Some(self.host.clone()),
            keeps_dsn: self.conn.machine.extensions().dsn,
            tls: self.conn.stream().tls(),
            took: self.started_at.elapsed(),
            transcript: self.take_transcript(),
            not_started: false,
        }
    }

    fn take_transcript(&mut self) -> Option<Transcript> {
        Some(self.conn.machine.take_transcript()).filter(|transcript| !transcript.is_empty())
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
