//! Which hosts are on, and what keeps the others off.
//!
//! A host may be kept off by an operator and by any number of faults at a time. Each of these ends by itself, and the host
//! is on again when all have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use super::host_tasks::HostTasks;
use crate::sync::lock;
use crate::world::{HostName, World};

/// What keeps a host off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hold {
    /// It was turned off.
    Operator,
    /// The fault with this id.
    Fault(u64),
}

/// The hosts of a world.
pub(super) struct HostTable(BTreeMap<HostName, HostState>);

/// The state of one host.
#[derive(Default)]
pub(super) struct HostState {
    /// Held while the host is started or stopped, so that one of these happens at a time.
    pub(super) switching: tokio::sync::Mutex<()>,
    power: Mutex<Power>,
}

/// Whether a host is on.
#[derive(Default)]
pub(super) struct Power {
    /// What keeps the host off.
    pub(super) holds: BTreeSet<Hold>,
    /// The tasks of the host, if it is on.
    pub(super) tasks: Option<HostTasks>,
    /// The tasks of a host that is being turned off, until they have ended.
    pub(super) ending: Option<HostTasks>,
}

impl HostTable {
    /// No host is on yet.
    pub(super) fn new(world: &World) -> Self {
        Self(world.hosts.keys().map(|host| (host.clone(), HostState::default())).collect())
    }

    /// The state of a host; `None` if the world has no such host.
    pub(super) fn get(&self, host: &str) -> Option<&HostState> {
        self.0.get(host)
    }

    /// The tasks of the hosts that are on.
    pub(super) fn tasks(&self) -> Vec<HostTasks> {
        self.0.values().filter_map(|state| state.power().tasks.clone()).collect()
    }
}

impl HostState {
    /// Locks the tasks of the host, and what keeps it off.
    pub(super) fn power(&self) -> MutexGuard<'_, Power> {
        lock(&self.power)
    }

    /// The ids of the faults that keep the host off; empty if it is on, or off for another reason.
    pub(super) fn faults(&self) -> Vec<u64> {
        let fault = |hold: &Hold| match hold {
            Hold::Fault(id) => Some(*id),
            Hold::Operator => None,
        };
        self.power().holds.iter().filter_map(fault).collect()
    }

    /// Records what keeps the host off, stops it if it is on, and waits for its tasks. `kill` drops the tasks where
    /// they are, also those of a host that is being turned off.
    pub(super) async fn stop(&self, hold: Hold, kill: bool) {
        if kill && let Some(ending) = self.power().ending.clone() {
            ending.end.cancel();
        }
        let _switching = self.switching.lock().await;
        let tasks = {
            let mut power = self.power();
            power.holds.insert(hold);
            power.ending = power.tasks.take();
            power.ending.clone()
        };
        if let Some(tasks) = tasks {
            if kill {
                tasks.abort().await;
            } else {
                tasks.shut_down().await;
            }
            self.power().ending = None;
        }
    }
}
