//! Busy polling: a short wait for the next request of a prompt peer without putting the thread to sleep.
//!
//! Waking a sleeping thread takes tens of microseconds, in a virtual machine more than most commands take. So when the
//! last request arrived soon after our reply, the connection polls for the next one for a short time before the task
//! sleeps. Only one connection polls at a time, other tasks of the thread run meanwhile, and a machine with one core
//! never polls, since the peer may need that core.

use std::num::NonZero;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::Instant;

/// A peer whose request arrived within this time of our last reply is polled for this long before the task sleeps.
const POLL_DURATION: Duration = Duration::from_micros(100);
/// The same for the only active peer. It is longer, since the peer itself may sleep while it waits for a commit.
const SOLE_PEER_POLL_DURATION: Duration = Duration::from_micros(200);

static IS_TAKEN: AtomicBool = AtomicBool::new(false);
static ACTIVITY_COUNT: AtomicU64 = AtomicU64::new(0);
static HAS_CORES: LazyLock<bool> = LazyLock::new(|| 1 < available_parallelism().map_or(1, NonZero::get));

/// When a prompt peer last sent something.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerActivity {
    at: Instant,
    number: u64,
}

impl PeerActivity {
    /// Records that a peer sent something after this wait; `None` if it is not prompt.
    pub(super) fn of(at: Instant, waited: Duration) -> Option<Self> {
        let number = ACTIVITY_COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        (waited < SOLE_PEER_POLL_DURATION).then_some(Self { at, number })
    }

    /// How long to poll for the same peer, from now on.
    pub(super) fn poll_duration(self, now: Instant) -> Duration {
        match ACTIVITY_COUNT.load(Ordering::Relaxed) == self.number {
            // No other peer has sent anything since.
            true => SOLE_PEER_POLL_DURATION,
            false if now - self.at < POLL_DURATION => POLL_DURATION,
            false => Duration::ZERO,
        }
    }
}

/// The permit to busy-poll, of which there is one. It is returned when it is dropped.
pub(super) struct BusyPollPermit(());

impl BusyPollPermit {
    /// Takes the permit, if no other connection holds it.
    pub(super) fn take() -> Option<Self> {
        (*HAS_CORES && !IS_TAKEN.swap(true, Ordering::Acquire)).then_some(Self(()))
    }
}

impl Drop for BusyPollPermit {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}
