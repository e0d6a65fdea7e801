//! Checks the external MTAs of a world file: the keys they need, and the hosts they reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;

use super::super::config::{EngineName, MtaTable, WorldFile};
use super::super::{Engine, External, Host, HostName, Role};
use super::Check;

/// Placeholder for the missing address of an external MTA, which is reported as a problem.
const NO_ADDRESS: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// The declared engine, unchecked; an external MTA without an address has 0.0.0.0:0. [`Check::check_external_mtas`]
/// reports what is wrong.
pub(super) fn engine(table: &MtaTable) -> Engine {
    match table.engine {
        EngineName::Postroad => Engine::Postroad,
        EngineName::Mailin => Engine::Mailin,
        EngineName::External => {
            let reach = table.reach.iter().map(|(name, port)| (Arc::from(name.get_ref().as_str()), *port.get_ref()));
            Engine::External(External {
                at: table.at.as_ref().map_or(NO_ADDRESS, |at| *at.get_ref()),
                reach: reach.collect(),
            })
        }
    }
}

impl Check<'_> {
    /// Reports MTAs with settings that their engine lacks, `at` and `reach` without an external MTA, an external MTA
    /// without `at` or with aliases to expand, hosts that `reach` cannot name, and local ports that are given twice.
    pub(super) fn check_external_mtas(&mut self, file: &WorldFile, hosts: &BTreeMap<HostName, Host>) {
        self.reject_foreign_aliases(file, hosts);
        let mut taken: BTreeMap<u16, String> = file
            .ports
            .iter()
            .map(|(service, port)| (*port.get_ref(), service.to_string()))
            .filter(|(port, _)| *port != 0)
            .collect();
        for (name, table) in &file.mta {
            self.reject_foreign_policy(name, table);
            match (table.engine, &table.at) {
                (EngineName::External, None) => {
                    let text = "an external MTA needs the address where it listens, such as at = \"127.0.0.1:2525\"";
                    self.report(name.span(), text.to_owned());
                }
                (EngineName::External, Some(_)) => self.reject_external_settings(name, table),
                (_, at) => {
                    let keys = at.as_ref().map(Spanned::span).into_iter().chain(table.reach.keys().map(Spanned::span));
                    for span in keys {
                        let text = "only an MTA with engine = \"external\" has `at` and `reach`; leave it out";
                        self.report(span, text.to_owned());
                    }
                }
            }
            for (to, port) in &table.reach {
                self.check_reach(name, to, hosts);
                let route = format!("the route from {} to {}", name.get_ref(), to.get_ref());
                let number = *port.get_ref();
                if number != 0
                    && let Some(other) = taken.insert(number, route.clone())
                {
                    let text =
                        format!("port {number} is given to {other} and to {route}; choose another for one of them");
                    self.report(port.span(), text);
                }
            }
        }
    }

    /// Reports the first external MTA among the MX of a domain with aliases or a catch-all: these are expanded by the
    /// MTAs that accept the mail of the domain.
    fn reject_foreign_aliases(&mut self, file: &WorldFile, hosts: &BTreeMap<HostName, Host>) {
        let is_ours = |name: &str| match hosts.get(name).map(|host| &host.role) {
            Some(Role::Mta(mta)) => mta.engine.is_ours(),
            _ => true,
        };
        for (domain, table) in &file.domains {
            let mut names =
                table.mx.iter().flat_map(|group| group.get_ref().list().iter().map(|name| (group.span(), name)));
            let other = names.find(|(_, name)| !is_ours(name));
            if let Some((span, mx)) = other.filter(|_| !table.aliases.is_empty() || table.catch_all.is_some()) {
                let text = format!(
                    "`{}` is an external MTA, which does not know the aliases of {}; leave out the aliases or this mx",
                    mx,
                    domain.get_ref()
                );
                self.report(span, text);
            }
        }
    }

    /// Reports smarthost, relaying clients, routes, TLS, logins, the limits of connections and sizes, retries and
    /// timeouts of an external MTA, which has these in its own configuration.
    fn reject_external_settings(&mut self, name: &Spanned<String>, table: &MtaTable) {
        let named = table.smarthost.iter().chain(&table.relay_from).chain(table.routes.iter().map(|route| &route.to));
        let others = [
            table.connections_max.as_ref().map(Spanned::span),
            table.size_max.as_ref().map(Spanned::span),
            table.starttls.as_ref().map(Spanned::span),
            table.retry.as_ref().map(Spanned::span),
            table.timeouts.as_ref().map(Spanned::span),
        ];
        for span in named.map(Spanned::span).chain(others.into_iter().flatten()) {
            let text = "an external MTA has its own configuration for this; leave it out here";
            self.report(span, text.to_owned());
        }
        let unplaced = [("tls", table.tls.is_some()), ("logins", table.logins.is_some())];
        for (key, _) in unplaced.into_iter().filter(|(_, is_set)| *is_set) {
            self.report(
                name.span(),
                format!("an external MTA has its own configuration for `{key}`; leave it out here"),
            );
        }
    }

    /// Reports a host `to`, which the MTA `from` reaches, that is no MTA or MDA of the world, or is that MTA itself.
    fn check_reach(&mut self, from: &Spanned<String>, to: &Spanned<String>, hosts: &BTreeMap<HostName, Host>) {
        let is_server = |host: &Host| matches!(host.role, Role::Mta(_) | Role::Mda(_));
        let is_known = hosts.get(to.get_ref().as_str()).is_some_and(is_server);
        if !is_known || from.get_ref() == to.get_ref() {
            let text = format!("`{}` is not another mta or mda of this world; name one", to.get_ref());
            self.report(to.span(), text);
        }
    }
}
