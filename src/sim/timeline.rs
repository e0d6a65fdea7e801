//! Injects the faults of a scenario, each at its time, and clears them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::sleep;

use super::file::FaultTable;
use crate::host::{Fault, RunningWorld};
use crate::sync::lock;
use crate::world::Rng;

/// A fault that was active for some time.
#[derive(Clone, Debug, Serialize)]
pub struct FaultInterval {
    /// The fault, in a few words.
    pub what: String,
    /// The fault itself.
    pub fault: Fault,
    /// When it was injected.
    pub from: Timestamp,
    /// When it was cleared; `None` if it lasted to the end.
    pub until: Option<Timestamp>,
    /// The host that crashed or was turned off, and lost its memory.
    pub(super) stopped: Option<String>,
}

/// The faults that were active. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct FaultLog(Arc<Mutex<Vec<FaultInterval>>>);

impl FaultLog {
    /// Adds a fault that was injected at `from`; returns its index.
    fn begin(&self, fault: &Fault, from: Timestamp) -> usize {
        let stopped = match fault {
            Fault::Off { host, .. } | Fault::Crash { host, .. } => Some(host.clone()),
            _ => None,
        };
        let mut list = lock(&self.0);
        list.push(FaultInterval { what: fault.title(), fault: fault.clone(), from, until: None, stopped });
        list.len() - 1
    }

    /// Notes when the fault with this index was cleared.
    fn end(&self, index: usize, until: Timestamp) {
        let mut list = lock(&self.0);
        if let Some(fault) = list.get_mut(index) {
            fault.until = Some(until);
        }
    }

    /// All faults so far, in the order of injection.
    pub(super) fn list(&self) -> Vec<FaultInterval> {
        lock(&self.0).clone()
    }
}

/// Injects and clears one fault as often as its table says; a fault without a duration is injected once and never
/// cleared.
pub(super) async fn run_fault(table: FaultTable, running: Arc<RunningWorld>, fault_log: FaultLog, rng: Rng) {
    sleep(table.after).await;
    for time in 0..table.times {
        let jitter = table.jitter.mul_f64(rng.next_f64());
        let next = tokio::time::Instant::now() + table.every;
        sleep(jitter).await;
        let index = fault_log.begin(&table.fault, running.env.clock.now());
        let undo = running.inject(&table.fault).await;
        if table.lasts == Duration::ZERO {
            // Without a duration, the fault lasts to the end of the run.
            return;
        }
        sleep(table.lasts).await;
        if let Err(error) = running.clear(&undo).await {
            tracing::error!(%error, fault = %table.fault.title(), "cannot clear fault");
        }
        fault_log.end(index, running.env.clock.now());
        if time + 1 < table.times {
            tokio::time::sleep_until(next).await;
        }
    }
}
