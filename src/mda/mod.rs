//! The mail delivery agent: the mailbox store, LMTP into it, POP3 and IMAP out of it.
//!
//! ```text
//!  lmtp --deliver--> Mailboxes --view, message--> pop3, imap
//!                       |  '----wakes----------------^  (IDLE)
//!                     store: durable before the client gets its reply
//! ```
//!
//! [`Mda`] is one host, [`Mailboxes`] holds those of all hosts of a process. [`LmtpPolicy`] decides for its LMTP
//! server; [`Pop3`] and [`Imap`] are its other services.

mod directory;
mod imap;
mod lmtp;
mod mailboxes;
mod pop3;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::journey::EventEmitter;
use crate::mail::Address;
use crate::net::{Lifetime, TlsAcceptor, UploadBudget};
use crate::sync::lock;
use crate::world::{self, Clock, HostName, MailboxForm, Rng, World};

pub use directory::{User, UserDirectory};
pub use imap::Imap;
pub use lmtp::LmtpPolicy;
pub use mailboxes::{
    AccountEvent, AppendMessage, CachedSummary, Changes, Copied, CopyFilter, Counters, Delivered, Error, FeedReader,
    FeedUpdate, FiledMessage, HeaderReader, Inventory, Keywords, Listed, Mailbox, Mailboxes, MaildirSync, Maildrop,
    MemoryUse, MessageMeta, Messages, Miscount, SCHEMA, SessionId, SpecialUse, Status, SummaryReader, TextFilter, Uid,
    Usage, View, filed_after, inventory,
};
use mailboxes::{INBOX, canonical_name, is_within};
pub use pop3::Pop3;

/// Dependencies of one MDA.
pub struct MdaContext {
    /// The world that it belongs to.
    pub world: Arc<World>,
    /// Its short host name.
    pub host: HostName,
    /// Its settings in the world file.
    pub settings: world::Mda,
    /// The mailbox store.
    pub mailboxes: Mailboxes,
    /// The clock of the world.
    pub clock: Clock,
    /// Its random number generator.
    pub rng: Rng,
    /// Records its events.
    pub emitter: EventEmitter,
    /// Accepts TLS with its certificate.
    pub tls: TlsAcceptor,
    /// The memory for messages that are being received.
    pub uploads: UploadBudget,
}

/// One MDA. Cheap to clone.
#[derive(Clone)]
pub struct Mda(Arc<Inner>);

struct Inner {
    context: MdaContext,
    fqdn: String,
    /// Since the last start of the host.
    lifetime: Mutex<Option<Lifetime>>,
}

impl Mda {
    /// An MDA with these dependencies. In the shared mailbox store, sets the quotas of the users whose mailboxes it
    /// has, and the memory budget of the world file.
    pub fn new(context: MdaContext) -> Self {
        let fqdn = context.world.hosts.get(&context.host).map_or_else(String::new, |host| host.fqdn.clone());
        let mda = Self(Arc::new(Inner { context, fqdn, lifetime: Mutex::default() }));
        let limited = mda.context().world.users.iter().filter_map(|(key, user)| Some((key, user, user.quota?)));
        let limited = limited.filter(|(_, user, _)| mda.serves(&user.address));
        mda.mailboxes().limit_memory(mda.context().world.mailbox_memory);
        mda.mailboxes().limit(limited.map(|(key, _, quota)| (key.clone(), quota)));
        mda
    }

    /// Sets how long the host is on from this start on, in place of an earlier one. While that lasts, the users whose
    /// mailboxes the host has can log in at the public ports.
    pub fn start(&self, lifetime: Lifetime) {
        *lock(&self.0.lifetime) = Some(lifetime);
    }

    /// How long the host is on; `None` before the first [`Self::start`] and once that time is over, while users cannot
    /// log in at the public ports.
    fn lifetime(&self) -> Option<Lifetime> {
        lock(&self.0.lifetime).clone().filter(|lifetime| !lifetime.is_over())
    }

    /// The first address of the host in the world file, as which it answers programs outside the world, so that the
    /// faults of its links apply; `None` if it has none.
    fn address(&self) -> Option<IpAddr> {
        self.context().world.hosts.get(self.host())?.addresses.first().copied()
    }

    /// The short name of the host.
    pub fn host(&self) -> &HostName {
        &self.0.context.host
    }

    /// The DNS name of the host.
    pub fn fqdn(&self) -> &str {
        &self.0.fqdn
    }

    /// The storage format of the mailboxes, from the world file.
    pub fn form(&self) -> MailboxForm {
        self.0.context.settings.mailboxes
    }

    /// The mailboxes of this host and of all other hosts of the process.
    pub fn mailboxes(&self) -> &Mailboxes {
        &self.0.context.mailboxes
    }

    /// The dependencies of this MDA.
    fn context(&self) -> &MdaContext {
        &self.0.context
    }

    /// Whether this host stores the mailboxes of the address's domain; whether the mailbox exists is not checked.
    fn serves(&self, address: &Address) -> bool {
        self.context().world.domain(address.domain()).is_some_and(|domain| domain.mailboxes == *self.host())
    }
}

#[cfg(test)]
mod tests;
