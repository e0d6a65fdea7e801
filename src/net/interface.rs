//! A host's network interface: listens, connects, and binds UDP ports.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::address_map::AddressMap;
use super::datagrams::Slot;
use super::listener::Source;
use super::memory::{Latency, MemoryNetwork};
use super::stream::Raw;
use super::{Datagrams, Error, LinkFaults, Listener, Stream};

/// Attempts to find an ephemeral port that stays free, and is so for both TCP and UDP.
pub(super) const MAX_PORT_ATTEMPTS: u32 = 16;
/// Time limit for connecting to one address, so that an address that does not answer does not delay the next for long.
/// The minutes of RFC 5321 §4.5.3.2 apply once the connection is open.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A network: real sockets, the world's addresses on loopback sockets, or an in-process one. Cheap to clone.
#[derive(Clone)]
pub struct Net {
    kind: Kind,
    faults: LinkFaults,
}

#[derive(Clone)]
pub(super) enum Kind {
    Sockets,
    Loopback(Arc<AddressMap>),
    Memory(Arc<MemoryNetwork>),
}

impl Net {
    /// Real sockets with real addresses. Listeners accept at the given addresses only, and the operating system chooses
    /// the source address of connections and queries.
    pub fn sockets() -> Self {
        Self { kind: Kind::Sockets, faults: LinkFaults::default() }
    }

    /// Real sockets on 127.0.0.1 behind the `declared` addresses of a world; connections to other addresses fail.
    pub fn loopback(declared: BTreeSet<IpAddr>) -> Self {
        Self { kind: Kind::Loopback(AddressMap::new(declared)), faults: LinkFaults::default() }
    }

    /// An in-process network under tokio's clock, with this latency between its hosts.
    pub fn memory(latency: Latency) -> Self {
        let faults = LinkFaults::default();
        Self { kind: Kind::Memory(MemoryNetwork::new(latency, faults.clone())), faults }
    }

    /// What carries the connections: real sockets, sockets on loopback, or memory.
    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether this is an in-process network under tokio's clock.
    pub fn is_in_process(&self) -> bool {
        matches!(self.kind, Kind::Memory(_))
    }

    /// Whether this is the network of a world, on loopback or in memory, so that faults of its links have an effect.
    pub fn has_links(&self) -> bool {
        !matches!(self.kind, Kind::Sockets)
    }

    /// The injected link faults. They have no effect on real sockets with real addresses.
    pub fn faults(&self) -> &LinkFaults {
        &self.faults
    }

    /// The interface of a host with these addresses. The first of each family is its source address, unless the
    /// operating system chooses it.
    pub fn interface(&self, addresses: &[IpAddr]) -> Interface {
        Interface { net: self.clone(), addresses: addresses.into() }
    }

    /// Maps the world's `address` to an external server at the real address `real`, until the returned value is
    /// dropped. Has no effect but in a world on loopback.
    pub fn register_external(&self, address: SocketAddr, real: SocketAddr) -> ExternalRegistration {
        let directory = match &self.kind {
            Kind::Loopback(directory) => {
                directory.register_external(address, real);
                Some(directory.clone())
            }
            Kind::Sockets | Kind::Memory(_) => None,
        };
        ExternalRegistration { directory, address }
    }
}

/// The address of an external server in a world, until this is dropped.
pub struct ExternalRegistration {
    directory: Option<Arc<AddressMap>>,
    address: SocketAddr,
}

impl Drop for ExternalRegistration {
    /// Unmaps the address of the external server.
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            directory.forget(self.address);
        }
    }
}

/// A listener on a free local port, for an external server that runs on its own threads in this process. Its address
/// can be [registered](Net::register_external).
///
/// # Errors
/// The operating system has no free port.
pub fn external_listener() -> Result<(std::net::TcpListener, SocketAddr), Error> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = std::net::TcpListener::bind(any).map_err(|error| Error::of_bind(any, error))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The network interface of one host. Cheap to clone.
#[derive(Clone)]
pub struct Interface {
    net: Net,
    addresses: Arc<[IpAddr]>,
}

impl Interface {
    /// The network that the interface belongs to.
    pub(super) fn net(&self) -> &Net {
        &self.net
    }

    /// The addresses of this host.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether only hosts of the world can be reached from here.
    pub fn is_in_closed_world(&self) -> bool {
        !matches!(self.net.kind, Kind::Sockets)
    }

