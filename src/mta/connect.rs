//! Looks for a host of a next hop that accepts a session: its names are looked up, and its hosts and their addresses tried in order
//! (RFC 5321 §5.1). Each that cannot be used is an event of the message.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::attempt::ConnectError;
use super::connection::{OutboundConnection, SetupCause, SetupError};
use super::job::Job;
use super::next_hop::NextHop;
use super::route::Target;
use super::{Failure, Mta};
use crate::journey::{AttemptDetails, EventKind, milliseconds};
use crate::mail::{Side, Transcript};
use crate::world::TlsMode;

/// The addresses that one attempt tries. RFC 5321 §5.1 permits a limit of two or more.
const MAX_ADDRESSES: usize = 32;

/// A host that was tried and cannot be used.
#[derive(Clone, Debug)]
pub(super) struct TriedHost {
    name: String,
    reason: String,
    ended: Timestamp,
    took: Duration,
    details: AttemptDetails,
    transcript: Option<Transcript>,
}

impl TriedHost {
    /// Records a `Tried` event of the message, at the time at which the host ended, with the recipients that have no
    /// verdict; sets `job.waits_since` to that time.
    pub(super) fn report(&self, mta: &Mta, hop: &NextHop, job: &mut Job) {
        let mut attempt = Box::new(self.details.clone());
        attempt.wait_ms = job.waited_ms(attempt.began);
        let kind = EventKind::Tried {
            protocol: hop.protocol(),
            to: self.name.clone(),
            recipients: job.addresses(),
            reason: self.reason.clone(),
            took_ms: milliseconds(self.took),
            attempt,
        };
        mta.context().emitter.report_at(self.ended, job.id.journey, Some(job.id), kind, self.transcript.clone());
        job.waits_since = self.ended;
    }
}

/// Looks up the hosts of a next hop and connects to the first that accepts a session; each that was tried in vain is
/// recorded as an event. `earlier` was said for the same message before, on a connection that was open already. The
/// error is that of the lookup, or of the address that was tried last.
pub(super) async fn connect(
    mta: &Mta,
    hop: &NextHop,
    job: &mut Job,
    earlier: Transcript,
) -> Result<OutboundConnection, ConnectError> {
    let started_at = Instant::now();
    let (mut details, resolver) =
        (AttemptDetails::beginning(mta.context().clock.now()), mta.context().resolver.noting());
    let found = hop.targets(mta, &resolver).await;
    (details.dns_ms, details.lookups) = (milliseconds(started_at.elapsed()), resolver.take_notes());
    let mut search = Search {
        mta,
        hop,
        job,
        started_at,
        host_began: started_at,
        details: Some(details),
        earlier,
        tried: Vec::new(),
    };
    match found {
        Ok(targets) => search.first_of(&targets).await.map_err(|failure| search.error(failure)),
        Err(failure) => Err(search.error(failure)),
    }
}

/// A search for a host.
struct Search<'a> {
    mta: &'a Mta,
    hop: &'a NextHop,
    job: &'a mut Job,
    started_at: Instant,
    /// When the current host began, or the lookups before the first.
    host_began: Instant,
    /// The lookups, until a host was tried after them.
    details: Option<AttemptDetails>,
    earlier: Transcript,
    tried: Vec<TriedHost>,
}

impl Search<'_> {
    /// Tries the addresses of all targets in order, up to `MAX_ADDRESSES` in all, and returns the first connection on
    /// which a message can be sent. Sets the host that the operator sees for the job. The failure is that of the last
    /// address tried; [`Failure::Loop`] if there is none.
    async fn first_of(&mut self, targets: &[Target]) -> Result<OutboundConnection, Failure> {
        let all = targets.iter().flat_map(|target| target.addresses.iter().map(move |address| (target, *address)));
        let all: Vec<_> = all.take(MAX_ADDRESSES).collect();
        let mut worst = Failure::Loop(String::new());
        for (target, address) in all {
            self.job.progress.set_host(&target.name);
            match self.connect_to(target, address).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => worst = failure,
            }
        }
        Err(worst)
    }

    /// Connects to one address, with TLS unless the hop says none. If TLS fails, returns `BadTls` where it is required,
    /// and else connects again in clear text. Each failure is noted as a host that was tried; the last one is returned.
    async fn connect_to(&mut self, target: &Target, address: SocketAddr) -> Result<OutboundConnection, Failure> {
        let SetupError { cause, details, mut transcript } =
            match self.handshake(target, address, self.hop.tls != TlsMode::None).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
        let error = match cause {
            SetupCause::Other(failure) => {
                self.note(target, failure.to_string(), details, transcript);
                return Err(failure);
            }
            SetupCause::Tls(error) => error,
        };
        if self.mta.context().emitter.wants_transcripts() {
            transcript.note(Side::Client, &format!("(TLS failed: {error})"));
        }
        if TlsMode::Opportunistic < self.hop.tls {
            let failure = Failure::BadTls {
                host: target.name.clone(),
                why: error.to_string(),
                required: self.hop.sender_requires,
            };
            self.note(target, failure.to_string(), details, transcript);
            return Err(failure);
        }
        tracing::info!(host = %target.name, %error, "TLS failed; retrying in clear text (opportunistic)");
        self.note(target, format!("{}: TLS failed: {error}", target.name), details, transcript);
        self.handshake(target, address, false).await.map_err(|SetupError { cause, details, transcript }| {
            let failure = match cause {
                SetupCause::Other(failure) => failure,
                SetupCause::Tls(error) => Failure::unreachable(&target.name, &error),
            };
            self.note(target, failure.to_string(), details, transcript);
            failure
        })
    }

    /// Connects to an address, with STARTTLS if `tls` and the host offers it. The first call takes the lookups into the
    /// details of its attempt; the connection counts its time from the start of the search, and takes what was said
    /// before.
    async fn handshake(
        &mut self,
        target: &Target,
        address: SocketAddr,
        tls: bool,
    ) -> Result<OutboundConnection, SetupError> {
        let now = self.mta.context().clock.now();
        let details = self.details.take().unwrap_or_else(|| AttemptDetails::beginning(now));
        let details = AttemptDetails { address: Some(address), preference: target.preference, ..details };
        let connection =
            OutboundConnection::handshake(self.mta, self.hop, (&target.name, address), details, tls).await?;
        Ok(connection.opened_since(self.started_at, std::mem::take(&mut self.earlier)))
    }

    /// Records an event of a host that cannot be used for this reason, with what was said since the one before, and
    /// adds the host to `tried`.
    fn note(&mut self, target: &Target, reason: String, details: AttemptDetails, transcript: Transcript) {
        let mut said_before = std::mem::take(&mut self.earlier);
        said_before.append(&transcript);
        let now = Instant::now();
        let host = TriedHost {
            name: target.name.clone(),
            reason,
            ended: self.mta.context().clock.now(),
            took: now - self.host_began,
            details,
            transcript: said(said_before),
        };
        self.host_began = now;
        host.report(self.mta, self.hop, self.job);
        self.tried.push(host);
    }

    /// The error of the whole search, for this failure: with the hosts that were tried or, if none was, with the
    /// lookups and what was said before.
    fn error(self, failure: Failure) -> ConnectError {
        let details = self.details.map(Box::new);
        ConnectError::new(failure, self.started_at.elapsed(), said(self.earlier)).after(details).after_hosts(self.tried)
    }
}

/// What was said, for an event or an attempt; `None` if the transcript is empty.
pub(super) fn said(transcript: Transcript) -> Option<Transcript> {
    Some(transcript).filter(|transcript| !transcript.is_empty())
}
