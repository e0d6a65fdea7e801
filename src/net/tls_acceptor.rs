//! The server side of TLS at one host, where injected faults replace its certificate.

use std::sync::Arc;

use rustls::ServerConfig;

use super::tls::Transport;
use super::{Error, Identity, TlsFault, TlsFaults};

/// Accepts TLS connections with the certificate of a host. Cheap to clone.
#[derive(Clone)]
pub struct TlsAcceptor {
    identity: Identity,
    faults: TlsFaults,
}

impl TlsAcceptor {
    /// An acceptor that presents `identity`, unless one of `faults`, which may be injected later, puts another in its
    /// place.
    pub fn new(identity: Identity, faults: TlsFaults) -> Self {
        Self { identity, faults }
    }

    /// Whether the server currently offers TLS.
    pub fn offers_tls(&self) -> bool {
        !matches!(self.faults.latest(), Some(TlsFault::Absent))
    }

    /// The current configuration for connections on this transport; `None` if the server does not offer TLS.
    pub(super) fn config(&self, transport: Transport<'_>) -> Result<Option<Arc<ServerConfig>>, Error> {
        match self.faults.latest() {
            Some(TlsFault::Absent) => Ok(None),
            Some(TlsFault::Presents(other)) => other.config(transport).map(Some),
            None => self.identity.config(transport).map(Some),
        }
    }
}

/// Without faults.
impl From<Identity> for TlsAcceptor {
    /// An acceptor that presents this identity, without faults.
    fn from(identity: Identity) -> Self {
        Self::new(identity, TlsFaults::default())
    }
}
