//! The result of an attempt to send a message to a destination.

use std::net::IpAddr;
use std::time::Duration;

use super::Failure;
use super::connect::TriedHost;
use crate::journey::AttemptDetails;
use crate::mail::Transcript;
use crate::smtp::Reply;

/// The result of sending a message to a destination.
#[derive(Debug)]
pub(super) struct Attempt {
    /// One for each recipient, in the order of the envelope.
    pub(super) verdicts: Vec<Verdict>,
    /// The name of the peer.
    pub(super) host: Option<String>,
    /// The address of the peer.
    pub(super) peer: Option<IpAddr>,
    /// The peer supports DSN, and takes over the duty to report. RFC 3461 §5.2.1.
    pub(super) keeps_dsn: bool,
    /// Version and cipher.
    pub(super) tls: Option<String>,
    /// From connecting, or from the first command on a connection that was open already, to the last reply.
    pub(super) duration: Duration,
    /// Its phases at the host that took the session, or before one was found; `None` if hosts were tried in vain, or if nothing was tried.
    pub(super) details: Option<Box<AttemptDetails>>,
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

impl Attempt {
    /// Appends `rest`, the attempt on a second connection for the recipients beyond the limit of the first: its
    /// verdicts, duration, phases and transcript are added; host, peer, TLS and lookups are those of the first. It
    /// keeps DSN if every connection does over which a recipient was accepted.
    pub(super) fn and(mut self, rest: Self) -> Self {
        let has_accepted =
            |attempt: &Self| attempt.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Accepted(_)));
        self.keeps_dsn = match (has_accepted(&self), has_accepted(&rest)) {
            (_, false) => self.keeps_dsn,
            (false, true) => rest.keeps_dsn,
            (true, true) => self.keeps_dsn && rest.keeps_dsn,
        };
        self.verdicts.extend(rest.verdicts);
        self.duration += rest.duration;
        if let (Some(details), Some(more)) = (&mut self.details, &rest.details) {
            details.add(more);
        }
        match (&mut self.transcript, rest.transcript) {
            (Some(transcript), Some(more)) => transcript.append(&more),
            (transcript, more) => *transcript = transcript.take().or(more),
        }
        self
    }

    /// Returns an attempt without a peer in which each of `count` recipients failed with the same [`Failure::Broken`],
    /// because this host stops. It is in doubt: the next host may have accepted the message.
    pub(super) fn interrupted(count: usize) -> Self {
        let what = "interrupted: this host is shutting down".to_owned();
        let failure = Failure::Broken { host: "the next host".to_owned(), what, in_doubt: true };
        ConnectError::new(failure, Duration::ZERO, None).for_recipients(count)
    }
}

/// A connection could not be opened.
#[derive(Clone, Debug)]
pub(super) struct ConnectError {
    failure: Failure,
    duration: Duration,
    /// What led there, if no host was tried.
    details: Option<Box<AttemptDetails>>,
    /// What was said to a host that is not among those that were tried.
    transcript: Option<Transcript>,
    /// The hosts that were tried.
    pub(super) tried: Vec<TriedHost>,
}

impl ConnectError {
    pub(super) fn new(failure: Failure, duration: Duration, transcript: Option<Transcript>) -> Self {
        Self { failure, duration, details: None, transcript, tried: Vec::new() }
    }

    /// Returns the error with these details of lookups in place of its own.
    pub(super) fn after(self, details: Option<Box<AttemptDetails>>) -> Self {
        Self { details, ..self }
    }

    /// Returns the error with these as the hosts that were tried, in place of its own.
    pub(super) fn after_hosts(self, tried: Vec<TriedHost>) -> Self {
        Self { tried, ..self }
    }

    /// The failure and its duration, without lookups, hosts and transcript: for messages that fail during the back-off,
    /// without an attempt of their own.
    pub(super) fn without_details(&self) -> Self {
        Self::new(self.failure.clone(), self.duration, None)
    }

    /// Whether trying again cannot help, since the failure is permanent.
    pub(super) fn is_permanent(&self) -> bool {
        self.failure.is_permanent()
    }

    /// Returns an attempt with this failure for each of `count` recipients, with the host of the failure, if it names
    /// one, but without a peer; the hosts that were tried are not in it.
    pub(super) fn for_recipients(&self, count: usize) -> Attempt {
        Attempt {
            verdicts: vec![Verdict::Failed(self.failure.clone()); count],
            host: self.failure.host().map(str::to_owned),
            peer: None,
            keeps_dsn: false,
            tls: None,
            duration: self.duration,
            details: self.details.clone(),
            transcript: self.transcript.clone(),
            not_started: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3461 §5.2: who was accepted by a host that keeps DSN gets no report of this one.
    #[test]
    fn attempt_keeps_dsn_if_each_host_does_that_accepted_a_recipient() {
        let failed = || Attempt::interrupted(1);
        let accepted =
            |keeps_dsn| Attempt { verdicts: vec![Verdict::Accepted(Reply::plain(250, "OK"))], keeps_dsn, ..failed() };
        for (first, rest, keeps) in [
            (accepted(true), failed(), true),
            (failed(), accepted(true), true),
            (accepted(true), accepted(true), true),
            (accepted(true), accepted(false), false),
            (accepted(false), failed(), false),
        ] {
            assert_eq!(first.and(rest).keeps_dsn, keeps);
        }
    }
}
