//! An outgoing SMTP or LMTP connection. RFC 5321 §3.3, §5.1; opportunistic TLS by default (RFC 7435).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempt, ConnectError, Verdict};
use super::next_hop::NextHop;
use super::route::Target;
use super::{Failure, Mta};
use crate::mail::{Envelope, Message, Recipient, Transcript};
use crate::net::{self, Conn, Stop};
use crate::smtp::client::{self, Cause, Config, Event, NotSent, Session, Stage};
use crate::world::TlsMode;

/// An open connection that waits for a message.
pub(super) struct OutboundConnection {
    conn: Box<Conn<Session>>,
    /// The name of the peer.
    host: String,
    started_at: Instant,
    /// When it last answered.
    last_reply_at: Instant,
}

/// After this much idle time, assume that the peer may have closed the connection.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// Why the connection could not be set up.
enum SetupError {
    /// TLS failed: without it, the set-up may succeed.
    Tls(net::Error),
    Other(Failure, Option<Transcript>),
}

impl OutboundConnection {
    /// Connects to the first host of a next hop that accepts a session.
    pub(super) async fn open(mta: &Mta, hop: &NextHop) -> Result<Self, ConnectError> {
        let started_at = Instant::now();
        let failed = |failure, transcript| ConnectError::new(failure, started_at.elapsed(), transcript);
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

    /// Connects with the required protection; with opportunistic TLS, in clear text if TLS fails.
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
                Self::handshake(mta, hop, target, address, false).await.map_err(|error| match error {
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
                Some(Event::LoginRefused(_) | Event::NoMechanism | Event::Sent(_)) | None => {
                    let failure = connection.broken("closed the connection before the session was ready", false);
                    return Err(SetupError::Other(failure, connection.take_transcript()));
                }
            }
        }
    }

    /// How many of these recipients, from the first on, the peer accepts on this connection. RFC 9422.
    pub(super) fn recipient_limit(&self, recipients: &[Recipient]) -> usize {
        self.conn.machine.recipient_capacity(recipients)
    }

    /// One transaction; returns the connection if it can be used again.
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
            duration: self.started_at.elapsed(),
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
            client::Verdict::NotSent(NotSent { status, reason }) => {
                Verdict::Failed(Failure::NotSent { host: self.host.clone(), status, reason })
            }
        }
    }

    fn failure(&self, failure: &client::Failure) -> Failure {
        match &failure.cause {
            Cause::Refused(reply) => {
                Failure::SessionRefused { host: self.host.clone(), stage: failure.stage, reply: reply.clone() }
            }
            _ => self.broken(&failure.to_string(), failure.stage == Stage::Dot),
        }
    }

    fn broken(&self, what: &str, in_doubt: bool) -> Failure {
        Failure::Broken { host: self.host.clone(), what: what.to_owned(), in_doubt }
    }
}
