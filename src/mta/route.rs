//! Where a recipient's mail goes next, and at which addresses that is. RFC 5321 §5.

use std::net::{IpAddr, SocketAddr};

use super::{Failure, Mta};
use crate::dns::{Exchange, LookupError, Mx};
use crate::mail::Address;
use crate::world::{HostName, port};

/// The next station. Messages with the same one share its connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NextHop {
    /// The MDA of a local domain.
    Mailboxes(HostName),
    /// The host that takes everything else.
    Smarthost(HostName),
    /// Whoever the DNS names for a domain.
    Exchange(String),
    /// An address literal. RFC 5321 §4.1.3.
    Literal(IpAddr),
}

/// A host to try, with all its addresses.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) addresses: Vec<SocketAddr>,
}

impl NextHop {
    /// The next station of mail to `recipient` at this MTA.
    pub(super) fn of(mta: &Mta, recipient: &Address) -> Self {
        let (world, domain) = (&mta.setup().world, recipient.domain());
        if let Some(served) = world.domain(domain)
            && mta.is_local(domain)
        {
            return Self::Mailboxes(served.mailboxes.clone());
        }
        match (&mta.setup().settings.smarthost, literal(domain)) {
            (Some(host), _) => Self::Smarthost(host.clone()),
            (None, Some(ip)) => Self::Literal(ip),
            (None, None) => Self::Exchange(domain.to_owned()),
        }
    }

    /// Whether the station speaks LMTP.
    pub(super) fn is_lmtp(&self) -> bool {
        matches!(self, Self::Mailboxes(_))
    }

    /// The hosts to try, in order.
    pub(super) async fn targets(&self, mta: &Mta) -> Result<Vec<Target>, Failure> {
        let name =
            |host: &HostName| mta.setup().world.hosts.get(host).map_or(host.to_string(), |host| host.fqdn.clone());
        match self {
            Self::Mailboxes(host) => Ok(vec![target(mta, &name(host), port::LMTP).await?]),
            Self::Smarthost(host) => Ok(vec![target(mta, &name(host), port::SMTP).await?]),
            Self::Literal(ip) => {
                Ok(vec![Target { name: format!("[{ip}]"), addresses: vec![SocketAddr::new(*ip, port::SMTP)] }])
            }
            Self::Exchange(domain) => exchanges(mta, domain).await,
        }
    }
}

fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    inner.strip_prefix("ipv6:").unwrap_or(inner).parse().ok()
}

async fn target(mta: &Mta, name: &str, port: u16) -> Result<Target, Failure> {
    let addresses = mta.setup().resolver.addresses(name).await?;
    let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    Ok(Target { name: name.to_owned(), addresses })
}

/// The exchanges of a domain that are nearer to it than we are. RFC 5321 §5.1.
async fn exchanges(mta: &Mta, domain: &str) -> Result<Vec<Target>, Failure> {
    let hosts = match mta.setup().resolver.mx(domain).await? {
        Mx::Null => return Err(Failure::NullMx(domain.to_owned())),
        Mx::Implicit => vec![Exchange { preference: 0, host: domain.to_owned() }],
        Mx::Hosts(hosts) => in_order(mta, hosts),
    };
    let ours = hosts.iter().find(|exchange| exchange.host == mta.fqdn()).map(|exchange| exchange.preference);
    let nearer = hosts.iter().filter(|exchange| ours.is_none_or(|ours| exchange.preference < ours));
    let (mut targets, mut failure) = (Vec::new(), None);
    for exchange in nearer {
        match target(mta, &exchange.host, port::SMTP).await {
            Ok(target) => targets.push(target),
            Err(error) => failure = Some(prefer_temporary(failure, error)),
        }
    }
    match (targets.is_empty(), failure) {
        (false, _) => Ok(targets),
        (true, Some(failure)) => Err(failure),
        (true, None) => Err(Failure::Loop(domain.to_owned())),
    }
}

/// Equal preferences in random order, to spread the load. RFC 5321 §5.1.
fn in_order(mta: &Mta, mut hosts: Vec<Exchange>) -> Vec<Exchange> {
    mta.setup().dice.shuffle(&mut hosts);
    hosts.sort_by_key(|exchange| exchange.preference);
    hosts
}

/// While one exchange might still be found, the mail waits.
fn prefer_temporary(known: Option<Failure>, new: Failure) -> Failure {
    match known {
        Some(known) if !known.is_permanent() => known,
        _ => match new {
            // An MX that names no host is the fault of the domain's owner, who may mend it; but not of ours.
            Failure::Lookup(LookupError::NoData(name)) => Failure::Lookup(LookupError::NoSuchName(name)),
            new => new,
        },
    }
}
