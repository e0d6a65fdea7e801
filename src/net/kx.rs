//! The key exchange of worlds in virtual time, where most of the work would otherwise go into keys. It has the messages and
//! the lengths of X25519, and hides nothing from who reads them; on an in-process network nobody does.

use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup, ring};
use rustls::{Error, NamedGroup, PeerMisbehaved};

const KEY_OCTETS: usize = 32;

/// The exchange.
#[derive(Debug)]
pub(super) struct Open;

impl SupportedKxGroup for Open {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut own = [0; KEY_OCTETS];
        ring::default_provider().secure_random.fill(&mut own)?;
        Ok(Box::new(Exchange(own)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange([u8; KEY_OCTETS]);

impl ActiveKeyExchange for Exchange {
    /// Both ends know both keys, in the same order.
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        if peer.len() != KEY_OCTETS {
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
