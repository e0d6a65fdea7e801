//! Why mailboxes did not do what was asked: all but the last are the user's affair, that is ours.

use crate::store;

/// Something was not found, not allowed, or not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No mailbox of that name, or it was deleted meanwhile.
    #[error("there is no mailbox {0}")]
    NoMailbox(String),
    /// The name is taken.
    #[error("there is a mailbox {0} already")]
    Exists(String),
    /// The name cannot be used, or not for this.
    #[error("{0}")]
    BadName(&'static str),
    /// No mailbox can have that use. RFC 6154 §3.
    #[error("no mailbox can have that use")]
    BadUse,
    /// A bound is reached.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The account would hold more than its quota allows. RFC 9208 §4.3.1.
    #[error("that is more than the quota allows")]
    OverQuota {
        /// Whether it would fit if there were nothing else.
        ever: bool,
    },
    /// Another POP3 session holds the maildrop.
    #[error("another session holds this maildrop")]
    InUse,
    /// The store failed; nothing was changed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
