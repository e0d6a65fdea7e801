//! What a session sees of one mailbox: an immutable list, shared by all sessions, and how two of them differ.

use jiff::Timestamp;

use super::{Messages, Uid};
use crate::imap::Flags;

/// The messages of a mailbox at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// UIDs are worth something only together with this. RFC 9051 §2.3.1.1.
    pub uidvalidity: u32,
    /// What the next message gets, at least.
    pub uidnext: Uid,
    /// The number of the last change. RFC 7162 §3.1.2.
    pub modseq: u64,
    /// Messages by ascending UID; the sequence number of a message is its place, from 1.
    pub messages: Messages,
}

/// What is known of a message without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its unique id.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// The number of its last change.
    pub modseq: u64,
    /// When it arrived, the internal date. RFC 9051 §2.3.3.
    pub received: Timestamp,
    /// When it came into this mailbox. RFC 8514 §2.
    pub saved: Timestamp,
    /// Octets, trace lines included. RFC 9051 §2.3.4.
    pub size: u64,
    /// The id of what is below the trace; copies share it.
    pub content: i64,
    /// The same for all copies. RFC 8474 §5.1.
    pub email: u64,
}

/// How a newer view differs from an older one, by UID, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// No longer there.
    pub expunged: Vec<Uid>,
    /// Not there before.
    pub arrived: Vec<Uid>,
    /// There, with other flags.
    pub changed: Vec<Uid>,
}

impl View {
    /// The message with this UID.
    pub fn find(&self, uid: Uid) -> Option<&Message> {
        self.messages.find(uid)
    }

    /// What happened since `older`, a view of the same mailbox.
    pub fn changes_since(&self, older: &Self) -> Changes {
        let mut changes = Changes::default();
        if self.modseq != older.modseq {
            self.messages.compare(&older.messages, &mut changes);
        }
        changes
    }
}
