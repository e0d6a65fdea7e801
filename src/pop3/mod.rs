//! POP3 (RFC 1939), both ends, without I/O.
//!
//! ```text
//!              USER/PASS or AUTH            QUIT
//! AUTHORIZATION -------------> TRANSACTION -------> UPDATE
//!  login                        the maildrop is      marked messages
//!                               locked               are deleted
//! ```
//!
//! [`server::Session`] and [`client::Session`] are [`crate::net::Machine`]s. A message body passes through both as
//! slices of shared buffers; a connection's other memory is bounded by one line and one chunk.

pub mod client;
pub mod fuzzing;
mod lines;
mod multiline;
mod output_buffer;

pub mod server;

use std::time::Duration;

/// The minimum of an autologout timer. RFC 1939 §3.
const AUTOLOGOUT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
