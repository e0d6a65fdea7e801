//! The next hop of a recipient, and the hosts that it stands for, with their addresses. RFC 5321 §5.

use std::net::{IpAddr, SocketAddr};

use super::next_hop::{HopKind, NextHop};
use super::{Failure, Mta};
use crate::dns::{Exchange, LookupError, Mx, Resolver};
use crate::mail::{Address, Envelope, Message};
use crate::world::{Host, HostName, Rng, Role, Route, TlsMode, Via, port};

/// A host to try, with all its addresses.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
    /// That of its MX record.
    pub(super) preference: Option<u16>,
    pub(super) addresses: Vec<SocketAddr>,
}

impl NextHop {
    /// The next hop of a recipient at this MTA: the mailboxes of a local domain, else the first route that matches, the
    /// smarthost, the address literal, or the exchanges of the domain. Its TLS is that of the route, or else of the
    /// settings, as the preference of the message changes it.
    pub(super) fn of(mta: &Mta, recipient: &Address, tls_preference: TlsPreference) -> Self {
        let (context, domain) = (mta.context(), recipient.domain());
        let sender_requires = tls_preference == TlsPreference::Required;
        if let Some(served) = context.world.domain(domain)
            && mta.is_local(domain)
        {
            let kind = HopKind::Mailboxes(served.mailboxes.clone());
            return Self { kind, tls: tls_preference.of(context.settings.tls), sender_requires };
        }
        let route = context.settings.routes.iter().find(|route| route.to.matches(domain));
        let kind = route.and_then(kind).unwrap_or_else(|| match (&context.settings.smarthost, literal(domain)) {
            (Some(host), _) => HopKind::Host(host.clone()),
            (None, Some(ip)) => HopKind::Literal(ip),
            (None, None) => HopKind::Exchange(domain.to_owned()),
        });
        let tls = route.and_then(|route| route.tls).unwrap_or(context.settings.tls);
        Self { kind, tls: tls_preference.of(tls), sender_requires }
    }

    /// The hosts to try, in order, with the addresses that `resolver` finds: one host for all kinds but an exchange, on
    /// the port of LMTP for mailboxes. Fails if a name cannot be looked up, the domain takes no mail, or the mail would
    /// loop.
    pub(super) async fn targets(&self, mta: &Mta, resolver: &Resolver) -> Result<Vec<Target>, Failure> {
        let name =
            |host: &HostName| mta.context().world.hosts.get(host).map_or(host.to_string(), |host| host.fqdn.clone());
        match &self.kind {
            HopKind::Mailboxes(host) => Ok(vec![target(resolver, &name(host), port::LMTP).await?]),
            HopKind::Host(host) => Ok(vec![target(resolver, &name(host), port::SMTP).await?]),
            HopKind::Server(name, port) => match name.parse() {
                Ok(ip) => Ok(vec![Target::at(name.clone(), SocketAddr::new(ip, *port))]),
                Err(_) => Ok(vec![target(resolver, name, *port).await?]),
            },
            HopKind::Literal(ip) => Ok(vec![literal_target(mta, *ip)?]),
            HopKind::Exchange(domain) => exchanges(mta, resolver, domain).await,
        }
    }
}

impl Target {
    /// A host with one address, and without an MX preference.
    fn at(name: String, address: SocketAddr) -> Self {
        Self { name, preference: None, addresses: vec![address] }
    }
}

/// What the message itself requests about TLS. RFC 8689.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsPreference {
    /// Nothing.
    AsConfigured,
    /// `REQUIRETLS`: only a host that has proven its name gets it. RFC 8689 §4.2.1.
    Required,
    /// `TLS-Required: No`: delivery is more important than TLS. RFC 8689 §4.2.2.
    Waived,
}

impl TlsPreference {
    /// What a message requests: `REQUIRETLS` in its envelope takes precedence over its field `TLS-Required`. RFC 8689
    /// §3.
    pub(super) fn of_message(envelope: &Envelope, message: &Message) -> Self {
        let is_waived = || message.field("tls-required").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        match envelope.require_tls {
            true => Self::Required,
            false if is_waived() => Self::Waived,
            false => Self::AsConfigured,
        }
    }

    /// The protection of a connection with this preference, where the settings say `configured`: `Required` makes it
    /// verified, `Waived` at most opportunistic.
    fn of(self, configured: TlsMode) -> TlsMode {
        match self {
            Self::AsConfigured => configured,
            Self::Required => TlsMode::Verified,
            Self::Waived => configured.min(TlsMode::Opportunistic),
        }
    }
}

