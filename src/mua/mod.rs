//! The mail user agent: composes, submits, and fetches over POP3 and IMAP.
//!
//! ```text
//!  Draft or file ─▶ compose, source ─▶ submit ─▶ (the world) ─▶ pop3, imap ─▶ Message
//! ```

mod compose;
pub mod fuzzing;
mod imap;
mod mail_files;
mod maildir;
mod mbox;
mod pop3;
mod recording;
mod sendmail_input;
mod source;
mod submit;

use std::net::SocketAddr;

use crate::net::{self, CONNECT_TIMEOUT, Interface, Stop, Stream, Trust};
use crate::smtp::Reply;

pub use compose::{Attachment, Draft};
pub use imap::{ImapMailbox, ImapWatch};
pub use mail_files::{Export, Form, MessageFile, read_mail_files};
pub use pop3::Maildrop;
pub use sendmail_input::{AddressArguments, MessageDefaults, SendmailInput};
pub use source::{Source, SourceError, read_sources};
pub use submit::{Submitter, Verdict};

/// When a connection becomes encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Never.
    Plain,
    /// By STARTTLS or STLS, before the login.
    Upgrade,
    /// The same, but not over SMTP or POP3 if the server does not offer it.
    UpgradeIfOffered,
    /// From the start. RFC 8314 §3.
    Immediate,
}

/// A server in the settings of an account.
#[derive(Clone, Debug)]
pub struct Server {
    /// The name that its certificate must have.
    pub name: String,
    /// Its addresses, of which the first that answers is used.
    pub addresses: Vec<SocketAddr>,
    /// How the connection is encrypted.
    pub security: Security,
}

/// A user's login.
#[derive(Clone, Debug)]
pub struct Login {
    /// The full address.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What a client needs to connect: its interface, trusted certificates and name.
#[derive(Clone)]
pub struct ClientContext {
    /// Its network interface.
    pub interface: Interface,
    /// The certificates that it accepts.
    pub trust: Trust,
    /// Its name in EHLO.
    pub hello: String,
    /// Whether to record transcripts.
    pub transcripts: bool,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed.
    #[error("{server}: {why}")]
    Net {
        /// The server.
        server: String,
        /// The cause.
        why: net::Error,
    },
    /// The server refused the login.
    #[error("{server} refused the login of {user}: {why}")]
    Login {
        /// The server.
        server: String,
        /// The user.
        user: String,
        /// The server's reply.
        why: String,
    },
    /// The server refused a command.
    #[error("{server} replied: {reply}")]
    Refused {
        /// The server.
        server: String,
        /// Its reply.
        reply: Reply,
    },
    /// The server lacks a required feature, or violates the protocol.
    #[error("{server}: {why}")]
    Protocol {
        /// The server.
        server: String,
        /// The cause.
        why: String,
    },
}

impl ClientContext {
    /// Connects to the first address of a server that answers, with TLS if it is implicit.
    async fn connect(&self, server: &Server) -> Result<Stream, Error> {
        let fail = |why| Error::Net { server: server.name.clone(), why };
        let mut stream =
            self.interface.connect_any(&server.name, &server.addresses, CONNECT_TIMEOUT).await.map_err(fail)?;
        if server.security == Security::Immediate {
            stream.connect_tls(&self.trust, &server.name).await.map_err(fail)?;
        }
        Ok(stream)
    }
}

/// A stop signal that never fires.
fn never_stopped() -> Stop {
    Stop::new()
}
