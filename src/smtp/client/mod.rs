//! The client: a [`Session`] sends EHLO, then executes the requests of its owner, one at a time.
//!
//! ```text
//!   event            what the owner may call next
//!   Ready            starttls(), authenticate(), send() or quit(), knowing the extensions()
//!   StartTls         the handshake, then encrypted()
//!   TlsRefused       continue without TLS with any of the above, or quit()
//!   LoginRefused     the same
//!   NoMechanism      the same
//!   Sent             the next send(), or quit()
//!   Failed           nothing: the session is over
//! ```
//!
//! A message goes to all recipients of an envelope in one transaction, or in as many as the peer's [`Limits`] ask for;
//! the [`Outcome`] has the result for each recipient. What the peer does not support according to its EHLO reply is
//! not sent: [`Verdict::NotSent`] is the decision of the client, and quotes no reply.

mod extensions;
mod limits;
mod login;
mod requirements;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod waits;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BareLineEnds, Reply};
use crate::world::Timeouts;

pub use extensions::Extensions;
pub use limits::Limits;
pub use session::Session;
pub use waits::Waits;

/// Configuration of a client session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The client's name, a domain or an address literal. RFC 5321 §4.1.1.1.
    pub hello: String,
    /// Use LMTP. RFC 2033.
    pub lmtp: bool,
    /// Timeouts for the peer's replies.
    pub timeout: Timeouts,
    /// Printable ASCII without a comma, random for each session; without it SCRAM is not used.
    pub nonce: Option<String>,
    /// Send bytes above 127 to peers without 8BITMIME, as many clients do. RFC 6152 §3 asks to convert or return such
    /// messages; this client never converts.
    pub force_8bit: bool,
    /// How to treat messages with a lone CR or LF.
    pub bare_line_ends: BareLineEnds,
    /// Record a [transcript](Session::take_transcript).
    pub transcript: bool,
}

/// Events for the owner; the [module](self) lists what it may call after each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session is ready for a request: after EHLO, after TLS, after a login.
    Ready,
    /// The peer is ready for the handshake.
    StartTls,
    /// The peer refused STARTTLS.
    TlsRefused(Reply),
    /// The peer refused the login.
    LoginRefused(Reply),
    /// The peer supports none of the mechanisms of this client, so that no login was tried.
    NoMechanism,
    /// A transaction is over.
    Sent(Outcome),
    /// The session ended early.
    Failed(Failure),
}

/// The result of a message for each recipient, in the order of the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// One for each recipient.
    pub verdicts: Vec<Verdict>,
}

/// The result of a message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The peer accepted responsibility. RFC 5321 §6.1.
    Accepted(Reply),
    /// The message was refused; transient or permanent as the reply says.
    Refused {
        /// Which command was refused.
        stage: Stage,
        /// The peer's reply.
        reply: Reply,
    },
    /// The client did not send the message: the peer does not support what that requires.
    NotSent(NotSent),
}

/// Why the client itself did not send a message to a recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct NotSent {
    /// The status. RFC 3463.
    pub status: (u8, u16, u16),
    /// The reason, which speaks of the peer as the next host.
    pub reason: String,
}

impl NotSent {
    fn new(status: (u8, u16, u16), reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// Whether another attempt cannot help: the class of the status is 5.
    pub fn is_permanent(&self) -> bool {
        self.status.0 == 5
    }
}

/// The progress of a session or transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Waits for the greeting.
    Greeting,
    /// EHLO, HELO or LHLO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Login,
    /// No transaction is in progress, or QUIT.
    #[serde(rename = "rest")]
    Idle,
    /// MAIL, or RSET before it.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The message is being sent.
    Message,
    /// The whole message has been sent, including its end: the peer may have accepted it.
    Dot,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "hello",
            Self::StartTls => "STARTTLS",
            Self::Login => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Message => "the message",
            Self::Dot => "the end of the message",
            Self::Idle => "idle",
        })
    }
}

/// Why a session ended early, and what is known about its transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {stage}: {cause}")]
pub struct Failure {
    /// The stage of the session.
    pub stage: Stage,
    /// The cause.
    pub cause: Cause,
    /// The final result for each recipient, if known; empty outside of transactions.
    pub verdicts: Vec<Option<Verdict>>,
}

impl Failure {
    /// Whether the peer may have accepted the message although its reply was lost: another attempt may make a duplicate
    /// for the recipients without a verdict, no further attempt may lose the message. RFC 1047.
    pub fn is_in_doubt(&self) -> bool {
        self.stage == Stage::Dot && !matches!(self.cause, Cause::Refused(_))
    }
}

/// What ended a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The peer refused the session, or sent 421. RFC 5321 §3.8.
    #[error("the peer said {0}")]
    Refused(Reply),
    /// The peer violated the protocol.
    #[error("the peer violated the protocol: {0}")]
    Violation(&'static str),
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// The connection was lost or timed out, as reported by the owner.
    #[error("the connection is lost")]
    Lost,
}
