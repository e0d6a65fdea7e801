//! Simulation of a mail world in virtual time. A scenario defines the traffic and the faults; the report gives the
//! outcome of every message. The code that runs is that of the live world; only network, disk and clock are simulated.
//!
//! ```text
//!  file ─▶ Scenario ─▶ runner: a runtime with a paused clock
//!                        ├─ traffic ─▶ senders ─▶ the providers, over SMTP
//!                        ├─ readers: POP3, IMAP, IDLE
//!                        ├─ timeline: injects and clears faults
//!                        └─ metrics: receives every event
//!                      invariants, expect ─▶ Report
//! ```

mod expect;
mod file;
mod invariants;
mod junit;
mod metrics;
mod progress;
mod providers;
mod random_scenario;
mod readers;
mod report;
mod runner;
mod scenario;
mod senders;
mod timeline;
mod traffic;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::host;
use crate::sync::lock;

pub use invariants::{OutcomeCounts, Violation};
pub use report::{Bucket, Latency, Queue, Report, SimulatedHost, SlowestMessage, Throughput, Verdict, human};
pub use runner::play;
pub use scenario::{InvalidScenario, Scenario};
pub use timeline::FaultInterval;

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world could not be started.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The runtime could not be built.
    #[error("cannot build the simulation's runtime: {0}")]
    Runtime(String),
    /// The trace could not be written.
    #[error("cannot write the trace: {0}")]
    Trace(String),
}

/// Progress of a run.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Virtual time since the start.
    pub passed: Duration,
    /// Messages written.
    pub written: usize,
    /// Copies that have neither arrived nor failed.
    pub open: u64,
    /// Messages in queues.
    pub queued: usize,
    /// Copies delivered to a mailbox.
    pub delivered: u64,
    /// Copies that failed for good.
    pub bounced: u64,
    /// Number of times a host accepted responsibility for a message.
    pub hops: u64,
}

/// Sink that writes every event as a line of JSON. Cheap to clone.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<TraceWriter>>);

struct TraceWriter {
    out: Box<dyn Write + Send>,
    /// The first write error.
    outcome: io::Result<()>,
}

impl Trace {
    /// Creates a trace that writes to `out`, for example a file.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(TraceWriter { out: Box::new(out), outcome: Ok(()) })))
    }

    /// Writes a line, which has its line end; nothing after the first error, which `flush` returns.
    fn write(&self, line: &[u8]) {
        let mut inner = lock(&self.0);
        if inner.outcome.is_ok() {
            inner.outcome = inner.out.write_all(line);
        }
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// The first error of any write so far.
    fn flush(&self) -> io::Result<()> {
        let mut inner = lock(&self.0);
        std::mem::replace(&mut inner.outcome, Ok(()))?;
        inner.out.flush()
    }
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
