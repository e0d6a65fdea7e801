//! How much an account holds, and what keeps it from holding more. RFC 9208.
//!
//! Whoever files or removes messages counts them with their mailbox, so a usage is one sum over the mailboxes of an
//! account. What would go beyond a quota is not filed: the job that brings it fails as a whole. Moving within the account
//! always works, and so does what other programs put into a Maildir, which counts all the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::shelf::{Change, What};
use super::{Error, Mailboxes, Message, lock};
use crate::store::Transaction;
use crate::world::Quota;

/// Quotas by the key of the account.
pub(super) type Quotas = Arc<BTreeMap<String, Quota>>;

/// What an account holds, or what is to come into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Octets of all messages.
    pub octets: u64,
    /// Messages.
    pub messages: u64,
}

impl Mailboxes {
    /// From now on these accounts have these quotas.
    pub fn limit(&self, quotas: impl IntoIterator<Item = (String, Quota)>) {
        Arc::make_mut(&mut *lock(&self.0.quotas)).extend(quotas);
    }

    /// The quota of an account.
    pub fn quota(&self, account: &str) -> Option<Quota> {
        lock(&self.0.quotas).get(account).copied()
    }

    /// What an account holds.
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
    /// Of these messages.
    pub(super) fn of<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Self {
        messages.into_iter().fold(Self::default(), |Self { octets, messages }, message| Self {
            octets: octets + message.size,
            messages: messages + 1,
        })
    }
}

fn usage(connection: &Connection, account: &str) -> rusqlite::Result<Usage> {
    let sql = "SELECT ifnull(sum(octets), 0), ifnull(sum(messages), 0) FROM mailbox
               WHERE account = (SELECT id FROM account WHERE key = ?1)";
    let found = |row: &rusqlite::Row<'_>| Ok(Usage { octets: row.get(0)?, messages: row.get(1)? });
    connection.prepare_cached(sql)?.query_row([account], found)
}

/// Refuses what has just come into an account if that now holds too much.
pub(super) fn check(
    transaction: &Transaction<'_>,
    quotas: &Quotas,
    account: i64,
    arrived: &[Change],
) -> Result<(), Error> {
    let came = sum(arrived);
    if quotas.is_empty() || came.messages == 0 {
        return Ok(());
    }
    let sql = "SELECT key FROM account WHERE id = ?1";
    let key: String = transaction.prepare_cached(sql)?.query_row([account], |row| row.get(0))?;
    let Some(quota) = quotas.get(&key) else { return Ok(()) };
    let allows = |Usage { octets, messages }: Usage| quota.allows(octets, messages);
    match allows(usage(transaction, &key)?) {
        true => Ok(()),
        false => Err(Error::OverQuota { ever: allows(came) }),
    }
}

fn sum(changes: &[Change]) -> Usage {
    let arrived = changes.iter().filter_map(|change| match &change.what {
        What::Arrived(messages) => Some(messages),
        What::Flagged(_) | What::Expunged(_) | What::Gone => None,
    });
    Usage::of(arrived.flatten())
}

#[cfg(test)]
mod tests {

    use bytes::Bytes;

    use super::*;
    use crate::imap::{Flags, StoreMode, SystemFlags};
    use crate::mail::Letter;
    use crate::mda::{Brought, SCHEMA};
    use crate::store::Store;
    use crate::world::Clock;

    const ANN: &str = "ann@a.test";

    fn mailboxes(store: Store) -> Mailboxes {
        Mailboxes::new(store, Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()))
    }

    /// What is counted is what is there; in this order, `octets, messages`.
    fn counted(mailboxes: &Mailboxes) -> (u64, u64) {
        let names = mailboxes.list(ANN).unwrap();
        let status = names.iter().filter_map(|listed| mailboxes.status(ANN, &listed.name).ok());
        let there =
            status.fold((0, 0), |(octets, count), status| (octets + status.size, count + u64::from(status.messages)));
        let Usage { octets, messages } = mailboxes.usage(ANN).unwrap();
        assert_eq!((octets, messages), there);
        there
    }

    #[tokio::test]
    async fn whatever_comes_and_goes_is_counted() {
        let mailboxes = mailboxes(Store::in_memory(&[SCHEMA]).unwrap());
        assert_eq!(mailboxes.usage(ANN).unwrap(), Usage::default());
        let letter = Letter::new(Bytes::from_static(b"Subject: ten\r\n")).stamped("Received: x");
        let size = letter.len() as u64;
        mailboxes.deliver(ANN, None, &letter).await.unwrap();
        let brought = Brought { letter: letter.clone(), flags: Flags::default(), received: None };
        mailboxes.append(ANN, "Sent", vec![brought]).await.unwrap();
        assert_eq!(counted(&mailboxes), (2 * size, 2));
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        inbox.copy_to(vec![1], "INBOX").await.unwrap();
        inbox.copy_to(vec![1, 2], "Archive").await.unwrap();
        assert_eq!(counted(&mailboxes).1, 5);
        inbox.move_to(vec![1], "Junk").await.unwrap();
        assert_eq!(counted(&mailboxes).1, 5);
        mailboxes.delete(ANN, "Archive").await.unwrap();
        mailboxes.rename(ANN, "INBOX", "Old").await.unwrap();
        assert_eq!(counted(&mailboxes).1, 3);
        let old = mailboxes.open(ANN, "Old").unwrap();
        old.store(vec![1], StoreMode::Add, Flags { system: SystemFlags::DELETED, keywords: vec![] }).await.unwrap();
        old.expunge(None).await.unwrap();
        assert_eq!(counted(&mailboxes), (2 * size, 2));
    }
}
