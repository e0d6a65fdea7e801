//! The structure of a world file in TOML, with the meaning and default of each setting.
//!
//! The names in it are checked in [`super::World::parse`], the only user of these types.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::policy::UnknownRecipients;
use super::retry::Retry;
use super::route::TlsMode;
use super::timeouts::Timeouts;
use super::webhook::WebhookTable;
use super::{Keep, MailboxForm, Service, span};
use crate::mail::BareLineEnds;

mod policy;
mod user;
pub(super) use policy::{AnyLogin, GreylistingTable, LoginsValue, OneOrMany, RateLimitTable, RuleTable};
pub(super) use user::{UserEntry, UserTable};

/// A world file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorldFile {
    pub(super) world: WorldTable,
    /// The hosts for mail to undeclared domains; without it they do not exist.
    pub(super) elsewhere: Option<Elsewhere>,
    pub(super) message: Option<MessageTable>,
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
    pub(super) webhooks: Vec<WebhookTable>,
    #[serde(default)]
    pub(super) links: Vec<LinkTable>,
    #[serde(default)]
    pub(super) ports: BTreeMap<Service, Spanned<u16>>,
}

pub(super) type Hosts<T> = BTreeMap<Spanned<String>, T>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorldTable {
    /// Also the name of its data folder.
    pub(super) name: Spanned<String>,
    /// The password of users without their own.
    pub(super) password: String,
    /// The MTA that accepts mail from senders without a provider in this world; by default the first by name.
    pub(super) entry: Option<Spanned<String>>,
    /// Domains with a null MX, which accept no mail.
    #[serde(default)]
    pub(super) no_mail: Vec<Spanned<String>>,
    /// Which messages are kept; by default all.
    #[serde(default)]
    pub(super) keep: Keep,
    /// Default one-way latency between two hosts, in virtual time.
    #[serde(default, with = "span")]
    pub(super) latency: Duration,
    /// The memory for what is kept of mailboxes, in bytes.
    #[serde(default = "mailbox_memory")]
    pub(super) mailbox_memory: usize,
}

/// The default of `mailbox_memory`, in bytes.
fn mailbox_memory() -> usize {
    super::DEFAULT_MAILBOX_MEMORY
}

/// The message that `postroad run` sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageTable {
    /// The sender, one of the users.
    pub(super) from: Spanned<String>,
    /// The recipient, one of the users.
    pub(super) to: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Elsewhere {
    /// The MTA that accepts it.
    pub(super) mx: Spanned<String>,
    /// The MDA that stores it.
    pub(super) mailboxes: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainTable {
    /// MTAs, the preferred one first; a list in it has MTAs of equal preference.
    pub(super) mx: Vec<Spanned<OneOrMany>>,
    /// The MDA with the mailboxes.
    pub(super) mailboxes: Spanned<String>,
    /// Local parts.
    #[serde(default)]
    pub(super) users: Vec<Spanned<UserEntry>>,
    /// Aliases by local part, and their targets: names of this domain, addresses, or `|discard`.
    #[serde(default)]
    pub(super) aliases: BTreeMap<Spanned<String>, Spanned<OneOrMany>>,
    /// The target of mail to unknown users; by default such mail is refused.
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
    /// The MTA for all mail that is not local.
    pub(super) smarthost: Option<Spanned<String>>,
    /// Static routes, which take precedence over the DNS; the first match applies.
    #[serde(default)]
    pub(super) routes: Vec<RouteTable>,
    /// The TLS mode of routes without their own.
    pub(super) tls: Option<TlsMode>,
    /// Concurrent connections to one destination.
    pub(super) connections_max: Option<Spanned<usize>>,
    /// Hosts and networks for which it relays to any domain, without login.
    #[serde(default)]
    pub(super) relay_from: Vec<Spanned<String>>,
    /// The largest accepted message, in bytes. RFC 1870.
    pub(super) size_max: Option<Spanned<usize>>,
    /// Whether it offers STARTTLS at the public port `smtp`; not by default.
    pub(super) starttls: Option<Spanned<bool>>,
    /// Recipients per message; RFC 5321 §4.5.3.1.8 asks for at least 100, which is not enforced.
    pub(super) recipients_max: Option<Spanned<usize>>,
    /// Messages per connection; unlimited by default.
    pub(super) transactions_max: Option<Spanned<usize>>,
    /// Recipient domains per connection; unlimited by default.
    pub(super) recipient_domains_max: Option<Spanned<usize>>,
    /// How messages with a lone CR or LF are handled. RFC 5321 §2.3.8.
    pub(super) bare_line_ends: Option<BareLineEnds>,
    /// Who may log in.
    pub(super) logins: Option<LoginsValue>,
    /// The reply to unknown recipients in its domains.
    pub(super) unknown_recipients: Option<UnknownRecipients>,
    /// Defers unknown clients.
    pub(super) greylisting: Option<Spanned<GreylistingTable>>,
    /// Limits what one client may send.
    pub(super) rate_limit: Option<Spanned<RateLimitTable>>,
    /// Rules with replies; the first match applies.
    #[serde(default)]
    pub(super) rules: Vec<RuleTable>,
    /// When to retry.
    pub(super) retry: Option<Spanned<Retry>>,
    /// How long it waits for the next host.
    pub(super) timeouts: Option<Spanned<Timeouts>>,
    /// The program.
    #[serde(default)]
    pub(super) engine: EngineName,
    /// The address of an external MTA.
    pub(super) at: Option<Spanned<SocketAddr>>,
    /// Local ports through which an external MTA reaches other hosts: SMTP of an MTA, LMTP of an MDA.
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
    /// Another MTA, which is started and stopped by its operator.
    External,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MdaTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) address: Spanned<Addresses>,
    /// The largest accepted message, in bytes.
    pub(super) size_max: Option<usize>,
    /// Whether its mailboxes are also kept as Maildirs, which other programs can change.
    #[serde(default)]
    pub(super) mailboxes: MailboxForm,
}

/// `[[mta.NAME.routes]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    /// Domains; `*` stands for any characters.
    pub(super) to: Spanned<String>,
    /// A host of the world, or a server with an optional port; by default the hosts from the DNS.
    pub(super) via: Option<Spanned<String>>,
    /// The TLS mode.
    pub(super) tls: Option<TlsMode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkTable {
    /// The two hosts that it connects.
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
    /// The addresses, of which there may be one, several or none.
    pub(super) fn list(&self) -> &[IpAddr] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Several(addresses) => addresses,
        }
    }
}
