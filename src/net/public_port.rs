//! The public ports: where programs outside the world reach a host of it.
//!
//! A public port belongs to a host. It listens while the host is on and its link to the outside refuses no connections; at
//! other times connections to it are refused, as by a machine on which nothing listens, and no other program can take it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpSocket};

use super::interface::{Kind, MAX_PORT_ATTEMPTS};
use super::listener::{BACKLOG, Source, bound_socket};
use super::{Datagrams, Error, Interface, LinkFaults, Listener, Net};

/// A public port of a host. Cheap to clone.
#[derive(Clone)]
pub struct PublicPort(Arc<Inner>);

struct Inner {
    net: Net,
    address: SocketAddr,
    /// The end of the link at which programs outside see the host.
    host: IpAddr,
    /// Bound, but not listening, while there is no listener.
    reserved: Mutex<Option<TcpSocket>>,
}

impl Interface {
    /// Reserves a port of this machine for programs outside the world that reach this host. Port 0 is an ephemeral
    /// port. On an in-process network, only checks that the port is free.
    ///
    /// # Errors
    /// The port is taken or may not be used, or the address is not of this machine.
    pub async fn reserve_public(&self, address: SocketAddr) -> Result<PublicPort, Error> {
        let (net, host) = (self.net().clone(), self.addresses().first().copied().unwrap_or(address.ip()));
        let (address, reserved) = match net.kind() {
            Kind::Memory(network) => (network.listen(address)?.address, None),
            Kind::Loopback(_) | Kind::Sockets => {
                let (found, socket) = reserved_socket(address).map_err(|error| Error::of_bind(address, error))?;
                (found, Some(socket))
            }
        };
        Ok(PublicPort(Arc::new(Inner { net, address, host, reserved: Mutex::new(reserved) })))
    }

    /// Reserves a port as [`Interface::reserve_public`] does, which is free for UDP, too.
    ///
    /// # Errors
    /// As [`Interface::reserve_public`].
    pub async fn reserve_public_tcp_udp(&self, address: SocketAddr) -> Result<PublicPort, Error> {
        let (listener, datagrams) = self.bind_public_tcp_udp(address).await?;
        let address = listener.address();
        drop((listener, datagrams));
        self.reserve_public(address).await
    }
}

/// Binds a port that is free, but does not listen; for port 0, an ephemeral one: if another program takes the one that was
/// found first, another. Returns the address, with the real port, and the socket.
fn reserved_socket(address: SocketAddr) -> io::Result<(SocketAddr, TcpSocket)> {
    let mut tries = 0..if address.port() == 0 { MAX_PORT_ATTEMPTS } else { 0 };
    let reserve = || {
        // Two that do not listen can have the same port: only one that listens shows that it is free.
        let found = bound_socket(address)?.listen(BACKLOG)?.local_addr()?;
        io::Result::Ok((found, bound_socket(found)?))
    };
    loop {
        match reserve() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries.next().is_some() => {}
            reserved => return reserved,
        }
    }
}

impl PublicPort {
    /// Where it is, with the real port if 0 was requested.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Listens, until the listener is dropped, which reserves the port again.
    ///
    /// # Errors
    /// Another program has taken the port.
    pub fn listen(&self) -> Result<Listener, Error> {
        let source = self.open()?;
        Ok(Listener::public(self.0.address, source, self.clone()))
    }

    /// Binds the same port for UDP. The faults of the link between the host and programs outside apply to it.
    ///
    /// # Errors
    /// Another program has taken the port.
    pub async fn bind_udp(&self) -> Result<Datagrams, Error> {
        let datagrams = self.0.net.interface(&[]).bind_public_udp(self.0.address).await?;
        Ok(datagrams.of_host(self.0.host))
    }

    /// The faults of all links of the network.
    pub(super) fn faults(&self) -> &LinkFaults {
        self.0.net.faults()
    }

    /// The address of the host at which its link to programs outside ends.
    pub(super) fn host(&self) -> IpAddr {
        self.0.host
    }

    /// Whether an injected link fault makes the host refuse connections from programs outside the world.
    pub(super) fn is_refusing(&self) -> bool {
        self.0.net.has_links() && self.faults().refuses_outside(self.0.host)
    }

    /// Listens at the port, with the socket that reserves it, or a new one if there is none; on an in-process network,
    /// in memory. Returns what a listener accepts connections from.
    pub(super) fn open(&self) -> Result<Source, Error> {
        let failed = |error: io::Error| Error::of_bind(self.0.address, error);
        match self.0.net.kind() {
            Kind::Memory(network) => Ok(Source::Memory(network.listen(self.0.address)?)),
            kind => {
                let reserved = self.reserved().take();
                let socket = reserved.map_or_else(|| bound_socket(self.0.address), Ok).map_err(failed)?;
                let inner: TcpListener = socket.listen(BACKLOG).map_err(failed)?;
                let directory = match kind {
                    Kind::Loopback(directory) => Some((directory.clone(), None)),
                    Kind::Sockets | Kind::Memory(_) => None,
                };
                Ok(Source::Tcp { inner, directory })
            }
        }
    }

    /// Keeps the port from other programs, once the listener is closed; if one has taken it already, nothing is
    /// reserved. Does nothing on an in-process network.
    pub(super) fn reserve(&self) {
        if !matches!(self.0.net.kind(), Kind::Memory(_)) {
            // If another program was faster, the next start of the host reports it.
            *self.reserved() = bound_socket(self.0.address).ok();
        }
    }

    /// Locks the socket that reserves the port. A poisoned lock is ignored, since each change is complete.
    fn reserved(&self) -> std::sync::MutexGuard<'_, Option<TcpSocket>> {
        self.0.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
