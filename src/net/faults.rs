//! What goes wrong between hosts: links that are cut, refuse, stall or break, and slow ones.
//!
//! A [`Faults`] is shared by every connection of one network, real or in-process; a rule holds from when it is
//! inflicted until it is lifted, also for connections that are open already. All rules are looked at where bytes are
//! read, since what was sent into a broken link looks sent to the sender.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;

use super::slow::Lag;
use crate::world::Dice;

/// One direction between two sets of addresses.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Who sends; empty for anybody.
    pub from: Vec<IpAddr>,
    /// Who reads; empty for anybody.
    pub to: Vec<IpAddr>,
}

/// What is wrong with it.
#[derive(Clone, Debug)]
pub enum LinkFault {
    /// Nothing passes, and nobody is told; connecting waits. What was sent arrives once it is mended, as TCP does.
    Cut,
    /// Connections are refused; those that are open go on.
    Refuse,
    /// After so many octets of a connection, nothing more arrives: a half-open peer. Mended, it goes on.
    Stall {
        /// Octets that pass before.
        after: u64,
    },
    /// After so many octets of a connection, it breaks.
    Reset {
        /// Octets that pass before.
        after: u64,
    },
    /// Everything takes longer.
    Slow {
        /// So much longer, one way.
        latency: Duration,
        /// Up to so much more.
        jitter: Duration,
        /// Octets a second; 0 for as many as there are.
        bandwidth: u64,
        /// Decides how much of the jitter.
        dice: Dice,
    },
}

/// Names a rule, so that it can be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u64);

/// The rules of one network. Cheap to clone.
#[derive(Clone, Default)]
pub struct Faults(Arc<Inner>);

struct Inner {
    /// How many rules there are: most networks have none, and pay nothing.
    count: AtomicUsize,
    table: Mutex<Table>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Table {
    drawn: u64,
    rules: BTreeMap<RuleId, (Link, LinkFault)>,
    waiting: BTreeMap<u64, Waker>,
}

impl Default for Inner {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), table: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Link {
    fn joins(&self, from: IpAddr, to: IpAddr) -> bool {
        let among = |list: &[IpAddr], ip| list.is_empty() || list.contains(&ip);
        among(&self.from, from) && among(&self.to, to)
    }
}

impl Faults {
    /// From now on the link has this fault.
    pub fn inflict(&self, link: Link, fault: LinkFault) -> RuleId {
        let mut table = self.table();
        table.drawn += 1;
        let id = RuleId(table.drawn);
        table.rules.insert(id, (link, fault));
        self.changed(table);
        id
    }

    /// The link is mended. A rule that is gone already does not matter.
    pub fn lift(&self, id: RuleId) {
        let mut table = self.table();
        table.rules.remove(&id);
        self.changed(table);
    }

    fn changed(&self, mut table: MutexGuard<'_, Table>) {
        self.0.count.store(table.rules.len(), Ordering::Release);
        std::mem::take(&mut table.waiting).into_values().for_each(Waker::wake);
        drop(table);
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::Acquire) == 0
    }

    fn has(&self, from: IpAddr, to: IpAddr, is_it: impl Fn(&LinkFault) -> bool) -> bool {
        !self.is_empty() && self.table().rules.values().any(|(link, fault)| link.joins(from, to) && is_it(fault))
    }

    /// Whether nothing passes.
    pub(super) fn cuts(&self, from: IpAddr, to: IpAddr) -> bool {
        self.has(from, to, |fault| matches!(fault, LinkFault::Cut))
    }

    /// Waits until a connection could come up; `false` if it is refused.
    pub(super) async fn admit(&self, from: IpAddr, to: IpAddr) -> bool {
        let mut changes = self.0.changes.subscribe();
        while self.cuts(from, to) || self.cuts(to, from) {
            if changes.changed().await.is_err() {
                break;
            }
        }
        !self.has(from, to, |fault| matches!(fault, LinkFault::Refuse))
    }

    /// How much longer so many octets take.
    pub(super) fn lag(&self, from: IpAddr, to: IpAddr, octets: usize) -> Lag {
        let mut lag = Lag::default();
        if self.is_empty() {
            return lag;
        }
        for (_, fault) in self.table().rules.values().filter(|(link, _)| link.joins(from, to)) {
            if let LinkFault::Slow { latency, jitter, bandwidth, dice } = fault {
                lag.latency += *latency + jitter.mul_f64(dice.share());
                if *bandwidth != 0 {
                    lag.sending += Duration::from_secs_f64(octets as f64 / *bandwidth as f64);
                }
            }
        }
        lag
    }

    /// The way of one connection's bytes to one of its ends.
    pub(super) fn inbound(&self, from: IpAddr, to: IpAddr) -> Inbound {
        self.table().drawn += 1;
        Inbound { id: self.table().drawn, faults: self.clone(), from, to, carried: 0 }
    }

    /// A panic elsewhere does not make the table wrong: each change to it is whole.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one end of a connection reads, under the rules.
pub(super) struct Inbound {
    id: u64,
    faults: Faults,
    from: IpAddr,
    to: IpAddr,
    carried: u64,
}

impl Inbound {
    /// How many octets may be read now; waits while the link holds them back.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<u64>> {
        if self.faults.is_empty() {
            return Poll::Ready(Ok(u64::MAX));
        }
        let mut table = self.faults.table();
        let mut room = u64::MAX;
        for (_, fault) in table.rules.values().filter(|(link, _)| link.joins(self.from, self.to)) {
            match fault {
                LinkFault::Cut => room = 0,
                LinkFault::Stall { after } => room = room.min(after.saturating_sub(self.carried)),
                LinkFault::Reset { after } if *after <= self.carried => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                LinkFault::Reset { after } => room = room.min(after - self.carried),
                LinkFault::Refuse | LinkFault::Slow { .. } => {}
            }
        }
        if room == 0 {
            table.waiting.insert(self.id, cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(room))
    }

    /// Whether what comes takes longer.
    pub(super) fn is_slow(&self) -> bool {
        self.faults.has(self.from, self.to, |fault| matches!(fault, LinkFault::Slow { .. }))
    }

    /// How much longer so many octets take.
    pub(super) fn lag(&self, octets: usize) -> Lag {
        self.faults.lag(self.from, self.to, octets)
    }

    pub(super) fn carry(&mut self, octets: usize) {
        self.carried += octets as u64;
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if !self.faults.is_empty() {
            self.faults.table().waiting.remove(&self.id);
        }
    }
}
