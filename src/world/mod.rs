//! The declared world: hosts, names, users, links; and its clock and random numbers.
//!
//! A world file is parsed and checked once, here. The resulting [`World`] is valid: every name in it exists, no route
//! is a loop, and no two services share a port.

mod alias;
mod check;
mod clock;
mod config;
mod engine;
mod files;
mod host_group;
mod keep;
mod map;
mod network;
mod policy;
pub mod port;
mod quota;
mod retry;
mod rng;
mod route;
pub mod span;
mod timeouts;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mail::{Address, domain_key};
pub use alias::Target;
pub use check::{InvalidWorld, Problem};
pub use clock::{Clock, later, rfc5322_date};
pub use engine::{Engine, External};
pub use files::{Links, open_regular, read_regular};
pub use host_group::HostGroup;
pub use keep::Keep;
pub use network::{Clients, Network};
pub use policy::{Greylisting, Logins, Pattern, Policy, PolicyReply, RateLimit, Rule, Stage, UnknownRecipients};
pub use quota::Quota;
pub use retry::Retry;
pub use rng::Rng;
pub use route::{Route, TlsMode, Via};
pub use timeouts::Timeouts;
pub use webhook::{WEBHOOK_EVENTS, Webhook};

/// The default world, `config/journey.toml`, as it was when this program was built.
pub const JOURNEY: &str = include_str!("../../config/journey.toml");

/// A host's short name in the world file, as in `[mta.relay]`.
pub type HostName = Arc<str>;

/// [`World::mailbox_memory`] unless the world file says otherwise: 128 MiB.
pub const DEFAULT_MAILBOX_MEMORY: usize = 128 * 1024 * 1024;

/// A valid world.
#[derive(Clone, Debug)]
pub struct World {
    /// Its name.
    pub name: String,
    /// The password of users outside the declared domains.
    pub password: String,
    /// The MTA that accepts mail from senders without a provider in this world.
    pub entry: HostName,
    /// Every host.
    pub hosts: BTreeMap<HostName, Host>,
    /// Every declared mail domain, by its [key](domain_key).
    pub domains: BTreeMap<String, Domain>,
    /// Domains that accept no mail, by their [key](domain_key). RFC 7505.
    pub no_mail: BTreeSet<String>,
    /// Which messages are kept.
    pub keep: Keep,
    /// The hosts for mail to all other domains; `None`: they do not exist.
    pub elsewhere: Option<Domain>,
    /// Every declared user, by [`Address::key`].
    pub users: BTreeMap<String, User>,
    /// Every declared alias, by [`Address::key`].
    pub aliases: BTreeMap<String, Vec<Target>>,
    /// The public ports, where real clients connect.
    pub ports: BTreeMap<Service, u16>,
    /// Default one-way latency between hosts, in virtual time.
    pub latency: Duration,
    /// The memory for what is kept of mailboxes after their last session, in bytes.
    pub mailbox_memory: usize,
    /// Sender and recipient of the message that `postroad run` sends.
    pub message: Option<(Address, Address)>,
    /// Where events are sent.
    pub webhooks: Vec<Webhook>,
    links: BTreeMap<(IpAddr, IpAddr), Duration>,
    /// The host of each address.
    places: BTreeMap<IpAddr, HostName>,
}

/// A machine of the world.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its short name.
    pub name: HostName,
    /// Its name in the DNS.
    pub fqdn: String,
    /// Its addresses in the world.
    pub addresses: Vec<IpAddr>,
    /// Its role.
    pub role: Role,
}

/// The role of a host.
#[derive(Clone, Debug)]
pub enum Role {
    /// Name server for all names of the world.
    Dns,
    /// Sends and fetches mail for users.
    Mua,
    /// Accepts and relays mail.
    Mta(Box<Mta>),
    /// Stores mailboxes.
    Mda(Mda),
}

impl Role {
    /// Its name in JSON: `dns`, `mua`, `mta` or `mda`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Mua => "mua",
            Self::Mta(_) => "mta",
            Self::Mda(_) => "mda",
        }
    }
}

/// The settings of an MTA.
#[derive(Clone, Debug)]
pub struct Mta {
    /// Static routes, which take precedence over the DNS; the first match applies.
    pub routes: Vec<Route>,
    /// The MTA for all mail that is not local and has no route.
    pub smarthost: Option<HostName>,
    /// The TLS mode of routes without their own.
    pub tls: TlsMode,
    /// Concurrent connections to one destination.
    pub connections_max: usize,
    /// The clients for which it relays to any domain.
    pub relay_from: Clients,
    /// The largest accepted message, in bytes.
    pub size_max: usize,
    /// Which other mail is accepted, and from which clients.
    pub policy: Policy,
    /// Whether it offers STARTTLS at the public port that needs no login, too.
    pub starttls: bool,
    /// When to retry.
    pub retry: Retry,
    /// How long it waits for the next host.
    pub timeouts: Timeouts,
    /// The program; the other settings apply to ours.
    pub engine: Engine,
}

/// The settings of an MDA.
#[derive(Clone, Copy, Debug)]
pub struct Mda {
    /// The largest accepted message, in bytes.
    pub size_max: usize,
    /// Where its mailboxes are stored.
    pub mailboxes: MailboxForm,
}

/// Where mailboxes are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailboxForm {
    /// In the database.
    #[default]
    Database,
    /// Also in Maildirs, where mutt or Dovecot can change them. Not in virtual time, which has no files.
    Maildir,
}

