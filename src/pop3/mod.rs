//! POP3 (RFC 1939), both ends, without I/O.
//!
//! ```text
//!              USER/PASS or AUTH            QUIT
//! AUTHORIZATION -------------> TRANSACTION -------> UPDATE
//!  who is it?                   the maildrop is      what was marked
//!                               locked and frozen    is deleted
//! ```
//!
//! [`server::Session`] and [`client::Session`] are [`crate::net::Machine`]s. A message body passes through both as
//! slices of shared buffers; memory a connection needs beside them is bounded by one line and one chunk.

pub mod client;
pub mod fuzzing;
mod gather;
mod lines;
mod outgoing;

pub mod server;

use std::time::Duration;

/// The least that an autologout timer may be. RFC 1939 §3.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
