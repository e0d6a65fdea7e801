//! The scenario file as TOML structures: one field per key, with its meaning and default.
//!
//! [`super::Scenario::parse`] checks the hosts and addresses in it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::host::Fault;
use crate::world::span;

/// A scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioFile {
    pub(super) scenario: ScenarioTable,
    /// A generated world of equal providers, instead of a world file.
    pub(super) providers: Option<Spanned<ProvidersTable>>,
    #[serde(default)]
    pub(super) traffic: Vec<Spanned<TrafficTable>>,
    #[serde(default)]
    pub(super) readers: Vec<Spanned<ReaderTable>>,
    #[serde(default)]
    pub(super) faults: Vec<Spanned<FaultTable>>,
    #[serde(default)]
    pub(super) expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioTable {
    pub(super) name: String,
    /// A description in one sentence.
    #[serde(default)]
    pub(super) about: String,
    /// A world file, relative to the folder of this file. Default: the default world.
    pub(super) world: Option<Spanned<PathBuf>>,
    /// The world's time at the start. Default: a Monday morning.
    pub(super) start: Option<jiff::Timestamp>,
    /// The longest duration of the run. It ends earlier when all mail has been delivered or bounced.
    #[serde(with = "span")]
    pub(super) lasts: Duration,
    /// How long a commit takes on the hosts' disks. Default: 2 ms.
    #[serde(default = "disk", with = "span")]
    pub(super) disk: Duration,
}

/// The default of [`ScenarioTable::disk`]: 2 ms.
fn disk() -> Duration {
    Duration::from_millis(2)
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProvidersTable {
    /// Number of providers; each has an MTA, an MDA and a domain (`p0.test` and so on).
    pub(super) count: usize,
    /// Users of each provider, `u0` and so on. Default: 10.
    #[serde(default = "users")]
    pub(super) users: usize,
}

/// The default of [`ProvidersTable::users`]: 10.
fn users() -> usize {
    10
}

/// Senders, recipients and times of messages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrafficTable {
    /// Addresses, `*@domain` for all users of a domain, or `*` for all users; each message is from one of them.
    pub(super) from: Vec<String>,
    /// As `from`; other addresses are allowed.
    pub(super) to: Vec<String>,
    /// Recipients of each message. Default: 1.
    #[serde(default = "one")]
    pub(super) recipients: usize,
    /// Total number of messages. Default: 1.
    #[serde(default = "one")]
    pub(super) count: usize,
    /// Time of the first message, from the start.
    #[serde(default, with = "span")]
    pub(super) after: Duration,
    /// Interval between bursts; with `poisson`, the average.
    #[serde(default, with = "span")]
    pub(super) every: Duration,
    #[serde(default)]
    pub(super) pattern: Pattern,
    /// Number of messages sent at once. Default: 1.
    #[serde(default = "one")]
    pub(super) burst: usize,
    /// Size of the text in bytes. Default: 1000.
    #[serde(default = "size")]
    pub(super) size: usize,
    /// Messages to send instead of generated ones: a message file, an mbox or a folder of these, relative to the folder
    /// of this file.
    pub(super) mail: Option<PathBuf>,
}

/// The default of numbers of messages, recipients and repetitions: 1.
fn one() -> usize {
    1
}

/// The default of [`TrafficTable::size`]: 1000 bytes.
fn size() -> usize {
    1000
}

/// Distribution of messages over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pattern {
    /// Equal intervals.
    #[default]
    Steady,
    /// Random intervals, as with many independent senders.
    Poisson,
}

/// Accounts whose mail is fetched, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReaderTable {
    /// As `from` of the traffic.
    pub(super) who: Vec<String>,
    #[serde(default)]
    pub(super) by: By,
    /// Interval between two sessions; with `idle`, the delay before a reconnect.
    #[serde(with = "span")]
    pub(super) every: Duration,
    /// The hours of the day in UTC in which mail is fetched, from and to. Default: always.
    pub(super) hours: Option<[i8; 2]>,
}

/// The protocol that fetches mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum By {
    #[default]
    Pop3,
    Imap,
    /// IMAP with a permanent connection in IDLE: new messages are fetched at once.
    Idle,
}

/// A fault and its times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultTable {
    pub(super) fault: Fault,
    /// When it begins, from the start.
    #[serde(default, with = "span")]
    pub(super) after: Duration,
    /// Its duration. Default: to the end of the run.
    #[serde(default, with = "span")]
    pub(super) lasts: Duration,
    /// Number of times it is injected. Default: 1.
    #[serde(default = "one")]
    pub(super) times: usize,
    /// Interval from one beginning to the next.
    #[serde(default, with = "span")]
    pub(super) every: Duration,
    /// Largest random delay of each beginning.
    #[serde(default, with = "span")]
    pub(super) jitter: Duration,
}

/// Expectations that are checked at the end; the command exits with 1 if one fails.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expect {
    /// Delivered copies as a share of all accepted copies.
    pub(super) delivered: Option<f64>,
    /// Counts only copies delivered within this time.
    #[serde(with = "optional")]
    pub(super) within: Option<Duration>,
    /// Largest median latency.
    #[serde(with = "optional")]
    pub(super) p50: Option<Duration>,
    /// Largest 95th percentile of the latency.
    #[serde(with = "optional")]
    pub(super) p95: Option<Duration>,
    /// Largest 99th percentile of the latency.
    #[serde(with = "optional")]
    pub(super) p99: Option<Duration>,
    /// Copies that failed with a report to the sender.
    pub(super) bounced: Option<Range>,
    /// Additional copies in mailboxes.
    pub(super) duplicates: Option<Range>,
    /// Temporary failures.
    pub(super) deferred: Option<Range>,
    /// Copies in queues at the end.
    pub(super) waiting: Option<Range>,
    /// Queue lengths at given times.
    pub(super) queue: Vec<QueueExpect>,
}

/// The length of a queue at a given time.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueExpect {
    pub(super) host: String,
    /// The time, from the start.
    #[serde(with = "span")]
    pub(super) after: Duration,
    pub(super) length: Range,
}

/// A number, or `{ at_least = 1, at_most = 5 }`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a number, or { at_least = 1, at_most = 5 }")]
pub(super) enum Range {
    Exactly(u64),
    #[serde(rename_all = "snake_case")]
    Between {
        #[serde(default)]
        at_least: u64,
        #[serde(default = "unbounded")]
        at_most: u64,
    },
}

/// The default upper end of a [`Range`]: no limit.
fn unbounded() -> u64 {
    u64::MAX
}

impl Range {
    /// Whether the value is in the range.
    pub(super) fn holds(self, value: u64) -> bool {
        match self {
            Self::Exactly(expected) => value == expected,
            Self::Between { at_least, at_most } => (at_least..=at_most).contains(&value),
        }
    }
}

impl std::fmt::Display for Range {
    /// Writes `3`, `at least 3`, `at most 3` or `3 to 5`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(value) => write!(f, "{value}"),
            Self::Between { at_least, at_most: u64::MAX } => write!(f, "at least {at_least}"),
            Self::Between { at_least: 0, at_most } => write!(f, "at most {at_most}"),
            Self::Between { at_least, at_most } => write!(f, "{at_least} to {at_most}"),
        }
    }
}

mod optional {
    use super::*;

    /// Deserializes a time such as `2s`. It is not called for a field that is missing, which is `None` by default.
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        span::deserialize(deserializer).map(Some)
    }

    /// Serializes a time as [`span::serialize`] does, or `None` as none.
    pub(super) fn serialize<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => span::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }
}
