//! The world file as it is written: TOML, one field a setting, its meaning and default beside it.
//!
//! What it names is checked in [`super::World::parse`]; nothing else reads these types.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::policy::UnknownRecipients;
use super::retry::Retry;
use super::route::TlsMode;
use super::{MailboxForm, Service, span};
use crate::mail::BareLineEnds;

mod policy;
mod user;
pub(super) use policy::{GreylistingTable, OneOrMany, RateLimitTable, RuleTable};
pub(super) use user::{UserEntry, UserTable};

/// A world file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorldFile {
    pub(super) world: WorldTable,
    /// Mail to domains that are not declared; without it they do not exist.
    pub(super) elsewhere: Option<Elsewhere>,
    pub(super) letter: Option<LetterTable>,
    #[serde(default)]
    pub(super) domains: BTreeMap<Spanned<String>, DomainTable>,
    #[serde(default)]
    pub(super) dns: Hosts<DnsTable>,
    #[serde(default)]
    pub(super) mua: Hosts<MuaTable>,
    #[serde(default)]
    pub(super) mta: Hosts<MtaTable>,
    #[serde(default)]
    pub(super) mda: Hosts<MdaTable>,
    #[serde(default)]
    pub(super) links: Vec<LinkTable>,
    #[serde(default)]
    pub(super) ports: BTreeMap<Service, Spanned<u16>>,
}

pub(super) type Hosts<T> = BTreeMap<Spanned<String>, T>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorldTable {
    pub(super) name: String,
    /// The password of users without one of their own.
    pub(super) password: String,
    /// The MTA that takes mail of senders who have no provider here; without it the first by name.
    pub(super) entry: Option<Spanned<String>>,
    /// Domains that say in the DNS that they take no mail.
    #[serde(default)]
    pub(super) no_mail: Vec<Spanned<String>>,
    /// How long a byte travels between two hosts, one way, where no link says otherwise. Only in virtual time.
    #[serde(default, with = "span")]
    pub(super) latency: Duration,
}

/// The letter that `postroad run` sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LetterTable {
    /// One of the users.
    pub(super) from: Spanned<String>,
    /// Another.
    pub(super) to: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Elsewhere {
    /// The MTA that takes it.
    pub(super) mx: Spanned<String>,
    /// The MDA that keeps it.
    pub(super) mailboxes: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainTable {
    /// MTAs, the preferred one first.
    pub(super) mx: Vec<Spanned<String>>,
    /// The MDA that keeps the mailboxes.
    pub(super) mailboxes: Spanned<String>,
    /// Local parts.
    #[serde(default)]
    pub(super) users: Vec<Spanned<UserEntry>>,
    /// Local parts, and where their mail goes instead: names of this domain, addresses, or `|discard`.
    #[serde(default)]
    pub(super) aliases: BTreeMap<Spanned<String>, Spanned<OneOrMany>>,
    /// Where mail goes to whom nobody is; without it such mail is refused.
    pub(super) catch_all: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DnsTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) address: Spanned<Addresses>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MuaTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) address: Spanned<Addresses>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MtaTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) address: Spanned<Addresses>,
    /// The MTA that takes everything which is not local here.
    pub(super) smarthost: Option<Spanned<String>>,
    /// Ways other than those that the DNS names, the first that fits.
    #[serde(default)]
    pub(super) routes: Vec<RouteTable>,
    /// How well all ways are protected that do not say so themselves.
    pub(super) tls: Option<TlsMode>,
    /// Connections to one next host at once.
    pub(super) connections_max: Option<Spanned<usize>>,
    /// Hosts and networks that may send through this one to anywhere, without login.
    #[serde(default)]
    pub(super) relay_from: Vec<Spanned<String>>,
    /// The largest message taken, in octets. RFC 1870.
    #[serde(default = "size_max")]
    pub(super) size_max: usize,
    /// Recipients of one message; RFC 5321 §4.5.3.1.8 asks for at least 100, which is not forced.
    pub(super) recipients_max: Option<Spanned<usize>>,
    /// Messages on one connection; any number without it.
    pub(super) transactions_max: Option<Spanned<usize>>,
    /// Domains of recipients on one connection; any number without it.
    pub(super) recipient_domains_max: Option<Spanned<usize>>,
    /// What becomes of messages with a lone CR or LF. RFC 5321 §2.3.8.
    pub(super) bare_line_ends: Option<BareLineEnds>,
    /// What is said to recipients of its domains whom nobody knows.
    pub(super) unknown_recipients: Option<UnknownRecipients>,
    /// Lets strangers wait.
    pub(super) greylisting: Option<Spanned<GreylistingTable>>,
    /// How much one client may send.
    pub(super) rate_limit: Option<Spanned<RateLimitTable>>,
    /// Replies of its own choice, the first that applies.
    #[serde(default)]
    pub(super) rules: Vec<RuleTable>,
    /// When to try again.
    pub(super) retry: Option<Spanned<Retry>>,
    /// Which program it is.
    #[serde(default)]
    pub(super) engine: EngineName,
    /// Where an external one listens.
    pub(super) at: Option<Spanned<SocketAddr>>,
    /// Ports of this machine by which an external one reaches other hosts: SMTP of an MTA, LMTP of an MDA.
    #[serde(default)]
    pub(super) reach: BTreeMap<Spanned<String>, Spanned<u16>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EngineName {
    #[default]
    Postroad,
    /// mailin-embedded in front of our queue.
    Mailin,
    /// A real MTA that somebody else runs.
    External,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MdaTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) address: Spanned<Addresses>,
    /// The largest message taken, in octets.
    #[serde(default = "size_max")]
    pub(super) size_max: usize,
    /// Whether its mailboxes also lie in folders, where other programs may work on them.
    #[serde(default)]
    pub(super) mailboxes: MailboxForm,
}

/// 50 MiB.
fn size_max() -> usize {
    50 * 1024 * 1024
}

/// `[[mta.NAME.routes]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    /// Domains; `*` stands for any characters.
    pub(super) to: Spanned<String>,
    /// A host of the world, or a server and perhaps its port; without it the way that the DNS names.
    pub(super) via: Option<Spanned<String>>,
    /// How well it is protected.
    pub(super) tls: Option<TlsMode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkTable {
    /// The two hosts it joins.
    pub(super) between: [Spanned<String>; 2],
    #[serde(with = "span")]
    pub(super) latency: Duration,
}

/// One address or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected an IP address such as \"192.0.2.25\", or a list of them")]
pub(super) enum Addresses {
    One(IpAddr),
    Several(Vec<IpAddr>),
}

impl Addresses {
    pub(super) fn list(&self) -> &[IpAddr] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Several(addresses) => addresses,
        }
    }
}
