//! The client's end: a [`Session`] says hello, then does what its owner asks for, one thing at a time.
//!
//! ```text
//!   event            the owner's turn
//!   Ready            starttls(), authenticate(), send() or quit(), knowing the offers()
//!   StartTls         the handshake, then encrypted()
//!   TlsRefused       go on in the clear with any of the above, or quit()
//!   LoginRefused     the same
//!   Sent             the next send(), or quit()
//!   Failed           nothing: the conversation is over
//! ```
//!
//! A message goes to all recipients of an envelope in one transaction, or in as many as the peer's [`Limits`] ask for;
//! the [`Outcome`] tells of each. What the peer cannot take by its own offers is refused here, at [`Stage::Offers`], as
//! the peer would.

mod limits;
mod login;
mod needs;
mod offers;
mod session;
#[cfg(test)]
mod tests;
mod transaction;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BareLineEnds, Reply};

pub use limits::Limits;
pub use offers::Offers;
pub use session::Session;

/// How a client behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What it calls itself: a domain or an address literal. RFC 5321 §4.1.1.1.
    pub hello: String,
    /// The peer delivers to mailboxes: LMTP, RFC 2033.
    pub lmtp: bool,
    /// How long the peer may take.
    pub patience: Patience,
    /// Printable ASCII without a comma, drawn anew for each session; without it SCRAM is not used.
    pub nonce: Option<String>,
    /// Send octets above 127 to peers that do not offer 8BITMIME, as many do. RFC 6152 §3 wants them converted or
    /// returned; we never convert.
    pub force_8bit: bool,
    /// What becomes of letters with a lone CR or LF.
    pub bare_line_ends: BareLineEnds,
    /// Keep a [record](Session::take_dialogue) of what both ends said.
    pub dialogue: bool,
}

/// How long to wait for the peer. RFC 5321 §4.5.3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the greeting. §4.5.3.2.1.
    pub greeting: Duration,
    /// For the reply to MAIL, and to all commands not named here. §4.5.3.2.2.
    pub command: Duration,
    /// For the reply to RCPT. §4.5.3.2.3.
    pub rcpt: Duration,
    /// For the reply to DATA. §4.5.3.2.4.
    pub data: Duration,
    /// For room to send a block of the message. §4.5.3.2.5.
    pub block: Duration,
    /// For the reply to the final dot. §4.5.3.2.6.
    pub dot: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            greeting: minutes(5),
            command: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            dot: minutes(10),
        }
    }
}

/// What the owner learns, and what is its turn then: see the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer waits for us: after its hello, after TLS, after a login.
    Ready,
    /// The peer is ready for the handshake.
    StartTls,
    /// The peer does not want TLS now.
    TlsRefused(Reply),
    /// The peer does not believe us, or knows no mechanism of ours (then the reply is our own).
    LoginRefused(Reply),
    /// A transaction is over.
    Sent(Outcome),
    /// The conversation is over before its time.
    Failed(Failure),
}

/// What became of a message, recipient by recipient, in the order of the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// One for each recipient.
    pub verdicts: Vec<Verdict>,
}

/// What became of a message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The peer took it upon itself. RFC 5321 §6.1.
    Accepted(Reply),
    /// It did not; transient or permanent as the reply says.
    Refused {
        /// Which command was refused.
        stage: Stage,
        /// What the peer said.
        reply: Reply,
    },
}

/// How far a conversation or transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The peer has not greeted.
    Greeting,
    /// EHLO, HELO or LHLO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Login,
    /// Nothing is under way, or QUIT.
    Rest,
    /// Refused by ourselves: the peer's offers do not suffice.
    Offers,
    /// MAIL, or RSET before it.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The message is on its way; its end is not.
    Message,
    /// The whole message is out, its end included: the peer may have taken it.
    Dot,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "hello",
            Self::StartTls => "STARTTLS",
            Self::Login => "AUTH",
            Self::Offers => "the peer's offers",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Message => "the message",
            Self::Dot => "the end of the message",
            Self::Rest => "rest",
        })
    }
}

/// Why a conversation ended before its time, and what is known about the transaction it was in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {stage}: {cause}")]
pub struct Failure {
    /// How far we were.
    pub stage: Stage,
    /// What happened.
    pub cause: Cause,
    /// For each recipient of the transaction what the peer had said for good; empty outside of transactions.
    pub verdicts: Vec<Option<Verdict>>,
}

impl Failure {
    /// Whether the peer may have taken the message without our reading it: another attempt may make a duplicate for
    /// the recipients without a verdict, none may lose it. RFC 1047.
    pub fn is_in_doubt(&self) -> bool {
        self.stage == Stage::Dot && !matches!(self.cause, Cause::Refused(_))
    }
}

/// What ended a conversation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The peer does not want to talk, or says 421. RFC 5321 §3.8.
    #[error("the peer said {0}")]
    Refused(Reply),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(&'static str),
    /// The peer hung up.
    #[error("the peer hung up")]
    HungUp,
    /// The connection is gone, or the peer was silent for too long; only the owner can know.
    #[error("the connection is lost")]
    Lost,
}
