//! An outgoing SMTP or LMTP connection. RFC 5321 §3.3, §5.1; opportunistic TLS by default (RFC 7435).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempt, ConnectError, Verdict};
use super::next_hop::NextHop;
use super::route::Target;
use super::scheduler::AttemptProgress;
use super::{Failure, Mta};
use crate::mail::{Envelope, Message, Recipient, Side, Transcript};
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
    /// What was said on connections that failed before it, for the same message.
    earlier: Transcript,
}

/// After this much idle time, assume that the peer may have closed the connection.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// Why the connection could not be set up.
enum SetupError {
    /// TLS failed: without it, the set-up may succeed.
    Tls(net::Error, Transcript),
    Other(Failure, Transcript),
}

impl OutboundConnection {
    /// Connects to the first host of a next hop that accepts a session; `earlier` was said for the same message before.
    pub(super) async fn open(
        mta: &Mta,
        hop: &NextHop,
        progress: &AttemptProgress,
        mut earlier: Transcript,
    ) -> Result<Self, ConnectError> {
        let started_at = Instant::now();
        let failed = |failure, transcript| ConnectError::new(failure, started_at.elapsed(), said(transcript));
        let targets = match hop.targets(mta).await {
            Ok(targets) => targets,
            Err(failure) => return Err(failed(failure, earlier)),
        };
        let mut worst = Failure::Loop(String::new());
        for target in &targets {
            progress.is_with(&target.name);
            for address in &target.addresses {
                match Self::connect_to(mta, hop, target, *address, &mut earlier).await {
                    Ok(connection) => {
                        return Ok(Self { started_at, last_reply_at: Instant::now(), earlier, ..connection });
                    }
                    Err(failure) => worst = failure,
                }
            }
        }
        Err(failed(worst, earlier))
    }

    /// The name of the peer.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Connects with the required protection; with opportunistic TLS, in clear text if TLS fails. What is said on connections
    /// that fail is added to `earlier`.
    async fn connect_to(
        mta: &Mta,
        hop: &NextHop,
        target: &Target,
        address: SocketAddr,
        earlier: &mut Transcript,
    ) -> Result<Self, Failure> {
        let error = match Self::handshake(mta, hop, target, address, hop.tls != TlsMode::None).await {
            Ok(connection) => return Ok(connection),
            Err(SetupError::Other(failure, transcript)) => {
                earlier.append(&transcript);
                return Err(failure);
            }
            Err(SetupError::Tls(error, transcript)) => {
                earlier.append(&transcript);
                error
            }
        };
        if mta.context().emitter.wants_transcripts() {
            earlier.note(Side::Client, &format!("(TLS failed: {error})"));
        }
        if TlsMode::Opportunistic < hop.tls {
            let (host, why) = (target.name.clone(), error.to_string());
            return Err(Failure::BadTls { host, why, required: hop.sender_requires });
        }
        tracing::info!(host = %target.name, %error, "TLS failed; retrying in clear text (opportunistic)");
        Self::handshake(mta, hop, target, address, false).await.map_err(|error| {
            let (failure, transcript) = match error {
                SetupError::Other(failure, transcript) => (failure, transcript),
                SetupError::Tls(error, transcript) => (Failure::unreachable(&target.name, &error), transcript),
            };
            earlier.append(&transcript);
            failure
        })
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
        let broken = |error: net::Error| Failure::unreachable(&target.name, &error);
        let timeouts = context.settings.timeouts;
        let stream = context.interface.connect_within(address, timeouts.connect).await;
        let stream = stream.map_err(|error| SetupError::Other(broken(error), Transcript::default()))?;
        let config = Config {
            hello: mta.fqdn().to_owned(),
            lmtp: hop.is_lmtp(),
            bare_line_ends: context.settings.policy.bare_line_ends,
            timeout: timeouts,
            transcript: context.emitter.wants_transcripts(),
            ..Config::default()
        };
        let trust = if hop.tls == TlsMode::Verified { &context.authority } else { &context.trust };
        let host = target.name.clone();
        let conn = Box::new(Conn::new(stream, Session::new(config), Stop::new()));
        let now = Instant::now();
        let mut connection = Self { conn, host, started_at: now, last_reply_at: now, earlier: Transcript::default() };
        loop {
            let event = match connection.conn.event().await {
                Ok(event) => event,
                Err(error) => {
                    // It notes what the peer has begun to say.
                    let _ = connection.conn.machine.abandon();
                    return Err(SetupError::Other(broken(error), connection.take_transcript()));
                }
            };
            match event {
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
                    if let Err(error) = connection.conn.connect_tls(trust, &target.name).await {
                        return Err(SetupError::Tls(error, connection.take_transcript()));
                    }
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
            peer: Some(self.conn.stream().peer().ip()),
            keeps_dsn: self.conn.machine.extensions().dsn,
            tls: self.conn.stream().tls(),
            duration: self.started_at.elapsed(),
            transcript: said(self.take_transcript()),
            not_started: false,
        }
    }

    fn take_transcript(&mut self) -> Transcript {
        let mut transcript = std::mem::take(&mut self.earlier);
        transcript.append(&self.conn.machine.take_transcript());
        transcript
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

/// A transcript, if something was said.
fn said(transcript: Transcript) -> Option<Transcript> {
    Some(transcript).filter(|transcript| !transcript.is_empty())
}
