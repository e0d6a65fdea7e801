//! The counters of a mailbox, which change in the commit that changes its messages, so that a look at a mailbox costs
//! the same however large it is.

use std::fmt;

use super::{Error, Mailboxes, sqlite};
use crate::imap::SystemFlags;

/// What a mailbox contains, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages.
    pub messages: u32,
    /// Bytes of all messages. RFC 8438.
    pub octets: u64,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Bytes of the messages with `\Deleted`. RFC 9208 §4.1.4.
    pub deleted_octets: u64,
    /// Messages that no session has claimed as recent. RFC 3501 §2.3.2.
    pub recents: u32,
}

impl Counters {
    /// Counts a message with these flags and this size in bytes; `is_recent` if no session has claimed it.
    pub(super) fn add(&mut self, is_recent: bool, flags: SystemFlags, size: u64) {
        self.messages += 1;
        self.octets += size;
        self.unseen += u32::from(!flags.contains(SystemFlags::SEEN));
        self.recents += u32::from(is_recent);
        if flags.contains(SystemFlags::DELETED) {
            self.deleted += 1;
            self.deleted_octets += size;
        }
    }

    /// No longer counts a message. Counters that a fault of the disk made too small stay at 0.
    pub(super) fn remove(&mut self, is_recent: bool, flags: SystemFlags, size: u64) {
        let mut one = Self::default();
        one.add(is_recent, flags, size);
        let Self { messages, octets, unseen, deleted, deleted_octets, recents } = *self;
        *self = Self {
            messages: messages.saturating_sub(one.messages),
            octets: octets.saturating_sub(one.octets),
            unseen: unseen.saturating_sub(one.unseen),
            deleted: deleted.saturating_sub(one.deleted),
            deleted_octets: deleted_octets.saturating_sub(one.deleted_octets),
            recents: recents.saturating_sub(one.recents),
        };
    }
}

/// A mailbox whose counters differ from its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miscount {
    /// The key of the account.
    pub account: String,
    /// The mailbox.
    pub mailbox: String,
    /// The counters.
    pub stored: Counters,
    /// What they should be.
    pub counted: Counters,
}

impl fmt::Display for Miscount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counters: &Counters| {
            let Counters { messages, octets, unseen, deleted, deleted_octets, recents } = *counters;
            [
                ("messages", messages.into()),
                ("bytes", octets),
                ("unseen", unseen.into()),
                ("deleted", deleted.into()),
                ("bytes deleted", deleted_octets),
                ("recent", recents.into()),
            ]
        };
        write!(f, "{} of {} is counted wrongly:", self.mailbox, self.account)?;
        let pairs = list(&self.stored).into_iter().zip(list(&self.counted));
        let wrong = pairs.filter(|((_, stored), (_, counted))| stored != counted);
        for (at, ((name, stored), (_, counted))) in wrong.enumerate() {
            write!(f, "{} {stored} {name} instead of {counted}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Mailboxes {
    /// The mailboxes whose counters differ from their messages: none, unless something has damaged the store. Reads
    /// all rows.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn miscounts(&self) -> Result<Vec<Miscount>, Error> {
        Ok(self.store.read(sqlite::miscounts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sqlite::tests::execute;
    use super::super::tests::{ANN, deliver, on_disk};

    #[tokio::test]
    async fn miscounts_tell_which_counters_differ_from_the_messages() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one", "two"]).await;
        assert_eq!(mailboxes.miscounts().unwrap(), []);
        execute(&mailboxes, "UPDATE mailbox SET unseen = unseen + 1, recents = 0 WHERE name = 'INBOX'").await;
        let told: Vec<String> = mailboxes.miscounts().unwrap().iter().map(ToString::to_string).collect();
        let wanted = format!("INBOX of {ANN} is counted wrongly: 3 unseen instead of 2, 0 recent instead of 2");
        assert_eq!(told, [wanted]);
    }
}
