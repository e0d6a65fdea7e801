//! Maps the addresses of a world to loopback sockets.
//!
//! Hosts of a world have their own addresses, such as 192.0.2.25, and all listen on port 25. On one machine, each
//! `(address, port)` of the world is mapped to a free port of 127.0.0.1. The map also has the host of each connecting
//! socket, so that servers see addresses of the world. Connections to unmapped addresses fail.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::Error;
use crate::sync::lock;

/// Where the real sockets are bound.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The address map of one world.
pub(super) struct AddressMap {
    declared: BTreeSet<IpAddr>,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    /// World address of a listener -> address of its real socket.
    tcp: BTreeMap<SocketAddr, SocketAddr>,
    /// The same for UDP, both ways.
    udp: BTreeMap<SocketAddr, SocketAddr>,
    udp_back: BTreeMap<SocketAddr, SocketAddr>,
    /// Real address of a connecting socket -> its world address.
    sources: BTreeMap<SocketAddr, SocketAddr>,
}

impl AddressMap {
    /// A map of a world whose hosts have the `declared` addresses: no others can be connected to.
    pub(super) fn new(declared: BTreeSet<IpAddr>) -> Arc<Self> {
        Arc::new(Self { declared, tables: Mutex::default() })
    }

    /// Listens at a free port of 127.0.0.1, to which this address of the world is mapped until [`AddressMap::forget`].
    /// [`Error::PortTaken`] if it is mapped already, also to an external server.
    pub(super) async fn listen(&self, address: SocketAddr) -> Result<TcpListener, Error> {
        let listener = TcpListener::bind(LOOPBACK).await.map_err(|error| Error::of_bind(LOOPBACK, error))?;
        let real = listener.local_addr()?;
        let mut tables = self.lock();
        if tables.tcp.contains_key(&address) {
            return Err(Error::PortTaken(address));
        }
        tables.tcp.insert(address, real);
        Ok(listener)
    }

    /// Unmaps the world address of a listener or an external server.
    pub(super) fn forget(&self, address: SocketAddr) {
        self.lock().tcp.remove(&address);
    }

    /// Maps a world address to an external server that listens at `real`, in the place of what it was mapped to.
    pub(super) fn register_external(&self, address: SocketAddr, real: SocketAddr) {
        self.lock().tcp.insert(address, real);
    }

    /// Connects to the real socket behind a world address, from a socket that the map has as one of the host `from`
    /// until the returned binding is dropped. [`Error::NotInWorld`] if no host is declared at `to`, [`Error::Refused`]
    /// if nothing listens there.
    pub(super) async fn connect(
        self: &Arc<Self>,
        from: IpAddr,
        to: SocketAddr,
    ) -> Result<(TcpStream, SourceBinding), Error> {
        if !self.declared.contains(&to.ip()) {
            return Err(Error::NotInWorld(to));
        }
        let real = self.lock().tcp.get(&to).copied().ok_or(Error::Refused(to))?;
        let socket = if real.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Bound before it connects, so that the source is in the map when the server accepts.
        socket.bind(SocketAddr::new(if real.is_ipv4() { LOOPBACK.ip() } else { real.ip() }, 0))?;
        let (socket_end, host) = (socket.local_addr()?, SocketAddr::new(from, socket.local_addr()?.port()));
        self.lock().sources.insert(socket_end, host);
        let binding = SourceBinding { directory: self.clone(), socket_end, host };
        let stream = socket.connect(real).await.map_err(|error| Error::of_connect(to, error))?;
        Ok((stream, binding))
    }

    /// The world address of the host that connected from the real socket `real` by [`AddressMap::connect`]; `real`
    /// itself if it is a client outside the world.
    pub(super) fn peer_address(&self, real: SocketAddr) -> SocketAddr {
        self.lock().sources.get(&real).copied().unwrap_or(real)
    }

    /// Binds a free port of 127.0.0.1, to which this address of the world is mapped until [`AddressMap::forget_udp`].
    /// Returns it with that address; port 0 becomes that of the real socket. [`Error::PortTaken`] if it is mapped
    /// already.
    pub(super) async fn bind_udp(&self, address: SocketAddr) -> Result<(UdpSocket, SocketAddr), Error> {
        let socket = UdpSocket::bind(LOOPBACK).await.map_err(|error| Error::of_bind(LOOPBACK, error))?;
        let real = socket.local_addr()?;
        let port = if address.port() == 0 { real.port() } else { address.port() };
        let address = SocketAddr::new(address.ip(), port);
        let mut tables = self.lock();
        if tables.udp.contains_key(&address) {
            return Err(Error::PortTaken(address));
        }
        tables.udp.insert(address, real);
        tables.udp_back.insert(real, address);
        Ok((socket, address))
    }

    /// Unmaps the world address of a UDP socket, in both directions. Does nothing if it is not mapped.
    pub(super) fn forget_udp(&self, address: SocketAddr) {
        let mut tables = self.lock();
        if let Some(real) = tables.udp.remove(&address) {
            tables.udp_back.remove(&real);
        }
    }

    /// The real address to which datagrams for this world address are sent; `None` if no host has bound it.
    pub(super) fn udp_to(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.lock().udp.get(&address).copied()
    }

    /// The world address to which the real UDP socket `real` is bound; `real` itself if it is a client outside the
    /// world.
    pub(super) fn udp_from(&self, real: SocketAddr) -> SocketAddr {
        self.lock().udp_back.get(&real).copied().unwrap_or(real)
    }

    /// Locks the tables of the map.
    fn lock(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }
}

/// Keeps a connecting socket in the map while it is open.
pub(super) struct SourceBinding {
    directory: Arc<AddressMap>,
    socket_end: SocketAddr,
    pub(super) host: SocketAddr,
}

impl Drop for SourceBinding {
    /// Removes the real socket from the map, which no longer names its host.
    fn drop(&mut self) {
        self.directory.lock().sources.remove(&self.socket_end);
    }
}