    /// Listens on a port at every address of this host; port 0 is an ephemeral port.
    ///
    /// # Errors
    /// The port is taken, or may not be used.
    pub async fn listen(&self, port: u16) -> Result<Vec<Listener>, Error> {
        let mut listeners = Vec::new();
        for ip in self.addresses.iter() {
            listeners.push(self.listen_at(SocketAddr::new(*ip, port)).await?);
        }
        Ok(listeners)
    }

    /// Binds a UDP port at every address of this host. A reply comes from the address that was asked.
    ///
    /// # Errors
    /// The port is taken, or may not be used.
    pub async fn listen_udp(&self, port: u16) -> Result<Vec<Datagrams>, Error> {
        let mut sockets = Vec::new();
        for ip in self.addresses.iter() {
            sockets.push(self.bind_udp_at(SocketAddr::new(*ip, port)).await?);
        }
        Ok(sockets)
    }

    /// Sorts addresses by the length of the prefix that they share with one of this host's, longest first (RFC 6724 §6,
    /// rule 9): a multi-homed host is reached through the network that both have in common. Has no effect but on real
    /// sockets, since the networks of a world are not separated.
    pub fn nearest_first(&self, addresses: &mut [IpAddr]) {
        if matches!(self.net.kind, Kind::Sockets) {
            let nearness = |to: &IpAddr| self.addresses.iter().map(|own| common_prefix(*own, *to)).max();
            addresses.sort_by_key(|to| Reverse(nearness(to)));
        }
    }

    /// Listens at this address: on a real socket there, on a loopback socket to which the world address is mapped, or
    /// in the in-process network.
    async fn listen_at(&self, address: SocketAddr) -> Result<Listener, Error> {
        match &self.net.kind {
            Kind::Sockets => Listener::tcp(address, None),
            Kind::Loopback(directory) => {
                let inner = directory.listen(address).await?;
                Ok(Listener {
                    address,
                    source: Source::Tcp { inner, directory: Some((directory.clone(), Some(address))) },
                    faults: Some(self.net.faults.clone()),
                    public: None,
                })
            }
            Kind::Memory(network) => {
                let bound = network.listen(address)?;
                let faults = Some(self.net.faults.clone());
                Ok(Listener { address: bound.address, source: Source::Memory(bound), faults, public: None })
            }
        }
    }

