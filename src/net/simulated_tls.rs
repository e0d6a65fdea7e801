//! A fake TLS key exchange for simulations, where real key exchanges would take most of the CPU time. Key exchange and
//! key schedule have the messages and lengths of X25519 with HKDF, but are NOT secure: an eavesdropper could decrypt
//! everything. They are used on the in-process network only. Certificates, signatures and ciphers are real.

use std::sync::LazyLock;

use rustls::crypto::cipher::Tls13AeadAlgorithm;
use rustls::crypto::hmac::Tag;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::crypto::{
    ActiveKeyExchange, CipherSuiteCommon, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup, ring,
};
use rustls::{Error, NamedGroup, PeerMisbehaved, SupportedCipherSuite, Tls13CipherSuite};

use super::memory::PipeEnd;
use crate::world::Rng;

/// Bytes of every key.
const KEY_BYTES: usize = 32;
/// 64-bit words of a key.
const LANES: usize = KEY_BYTES / 8;
/// The longest output of HKDF, in blocks. RFC 5869 §2.3.
const MAX_BLOCKS: usize = 255;

type Key = [u8; KEY_BYTES];

/// The same provider with another key exchange, key schedule and random numbers; `TLS_AES_128_GCM_SHA256` is its only
/// cipher of TLS 1.3. Only who has an end of an in-process connection can call it.
pub(super) fn with_simulated_keys(mut provider: CryptoProvider, _end: &PipeEnd) -> CryptoProvider {
    provider.kx_groups = vec![&SimulatedKeyExchange];
    provider.secure_random = &SimulatedRandom;
    provider.cipher_suites.retain(|suite| suite.tls13().is_none());
    if let Some(suite) = &*SUITE {
        provider.cipher_suites.insert(0, SupportedCipherSuite::Tls13(suite));
    }
    provider
}

/// `TLS_AES_128_GCM_SHA256` with the simulated key schedule.
static SUITE: LazyLock<Option<Tls13CipherSuite>> = LazyLock::new(|| {
    let usual = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?;
    let CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = usual.common;
    let aead_alg: &'static dyn Tls13AeadAlgorithm = usual.aead_alg;
    let common = CipherSuiteCommon { suite, hash_provider, confidentiality_limit };
    Some(Tls13CipherSuite { common, hkdf_provider: &SimulatedHkdf, aead_alg, quic: None })
});

/// Random numbers for handshakes. They do not influence any result, so they need not come from a world's seed.
#[derive(Debug)]
struct SimulatedRandom;

static RNG: LazyLock<Rng> = LazyLock::new(Rng::from_entropy);

impl SecureRandom for SimulatedRandom {
    /// Fills the bytes from one generator of the process, which is not made for secrets.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&RNG.next_u64().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// The simulated key exchange.
#[derive(Debug)]
struct SimulatedKeyExchange;

impl SupportedKxGroup for SimulatedKeyExchange {
    /// Begins a key exchange with a random public key, which has no private part.
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut own = [0; KEY_BYTES];
        SimulatedRandom.fill(&mut own)?;
        Ok(Box::new(KeyShare(own)))
    }

    /// The name of X25519, in whose place it is used.
    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Our half of a key exchange.
struct KeyShare(Key);

impl ActiveKeyExchange for KeyShare {
    /// The secret is a hash of both public keys, in an order that is the same for both ends.
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        if peer.len() != KEY_BYTES {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let both = if self.0.as_slice() < peer { [&self.0, peer] } else { [peer, &self.0] };
        Ok(SharedSecret::from(blake3::hash(&both.concat()).as_bytes().as_slice()))
    }

    /// Our random public key.
    fn pub_key(&self) -> &[u8] {
        &self.0
    }

    /// The name of X25519, as [`SimulatedKeyExchange`] has.
    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// The key schedule: HKDF with a fast keyed hash instead of HMAC.
struct SimulatedHkdf;

impl Hkdf for SimulatedHkdf {
    /// Extracts from a secret of zeros.
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.extract_from_secret(salt, &[0; KEY_BYTES])
    }

    /// An expander whose key is the [`hash`] of the secret, keyed by the salt.
    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        Box::new(Secret(hash(&salt.map(key).unwrap_or_default(), secret)))
    }

    /// An expander whose key is this block.
    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        Box::new(Secret(key(okm.as_ref())))
    }

    /// The [`hash`] of the message, keyed by this block.
    fn hmac_sign(&self, okm: &OkmBlock, message: &[u8]) -> Tag {
        Tag::new(&hash(&key(okm.as_ref()), message))
    }
}

struct Secret(Key);

impl HkdfExpander for Secret {
    /// Fills the output with hashes of `info`, keyed by the secret. An error if that would take more than
    /// [`MAX_BLOCKS`].
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        if MAX_BLOCKS * KEY_BYTES < output.len() {
            return Err(OutputLengthError);
        }
        let mut input = info.concat();
        for part in output.chunks_mut(KEY_BYTES) {
            // Makes the input of each block different.
            input.push(1);
            part.copy_from_slice(&hash(&self.0, &input)[..part.len()]);
        }
        Ok(())
    }

    /// The first block that `expand_slice` gives for `info`.
    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        let mut input = info.concat();
        input.push(1);
        OkmBlock::new(&hash(&self.0, &input))
    }

    /// The length of a [`hash`], in bytes.
    fn hash_len(&self) -> usize {
        KEY_BYTES
    }
}

/// A fast keyed hash, which is not secure: mixes the message, 8 bytes at a time, into the words of the key with
/// [`mix`].
fn hash(key: &Key, message: &[u8]) -> Key {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(bytes.len() as u64, |word, byte| word << 8 | u64::from(*byte));
    let mut lanes: [u64; LANES] = std::array::from_fn(|at| word(&key[8 * at..8 * at + 8]));
    for (at, part) in message.chunks(8).enumerate() {
        lanes[at % LANES] = mix(lanes[at % LANES] ^ word(part)).wrapping_add(lanes[(at + 1) % LANES]);
    }
    for at in 0..2 * LANES {
        lanes[at % LANES] = mix(lanes[at % LANES] ^ lanes[(at + 1) % LANES].rotate_left(32));
    }
    let mut spread = [0; KEY_BYTES];
    spread.chunks_mut(8).zip(lanes).for_each(|(bytes, lane)| bytes.copy_from_slice(&lane.to_le_bytes()));
    spread
}

/// The mixing function of SplitMix64.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// Converts bytes to a key; hashes them with BLAKE3 if they have another length.
fn key(bytes: &[u8]) -> Key {
    bytes.try_into().unwrap_or_else(|_| *blake3::hash(bytes).as_bytes())
}
