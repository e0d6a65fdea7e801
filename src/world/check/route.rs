//! Checks the routes and retry settings of an MTA.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use toml::Spanned;

use super::super::config::{MtaTable, RouteTable, WorldFile};
use super::super::policy::Pattern;
use super::super::route::{Route, Via};
use super::super::{Host, HostName, Mta, Retry, Role, Timeouts};
use super::{Check, Kind};
use crate::mail::domain_key;

/// Default limit of concurrent connections to one destination.
pub(super) const DEFAULT_MAX_CONNECTIONS: usize = 10;

impl Check<'_> {
    /// Returns the declared retry settings, or the defaults, and reports those with which retries would not end.
    pub(super) fn retry(&mut self, table: &MtaTable) -> Retry {
        let Some(given) = &table.retry else { return Retry::default() };
        let retry = *given.get_ref();
        if retry.first.is_zero() || !(1.0..=1000.0).contains(&retry.factor) || !(0.0..1.0).contains(&retry.jitter) {
            let text = "messages would be retried without end; `first` must be longer than 0, `factor` from 1 to 1000, \
                `jitter` from 0 to below 1";
            self.report(given.span(), text.to_owned());
        }
        retry
    }

    /// Returns the declared timeouts, or the defaults, and reports a timeout of 0.
    pub(super) fn timeouts(&mut self, table: &MtaTable) -> Timeouts {
        let Some(given) = &table.timeouts else { return Timeouts::default() };
        if !given.get_ref().are_possible() {
            self.report(
                given.span(),
                "a timeout of 0 would let every attempt fail; leave it out, or make it longer".to_owned(),
            );
        }
        *given.get_ref()
    }

    /// The static routes of one MTA, in their order. A next hop that is not a server is a host, which is checked once
    /// all are known. Reports routes without effect.
    pub(super) fn static_routes(&mut self, table: &MtaTable) -> Vec<Route> {
        table.routes.iter().map(|route| self.static_route(route)).collect()
    }

    /// One route, with its pattern in the form of domain keys if it is a domain. Reports one that has no effect:
    /// without `via` and `tls`, or with a pattern that has an `@`.
    fn static_route(&mut self, table: &RouteTable) -> Route {
        let to = table.to.get_ref();
        if table.via.is_none() && table.tls.is_none() {
            let text = format!("the route for {to} has neither `via` nor `tls`; set one of them, or leave it out");
            self.report(table.to.span(), text);
        }
        if to.contains('@') {
            let text = format!("`{to}` matches no mail, since routes are by domain; write one such as \"*.sina.test\"");
            self.report(table.to.span(), text);
        }
        let via = table.via.as_ref().map(|via| match Via::server(via.get_ref()) {
            Some(server) => server,
            None => Via::Host(Arc::from(via.get_ref().as_str())),
        });
        let known = domain_key(to).map_or_else(|| to.clone(), std::borrow::Cow::into_owned);
        Route { to: Pattern::new(&known), via, tls: table.tls }
    }

    /// Reports next hops and smarthosts that do not exist, smarthosts that are a loop or do not relay for their client,
    /// and MTAs in a world without any name server.
    pub(super) fn check_routes(&mut self, file: &WorldFile, hosts: &BTreeMap<HostName, Host>) {
        for (name, table) in &file.mta {
            for via in table.routes.iter().filter_map(|route| route.via.as_ref()) {
                match Via::server(via.get_ref()) {
                    None => drop(self.name(via, Kind::Mta, hosts)),
                    Some(server) => self.check_server(via, &server, hosts),
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
            if let Some(cycle) = smarthost_loop(name, hosts) {
                let text = format!("the smarthosts are a loop: {cycle}; remove one of them");
                self.report(smarthost.span(), text);
            }
        }
        if !file.mta.is_empty() && file.dns.is_empty() {
            let text = "MTAs find the next host by DNS, but there is no name server; declare one as [dns.NAME]";
            self.report(0..0, text.to_owned());
        }
    }
}

impl Check<'_> {
    /// Reports a server, whose name or address is in `via`, that no host of the world is: no mail leaves the world, so
    /// that others could only be tried in vain.
    fn check_server(&mut self, via: &Spanned<String>, server: &Via, hosts: &BTreeMap<HostName, Host>) {
        let Via::Server { name, .. } = server else { return };
        let is_of_world = match name.parse::<IpAddr>() {
            Ok(ip) => hosts.values().any(|host| host.addresses.contains(&ip)),
            Err(_) => hosts.values().any(|host| host.fqdn.eq_ignore_ascii_case(name.trim_end_matches('.'))),
        };
        if !is_of_world {
            let text = format!(
                "{name} is no host of this world, and no mail leaves it; name a host, or declare the server as an mta with \
                 engine = \"external\" and its address as `at`"
            );
            self.report(via.span(), text);
        }
    }
}

/// Whether an MTA relays for the host `name`: the host is named, or all its addresses are in networks that may relay.
fn relays_for(mta: &Mta, name: &str, hosts: &BTreeMap<HostName, Host>) -> bool {
    let is_within = |address: &IpAddr| mta.relay_from.networks.iter().any(|network| network.contains(*address));
    mta.relay_from.hosts.contains(name) || hosts.get(name).is_some_and(|host| host.addresses.iter().all(is_within))
}

/// The loop of smarthosts that `start` is part of, as `a -> b -> a`; `None` if there is none, or if `start` only leads
/// to a loop of others.
fn smarthost_loop(start: &str, hosts: &BTreeMap<HostName, Host>) -> Option<String> {
    let mut path = vec![start];
    loop {
        let Role::Mta(mta) = &hosts.get(*path.last()?)?.role else { return None };
        let next = mta.smarthost.as_deref()?;
        if next == start {
            return Some(format!("{} -> {start}", path.join(" -> ")));
        }
        if path.contains(&next) {
            return None;
        }
        path.push(next);
    }
}
