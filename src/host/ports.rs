//! The public ports of a world: where clients from outside connect.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Error;
use crate::net::{Datagrams, Listener, Net, PublicPort};
use crate::world::{Host, HostName, Service};

/// The addresses at which a world should be reachable from outside.
#[derive(Clone, Debug, Default)]
pub struct PublicPorts {
    services: BTreeMap<Service, SocketAddr>,
    /// How the ports are changed that the world file gives to external MTAs.
    external: PortOffset,
}

/// How a port of the world file becomes a port of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum PortOffset {
    /// Added to each port; port 0 stays 0.
    By(u16),
    /// Each port is chosen by the operating system.
    Ephemeral,
}

impl Default for PortOffset {
    /// No offset: the ports of the world file.
    fn default() -> Self {
        Self::By(0)
    }
}

/// The local ports of external MTAs: for each of them, where it reaches which host.
pub type ExternalPorts = BTreeMap<HostName, BTreeMap<HostName, SocketAddr>>;

impl PublicPorts {
    /// No public ports. Only external MTAs that belong to the world can connect.
    pub fn none() -> Self {
        Self::default()
    }

    /// The ports of a world, each `offset` higher, on one address; port 0 stays 0, an ephemeral port.
    ///
    /// # Errors
    /// A port would be higher than 65535.
    pub fn with_offset(ports: &BTreeMap<Service, u16>, ip: IpAddr, offset: u16) -> Result<Self, Error> {
        let add_offset = |(service, port): (&Service, &u16)| {
            let sum = if *port == 0 { Some(0) } else { port.checked_add(offset) };
            let sum = sum.ok_or(Error::Offset { service: *service, port: *port, offset })?;
            Ok((*service, SocketAddr::new(ip, sum)))
        };
        let services = ports.iter().map(add_offset).collect::<Result<_, Error>>()?;
        Ok(Self { services, external: PortOffset::By(offset) })
    }

    /// An ephemeral port for each service of a world.
    pub fn free(ports: &BTreeMap<Service, u16>, ip: IpAddr) -> Self {
        let services = ports.keys().map(|service| (*service, SocketAddr::new(ip, 0))).collect();
        Self { services, external: PortOffset::Ephemeral }
    }

    /// How the ports that the world file gives external MTAs are moved.
    pub(super) fn external_offset(&self) -> PortOffset {
        self.external
    }
}

impl PortOffset {
    /// Where an external MTA reaches another host: this port of the world file, moved by the offset, or an ephemeral
    /// one. It is on loopback: these MTAs run on this machine and are trusted, and no other machine may connect there.
    ///
    /// # Errors
    /// The port would be higher than 65535.
    pub(super) fn address(self, port: u16) -> Result<SocketAddr, Error> {
        let port = match self {
            Self::Ephemeral => 0,
            Self::By(offset) => add(port, offset)?,
        };
        Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
    }

    /// Where an external MTA listens, from its `at` in the world file. On loopback the port is moved by the offset,
    /// since each copy of a world has an MTA of its own: mail of one world would get into the other otherwise. On
    /// another machine, and in a world on free ports, it is unchanged.
    ///
    /// # Errors
    /// The port would be higher than 65535.
    pub(super) fn external(self, at: SocketAddr) -> Result<SocketAddr, Error> {
        match self {
            Self::By(offset) if at.ip().is_loopback() => Ok(SocketAddr::new(at.ip(), add(at.port(), offset)?)),
            Self::By(_) | Self::Ephemeral => Ok(at),
        }
    }
}

/// A port of the world file, moved by the offset; port 0 stays 0. An error above 65535.
fn add(port: u16, offset: u16) -> Result<u16, Error> {
    if port == 0 { Ok(0) } else { port.checked_add(offset).ok_or(Error::ExternalOffset { port, offset }) }
}

/// The requested public ports, and those that are bound.
pub(super) struct BoundPorts {
    requested: PublicPorts,
    /// Where each bound service listens.
    pub(super) bound: BTreeMap<Service, SocketAddr>,
    /// The ports that belong to hosts.
    of_hosts: BTreeMap<HostName, BTreeMap<Service, PublicPort>>,
}

impl BoundPorts {
    /// Nothing is bound yet.
    pub(super) fn new(requested: PublicPorts) -> Self {
        Self { requested, bound: BTreeMap::new(), of_hosts: BTreeMap::new() }
    }

    /// Reserves the public port of a service for a host, also for UDP if it is DNS, and notes where; does nothing if
    /// none is requested. The host listens there whenever it is on.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub(super) async fn reserve(&mut self, net: &Net, service: Service, host: &Host) -> Result<(), Error> {
        let Some(address) = self.requested.services.get(&service) else { return Ok(()) };
        let interface = net.interface(&host.addresses);
        let port = match service {
            Service::Dns => interface.reserve_public_tcp_udp(*address).await,
            _ => interface.reserve_public(*address).await,
        };
        let port = port.map_err(|why| Error::PublicPort { service, why })?;
        self.bound.insert(service, port.address());
        self.of_hosts.entry(host.name.clone()).or_default().insert(service, port);
        Ok(())
    }

    /// The public ports that were reserved for a host, with their services; none if there is no such host.
    pub(super) fn of_host(&self, host: &str) -> impl Iterator<Item = (Service, &PublicPort)> {
        self.of_hosts.get(host).into_iter().flatten().map(|(service, port)| (*service, port))
    }

    /// The hosts for which public ports were reserved.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.of_hosts.keys()
    }

    /// Binds the public port of a service, and notes its address in `bound`; `None` if none is requested.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub(super) async fn bind(&mut self, net: &Net, service: Service) -> Result<Option<Listener>, Error> {
        let Some(address) = self.requested.services.get(&service) else { return Ok(None) };
        let listener = net.interface(&[]).bind_public(*address).await;
        let listener = listener.map_err(|why| Error::PublicPort { service, why })?;
        self.bound.insert(service, listener.address());
        Ok(Some(listener))
    }

    /// Binds the public port of a service for TCP and UDP, and notes its address in `bound`; `None` if none is
    /// requested.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub(super) async fn bind_tcp_udp(
        &mut self,
        net: &Net,
        service: Service,
    ) -> Result<Option<(Listener, Datagrams)>, Error> {
        let Some(address) = self.requested.services.get(&service) else { return Ok(None) };
        let both = net.interface(&[]).bind_public_tcp_udp(*address).await;
        let both = both.map_err(|why| Error::PublicPort { service, why })?;
        self.bound.insert(service, both.0.address());
        Ok(Some(both))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_offset_moves_all_ports_of_external_mtas_on_this_machine() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (by, free) = (PortOffset::By(1000), PortOffset::Ephemeral);
        assert_eq!(by.address(2526).unwrap(), at("127.0.0.1:3526"));
        assert_eq!(by.external(at("127.0.0.1:2525")).unwrap(), at("127.0.0.1:3525"));
        assert_eq!(by.external(at("[::1]:2525")).unwrap(), at("[::1]:3525"));
        assert_eq!(by.external(at("192.0.2.1:25")).unwrap(), at("192.0.2.1:25"));
        assert_eq!(free.external(at("127.0.0.1:2525")).unwrap(), at("127.0.0.1:2525"));
        let refused = by.external(at("127.0.0.1:65000")).unwrap_err().to_string();
        assert_eq!(refused, "a port of `reach` or `at`: 65000 + 1000 is above 65535; choose a smaller --port-offset");
    }
}
