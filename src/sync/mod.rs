//! Locks that a panic elsewhere does not make unusable, a table behind one, and work that does not hold up other tasks.

mod shared_table;

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

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
