//! The usage of an account and its limits. RFC 9208.
//!
//! Every insert and removal of messages updates the counts of the mailbox, so the usage is a sum over the mailboxes of
//! the account. A job that would exceed the quota fails as a whole. Moving within the account always works, and so do
//! messages that other programs add to a Maildir, which are checked_usage all the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::open_mailbox::{Change, ChangeKind};
use super::{Error, Mailboxes, MessageMeta, lock};
use crate::store::Transaction;
use crate::world::Quota;

/// The migration step of [`super::SCHEMA`] that adds the counts.
pub(super) const STEP: &str = "
ALTER TABLE mailbox ADD COLUMN messages INTEGER NOT NULL DEFAULT 0; -- this and octets: what is there
ALTER TABLE mailbox ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
UPDATE mailbox SET
    messages = (SELECT count(*) FROM message WHERE message.mailbox = mailbox.id),
    octets = (SELECT ifnull(sum(size), 0) FROM message WHERE message.mailbox = mailbox.id);
";

/// Recounts mailboxes that lost messages in the recovery of the store.
pub(super) const RECOUNT: &str = "
UPDATE mailbox SET
    messages = (SELECT count(*) FROM message WHERE message.mailbox = mailbox.id),
    octets = (SELECT ifnull(sum(size), 0) FROM message WHERE message.mailbox = mailbox.id);
";

/// Quotas by account key.
pub(super) type Quotas = Arc<BTreeMap<String, Quota>>;

/// The usage of an account, or the size of an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all messages.
    pub bytes: u64,
    /// Number of messages.
    pub messages: u64,
}

impl Mailboxes {
    /// Sets the quotas of these accounts.
    pub fn limit(&self, quotas: impl IntoIterator<Item = (String, Quota)>) {
        Arc::make_mut(&mut *lock(&self.0.quotas)).extend(quotas);
    }

    /// The quota of an account.
    pub fn quota(&self, account: &str) -> Option<Quota> {
        lock(&self.0.quotas).get(account).copied()
    }

    /// The usage of an account.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn usage(&self, account: &str) -> Result<Usage, Error> {
        Ok(self.0.store.read(|connection| usage(connection, account))?)
    }

    pub(super) fn quotas(&self) -> Quotas {
        lock(&self.0.quotas).clone()
    }
}

impl Usage {
    /// The usage of these messages.
    pub(super) fn of<'a>(messages: impl IntoIterator<Item = &'a MessageMeta>) -> Self {
        messages.into_iter().fold(Self::default(), |Self { bytes, messages }, message| Self {
            bytes: bytes + message.size,
            messages: messages + 1,
        })
    }
}

fn usage(connection: &Connection, account: &str) -> rusqlite::Result<Usage> {
    let sql = "SELECT ifnull(sum(octets), 0), ifnull(sum(messages), 0) FROM mailbox
               WHERE account = (SELECT id FROM account WHERE key = ?1)";
    let found = |row: &rusqlite::Row<'_>| Ok(Usage { bytes: row.get(0)?, messages: row.get(1)? });
    connection.prepare_cached(sql)?.query_row([account], found)
}

/// Fails if the account exceeds its quota after these changes.
pub(super) fn check(
    transaction: &Transaction<'_>,
    quotas: &Quotas,
    account: i64,
    arrived: &[Change],
) -> Result<(), Error> {
    let added = sum(arrived);
    if quotas.is_empty() || added.messages == 0 {
        return Ok(());
    }
    let sql = "SELECT key FROM account WHERE id = ?1";
    let key: String = transaction.prepare_cached(sql)?.query_row([account], |row| row.get(0))?;
    let Some(quota) = quotas.get(&key) else { return Ok(()) };
    let allows = |Usage { bytes, messages }: Usage| quota.allows(bytes, messages);
    match allows(usage(transaction, &key)?) {
        true => Ok(()),
        false => Err(Error::OverQuota { ever: allows(added) }),
    }
}

