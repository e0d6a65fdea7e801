//! TLS configurations: the certificate and key of a server, and the cryptography of each transport.
//!
//! The cryptography depends on the [`Transport`]: on a real socket it is always real. The fake key exchange of simulations
//! needs an end of an in-process connection, so no program can use it on a socket.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, ServerConfig};

use super::memory::PipeEnd;
use super::{Error, simulated_tls};
use crate::world::Clock;

/// What carries a TLS connection.
#[derive(Clone, Copy)]
pub(super) enum Transport<'a> {
    /// A real socket.
    Socket,
    /// The in-process network.
    InProcess(&'a PipeEnd),
}

/// The TLS provider of a transport, with the fastest of the equally secure ciphers first; the in-process network has
/// simulated keys.
pub(super) fn provider(transport: Transport<'_>) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(match transport {
        Transport::Socket => provider,
        Transport::InProcess(end) => simulated_tls::with_simulated_keys(provider, end),
    })
}

/// The configurations of a server or client for each transport, made when they are first needed. Each one also has the
/// sessions that can be resumed.
pub(super) struct TlsConfigs<C> {
    socket: OnceLock<Arc<C>>,
    in_process: OnceLock<Arc<C>>,
}

impl<C> Default for TlsConfigs<C> {
    fn default() -> Self {
        Self { socket: OnceLock::new(), in_process: OnceLock::new() }
    }
}

impl<C> TlsConfigs<C> {
    /// The configuration for this transport, the same at each call; `make` makes it at the first. An error of `make` is
    /// returned, and the next call tries again.
    pub(super) fn get(
        &self,
        transport: Transport<'_>,
        make: impl FnOnce() -> Result<C, Error>,
    ) -> Result<Arc<C>, Error> {
        let config = match transport {
            Transport::Socket => &self.socket,
            Transport::InProcess(_) => &self.in_process,
        };
        if let Some(config) = config.get() {
            return Ok(config.clone());
        }
        let made = Arc::new(make()?);
        Ok(config.get_or_init(|| made).clone())
    }
}

/// A server's certificate and key. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// Its certificate, then that of the authority.
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    configs: TlsConfigs<ServerConfig>,
}

impl Identity {
    pub(super) fn new(clock: Clock, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self(Arc::new(Inner { clock, chain, key, configs: TlsConfigs::default() }))
    }

    /// The identity of a server with a certificate, followed by those of its issuers if there are any, and its key, in
    /// PEM. Its TLS sessions take the time from `clock`.
    ///
    /// # Errors
    /// One of the texts is invalid, or the key is not that of the certificate.
    pub fn from_pem(chain: &[u8], key: &[u8], clock: Clock) -> Result<Self, Error> {
        let read = || {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
            let key = PrivateKeyDer::from_pem_slice(key).map_err(invalid)?;
            let identity = Self::new(clock, chain.map_err(invalid)?, key);
            identity.config(Transport::Socket)?;
            Ok(identity)
        };
        read().map_err(|error| match error {
            Error::Tls { why, .. } => Error::Tls { name: "this certificate".to_owned(), why },
            other => other,
        })
    }

    /// The configuration with which a server of this identity does handshakes on this transport. It is made at the
    /// first call.
    pub(super) fn config(&self, transport: Transport<'_>) -> Result<Arc<ServerConfig>, Error> {
        let Inner { clock, chain, key, configs } = &*self.0;
        configs.get(transport, || {
            let builder = ServerConfig::builder_with_details(provider(transport), Arc::new(*clock));
            let builder = builder.with_safe_default_protocol_versions().map_err(invalid)?;
            let config = builder.with_no_client_auth().with_single_cert(chain.clone(), key.clone_key());
            let mut config = config.map_err(invalid)?;
            // One ticket is enough, since each connection gets a new one.
            config.send_tls13_tickets = 1;
            Ok(config)
        })
    }
}

/// Certificates are validated at the world's time.
impl TimeProvider for Clock {
    /// The time of the clock in whole seconds; `None` before 1970.
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Makes the [`Error::Tls`] of a certificate or key that cannot be used; as its name, it has the world's authority.
pub(super) fn invalid(error: impl ToString) -> Error {
    Error::Tls { name: "this world's authority".to_owned(), why: error.to_string() }
}
