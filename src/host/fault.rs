//! What may go wrong in a world, in the words of scenario files and of the control interface.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::smtp::whims::Moment;
use crate::world::span;

/// One fault. It holds until it is cured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// A host is turned off: it lets conversations end, and keeps what it took.
    Off {
        /// Which one.
        host: String,
        /// Turned on again, it takes connections, but says and does nothing for so long.
        #[serde(default, with = "span")]
        startup: Duration,
    },
    /// A host is killed in the middle of what it does; what was not committed is lost.
    Crash {
        /// Which one.
        host: String,
        /// Turned on again, it takes connections, but says and does nothing for so long.
        #[serde(default, with = "span")]
        startup: Duration,
    },
    /// A host's disk has no room.
    DiskFull {
        /// Whose.
        host: String,
    },
    /// Every commit on a host's disk takes longer.
    DiskSlow {
        /// Whose.
        host: String,
        /// So much.
        #[serde(with = "span")]
        by: Duration,
    },
    /// Nothing passes between two hosts.
    Cut {
        /// Which two.
        between: [String; 2],
        /// Both ways, or only from the first to the second.
        #[serde(default)]
        way: Way,
    },
    /// A host refuses connections of another.
    Refuse {
        /// Which two.
        between: [String; 2],
        /// Both ways, or only those from the first to the second.
        #[serde(default)]
        way: Way,
    },
    /// After so many octets of a connection, nothing more arrives.
    Stall {
        /// Which two.
        between: [String; 2],
        /// Both ways, or only from the first to the second.
        #[serde(default)]
        way: Way,
        /// Octets that still pass; 0 makes a half-open peer.
        #[serde(default)]
        after: u64,
    },
    /// After so many octets, a connection breaks.
    Reset {
        /// Which two.
        between: [String; 2],
        /// Both ways, or only from the first to the second.
        #[serde(default)]
        way: Way,
        /// Octets that still pass.
        after: u64,
    },
    /// Everything between two hosts takes longer.
    Slow {
        /// Which two.
        between: [String; 2],
        /// Both ways, or only from the first to the second.
        #[serde(default)]
        way: Way,
        /// So much longer.
        #[serde(default, with = "span")]
        latency: Duration,
        /// Up to so much more.
        #[serde(default, with = "span")]
        jitter: Duration,
        /// Octets a second; 0 for no bound.
        #[serde(default)]
        bandwidth: u64,
    },
    /// An MTA or, over LMTP, an MDA gives a reply that is not its own.
    Reply {
        /// Which one.
        host: String,
        /// When in a conversation.
        at: Moment,
        /// The reply, as in `450 4.2.0 try again`; without one it hangs up.
        reply: Option<String>,
        /// Addresses that end like this.
        #[serde(default)]
        about: String,
        /// How often, from 0 to 1.
        #[serde(default = "always")]
        share: f64,
    },
    /// An MTA or MDA sends strangers away until they have waited. RFC 6647 §2.1.
    Greylist {
        /// Which one.
        host: String,
        /// For so long.
        #[serde(with = "span")]
        wait: Duration,
    },
    /// A host's TLS is not as it should be, whoever asks and on whatever port.
    Tls {
        /// Whose.
        host: String,
        /// What it shows.
        certificate: Certificate,
    },
    /// The name servers misbehave.
    Dns {
        /// What they do.
        names: Names,
        /// Names that end like this; all without it.
        #[serde(default)]
        about: String,
        /// How much later they answer, where they are slow.
        #[serde(default, with = "span")]
        by: Duration,
        /// Whose address they give, where they are wrong; who takes the mail, where it has moved.
        #[serde(default)]
        host: Option<String>,
    },
}

/// In which direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// In both.
    #[default]
    Both,
    /// From the first to the second.
    There,
}

/// How name servers misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Names {
    /// They say nothing.
    Silent,
    /// They deny that the name exists.
    NoSuchName,
    /// They cannot tell.
    ServerFailure,
    /// They are late.
    Slow,
    /// They give the address of another host.
    Wrong,
    /// The zone has changed: mail for the names goes to another host.
    Moved,
    /// They have not heard that a zone has changed.
    Stale,
}

/// What a server shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certificate {
    /// None: it has no TLS.
    Absent,
    /// One that held until yesterday.
    Expired,
    /// That of somebody else.
    WrongName,
}

fn always() -> f64 {
    1.0
}

/// How a fault that was inflicted is cured.
#[derive(Clone, Debug)]
pub struct Cure(pub(super) Vec<Remedy>);

#[derive(Clone, Debug)]
pub(super) enum Remedy {
    TurnOn(String, Duration),
    EmptyDisk(String),
    SpeedUp(String),
    Link(crate::net::RuleId),
    Whim(String, u64),
    Flaw(String, u64),
    Mood(u64),
}

impl Fault {
    /// The hosts it names.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Off { host, .. }
            | Self::Crash { host, .. }
            | Self::DiskFull { host }
            | Self::DiskSlow { host, .. }
            | Self::Reply { host, .. }
            | Self::Greylist { host, .. }
            | Self::Tls { host, .. } => vec![host],
            Self::Cut { between, .. }
            | Self::Refuse { between, .. }
            | Self::Stall { between, .. }
            | Self::Reset { between, .. }
            | Self::Slow { between, .. } => between.iter().map(String::as_str).collect(),
            Self::Dns { host, .. } => host.iter().map(String::as_str).collect(),
        }
    }

    /// In a few words.
    pub fn title(&self) -> String {
        let link = |what: &str, between: &[String; 2], way: &Way| {
            let arrow = if *way == Way::Both { "<->" } else { "->" };
            format!("{what} {} {arrow} {}", between[0], between[1])
        };
        match self {
            Self::Off { host, .. } => format!("{host} is off"),
            Self::Crash { host, .. } => format!("{host} crashes"),
            Self::DiskFull { host } => format!("the disk of {host} is full"),
            Self::DiskSlow { host, .. } => format!("the disk of {host} is slow"),
            Self::Cut { between, way } => link("cut", between, way),
            Self::Refuse { between, way } => link("refused", between, way),
            Self::Stall { between, way, after } => format!("{} after {after} octets", link("stall", between, way)),
            Self::Reset { between, way, after } => format!("{} after {after} octets", link("reset", between, way)),
            Self::Slow { between, way, .. } => link("slow", between, way),
            Self::Reply { host, reply: Some(reply), .. } => format!("{host} says {reply}"),
            Self::Reply { host, reply: None, .. } => format!("{host} hangs up"),
            Self::Greylist { host, .. } => format!("{host} greylists"),
            Self::Tls { host, certificate: Certificate::Absent } => format!("{host} has no TLS"),
            Self::Tls { host, certificate: Certificate::Expired } => format!("the certificate of {host} has expired"),
            Self::Tls { host, certificate: Certificate::WrongName } => {
                format!("the certificate of {host} has another name")
            }
            Self::Dns { names, about, host, .. } => {
                let names = names.words(host.as_deref().unwrap_or_default());
                if about.is_empty() { format!("names {names}") } else { format!("names below {about} {names}") }
            }
        }
    }
}

impl Names {
    fn words(self, host: &str) -> String {
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
