//! The counters of a mailbox. They stand in its row, and change only here: each change of messages begins with the row,
//! notes what it does, and ends with one update of the row.

use rusqlite::{Connection, Row, params};

use crate::imap::{Flags, SystemFlags};
use crate::mda::mailboxes::Uid;
use crate::mda::mailboxes::counters::{Counters, Miscount};
use crate::store::{self, Transaction};

/// One change of the messages of a mailbox.
pub(super) struct MailboxChange {
    pub(super) account: i64,
    pub(super) mailbox: i64,
    pub(super) uidvalidity: u32,
    /// The modification sequence of this change.
    pub(super) modseq: u64,
    uidnext: Uid,
    /// The first recent UID.
    recent: Uid,
    counters: Counters,
}

impl MailboxChange {
    /// Reads the row of the mailbox, for a change with the next modification sequence; writes nothing yet. Fails if the
    /// mailbox does not exist.
    pub(super) fn begin(transaction: &Transaction<'_>, mailbox: i64) -> rusqlite::Result<Self> {
        let sql = "SELECT account, uidvalidity, uidnext, modseq + 1, recent,
                          messages, octets, unseen, deleted, deleted_octets, recents FROM mailbox WHERE id = ?1";
        transaction.prepare_cached(sql)?.query_row([mailbox], |row| {
            Ok(Self {
                account: row.get(0)?,
                mailbox,
                uidvalidity: row.get(1)?,
                uidnext: row.get(2)?,
                modseq: row.get(3)?,
                recent: row.get(4)?,
                counters: counters(row, 5)?,
            })
        })
    }

    /// Takes the next UID, which is never used again. As there is only one writer, UIDs ascend in the order of commits.
    pub(super) fn allocate_uid(&mut self) -> Uid {
        let uid = self.uidnext;
        self.uidnext += 1;
        uid
    }

    /// Counts a message that was inserted; in memory until [`Self::finish`] writes the counters.
    pub(super) fn add(&mut self, uid: Uid, flags: SystemFlags, size: u64) {
        self.counters.add(self.recent <= uid, flags, size);
    }

    /// No longer counts a message that was removed; in memory until [`Self::finish`] writes the counters.
    pub(super) fn remove(&mut self, uid: Uid, flags: SystemFlags, size: u64) {
        self.counters.remove(self.recent <= uid, flags, size);
    }

    /// Counts a message by its flags `after` the change in place of those `before`; in memory until [`Self::finish`].
    pub(super) fn set_flags(&mut self, uid: Uid, before: &Flags, after: &Flags, size: u64) {
        self.remove(uid, before.system, size);
        self.add(uid, after.system, size);
    }

    /// Writes the row of the mailbox as [`Self::finish`] does if there is a change, else nothing. Returns the
    /// modification sequence of the mailbox.
    pub(super) fn finish_if(self, is_changed: bool, transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
        let modseq = self.modseq;
        if !is_changed {
            return Ok(modseq - 1);
        }
        self.finish(transaction)?;
        Ok(modseq)
    }

    /// Writes the row of the mailbox, with the new counters, next UID and modification sequence.
    pub(super) fn finish(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let Self { mailbox, modseq, uidnext, counters, .. } = self;
        let Counters { messages, octets, unseen, deleted, deleted_octets, recents } = counters;
        let sql = "UPDATE mailbox SET uidnext = ?2, modseq = ?3, messages = ?4, octets = ?5, unseen = ?6, deleted = ?7,
                          deleted_octets = ?8, recents = ?9 WHERE id = ?1";
        let values = params![mailbox, uidnext, modseq, messages, octets, unseen, deleted, deleted_octets, recents];
        transaction.prepare_cached(sql)?.execute(values).map(drop)
    }
}

/// Counters from the columns `messages, octets, unseen, deleted, deleted_octets, recents`, from column `first` on.
pub(super) fn counters(row: &Row<'_>, first: usize) -> rusqlite::Result<Counters> {
    Ok(Counters {
        messages: row.get(first)?,
        octets: row.get(first + 1)?,
        unseen: row.get(first + 2)?,
        deleted: row.get(first + 3)?,
        deleted_octets: row.get(first + 4)?,
        recents: row.get(first + 5)?,
    })
}

/// Records that the messages of a mailbox before the UID `first` are not recent any more, and counts the recent ones
/// again. No effect if that was recorded for this or a higher UID.
pub(in crate::mda::mailboxes) fn record_recent(
    transaction: &Transaction<'_>,
    mailbox: i64,
    first: Uid,
) -> Result<(), store::Error> {
    let sql = "UPDATE mailbox SET recent = ?2,
                      recents = (SELECT count(*) FROM message WHERE mailbox = ?1 AND ?2 <= uid)
               WHERE id = ?1 AND recent < ?2";
    transaction.prepare_cached(sql)?.execute(params![mailbox, first])?;
    Ok(())
}

/// The number of messages of a mailbox from this UID on.
pub(in crate::mda::mailboxes) fn count_from(
    connection: &Connection,
    mailbox: i64,
    first: Uid,
) -> Result<u32, store::Error> {
    let sql = "SELECT count(*) FROM message WHERE mailbox = ?1 AND ?2 <= uid";
    Ok(connection.prepare_cached(sql)?.query_row(params![mailbox, first], |row| row.get(0))?)
}

/// The mailboxes whose counters differ from their messages, by id. Reads all rows.
pub(in crate::mda::mailboxes) fn miscounts(connection: &Connection) -> Result<Vec<Miscount>, store::Error> {
    let sql = "SELECT account.key, mailbox.name, messages, octets, unseen, deleted, deleted_octets, recents,
                      count(uid), ifnull(sum(size), 0), ifnull(sum(flags & ?1 = 0), 0), ifnull(sum(flags & ?2 != 0), 0),
                      ifnull(sum(size) FILTER (WHERE flags & ?2 != 0), 0), ifnull(sum(recent <= uid), 0)
               FROM mailbox JOIN account ON account.id = mailbox.account LEFT JOIN message ON message.mailbox = mailbox.id
               GROUP BY mailbox.id ORDER BY mailbox.id";
    let mut all = connection.prepare(sql)?;
    let mut rows = all.query(params![SystemFlags::SEEN.bits(), SystemFlags::DELETED.bits()])?;
    let mut wrong = Vec::new();
    while let Some(row) = rows.next()? {
        let (stored, counted) = (counters(row, 2)?, counters(row, 8)?);
        if stored != counted {
            wrong.push(Miscount { account: row.get(0)?, mailbox: row.get(1)?, stored, counted });
        }
    }
    Ok(wrong)
}
