//! Aliases, forwards, and catch-all targets.

use super::World;
use crate::mail::Address;

/// A target of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To another address, here or anywhere.
    Address(Address),
    /// None: the message is accepted and discarded.
    Discard,
}

impl World {
    /// The targets of an alias, not expanded further, or the catch-all of its domain for an unknown address, both
    /// without regard to `+detail`. `None` for a user without an alias, and for an unknown address where there is no
    /// catch-all.
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

    /// Whether mail to the address is taken, without regard to `+detail`: it is that of a user or an alias, or its
    /// domain has a catch-all, or is undeclared and its mail goes to `elsewhere`.
    pub fn accepts(&self, address: &Address) -> bool {
        self.has_mailbox(address) || self.alias(address).is_some()
    }
}
