//! An outgoing SMTP or LMTP connection. RFC 5321 §3.3, §5.1; opportunistic TLS by default (RFC 7435).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempt, Verdict};
use super::connect::said;
use super::next_hop::NextHop;
use super::{Failure, Mta};
use crate::journey::{AttemptDetails, milliseconds};
use crate::mail::{Envelope, Message, Recipient, Transcript};
use crate::net::{self, Conn, Stop, Trust};
use crate::smtp::client::{self, Cause, Config, Event, NotSent, Session, Stage};
use crate::world::{Clock, TlsMode};

/// An open connection that waits for a message.
pub(super) struct OutboundConnection {
    conn: Box<Conn<Session>>,
    /// The name of the peer.
    host: String,
    address: SocketAddr,
    clock: Clock,
    started_at: Instant,
    /// When it last answered.
    last_reply_at: Instant,
    /// How it was set up, until the first message.
    details: Option<AttemptDetails>,
    /// What was said on connections that failed before it, for the same message.
    earlier: Transcript,
}

/// After this much idle time, assume that the peer may have closed the connection.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// A connection could not be set up.
pub(super) struct SetupError {
    pub(super) cause: SetupCause,
    /// How far it came.
    pub(super) details: AttemptDetails,
    pub(super) transcript: Transcript,
}

/// Why not.
pub(super) enum SetupCause {
    /// TLS failed: without it, the set-up may succeed.
    Tls(net::Error),
    Other(Failure),
}

impl OutboundConnection {
    /// The name of the host at the other end, as it was looked up.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the connection as one for a message whose attempt began at `started_at`; `earlier` is what was said
    /// about that message on other connections before. Its idle time begins now.
    pub(super) fn opened_since(self, started_at: Instant, earlier: Transcript) -> Self {
        Self { started_at, last_reply_at: Instant::now(), earlier, ..self }
    }

