//! A host's place on a network: where it listens, and from where it connects.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::directory::Directory;
use super::memory::{Bound, Fabric, Incoming, Latency, Mailslot};
use super::stream::Raw;
use super::{Error, Faults, Stream};

/// How long a connection may take to come up when the caller does not say. RFC 5321 §4.5.3.2 asks SMTP for minutes
/// So often another port is taken where one is not free for both TCP and UDP.
const FREE_TRIES: u32 = 16;
/// after it; before it, one unanswered address must not hold up the next.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// Datagrams of one port that a slow link holds back; more are lost.
const LATE_MAX: usize = 1000;
/// The largest datagram we read.
const DATAGRAM_MAX: usize = 64 * 1024;

/// A network: real sockets, the world's addresses on loopback sockets, or an in-process one. Cheap to clone.
#[derive(Clone)]
pub struct Net {
    kind: Kind,
    faults: Faults,
}

#[derive(Clone)]
enum Kind {
    Sockets,
    Loopback(Arc<Directory>),
    Memory(Arc<Fabric>),
}

impl Net {
    /// Real sockets with real addresses: whoever listens does so at all addresses of this machine, and the operating
    /// system chooses the address from which it connects.
    pub fn sockets() -> Self {
        Self { kind: Kind::Sockets, faults: Faults::default() }
    }

    /// Real sockets on 127.0.0.1 behind the addresses of a world; no other address can be dialled.
    pub fn loopback(declared: BTreeSet<IpAddr>) -> Self {
        Self { kind: Kind::Loopback(Directory::new(declared)), faults: Faults::default() }
    }

    /// An in-process network under tokio's clock.
    pub fn memory(latency: Latency) -> Self {
        let faults = Faults::default();
        Self { kind: Kind::Memory(Fabric::new(latency, faults.clone())), faults }
    }

    /// Whether it is in-process, under tokio's clock.
    pub fn is_in_process(&self) -> bool {
        matches!(self.kind, Kind::Memory(_))
    }

    /// Whether something can go wrong on its links.
    pub fn has_links(&self) -> bool {
        !matches!(self.kind, Kind::Sockets)
    }

    /// What goes wrong on it. Real sockets with real addresses have no faults but their own.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The place of a host with these addresses, the first of each family being its source address unless the
    /// operating system chooses it.
    pub fn interface(&self, addresses: &[IpAddr]) -> Interface {
        Interface { net: self.clone(), addresses: addresses.into() }
    }

