//! Injected faults of a host's disk: full, failing, or slow. The hosts of a world share one store; each uses it with the
//! faults of its own disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    state: Arc<State>,
    /// Whether the jobs free room, so that a full disk lets them pass.
    frees_room: bool,
}

#[derive(Debug, Default)]
struct State {
    table: Mutex<Table>,
    /// What the faults of the table amount to, for the jobs to read without a lock.
    is_full: AtomicBool,
    is_failing: AtomicBool,
    delay_micros: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    faults: BTreeMap<u64, DiskFault>,
}

impl DiskFaults {
    /// Injects a fault; the returned id clears it.
    pub fn inject(&self, fault: DiskFault) -> u64 {
        self.change(|table| {
            table.last_id += 1;
            table.faults.insert(table.last_id, fault);
            table.last_id
        })
    }

    /// Clears a fault. Does nothing if it is cleared already.
    pub fn clear(&self, id: u64) {
        self.change(|table| table.faults.remove(&id));
    }

    /// Changes the injected faults, and works out anew what they amount to: whether the disk is full or fails, and the
    /// delay.
    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = lock(&self.state.table);
        let outcome = change(&mut table);
        let has = |fault| table.faults.values().any(|active| *active == fault);
        self.state.is_full.store(has(DiskFault::Full), Ordering::Relaxed);
        self.state.is_failing.store(has(DiskFault::Failing), Ordering::Relaxed);
        let delays = table.faults.values().filter_map(|fault| match fault {
            DiskFault::Slow(by) => Some(by.as_micros()),
            DiskFault::Full | DiskFault::Failing => None,
        });
        let delay = delays.fold(0, u128::saturating_add);
        self.state.delay_micros.store(u64::try_from(delay).unwrap_or(u64::MAX), Ordering::Relaxed);
        outcome
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
        let micros = self.state.delay_micros.load(Ordering::Relaxed);
        if micros != 0 {
            sleep(Duration::from_micros(micros / 2)).await;
        }
    }

    /// Returns the error with which the disk refuses a commit now: [`Error::Io`] if it fails, otherwise [`Error::Full`]
    /// if it is full and the jobs do not free room.
    fn check(&self) -> Result<(), Error> {
        if self.state.is_failing.load(Ordering::Relaxed) {
            return Err(Error::Io("the device reports an error".into()));
        }
        let refuses = self.state.is_full.load(Ordering::Relaxed) && !self.frees_room;
        if refuses { Err(Error::Full) } else { Ok(()) }
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
