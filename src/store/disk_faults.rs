//! Injected faults of a host's disk: full, failing, or slow. The hosts of a world share one store; each uses it with the
//! faults of its own disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use super::Error;
use crate::sync::lock;

/// A fault of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Nothing can be stored for lack of room.
    Full,
    /// Every write fails with an I/O error.
    Failing,
    /// Every commit takes longer by this: half of it before anything is durable, half of it after. The delays of several
    /// such faults add up.
    Slow(Duration),
}

/// The faults of one host's disk; none by default. Each applies until it is cleared. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct DiskFaults {
    table: Arc<Mutex<Table>>,
    /// Whether the jobs free room, so that a full disk lets them pass.
    frees_room: bool,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    faults: BTreeMap<u64, DiskFault>,
}

impl DiskFaults {
    /// Injects a fault; the returned id clears it.
    pub fn inject(&self, fault: DiskFault) -> u64 {
        let mut table = lock(&self.table);
        table.last_id += 1;
        let id = table.last_id;
        table.faults.insert(id, fault);
        id
    }

    /// Clears a fault. Does nothing if it is cleared already.
    pub fn clear(&self, id: u64) {
        lock(&self.table).faults.remove(&id);
    }

    /// The same faults for jobs that free room, which [`DiskFault::Full`] does not refuse.
    pub fn freeing(&self) -> Self {
        Self { frees_room: true, ..self.clone() }
    }

    /// Whether these are the faults for jobs that free room, made by [`DiskFaults::freeing`].
    pub(super) fn frees_room(&self) -> bool {
        self.frees_room
    }

    /// Runs a commit on a disk with these faults: waits for half of the delay before it and half after it. After the
    /// first half, a disk that fails or is full refuses it with an error, without running it.
    pub(super) async fn around<T, E: From<Error>>(&self, commit: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.delay().await;
        self.check()?;
        let outcome = commit.await;
        self.delay().await;
        outcome
    }

    /// Waits for half of the delay of a commit.
    async fn delay(&self) {
        let delay = lock(&self.table).faults.values().fold(Duration::ZERO, |delay, fault| match fault {
            DiskFault::Slow(by) => delay.saturating_add(*by),
            DiskFault::Full | DiskFault::Failing => delay,
        });
        if !delay.is_zero() {
            sleep(delay / 2).await;
        }
    }

    /// Returns the error with which the disk refuses a commit now: [`Error::Io`] if it fails, otherwise [`Error::Full`]
    /// if it is full and the jobs do not free room.
    fn check(&self) -> Result<(), Error> {
        let table = lock(&self.table);
        let has = |fault| table.faults.values().any(|active| *active == fault);
        if has(DiskFault::Failing) {
            return Err(Error::Io("the device reports an error".into()));
        }
        if has(DiskFault::Full) && !self.frees_room { Err(Error::Full) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn disk_fault_applies_until_it_is_cleared_itself() {
        let disk = DiskFaults::default();
        let delay = async |disk: &DiskFaults| {
            let began = Instant::now();
            disk.delay().await;
            began.elapsed().as_secs()
        };
        let (one, other) = (disk.inject(DiskFault::Full), disk.inject(DiskFault::Full));
        let (slow, slower) = (
            disk.inject(DiskFault::Slow(Duration::from_secs(2))),
            disk.inject(DiskFault::Slow(Duration::from_secs(8))),
        );
        let failing = disk.inject(DiskFault::Failing);
        assert!(matches!(disk.check(), Err(Error::Io(_))));
        assert_eq!(delay(&disk).await, 5);
        disk.clear(failing);
        disk.clear(other);
        disk.clear(slower);
        assert!(matches!(disk.check(), Err(Error::Full)) && disk.freeing().check().is_ok());
        assert_eq!(delay(&disk).await, 1);
        disk.clear(one);
        disk.clear(slow);
        assert!(disk.check().is_ok());
        assert_eq!(delay(&disk).await, 0);
    }
}
