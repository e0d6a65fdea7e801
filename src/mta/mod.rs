//! The mail transfer agent: receives, queues, routes and relays messages, and reports to the sender.
//!
//! ```text
//!  SMTP in ─▶ receive ─▶ queue (durable, then 250) ─▶ relay ─▶ route ─▶ worker ─▶ connection ─▶ SMTP or LMTP out
//!                          ▲                            ▲                 │
//!                          │      scheduler: due, slots ┘                 │
//!                          └────────── settle: done, retry or report ◀────┘
//! ```
//!
//! [`Mta`] is one host. It communicates with other hosts over the network only.

mod attempt;
mod connect;
mod connection;
mod context;
mod entry;
mod expand;
mod failure;
mod job;
#[cfg(feature = "mailin")]
mod mailin;
#[cfg(not(feature = "mailin"))]
#[path = "without_mailin.rs"]
mod mailin;
mod next_hop;
mod policy;
mod queue;
mod receive;
mod relay;
mod report;
mod route;
mod scheduler;
mod settle;
#[cfg(test)]
mod test_support;
mod worker;

use std::sync::{Arc, Mutex};

use tokio_util::task::TaskTracker;

use crate::mail::Address;
use crate::net::{Lifetime, Stop};
use crate::store;
use crate::sync::lock;
use crate::world::HostName;
use scheduler::Scheduler;

pub use context::MtaContext;
pub use entry::{Entry, QueuedMessage, Remaining, Settlement};
pub use failure::Failure;
pub use mailin::Mailin;
pub use queue::{
    ActiveAttempt, Inventory, Listing, Queue, QueueEntry, QueuePlace, Receipt, SCHEMA, Selector, State, WaitingMessage,
    inventory,
};
pub use receive::{ListenerKind, SmtpPolicy, accept};

/// One MTA. Cheap to clone.
#[derive(Clone)]
pub struct Mta(Arc<Inner>);

struct Inner {
    context: MtaContext,
    fqdn: String,
    queue: Queue,
    scheduler: Arc<Scheduler>,
    policy: policy::Policy,
    tasks: Mutex<Tasks>,
}

/// The tasks since the last start of the host.
#[derive(Clone, Default)]
struct Tasks {
    /// How long the host is on; `None` before its first start.
    lifetime: Option<Lifetime>,
    /// Fires when they are dropped where they are.
    end: Stop,
    workers: TaskTracker,
}

impl Tasks {
    /// Returns a future that runs `task` until it completes, or drops it unfinished when `end` fires.
    fn until_end(&self, task: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = ()> + Send + 'static {
        let end = self.end.clone();
        // Boxed here, because a task that is spawned is copied several times.
        let task = Box::pin(task);
        async move { end.run_until_cancelled_owned(task).await.unwrap_or_default() }
    }
}

impl Mta {
    /// Opens the queue; [`Mta::start`] then works on it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn new(context: MtaContext) -> Result<Self, store::Error> {
        let scheduler = Arc::new(Scheduler::new(context.clock, context.settings.connections_max));
        let queue =
            Queue::open(context.host.clone(), context.store.clone(), context.catalogue.clone(), scheduler.clone())?;
        let fqdn = context.world.hosts.get(&context.host).map_or_else(String::new, |host| host.fqdn.clone());
        let policy = policy::Policy::new(context.rng.fork("policy"));
        Ok(Self(Arc::new(Inner { context, fqdn, queue, scheduler, policy, tasks: Mutex::default() })))
    }

    /// Replaces the tasks of the last start by those of a new one; ends none of them.
    fn set_tasks(&self, tasks: Tasks) {
        *lock(&self.0.tasks) = tasks;
    }

    /// Spawns a task, tracked among the workers of the current start; it is dropped unfinished at the end of the host.
    fn spawn_worker(&self, task: impl Future<Output = ()> + Send + 'static) {
        let tasks = lock(&self.0.tasks).clone();
        tasks.workers.spawn(tasks.until_end(task));
    }

    /// Whether the host is on; `false` before its first start, and from its stop on.
    fn is_on(&self) -> bool {
        lock(&self.0.tasks).lifetime.as_ref().is_some_and(|lifetime| !lifetime.is_over())
    }

    /// The queue of the host.
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Forgets the DNS answers that are cached about `domain` and the names below it; all of them if `domain` is empty.
    pub fn forget_names(&self, domain: &str) {
        self.context().resolver.forget(domain);
    }

    /// The short name of the host.
    pub fn host(&self) -> &HostName {
        &self.0.context.host
    }

    /// The DNS name of the host; empty if the world does not declare the host.
    pub fn fqdn(&self) -> &str {
        &self.0.fqdn
    }

    /// What the MTA was made with.
    fn context(&self) -> &MtaContext {
        &self.0.context
    }

    /// The policy for clients, with its state.
    fn policy(&self) -> &policy::Policy {
        &self.0.policy
    }

    /// The schedule of the queue.
    fn scheduler(&self) -> &Scheduler {
        &self.0.scheduler
    }

    /// The postmaster of the first domain whose mail this host takes, or else of the first domain of the world; `None`
    /// if the world has no domain. RFC 5321 §4.5.1.
    fn postmaster(&self) -> Option<Address> {
        let domains = &self.context().world.domains;
        let own = domains.iter().find(|(_, served)| served.mx.contains(self.host())).or(domains.iter().next());
        own.and_then(|(domain, _)| Address::new("postmaster", domain).ok())
    }

    /// Whether this host is an exchange of the domain, so that it hands mail for the domain to an MDA. An undeclared
    /// domain is that of `elsewhere`; `false` if the world has no such domain.
    fn is_local(&self, domain: &str) -> bool {
        self.context().world.domain(domain).is_some_and(|served| served.mx.contains(self.host()))
    }
}