/// The hosts of a mail domain.
#[derive(Clone, Debug)]
pub struct Domain {
    /// MTAs, the preferred one first.
    pub mx: Vec<HostName>,
    /// The preference of each of these in the DNS. RFC 5321 §5.1: those of equal preference share the load.
    pub mx_preferences: Vec<u16>,
    /// The MDA with its mailboxes.
    pub mailboxes: HostName,
    /// The target of mail to unknown users.
    pub catch_all: Option<Target>,
}

/// A user with a mailbox.
#[derive(Clone, Debug)]
pub struct User {
    /// The address, which is also the login.
    pub address: Address,
    /// The password in clear text, which challenge-response logins need.
    pub password: String,
    /// The quota; `None` for no limit.
    pub quota: Option<Quota>,
}

/// A service with a public port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// SMTP without login.
    Smtp,
    /// SMTP without login, with implicit TLS.
    Smtps,
    /// Submission with STARTTLS.
    Submission,
    /// Submission with implicit TLS.
    Submissions,
    /// POP3 with STLS.
    Pop3,
    /// POP3 with implicit TLS.
    Pop3s,
    /// IMAP with STARTTLS.
    Imap,
    /// IMAP with implicit TLS.
    Imaps,
    /// The control interface.
    Http,
    /// DNS over UDP and TCP.
    Dns,
    /// The greeter demo over TCP, the echo demo over UDP.
    Greeter,
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Smtp => "smtp",
            Self::Smtps => "smtps",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Pop3 => "pop3",
            Self::Pop3s => "pop3s",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Http => "http",
            Self::Dns => "dns",
            Self::Greeter => "greeter",
        })
    }
}

impl World {
    /// Parses and checks a world file; `path` is only used in error messages.
    ///
    /// # Errors
    /// It is not TOML, has unknown keys or names, or describes a route that cannot work. All problems are listed, with
    /// line numbers.
    pub fn parse(path: &str, text: &str) -> Result<Self, InvalidWorld> {
        check::world(path, text)
    }

    /// The default world.
    ///
    /// # Panics
    /// Never: a test parses the same file.
    pub fn journey() -> Self {
        Self::parse("config/journey.toml", JOURNEY).expect("the built-in world is valid")
    }

    /// The hosts of a mail domain: a declared one, or `elsewhere`. `None` if the text is no domain, or no mail goes
    /// there.
    pub fn domain(&self, domain: &str) -> Option<&Domain> {
        let domain = domain_key(domain)?;
        let elsewhere = || self.elsewhere.as_ref().filter(|_| !self.is_within(&domain));
        self.domains.get(domain.as_ref()).or_else(elsewhere)
    }

    /// Whether the name is, or is below, a declared domain or one without mail, where undeclared names do not exist; or
    /// `invalid`, which is always empty (RFC 6761 §6.4).
    fn is_within(&self, domain: &str) -> bool {
        let mut name = domain;
        loop {
            if self.domains.contains_key(name) || self.no_mail.contains(name) || name == "invalid" {
                return true;
            }
            match name.split_once('.') {
                Some((_, above)) => name = above,
                None => return false,
            }
        }
    }

    /// The address and password of the user who logs in with this full address; `None` if there is no such user. If the
    /// mail of undeclared domains goes to `elsewhere`, each of their addresses is a user with the password of the
    /// world.
    pub fn secret(&self, login: &str) -> Option<(Address, &str)> {
        let address: Address = login.parse().ok()?;
        match self.users.get(&address.key()) {
            Some(user) => Some((user.address.clone(), &user.password)),
            None if self.is_elsewhere(&address) => Some((address, &self.password)),
            None => None,
        }
    }

    /// Whether the address belongs to an undeclared domain whose mail goes to `elsewhere`.
    pub fn is_elsewhere(&self, address: &Address) -> bool {
        self.elsewhere.is_some() && !self.is_within(address.domain())
    }

    /// Whether this address, without its `+detail`, is that of a declared user, or belongs to an undeclared domain
    /// whose mail goes to `elsewhere`.
    pub fn has_mailbox(&self, address: &Address) -> bool {
        self.users.contains_key(&address.key()) || self.is_elsewhere(address)
    }

    /// The host with this address; `None` if no host of the world has it.
    pub fn host_at(&self, ip: IpAddr) -> Option<&Host> {
        self.hosts.get(self.places.get(&ip)?)
    }

    /// Every address of every host.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.hosts.values().flat_map(|host| host.addresses.iter().copied()).collect()
    }

    /// The one-way latency from one address to another, in virtual time: that of their link, or else the default, which
    /// is 0 from an address to itself.
    pub fn latency(&self, from: IpAddr, to: IpAddr) -> Duration {
        let link = self.links.get(&(from, to)).copied();
        link.unwrap_or(if from == to { Duration::ZERO } else { self.latency })
    }

    /// The DNS hosts.
    pub fn dns(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| matches!(host.role, Role::Dns))
    }

    /// The MTAs with their settings.
    pub fn mtas(&self) -> impl Iterator<Item = (&Host, &Mta)> {
        self.hosts.values().filter_map(|host| match &host.role {
            Role::Mta(mta) => Some((host, mta.as_ref())),
            _ => None,
        })
    }

    /// The MDAs with their settings.
    pub fn mdas(&self) -> impl Iterator<Item = (&Host, &Mda)> {
        self.hosts.values().filter_map(|host| match &host.role {
            Role::Mda(mda) => Some((host, mda)),
            _ => None,
        })
    }

    /// The MUAs.
    pub fn muas(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| matches!(host.role, Role::Mua))
    }

    /// The world as readable text of several lines: hosts and their roles, routes of mail, users, aliases, public
    /// ports.
    pub fn map(&self) -> String {
        map::render(self)
    }
}

#[cfg(test)]
mod tests;
