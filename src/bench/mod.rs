//! How fast servers take mail, ours or any other: many letters over a few connections, and what they cost the server.
//!
//! ```text
//!   Letters ─▶ Load ══SMTP══▶ a server, in a process of its own (Served, or somebody else's)
//!               │                │                     ╎
//!     how long each took    its CPU time, its memory   ╎ the chain behind it
//!               ▼                ▼                     ▼
//!            Figures  ◀────── Processes           a mailbox, which Arrivals watches
//! ```
//!
//! The load is its own process, so that what the server costs can be read apart.

mod arrivals;
mod letters;
mod line;
mod load;
mod processes;
mod served;

use serde::Serialize;

use crate::{mua, net};

pub use arrivals::Arrivals;
pub use letters::Letters;
pub use load::{Load, Sent};
pub use processes::{Processes, Usage};
pub use served::{FRONT, Served};

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or hung up.
    #[error("the server under load: {0}")]
    Net(#[from] net::Error),
    /// It does not take the letters.
    #[error("the server under load does not take the letters: {0}")]
    Refused(String),
    /// The mailbox cannot be watched.
    #[error(transparent)]
    Mailbox(#[from] mua::Error),
    /// Letters were accepted and did not come.
    #[error("{missing} of {sent} letters did not arrive in time")]
    Missing {
        /// So many.
        missing: u64,
        /// Of so many.
        sent: u64,
    },
    /// Our own server does not start.
    #[error("the server to be measured: {0}")]
    Served(String),
}

/// What one measurement gave.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// Octets of each letter.
    pub octets: usize,
    /// Connections at once.
    pub connections: usize,
    /// Letters accepted, or in the mailbox where the chain was measured.
    pub letters: u64,
    /// For how long.
    pub seconds: f64,
    /// Letters a second.
    pub per_second: f64,
    /// CPU time of the server for each, in milliseconds, as far as that can be known.
    pub cpu_ms: Option<f64>,
    /// Half of the letters were accepted in so many milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
}

impl Figures {
    /// What a load came to, with the CPU time it cost.
    pub fn of(load: &Load, sent: &Sent, seconds: f64, cpu: Option<std::time::Duration>) -> Self {
        let letters = sent.letters();
        let each = |cpu: std::time::Duration| cpu.as_secs_f64() * 1e3 / letters.max(1) as f64;
        Self {
            octets: load.letters.octets(),
            connections: load.connections,
            letters,
            seconds,
            per_second: letters as f64 / seconds.max(f64::MIN_POSITIVE),
            cpu_ms: cpu.map(each),
            p50_ms: sent.percentile_ms(0.50),
            p99_ms: sent.percentile_ms(0.99),
        }
    }
}

#[cfg(test)]
mod tests;
