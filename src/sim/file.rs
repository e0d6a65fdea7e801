//! The scenario file as it is written: TOML, one field a setting, its meaning and default beside it.
//!
//! What it names is checked in [`super::Scenario::parse`]; nothing else reads these types.

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
    /// A world of so many equal providers, instead of a world file.
    pub(super) providers: Option<Spanned<ProvidersTable>>,
    #[serde(default)]
    pub(super) traffic: Vec<Spanned<TrafficTable>>,
    #[serde(default)]
    pub(super) readers: Vec<Spanned<ReaderTable>>,
    #[serde(default)]
    pub(super) faults: Vec<Spanned<EpisodeTable>>,
    #[serde(default)]
    pub(super) expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioTable {
    pub(super) name: String,
    /// What it shows, in a sentence.
    #[serde(default)]
    pub(super) about: String,
    /// A world file, from the folder of this file; without it, the default world.
    pub(super) world: Option<Spanned<PathBuf>>,
    /// The world's time at the start; without it, a Monday morning.
    pub(super) start: Option<jiff::Timestamp>,
    /// The run ends then at the latest; before, when all mail has arrived or come back.
    #[serde(with = "span")]
    pub(super) lasts: Duration,
    /// How long a commit takes on the hosts' disks.
    #[serde(default = "disk", with = "span")]
    pub(super) disk: Duration,
}

fn disk() -> Duration {
    Duration::from_millis(2)
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProvidersTable {
    /// How many; each has an MTA, an MDA and a domain, `p0.test` and so on.
    pub(super) count: usize,
    /// Users of each, `u0` and so on.
    #[serde(default = "users")]
    pub(super) users: usize,
}

fn users() -> usize {
    10
}

/// Who writes to whom, and how often.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrafficTable {
    /// Addresses, or `*@domain` for all users of a domain, or `*` for all; each message is from one of them.
    pub(super) from: Vec<String>,
    /// The same, and any other address.
    pub(super) to: Vec<String>,
    /// Recipients of each message.
    #[serde(default = "one")]
    pub(super) recipients: usize,
    /// Messages in all.
    #[serde(default = "one")]
    pub(super) count: usize,
    /// When the first is written, after the start.
    #[serde(default, with = "span")]
    pub(super) after: Duration,
    /// The time from one to the next; with `poisson`, on average.
    #[serde(default, with = "span")]
    pub(super) every: Duration,
    #[serde(default)]
    pub(super) pattern: Pattern,
    /// So many are written at once.
    #[serde(default = "one")]
    pub(super) burst: usize,
    /// Octets of text.
    #[serde(default = "size")]
    pub(super) size: usize,
    /// Messages to send instead: a file with one, an mbox, or a folder of them, from the folder of this file.
    pub(super) mail: Option<PathBuf>,
}

fn one() -> usize {
    1
}

fn size() -> usize {
    1000
}

/// How messages are spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pattern {
    #[default]
    Steady,
    /// At random, as many independent people write.
    Poisson,
}

/// Who fetches mail.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReaderTable {
    /// As in `from` above.
    pub(super) who: Vec<String>,
    #[serde(default)]
    pub(super) by: By,
    /// How often; with `idle`, how soon after the connection is lost.
    #[serde(with = "span")]
    pub(super) every: Duration,
    /// From which hour of the day to which, in UTC; at other times the machine is off.
    pub(super) hours: Option<[i8; 2]>,
}

/// How mail is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum By {
    #[default]
    Pop3,
    Imap,
    /// IMAP, and the connection stays: what comes is fetched at once.
    Idle,
}

/// A fault, and when.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EpisodeTable {
    pub(super) fault: Fault,
    /// When it begins, after the start.
    #[serde(default, with = "span")]
    pub(super) after: Duration,
    /// How long it lasts; without it, to the end.
    #[serde(default, with = "span")]
    pub(super) lasts: Duration,
    /// It comes back so often.
    #[serde(default = "one")]
    pub(super) times: usize,
    /// The time from one beginning to the next.
    #[serde(default, with = "span")]
    pub(super) every: Duration,
    /// Each beginning is later by up to so much, at random.
    #[serde(default, with = "span")]
    pub(super) jitter: Duration,
}

/// What must hold at the end; exit 1 if it does not.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expect {
    /// Recipients' copies delivered, as a share of all that were accepted.
    pub(super) delivered: Option<f64>,
    /// Only those count that arrived so soon.
    #[serde(with = "optional")]
    pub(super) within: Option<Duration>,
    /// Half of the journeys take no longer.
    #[serde(with = "optional")]
    pub(super) p50: Option<Duration>,
    /// So with 95 of a hundred.
    #[serde(with = "optional")]
    pub(super) p95: Option<Duration>,
    /// So with 99 of a hundred.
    #[serde(with = "optional")]
    pub(super) p99: Option<Duration>,
    /// Recipients who never got it, and whose sender was told.
    pub(super) bounced: Option<Range>,
    /// Copies too many.
    pub(super) duplicates: Option<Range>,
    /// Attempts that failed for now.
    pub(super) deferred: Option<Range>,
    /// Copies that still wait at the end.
    pub(super) waiting: Option<Range>,
    /// Queues at a time.
    pub(super) queue: Vec<QueueExpect>,
}

/// How long a queue is at a time.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueExpect {
    pub(super) host: String,
    /// After the start.
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
        #[serde(default = "endless")]
        at_most: u64,
    },
}

fn endless() -> u64 {
    u64::MAX
}

impl Range {
    pub(super) fn holds(self, value: u64) -> bool {
        match self {
            Self::Exactly(expected) => value == expected,
            Self::Between { at_least, at_most } => (at_least..=at_most).contains(&value),
        }
    }
}

impl std::fmt::Display for Range {
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

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        span::deserialize(deserializer).map(Some)
    }

    pub(super) fn serialize<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => span::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }
}
