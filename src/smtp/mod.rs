//! SMTP (RFC 5321), submission (RFC 6409) and LMTP (RFC 2033), both ends, without I/O.
//!
//! ```text
//!  client::Session   EHLO · MAIL · RCPT · DATA or BDAT · message   server::Session
//!  send() ─▶ Sent    ───────────────────────────────────────────▶  Hello · Mail · Rcpt · Message
//!                    ◀────────────── Reply ─────────────────────   ◀─ answer()
//! ```
//!
//! [`server::Session`] and [`client::Session`] are [machines](crate::net::Machine): bytes and answers in, replies and
//! events out. [`Reply`] is what a server says; the words of the client are in `command`, the message's way through
//! dot stuffing in `incoming` and `outgoing`.

pub mod client;
mod command;
pub mod fuzzing;
mod incoming;
mod known;
mod lines;
mod outgoing;
mod parameters;
mod path;
mod reply;
pub mod server;
pub mod whims;
mod xtext;

#[cfg(test)]
mod pair;

pub use crate::mail::BareLineEnds;
pub use reply::{InvalidReply, Replies, Reply};
