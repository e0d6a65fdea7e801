//! The declared world: hosts, names, users, links; its clock and its dice.
//!
//! A world file is read and checked once, here; what comes out, [`World`], is sound: every name in it exists, every
//! route ends, and no two services share a port.

mod alias;
mod check;
mod clock;
mod config;
mod dice;
mod engine;
mod files;
mod map;
mod network;
mod policy;
pub mod port;
mod quota;
mod retry;
mod route;
pub mod span;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mail::{Address, domain_key};
pub use alias::Target;
pub use check::{Problem, Unsound};
pub use clock::{Clock, later, rfc5322_date};
pub use dice::Dice;
pub use engine::{Engine, External};
pub use files::{Links, open_regular, read_regular};
pub use network::{Clients, Network};
pub use policy::{Answer, Greylisting, Pattern, Policy, RateLimit, Rule, Stage, UnknownRecipients};
pub use quota::Quota;
pub use retry::Retry;
pub use route::{Route, TlsMode, Via};

/// The default world, `config/journey.toml`, as it was when this program was built.
pub const JOURNEY: &str = include_str!("../../config/journey.toml");

/// A host's short name in the world file, as in `[mta.relay]`.
pub type HostName = Arc<str>;

/// A sound world.
#[derive(Clone, Debug)]
pub struct World {
    /// What it is called.
    pub name: String,
    /// The password of mailboxes elsewhere.
    pub password: String,
    /// The MTA that takes mail of senders who have no provider here.
    pub entry: HostName,
    /// Every host.
    pub hosts: BTreeMap<HostName, Host>,
    /// Every declared mail domain, by its [key](domain_key).
    pub domains: BTreeMap<String, Domain>,
    /// Domains that take no mail at all, by their [key](domain_key). RFC 7505.
    pub no_mail: BTreeSet<String>,
    /// Where mail to all other domains goes; `None`: they do not exist.
    pub elsewhere: Option<Domain>,
    /// Every declared user, by [`Address::key`].
    pub users: BTreeMap<String, User>,
    /// Every declared alias, by [`Address::key`].
    pub aliases: BTreeMap<String, Vec<Target>>,
    /// Where real programs connect.
    pub ports: BTreeMap<Service, u16>,
    /// One-way travel time where no link says otherwise, in virtual time.
    pub latency: Duration,
    /// The letter that `postroad run` sends: from whom, to whom.
    pub letter: Option<(Address, Address)>,
    links: BTreeMap<(IpAddr, IpAddr), Duration>,
    /// Whose each address is.
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
    /// What it does.
    pub role: Role,
}

/// What a host does.
#[derive(Clone, Debug)]
pub enum Role {
    /// Answers for all names of the world.
    Dns,
    /// Sends and fetches mail for users.
    Mua,
    /// Takes and passes on mail.
    Mta(Box<Mta>),
    /// Keeps mailboxes.
    Mda(Mda),
}

/// The settings of an MTA.
#[derive(Clone, Debug)]
pub struct Mta {
    /// Ways other than those that the DNS names, the first that fits.
    pub routes: Vec<Route>,
    /// The MTA that takes everything which is not local and has no route.
    pub smarthost: Option<HostName>,
    /// How well all ways are protected that do not say so themselves.
    pub tls: TlsMode,
    /// Connections to one next host at once.
    pub connections_max: usize,
    /// Who may send to anywhere through this one.
    pub relay_from: Clients,
    /// The largest message taken, in octets.
    pub size_max: usize,
    /// What else it takes, and from whom.
    pub policy: Policy,
    /// When to try again.
    pub retry: Retry,
    /// Which program it is; the other settings are for ours.
    pub engine: Engine,
}

/// The settings of an MDA.
#[derive(Clone, Copy, Debug)]
pub struct Mda {
    /// The largest message taken, in octets.
    pub size_max: usize,
    /// Where its mailboxes lie.
    pub mailboxes: MailboxForm,
}

/// Where mailboxes lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailboxForm {
    /// In the database.
    #[default]
    Database,
    /// Also in Maildirs, where mutt or Dovecot may work on them; not in virtual time, where nothing is on disk.
    Maildir,
}

/// Who serves a mail domain.
#[derive(Clone, Debug)]
pub struct Domain {
    /// MTAs, the preferred one first.
    pub mx: Vec<HostName>,
    /// The MDA.
    pub mailboxes: HostName,
    /// Where mail goes to whom nobody is.
    pub catch_all: Option<Target>,
}

/// Someone with a mailbox.
#[derive(Clone, Debug)]
pub struct User {
    /// The address, which is also the login.
    pub address: Address,
    /// The password, in the clear: this is a test world, and challenge-response logins need it.
    pub password: String,
    /// How much they may keep; without one, anything.
    pub quota: Option<Quota>,
}

/// A way into the world for real programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// SMTP without login.
    Smtp,
    /// Submission with STARTTLS.
    Submission,
    /// Submission with TLS from the start.
    Submissions,
    /// POP3 with STLS.
    Pop3,
    /// POP3 with TLS from the start.
    Pop3s,
    /// IMAP with STARTTLS.
    Imap,
    /// IMAP with TLS from the start.
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
    /// Reads and checks a world file. `path` only names it in what is said about it.
    ///
    /// # Errors
    /// It is not TOML, has unknown keys, names what does not exist, or describes a way that mail cannot go; all
    /// that is wrong is listed, with lines.
    pub fn parse(path: &str, text: &str) -> Result<Self, Unsound> {
        check::world(path, text)
    }

    /// The default world.
    ///
    /// # Panics
    /// Never: a test reads the same file.
    pub fn journey() -> Self {
        Self::parse("config/journey.toml", JOURNEY).expect("the built-in world is sound")
    }

    /// Who serves this mail domain: a declared one, or elsewhere.
    pub fn domain(&self, domain: &str) -> Option<&Domain> {
        let domain = domain_key(domain)?;
        let elsewhere = || self.elsewhere.as_ref().filter(|_| !self.is_within(&domain));
        self.domains.get(domain.as_ref()).or_else(elsewhere)
    }

    /// Whether the name is a declared domain or below one, where what is not declared does not exist; or below
    /// `invalid`, where nothing ever does (RFC 6761 §6.4).
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

    /// The secret with which this user logs in. Everybody elsewhere has a mailbox.
    pub fn secret(&self, login: &str) -> Option<(Address, &str)> {
        let address: Address = login.parse().ok()?;
        match self.users.get(&address.key()) {
            Some(user) => Some((user.address.clone(), &user.password)),
            None if self.is_elsewhere(&address) => Some((address, &self.password)),
            None => None,
        }
    }

    /// Whether the address belongs to a domain that the world does not declare, but takes mail for.
    pub fn is_elsewhere(&self, address: &Address) -> bool {
        self.elsewhere.is_some() && !self.is_within(address.domain())
    }

    /// Whether mail to this address has a mailbox to go to.
    pub fn has_mailbox(&self, address: &Address) -> bool {
        self.users.contains_key(&address.key()) || self.is_elsewhere(address)
    }

    /// The host with this address.
    pub fn host_at(&self, ip: IpAddr) -> Option<&Host> {
        self.hosts.get(self.places.get(&ip)?)
    }

    /// Every address of every host.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.hosts.values().flat_map(|host| host.addresses.iter().copied()).collect()
    }

    /// How long a byte travels from one address to another, one way.
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

    /// The world as a map for people: hosts, what they do, and the ways of mail between them.
    pub fn map(&self) -> String {
        map::draw(self)
    }
}

#[cfg(test)]
mod tests;
