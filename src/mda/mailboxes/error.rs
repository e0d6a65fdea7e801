//! Errors of mailbox operations. All but the last are caused by the request, the last by the server.

use crate::store;

/// A mailbox operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No mailbox has this name, or it was deleted.
    #[error("mailbox {0} does not exist")]
    NoMailbox(String),
    /// A mailbox of this name exists.
    #[error("mailbox {0} already exists")]
    Exists(String),
    /// The name is not allowed, or not for this operation.
    #[error("{0}")]
    BadName(&'static str),
    /// The special use is not known. RFC 6154 §3.
    #[error("unknown special use")]
    BadUse,
    /// The keyword is no atom. RFC 9051 §9 (flag-keyword).
    #[error("{0:?} is no keyword: it has printable ASCII characters only, and none of ( ) {{ % * \" \\ ]")]
    BadKeyword(String),
    /// A limit is reached.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The account would hold more than its quota allows. RFC 9208 §4.3.1.
    #[error("quota exceeded")]
    OverQuota {
        /// Whether it would fit into an empty account.
        ever: bool,
    },
    /// Another POP3 session has locked the maildrop.
    #[error("the maildrop is locked by another session")]
    InUse,
    /// The store failed; nothing was changed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Whether the error is that the bytes of one message are damaged; other messages may be whole.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Store(store::Error::Damaged { .. }))
    }
}
