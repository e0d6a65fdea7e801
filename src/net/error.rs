//! Network errors, one line each.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// An error of the network or of the peer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens on this port.
    #[error("port {} of {} is taken by another program; stop it, or choose another port", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    /// The port is below 1024 and needs privileges.
    #[error("no permission to listen on port {} of {}; choose a port from 1024 up", .0.port(), .0.ip())]
    PortDenied(SocketAddr),
    /// No interface of this machine has that address.
    #[error("{} is not an address of this machine", .0.ip())]
    NotOurs(SocketAddr),
    /// The host refused the connection.
    #[error("{0} refused the connection: nothing listens there")]
    Refused(SocketAddr),
    /// The host did not answer in time.
    #[error("{0} did not answer within {1:?}")]
    TimedOut(SocketAddr, Duration),
    /// The world declares no host with this address, and connections out of the world are not possible.
    #[error("{0} is not an address of this world")]
    NotInWorld(SocketAddr),
    /// The name has no address to connect to.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The peer exceeded a timeout.
    #[error("the peer was silent for {0:?}")]
    Silent(Duration),
    /// The peer closed the connection too early.
    #[error("the peer closed the connection")]
    Closed,
    /// The TLS handshake failed.
    #[error("TLS with {name}: {why}")]
    Tls {
        /// The requested name.
        name: String,
        /// The cause, from rustls.
        why: String,
    },
    /// Any other error of the operating system.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Converts an error of `bind`; `address` is the one that could not be bound. [`Error::PortTaken`],
    /// [`Error::PortDenied`] or [`Error::NotOurs`] if that is the cause, otherwise [`Error::Io`].
    pub(super) fn of_bind(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken(address),
            io::ErrorKind::PermissionDenied => Self::PortDenied(address),
            io::ErrorKind::AddrNotAvailable => Self::NotOurs(address),
            _ => Self::Io(error),
        }
    }

    /// Converts an error of reading or writing: [`Error::Closed`] if the peer reset the connection or is gone,
    /// otherwise [`Error::Io`].
    pub(super) fn of_stream(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                Self::Closed
            }
            _ => Self::Io(error),
        }
    }

    /// Converts an error of `connect` to this address: [`Error::Refused`] or [`Error::Io`].
    pub(super) fn of_connect(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(address),
            _ => Self::Io(error),
        }
    }
}
