//! The events of a client.

use bytes::Bytes;

/// An event for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Encrypt the stream, then call [`super::Session::encrypted`].
    StartTls,
    /// Logged in: continue with [`super::Session::list`], [`super::Session::retrieve`], [`super::Session::delete`],
    /// [`super::Session::quit`].
    Ready,
    /// The server refused the login; QUIT is sent.
    LoginRefused(String),
    /// The result of [`super::Session::list`].
    Listing(Vec<Entry>),
    /// The result of [`super::Session::retrieve`].
    Message {
        /// Its number in this session.
        number: usize,
        /// The message, without dot stuffing.
        bytes: Bytes,
    },
    /// A message is marked; it is deleted by [`super::Session::quit`].
    Deleted {
        /// Its number in this session.
        number: usize,
    },
    /// The server refused a command; the session continues.
    Refused {
        /// The command as it was sent.
        command: String,
        /// The text of the reply.
        text: String,
    },
    /// The reply to QUIT: the marked messages are deleted.
    Closed,
    /// The session failed.
    Failed(Failure),
}

/// One message of the maildrop. RFC 1939 §5 (LIST), §7 (UIDL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this session.
    pub number: usize,
    /// Its size in bytes.
    pub size: u64,
    /// Its unique id, if the server supports UIDL.
    pub uid: Option<String>,
}

/// Why a session ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The reply to the connection, STLS or QUIT was `-ERR`.
    #[error("the POP3 server refused {stage}: {text}")]
    Refused {
        /// What was refused.
        stage: &'static str,
        /// The text of the reply.
        text: String,
    },
    /// TLS is required and not offered.
    #[error("the POP3 server offers no TLS")]
    NoTls,
    /// The server violated the protocol.
    #[error("the POP3 server violated the protocol: {0}")]
    Violation(&'static str),
    /// A response exceeds the size limit.
    #[error("the POP3 server sent more than {0} octets")]
    TooLarge(usize),
    /// The connection was closed before QUIT.
    #[error("the POP3 server closed the connection")]
    Closed,
}
