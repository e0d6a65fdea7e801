//! Why an attempt failed, and whether trying again can help.

use crate::dns::LookupError;
use crate::net;
use crate::smtp::Reply;
use crate::smtp::client::Stage;

/// Why a message was not relayed to its next host.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The next host refused it.
    #[error("{host} said: {reply}")]
    Refused {
        /// Its name.
        host: String,
        /// Its reply.
        reply: Reply,
    },
    /// The next host refused the session, or closed it with 421. It may accept the message later, or another host may: a
    /// `5yz` greeting is no verdict on the message. RFC 5321 §3.8, §4.5.4.1.
    #[error("{host} said at {stage}: {reply}")]
    SessionRefused {
        /// Its name.
        host: String,
        /// When.
        stage: Stage,
        /// Its reply.
        reply: Reply,
    },
    /// This host did not send it, since the next host does not support what that requires.
    #[error("not sent to {host}: {reason}")]
    NotSent {
        /// The name of the next host.
        host: String,
        /// The status. RFC 3463.
        status: (u8, u16, u16),
        /// What is missing.
        reason: String,
    },
    /// The session with the next host ended early.
    #[error("{host} {what}")]
    Broken {
        /// Its name.
        host: String,
        /// How.
        what: String,
        /// The whole message was sent: the next host may have accepted it.
        in_doubt: bool,
    },
    /// Its name or its domain could not be looked up.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The domain accepts no mail. RFC 7505.
    #[error("{0} takes no mail (null MX)")]
    NullMx(String),
    /// The address literal is no mail server of the world, which no mail leaves. RFC 5321 §4.1.3.
    #[error("{0} is not the address of a mail server")]
    NoMailServer(String),
    /// All exchanges of the domain are this host, which does not serve it. RFC 5321 §5.1.
    #[error("mail for {0} loops back to this host")]
    Loop(String),
    /// No connection could be opened.
    #[error("{host}: {why}")]
    Unreachable {
        /// Its name.
        host: String,
        /// Why not.
        why: String,
    },
    /// TLS is required, and the next host does not offer it.
    #[error("{host} does not offer TLS, which is required")]
    NoTls {
        /// Its name.
        host: String,
        /// The sender requires it. RFC 8689 §4.2.1.
        required: bool,
    },
    /// TLS is required, and the handshake failed.
    #[error("{host}: {why}; TLS is required")]
    BadTls {
        /// Its name.
        host: String,
        /// Why, such as a certificate of another name.
        why: String,
        /// The sender requires it.
        required: bool,
    },
    /// It was tried for as long as the settings say.
    #[error("given up after {attempts} attempts, the last of which failed: {last}")]
    Expired {
        /// How many there were.
        attempts: u32,
        /// Why the last one failed.
        last: Box<Failure>,
    },
}

impl Failure {
    /// Returns [`Failure::Unreachable`] for this host, with the text of the error as the reason.
    pub fn unreachable(host: &str, error: &net::Error) -> Self {
        Self::Unreachable { host: host.to_owned(), why: error.to_string() }
    }

    /// Whether trying again cannot help: a refusal of the message with `5yz`, a status of class 5, a definite DNS
    /// answer, a null MX, a loop, no mail server at an address literal, the end of the retries, or the lack of TLS that
    /// the sender requires. A refused or broken session is not permanent. RFC 5321 §4.2.1, §5.1.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { reply, .. } => reply.is_permanent(),
            Self::NotSent { status, .. } => status.0 == 5,
            Self::Lookup(error) => !error.is_temporary(),
            Self::NullMx(_) | Self::NoMailServer(_) | Self::Loop(_) | Self::Expired { .. } => true,
            Self::NoTls { required, .. } | Self::BadTls { required, .. } => *required,
            Self::SessionRefused { .. } | Self::Broken { .. } | Self::Unreachable { .. } => false,
        }
    }

    /// The enhanced status code for a report: class, subject and detail. It is that of the reply, if the message was
    /// refused, or the session with a `4yz` that has one; else the code of the kind of failure. RFC 3463, RFC 7505 §4,
    /// and RFC 8689 §4.2.1.
    pub fn status(&self) -> (u8, u16, u16) {
        match self {
            Self::Refused { reply, .. } => reply.status(),
            Self::SessionRefused { reply, .. } if reply.is_transient() && reply.status() != (4, 0, 0) => reply.status(),
            Self::SessionRefused { .. } => (4, 3, 2),
            Self::NotSent { status, .. } => *status,
            Self::Lookup(error) if error.is_temporary() => (4, 4, 3),
            Self::Lookup(_) | Self::NoMailServer(_) => (5, 1, 2),
            Self::NullMx(_) => (5, 1, 10),
            Self::Loop(_) => (5, 4, 6),
            Self::Broken { .. } => (4, 4, 2),
            Self::Unreachable { .. } => (4, 4, 1),
            Self::NoTls { required: true, .. } | Self::BadTls { required: true, .. } => (5, 7, 10),
            Self::NoTls { .. } => (4, 7, 4),
            Self::BadTls { .. } => (4, 7, 5),
            // RFC 3463 §3.8: the lack of TLS is the reason, not the time.
            Self::Expired { last, .. } if matches!(**last, Self::NoTls { .. } | Self::BadTls { .. }) => {
                (5, last.status().1, last.status().2)
            }
            Self::Expired { .. } => (5, 4, 7),
        }
    }

    /// Whether the next host may have accepted the message, so that sending it again may duplicate it: the session
    /// broke after the whole message; of an expired message, the last one did. RFC 5321 §6.1.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Broken { in_doubt, .. } => *in_doubt,
            Self::Expired { last, .. } => last.is_in_doubt(),
            _ => false,
        }
    }

    /// The host that refused the message or its session, broke the session, was not reached, or failed at TLS; for an
    /// expired message, that of its last failure. `None` for all other failures, also one that was not sent.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Refused { host, .. }
            | Self::SessionRefused { host, .. }
            | Self::Broken { host, .. }
            | Self::Unreachable { host, .. }
            | Self::NoTls { host, .. }
            | Self::BadTls { host, .. } => Some(host),
            Self::Expired { last, .. } => last.host(),
            _ => None,
        }
    }

    /// The reply by which the next host refused the message or the session; for an expired message, that of its last
    /// failure. `None` for all other failures.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused { reply, .. } | Self::SessionRefused { reply, .. } => Some(reply),
            Self::Expired { last, .. } => last.reply(),
            _ => None,
        }
    }
}
