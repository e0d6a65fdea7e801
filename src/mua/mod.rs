//! The mail user agent: composes, submits, and fetches over POP3 and IMAP.
//!
//! ```text
//!  Draft or file ─▶ compose, source ─▶ submit ─▶ (the world) ─▶ pop3, imap ─▶ Letter
//! ```

mod compose;
mod filing;
mod imap;
mod maildir;
mod mbox;
mod pop3;
mod sendmail_input;
mod source;
mod submit;

use std::net::SocketAddr;

use crate::net::{self, Interface, Stop, Stream, Trust};
use crate::smtp::Reply;

pub use compose::{Attachment, Draft};
pub use filing::{Export, Filed, Form, read_filed};
pub use imap::{ImapMailbox, ImapWatch};
pub use pop3::Maildrop;
pub use sendmail_input::{AddressArguments, MessageDefaults, SendmailInput};
pub use source::{Source, SourceError, read_sources};
pub use submit::{Submitter, Verdict};

/// When a connection becomes encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Never.
    Plain,
    /// By STARTTLS or STLS, before anything secret is said.
    Upgrade,
    /// From the start. RFC 8314 §3.
    Immediate,
}

/// A server as an account names it.
#[derive(Clone, Debug)]
pub struct Server {
    /// The name its certificate must carry.
    pub name: String,
    /// Where it may be reached, the first that answers counting.
    pub addresses: Vec<SocketAddr>,
    /// How the connection is encrypted.
    pub security: Security,
}

/// A user's login.
#[derive(Clone, Debug)]
pub struct Login {
    /// The whole address.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Where a client stands, and whom it trusts.
#[derive(Clone)]
pub struct Desk {
    /// Its place on the network.
    pub interface: Interface,
    /// Whose certificates it accepts.
    pub trust: Trust,
    /// What it calls itself in EHLO.
    pub hello: String,
    /// Keep records of what is said.
    pub dialogues: bool,
}

/// Why the user's request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke.
    #[error("{server}: {why}")]
    Net {
        /// Which server.
        server: String,
        /// What happened.
        why: net::Error,
    },
    /// The server knows no such user or password.
    #[error("{server} refused the login of {user}: {why}")]
    Login {
        /// Which server.
        server: String,
        /// Whose login.
        user: String,
        /// The server's words.
        why: String,
    },
    /// The server said no.
    #[error("{server} said: {reply}")]
    Refused {
        /// Which server.
        server: String,
        /// Its words.
        reply: Reply,
    },
    /// The server cannot do what is needed, or does not speak the protocol.
    #[error("{server}: {why}")]
    Protocol {
        /// Which server.
        server: String,
        /// What is wrong.
        why: String,
    },
}

impl Desk {
    async fn connect(&self, server: &Server) -> Result<Stream, Error> {
        let fail = |why| Error::Net { server: server.name.clone(), why };
        let mut stream = self.interface.connect_any(&server.name, &server.addresses).await.map_err(fail)?;
        if server.security == Security::Immediate {
            stream.connect_tls(&self.trust, &server.name).await.map_err(fail)?;
        }
        Ok(stream)
    }
}

/// A client that runs to its end; nobody stops it from outside.
fn unstoppable() -> Stop {
    Stop::new()
}
