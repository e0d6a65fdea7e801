//! The public ports of a world: where clients from outside connect.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Error;
use crate::net::{Datagrams, Listener, Net};
use crate::world::{HostName, Service};

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

    /// How the local ports of external MTAs are changed.
    pub(super) fn external_offset(&self) -> PortOffset {
        self.external
    }
}

impl PortOffset {
    /// The address of a local port for an external MTA. It is on loopback: these MTAs run on this machine and are
    /// trusted, and no other machine may connect there.
    ///
    /// # Errors
    /// The port would be higher than 65535.
    pub(super) fn address(self, port: u16) -> Result<SocketAddr, Error> {
        let port = match self {
            Self::Ephemeral => 0,
            Self::By(_) if port == 0 => 0,
            Self::By(offset) => port.checked_add(offset).ok_or(Error::ExternalOffset { port, offset })?,
        };
        Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
    }
}

/// The requested public ports, and those that are bound.
pub(super) struct BoundPorts {
    requested: PublicPorts,
    /// Where each bound service listens.
    pub(super) bound: BTreeMap<Service, SocketAddr>,
}

impl BoundPorts {
    /// Nothing is bound yet.
    pub(super) fn new(requested: PublicPorts) -> Self {
        Self { requested, bound: BTreeMap::new() }
    }

    /// Binds the public port of a service; `None` if none is requested.
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

    /// Binds the public port of a service for TCP and UDP; `None` if none is requested.
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
