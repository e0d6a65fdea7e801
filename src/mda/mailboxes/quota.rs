//! The usage of an account and its limits. RFC 9208.
//!
//! The counters of a mailbox change with its messages, so the usage is a sum over the mailboxes of
//! the account. A job that would exceed the quota fails as a whole. Moving within the account always works, and so do
//! messages that other programs add to a Maildir, which are counted all the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::open_mailbox::{Change, ChangeKind};
use super::{Error, Mailboxes, MessageMeta, sqlite};
use crate::store::Transaction;
use crate::sync::lock;
use crate::world::Quota;

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
    /// Sets the quotas of the accounts with these keys; those of other accounts stay.
    pub fn limit(&self, quotas: impl IntoIterator<Item = (String, Quota)>) {
        Arc::make_mut(&mut *lock(&self.inner.quotas)).extend(quotas);
    }

    /// The quota of the account with this key; `None` if it is unlimited.
    pub fn quota(&self, account: &str) -> Option<Quota> {
        lock(&self.inner.quotas).get(account).copied()
    }

    /// The usage of the account with this key; 0 if it does not exist.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn usage(&self, account: &str) -> Result<Usage, Error> {
        Ok(self.store.read(|connection| sqlite::usage(connection, account))?)
    }

    /// The quotas of all accounts at this moment.
    pub(super) fn quotas(&self) -> Quotas {
        lock(&self.inner.quotas).clone()
    }
}

impl Usage {
    /// The usage that these messages amount to: their count and total size.
    pub(super) fn of<'a>(messages: impl IntoIterator<Item = &'a MessageMeta>) -> Self {
        messages.into_iter().fold(Self::default(), |Self { bytes, messages }, message| Self {
            bytes: bytes + message.size,
            messages: messages + 1,
        })
    }
}

/// Fails if these changes of the account with this id, which the job has made already, add messages and the account now
/// exceeds its quota. Changes that add none always pass, and so do accounts without a quota.
pub(super) fn check(
    transaction: &Transaction<'_>,
    quotas: &Quotas,
    account: i64,
    arrived: &[Change],
) -> Result<(), Error> {
    let added = added_usage(arrived);
    if quotas.is_empty() || added.messages == 0 {
        return Ok(());
    }
    let key = sqlite::key(transaction, account)?;
    let Some(quota) = quotas.get(&key) else { return Ok(()) };
    let allows = |Usage { bytes, messages }: Usage| quota.allows(bytes, messages);
    match allows(sqlite::usage(transaction, &key)?) {
        true => Ok(()),
        false => Err(Error::OverQuota { ever: allows(added) }),
    }
}

/// Count and total size of the messages that the changes add; those removed are not subtracted.
fn added_usage(changes: &[Change]) -> Usage {
    let arrived = changes.iter().filter_map(|change| match &change.kind {
        ChangeKind::Added(messages) => Some(messages),
        ChangeKind::Flagged(_) | ChangeKind::Expunged(_) | ChangeKind::Gone => None,
    });
    Usage::of(arrived.flatten())
}

#[cfg(test)]
mod tests {

    use bytes::Bytes;

    use super::*;
    use crate::imap::{Flags, StoreMode, SystemFlags};
    use crate::mail::Message;
    use crate::mda::{AppendMessage, SCHEMA};
    use crate::store::Store;
    use crate::world::Clock;

    const ANN: &str = "ann@a.test";

    fn mailboxes(store: Store) -> Mailboxes {
        Mailboxes::new(store, Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()))
    }

    /// Checks that the counts agree with the mailboxes; returns bytes and messages.
    fn checked_usage(mailboxes: &Mailboxes) -> (u64, u64) {
        let names = mailboxes.list(ANN).unwrap();
        let status = names.iter().filter_map(|listed| mailboxes.status(ANN, &listed.name).ok());
        let actual = status.fold((0, 0), |(bytes, count), status| {
            (bytes + status.counters.octets, count + u64::from(status.counters.messages))
        });
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
}
