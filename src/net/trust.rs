//! The certificates that TLS clients accept.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Error;
use super::tls::{TlsConfigs, Transport, invalid, provider};
use crate::world::Clock;

/// The certificates that a client accepts. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// The accepted authorities; `None` for any certificate.
    roots: Option<Arc<RootCertStore>>,
    configs: TlsConfigs<ClientConfig>,
}

impl Trust {
    /// Trust in the certificate authorities that browsers trust. Certificates must be valid at the time of `clock`.
    pub fn public(clock: Clock) -> Self {
        Self::of(Some(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() }), clock)
    }

    /// Trust in one authority alone, given by its root certificate in PEM.
    ///
    /// # Errors
    /// The text is not a certificate.
    pub fn pem(root: &str, clock: Clock) -> Result<Self, Error> {
        Self::root(CertificateDer::from_pem_slice(root.as_bytes()).map_err(invalid)?, clock)
    }

    /// Trust in any certificate: protects against eavesdropping, not against impersonation. For opportunistic TLS
    /// between servers (RFC 7435) and for `--insecure`.
    pub fn any_certificate(clock: Clock) -> Self {
        Self::of(None, clock)
    }

    /// Trust in one authority alone, given by its root certificate.
    pub(super) fn root(certificate: CertificateDer<'static>, clock: Clock) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(invalid)?;
        Ok(Self::of(Some(roots), clock))
    }

    /// Trust in certificates of these authorities that are valid at the time of `clock`, or in any if `roots` is
    /// `None`.
    fn of(roots: Option<RootCertStore>, clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, roots: roots.map(Arc::new), configs: TlsConfigs::default() }))
    }

    /// The configuration with which a client does handshakes on this transport. It is made at the first call.
    pub(super) fn config(&self, transport: Transport<'_>) -> Result<Arc<ClientConfig>, Error> {
        let Inner { clock, roots, configs } = &*self.0;
        configs.get(transport, || {
            let builder = ClientConfig::builder_with_details(provider(transport), Arc::new(*clock));
            let builder = builder.with_safe_default_protocol_versions().map_err(invalid)?;
            let builder = match roots {
                Some(roots) => builder.with_root_certificates(roots.clone()),
                None => {
                    let algorithms = ring::default_provider().signature_verification_algorithms;
                    let verifier = Arc::new(AcceptAnyCertificate(algorithms));
                    builder.dangerous().with_custom_certificate_verifier(verifier)
                }
            };
            Ok(builder.with_no_client_auth())
        })
    }
}

/// Accepts every certificate, but checks the signatures of the handshake.
#[derive(Debug)]
struct AcceptAnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AcceptAnyCertificate {
    /// Accepts the certificate, whatever it says.
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    /// Verifies that the server has the key of its certificate, as for a trusted one.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    /// Verifies that the server has the key of its certificate, as for a trusted one.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    /// The signature schemes that the provider can verify.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
