//! What can go wrong with a host's disk: no room, or slow. The store behind it is shared; each host sees it through a
//! disk of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::Error;

/// One host's disk. Clones are the same disk; by default it has room, and takes no longer than the store behind it.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    full: AtomicBool,
    micros: AtomicU64,
}

impl Disk {
    /// Fills it up, or makes room again.
    pub fn fill(&self, full: bool) {
        self.0.full.store(full, Ordering::Relaxed);
    }

    /// From now on every commit takes so much longer: half of it before anything is durable, half of it after.
    pub fn slow_down(&self, by: Duration) {
        self.0.micros.store(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Half of what a commit takes longer.
    pub(super) async fn work(&self) {
        let micros = self.0.micros.load(Ordering::Relaxed);
        if micros != 0 {
            sleep(Duration::from_micros(micros / 2)).await;
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.0.full.load(Ordering::Relaxed) {
            Err(Error::Refused("no space left on the disk".into()))
        } else {
            Ok(())
        }
    }
}
