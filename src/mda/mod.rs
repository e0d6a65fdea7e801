//! The mail delivery agent: the mailbox store, LMTP into it, POP3 and IMAP out of it.
//!
//! ```text
//!  lmtp --deliver--> Mailboxes --view, letter--> pop3, imap
//!                       |  '----wakes----------------^  (IDLE)
//!                     store: durable before anybody is told
//! ```
//!
//! [`Mda`] is one host, [`Mailboxes`] are those of all hosts of a process. [`Lmtp`], [`Pop3`] and [`Imap`] are what
//! listens.

mod imap;
mod lmtp;
mod mailboxes;
mod pop3;
mod site;

use std::sync::Arc;

use crate::journey::Recorder;
use crate::mail::Address;
use crate::net::Identity;
use crate::smtp::whims::Whims;
use crate::world::{self, Clock, Dice, HostName, MailboxForm, World};

pub use imap::Imap;
pub use lmtp::Lmtp;
pub use mailboxes::{
    Author, Brief, Brought, Changes, Copied, Delivered, Error, Heard, Index, Keeper, Listed, Mailbox, Mailboxes,
    Maildrop, Message, Messages, News, Reader, SCHEMA, Sieve, SpecialUse, Status, Uid, Usage, View,
};
use mailboxes::{canonical_name, is_within};
pub use pop3::Pop3;
pub use site::{Site, User};

/// What the world hands to one MDA.
pub struct Setup {
    /// The world it is part of.
    pub world: Arc<World>,
    /// Which of its hosts it is.
    pub host: HostName,
    /// Its settings there.
    pub settings: world::Mda,
    /// Where the mail is.
    pub mailboxes: Mailboxes,
    /// The world's clock.
    pub clock: Clock,
    /// Its own dice.
    pub dice: Dice,
    /// Where it reports.
    pub recorder: Recorder,
    /// Its certificate.
    pub identity: Identity,
    /// Where its replies over LMTP are not its own.
    pub whims: Whims,
}

/// One MDA. Cheap to clone.
#[derive(Clone)]
pub struct Mda(Arc<Inner>);

struct Inner {
    setup: Setup,
    fqdn: String,
}

impl Mda {
    /// A host with what the world hands to it.
    pub fn new(setup: Setup) -> Self {
        let fqdn = setup.world.hosts.get(&setup.host).map_or_else(String::new, |host| host.fqdn.clone());
        let mda = Self(Arc::new(Inner { setup, fqdn }));
        let limited = mda.setup().world.users.iter().filter_map(|(key, user)| Some((key, user, user.quota?)));
        let limited = limited.filter(|(_, user, _)| mda.serves(&user.address));
        mda.mailboxes().limit(limited.map(|(key, _, quota)| (key.clone(), quota)));
        mda
    }

    /// The host's short name.
    pub fn host(&self) -> &HostName {
        &self.0.setup.host
    }

    /// The host's name in the DNS.
    pub fn fqdn(&self) -> &str {
        &self.0.fqdn
    }

    /// Where its mailboxes lie.
    pub fn form(&self) -> MailboxForm {
        self.0.setup.settings.mailboxes
    }

    /// The mail of this host, and of all others of the process.
    pub fn mailboxes(&self) -> &Mailboxes {
        &self.0.setup.mailboxes
    }

    fn setup(&self) -> &Setup {
        &self.0.setup
    }

    /// Whether this host keeps the mailboxes of the address's domain.
    fn serves(&self, address: &Address) -> bool {
        self.setup().world.domain(address.domain()).is_some_and(|domain| domain.mailboxes == *self.host())
    }
}

#[cfg(test)]
mod tests;
