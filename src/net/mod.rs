//! TCP, UDP and TLS for all servers and clients.
//!
//! ```text
//!   handler: answers events                     mta, mda, mua, demo, …
//!      |
//!   Conn:   drives a protocol session           conn.rs
//!      |  \
//!      |   Machine: bytes in, next step out     machine.rs   (smtp, pop3, imap: no I/O)
//!      |
//!   Stream: plain or TLS, on a link with faults stream.rs, tls*.rs, link_faults.rs
//!      |
//!   Interface: listen, connect, UDP             interface.rs, listener.rs, datagrams.rs, public_port.rs
//!      |              \               \
//!   real sockets    real sockets     in-process network,
//!   as they are     behind the       virtual time:
//!                   addresses of     memory.rs
//!                   a world: address_map.rs
//! ```
//!
//! Nothing outside this module opens a socket.

mod address_map;
mod authority;
mod budget;
mod close;
mod conn;
mod datagrams;
mod deadline;
mod error;
mod foreign;
pub mod fuzzing;
mod interface;
mod lifetime;
mod link_delay;
mod link_faults;
mod link_output;
mod listener;
mod machine;
mod memory;
mod public_port;
mod serve;
mod simulated_tls;
mod stream;
mod tls;
mod tls_acceptor;
mod tls_faults;
mod trust;
mod write_buffer;

pub use authority::Authority;
pub use budget::{UploadBudget, UploadShare};
pub(crate) use close::LINGER_TIMEOUT;
pub use conn::Conn;
pub use datagrams::Datagrams;
pub use error::Error;
pub use foreign::is_http_request;
pub use interface::{CONNECT_TIMEOUT, ExternalRegistration, Interface, Net, external_listener};
pub use lifetime::Lifetime;
pub use link_faults::{Link, LinkEnd, LinkFault, LinkFaultId, LinkFaults};
pub use listener::Listener;
pub use machine::{Machine, Next};
pub use memory::Latency;
pub use public_port::PublicPort;
pub use serve::{Limits, ServerConfig, Service, serve, serve_until};
pub use stream::Stream;
pub use tls::Identity;
pub use tls_acceptor::TlsAcceptor;
pub use tls_faults::{TlsFault, TlsFaults};
pub use tokio_util::sync::CancellationToken as Stop;
pub use trust::Trust;

#[cfg(test)]
mod link_fault_tests;
#[cfg(test)]
mod tests;
