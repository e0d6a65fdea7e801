//! What all hosts of a process stand on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::{Error, Faults};
use crate::dns::Resolver;
use crate::journey::Journal;
use crate::mua::Desk;
use crate::net::{Authority, Identity, Interface, Net, Trust};
use crate::store::Store;
use crate::world::{Clock, Dice, Engine, Host, World, port};
use crate::{mda, mta};

/// What the world hands in: the wire, the disk, the clock, the dice. Cheap to clone.
#[derive(Clone)]
pub struct Ground {
    /// What is declared.
    pub world: Arc<World>,
    /// The wire.
    pub net: Net,
    /// The disk.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// Chance.
    pub dice: Dice,
    /// Where everything that happens is written.
    pub journal: Journal,
    /// Who signs certificates.
    pub authority: Arc<Authority>,
}

impl Ground {
    /// Virtual time, from a seed, on the in-process network, with nothing on disk. Call it on a current-thread runtime
    /// whose clock is paused.
    ///
    /// # Errors
    /// The store or the authority cannot be made, or a host has an engine with a time of its own.
    pub fn simulated(world: World, seed: u64, start: jiff::Timestamp, dialogues: bool) -> Result<Self, Error> {
        if let Some((host, settings)) = world.mtas().find(|(_, settings)| !matches!(settings.engine, Engine::Postroad))
        {
            return Err(Error::LiveOnly { host: host.name.to_string(), engine: settings.engine.name() });
        }
        let (world, clock) = (Arc::new(world), Clock::starting_at(start));
        let (links, dice) = (world.clone(), Dice::seeded(seed));
        Ok(Self {
            net: Net::memory(Arc::new(move |from: IpAddr, to: IpAddr| links.latency(from, to))),
            store: Store::in_memory(&[mta::SCHEMA, mda::SCHEMA])?,
            clock,
            journal: Journal::new(clock, usize::MAX, dialogues),
            authority: Arc::new(Authority::seeded(&world.name, clock, dice.fork("keys")).map_err(Error::Authority)?),
            dice,
            world,
        })
    }

    /// A host's place on the network.
    pub(super) fn interface(&self, host: &Host) -> Interface {
        self.net.interface(&host.addresses)
    }

    /// A host's certificate: for its own name, and for this machine, since that is where real programs connect.
    pub(super) fn identity(&self, host: &Host, faults: &Faults) -> Result<Identity, Error> {
        let names = self.names(&host.name).unwrap_or_default();
        let issued = self.authority.issue(&names).map_err(|why| Error::Host { host: host.name.to_string(), why });
        Ok(issued?.under(&faults.flaws(&host.name)))
    }

    /// The names in a host's certificate.
    pub(super) fn names(&self, host: &str) -> Option<Vec<String>> {
        let host = self.world.hosts.get(host)?;
        let mut names =
            vec![host.fqdn.clone(), "localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), "::1".to_owned()];
        names.extend(host.addresses.iter().map(ToString::to_string));
        Some(names)
    }

    /// Asks the world's name servers.
    pub fn resolver(&self, host: &Host) -> Resolver {
        let (interface, dice) = (self.interface(host), self.dice.fork(&format!("dns {}", host.name)));
        let reachable = |server: &IpAddr| host.addresses.iter().any(|ip| ip.is_ipv4() == server.is_ipv4());
        let servers = self.world.dns().flat_map(|dns| &dns.addresses).copied();
        let mut servers: Vec<_> = servers.filter(reachable).collect();
        interface.nearest_first(&mut servers);
        let servers = servers.into_iter().map(|ip| SocketAddr::new(ip, port::DNS)).collect();
        Resolver::new(interface, servers, dice)
    }

    /// Where a user of this world sits: the first MUA host, which trusts the world's authority.
    ///
    /// # Errors
    /// The world declares no MUA.
    pub fn desk(&self) -> Result<(Desk, Resolver), Error> {
        let missing = || crate::net::Error::NoAddress("a host to send from: declare one as [mua.NAME]; it".to_owned());
        let host =
            self.world.muas().next().ok_or_else(missing).map_err(|why| Error::Host { host: "mua".to_owned(), why })?;
        let desk = Desk {
            interface: self.interface(host),
            trust: self.authority.trust().map_err(Error::Authority)?,
            hello: host.fqdn.clone(),
            dialogues: self.journal.wants_dialogues(),
        };
        Ok((desk, self.resolver(host)))
    }

    /// Whose certificates servers accept from each other: any, as opportunistic TLS does (RFC 7435).
    pub(super) fn trust_between_servers(&self) -> Result<Trust, Error> {
        Trust::anyone(self.clock).map_err(Error::Authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn engines_with_a_time_of_their_own_are_refused_in_virtual_time() {
        for (text, engine) in [
            (include_str!("../../config/mailin-in-the-middle.toml"), "mailin"),
            (include_str!("../../config/postfix-in-the-middle.toml"), "external"),
        ] {
            let world = World::parse("world.toml", text).unwrap();
            let refused = Ground::simulated(world, 1, jiff::Timestamp::UNIX_EPOCH, false).err().unwrap().to_string();
            assert!(refused.contains(&format!("host mta-relay: engine = \"{engine}\" runs in real time only")));
        }
    }
}
