//! Names that lead on: aliases, forwards, and mailboxes for whatever has none.

use super::World;
use crate::mail::Address;

/// Where an alias leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To another address, here or anywhere.
    Address(Address),
    /// Nowhere: the message is taken, and thrown away.
    Discard,
}

impl World {
    /// Where mail to this address goes on to, if it is an alias, or nobody's and its domain catches that.
    pub fn alias(&self, address: &Address) -> Option<&[Target]> {
        let key = address.key();
        if let Some(targets) = self.aliases.get(&key) {
            return Some(targets);
        }
        if self.users.contains_key(&key) {
            return None;
        }
        self.domains.get(address.domain()).and_then(|domain| domain.catch_all.as_ref()).map(std::slice::from_ref)
    }

    /// Whether mail to this address has anywhere to go: a mailbox, or an alias.
    pub fn takes(&self, address: &Address) -> bool {
        self.has_mailbox(address) || self.alias(address).is_some()
    }
}
