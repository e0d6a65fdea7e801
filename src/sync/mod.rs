//! Locks that a panic elsewhere does not make unusable, a table behind one, and work that does not hold up other tasks.

mod shared_table;

use std::cell::Cell;
use std::sync::{Condvar, LockResult, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{block_in_place, yield_now};
use tokio::time::Instant;

pub(crate) use shared_table::SharedTable;

/// Locks a mutex, also after a panic while it was held. For a value that is whole between any two statements of its
/// users, so that a panic leaves nothing half done.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    ignore_poison(mutex.lock())
}

/// The value of a lock or of a wait for a condition, also after a panic while the lock was held.
pub(crate) fn ignore_poison<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// Does work on this many bytes and returns its result. From 256 KiB on, the other tasks of this thread run on another
/// one meanwhile; from 4 MiB on, it may first block until other such work has ended. In virtual time, where there is
/// only one thread, and outside of a runtime it is just done.
pub(crate) fn beside_others<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let is_shared = || Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    match bytes {
        HUGE_BYTES.. if is_shared() => block_in_place(|| HUGE_WORK.run(work)),
        MANY_BYTES.. if is_shared() => block_in_place(work),
        _ => work(),
    }
}

/// So many bytes are not worked on within a few milliseconds.
const MANY_BYTES: usize = 256 * 1024;
/// So many take the better part of a second. Few at a time are worked on, so that cores are left for the others.
const HUGE_BYTES: usize = 4 * 1024 * 1024;
static HUGE_WORK: Few = Few { running: Mutex::new(0), ended: Condvar::new() };

thread_local! {
    /// The work of this thread is one of the few.
    static IS_ONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs few at a time, and lets the others wait.
struct Few {
    running: Mutex<usize>,
    ended: Condvar,
}

impl Few {
    /// Does the work and returns its result; blocks before it while as many threads as half of the cores, rounded up,
    /// do such work. Work within such work does not wait.
    fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        if IS_ONE.get() {
            return work();
        }
        let max = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let running = self.ended.wait_while(lock(&self.running), |running| max <= *running);
        *ignore_poison(running) += 1;
        IS_ONE.set(true);
        let _one = One(self);
        work()
    }
}

/// Ends with the work, also if that panics.
struct One<'a>(&'a Few);

impl Drop for One<'_> {
    /// Lets another thread do such work.
    fn drop(&mut self) {
        IS_ONE.set(false);
        *lock(&self.0.running) -= 1;
        self.0.ended.notify_one();
    }
}

/// How long a task may keep its thread while others wait.
const MAX_TURN: Duration = Duration::from_millis(1);

/// The turn of a task whose work consists of many small steps. In virtual time, no step takes any.
pub(crate) struct Turn(Instant);

impl Turn {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Lets the other tasks run, and begins a new turn, if this one has lasted [`MAX_TURN`].
    pub(crate) async fn pass_on(&mut self) {
        if MAX_TURN <= self.0.elapsed() {
            yield_now().await;
            *self = Self::begin();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn huge_work_is_done_by_few_at_a_time() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        let max = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let work = move || {
            assert!(RUNNING.fetch_add(1, Ordering::SeqCst) < max);
            // What is part of it does not wait for it.
            beside_others(HUGE_BYTES, || (0..1_000_000).for_each(|number| _ = std::hint::black_box(number)));
            RUNNING.fetch_sub(1, Ordering::SeqCst);
        };
        let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(async move { beside_others(HUGE_BYTES, work) })).collect();
        // Less is done meanwhile.
        beside_others(MANY_BYTES, || ());
        for task in tasks {
            task.await.unwrap();
        }
        assert!(tokio::spawn(async { beside_others(HUGE_BYTES, || panic!("one that fails")) }).await.is_err());
        assert_eq!(*lock(&HUGE_WORK.running), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn turn_in_virtual_time_does_not_end() {
        let mut turn = Turn::begin();
        for _ in 0..10_000 {
            assert!(futures_util::poll!(std::pin::pin!(turn.pass_on())).is_ready());
        }
    }
}