    /// Connects to a host and negotiates until a message can be sent, with STARTTLS if `tls` and the host offers it;
    /// adds to `details`, what is known of the attempt. Fails with `NoTls` after QUIT if the hop requires TLS and it
    /// was not established.
    pub(super) async fn handshake(
        mta: &Mta,
        hop: &NextHop,
        (host, address): (&str, SocketAddr),
        mut details: AttemptDetails,
        tls: bool,
    ) -> Result<Self, SetupError> {
        let (context, now) = (mta.context(), Instant::now());
        let timeouts = context.settings.timeouts;
        let stream = context.interface.connect_within(address, timeouts.connect).await;
        details.connect_ms = milliseconds(now.elapsed());
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                let cause = SetupCause::Other(Failure::unreachable(host, &error));
                return Err(SetupError { cause, details, transcript: Transcript::default() });
            }
        };
        let config = Config {
            hello: mta.fqdn().to_owned(),
            lmtp: hop.is_lmtp(),
            bare_line_ends: context.settings.policy.bare_line_ends,
            timeout: timeouts,
            transcript: context.emitter.wants_transcripts(),
            ..Config::default()
        };
        let mut connection = Self {
            conn: Box::new(Conn::new(stream, Session::new(config), Stop::new())),
            host: host.to_owned(),
            address,
            clock: context.clock,
            started_at: now,
            last_reply_at: now,
            details: Some(details),
            earlier: Transcript::default(),
        };
        match connection.negotiate(mta, hop, tls).await {
            Ok(true) => Ok(connection),
            Ok(false) => {
                let failure = Failure::NoTls { host: host.to_owned(), required: hop.sender_requires };
                let error = connection.setup_error(SetupCause::Other(failure));
                connection.quit().await;
                Err(error)
            }
            Err(cause) => Err(connection.setup_error(cause)),
        }
    }

    /// Negotiates until a message can be sent and returns `true`; `false` if the hop requires TLS, and the peer does
    /// not offer it or refuses STARTTLS.
    async fn negotiate(&mut self, mta: &Mta, hop: &NextHop, tls: bool) -> Result<bool, SetupCause> {
        let context = mta.context();
        let trust = if hop.tls == TlsMode::Verified { &context.authority } else { &context.trust };
        loop {
            let event = match self.conn.event().await {
                Ok(event) => event,
                Err(error) => {
                    // It notes what the peer has begun to say.
                    let _ = self.conn.machine.abandon();
                    return Err(SetupCause::Other(Failure::unreachable(&self.host, &error)));
                }
            };
            let is_clear = self.conn.stream().tls().is_none();
            match event {
                Some(Event::Ready) if tls && is_clear && self.conn.machine.extensions().starttls => {
                    self.conn.machine.starttls();
                }
                Some(Event::Ready | Event::TlsRefused(_)) => return Ok(hop.tls <= TlsMode::Opportunistic || !is_clear),
                Some(Event::StartTls) => {
                    self.handshake_tls(trust).await.map_err(SetupCause::Tls)?;
                    self.conn.machine.encrypted();
                }
                Some(Event::Failed(failure)) => return Err(SetupCause::Other(self.failure(&failure))),
                Some(Event::LoginRefused(_) | Event::NoMechanism | Event::Sent(_)) | None => {
                    let failure = self.broken("closed the connection before the session was ready", false);
                    return Err(SetupCause::Other(failure));
                }
            }
        }
    }

    /// Performs the TLS handshake for the name of the peer, and adds its time to the details.
    async fn handshake_tls(&mut self, trust: &Trust) -> Result<(), net::Error> {
        let began = Instant::now();
        let result = self.conn.connect_tls(trust, &self.host).await;
        if let Some(details) = &mut self.details {
            details.tls_ms += milliseconds(began.elapsed());
        }
        result
    }

    /// The error of a set-up that failed for this cause, with the details and the transcript, which it takes from the
    /// connection.
    fn setup_error(&mut self, cause: SetupCause) -> SetupError {
        SetupError { cause, details: self.take_details(), transcript: self.take_transcript() }
    }

    /// How many of these recipients, from the first on, the peer takes on this connection by its limits; it may refuse
    /// them yet. RFC 9422.
    pub(super) fn recipient_limit(&self, recipients: &[Recipient]) -> usize {
        self.conn.machine.recipient_capacity(recipients)
    }

    /// Sends a message to the recipients of the envelope; returns the result, and the connection if it can be used
    /// again. After `STALE_AFTER` of idle time, sends the content only when the peer has accepted the envelope. If the
    /// connection ends early, recipients without a verdict fail with its error, in doubt after the whole message.
    pub(super) async fn send(mut self, envelope: &Envelope, message: &Message) -> (Attempt, Option<Self>) {
        if STALE_AFTER < self.last_reply_at.elapsed() {
            self.conn.machine.hold_next_message();
        }
        if self.details.is_none() {
            self.started_at = Instant::now();
            self.details =
                Some(AttemptDetails { address: Some(self.address), ..AttemptDetails::beginning(self.clock.now()) });
        }
        self.conn.machine.send(envelope.clone(), message);
        match self.outcome().await {
            Ok(outcome) => {
                let verdicts = outcome.verdicts.into_iter().map(|verdict| self.verdict(verdict)).collect();
                let attempt = self.attempt(verdicts);
                self.last_reply_at = Instant::now();
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

    /// Waits until the session reports the result of the message that is being sent. If the connection ends before,
    /// fails with the verdicts that are known.
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

    /// The attempt with these verdicts; takes its details and its transcript from the connection.
    fn attempt(&mut self, verdicts: Vec<Verdict>) -> Attempt {
        Attempt {
            verdicts,
            host: Some(self.host.clone()),
            peer: Some(self.conn.stream().peer().ip()),
            keeps_dsn: self.conn.machine.extensions().dsn,
            tls: self.conn.stream().tls(),
            duration: self.started_at.elapsed(),
            details: Some(Box::new(self.take_details())),
            transcript: said(self.take_transcript()),
            not_started: false,
        }
    }

    /// Takes the phases of the attempt so far; those of a further message begin anew.
    fn take_details(&mut self) -> AttemptDetails {
        let waits = self.conn.machine.take_waits();
        let details = self.details.take().unwrap_or_else(|| AttemptDetails::beginning(self.clock.now()));
        AttemptDetails {
            greeting_ms: milliseconds(waits.greeting),
            tls_ms: details.tls_ms + milliseconds(waits.tls),
            envelope_ms: milliseconds(waits.envelope),
            content_ms: milliseconds(waits.content),
            reply_ms: milliseconds(waits.reply),
            ..details
        }
    }

    /// Takes what was said so far, first what was said for the message on connections before this one.
    fn take_transcript(&mut self) -> Transcript {
        let mut transcript = std::mem::take(&mut self.earlier);
        transcript.append(&self.conn.machine.take_transcript());
        transcript
    }

    /// Converts a verdict of the session for the queue: a refusal, or that the message was not sent, becomes a failure
    /// with the name of this host.
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

    /// The failure of a session: `SessionRefused` if the peer refused it with a reply, else `Broken`, in doubt if that
    /// was after the whole message.
    fn failure(&self, failure: &client::Failure) -> Failure {
        match &failure.cause {
            Cause::Refused(reply) => {
                Failure::SessionRefused { host: self.host.clone(), stage: failure.stage, reply: reply.clone() }
            }
            _ => self.broken(&failure.to_string(), failure.stage == Stage::Dot),
        }
    }

    /// The failure of a session that ended early, as `what` says.
    fn broken(&self, what: &str, in_doubt: bool) -> Failure {
        Failure::Broken { host: self.host.clone(), what: what.to_owned(), in_doubt }
    }
}
