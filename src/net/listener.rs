//! Listening TCP ports.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

use super::address_map::AddressMap;
use super::memory::{BoundPort, Incoming};
use super::stream::Raw;
use super::{Error, LinkFaults, PublicPort, Stream};

/// The number of connections that wait to be accepted.
pub(super) const BACKLOG: u32 = 1024;

/// A bound socket that does not listen yet, with SO_REUSEADDR, so that a server can be restarted while connections of
/// its predecessor are in TIME_WAIT.
pub(super) fn bound_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A listening TCP port, until it is dropped.
pub struct Listener {
    pub(super) address: SocketAddr,
    pub(super) source: Source,
    /// The link faults, for listeners between hosts of a world.
    pub(super) faults: Option<LinkFaults>,
    /// The public port that this is.
    pub(super) public: Option<PublicPort>,
}

pub(super) type OwnAddress = (Arc<AddressMap>, Option<SocketAddr>);

pub(super) enum Source {
    /// Connections are refused.
    Closed,
    Tcp {
        inner: TcpListener,
        directory: Option<OwnAddress>,
    },
    Memory(BoundPort<Incoming>),
}

impl Listener {
    /// Listens on a real socket at this address. `directory` is the map that gives peers their world addresses; its
    /// second part is the world address that is unmapped when the listener is dropped.
    pub(super) fn tcp(address: SocketAddr, directory: Option<OwnAddress>) -> Result<Self, Error> {
        let inner = bound_socket(address).and_then(|socket| socket.listen(BACKLOG));
        let inner = inner.map_err(|error| Error::of_bind(address, error))?;
        Ok(Self { address: inner.local_addr()?, source: Source::Tcp { inner, directory }, faults: None, public: None })
    }

    /// The listener of a public port that has been opened as `source`. It follows the link faults of its host.
    pub(super) fn public(address: SocketAddr, source: Source, port: PublicPort) -> Self {
        Self { address, source, faults: None, public: Some(port) }
    }

    /// Where it listens, with the real port if 0 was requested.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection. A public port is closed while its host refuses connections from outside, and
    /// opened again when it does not.
    ///
    /// # Errors
    /// The operating system failed to accept, for instance because too many files are open; it can be tried again.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        let Some(port) = self.public.clone() else { return self.accept_next().await };
        let mut changes = port.faults().changes();
        loop {
            match (port.is_refusing(), &self.source) {
                (true, Source::Closed) => {}
                (true, _) => {
                    self.source = Source::Closed;
                    port.reserve();
                }
                (false, Source::Closed) => self.source = port.open().map_err(io::Error::other)?,
                (false, _) => {}
            }
            tokio::select! {
                biased;
                changed = changes.changed() => changed.map_err(io::Error::other)?,
                accepted = self.accept_next() => return Ok(accepted?.with_public_link(port.faults(), port.host())),
            }
        }
    }

    /// Accepts at the open port, and applies the faults of links between hosts to the connection; waits for ever while
    /// the port is closed.
    async fn accept_next(&mut self) -> io::Result<Stream> {
        let stream = match &mut self.source {
            Source::Closed => std::future::pending().await,
            Source::Tcp { inner, directory } => {
                let (tcp, peer) = inner.accept().await?;
                let peer = directory.as_ref().map_or(peer, |(directory, _)| directory.peer_address(peer));
                Stream::new(Raw::Tcp(tcp), self.address, peer, None)
            }
            Source::Memory(bound) => {
                let Incoming { end, peer } = bound.accept().await?;
                Stream::new(Raw::Memory(end), self.address, peer, None)
            }
        };
        Ok(match &self.faults {
            Some(faults) => stream.with_link_faults(faults),
            None => stream,
        })
    }
}

impl Drop for Listener {
    /// Unmaps the world address of the listener, or reserves its public port again.
    fn drop(&mut self) {
        if let Source::Tcp { directory: Some((directory, Some(own))), .. } = &self.source {
            directory.forget(*own);
        }
        if let Some(port) = &self.public {
            self.source = Source::Closed;
            port.reserve();
        }
    }
}