fn sum(changes: &[Change]) -> Usage {
    let arrived = changes.iter().filter_map(|change| match &change.kind {
        ChangeKind::Added(messages) => Some(messages),
        ChangeKind::Flagged(_) | ChangeKind::Expunged(_) | ChangeKind::Gone => None,
    });
    Usage::of(arrived.flatten())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;

    use super::*;
    use crate::imap::{Flags, StoreMode, SystemFlags};
    use crate::mail::Message;
    use crate::mda::{AppendMessage, SCHEMA};
    use crate::store::tests::left_behind;
    use crate::store::{Schema, Store};
    use crate::world::Clock;

    const ANN: &str = "ann@a.test";

    fn mailboxes(store: Store) -> Mailboxes {
        Mailboxes::new(store, Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()))
    }

    /// Checks that the counts agree with the mailboxes; returns bytes and messages.
    fn checked_usage(mailboxes: &Mailboxes) -> (u64, u64) {
        let names = mailboxes.list(ANN).unwrap();
        let status = names.iter().filter_map(|listed| mailboxes.status(ANN, &listed.name).ok());
        let actual =
            status.fold((0, 0), |(bytes, count), status| (bytes + status.size, count + u64::from(status.messages)));
        let Usage { bytes, messages } = mailboxes.usage(ANN).unwrap();
        assert_eq!((bytes, messages), actual);
        actual
    }

    #[tokio::test]
    async fn usage_follows_every_change_of_mailboxes() {
        let mailboxes = mailboxes(Store::in_memory(&[SCHEMA]).unwrap());
        assert_eq!(mailboxes.usage(ANN).unwrap(), Usage::default());
        let message = Message::new(Bytes::from_static(b"Subject: ten\r\n")).with_header("Received: x");
        let size = message.len() as u64;
        mailboxes.deliver(ANN, None, &message).await.unwrap();
        let appended = AppendMessage { message: message.clone(), flags: Flags::default(), received: None };
        mailboxes.append(ANN, "Sent", vec![appended]).await.unwrap();
        assert_eq!(checked_usage(&mailboxes), (2 * size, 2));
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        inbox.copy_to(vec![1], "INBOX").await.unwrap();
        inbox.copy_to(vec![1, 2], "Archive").await.unwrap();
        assert_eq!(checked_usage(&mailboxes).1, 5);
        inbox.move_to(vec![1], "Junk").await.unwrap();
        assert_eq!(checked_usage(&mailboxes).1, 5);
        mailboxes.delete(ANN, "Archive").await.unwrap();
        mailboxes.rename(ANN, "INBOX", "Old").await.unwrap();
        assert_eq!(checked_usage(&mailboxes).1, 3);
        let old = mailboxes.open(ANN, "Old").unwrap();
        old.store(vec![1], StoreMode::Add, Flags { system: SystemFlags::DELETED, keywords: vec![] }).await.unwrap();
        old.expunge(None).await.unwrap();
        assert_eq!(checked_usage(&mailboxes), (2 * size, 2));
    }

    #[tokio::test]
    async fn usage_after_a_crash_excludes_torn_messages() {
        let folder = tempfile::tempdir().unwrap();
        let open = |folder: &Path| mailboxes(Store::open(&folder.join("post.db"), &[SCHEMA]).unwrap());
        let before = open(folder.path());
        // Contents that are written to their segment at once.
        for _ in 0..2 {
            before.deliver(ANN, None, &Message::new(vec![b'x'; 200_000].into())).await.unwrap();
        }
        before.deliver(ANN, None, &Message::new(vec![b'y'; 150_000].into())).await.unwrap();
        assert_eq!(checked_usage(&before), (550_000, 3));
        let copy = left_behind(folder.path());
        let segment = std::fs::File::options().write(true).open(copy.path().join("contents/1")).unwrap();
        let bytes = segment.metadata().unwrap().len();
        segment.set_len(bytes - 10_000).unwrap();
        segment.set_len(bytes).unwrap();
        assert_eq!(checked_usage(&open(copy.path())), (400_000, 2));
    }

    #[tokio::test]
    async fn usage_after_migration_counts_existing_messages() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("post.db");
        let at = SCHEMA.steps.iter().position(|step| *step == STEP).unwrap();
        let before = Schema { steps: &SCHEMA.steps[..at], ..SCHEMA };
        let older = mailboxes(Store::open(&file, &[before]).unwrap());
        let message = "INSERT INTO account VALUES (1, 'ann@a.test', 1);
            INSERT INTO mailbox (id, account, name, uidvalidity) VALUES (1, 1, 'INBOX', 1);
            INSERT INTO message (mailbox, uid, content, flags, keywords, modseq, received, saved, size)
            VALUES (1, 1, 1, 0, '', 2, 0, 0, 12)";
        older.write(move |transaction| Ok(transaction.execute_batch(message)?)).await.unwrap();
        drop(older);
        assert_eq!(checked_usage(&mailboxes(Store::open(&file, &[SCHEMA]).unwrap())), (12, 1));
    }
}
