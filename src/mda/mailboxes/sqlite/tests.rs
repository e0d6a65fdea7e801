//! The rows themselves; and what tests of mailboxes do to them.

use bytes::Bytes;
use rusqlite::params;

use super::rows::{MAX_RETAINED_RECORDS, PRUNE_INTERVAL};
use super::views;
use crate::imap::Numbers;
use crate::mail::Message;
use crate::mda::mailboxes::{Mailboxes, MessageMeta, SCHEMA};
use crate::store::{Error, Schema, Store, Transaction};
use crate::world::Clock;

/// How many rows a table has.
pub(in crate::mda::mailboxes) fn count(mailboxes: &Mailboxes, table: &str) -> usize {
    let sql = format!("SELECT count(*) FROM {table}");
    mailboxes.store.read(|connection| connection.query_row(&sql, [], |row| row.get(0))).unwrap()
}

/// Puts keywords into the rows of all messages as they are.
pub(in crate::mda::mailboxes) async fn set_keywords(mailboxes: &Mailboxes, keywords: &'static str) {
    let sql = "UPDATE message SET keywords = ?1";
    let job = move |transaction: &Transaction<'_>| Ok::<_, Error>(transaction.execute(sql, [keywords])?);
    mailboxes.store.write(job).await.unwrap();
}

/// The contents with their number of uses, in order.
pub(in crate::mda::mailboxes) fn contents(mailboxes: &Mailboxes) -> Vec<(i64, i64)> {
    let read = |connection: &rusqlite::Connection| {
        let mut query = connection.prepare("SELECT id, uses FROM content ORDER BY id")?;
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()
    };
    mailboxes.store.read(read).unwrap()
}

/// Changes rows behind the back of the mailboxes, as a failing disk might.
pub(in crate::mda::mailboxes) async fn execute(mailboxes: &Mailboxes, sql: &'static str) {
    let job = move |transaction: &Transaction<'_>| Ok::<_, Error>(transaction.execute(sql, [])?);
    mailboxes.store.write(job).await.unwrap();
}

/// The messages of a build before: what most of them have the same way becomes NULL.
#[tokio::test]
async fn messages_of_an_older_store_are_compacted_and_read_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let older = Schema { migrations: &SCHEMA.migrations[..3], ..SCHEMA };
    let store = Store::open(&path, &[older]).unwrap();
    let insert = |transaction: &Transaction<'_>| {
        transaction.execute_batch(
            "INSERT INTO account (id, key, uidvalidity) VALUES (1, 'ann@a.test', 1);
            INSERT INTO mailbox (id, account, name, uidvalidity, uidnext, modseq, messages) VALUES (7, 1, 'INBOX', 1, 4, 9, 3);
            INSERT INTO message (mailbox, uid, content, flags, keywords, modseq, received, saved, size, email) VALUES
                (7, 3, 12, 1, 'work $Done', 9, 100, 300, 30, 77),
                (7, 1, 11, 0, '', 5, 100, 100, 10, (7 << 32) + 1),
                (7, 2, 11, 2, '', 6, 0, 0, 20, (7 << 32) + 1);",
        )?;
        Ok::<_, Error>(())
    };
    store.write(insert).await.unwrap();
    drop(store);
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let mailboxes = Mailboxes::new(Store::open(&path, &[SCHEMA]).unwrap(), clock);
    let view = mailboxes.open("ann@a.test", "INBOX").unwrap().view().unwrap();
    let row = |message: &MessageMeta| {
        let MessageMeta { uid, flags, keywords, modseq, received, saved, size, content, email } = message.clone();
        (uid, flags.bits(), keywords.to_vec().join(" "), modseq, received, saved, size, content, email)
    };
    let own = (7 << 32) + 1;
    let expected = [
        (1, 0, String::new(), 5, 100, 100, 10, 11, own),
        (2, 2, String::new(), 6, 0, 0, 20, 11, own),
        (3, 1, "work $Done".to_owned(), 9, 100, 300, 30, 12, 77),
    ];
    assert_eq!(view.messages.iter().map(row).collect::<Vec<_>>(), expected);
    let nulls = "SELECT count(*) FROM message WHERE keywords IS NULL AND (origin IS NULL) = (uid = 1)";
    assert_eq!(
        mailboxes.store.read(|connection| connection.query_row(nulls, [], |row| row.get::<_, i64>(0))).unwrap(),
        2
    );
}

/// Large mailboxes are read another way than small ones.
#[tokio::test]
async fn messages_collected_are_those_of_the_rows() {
    let store = Store::in_memory(&[SCHEMA]).unwrap();
    let insert = |transaction: &Transaction<'_>| {
        transaction.execute_batch(
            "WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < 3000)
            INSERT INTO message SELECT 6 + at % 2, at, at, at % 32, iif(at % 7, NULL, 'work $Done'), 5000 - at, at * 10,
                at % 100, iif(at % 5, NULL, at || ' ' || at * 2) FROM n WHERE at % 11",
        )?;
        Ok::<_, Error>(())
    };
    store.write(insert).await.unwrap();
    let both = |mailbox| {
        store.read(|connection| {
            Ok::<_, Error>((views::rows(connection, mailbox)?, views::collect(connection, mailbox)?))
        })
    };
    for (mailbox, expected) in [(6, 1_364), (7, 1_364), (8, 0)] {
        let (rows, collected) = both(mailbox).unwrap();
        assert_eq!(rows, collected);
        assert_eq!(rows.len(), expected);
    }
}

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
