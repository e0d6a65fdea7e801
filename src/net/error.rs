//! Why the network did not do what was asked: one clear line each.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A failure of the network or of the peer at its other end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens there.
    #[error("port {} of {} is taken by another program; stop it, or choose another port", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    /// Ports below 1024 are kept for the administrator.
    #[error("no right to listen on port {} of {}; choose a port from 1024 up", .0.port(), .0.ip())]
    PortDenied(SocketAddr),
    /// No interface of this machine has that address.
    #[error("{} is not an address of this machine", .0.ip())]
    NotOurs(SocketAddr),
    /// The host answered that nobody listens.
    #[error("{0} refused the connection: nothing listens there")]
    Refused(SocketAddr),
    /// Nobody answered in time.
    #[error("{0} did not answer within {1:?}")]
    TimedOut(SocketAddr, Duration),
    /// The world declares no host with that address, and nothing leaves the world.
    #[error("{0} belongs to no host of this world")]
    NotInWorld(SocketAddr),
    /// There was no address to try.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The peer kept us waiting.
    #[error("the peer was silent for {0:?}")]
    Silent(Duration),
    /// The peer hung up in the middle.
    #[error("the peer closed the connection")]
    Closed,
    /// The TLS handshake failed.
    #[error("TLS with {name}: {why}")]
    Tls {
        /// The name that was asked for.
        name: String,
        /// What rustls says.
        why: String,
    },
    /// Anything else that the operating system reports.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Makes an error of `bind` one that says what to do.
    pub(super) fn of_bind(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken(address),
            io::ErrorKind::PermissionDenied => Self::PortDenied(address),
            io::ErrorKind::AddrNotAvailable => Self::NotOurs(address),
            _ => Self::Io(error),
        }
    }

    /// Makes an error of reading or writing one that tells whether the peer is gone.
    pub(super) fn of_stream(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                Self::Closed
            }
            _ => Self::Io(error),
        }
    }

    /// Makes an error of `connect` one that names the peer.
    pub(super) fn of_connect(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(address),
            _ => Self::Io(error),
        }
    }
}
