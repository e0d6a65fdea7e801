//! Converts errors to replies; errors of the server are logged. RFC 5530 §3, RFC 9051 §7.1.

use crate::imap::{Code, Reply};
use crate::mda::Error;
use crate::net;
use crate::store;

/// Why a request failed.
pub(super) enum Failure {
    /// The connection failed.
    Net(net::Error),
    /// The mailbox operation failed.
    Mailboxes(Error),
}

impl From<net::Error> for Failure {
    fn from(error: net::Error) -> Self {
        Self::Net(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Mailboxes(error)
    }
}

/// The `NO` reply for an error of a mailbox operation. Errors of the store are logged, except damage of a message.
pub(super) fn error_reply(error: &Error) -> Reply {
    let (text, code) = match error {
        Error::NoMailbox(_) => ("No such mailbox", "NONEXISTENT"),
        Error::Exists(_) => ("Mailbox already exists", "ALREADYEXISTS"),
        Error::BadName(why) => (*why, "CANNOT"),
        Error::BadKeyword(_) => ("Invalid keyword", "CANNOT"),
        Error::BadUse => ("Unknown special use", "USEATTR"),
        Error::TooMany(_) => ("Limit reached", "LIMIT"),
        Error::OverQuota { .. } => ("Quota exceeded", "OVERQUOTA"),
        Error::InUse => ("In use by another session", "INUSE"),
        Error::Store(error) => store_error_reply(error),
    };
    Reply::no(text).with(Code::Word(code))
}

/// Why a user cannot log in now.
pub(super) const UNAVAILABLE: &str = "Mailboxes temporarily unavailable";

/// The text of the reply to a login whose mailboxes cannot be opened or, at the first login, created. The error is
/// logged, except damage of a message, which the store has logged.
pub(super) fn login_refusal(account: &str, error: &Error) -> &'static str {
    if let Error::Store(error) = error {
        return store_error_reply(error).0;
    }
    tracing::error!(%error, account, "cannot open account");
    UNAVAILABLE
}

/// The text and the response code of the NO reply for an error of the store, which is logged here, except damage of a
/// message, which the store has logged. For a full disk the code is `OVERQUOTA`: to delete something helps, as it does
/// against an exceeded quota.
fn store_error_reply(error: &store::Error) -> (&'static str, &'static str) {
    use store::Error::{Corrupt, Damaged, Full, Io, Stopped};
    // The store has reported damage, with all that refers to it.
    if !matches!(error, Damaged { .. }) {
        tracing::error!(%error, "mailbox operation failed");
    }
    match error {
        Full => ("The disk of the server is full", "OVERQUOTA"),
        Io(_) | Stopped(_) => ("The server cannot write to its disk", "UNAVAILABLE"),
        Damaged { .. } => ("A message is damaged on the disk of the server", "CORRUPTION"),
        Corrupt(_) => ("The mailbox is damaged on the disk of the server", "CORRUPTION"),
        _ => ("Internal server error", "SERVERBUG"),
    }
}

/// The reply with TRYCREATE if the mailbox that is the target of messages does not exist; any other error is returned
/// as a failure. RFC 9051 §6.3.12, §6.4.7.
pub(super) fn target_error_reply(error: Error) -> Result<Reply, Failure> {
    match error {
        Error::NoMailbox(_) => Ok(Reply::no("No such mailbox").with(Code::Word("TRYCREATE"))),
        other => Err(other.into()),
    }
}

/// The NO reply to a command that names expunged messages, of which the client does not know yet. RFC 5530 §3
/// (EXPUNGEISSUED).
pub(super) fn expunged_reply() -> Reply {
    Reply::no("Some messages were expunged").with(Code::Word("EXPUNGEISSUED"))
}

/// The BAD reply to a command that names a sequence number without a message. RFC 9051 §6.4.
pub(super) fn no_such_message_reply() -> Reply {
    Reply::bad("No such message")
}

/// The NO reply to a change of a mailbox that was opened by EXAMINE. RFC 9051 §6.3.3.
pub(super) fn read_only_reply() -> Reply {
    Reply::no("Mailbox is read-only").with(Code::Word("CANNOT"))
}
