//! Measures how fast a server accepts mail, ours or any other, and what that costs the server.
//!
//! ```text
//!   Messages ─▶ Load ══SMTP══▶ a server in its own process (Served, or another one)
//!               │                │                     ╎
//!     time per message      CPU time and memory        ╎ the MTAs behind it
//!               ▼                ▼                     ▼
//!            Figures  ◀────── Processes           a mailbox, polled by ArrivalWatcher
//! ```
//!
//! The load runs in a process of its own, so that the cost of the server can be measured separately.

mod arrivals;
mod load;
mod load_connection;
mod messages;
mod processes;
mod served;

use serde::Serialize;

use crate::{mua, net};

pub use arrivals::ArrivalWatcher;
pub use load::{Load, Sent};
pub use messages::Messages;
pub use processes::{Processes, Usage};
pub use served::{FRONT, Served};

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or closed the connection.
    #[error("the server under load: {0}")]
    Net(#[from] net::Error),
    /// The server does not accept the messages.
    #[error("the server under load does not accept the messages: {0}")]
    Refused(String),
    /// The mailbox cannot be watched.
    #[error(transparent)]
    Mailbox(#[from] mua::Error),
    /// Messages were accepted, but did not arrive.
    #[error("{missing} of {sent} messages did not arrive in time")]
    Missing {
        /// The number of missing messages.
        missing: u64,
        /// The number of sent messages.
        sent: u64,
    },
    /// Our own server cannot be started.
    #[error("the measured server: {0}")]
    Served(String),
}

/// The result of one measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// Bytes of each message.
    pub message_bytes: usize,
    /// Concurrent connections.
    pub connections: usize,
    /// Messages accepted, or delivered to the mailbox if a chain was measured.
    pub messages: u64,
    /// Duration.
    pub seconds: f64,
    /// Messages a second.
    pub per_second: f64,
    /// CPU time of the server per message in milliseconds, if it is known.
    pub cpu_ms: Option<f64>,
    /// Median time to accept a message, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
}

impl Figures {
    /// Returns the figures of a load whose messages, `sent`, took `seconds` in all, until accepted or until arrived;
    /// `cpu` is the CPU time of the server for all of these, `None` if it is not known.
    pub fn of(load: &Load, sent: &Sent, seconds: f64, cpu: Option<std::time::Duration>) -> Self {
        let messages = sent.messages();
        let each = |cpu: std::time::Duration| cpu.as_secs_f64() * 1e3 / messages.max(1) as f64;
        Self {
            message_bytes: load.messages.bytes(),
            connections: load.connections,
            messages,
            seconds,
            per_second: messages as f64 / seconds.max(f64::MIN_POSITIVE),
            cpu_ms: cpu.map(each),
            p50_ms: sent.percentile_ms(0.50),
            p99_ms: sent.percentile_ms(0.99),
        }
    }
}

#[cfg(test)]
mod tests;
