//! Staying awake for a peer that is prompt.
//!
//! A processor that has gone to sleep takes tens of microseconds to be woken, in a virtual machine more than most
//! commands need. So a connection whose peer spoke soon after the last reply looks for its next words for a moment before
//! it lets its thread sleep. One connection at a time does, other work of the thread goes on meanwhile, and a machine with
//! one core never does: the peer may need it.

use std::num::NonZero;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::Instant;

/// Who was answered within this time is quick, and so is who speaks within it.
const QUICK: Duration = Duration::from_micros(100);
/// Who is alone is looked for as long: a commit, behind which it has gone to sleep, too, is worth more than a command.
const ALONE: Duration = Duration::from_micros(200);

static IS_TAKEN: AtomicBool = AtomicBool::new(false);
static TURNS: AtomicU64 = AtomicU64::new(0);
static HAS_CORES: LazyLock<bool> = LazyLock::new(|| 1 < available_parallelism().map_or(1, NonZero::get));

/// When a peer was heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    at: Instant,
    number: u64,
}

impl Turn {
    /// A peer is heard, after it was waited for so long; `None` if it is not prompt.
    pub(super) fn of(at: Instant, waited: Duration) -> Option<Self> {
        let number = TURNS.fetch_add(1, Ordering::Relaxed) + 1;
        (waited < ALONE).then_some(Self { at, number })
    }

    /// How long it is worth to stay awake for the same peer, from now on.
    pub(super) fn patience(self, now: Instant) -> Duration {
        match TURNS.load(Ordering::Relaxed) == self.number {
            // Nobody else has spoken since.
            true => ALONE,
            false if now - self.at < QUICK => QUICK,
            false => Duration::ZERO,
        }
    }
}

/// The leave to stay awake, until it is dropped.
pub(super) struct Awake(());

impl Awake {
    /// Takes it, if no other connection has it.
    pub(super) fn take() -> Option<Self> {
        (*HAS_CORES && !IS_TAKEN.swap(true, Ordering::Acquire)).then_some(Self(()))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}
