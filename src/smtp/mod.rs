//! SMTP (RFC 5321), submission (RFC 6409) and LMTP (RFC 2033), both ends, without I/O.
//!
//! ```text
//!  client::Session   EHLO · MAIL · RCPT · DATA or BDAT · message   server::Session
//!  send() ─▶ Sent    ───────────────────────────────────────────▶  Hello · Mail · Rcpt · Message
//!                    ◀────────────── Reply ─────────────────────   ◀─ answer()
//! ```
//!
//! [`server::Session`] and [`client::Session`] are [machines](crate::net::Machine): bytes and answers in, replies and
//! events out. [`Reply`] is a server's reply, `command` parses and writes commands; `message_reader` and
//! `message_writer` undo and do dot stuffing.

pub mod client;
mod command;
pub mod fuzzing;
mod lines;
mod message_reader;
mod message_writer;
mod parameters;
mod path;
mod reply;
pub mod reply_faults;
pub mod server;
mod xtext;

#[cfg(test)]
mod pair;

pub use crate::mail::BareLineEnds;
pub use reply::{InvalidReply, Replies, Reply};
