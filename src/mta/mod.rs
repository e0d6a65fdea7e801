//! The mail transfer agent: receives, queues, routes, relays, and tells the sender when it cannot.
//!
//! ```text
//!  SMTP in ─▶ receive ─▶ queue (durable, then 250) ─▶ schedule ─▶ route ─▶ lane ─▶ deliver ─▶ SMTP or LMTP out
//!                          ▲                                                          │
//!                          └────────────── settle: done, wait, or report ◀────────────┘
//! ```
//!
//! [`Mta`] is one host. It meets other hosts on the wire only.

mod connection;
mod destination;
mod expand;
mod failure;
#[cfg(feature = "mailin")]
mod mailin;
#[cfg(not(feature = "mailin"))]
#[path = "without_mailin.rs"]
mod mailin;
mod policy;
mod queue;
mod receive;
mod report;
mod route;
mod schedule;
mod settle;
#[cfg(test)]
mod test_support;

use std::sync::{Arc, Mutex};

use crate::dns::Resolver;
use crate::journey::EventEmitter;
use crate::mail::Address;
use crate::net::{Interface, Stop, TlsAcceptor, Trust, UploadBudget};
use crate::store::{self, Store};
use crate::sync::lock;
use crate::world::{self, Clock, HostName, Rng, World};

pub use failure::Failure;
pub use mailin::Mailin;
pub use queue::{
    Entry, Inventory, Listing, Queue, QueueEntry, QueuedMessage, Receipt, SCHEMA, Selector, Settlement, State,
    inventory,
};
pub use receive::{ListenerKind, SmtpPolicy};

/// What the world hands to one MTA.
pub struct MtaContext {
    /// The world it is part of.
    pub world: Arc<World>,
    /// Selector of its hosts it is.
    pub host: HostName,
    /// Its settings there.
    pub settings: world::Mta,
    /// Its place on the network.
    pub interface: Interface,
    /// Where it asks for names.
    pub resolver: Resolver,
    /// Where its queue is kept.
    pub store: Store,
    /// The world's clock.
    pub clock: Clock,
    /// Its own rng.
    pub rng: Rng,
    /// Where it reports.
    pub emitter: EventEmitter,
    /// Accepts TLS with its certificate.
    pub tls: TlsAcceptor,
    /// Whose certificates it takes when it relays: anybody's.
    pub trust: Trust,
    /// The same where the next host must prove its name.
    pub authority: Trust,
    /// The memory for messages that are being received.
    pub uploads: UploadBudget,
}

/// One MTA. Cheap to clone.
#[derive(Clone)]
pub struct Mta(Arc<Inner>);

struct Inner {
    context: MtaContext,
    fqdn: String,
    queue: Queue,
    destinations: destination::Destinations,
    policy: policy::Policy,
    /// Fires when the host dies: what it does then stops where it is.
    end: Mutex<Stop>,
}

impl Mta {
    /// Opens the queue; [`Mta::start`] then works on it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn new(context: MtaContext) -> Result<Self, store::Error> {
        let queue = Queue::open(context.host.clone(), context.store.clone())?;
        let fqdn = context.world.hosts.get(&context.host).map_or_else(String::new, |host| host.fqdn.clone());
        let policy = policy::Policy::new(context.rng.fork("policy"));
        Ok(Self(Arc::new(Inner {
            context,
            fqdn,
            queue,
            destinations: destination::Destinations::default(),
            policy,
            end: Mutex::default(),
        })))
    }

    /// Passes on what waits in the queue, until `stop`; transactions under way may end. When `end` fires, they stop
    /// where they are, as they do when a process is killed. Begins with what is in the store, and nothing else.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn start(&self, stop: Stop, end: Stop) -> Result<impl Future<Output = ()> + use<>, store::Error> {
        self.0.queue.reload()?;
        self.0.destinations.clear();
        self.0.policy.reset();
        let end = end.child_token();
        *lock(&self.0.end) = end.clone();
        Ok(schedule::run(self.clone(), stop, end))
    }

    /// Runs a task for as long as the host lives.
    fn living(&self, task: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = ()> + Send + 'static {
        let end = lock(&self.0.end).clone();
        // Boxed where it is made: a task that starts is copied a few times.
        let task = Box::pin(task);
        async move { end.run_until_cancelled_owned(task).await.unwrap_or_default() }
    }

    /// What waits.
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// The host's short name.
    pub fn host(&self) -> &HostName {
        &self.0.context.host
    }

    /// The host's name in the DNS.
    pub fn fqdn(&self) -> &str {
        &self.0.fqdn
    }

    fn context(&self) -> &MtaContext {
        &self.0.context
    }

    fn policy(&self) -> &policy::Policy {
        &self.0.policy
    }

    fn destinations(&self) -> &destination::Destinations {
        &self.0.destinations
    }

    /// Who looks after this host: the postmaster of its own domain, or of the first one that the world has. RFC 5321
    /// §4.5.1.
    fn postmaster(&self) -> Option<Address> {
        let domains = &self.context().world.domains;
        let own = domains.iter().find(|(_, served)| served.mx.contains(self.host())).or(domains.iter().next());
        own.and_then(|(domain, _)| Address::new("postmaster", domain).ok())
    }

    /// Whether mail to this domain ends at an MDA behind this host.
    fn is_local(&self, domain: &str) -> bool {
        self.context().world.domain(domain).is_some_and(|served| served.mx.contains(self.host()))
    }
}
