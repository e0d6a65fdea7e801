//! A snapshot of one mailbox: an immutable list, shared by all sessions, and the difference of two of them.

use jiff::Timestamp;

use super::keywords::Keywords;
use super::{Messages, Uid};
use crate::imap::{Flags, SystemFlags};

/// The messages of a mailbox at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// UIDs are only valid together with this. RFC 9051 §2.3.1.1.
    pub uidvalidity: u32,
    /// The lowest UID that the next message may get.
    pub uidnext: Uid,
    /// The modification sequence of the last change. RFC 7162 §3.1.2.
    pub modseq: u64,
    /// Messages by ascending UID; the sequence number of a message is its place, counted from 1.
    pub messages: Messages,
}

/// The metadata of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageMeta {
    /// Its unique id.
    pub uid: Uid,
    /// Its system flags.
    pub flags: SystemFlags,
    /// Its keywords.
    pub keywords: Keywords,
    /// The modification sequence of its last change.
    pub modseq: u64,
    /// When it was received, the internal date, in seconds since 1970. RFC 9051 §2.3.3.
    pub received: i64,
    /// When it was added to this mailbox, in seconds since 1970. RFC 8514 §2.
    pub saved: i64,
    /// Size in bytes, trace lines included. RFC 9051 §2.3.4.
    pub size: u64,
    /// The id of the content below the trace lines; copies share it.
    pub content: i64,
    /// The email id, the same for all copies. RFC 8474 §5.1.
    pub email: u64,
}

impl MessageMeta {
    /// Its flags and keywords.
    pub fn all_flags(&self) -> Flags {
        Flags { system: self.flags, keywords: self.keywords.to_vec() }
    }

    /// [`Self::received`] as a date; one out of range is 1970.
    pub fn received_at(&self) -> Timestamp {
        date(self.received)
    }

    /// [`Self::saved`] as a date; one out of range is 1970.
    pub fn saved_at(&self) -> Timestamp {
        date(self.saved)
    }
}

/// A date of the tables, in seconds since 1970; one out of range is 1970.
pub(super) fn date(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The difference of a newer view from an older one, in UIDs, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Expunged messages.
    pub expunged: Vec<Uid>,
    /// Added messages.
    pub arrived: Vec<Uid>,
    /// Messages with other flags.
    pub changed: Vec<Uid>,
}

impl View {
    /// The message with this UID; `None` if there is none.
    pub fn find(&self, uid: Uid) -> Option<&MessageMeta> {
        self.messages.find(uid)
    }

    /// The changes since `older`, a view of the same mailbox; none if both have the same modification sequence.
    pub fn changes_since(&self, older: &Self) -> Changes {
        let mut changes = Changes::default();
        if self.modseq != older.modseq {
            self.messages.compare(&older.messages, &mut changes);
        }
        changes
    }
}