    /// Says that a foreign server at the real address `real` plays the world's `address`, for as long as the answer is
    /// kept. Only in a world on loopback; elsewhere nobody is there.
    pub fn announce(&self, address: SocketAddr, real: SocketAddr) -> Announced {
        let directory = match &self.kind {
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

    /// Whether only hosts of the world can be reached from here.
    pub fn is_in_closed_world(&self) -> bool {
        !matches!(self.net.kind, Kind::Sockets)
    }

    /// Listens on a port of every address of this host (0 picks a free one).
    ///
    /// # Errors
    /// The port is taken, or may not be used.
    pub async fn listen(&self, port: u16) -> Result<Vec<Listener>, Error> {
        let addresses = match &self.net.kind {
            Kind::Sockets => self.unspecified(),
            Kind::Loopback(_) | Kind::Memory(_) => self.addresses.to_vec(),
        };
        let mut listeners = Vec::new();
        for ip in addresses {
            listeners.push(self.listen_at(SocketAddr::new(ip, port)).await?);
        }
        Ok(listeners)
    }

    /// All addresses of this machine, in the families that this host has.
    fn unspecified(&self) -> Vec<IpAddr> {
        let of_family = |any: &IpAddr| self.addresses.iter().any(|own| own.is_ipv4() == any.is_ipv4());
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].into_iter().filter(of_family).collect()
    }

    /// Puts the addresses first that share the longest prefix with one of this host's, as RFC 6724 §6 (rule 9) does:
    /// a machine with a foot in several networks is reached by the one that we have in common. Only real networks are
    /// apart from each other; elsewhere the order stays.
    pub fn nearest_first(&self, addresses: &mut [IpAddr]) {
        if matches!(self.net.kind, Kind::Sockets) {
            let nearness = |to: &IpAddr| self.addresses.iter().map(|own| common_prefix(*own, *to)).max();
            addresses.sort_by_key(|to| Reverse(nearness(to)));
        }
    }

    async fn listen_at(&self, address: SocketAddr) -> Result<Listener, Error> {
        match &self.net.kind {
            Kind::Sockets => Listener::tcp(address, None),
            Kind::Loopback(directory) => {
                let inner = directory.listen(address).await?;
                Ok(Listener {
                    address,
                    source: Source::Tcp { inner, directory: Some((directory.clone(), Some(address))) },
                    faults: Some(self.net.faults.clone()),
                })
            }
            Kind::Memory(fabric) => {
                let bound = fabric.listen(address)?;
                let faults = Some(self.net.faults.clone());
                Ok(Listener { address: bound.address, source: Source::Memory(bound), faults })
            }
        }
    }

    /// Listens at an address of this machine, for programs outside the world. In an in-process network there is no
    /// outside; the address is then one more of that network.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn open_door(&self, address: SocketAddr) -> Result<Listener, Error> {
        let directory = match &self.net.kind {
            Kind::Memory(_) => return self.listen_at(address).await,
            Kind::Loopback(directory) => Some((directory.clone(), None)),
            Kind::Sockets => None,
        };
        Listener::tcp(address, directory)
    }

    /// The same for TCP and UDP on one port. Where any will do, one that is free for both.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn open_both_doors(&self, address: SocketAddr) -> Result<(Listener, Datagrams), Error> {
        let mut tries = 0..if address.port() == 0 { FREE_TRIES } else { 0 };
        loop {
            let listener = self.open_door(address).await?;
            match self.open_udp_door(listener.address()).await {
                // The number that was free for the one belongs to somebody else for the other.
                Err(Error::PortTaken(_)) if tries.next().is_some() => {}
                outcome => return Ok((listener, outcome?)),
            }
        }
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
        match &self.net.kind {
            Kind::Sockets => {
                let tcp = TcpStream::connect(to).await.map_err(|error| Error::of_connect(to, error))?;
                let local = tcp.local_addr()?;
                Ok(Stream::new(Raw::Tcp(tcp), local, to, None))
            }
            Kind::Loopback(directory) => {
                let source = self.admitted(source, to).await?;
                let faults = &self.net.faults;
                let lag = faults.lag(source, to.ip(), 0).whole() + faults.lag(to.ip(), source, 0).whole();
                if !lag.is_zero() {
                    sleep(lag).await;
                }
                let (tcp, visit) = directory.connect(source, to).await?;
                Ok(Stream::new(Raw::Tcp(tcp), visit.host, to, Some(visit)).under(&self.net.faults))
            }
            Kind::Memory(fabric) => {
                let source = self.admitted(source, to).await?;
                let (end, local) = fabric.connect(source, to).await?;
                Ok(Stream::new(Raw::Memory(end), local, to, None).under(&self.net.faults))
            }
        }
    }

    /// Our address, once the link lets a connection through.
    async fn admitted(&self, source: Option<&IpAddr>, to: SocketAddr) -> Result<IpAddr, Error> {
        let source = *source.ok_or(Error::NotInWorld(to))?;
        if self.net.faults.admit(source, to.ip()).await { Ok(source) } else { Err(Error::Refused(to)) }
    }

    /// Opens a UDP port on the first address of this host, or on all of this machine (0 picks a free one).
    ///
    /// # Errors
    /// The port is taken, or may not be used.
    pub async fn bind_udp(&self, port: u16) -> Result<Datagrams, Error> {
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let address = SocketAddr::new(self.addresses.first().copied().unwrap_or(any), port);
        match &self.net.kind {
            Kind::Sockets => {
                let any = self.unspecified().first().copied().unwrap_or(any);
                self.open_udp_door(SocketAddr::new(any, port)).await
            }
            Kind::Loopback(directory) => {
                let (socket, address) = directory.bind_udp(address).await?;
                let directory = Some((directory.clone(), Some(address)));
                Ok(Datagrams(Slot::Udp { socket: socket.into(), address, directory }, self.net.faults.clone()))
            }
            Kind::Memory(fabric) => Ok(Datagrams(Slot::Memory(fabric.bind_udp(address)?), self.net.faults.clone())),
        }
    }

    /// Opens a UDP port at an address of this machine, for programs outside the world.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn open_udp_door(&self, address: SocketAddr) -> Result<Datagrams, Error> {
        let directory = match &self.net.kind {
            Kind::Memory(fabric) => {
                return Ok(Datagrams(Slot::Memory(fabric.bind_udp(address)?), self.net.faults.clone()));
            }
            Kind::Loopback(directory) => Some((directory.clone(), None)),
            Kind::Sockets => None,
        };
        let socket = UdpSocket::bind(address).await.map_err(|error| Error::of_bind(address, error))?;
        let address = socket.local_addr()?;
        Ok(Datagrams(Slot::Udp { socket: socket.into(), address, directory }, self.net.faults.clone()))
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

