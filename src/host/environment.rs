//! Dependencies shared by all hosts of a process: network, store, clock, random numbers, event log, certificate
//! authority.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::{Error, FaultInjector};
use crate::catalogue::{self, Catalogue};
use crate::dns::Resolver;
use crate::journey::{self, EventLog};
use crate::mua::ClientContext;
use crate::net::{Authority, Interface, Net, TlsAcceptor, Trust};
use crate::store::Store;
use crate::world::{Clock, Engine, Host, Rng, World, port};
use crate::{mda, mta};

/// Dependencies shared by all hosts of a process. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    /// The world file.
    pub world: Arc<World>,
    /// The network.
    pub net: Net,
    /// The store of all queues and mailboxes.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// Random numbers.
    pub rng: Rng,
    /// Where messages that enter the world are listed; none in simulations, and where a world has several processes.
    pub catalogue: Option<Catalogue>,
    /// The log of all message events.
    pub event_log: EventLog,
    /// The authority that issues the hosts' certificates.
    pub authority: Arc<Authority>,
}

impl Environment {
    /// A simulated environment: virtual time, random numbers from a seed, the in-process network, a store in memory.
    /// `transcripts` says whether the event log keeps those of connections. Call it on a current-thread runtime whose
    /// clock is paused.
    ///
    /// # Errors
    /// The store or the authority cannot be created, or a host has an engine that runs in real time only.
    pub fn simulated(world: World, seed: u64, start: jiff::Timestamp, transcripts: bool) -> Result<Self, Error> {
        if let Some((host, settings)) = world.mtas().find(|(_, settings)| !matches!(settings.engine, Engine::Postroad))
        {
            return Err(Error::LiveOnly { host: host.name.to_string(), engine: settings.engine.name() });
        }
        let (world, clock) = (Arc::new(world), Clock::starting_at(start));
        let (links, rng) = (world.clone(), Rng::seeded(seed));
        Ok(Self {
            net: Net::memory(Arc::new(move |from: IpAddr, to: IpAddr| links.latency(from, to))),
            store: Store::in_memory(&[catalogue::SCHEMA, mta::SCHEMA, mda::SCHEMA, journey::SCHEMA])?,
            catalogue: None,
            clock,
            event_log: EventLog::new(clock, usize::MAX, transcripts),
            authority: Arc::new(Authority::seeded(&world.name, clock, rng.fork("keys")).map_err(Error::Authority)?),
            rng,
            world,
        })
    }

    /// The network interface from which a host with these addresses listens and connects.
    pub(super) fn interface(&self, host: &Host) -> Interface {
        self.net.interface(&host.addresses)
    }

    /// The server side of TLS for a host, with a new certificate for [`Environment::names`] and the TLS faults of the
    /// host.
    pub(super) fn tls(&self, host: &Host, faults: &FaultInjector) -> Result<TlsAcceptor, Error> {
        let names = self.names(&host.name).unwrap_or_default();
        let issued = self.authority.issue(&names).map_err(|why| Error::Host { host: host.name.to_string(), why });
        Ok(TlsAcceptor::new(issued?, faults.tls_faults(&host.name)))
    }

    /// The names in a host's certificate: its name in the DNS, its addresses, and those of this machine, to which real
    /// clients connect. `None` if there is no such host.
    pub(super) fn names(&self, host: &str) -> Option<Vec<String>> {
        let host = self.world.hosts.get(host)?;
        let mut names =
            vec![host.fqdn.clone(), "localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), "::1".to_owned()];
        names.extend(host.addresses.iter().map(ToString::to_string));
        Some(names)
    }

    /// A resolver that queries the world's name servers from this host, the nearest first; those of another address
    /// family are left out.
    pub fn resolver(&self, host: &Host) -> Resolver {
        let (interface, rng) = (self.interface(host), self.rng.fork(&format!("dns {}", host.name)));
        let reachable = |server: &IpAddr| host.addresses.iter().any(|ip| ip.is_ipv4() == server.is_ipv4());
        let servers = self.world.dns().flat_map(|dns| &dns.addresses).copied();
        let mut servers: Vec<_> = servers.filter(reachable).collect();
        interface.nearest_first(&mut servers);
        let servers = servers.into_iter().map(|ip| SocketAddr::new(ip, port::DNS)).collect();
        Resolver::new(interface, servers, rng)
    }

    /// The client side of this world: that of the first MUA host, which trusts the authority of the world, and a
    /// resolver that queries from that host.
    ///
    /// # Errors
    /// The world declares no MUA.
    pub fn client_context(&self) -> Result<(ClientContext, Resolver), Error> {
        let missing = || crate::net::Error::NoAddress("a host to send from: declare one as [mua.NAME]; it".to_owned());
        let host =
            self.world.muas().next().ok_or_else(missing).map_err(|why| Error::Host { host: "mua".to_owned(), why })?;
        let context = ClientContext {
            interface: self.interface(host),
            trust: self.authority.trust().map_err(Error::Authority)?,
            hello: host.fqdn.clone(),
            transcripts: self.event_log.wants_transcripts(),
        };
        Ok((context, self.resolver(host)))
    }

    /// The certificates that servers accept from each other: any, as in opportunistic TLS (RFC 7435).
    pub(super) fn trust_between_servers(&self) -> Trust {
        Trust::any_certificate(self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_environment_with_a_real_time_engine_is_refused() {
        for (text, engine) in [
            (include_str!("../../config/mailin-in-the-middle.toml"), "mailin"),
            (include_str!("../../config/postfix-in-the-middle.toml"), "external"),
        ] {
            let world = World::parse("world.toml", text).unwrap();
            let refused =
                Environment::simulated(world, 1, jiff::Timestamp::UNIX_EPOCH, false).err().unwrap().to_string();
            assert!(refused.contains(&format!("host mta-relay: engine = \"{engine}\" runs in real time only")));
        }
    }
}
