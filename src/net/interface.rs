//! A host's place on a network: where it listens, and from where it connects.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::directory::Directory;
use super::memory::{Bound, Fabric, Incoming, Latency, Mailslot};
use super::stream::Wire;
use super::{Error, Stream};

/// How long a connection may take to come up when the caller does not say. RFC 5321 §4.5.3.2 asks SMTP for minutes
/// after it; before it, one unanswered address must not hold up the next.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// The largest datagram we read.
const DATAGRAM_MAX: usize = 64 * 1024;

/// A network: real sockets, the world's addresses on loopback sockets, or an in-process one. Cheap to clone.
#[derive(Clone)]
pub struct Net(Kind);

#[derive(Clone)]
enum Kind {
    Sockets,
    Loopback(Arc<Directory>),
    Memory(Arc<Fabric>),
}

impl Net {
    /// Real sockets with real addresses.
    pub fn sockets() -> Self {
        Self(Kind::Sockets)
    }

    /// Real sockets on 127.0.0.1 behind the addresses of a world; no other address can be dialled.
    pub fn loopback(declared: BTreeSet<IpAddr>) -> Self {
        Self(Kind::Loopback(Directory::new(declared)))
    }

    /// An in-process network under tokio's clock.
    pub fn memory(latency: Latency) -> Self {
        Self(Kind::Memory(Fabric::new(latency)))
    }

    /// The place of a host with these addresses, the first of each family being its source address.
    /// Without any, the operating system chooses (real sockets only).
    pub fn interface(&self, addresses: &[IpAddr]) -> Interface {
        Interface { net: self.clone(), addresses: addresses.into() }
    }

    /// Says that a foreign server at the real address `real` plays the world's `address`, for as long as the answer is
    /// kept. Only in a world on loopback; elsewhere nobody is there.
    pub fn announce(&self, address: SocketAddr, real: SocketAddr) -> Announced {
        let directory = match &self.0 {
            Kind::Loopback(directory) => {
                directory.announce(address, real);
                Some(directory.clone())
            }
            Kind::Sockets | Kind::Memory(_) => None,
        };
        Announced { directory, address }
    }
}

/// A foreign server's place in a world; dropped, nobody reaches it any more.
pub struct Announced {
    directory: Option<Arc<Directory>>,
    address: SocketAddr,
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            directory.forget(self.address);
        }
    }
}

/// A port of this machine for a foreign server that runs in this process, on threads of its own; where it is can be
/// [announced](Net::announce).
///
/// # Errors
/// The operating system gives none.
pub fn foreign_port() -> Result<(std::net::TcpListener, SocketAddr), Error> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = std::net::TcpListener::bind(any).map_err(|error| Error::of_bind(any, error))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// One host's place on a network. Cheap to clone.
#[derive(Clone)]
pub struct Interface {
    net: Net,
    addresses: Arc<[IpAddr]>,
}

impl Interface {
    /// The addresses of this host.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Listens on a port of every address of this host (0 picks a free one).
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

    async fn listen_at(&self, address: SocketAddr) -> Result<Listener, Error> {
        match &self.net.0 {
            Kind::Sockets => Listener::tcp(address, None),
            Kind::Loopback(directory) => {
                let inner = directory.listen(address).await?;
                Ok(Listener {
                    address,
                    source: Source::Tcp { inner, directory: Some((directory.clone(), Some(address))) },
                })
            }
            Kind::Memory(fabric) => {
                let bound = fabric.listen(address)?;
                Ok(Listener { address: bound.address, source: Source::Memory(bound) })
            }
        }
    }