/// How many leading bits two addresses share; none if they are of different families. RFC 6724 §2.2.
fn common_prefix(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
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
    /// Between hosts of a world.
    faults: Option<Faults>,
}

type OwnAddress = (Arc<Directory>, Option<SocketAddr>);

enum Source {
    Tcp { inner: TcpListener, directory: Option<OwnAddress> },
    Memory(Bound<Incoming>),
}

impl Listener {
    fn tcp(address: SocketAddr, directory: Option<OwnAddress>) -> Result<Self, Error> {
        let inner = bind_tcp(address).map_err(|error| Error::of_bind(address, error))?;
        Ok(Self { address: inner.local_addr()?, source: Source::Tcp { inner, directory }, faults: None })
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
        let stream = match &mut self.source {
            Source::Tcp { inner, directory } => {
                let (tcp, peer) = inner.accept().await?;
                let peer = directory.as_ref().map_or(peer, |(directory, _)| directory.who(peer));
                Stream::new(Raw::Tcp(tcp), self.address, peer, None)
            }
            Source::Memory(bound) => {
                let Incoming { end, peer } = bound.accept().await?;
                Stream::new(Raw::Memory(end), self.address, peer, None)
            }
        };
        Ok(match &self.faults {
            Some(faults) => stream.under(faults),
            None => stream,
        })
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
pub struct Datagrams(Slot, Faults);

enum Slot {
    Udp { socket: Arc<UdpSocket>, address: SocketAddr, directory: Option<OwnAddress> },
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
        if self.1.cuts(self.address().ip(), to.ip()) {
            return Ok(());
        }
        match &self.0 {
            Slot::Udp { socket, directory, .. } => {
                let real = match directory {
                    // Visitors keep their real addresses, so an answer to one goes there; a world's address is mapped.
                    Some((directory, _)) => {
                        directory.udp_to(to).or(to.ip().is_loopback().then_some(to)).ok_or(Error::NotInWorld(to))?
                    }
                    None => to,
                };
                let lag = self.1.lag(self.address().ip(), to.ip(), bytes.len()).whole();
                if lag.is_zero() {
                    socket.send_to(bytes, real).await.map_err(|error| Error::of_connect(to, error))?;
                } else if Arc::strong_count(socket) <= LATE_MAX {
                    let (socket, bytes) = (socket.clone(), bytes.to_vec());
                    tokio::spawn(async move {
                        sleep(lag).await;
                        // It may be lost on the way.
                        let _ = socket.send_to(&bytes, real).await;
                    });
                }
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
