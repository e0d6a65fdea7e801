//! The world's zones, the name server that answers from them, and the resolver. RFC 1034, 1035.
//!
//! ```text
//!   Record ──> Zones ──> faults ────> server: UDP and TCP
//!   (plain data) (a tree of names)        │
//!                                         │ net
//!   mx(), addresses() <── cache <── Resolver: queries, retries, falls back to TCP
//! ```
//!
//! Only the server and the resolver do I/O. The wire format is implemented by hickory, none of whose types is public.

mod answer;
mod cache;
mod faults;
mod question;
mod resolver;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod world_zones;
mod zone;

pub use answer::Transport;
pub use faults::{DnsFault, DnsFaults, FaultyZones};
pub use resolver::{Exchange, LookupError, Mx, Resolver};
pub use server::{Answer, Answers, Server};
pub use zone::{Data, InvalidZone, Record, Zones};
