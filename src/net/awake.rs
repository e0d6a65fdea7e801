//! Staying awake for a peer that is prompt.
//!
//! A processor that has gone to sleep takes tens of microseconds to be woken, in a virtual machine more than most
//! commands need. So a connection whose peer spoke soon after the last reply looks for its next words for a moment before
//! it lets its thread sleep. One connection at a time does, other work of the thread goes on meanwhile, and a machine with
//! one core never does: the peer may need it.

use std::num::NonZero;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

/// A peer that speaks within this time is prompt; it is looked for as long.
pub(super) const PROMPT: Duration = Duration::from_micros(200);

static IS_TAKEN: AtomicBool = AtomicBool::new(false);
static HAS_CORES: LazyLock<bool> = LazyLock::new(|| 1 < available_parallelism().map_or(1, NonZero::get));

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
