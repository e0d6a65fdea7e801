//! What a world file says about where an MTA sends, and when it tries again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::config::{MtaTable, RouteTable, WorldFile};
use super::super::policy::Pattern;
use super::super::route::{Route, Via};
use super::super::{Host, HostName, Mta, Retry, Role};
use super::{Check, Kind};
use crate::mail::domain_key;

/// Connections to one next host at once, where the world file does not say.
pub(super) const CONNECTIONS_MAX: usize = 10;

impl Check<'_> {
    pub(super) fn retry(&mut self, table: &MtaTable) -> Retry {
        let Some(given) = &table.retry else { return Retry::default() };
        let retry = *given.get_ref();
        if retry.first.is_zero() || !(1.0..=1000.0).contains(&retry.factor) || !(0.0..1.0).contains(&retry.jitter) {
            let text = "a message would be tried again without end; first must be longer than 0, factor from 1 to 1000, \
                jitter from 0 to below 1";
            self.report(given.span(), text.to_owned());
        }
        retry
    }

    /// The routes of one MTA. What is no server is a host, whose name is judged when all are known.
    pub(super) fn ways(&mut self, table: &MtaTable) -> Vec<Route> {
        table.routes.iter().map(|route| self.way(route)).collect()
    }

    fn way(&mut self, table: &RouteTable) -> Route {
        let to = table.to.get_ref();
        if table.via.is_none() && table.tls.is_none() {
            let text = format!("the route for {to} says neither `via` nor `tls`; say one of them, or leave it out");
            self.report(table.to.span(), text);
        }
        let via = table.via.as_ref().map(|via| match Via::server(via.get_ref()) {
            Some(server) => server,
            None => Via::Host(Arc::from(via.get_ref().as_str())),
        });
        let known = domain_key(to).map_or_else(|| to.clone(), std::borrow::Cow::into_owned);
        Route { to: Pattern::new(&known), via, tls: table.tls }
    }

    /// Every way must end: at hosts that are there, smart hosts in no circle, and each takes what it is sent.
    pub(super) fn routes(&mut self, file: &WorldFile, hosts: &BTreeMap<HostName, Host>) {
        for (name, table) in &file.mta {
            for via in table.routes.iter().filter_map(|route| route.via.as_ref()) {
                if Via::server(via.get_ref()).is_none() {
                    self.name(via, Kind::Mta, hosts);
                }
            }
            let Some(smarthost) = &table.smarthost else { continue };
            let next = self.name(smarthost, Kind::Mta, hosts);
            let name = name.get_ref().as_str();
            if let Some(Role::Mta(mta)) = hosts.get(&next).map(|host| &host.role)
                && mta.engine.is_ours()
                && !relays_for(mta, name, hosts)
            {
                let text = format!(
                    "`{name}` sends through `{next}`, which does not relay for it; add relay_from = [\"{name}\"] to [mta.{next}]"
                );
                self.report(smarthost.span(), text);
            }
            if let Some(circle) = circle(name, hosts) {
                let text = format!("mail would go round for ever: {circle}; take one smarthost out");
                self.report(smarthost.span(), text);
            }
        }
        if !file.mta.is_empty() && file.dns.is_empty() {
            let text = "MTAs find the next host by DNS, but there is none; declare one as [dns.NAME]";
            self.report(0..0, text.to_owned());
        }
    }
}

/// Whether everything that the host sends there is relayed: it is named, or each address of it is in a network.
fn relays_for(mta: &Mta, name: &str, hosts: &BTreeMap<HostName, Host>) -> bool {
    let is_within = |address: &IpAddr| mta.relay_from.networks.iter().any(|network| network.contains(*address));
    mta.relay_from.hosts.contains(name) || hosts.get(name).is_some_and(|host| host.addresses.iter().all(is_within))
}

/// The circle of smart hosts that `start` is part of, drawn.
fn circle(start: &str, hosts: &BTreeMap<HostName, Host>) -> Option<String> {
    let mut way = vec![start];
    loop {
        let Role::Mta(mta) = &hosts.get(*way.last()?)?.role else { return None };
        let next = mta.smarthost.as_deref()?;
        if next == start {
            return Some(format!("{} -> {start}", way.join(" -> ")));
        }
        if way.contains(&next) {
            return None;
        }
        way.push(next);
    }
}
