//! Injected faults of a host's disk: full, failing, or slow. The hosts of a world share one store; each uses it with the
//! faults of its own disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::Error;

/// The faults of one host's disk; none by default. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct DiskFaults {
    state: Arc<State>,
    /// Whether the jobs free room, so that a full disk lets them pass.
    frees_room: bool,
}

#[derive(Debug, Default)]
struct State {
    is_full: AtomicBool,
    is_failing: AtomicBool,
    delay_micros: AtomicU64,
}

impl DiskFaults {
    /// Whether the disk refuses to store anything for lack of room.
    pub fn set_full(&self, is_full: bool) {
        self.state.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Whether the disk fails every write with an I/O error.
    pub fn set_failing(&self, is_failing: bool) {
        self.state.is_failing.store(is_failing, Ordering::Relaxed);
    }

    /// Makes every commit take longer by this: half of it before anything is durable, half of it after.
    pub fn set_delay(&self, by: Duration) {
        self.state.delay_micros.store(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The same faults for jobs that free room: a disk without any lets them pass.
    pub fn freeing(&self) -> Self {
        Self { frees_room: true, ..self.clone() }
    }

    pub(super) fn frees_room(&self) -> bool {
        self.frees_room
    }

    /// Runs a commit on a disk with these faults.
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

    fn check(&self) -> Result<(), Error> {
        if self.state.is_failing.load(Ordering::Relaxed) {
            return Err(Error::Io("the device reports an error".into()));
        }
        let refuses = self.state.is_full.load(Ordering::Relaxed) && !self.frees_room;
        if refuses { Err(Error::Full) } else { Ok(()) }
    }
}
