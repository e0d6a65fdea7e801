//! The server: a [`Session`] parses commands and passes decisions to its owner as [`Event`]s.
//!
//! ```text
//!   event                     the owner answers with            and the client receives
//!   Hello                     answer(reply)                     the extensions, or that reply
//!   StartTls                  the handshake, then encrypted()   (220 has been sent)
//!   NeedSecret(user)          secret(password)                  235 or 535
//!   Mail · Rcpt · Verify      answer(reply)                     that reply; 2yz accepts the address
//!   Data                      answer(reply)                     354 or, after BDAT, nothing yet; or that reply
//!   Message                   answer(reply)                     that reply: 250 only once the message is durable
//!   Message by LMTP           answer_each(replies)              one reply per recipient
//! ```
//!
//! Syntax, command order, sizes and line ends are checked by the session itself. [`Server`] is the owner of all
//! sessions of a host; a [`Policy`] makes its decisions.

mod commands;
mod content;
mod driver;
mod login;
mod origin;
mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::BareLineEnds;
use crate::mail::{Envelope, Message, Recipient};
use crate::net::UploadBudget;

pub use driver::{Client, Policy, PublicHost, Resources, Server, storage_failure};
pub use origin::Origin;
pub use session::Session;

/// Configuration of a server session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server's host name. RFC 5321 §4.3.1.
    pub hostname: String,
    /// The protocol.
    pub protocol: Protocol,
    /// Maximum message size. RFC 1870.
    pub max_message_bytes: u64,
    /// Maximum number of recipients of a message; RFC 5321 §4.5.3.1.8 asks for at least 100.
    pub max_recipients: usize,
    /// Maximum number of messages on a connection, `None` for no limit. RFC 9422 §4.1.
    pub max_transactions: Option<usize>,
    /// Maximum number of recipient domains on a connection, `None` for no limit. RFC 9422 §4.3.
    pub max_recipient_domains: Option<usize>,
    /// Number of protocol errors (not refusals by the owner) in a row before the connection is closed with 421.
    pub max_errors: usize,
    /// Number of failed logins before the connection is closed with 421.
    pub max_failed_logins: usize,
    /// Whether the connection is encrypted or may become so.
    pub tls: Tls,
    /// Whether login is possible or required.
    pub auth: Auth,
    /// Whether any name and password is taken; only mechanisms that send the password are offered then.
    pub any_login: bool,
    /// Allow login without TLS.
    pub plain_login: bool,
    /// Whether STARTTLS is offered, if there is a certificate for it. RFC 3207.
    pub starttls: bool,
    /// How to treat messages with a lone CR or LF.
    pub bare_line_ends: BareLineEnds,
    /// How long the client may be silent. RFC 5321 §4.5.3.2.7 asks for at least 5 min.
    pub timeout: Duration,
    /// Total waiting time from the greeting or the last message to the end of the next one. Limits clients that send a
    /// byte now and then and so are never silent.
    pub message_timeout: Duration,
    /// The memory for messages that are being received, shared with other connections.
    pub uploads: UploadBudget,
}

impl Default for Config {
    /// An open server with 25 MiB per message, without TLS and login.
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            protocol: Protocol::Smtp,
            max_message_bytes: 25 << 20,
            max_recipients: 1000,
            max_transactions: None,
            max_recipient_domains: None,
            max_errors: 20,
            max_failed_logins: 5,
            tls: Tls::Absent,
            auth: Auth::Off,
            any_login: false,
            plain_login: false,
            starttls: true,
            bare_line_ends: BareLineEnds::Refuse,
            timeout: Duration::from_secs(300),
            message_timeout: Duration::from_secs(3600),
            uploads: UploadBudget::default(),
        }
    }
}

/// The protocol of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Relay between hosts. RFC 5321.
    Smtp,
    /// Submission by users. RFC 6409.
    Submission,
    /// Delivery to mailboxes, with one reply per recipient. RFC 2033.
    Lmtp,
}

/// The encryption of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// No TLS, and STARTTLS is not offered.
    Absent,
    /// STARTTLS is offered. RFC 3207.
    Offered,
    /// TLS is active, by STARTTLS or from the start (RFC 8314 §3); the text gives version and cipher.
    Active(String),
}

/// Whether clients can log in. RFC 4954.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// AUTH is not available.
    Off,
    /// AUTH is offered.
    Offered,
    /// AUTH is required before MAIL. RFC 6409 §4.3.
    Required,
}

/// What the owner must decide, look up or store. Each event is answered by one call, see the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// EHLO, HELO or LHLO.
    Hello {
        /// The client's name, unchecked.
        name: String,
        /// EHLO or LHLO, not HELO.
        esmtp: bool,
    },
    /// `220` has been sent, and the client starts the handshake.
    StartTls,
    /// The password of this user is needed for a login.
    NeedSecret(String),
    /// `MAIL FROM`.
    Mail {
        /// Without recipients yet.
        envelope: Envelope,
        /// The message size that the client announced. RFC 1870 §6.
        size: Option<u64>,
    },
    /// `RCPT TO`; the envelope so far is [`Session::envelope`].
    Rcpt(Recipient),
    /// `DATA`, or the first `BDAT` of a message; the envelope is [`Session::envelope`].
    Data,
    /// A complete message with its accepted recipients.
    Message {
        /// The envelope.
        envelope: Envelope,
        /// The message, dot stuffing undone.
        message: Message,
    },
    /// `VRFY`.
    Verify(String),
}
