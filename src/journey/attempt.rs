//! The course of an attempt to pass a message on: its phases with their durations, and the lookups that led to the host.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How an attempt went at one host, or before a host was found. Phases follow each other in this order; those that took no time, or
/// were not reached, are 0 and left out. With PIPELINING, replies that come together count for the last of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptDetails {
    /// When it began, after the wait.
    pub began: Timestamp,
    /// The address and the port of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<SocketAddr>,
    /// The preference of its MX record, if one named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<u16>,
    /// From the time at which it was due to the beginning: in the queue, for a slot or a connection, or since the host that was tried
    /// before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wait_ms: f64,
    /// Lookups of the hosts and their addresses.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dns_ms: f64,
    /// The TCP connection.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub connect_ms: f64,
    /// The greeting, and the reply to EHLO.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub greeting_ms: f64,
    /// STARTTLS, the handshake, and the reply to EHLO after it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tls_ms: f64,
    /// MAIL, RCPT and DATA.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub envelope_ms: f64,
    /// Sending the message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub content_ms: f64,
    /// From the end of the message to the reply.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reply_ms: f64,
    /// The questions to DNS with their answers, for the first host that was tried after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Lookup>,
}

/// A question to DNS, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lookup {
    /// The name.
    pub name: String,
    /// The type, such as `MX`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the answer was.
    pub outcome: LookupOutcome,
    /// The data of the first records, such as `10 mx.example.com`; the name that an alias stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// It was answered from the cache.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// Time to the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub took_ms: f64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The outcome of a question to DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LookupOutcome {
    /// There are records.
    Found,
    /// The name is an alias, which is looked up next.
    Alias,
    /// The name has no records of this type. RFC 2308 §2.2.
    NoData,
    /// The name does not exist. RFC 2308 §2.1.
    NxDomain,
    /// The server failed, as with SERVFAIL, or its answer is invalid.
    Failed,
    /// The server did not answer in time.
    Timeout,
}

/// A question and its answer, such as `a.test MX: 10 mx.a.test (cached)`.
impl fmt::Display for Lookup {
    /// One line, such as `a.test MX: mx.a.test (1.5 ms)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, outcome, answers, cached, took_ms, error } = self;
        write!(f, "{name} {kind}: ")?;
        match outcome {
            LookupOutcome::Found => f.write_str(&answers.join(", "))?,
            LookupOutcome::Alias => write!(f, "an alias of {}", answers.join(", "))?,
            LookupOutcome::NoData => f.write_str("no such record")?,
            LookupOutcome::NxDomain => f.write_str("no such name (NXDOMAIN)")?,
            LookupOutcome::Failed => write!(f, "failed: {}", error.as_deref().unwrap_or_default())?,
            LookupOutcome::Timeout => f.write_str("no answer")?,
        }
        if *cached { f.write_str(" (cached)") } else { write!(f, " ({took_ms:.1} ms)") }
    }
}

impl AttemptDetails {
    /// The details of an attempt that began at this time; no phase has taken any yet.
    pub fn beginning(began: Timestamp) -> Self {
        Self {
            began,
            address: None,
            preference: None,
            wait_ms: 0.0,
            dns_ms: 0.0,
            connect_ms: 0.0,
            greeting_ms: 0.0,
            tls_ms: 0.0,
            envelope_ms: 0.0,
            content_ms: 0.0,
            reply_ms: 0.0,
            lookups: Vec::new(),
        }
    }

    /// The phases after the wait in their order, with their durations in milliseconds.
    pub fn phases(&self) -> [(&'static str, f64); 7] {
        [
            ("dns", self.dns_ms),
            ("connect", self.connect_ms),
            ("greeting", self.greeting_ms),
            ("tls", self.tls_ms),
            ("envelope", self.envelope_ms),
            ("content", self.content_ms),
            ("reply", self.reply_ms),
        ]
    }

    /// Adds the durations of the phases of a further connection, for the recipients beyond the limit of the first; all
    /// else stays as it is for the first: the time, the address, the wait and the lookups.
    pub fn add(&mut self, rest: &Self) {
        self.dns_ms += rest.dns_ms;
        self.connect_ms += rest.connect_ms;
        self.greeting_ms += rest.greeting_ms;
        self.tls_ms += rest.tls_ms;
        self.envelope_ms += rest.envelope_ms;
        self.content_ms += rest.content_ms;
        self.reply_ms += rest.reply_ms;
    }

    /// Approximate memory use in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let text =
            |lookup: &Lookup| lookup.name.len() + lookup.answers.iter().map(|answer| answer.len() + 24).sum::<usize>();
        size_of::<Self>() + self.lookups.iter().map(|lookup| size_of::<Lookup>() + text(lookup)).sum::<usize>()
    }
}

/// A duration in milliseconds, to the microsecond.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// Whether a duration is 0, which is left out of JSON.
fn is_zero(milliseconds: &f64) -> bool {
    *milliseconds == 0.0
}
