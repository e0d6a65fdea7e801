//! The faults that can be injected into the hosts of a world.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use super::fault::{Fault, UndoList};
use crate::dns::DnsFaults;
use crate::journey::EventLog;
use crate::net::TlsFaults;
use crate::smtp::reply_faults::ReplyFaults;
use crate::store::DiskFaults;
use crate::sync::lock;
use crate::world::{HostName, Rng, World};

/// The injected faults of each host. Faults of links are kept by the network.
pub struct FaultInjector {
    disks: BTreeMap<HostName, DiskFaults>,
    reply_faults: BTreeMap<HostName, ReplyFaults>,
    tls_faults: BTreeMap<HostName, TlsFaults>,
    dns_faults: DnsFaults,
    pub(super) rng: Rng,
    last_id: AtomicU64,
    active: Mutex<BTreeMap<u64, (Active, UndoList)>>,
    /// Their numbers in the history, and those of hosts that are switched off.
    recorded: tokio::sync::Mutex<BTreeMap<Recorded, u64>>,
    /// Counts what began and ended.
    changes: watch::Sender<u64>,
}

/// What the history of faults records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recorded {
    /// The fault with this id.
    Fault(u64),
    /// That the operator switched this host off.
    Off(String),
}

/// An active fault.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Active {
    /// Identifies it for [`RunningWorld::end_fault`](super::RunningWorld::end_fault); never used twice in a running world.
    pub id: u64,
    /// A short description.
    pub title: String,
    /// When it was injected.
    pub since: Timestamp,
    /// The fault itself.
    pub fault: Fault,
}

impl FaultInjector {
    /// No fault is active yet.
    pub(super) fn new(world: &World, rng: Rng) -> Self {
        let hosts = || world.hosts.keys().cloned();
        Self {
            disks: hosts().map(|host| (host, DiskFaults::default())).collect(),
            reply_faults: hosts().map(|host| (host, ReplyFaults::default())).collect(),
            tls_faults: hosts().map(|host| (host, TlsFaults::default())).collect(),
            dns_faults: DnsFaults::default(),
            rng,
            last_id: AtomicU64::new(0),
            active: Mutex::default(),
            recorded: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// The faults of the disk of a host, shared with its store; for an unknown host a set that belongs to none.
    pub(super) fn disk(&self, host: &str) -> DiskFaults {
        self.disks.get(host).cloned().unwrap_or_default()
    }

    /// The injected replies of a host, shared with its servers; for an unknown host as [`Self::disk`].
    pub(super) fn reply_faults(&self, host: &str) -> ReplyFaults {
        self.reply_faults.get(host).cloned().unwrap_or_default()
    }

    /// The TLS faults of a host, shared with its acceptors; for an unknown host as [`Self::disk`].
    pub(super) fn tls_faults(&self, host: &str) -> TlsFaults {
        self.tls_faults.get(host).cloned().unwrap_or_default()
    }

    /// The faults of all name servers, shared with them.
    pub(super) fn dns_faults(&self) -> DnsFaults {
        self.dns_faults.clone()
    }

    /// An id that no other fault has or had.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Locks the active faults, by id, and how to clear each.
    pub(super) fn active(&self) -> MutexGuard<'_, BTreeMap<u64, (Active, UndoList)>> {
        lock(&self.active)
    }

    /// Records in the history of the event log that `what` begins, unless it is recorded and has not ended.
    pub(super) async fn record_begin(&self, event_log: &EventLog, what: Recorded, fault: &Fault) {
        let mut recorded = self.recorded.lock().await;
        if let Entry::Vacant(entry) = recorded.entry(what) {
            let json = serde_json::to_value(fault).unwrap_or_default();
            entry.insert(event_log.fault_began(fault.title(), json).await);
        }
    }

    /// Records in the history of the event log that `what` ends, if its begin is recorded.
    pub(super) async fn record_end(&self, event_log: &EventLog, what: &Recorded) {
        if let Some(number) = self.recorded.lock().await.remove(what) {
            event_log.fault_ended(number).await;
        }
    }

    /// Notifies the subscribers of [`Self::changes`] that a fault began or ended, or a host was turned on or off.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The channel to subscribe to, with the number of calls of [`Self::changed`] so far.
    pub(super) fn changes(&self) -> &watch::Sender<u64> {
        &self.changes
    }
}
