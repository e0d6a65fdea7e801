//! The world's zones, the server that answers from them, and the resolver that asks. RFC 1034, 1035.
//!
//! ```text
//!   Record ──> Zones ──> answer() ──> server: UDP and TCP
//!   (plain data) (a tree of names)        │
//!                                         │ net
//!   mx(), addresses() <── cache <── Resolver: asks, tries again, falls back to TCP
//! ```
//!
//! Everything but the server and the resolver is without I/O. The wire format is hickory's; no type of it is public.

mod answer;
mod cache;
mod declared;
mod moods;
mod question;
mod resolver;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod zone;

pub use answer::Transport;
pub use moods::{Mood, Moods};
pub use resolver::{Exchange, LookupError, Mx, Resolver};
pub use server::Server;
pub use zone::{Data, InvalidZone, Record, Zones};
