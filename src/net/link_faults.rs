//! Injected link faults: links between hosts that are cut, refuse connections, stall, reset, or are slow.
//!
//! A [`LinkFaults`] is shared by all connections of one network, real or in-process. A fault applies from its injection
//! until it is cleared, to open connections as well. Faults take effect where bytes are read, since the sender of bytes
//! does not notice a broken link at once; those of links to programs outside the world also where bytes are written, since
//! such a program reads from a socket that is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;

use super::link_delay::LinkDelay;
use crate::sync::lock;
use crate::world::Rng;

/// One direction between two sets of addresses.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The senders.
    pub from: LinkEnd,
    /// The receivers.
    pub to: LinkEnd,
}

/// The addresses at one end of a link.
#[derive(Clone, Debug, Default)]
pub enum LinkEnd {
    /// All addresses.
    #[default]
    Any,
    /// These addresses.
    Among(Vec<IpAddr>),
    /// All addresses but these, which are those of a world's hosts.
    Outside(Arc<BTreeSet<IpAddr>>),
}

/// An address that stands for any program outside the world. No host has it.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A fault of a link.
#[derive(Clone, Debug)]
pub enum LinkFault {
    /// Nothing is transmitted, without an error, and connecting waits. What was sent arrives once the fault is cleared,
    /// as with TCP.
    Cut,
    /// New connections are refused; open ones are not affected.
    Refuse,
    /// After some bytes of a connection, nothing more arrives, as from a half-open peer, until the fault is cleared.
    Stall {
        /// Bytes that still arrive.
        after: u64,
    },
    /// After some bytes, a connection is reset.
    Reset {
        /// Bytes that still arrive.
        after: u64,
    },
    /// Everything is delayed.
    Slow {
        /// Added one-way latency.
        latency: Duration,
        /// Maximum random addition to the latency.
        jitter: Duration,
        /// Bytes per second; 0 for no limit.
        bandwidth: u64,
        /// Random numbers for the jitter.
        rng: Rng,
    },
}

/// Identifies an injected fault, to clear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkFaultId(u64);

/// The link faults of one network. Cheap to clone.
#[derive(Clone, Default)]
pub struct LinkFaults(Arc<Inner>);

struct Inner {
    /// The number of faults, so that a network without any pays nothing for them.
    count: AtomicUsize,
    table: Mutex<Table>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Table {
    last_id: u64,
    rules: BTreeMap<LinkFaultId, (Link, LinkFault)>,
    waiting: BTreeMap<u64, Waker>,
}

impl Default for Inner {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), table: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Link {
    /// Whether the link covers what the address `from` sends `to`.
    fn joins(&self, from: IpAddr, to: IpAddr) -> bool {
        self.from.has(from) && self.to.has(to)
    }
}

impl LinkEnd {
    /// Whether the address is at this end of the link.
    fn has(&self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Among(addresses) => addresses.contains(&ip),
            Self::Outside(hosts) => !hosts.contains(&ip),
        }
    }
}

impl LinkFaults {
    /// Injects a fault into a link, until the returned id is given to [`LinkFaults::clear`].
    pub fn inject(&self, link: Link, fault: LinkFault) -> LinkFaultId {
        let mut table = self.table();
        table.last_id += 1;
        let id = LinkFaultId(table.last_id);
        table.rules.insert(id, (link, fault));
        self.changed(table);
        id
    }

    /// Clears a fault. Does nothing if it is cleared already.
    pub fn clear(&self, id: LinkFaultId) {
        let mut table = self.table();
        table.rules.remove(&id);
        self.changed(table);
    }

