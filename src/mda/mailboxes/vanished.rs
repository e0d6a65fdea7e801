//! UIDs of expunged messages, with the modification sequence of that change. RFC 7162 §3.2.
//!
//! Every expunge records the UID and its modification sequence. The oldest records are deleted when there are too many;
//! a client that asks for changes before them gets every UID that does not exist now, as RFC 7162 §3.2.5.1 allows.

use rusqlite::{OptionalExtension, params};

use super::{Error, Mailbox};
use crate::imap::Numbers;
use crate::store::Transaction;

/// Records kept per mailbox, apart from those of the last [`PRUNE_INTERVAL`] changes.
const MAX_RETAINED_RECORDS: u32 = 100_000;
/// Old records are deleted once in this many changes.
const PRUNE_INTERVAL: u64 = 1_024;

impl Mailbox {
    /// UIDs among `uids` that were expunged after this modification sequence. The result may include some that were
    /// expunged earlier, and some that never existed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn vanished_since(&self, modseq: u64, uids: &Numbers) -> Result<Vec<u32>, Error> {
        let id = self.shared.id;
        let known = self.mailboxes.0.store.read(|connection| {
            let sql = "SELECT forgotten FROM mailbox WHERE id = ?1";
            let forgotten: Option<u64> =
                connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
            if forgotten.is_none_or(|forgotten| modseq < forgotten) {
                return Ok(None);
            }
            let sql = "SELECT uid FROM expunged WHERE mailbox = ?1 AND ?2 < modseq";
            let mut expunged = connection.prepare_cached(sql)?;
            expunged.query_map(params![id, modseq], |row| row.get(0))?.collect::<Result<Vec<u32>, _>>().map(Some)
        })?;
        match known {
            Some(expunged) => Ok(expunged.into_iter().filter(|uid| uids.contains(*uid)).collect()),
            None => {
                let view = self.view()?;
                let missing = |uid: &u32| view.messages.find(*uid).is_none();
                // UIDs from the next one on never existed.
                Ok(uids.iter().take_while(|uid| *uid < view.uidnext).filter(missing).collect())
            }
        }
    }
}

/// Deletes the oldest records if there are too many.
pub(super) fn prune(transaction: &Transaction<'_>, mailbox: i64, modseq: u64) -> rusqlite::Result<()> {
    if !modseq.is_multiple_of(PRUNE_INTERVAL) {
        return Ok(());
    }
    let sql = "SELECT modseq FROM expunged WHERE mailbox = ?1 ORDER BY modseq DESC LIMIT 1 OFFSET ?2";
    let last: Option<u64> = transaction
        .prepare_cached(sql)?
        .query_row(params![mailbox, MAX_RETAINED_RECORDS], |row| row.get(0))
        .optional()?;
    if let Some(last) = last {
        transaction.execute("DELETE FROM expunged WHERE mailbox = ?1 AND modseq <= ?2", params![mailbox, last])?;
        transaction.execute("UPDATE mailbox SET forgotten = ?2 WHERE id = ?1", params![mailbox, last])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mail::Message;
    use crate::mda::{Mailboxes, SCHEMA};
    use crate::store::Store;
    use crate::world::Clock;

    #[tokio::test]
    async fn vanished_since_before_the_oldest_record_returns_every_missing_uid() {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let mailboxes = Mailboxes::new(Store::in_memory(&[SCHEMA]).unwrap(), clock);
        let message = Message::new(Bytes::from_static(b"Subject: x\r\n\r\n"));
        for _ in 0..4 {
            mailboxes.deliver("ann@a.test", None, &message).await.unwrap();
        }
        let inbox = mailboxes.open("ann@a.test", "INBOX").unwrap();
        inbox.remove(vec![2]).await.unwrap();
        let all: Numbers = [1..=9].into_iter().collect();
        assert_eq!(inbox.vanished_since(5, &all).unwrap(), [2]);
        assert_eq!(inbox.vanished_since(6, &all).unwrap(), Vec::<u32>::new());
        assert_eq!(inbox.vanished_since(1, &[3..=9].into_iter().collect()).unwrap(), Vec::<u32>::new());
        // As many records as are kept, and the next change prunes.
        let id = inbox.shared.id;
        let later = move |transaction: &Transaction<'_>| {
            let sql = "WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < ?2)
                       INSERT INTO expunged SELECT ?1, 1000 + at, 1000 FROM n";
            transaction.execute(sql, params![id, MAX_RETAINED_RECORDS])?;
            transaction.execute("UPDATE mailbox SET modseq = ?2 WHERE id = ?1", params![id, PRUNE_INTERVAL - 1])?;
            Ok(())
        };
        mailboxes.write(later).await.unwrap();
        let inbox = mailboxes.open("ann@a.test", "INBOX").unwrap();
        inbox.remove(vec![3]).await.unwrap();
        assert_eq!(inbox.vanished_since(1000, &all).unwrap(), [3]);
        assert_eq!(inbox.vanished_since(999, &all).unwrap(), [2, 3]);
    }
}
