//! The TCP and UDP core under everything that talks, servers and clients alike.
//!
//! ```text
//!   actor:  answers events                      mta, mda, mua, demo, …
//!      |
//!   Conn:   one loop for every protocol         conn.rs
//!      |  \
//!      |   Machine: bytes in, what to do next   machine.rs   (smtp, pop3, imap: no I/O)
//!      |
//!   Stream: plain or TLS, on a link with faults stream.rs, tls.rs, faults.rs
//!      |
//!   Interface: listen, connect, UDP             interface.rs
//!      |              \               \
//!   real sockets    real sockets     in-process wire, virtual time
//!   as they are     behind the       memory.rs
//!                   world's own
//!                   addresses: directory.rs
//! ```
//!
//! Nothing outside this room opens a socket.

mod alarm;
mod awake;
mod conn;
mod directory;
mod error;
mod faults;
mod flaws;
pub mod fuzzing;
mod interface;
mod keys;
mod machine;
mod memory;
mod serve;
mod slow;
mod stream;
mod tls;
mod unsent;

pub use conn::Conn;
pub use error::Error;
pub use faults::{Faults, Link, LinkFault, RuleId};
pub use flaws::{Flaw, Flaws};
pub use interface::{Announced, Datagrams, Interface, Listener, Net, foreign_port};
pub use machine::{Machine, Next};
pub use memory::Latency;
pub use serve::{Door, Limits, Service, serve, serve_until};
pub use stream::Stream;
pub use tls::{Authority, Identity, Trust};
pub use tokio_util::sync::CancellationToken as Stop;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