    /// Announces a changed table: updates the count of faults, and wakes what waits for one to be cleared.
    fn changed(&self, mut table: MutexGuard<'_, Table>) {
        self.0.count.store(table.rules.len(), Ordering::Release);
        std::mem::take(&mut table.waiting).into_values().for_each(Waker::wake);
        drop(table);
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Whether no link of the network has a fault.
    fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::Acquire) == 0
    }

    /// Whether a fault that `matches` applies to what `from` sends `to`.
    fn any(&self, from: IpAddr, to: IpAddr, matches: impl Fn(&LinkFault) -> bool) -> bool {
        !self.is_empty() && self.table().rules.values().any(|(link, fault)| link.joins(from, to) && matches(fault))
    }

    /// Whether the link is cut in this direction.
    pub(super) fn is_cut(&self, from: IpAddr, to: IpAddr) -> bool {
        self.any(from, to, |fault| matches!(fault, LinkFault::Cut))
    }

    /// Waits while either direction of the link is cut; then returns `false` if new connections from `from` to `to` are
    /// refused, else `true`.
    pub(super) async fn admit(&self, from: IpAddr, to: IpAddr) -> bool {
        let mut changes = self.0.changes.subscribe();
        while self.is_cut(from, to) || self.is_cut(to, from) {
            if changes.changed().await.is_err() {
                break;
            }
        }
        !self.any(from, to, |fault| matches!(fault, LinkFault::Refuse))
    }

    /// Whether a fault makes the host with this address refuse connections from programs outside the world.
    pub(super) fn refuses_outside(&self, host: IpAddr) -> bool {
        self.any(OUTSIDE, host, |fault| matches!(fault, LinkFault::Refuse))
    }

    /// A receiver that is notified of every fault that is injected or cleared from now on; its value means nothing.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The injected delay of this many bytes from one host to another: the sum of all [`LinkFault::Slow`] of that link,
    /// with new random jitter at each call.
    pub(super) fn delay(&self, from: IpAddr, to: IpAddr, bytes: usize) -> LinkDelay {
        let mut delay = LinkDelay::default();
        if self.is_empty() {
            return delay;
        }
        for (_, fault) in self.table().rules.values().filter(|(link, _)| link.joins(from, to)) {
            if let LinkFault::Slow { latency, jitter, bandwidth, rng } = fault {
                delay.latency += *latency + jitter.mul_f64(rng.next_f64());
                if *bandwidth != 0 {
                    delay.sending += Duration::from_secs_f64(bytes as f64 / *bandwidth as f64);
                }
            }
        }
        delay
    }

    /// One direction of a connection, for the end of the connection that applies the faults of the link `from` -> `to`.
    pub(super) fn endpoint(&self, from: IpAddr, to: IpAddr) -> LinkEndpoint {
        let mut table = self.table();
        table.last_id += 1;
        LinkEndpoint { id: table.last_id, faults: self.clone(), from, to, carried: 0 }
    }

    /// Locks the injected faults.
    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.0.table)
    }
}

/// Applies the link faults to one direction of a connection.
pub(super) struct LinkEndpoint {
    id: u64,
    faults: LinkFaults,
    from: IpAddr,
    to: IpAddr,
    carried: u64,
}

impl LinkEndpoint {
    /// Whether no link of the network has a fault.
    pub(super) fn has_no_faults(&self) -> bool {
        self.faults.is_empty()
    }

    /// Applies the faults of another link from now on: `None` keeps that end. Bytes that have passed stay counted.
    pub(super) fn redirect(&mut self, from: Option<IpAddr>, to: Option<IpAddr>) {
        (self.from, self.to) = (from.unwrap_or(self.from), to.unwrap_or(self.to));
    }

    /// How many bytes may pass now, [`u64::MAX`] without a limit; pending while the link transmits nothing, until a
    /// fault is cleared or injected. The error is that of a [`LinkFault::Reset`].
    pub(super) fn poll_allowance(&self, cx: &Context<'_>) -> Poll<io::Result<u64>> {
        if self.faults.is_empty() {
            return Poll::Ready(Ok(u64::MAX));
        }
        let mut table = self.faults.table();
        let mut allowance = u64::MAX;
        for (_, fault) in table.rules.values().filter(|(link, _)| link.joins(self.from, self.to)) {
            match fault {
                LinkFault::Cut => allowance = 0,
                LinkFault::Stall { after } => allowance = allowance.min(after.saturating_sub(self.carried)),
                LinkFault::Reset { after } if *after <= self.carried => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                LinkFault::Reset { after } => allowance = allowance.min(after - self.carried),
                LinkFault::Refuse | LinkFault::Slow { .. } => {}
            }
        }
        if allowance == 0 {
            table.waiting.insert(self.id, cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(allowance))
    }

    /// Whether a [`LinkFault::Slow`] applies to this direction.
    pub(super) fn is_slow(&self) -> bool {
        self.faults.any(self.from, self.to, |fault| matches!(fault, LinkFault::Slow { .. }))
    }

    /// The injected delay of this many bytes in this direction, as [`LinkFaults::delay`].
    pub(super) fn delay(&self, bytes: usize) -> LinkDelay {
        self.faults.delay(self.from, self.to, bytes)
    }

    /// Counts bytes that have passed, which [`LinkFault::Stall`] and [`LinkFault::Reset`] limit.
    pub(super) fn add_carried(&mut self, bytes: usize) {
        self.carried += bytes as u64;
    }
}

impl Drop for LinkEndpoint {
    /// Removes the waker that [`Self::poll_allowance`] may have left.
    fn drop(&mut self) {
        if !self.faults.is_empty() {
            self.faults.table().waiting.remove(&self.id);
        }
    }
}
