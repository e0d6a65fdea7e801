//! The faults of scenario files and of the control interface.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::smtp::Reply;
use crate::smtp::reply_faults::FaultPoint;
use crate::world::span;

/// A fault, which is active until it is cleared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// A host is turned off: open connections may end, and what it has accepted is kept.
    Off {
        /// The host.
        host: String,
        /// Once the host is turned on again: how long it accepts connections without answering.
        #[serde(default, with = "span")]
        #[schema(value_type = String, example = "2s")]
        startup: Duration,
    },
    /// A host is killed; what was not committed is lost.
    Crash {
        /// The host.
        host: String,
        /// Once the host is turned on again: how long it accepts connections without answering.
        #[serde(default, with = "span")]
        #[schema(value_type = String, example = "2s")]
        startup: Duration,
    },
    /// A host's disk is full.
    DiskFull {
        /// The host.
        host: String,
    },
    /// A host's disk fails every write with an I/O error.
    DiskFailing {
        /// The host.
        host: String,
    },
    /// Every commit on a host's disk is delayed.
    DiskSlow {
        /// The host.
        host: String,
        /// The delay.
        #[serde(with = "span")]
        #[schema(value_type = String, example = "2s")]
        by: Duration,
    },
    /// Nothing is transmitted between two hosts.
    Cut {
        /// The two hosts.
        between: [String; 2],
        /// In both directions, or only from the first host to the second.
        #[serde(default)]
        direction: Direction,
    },
    /// A host refuses connections from another.
    Refuse {
        /// The two hosts.
        between: [String; 2],
        /// In both directions, or only from the first host to the second.
        #[serde(default)]
        direction: Direction,
    },
    /// After some bytes of a connection, nothing more arrives.
    Stall {
        /// The two hosts.
        between: [String; 2],
        /// In both directions, or only from the first host to the second.
        #[serde(default)]
        direction: Direction,
        /// Bytes that still arrive; with 0 the peer is half-open from the start.
        #[serde(default)]
        after: u64,
    },
    /// After some bytes, a connection is reset.
    Reset {
        /// The two hosts.
        between: [String; 2],
        /// In both directions, or only from the first host to the second.
        #[serde(default)]
        direction: Direction,
        /// Bytes that still arrive.
        after: u64,
    },
    /// Everything between two hosts is delayed.
    Slow {
        /// The two hosts.
        between: [String; 2],
        /// In both directions, or only from the first host to the second.
        #[serde(default)]
        direction: Direction,
        /// Added latency.
        #[serde(default, with = "span")]
        #[schema(value_type = String, example = "2s")]
        latency: Duration,
        /// Maximum random addition to the latency.
        #[serde(default, with = "span")]
        #[schema(value_type = String, example = "2s")]
        jitter: Duration,
        /// Bytes per second; 0 for no limit.
        #[serde(default)]
        bandwidth: u64,
    },
    /// An MTA or, over LMTP, an MDA gives an injected reply.
    Reply {
        /// The host.
        host: String,
        /// At which point of the session.
        at: FaultPoint,
        /// The reply, such as `450 4.2.0 try again`; without one, the connection is closed.
        reply: Option<String>,
        /// Only for addresses with this ending.
        #[serde(default)]
        about: String,
        /// The probability, from 0 to 1.
        #[serde(default = "always")]
        share: f64,
    },
    /// An MTA or MDA defers unknown clients. RFC 6647 §2.1.
    Greylist {
        /// The host.
        host: String,
        /// How long they are deferred.
        #[serde(with = "span")]
        #[schema(value_type = String, example = "2s")]
        wait: Duration,
    },
    /// A host's TLS is defective, on all its ports.
    Tls {
        /// The host.
        host: String,
        /// What it presents.
        certificate: Certificate,
    },
    /// The name servers give wrong answers, or none.
    Dns {
        /// What they do.
        names: DnsFaultKind,
        /// Only for names with this ending; all names if empty.
        #[serde(default)]
        about: String,
        /// The delay of answers, for [`DnsFaultKind::Slow`].
        #[serde(default, with = "span")]
        #[schema(value_type = String, example = "2s")]
        by: Duration,
        /// For [`DnsFaultKind::Wrong`] the host whose address is given, for [`DnsFaultKind::Moved`] the new mail host.
        #[serde(default)]
        host: Option<String>,
    },
}

/// The direction of a link fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both directions.
    #[default]
    Both,
    /// From the first host to the second.
    There,
}

/// What the name servers do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnsFaultKind {
    /// They do not answer.
    Silent,
    /// They answer that the name does not exist.
    NoSuchName,
    /// They answer with a server failure.
    ServerFailure,
    /// They answer late.
    Slow,
    /// They answer with the address of another host.
    Wrong,
    /// The zone has changed: another host accepts mail for the names.
    Moved,
    /// They still answer from the zone before a change.
    Stale,
}

/// The certificate that a server presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Certificate {
    /// None: the server has no TLS.
    Absent,
    /// One that expired yesterday.
    Expired,
    /// One for another name.
    WrongName,
}

/// The default probability of a fault of replies: 1.
fn always() -> f64 {
    1.0
}

/// The steps that clear an injected fault.
#[derive(Clone, Debug)]
pub struct UndoList {
    /// The id of the fault.
    pub(super) id: u64,
    pub(super) steps: Vec<UndoStep>,
}

