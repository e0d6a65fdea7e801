//! A mail world in virtual time: a scenario says who writes to whom and what goes wrong when; the report says what came
//! of every message. The actors are those of the live world; only the wire, the disk and the clock are simulated.
//!
//! ```text
//!  file ─▶ Scenario ─▶ stage: a runtime with a paused clock
//!                        ├─ traffic ─▶ outbox ─▶ the providers, over SMTP
//!                        ├─ readers: POP3, IMAP, IDLE
//!                        ├─ timeline: faults come and go
//!                        └─ tally: hears every event
//!                      judge: what is in the store against what was promised; expect ─▶ Report
//! ```

mod course;
mod expect;
mod file;
mod html;
mod judge;
mod junit;
mod outbox;
mod plot;
mod providers;
mod readers;
mod report;
mod scenario;
mod stage;
mod storm;
mod tally;
mod timeline;
mod traffic;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::host;

pub use judge::{Fates, Violation};
pub use report::{Bucket, Pace, Queue, Report, Took, Verdict, Worst, human};
pub use scenario::{Scenario, Unsound};
pub use stage::play;
pub use timeline::Happened;

/// Why a scenario could not be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world does not start.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// There is no runtime to play it on.
    #[error("no runtime for the simulation: {0}")]
    Runtime(String),
    /// The trace cannot be written.
    #[error("the trace cannot be written: {0}")]
    Trace(String),
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Virtual time since the start.
    pub passed: Duration,
    /// Messages written.
    pub written: usize,
    /// Copies on their way.
    pub open: u64,
    /// Messages that wait in queues.
    pub queued: usize,
    /// Copies that arrived.
    pub delivered: u64,
    /// Copies that were given up.
    pub bounced: u64,
    /// Times that a host took responsibility for a message.
    pub hops: u64,
}

/// Where every event goes as a line of JSON. Cheap to clone.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Writing>>);

struct Writing {
    out: Box<dyn Write + Send>,
    /// The first error.
    outcome: io::Result<()>,
}

impl Trace {
    /// Into a file, for instance.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Writing { out: Box::new(out), outcome: Ok(()) })))
    }

    fn write(&self, line: &[u8]) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.outcome.is_ok() {
            inner.outcome = inner.out.write_all(line);
        }
    }

    /// The first error of all writing.
    fn flush(&self) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut inner.outcome, Ok(()))?;
        inner.out.flush()
    }
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
