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

pub use reply::{InvalidReply, Reply};

use serde::{Deserialize, Serialize};

/// What becomes of a message that holds a CR or LF that is no CR LF. RFC 5321 §2.3.8 forbids them; servers that
/// disagree about them let a second message be smuggled inside the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BareLineEnds {
    /// It is refused as a whole.
    #[default]
    Refuse,
    /// Each is made a CR LF, and the message goes on.
    Normalize,
    /// It goes through as it is. Even so, only CR LF ends a line.
    Keep,
}