/// The kind of the next hop that a route names; `None` if the route names none, and only sets TLS.
fn kind(route: &Route) -> Option<HopKind> {
    match route.via.as_ref()? {
        Via::Host(host) => Some(HopKind::Host(host.clone())),
        Via::Server { name, port } => Some(HopKind::Server(name.clone(), *port)),
    }
}

/// The address in a literal such as `[192.0.2.1]` or `[ipv6:2001:db8::1]`, in lower case; `None` for other domains.
fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    inner.strip_prefix("ipv6:").unwrap_or(inner).parse().ok()
}

/// The host at an address, on port 25. If only hosts of the world can be reached, it must be one of those that accept
/// mail (else `NoMailServer`); it must not be this host (`Loop`).
fn literal_target(mta: &Mta, ip: IpAddr) -> Result<Target, Failure> {
    let (context, name) = (mta.context(), format!("[{ip}]"));
    match context.world.host_at(ip) {
        Some(host) if host.name == context.host => Err(Failure::Loop(name)),
        Some(Host { role: Role::Dns | Role::Mua | Role::Mda(_), .. }) => Err(Failure::NoMailServer(name)),
        None if context.interface.is_in_closed_world() => Err(Failure::NoMailServer(name)),
        _ => Ok(Target::at(name, SocketAddr::new(ip, port::SMTP))),
    }
}

/// The host of this name, with all addresses that DNS has for it, and this port; fails if the lookup does.
async fn target(resolver: &Resolver, name: &str, port: u16) -> Result<Target, Failure> {
    let addresses = resolver.addresses(name).await?;
    let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    Ok(Target { name: name.to_owned(), preference: None, addresses })
}

/// The exchanges of a domain that have an address, in the order to try them; if this host is one, only those with a
/// lower preference value. Without MX, the domain itself. Fails with `NullMx`, with `Loop` if none is left, or, if none
/// has an address, with a temporary failure of their lookups before a permanent one. RFC 5321 §5.1.
async fn exchanges(mta: &Mta, resolver: &Resolver, domain: &str) -> Result<Vec<Target>, Failure> {
    let found = resolver.mx(domain).await?;
    let has_mx = matches!(found, Mx::Hosts(_));
    let hosts = match found {
        Mx::Null => return Err(Failure::NullMx(domain.to_owned())),
        Mx::Implicit => vec![Exchange { preference: 0, host: domain.to_owned() }],
        Mx::Hosts(hosts) => hosts,
    };
    let (mut targets, mut failure) = (Vec::new(), None);
    for exchange in nearer(in_order(hosts, &mta.context().rng), mta.fqdn()) {
        match target(resolver, &exchange.host, port::SMTP).await {
            Ok(target) => targets.push(Target { preference: has_mx.then_some(exchange.preference), ..target }),
            Err(error) => failure = Some(prefer_temporary(failure, error)),
        }
    }
    match (targets.is_empty(), failure) {
        (false, _) => Ok(targets),
        (true, Some(failure)) => Err(failure),
        (true, None) => Err(Failure::Loop(domain.to_owned())),
    }
}

/// Sorts the exchanges by preference, equal ones in random order, to spread the load. RFC 5321 §5.1.
fn in_order(mut hosts: Vec<Exchange>, rng: &Rng) -> Vec<Exchange> {
    rng.shuffle(&mut hosts);
    hosts.sort_by_key(|exchange| exchange.preference);
    hosts
}

/// Removes the host `own` and all exchanges whose preference is no better than that of `own`: the message would loop.
/// All stay if `own` is not among them. RFC 5321 §5.1.
fn nearer(hosts: Vec<Exchange>, own: &str) -> Vec<Exchange> {
    let ours = hosts.iter().find(|exchange| exchange.host == own).map(|exchange| exchange.preference);
    hosts.into_iter().filter(|exchange| ours.is_none_or(|ours| exchange.preference < ours)).collect()
}

/// Of the failures of two exchanges, `known` if it is temporary, else `new`: while an exchange may still be found, the
/// message waits. A `new` one about a host without an address becomes one about a host that does not exist.
fn prefer_temporary(known: Option<Failure>, new: Failure) -> Failure {
    match known {
        Some(known) if !known.is_permanent() => known,
        _ => match new {
            // The MX record names no host. That is an error of the domain's owner, and permanent.
            Failure::Lookup(LookupError::NoData(name)) => Failure::Lookup(LookupError::NoSuchName(name)),
            new => new,
        },
    }
}

#[cfg(test)]
mod tests;
