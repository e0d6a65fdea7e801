//! The certificate authority of a world, which issues a certificate for each host.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::tls::{Identity, invalid};
use super::{Error, Trust};
use crate::world::{Clock, Rng};

/// Validity of the authority's own certificate.
const AUTHORITY_DAYS: i64 = 3650;
/// Validity of a host's certificate; common clients refuse more than 825 days.
const HOST_DAYS: i64 = 800;

/// The prefix of a 32-byte Ed25519 key in PKCS #8. RFC 8410 §7.
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The certificate authority of a world. Clients import its root certificate.
pub struct Authority {
    clock: Clock,
    keys: Keys,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
}

/// The source of new keys.
enum Keys {
    /// The operating system.
    Fresh,
    /// A seed, so that a simulated world has the same keys in every run. They are Ed25519 keys, whose signatures all
    /// have the same length, so that all handshakes have the same length.
    Seeded(Rng),
}

impl Keys {
    /// Generates a new key: an ECDSA P-256 key from the operating system, or the Ed25519 key that the seed gives next.
    fn generate(&self) -> Result<KeyPair, Error> {
        let Self::Seeded(rng) = self else { return KeyPair::generate().map_err(invalid) };
        let mut key = ED25519_PKCS8.to_vec();
        (0..4).for_each(|_| key.extend(rng.next_u64().to_le_bytes()));
        let key = PrivatePkcs8KeyDer::from(key);
        KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519).map_err(invalid)
    }
}

impl Authority {
    /// Creates an authority as [`Authority::create`] does, whose keys, and those of its hosts, are generated from
    /// `rng`.
    ///
    /// # Errors
    /// The key could not be generated.
    pub fn seeded(world: &str, clock: Clock, rng: Rng) -> Result<Self, Error> {
        Self::of(world, clock, Keys::Seeded(rng))
    }

    /// Creates a new authority, valid from yesterday for ten years. Its name has that of the world.
    ///
    /// # Errors
    /// The key could not be generated.
    pub fn create(world: &str, clock: Clock) -> Result<Self, Error> {
        Self::of(world, clock, Keys::Fresh)
    }

    /// Creates an authority with a new key of `keys` and a self-signed root certificate, valid from yesterday for ten
    /// years.
    fn of(world: &str, clock: Clock, keys: Keys) -> Result<Self, Error> {
        let key = keys.generate()?;
        let params = root(world, clock.now())?;
        let certificate = params.self_signed(&key).map_err(invalid)?;
        let (root, root_pem) = (certificate.der().clone(), certificate.pem());
        Ok(Self { clock, keys, issuer: Issuer::new(params, key), root, root_pem })
    }

    /// Restores an authority from its [`Authority::root_pem`] and [`Authority::key_pem`], which are not compared with
    /// each other; `world` must be the name with which it was created, since that is the issuer of its certificates.
    /// The keys of hosts come from the operating system, also if it was created by [`Authority::seeded`].
    ///
    /// # Errors
    /// One of the two texts is invalid.
    pub fn from_pem(world: &str, root_pem: &str, key_pem: &str, clock: Clock) -> Result<Self, Error> {
        let key = KeyPair::from_pem(key_pem).map_err(invalid)?;
        let root_der = CertificateDer::from_pem_slice(root_pem.as_bytes()).map_err(invalid)?;
        // Issued certificates contain only name and key of the issuer; its dates are those of the stored root.
        let issuer = Issuer::new(root(world, Timestamp::UNIX_EPOCH)?, key);
        Ok(Self { clock, keys: Keys::Fresh, issuer, root: root_der, root_pem: root_pem.to_owned() })
    }

    /// The private key, for [`Authority::from_pem`]. Keep it secret.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The root certificate, for clients to import.
    pub fn root_pem(&self) -> String {
        self.root_pem.clone()
    }

    /// Issues a certificate, with a new key, for a host with these names or IP addresses, valid from yesterday for 800
    /// days. The first one is also its common name. The identity presents it together with the root certificate.
    ///
    /// # Errors
    /// A name is not valid in a certificate.
    pub fn issue(&self, names: &[String]) -> Result<Identity, Error> {
        self.sign(names, -1, HOST_DAYS)
    }

    /// Issues a certificate that was valid from 800 days ago until yesterday, otherwise as [`Authority::issue`].
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_expired(&self, names: &[String]) -> Result<Identity, Error> {
        self.sign(names, -HOST_DAYS, -1)
    }

    /// Issues a certificate for servers with a new key, valid from day `from` to day `to`, both relative to now;
    /// otherwise as [`Authority::issue`]. The first name, if any, is also its common name.
    fn sign(&self, names: &[String], from: i64, to: i64) -> Result<Identity, Error> {
        let mut params = CertificateParams::new(names).map_err(invalid)?;
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = validity(self.clock.now(), from, to)?;
        let key = self.keys.generate()?;
        if let Keys::Seeded(rng) = &self.keys {
            // All serial numbers have the same length; the first bit of a DER integer is its sign.
            params.serial_number = Some((rng.next_u64() >> 1 | 1 << 62).into());
        }
        let certificate = params.signed_by(&key, &self.issuer).map_err(invalid)?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(invalid)?;
        Ok(Identity::new(self.clock, vec![certificate.der().clone(), self.root.clone()], private))
    }

    /// Trust in this authority alone.
    ///
    /// # Errors
    /// The root certificate cannot be parsed; this does not happen.
    pub fn trust(&self) -> Result<Trust, Error> {
        Trust::root(self.root.clone(), self.clock)
    }
}

/// The content of the root certificate of a world: a CA with the name `Postroad root of WORLD` and serial number 1,
/// valid from the day before `now` until 3,650 days after it. An error if that is out of range.
fn root(world: &str, now: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Postroad root of {world}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(1_u64.into());
    (params.not_before, params.not_after) = validity(now, -1, AUTHORITY_DAYS)?;
    Ok(params)
}

/// The beginning and the end of a validity, given in days relative to `now`.
fn validity(now: Timestamp, from: i64, to: i64) -> Result<(time::OffsetDateTime, time::OffsetDateTime), Error> {
    let day =
        |offset: i64| time::OffsetDateTime::from_unix_timestamp(now.as_second() + offset * 86_400).map_err(invalid);
    Ok((day(from)?, day(to)?))
}
