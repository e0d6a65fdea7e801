//! Which messages are no longer there, and since which change. RFC 7162 §3.2.
//!
//! Every message that goes leaves its UID and the number of that change. The oldest are forgotten when there are many;
//! who asks for changes before that is told of every UID that is not there now, as RFC 7162 §3.2.5.1 allows.

use rusqlite::{OptionalExtension, params};

use super::{Error, Mailbox};
use crate::imap::Numbers;
use crate::store::Transaction;

/// So many are kept of each mailbox, and about as many more as go in [`ROUND`] changes.
const KEPT: u32 = 100_000;
/// Once in so many changes it is looked whether there are too many.
const ROUND: u64 = 1_024;

impl Mailbox {
    /// UIDs among `uids` that went after this change. There may be some that went before, and some that never were.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn vanished_since(&self, modseq: u64, uids: &Numbers) -> Result<Vec<u32>, Error> {
        let id = self.shelf.id;
        let known = self.mailboxes.0.store.read(|connection| {
            let sql = "SELECT forgotten FROM mailbox WHERE id = ?1";
            let forgotten: Option<u64> =
                connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
            if forgotten.is_none_or(|forgotten| modseq < forgotten) {
                return Ok(None);
            }
            let sql = "SELECT uid FROM expunged WHERE mailbox = ?1 AND ?2 < modseq";
            let mut gone = connection.prepare_cached(sql)?;
            gone.query_map(params![id, modseq], |row| row.get(0))?.collect::<Result<Vec<u32>, _>>().map(Some)
        })?;
        match known {
            Some(gone) => Ok(gone.into_iter().filter(|uid| uids.contains(*uid)).collect()),
            None => {
                let view = self.view()?;
                let missing = |uid: &u32| view.messages.find(*uid).is_none();
                // No UID from the next one on was ever there.
                Ok(uids.iter().take_while(|uid| *uid < view.uidnext).filter(missing).collect())
            }
        }
    }
}

/// Forgets the oldest that have gone, if there are too many.
pub(super) fn forget(transaction: &Transaction<'_>, mailbox: i64, modseq: u64) -> rusqlite::Result<()> {
    if !modseq.is_multiple_of(ROUND) {
        return Ok(());
    }
    let sql = "SELECT modseq FROM expunged WHERE mailbox = ?1 ORDER BY modseq DESC LIMIT 1 OFFSET ?2";
    let last: Option<u64> =
        transaction.prepare_cached(sql)?.query_row(params![mailbox, KEPT], |row| row.get(0)).optional()?;
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
    use crate::mail::Letter;
    use crate::mda::{Mailboxes, SCHEMA};
    use crate::store::Store;
    use crate::world::Clock;

    #[tokio::test]
    async fn the_oldest_are_forgotten_and_then_all_that_is_missing_counts_as_gone() {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let mailboxes = Mailboxes::new(Store::in_memory(&[SCHEMA]).unwrap(), clock);
        let letter = Letter::new(Bytes::from_static(b"Subject: x\r\n\r\n"));
        for _ in 0..4 {
            mailboxes.deliver("ann@a.test", None, &letter).await.unwrap();
        }
        let inbox = mailboxes.open("ann@a.test", "INBOX").unwrap();
        inbox.remove(vec![2]).await.unwrap();
        let all: Numbers = [1..=9].into_iter().collect();
        assert_eq!(inbox.vanished_since(5, &all).unwrap(), [2]);
        assert_eq!(inbox.vanished_since(6, &all).unwrap(), Vec::<u32>::new());
        assert_eq!(inbox.vanished_since(1, &[3..=9].into_iter().collect()).unwrap(), Vec::<u32>::new());
        // As many as fit have gone since, and it is time to look.
        let id = inbox.shelf.id;
        let later = move |transaction: &Transaction<'_>| {
            let sql = "WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < ?2)
                       INSERT INTO expunged SELECT ?1, 1000 + at, 1000 FROM n";
            transaction.execute(sql, params![id, KEPT])?;
            transaction.execute("UPDATE mailbox SET modseq = ?2 WHERE id = ?1", params![id, ROUND - 1])?;
            Ok(())
        };
        mailboxes.write(later).await.unwrap();
        let inbox = mailboxes.open("ann@a.test", "INBOX").unwrap();
        inbox.remove(vec![3]).await.unwrap();
        assert_eq!(inbox.vanished_since(1000, &all).unwrap(), [3]);
        assert_eq!(inbox.vanished_since(999, &all).unwrap(), [2, 3]);
    }
}