    /// Listens at an address of this machine, for programs outside the world. In an in-process network there is no
    /// outside; the address is then one more of that network.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn open_door(&self, address: SocketAddr) -> Result<Listener, Error> {
        let directory = match &self.net.0 {
            Kind::Memory(_) => return self.listen_at(address).await,
            Kind::Loopback(directory) => Some((directory.clone(), None)),
            Kind::Sockets => None,
        };
        Listener::tcp(address, directory)
    }

    /// Connects from this host's address of the same family, within 30 s.
    ///
    /// # Errors
    /// Nobody listens there, nobody answers in time, or the address belongs to no host of the world.
    pub async fn connect(&self, to: SocketAddr) -> Result<Stream, Error> {
        let connecting = self.connect_now(to);
        timeout(CONNECT_PATIENCE, connecting).await.map_err(|_| Error::TimedOut(to, CONNECT_PATIENCE))?
    }

    /// Tries the addresses in order and takes the first that answers; the error is that of the last one.
    ///
    /// # Errors
    /// None of them answered; `name` is for the error when there was none to try.
    pub async fn connect_any(&self, name: &str, addresses: &[SocketAddr]) -> Result<Stream, Error> {
        let mut outcome = Err(Error::NoAddress(name.to_owned()));
        for address in addresses {
            outcome = self.connect(*address).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn connect_now(&self, to: SocketAddr) -> Result<Stream, Error> {
        let source = self.addresses.iter().find(|ip| ip.is_ipv4() == to.is_ipv4());
        match &self.net.0 {
            Kind::Sockets => {
                let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                if let Some(ip) = source {
                    let ip = SocketAddr::new(*ip, 0);
                    socket.bind(ip).map_err(|error| Error::of_bind(ip, error))?;
                }
                let tcp = socket.connect(to).await.map_err(|error| Error::of_connect(to, error))?;
                let local = tcp.local_addr()?;
                Ok(Stream::new(Wire::Tcp(tcp), local, to, None))
            }
            Kind::Loopback(directory) => {
                let source = source.ok_or(Error::NotInWorld(to))?;
                let (tcp, visit) = directory.connect(*source, to).await?;
                Ok(Stream::new(Wire::Tcp(tcp), visit.host, to, Some(visit)))
            }
            Kind::Memory(fabric) => {
                let (end, local) = fabric.connect(*source.ok_or(Error::NotInWorld(to))?, to).await?;
                Ok(Stream::new(Wire::Memory(end), local, to, None))
            }
        }
    }

    /// Opens a UDP port on the first address of this host (0 picks a free one).
    ///
    /// # Errors
    /// The port is taken, or may not be used.
    pub async fn bind_udp(&self, port: u16) -> Result<Datagrams, Error> {
        let ip = self.addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let address = SocketAddr::new(ip, port);
        match &self.net.0 {
            Kind::Sockets => self.open_udp_door(address).await,
            Kind::Loopback(directory) => {
                let (socket, address) = directory.bind_udp(address).await?;
                Ok(Datagrams(Slot::Udp { socket, address, directory: Some((directory.clone(), Some(address))) }))
            }
            Kind::Memory(fabric) => Ok(Datagrams(Slot::Memory(fabric.bind_udp(address)?))),
        }
    }

    /// Opens a UDP port at an address of this machine, for programs outside the world.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn open_udp_door(&self, address: SocketAddr) -> Result<Datagrams, Error> {
        let directory = match &self.net.0 {
            Kind::Memory(fabric) => {
                return Ok(Datagrams(Slot::Memory(fabric.bind_udp(address)?)));
            }
            Kind::Loopback(directory) => Some((directory.clone(), None)),
            Kind::Sockets => None,
        };
        let socket = UdpSocket::bind(address).await.map_err(|error| Error::of_bind(address, error))?;
        let address = socket.local_addr()?;
        Ok(Datagrams(Slot::Udp { socket, address, directory }))
    }

    /// The addresses of a name, as the operating system finds them; only for real sockets.
    ///
    /// # Errors
    /// The name is not known.
    pub async fn lookup(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<_> = match tokio::net::lookup_host((bare, port)).await {
            Ok(found) => found.collect(),
            Err(_) => Vec::new(),
        };
        if found.is_empty() { Err(Error::NoAddress(host.to_owned())) } else { Ok(found) }
    }
}

/// Binds so that a server can start again at once where its last connections still linger.
fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// A port that accepts connections until it is dropped.
pub struct Listener {
    address: SocketAddr,
    source: Source,
}

type OwnAddress = (Arc<Directory>, Option<SocketAddr>);

enum Source {
    Tcp { inner: TcpListener, directory: Option<OwnAddress> },
    Memory(Bound<Incoming>),
}

impl Listener {
    fn tcp(address: SocketAddr, directory: Option<OwnAddress>) -> Result<Self, Error> {
        let inner = bind_tcp(address).map_err(|error| Error::of_bind(address, error))?;
        Ok(Self { address: inner.local_addr()?, source: Source::Tcp { inner, directory } })
    }

    /// Where it listens; the port is the one that was picked if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The operating system cannot give one now, for instance because too many files are open; try again later.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        match &mut self.source {
            Source::Tcp { inner, directory } => {
                let (tcp, peer) = inner.accept().await?;
                let peer = directory.as_ref().map_or(peer, |(directory, _)| directory.who(peer));
                Ok(Stream::new(Wire::Tcp(tcp), self.address, peer, None))
            }
            Source::Memory(bound) => {
                let Incoming { end, peer } = bound.accept().await?;
                Ok(Stream::new(Wire::Memory(end), self.address, peer, None))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Source::Tcp { directory: Some((directory, Some(own))), .. } = &self.source {
            directory.forget(*own);
        }
    }
}

/// A UDP port.
pub struct Datagrams(Slot);

enum Slot {
    Udp { socket: UdpSocket, address: SocketAddr, directory: Option<OwnAddress> },
    Memory(Mailslot),
}

impl Datagrams {
    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        match &self.0 {
            Slot::Udp { address, .. } => *address,
            Slot::Memory(slot) => slot.address,
        }
    }

    /// Sends one datagram. It may be lost on the way.
    ///
    /// # Errors
    /// It could not even be sent.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Error> {
        match &self.0 {
            Slot::Udp { socket, directory, .. } => {
                let real = match directory {
                    // Visitors keep their real addresses, so an answer to one goes there; a world's address is mapped.
                    Some((directory, _)) => {
                        directory.udp_to(to).or(to.ip().is_loopback().then_some(to)).ok_or(Error::NotInWorld(to))?
                    }
                    None => to,
                };
                socket.send_to(bytes, real).await.map_err(|error| Error::of_connect(to, error))?;
            }
            Slot::Memory(slot) => slot.send(bytes, to),
        }
        Ok(())
    }

    /// Waits for the next datagram and says who sent it.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn recv_from(&self) -> Result<(Vec<u8>, SocketAddr), Error> {
        match &self.0 {
            Slot::Udp { socket, directory, .. } => {
                let mut bytes = vec![0; DATAGRAM_MAX];
                let (len, from) = socket.recv_from(&mut bytes).await?;
                bytes.truncate(len);
                Ok((bytes, directory.as_ref().map_or(from, |(directory, _)| directory.udp_from(from))))
            }
            Slot::Memory(slot) => {
                let (bytes, from) = slot.receive().await?;
                Ok((bytes.to_vec(), from))
            }
        }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        if let Slot::Udp { directory: Some((directory, Some(own))), .. } = &self.0 {
            directory.forget_udp(*own);
        }
    }
}
