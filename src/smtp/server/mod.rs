//! The server's end: a [`Session`] reads commands and hands what must be decided to its owner as [`Event`]s.
//!
//! ```text
//!   event                     the owner answers with            and the client reads
//!   Hello                     answer(reply)                     what is offered, or that reply
//!   StartTls                  the handshake, then encrypted()   (220 is out already)
//!   Who(user)                 secret(password)                  235 or 535
//!   Mail · Rcpt · Verify      answer(reply)                     that reply; 2yz takes the address
//!   Data                      answer(reply)                     354 or, behind BDAT, nothing yet; or that reply
//!   Message                   answer(reply)                     that reply: 250 only once it is durable
//!   Message by LMTP           answer_each(replies)              one reply a recipient
//! ```
//!
//! What RFCs decide alone (syntax, order, sizes, line ends) never reaches the owner.

mod commands;
mod content;
mod login;
mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::BareLineEnds;
pub use super::known::Known;
use crate::mail::{Envelope, Letter, Recipient};

pub use session::Session;

/// How a server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What it calls itself. RFC 5321 §4.3.1.
    pub hostname: String,
    /// Which of the three protocols it speaks.
    pub protocol: Protocol,
    /// The largest message it takes, in octets. RFC 1870.
    pub size_max: u64,
    /// Recipients of one message; RFC 5321 §4.5.3.1.8 asks for at least 100.
    pub recipients_max: usize,
    /// Messages on one connection, `None` for any number. RFC 9422 §4.1.
    pub transactions_max: Option<usize>,
    /// Domains of recipients on one connection, `None` for any number. RFC 9422 §4.3.
    pub recipient_domains_max: Option<usize>,
    /// Mistakes of the client (not refusals by the owner) before it is sent away with 421.
    pub errors_max: usize,
    /// Logins that may fail before the client is sent away with 421.
    pub logins_max: usize,
    /// Whether the connection is encrypted or may become so.
    pub tls: Tls,
    /// Whether users may or must log in.
    pub auth: Auth,
    /// Users may log in on a connection without TLS.
    pub plain_login: bool,
    /// What becomes of messages with a lone CR or LF.
    pub bare_line_ends: BareLineEnds,
    /// How long the client may be silent. RFC 5321 §4.5.3.2.7: at least 5 min.
    pub patience: Duration,
    /// How long the client may keep us waiting in all, from its greeting or its last message to the end of the next:
    /// who sends an octet now and then is never silent, and still goes.
    pub message_patience: Duration,
    /// Keep a [record](Session::take_dialogue) of what both ends said.
    pub dialogue: bool,
    /// Large contents at hand: one that comes again is not kept twice.
    pub known: Known,
}

impl Default for Config {
    /// A server for anyone, 25 MiB a message, no TLS, no login.
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            protocol: Protocol::Smtp,
            size_max: 25 << 20,
            recipients_max: 1000,
            transactions_max: None,
            recipient_domains_max: None,
            errors_max: 20,
            logins_max: 5,
            tls: Tls::Absent,
            auth: Auth::Off,
            plain_login: false,
            bare_line_ends: BareLineEnds::Refuse,
            patience: Duration::from_secs(300),
            message_patience: Duration::from_secs(3600),
            dialogue: false,
            known: Known::default(),
        }
    }
}

/// The protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// From any host to any other. RFC 5321.
    Smtp,
    /// From a user to the first host. RFC 6409.
    Submission,
    /// To the mailboxes, one reply a recipient. RFC 2033.
    Lmtp,
}

/// The encryption of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// There is none and will be none.
    Absent,
    /// The client may ask for it by STARTTLS. RFC 3207.
    Offered,
    /// It is there, from the start (RFC 8314 §3) or by now; the text says which version and cipher.
    Active(String),
}

/// Logging in. RFC 4954.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not known here.
    Off,
    /// Who wants to may.
    Offered,
    /// No mail without. RFC 6409 §4.3.
    Required,
}

/// What the owner must decide, know or store. Each is answered by one call, see the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client named itself.
    Hello {
        /// As given; nothing checked it.
        name: String,
        /// By EHLO or LHLO, not HELO.
        esmtp: bool,
    },
    /// The client reads `220` and begins the handshake.
    StartTls,
    /// Somebody claims to be this user.
    Who(String),
    /// `MAIL FROM`.
    Mail {
        /// Without recipients yet.
        envelope: Envelope,
        /// How large the client says the message is. RFC 1870 §6.
        size: Option<u64>,
    },
    /// `RCPT TO`; what came before it is in [`Session::envelope`].
    Rcpt(Recipient),
    /// `DATA`, or the first `BDAT` of a message; for what there is [`Session::envelope`].
    Data,
    /// A message that is whole, with its accepted recipients.
    Message {
        /// Who gets it.
        envelope: Envelope,
        /// The message, dot stuffing undone.
        letter: Letter,
    },
    /// `VRFY`.
    Verify(String),
}