/// One step that clears a part of a fault.
#[derive(Clone, Debug)]
pub(super) enum UndoStep {
    TurnOn(String, Duration),
    DiskFault(String, u64),
    Link(crate::net::LinkFaultId),
    ReplyFault(String, u64),
    TlsFault(String, u64),
    /// The id, and the names that the fault is about.
    DnsFault(u64, String),
}

/// The end of a link at which the programs are that use the public ports.
pub const OUTSIDE: &str = "outside";

impl Fault {
    /// The two ends of a fault of a link: hosts, or [`OUTSIDE`]; `None` for other faults.
    pub fn ends(&self) -> Option<&[String; 2]> {
        match self {
            Self::Cut { between, .. }
            | Self::Refuse { between, .. }
            | Self::Stall { between, .. }
            | Self::Reset { between, .. }
            | Self::Slow { between, .. } => Some(between),
            _ => None,
        }
    }

    /// The hosts that the fault names, without [`OUTSIDE`]; of a fault of DNS, the host that wrong or moved names lead
    /// to.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Off { host, .. }
            | Self::Crash { host, .. }
            | Self::DiskFull { host }
            | Self::DiskFailing { host }
            | Self::DiskSlow { host, .. }
            | Self::Reply { host, .. }
            | Self::Greylist { host, .. }
            | Self::Tls { host, .. } => vec![host],
            Self::Cut { between, .. }
            | Self::Refuse { between, .. }
            | Self::Stall { between, .. }
            | Self::Reset { between, .. }
            | Self::Slow { between, .. } => between.iter().map(String::as_str).filter(|end| *end != OUTSIDE).collect(),
            Self::Dns { host, .. } => host.iter().map(String::as_str).collect(),
        }
    }

    /// A short description, such as `mta-a is off` or `cut mta-a -> mta-b`, without durations.
    pub fn title(&self) -> String {
        let link = |what: &str, between: &[String; 2], direction: &Direction| {
            let arrow = if *direction == Direction::Both { "<->" } else { "->" };
            format!("{what} {} {arrow} {}", between[0], between[1])
        };
        match self {
            Self::Off { host, .. } => format!("{host} is off"),
            Self::Crash { host, .. } => format!("{host} crashes"),
            Self::DiskFull { host } => format!("the disk of {host} is full"),
            Self::DiskFailing { host } => format!("the disk of {host} fails"),
            Self::DiskSlow { host, .. } => format!("the disk of {host} is slow"),
            Self::Cut { between, direction } => link("cut", between, direction),
            Self::Refuse { between, direction } => link("refused", between, direction),
            Self::Stall { between, direction, after } => {
                format!("{} after {after} bytes", link("stall", between, direction))
            }
            Self::Reset { between, direction, after } => {
                format!("{} after {after} bytes", link("reset", between, direction))
            }
            Self::Slow { between, direction, .. } => link("slow", between, direction),
            Self::Reply { host, reply: Some(reply), .. } => format!("{host} replies {reply}"),
            Self::Reply { host, reply: None, .. } => format!("{host} closes the connection"),
            Self::Greylist { host, .. } => format!("{host} greylists"),
            Self::Tls { host, certificate: Certificate::Absent } => format!("{host} has no TLS"),
            Self::Tls { host, certificate: Certificate::Expired } => format!("the certificate of {host} has expired"),
            Self::Tls { host, certificate: Certificate::WrongName } => {
                format!("the certificate of {host} has another name")
            }
            Self::Dns { names, about, host, .. } => {
                let names = names.describe(host.as_deref().unwrap_or_default());
                if about.is_empty() { format!("names {names}") } else { format!("names below {about} {names}") }
            }
        }
    }
}

impl DnsFaultKind {
    /// What happens to the names, as the predicate of a sentence. `host` is where the names lead with [`Self::Wrong`]
    /// and [`Self::Moved`]; it is not used otherwise.
    fn describe(self, host: &str) -> String {
        match self {
            Self::Silent => "get no answer".to_owned(),
            Self::NoSuchName => "do not exist".to_owned(),
            Self::ServerFailure => "get a server failure".to_owned(),
            Self::Slow => "are slow".to_owned(),
            Self::Wrong => format!("lead to {host}"),
            Self::Moved => format!("have moved to {host}"),
            Self::Stale => "are stale".to_owned(),
        }
    }
}

/// Parses a reply such as `450 4.2.0 try again`, with or without the enhanced status code of RFC 3463. `None`
/// unless its code is 400 to 599. What is no status of class 4 or 5 is text; the class need not be that of the code.
pub(super) fn read_reply(reply: &str) -> Option<Reply> {
    let (code, rest) = reply.split_once(' ').unwrap_or((reply, ""));
    let is_digits = code.bytes().all(|byte| byte.is_ascii_digit());
    let code: u16 = code.parse().ok().filter(|code| is_digits && (400..600).contains(code))?;
    let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let parts: Option<Vec<u16>> = status.split('.').map(|part| part.parse().ok()).collect();
    Some(match parts.as_deref() {
        Some([class @ (4 | 5), subject, detail]) => Reply::new(code, (*class as u8, *subject, *detail), text),
        _ => Reply::plain(code, rest),
    })
}
