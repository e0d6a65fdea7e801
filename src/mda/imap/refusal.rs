//! Why a request is refused, as the client hears it; causes of ours go to the log. RFC 5530 §3, RFC 9051 §7.1.

use crate::imap::{Code, Reply};
use crate::mda::Error;
use crate::net;

/// What ends a request.
pub(super) enum Failure {
    /// The connection is of no more use.
    Net(net::Error),
    /// The mailboxes did not do it.
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

/// What the client hears.
pub(super) fn refusal(error: &Error) -> Reply {
    let (text, code) = match error {
        Error::NoMailbox(_) => ("no such mailbox", "NONEXISTENT"),
        Error::Exists(_) => ("there is a mailbox of that name already", "ALREADYEXISTS"),
        Error::BadName(why) => (*why, "CANNOT"),
        Error::BadUse => ("no mailbox can have that use", "USEATTR"),
        Error::TooMany(_) => ("that would be too many", "LIMIT"),
        Error::OverQuota { .. } => ("that is more than the quota allows", "OVERQUOTA"),
        Error::InUse => ("another session holds it", "INUSE"),
        Error::Store(_) => {
            tracing::error!(%error, "a mailbox cannot be used");
            ("that failed for reasons of ours", "SERVERBUG")
        }
    };
    Reply::no(text).with(Code::Word(code))
}

/// The same where the mailbox is one that messages should go to. RFC 9051 §6.3.12, §6.4.7.
pub(super) fn refusal_of_target(error: Error) -> Result<Reply, Failure> {
    match error {
        Error::NoMailbox(_) => Ok(Reply::no("no such mailbox").with(Code::Word("TRYCREATE"))),
        other => Err(other.into()),
    }
}

/// Messages that the client still counts are gone. RFC 5530 §3 (EXPUNGEISSUED).
pub(super) fn gone() -> Reply {
    Reply::no("some of the messages are gone").with(Code::Word("EXPUNGEISSUED"))
}

/// RFC 9051 §6.4: the number of a message that is not there makes no sense.
pub(super) fn no_such_message() -> Reply {
    Reply::bad("no message has that number")
}

/// The mailbox was only examined. RFC 9051 §6.3.3.
pub(super) fn read_only() -> Reply {
    Reply::no("the mailbox was opened to be read only").with(Code::Word("CANNOT"))
}
