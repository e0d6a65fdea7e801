//! `/api/v1/world`: what the world file declares, as far as a map of the world needs it.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use super::AppState;
use super::problem::Json;
use crate::world::{Domain, Host, Mta, Via, World};

/// What a map of the world shows.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct WorldReport {
    name: String,
    /// The world's time.
    now: Timestamp,
    /// The MTA that accepts mail of unknown senders.
    entry: String,
    /// The sender and recipient of a first message.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<(String, String)>,
    domains: BTreeMap<String, DomainReport>,
    /// The hosts for mail to all other domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    elsewhere: Option<DomainReport>,
    users: Vec<String>,
    /// The ways of mail between hosts.
    links: BTreeSet<LinkReport>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DomainReport {
    /// Its MTAs, the preferred one first.
    mx: Vec<String>,
    /// The MDA.
    mailboxes: String,
}

/// A way that mail may take.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
struct LinkReport {
    from: String,
    to: String,
    protocol: &'static str,
}

impl WorldReport {
    /// Returns what a world declares as a report, with `now` as its time and with the ways of mail that [`links`]
    /// finds.
    fn of(world: &World, now: Timestamp) -> Self {
        Self {
            name: world.name.clone(),
            now,
            entry: world.entry.to_string(),
            message: world.message.as_ref().map(|(from, to)| (from.to_string(), to.to_string())),
            domains: world.domains.iter().map(|(name, domain)| (name.clone(), DomainReport::of(domain))).collect(),
            elsewhere: world.elsewhere.as_ref().map(DomainReport::of),
            users: world.users.values().map(|user| user.address.to_string()).collect(),
            links: links(world),
        }
    }
}

impl DomainReport {
    /// Returns the names of the MTAs and of the MDA of a domain.
    fn of(domain: &Domain) -> Self {
        Self { mx: domain.mx.iter().map(ToString::to_string).collect(), mailboxes: domain.mailboxes.to_string() }
    }
}

/// Returns the ways that mail takes between hosts, each once: by LMTP from the MTAs of a domain to its MDA, by SMTP
/// between MTAs, as routes, smarthosts and MX records make them, and by submission from each MUA to the entry.
fn links(world: &World) -> BTreeSet<LinkReport> {
    let link = |from: &str, to: &str, protocol| LinkReport { from: from.to_owned(), to: to.to_owned(), protocol };
    let domains = || world.domains.values().chain(&world.elsewhere);
    let mut links = BTreeSet::new();
    for domain in domains() {
        links.extend(domain.mx.iter().map(|mx| link(mx, &domain.mailboxes, "LMTP")));
    }
    for (host, mta) in world.mtas() {
        let next = next_hosts(world, host, mta);
        links.extend(next.filter(|next| *next != &*host.name).map(|next| link(&host.name, next, "SMTP")));
    }
    links.extend(world.muas().map(|mua| link(&mua.name, &world.entry, "submission")));
    links
}

/// Returns the names of the hosts to which an MTA sends mail that is not its own: those of its routes, and then its
/// smarthost, or without one, the first MX of each domain of which it is no MX. A route to a server that is no host of
/// the world gives none. A name may come more than once.
fn next_hosts<'a>(world: &'a World, host: &'a Host, mta: &'a Mta) -> impl Iterator<Item = &'a str> {
    let routes = mta.routes.iter().filter_map(|route| match &route.via {
        Some(Via::Host(name)) => Some(&**name),
        Some(Via::Server { name, .. }) => world.hosts.values().find(|host| host.fqdn == *name).map(|host| &*host.name),
        None => None,
    });
    let by_mx = mta.smarthost.is_none().then(|| {
        let others = world.domains.values().chain(&world.elsewhere).filter(|domain| !domain.mx.contains(&host.name));
        others.flat_map(|domain| domain.mx.first()).map(|mx| &**mx)
    });
    routes.chain(mta.smarthost.iter().map(|name| &**name)).chain(by_mx.into_iter().flatten())
}

/// What the world file declares, for a map, and the world's time.
///
/// Its name, entry, domains, `elsewhere`, users, the sender and recipient of a first message, and the ways that mail
/// takes between hosts: by submission from MUAs to the entry, by SMTP as routes, smarthosts and MX records make them,
/// and by LMTP to MDAs.
#[utoipa::path(get, path = "/api/v1/world", tag = "world", responses((status = 200, body = WorldReport)))]
pub(super) async fn show(State(running): AppState) -> Json<WorldReport> {
    Json(WorldReport::of(&running.env.world, running.env.clock.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn world_report_of_the_journey_has_the_ways_of_its_picture() {
        let report = WorldReport::of(&World::journey(), Timestamp::UNIX_EPOCH);
        let links: Vec<_> =
            report.links.iter().map(|link| format!("{} {} {}", link.from, link.protocol, link.to)).collect();
        let expected = [
            "mta-163 LMTP mda-163",
            "mta-163 SMTP mta-relay",
            "mta-elsewhere LMTP mda-elsewhere",
            "mta-elsewhere SMTP mta-163",
            "mta-elsewhere SMTP mta-sina",
            "mta-relay SMTP mta-163",
            "mta-relay SMTP mta-elsewhere",
            "mta-relay SMTP mta-sina",
            "mta-sina LMTP mda-sina",
            "mta-sina SMTP mta-relay",
            "mua submission mta-163",
        ];
        assert_eq!(links, expected);
        assert_eq!(report.domains["sina.test"].mailboxes, "mda-sina");
    }
}
