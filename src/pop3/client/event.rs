//! What a client tells its owner.

use bytes::Bytes;

/// What the owner learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Encrypt the stream, then call [`super::Session::encrypted`].
    StartTls,
    /// Logged in: ask with [`super::Session::list`], [`super::Session::retrieve`], [`super::Session::delete`], [`super::Session::quit`].
    Ready,
    /// The server does not let us in; it is told `QUIT`.
    LoginRefused(String),
    /// What [`super::Session::list`] found.
    Listing(Vec<Entry>),
    /// What [`super::Session::retrieve`] asked for.
    Message {
        /// Its number in this session.
        number: usize,
        /// The message as it was stored, without the dots of the transfer.
        bytes: Bytes,
    },
    /// A message is marked; it goes when the server has answered [`super::Session::quit`].
    Deleted {
        /// Its number in this session.
        number: usize,
    },
    /// The server said no to one command; the session goes on.
    Refused {
        /// The command as it was sent.
        command: String,
        /// Why, in the words of the server.
        text: String,
    },
    /// The server has said goodbye; what was marked is deleted.
    Closed,
    /// The session is of no more use.
    Failed(Failure),
}

/// One message of the maildrop. RFC 1939 §5 (LIST), §7 (UIDL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this session.
    pub number: usize,
    /// Its size in octets.
    pub size: u64,
    /// Its name in all sessions, where the server knows UIDL.
    pub uid: Option<String>,
}

/// Why a session ended before its time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The greeting, STLS or QUIT was answered `-ERR`.
    #[error("the POP3 server refused {stage}: {text}")]
    Refused {
        /// What was refused.
        stage: &'static str,
        /// Why, in the words of the server.
        text: String,
    },
    /// TLS is required and not offered.
    #[error("the POP3 server offers no TLS")]
    NoTls,
    /// The server does not speak POP3.
    #[error("the POP3 server broke the protocol: {0}")]
    Violation(&'static str),
    /// A response is longer than it may be.
    #[error("the POP3 server sent more than {0} octets")]
    TooLarge(usize),
    /// The connection ended without goodbye.
    #[error("the POP3 server hung up")]
    HungUp,
}