    /// Listens at an address of this machine, for clients outside the world. In an in-process network, the address is
    /// added to that network.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn bind_public(&self, address: SocketAddr) -> Result<Listener, Error> {
        let directory = match &self.net.kind {
            Kind::Memory(_) => return self.listen_at(address).await,
            Kind::Loopback(directory) => Some((directory.clone(), None)),
            Kind::Sockets => None,
        };
        Listener::tcp(address, directory)
    }

    /// Listens for TCP and UDP on the same port, for clients outside the world. Port 0 is an ephemeral port that is
    /// free for both; up to 16 more are tried if one is taken for UDP.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn bind_public_tcp_udp(&self, address: SocketAddr) -> Result<(Listener, Datagrams), Error> {
        let mut tries = 0..if address.port() == 0 { MAX_PORT_ATTEMPTS } else { 0 };
        loop {
            let listener = self.bind_public(address).await?;
            match self.bind_public_udp(listener.address()).await {
                // The port is free for TCP, but not for UDP.
                Err(Error::PortTaken(_)) if tries.next().is_some() => {}
                outcome => return Ok((listener, outcome?)),
            }
        }
    }

    /// Connects from this host's first address of the same family, within 30 s. Waits that long while the link is cut.
    ///
    /// # Errors
    /// The connection is refused, or not answered in time, or the address is not part of the world, or this host has
    /// none of its family.
    pub async fn connect(&self, to: SocketAddr) -> Result<Stream, Error> {
        self.connect_within(to, CONNECT_TIMEOUT).await
    }

    /// Connects as [`Interface::connect`] does, within `limit`.
    ///
    /// # Errors
    /// As for [`Interface::connect`].
    pub async fn connect_within(&self, to: SocketAddr, limit: Duration) -> Result<Stream, Error> {
        timeout(limit, self.connect_now(to)).await.map_err(|_| Error::TimedOut(to, limit))?
    }

    /// Connects to the first of the addresses that answers; they are tried one after the other, each for up to `limit`.
    ///
    /// # Errors
    /// None of them answered: the error of the last one. If there is no address, the error names `name`.
    pub async fn connect_any(&self, name: &str, addresses: &[SocketAddr], limit: Duration) -> Result<Stream, Error> {
        let mut outcome = Err(Error::NoAddress(name.to_owned()));
        for address in addresses {
            outcome = self.connect_within(*address, limit).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// As [`Interface::connect`], but without a time limit. In a world, waits while the link is cut and for a round
    /// trip of the link, with its injected delay, and the returned stream has the link's faults; with real sockets, the
    /// operating system chooses the source.
    async fn connect_now(&self, to: SocketAddr) -> Result<Stream, Error> {
        let source = self.addresses.iter().find(|ip| ip.is_ipv4() == to.is_ipv4());
        match &self.net.kind {
            Kind::Sockets => {
                let tcp = TcpStream::connect(to).await.map_err(|error| Error::of_connect(to, error))?;
                let local = tcp.local_addr()?;
                Ok(Stream::new(Raw::Tcp(tcp), local, to, None))
            }
            Kind::Loopback(directory) => {
                let source = self.admitted(source, to).await?;
                let faults = &self.net.faults;
                let delay = faults.delay(source, to.ip(), 0).total() + faults.delay(to.ip(), source, 0).total();
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                let (tcp, binding) = directory.connect(source, to).await?;
                Ok(Stream::new(Raw::Tcp(tcp), binding.host, to, Some(binding)).with_link_faults(&self.net.faults))
            }
            Kind::Memory(network) => {
                let source = self.admitted(source, to).await?;
                let (end, local) = network.connect(source, to).await?;
                Ok(Stream::new(Raw::Memory(end), local, to, None).with_link_faults(&self.net.faults))
            }
        }
    }

    /// Waits while the link to `to` is cut, and returns `source`, the address of this host. [`Error::Refused`] if the
    /// link refuses connections, [`Error::NotInWorld`] if `source` is `None`: this host has no address of that family.
    async fn admitted(&self, source: Option<&IpAddr>, to: SocketAddr) -> Result<IpAddr, Error> {
        let source = *source.ok_or(Error::NotInWorld(to))?;
        if self.net.faults.admit(source, to.ip()).await { Ok(source) } else { Err(Error::Refused(to)) }
    }

    /// Binds an ephemeral UDP port for queries, at the first address of this host. With real sockets, the operating
    /// system chooses the source address of each datagram, which depends on where it goes.
    ///
    /// # Errors
    /// No port is free.
    pub async fn bind_udp(&self) -> Result<Datagrams, Error> {
        let first = self.addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let any = if first.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let is_real = matches!(self.net.kind, Kind::Sockets);
        self.bind_udp_at(SocketAddr::new(if is_real { any } else { first }, 0)).await
    }

    /// Binds UDP at this address: a real socket there, a loopback socket to which the world address is mapped, or a
    /// port of the in-process network.
    async fn bind_udp_at(&self, address: SocketAddr) -> Result<Datagrams, Error> {
        match &self.net.kind {
            Kind::Sockets => self.bind_public_udp(address).await,
            Kind::Loopback(directory) => {
                let (socket, address) = directory.bind_udp(address).await?;
                let directory = Some((directory.clone(), Some(address)));
                Ok(Datagrams::new(Slot::Udp { socket: socket.into(), address, directory }, &self.net))
            }
            Kind::Memory(network) => Ok(Datagrams::new(Slot::Memory(network.bind_udp(address)?), &self.net)),
        }
    }

    /// Binds a UDP port at an address of this machine, for clients outside the world.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn bind_public_udp(&self, address: SocketAddr) -> Result<Datagrams, Error> {
        let directory = match &self.net.kind {
            Kind::Memory(network) => {
                return Ok(Datagrams::new(Slot::Memory(network.bind_udp(address)?), &self.net));
            }
            Kind::Loopback(directory) => Some((directory.clone(), None)),
            Kind::Sockets => None,
        };
        let socket = UdpSocket::bind(address).await.map_err(|error| Error::of_bind(address, error))?;
        let address = socket.local_addr()?;
        Ok(Datagrams::new(Slot::Udp { socket: socket.into(), address, directory }, &self.net))
    }

    /// The addresses of a name from the resolver of the operating system, with this port; only for real sockets. `host`
    /// may be an address, with or without brackets.
    ///
    /// # Errors
    /// The name has no address.
    pub async fn lookup(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<_> = match tokio::net::lookup_host((bare, port)).await {
            Ok(found) => found.collect(),
            Err(_) => Vec::new(),
        };
        if found.is_empty() { Err(Error::NoAddress(host.to_owned())) } else { Ok(found) }
    }
}

/// The number of leading bits that two addresses have in common; 0 if they are of different families. RFC 6724 §2.2.
fn common_prefix(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    }
}
