//! What a world file says about neighbours: who needs which keys, and where their doors may lead.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;

use super::super::config::{EngineName, MtaTable, WorldFile};
use super::super::{Engine, External, Host, HostName, Role};
use super::Check;

/// Where there is no address of a neighbour; it is reported as missing, so the world is never used.
const NOWHERE: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// The engine as it is written; [`Check::neighbours`] says what is wrong with it.
pub(super) fn engine(table: &MtaTable) -> Engine {
    match table.engine {
        EngineName::Postroad => Engine::Postroad,
        EngineName::Mailin => Engine::Mailin,
        EngineName::External => {
            let reach = table.reach.iter().map(|(name, port)| (Arc::from(name.get_ref().as_str()), *port.get_ref()));
            Engine::External(External {
                at: table.at.as_ref().map_or(NOWHERE, |at| *at.get_ref()),
                reach: reach.collect(),
            })
        }
    }
}

impl Check<'_> {
    pub(super) fn neighbours(&mut self, file: &WorldFile, hosts: &BTreeMap<HostName, Host>) {
        self.aliases_of_others(file, hosts);
        let mut taken: BTreeMap<u16, String> = file
            .ports
            .iter()
            .map(|(service, port)| (*port.get_ref(), service.to_string()))
            .filter(|(port, _)| *port != 0)
            .collect();
        for (name, table) in &file.mta {
            self.policy_of_others(name, table);
            match (table.engine, &table.at) {
                (EngineName::External, None) => {
                    let text = "an external MTA needs the address where it listens, such as at = \"127.0.0.1:2525\"";
                    self.report(name.span(), text.to_owned());
                }
                (EngineName::External, Some(_)) => self.left_to_others(table),
                (_, at) => {
                    let keys = at.as_ref().map(Spanned::span).into_iter().chain(table.reach.keys().map(Spanned::span));
                    for span in keys {
                        let text = "only an MTA with engine = \"external\" has `at` and `reach`; leave it out";
                        self.report(span, text.to_owned());
                    }
                }
            }
            for (to, port) in &table.reach {
                self.reached(name, to, hosts);
                let way = format!("the way from {} to {}", name.get_ref(), to.get_ref());
                let number = *port.get_ref();
                if number != 0
                    && let Some(other) = taken.insert(number, way.clone())
                {
                    let text =
                        format!("port {number} is given to {other} and to {way}; choose another for one of them");
                    self.report(port.span(), text);
                }
            }
        }
    }

    /// The names of a domain are led on by the MTAs that take its mail.
    fn aliases_of_others(&mut self, file: &WorldFile, hosts: &BTreeMap<HostName, Host>) {
        let is_ours = |name: &str| match hosts.get(name).map(|host| &host.role) {
            Some(Role::Mta(mta)) => mta.engine.is_ours(),
            _ => true,
        };
        for (domain, table) in &file.domains {
            let other = table.mx.iter().find(|mx| !is_ours(mx.get_ref()));
            if let Some(mx) = other.filter(|_| !table.aliases.is_empty() || table.catch_all.is_some()) {
                let text = format!(
                    "`{}` is an external MTA, which knows nothing of the aliases of {}; leave them out, or it",
                    mx.get_ref(),
                    domain.get_ref()
                );
                self.report(mx.span(), text);
            }
        }
    }

    /// What an external MTA decides by its own configuration.
    fn left_to_others(&mut self, table: &MtaTable) {
        let named = table.smarthost.iter().chain(&table.relay_from).chain(table.routes.iter().map(|route| &route.to));
        let numbers = table.connections_max.iter().map(Spanned::span);
        let spans = named.map(Spanned::span).chain(numbers).chain(table.retry.iter().map(Spanned::span));
        for span in spans {
            let text = "an external MTA has its own configuration for this; leave it out here";
            self.report(span, text.to_owned());
        }
    }

    fn reached(&mut self, from: &Spanned<String>, to: &Spanned<String>, hosts: &BTreeMap<HostName, Host>) {
        let is_server = |host: &Host| matches!(host.role, Role::Mta(_) | Role::Mda(_));
        let is_known = hosts.get(to.get_ref().as_str()).is_some_and(is_server);
        if !is_known || from.get_ref() == to.get_ref() {
            let text = format!("`{}` is no other mta or mda of this world; name one that mail can go to", to.get_ref());
            self.report(to.span(), text);
        }
    }
}
