//! Locks that a panic elsewhere does not make unusable, a table behind one, and work that does not hold up other tasks.

mod shared_table;

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{block_in_place, yield_now};
use tokio::time::Instant;

pub(crate) use shared_table::SharedTable;

/// Locks a mutex whose value is whole between any two statements of its users, so that a panic leaves nothing half done.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    ignore_poison(mutex.lock())
}

/// The same for other ways to get such a value, as after a wait for a condition.
pub(crate) fn ignore_poison<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// Does work that takes a time for each of these bytes. If they are many, the other tasks of this thread run on another
/// one meanwhile; in virtual time there is only one.
pub(crate) fn beside_others<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let is_shared = || Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if MANY_BYTES < bytes && is_shared() { block_in_place(work) } else { work() }
}

/// More bytes than are worked on within a few milliseconds.
const MANY_BYTES: usize = 256 * 1024;

/// How long a task may keep its thread while others wait.
const MAX_TURN: Duration = Duration::from_millis(2);

/// The turn of a task whose work consists of many small steps. In virtual time, no step takes any.
pub(crate) struct Turn(Instant);

impl Turn {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Lets the other tasks run if this one had its turn.
    pub(crate) async fn pass_on(&mut self) {
        if MAX_TURN <= self.0.elapsed() {
            yield_now().await;
            *self = Self::begin();
        }
    }
}
