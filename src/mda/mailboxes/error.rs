//! Why mailboxes did not do what was asked: the first five are the user's affair, the last is ours.

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
    /// A bound is reached.
    #[error("too many {0}")]
    TooMany(&'static str),
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
