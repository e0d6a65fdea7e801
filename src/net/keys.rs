//! The keys of worlds in virtual time, where most of the work would otherwise go into them. Key exchange, key schedule and
//! chance have the messages and the lengths of X25519 with HKDF, and hide nothing from who reads the exchange; on an
//! in-process network nobody does. Certificates, signatures and ciphers are the usual ones.

use std::sync::LazyLock;

use rustls::crypto::cipher::Tls13AeadAlgorithm;
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::crypto::{
    ActiveKeyExchange, CipherSuiteCommon, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup, ring,
};
use rustls::{Error, NamedGroup, PeerMisbehaved, SupportedCipherSuite, Tls13CipherSuite};

use crate::world::Dice;

/// Octets of every key.
const OCTETS: usize = 32;
/// Of so many words.
const LANES: usize = OCTETS / 8;
/// RFC 5869 §2.3.
const BLOCKS_MAX: usize = 255;

type Key = [u8; OCTETS];

/// The same provider with these keys.
pub(super) fn lighten(provider: &mut CryptoProvider) {
    provider.kx_groups = vec![&Exchange];
    provider.secure_random = &Chance;
    provider.cipher_suites.retain(|suite| suite.tls13().is_none());
    if let Some(suite) = &*SUITE {
        provider.cipher_suites.insert(0, SupportedCipherSuite::Tls13(suite));
    }
}

/// `TLS_AES_128_GCM_SHA256` with the key schedule of here.
static SUITE: LazyLock<Option<Tls13CipherSuite>> = LazyLock::new(|| {
    let usual = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?;
    let CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = usual.common;
    let aead_alg: &'static dyn Tls13AeadAlgorithm = usual.aead_alg;
    let common = CipherSuiteCommon { suite, hash_provider, confidentiality_limit };
    Some(Tls13CipherSuite { common, hkdf_provider: &Schedule, aead_alg, quic: None })
});

/// Numbers for handshakes. No report and no trace shows them, so they need not come from a world's seed.
#[derive(Debug)]
struct Chance;

static DICE: LazyLock<Dice> = LazyLock::new(Dice::from_entropy);

impl SecureRandom for Chance {
    fn fill(&self, octets: &mut [u8]) -> Result<(), GetRandomFailed> {
        for part in octets.chunks_mut(8) {
            part.copy_from_slice(&DICE.draw().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// The exchange.
#[derive(Debug)]
struct Exchange;

impl SupportedKxGroup for Exchange {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut own = [0; OCTETS];
        Chance.fill(&mut own)?;
        Ok(Box::new(Half(own)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Half(Key);

impl ActiveKeyExchange for Half {
    /// Both ends know both keys, in the same order.
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        if peer.len() != OCTETS {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let both = if self.0.as_slice() < peer { [&self.0, peer] } else { [peer, &self.0] };
        Ok(SharedSecret::from(blake3::hash(&both.concat()).as_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.0
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// The key schedule, by a quick keyed hash where HKDF has HMAC.
struct Schedule;

impl Hkdf for Schedule {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.extract_from_secret(salt, &[0; OCTETS])
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        Box::new(Secret(hash(&salt.map(key).unwrap_or_default(), secret)))
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        Box::new(Secret(key(okm.as_ref())))
    }

    fn hmac_sign(&self, okm: &OkmBlock, message: &[u8]) -> Tag {
        Tag::new(&hash(&key(okm.as_ref()), message))
    }
}

struct Secret(Key);

impl HkdfExpander for Secret {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        if BLOCKS_MAX * OCTETS < output.len() {
            return Err(OutputLengthError);
        }
        let mut input = info.concat();
        for part in output.chunks_mut(OCTETS) {
            // Each block has more of these than the one before.
            input.push(1);
            part.copy_from_slice(&hash(&self.0, &input)[..part.len()]);
        }
        Ok(())
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        let mut input = info.concat();
        input.push(1);
        OkmBlock::new(&hash(&self.0, &input))
    }

    fn hash_len(&self) -> usize {
        OCTETS
    }
}

/// Spreads a message over a key, lane by lane, as SplitMix64 spreads its seed.
fn hash(key: &Key, message: &[u8]) -> Key {
    let word =
        |octets: &[u8]| octets.iter().rev().fold(octets.len() as u64, |word, octet| word << 8 | u64::from(*octet));
    let mut lanes: [u64; LANES] = std::array::from_fn(|at| word(&key[8 * at..8 * at + 8]));
    for (at, part) in message.chunks(8).enumerate() {
        lanes[at % LANES] = mix(lanes[at % LANES] ^ word(part)).wrapping_add(lanes[(at + 1) % LANES]);
    }
    for at in 0..2 * LANES {
        lanes[at % LANES] = mix(lanes[at % LANES] ^ lanes[(at + 1) % LANES].rotate_left(32));
    }
    let mut spread = [0; OCTETS];
    spread.chunks_mut(8).zip(lanes).for_each(|(octets, lane)| octets.copy_from_slice(&lane.to_le_bytes()));
    spread
}

fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// What is no key by its length becomes one.
fn key(octets: &[u8]) -> Key {
    octets.try_into().unwrap_or_else(|_| *blake3::hash(octets).as_bytes())
}
