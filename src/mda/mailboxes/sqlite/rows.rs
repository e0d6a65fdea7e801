//! Rows of accounts, mailboxes and messages, as every operation finds, inserts, copies and removes them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::counters::MailboxChange;
use super::entries::{self, Membership};
use super::summaries::insert_summary;
use super::views;
use crate::imap::{Flags, SystemFlags};
use crate::mda::mailboxes::append::MessageToInsert;
use crate::mda::mailboxes::open_mailbox::{Change, ChangeKind};
use crate::mda::mailboxes::{Error, MessageMeta, Uid};
use crate::store::{self, Transaction, content};

/// Records of expunged messages kept per mailbox, apart from those of the last [`PRUNE_INTERVAL`] changes.
pub(super) const MAX_RETAINED_RECORDS: u32 = 100_000;
/// Old records are deleted once in this many changes.
pub(super) const PRUNE_INTERVAL: u64 = 1_024;

/// The id of the account with this key; `None` if there is none.
pub(in crate::mda::mailboxes) fn find_account(connection: &Connection, key: &str) -> Result<Option<i64>, store::Error> {
    let sql = "SELECT id FROM account WHERE key = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?)
}

/// The ids of an account and its mailbox, by account key and stored name; `None` if either does not exist.
pub(in crate::mda::mailboxes) fn find(
    connection: &Connection,
    account: &str,
    name: &str,
) -> Result<Option<(i64, i64)>, store::Error> {
    let sql = "SELECT account.id, mailbox.id FROM account JOIN mailbox ON mailbox.account = account.id
               WHERE account.key = ?1 AND mailbox.name = ?2";
    let found = connection.prepare_cached(sql)?.query_row([account, name], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

/// The id of the mailbox with this stored name in an account; `None` if there is none.
pub(in crate::mda::mailboxes) fn find_in(
    connection: &Connection,
    account: i64,
    name: &str,
) -> Result<Option<i64>, store::Error> {
    let sql = "SELECT id FROM mailbox WHERE account = ?1 AND name = ?2";
    Ok(connection.prepare_cached(sql)?.query_row(params![account, name], |row| row.get(0)).optional()?)
}

/// The id and stored name of the mailbox of an account with this name in any (ASCII) case, the same case preferred;
/// `None` if there is none.
pub(in crate::mda::mailboxes) fn find_ignoring_case(
    connection: &Connection,
    account: i64,
    name: &str,
) -> Result<Option<(i64, String)>, store::Error> {
    let sql = "SELECT id, name FROM mailbox WHERE account = ?1 AND name = ?2 COLLATE NOCASE
               ORDER BY name = ?2 DESC, name LIMIT 1";
    let found = connection.prepare_cached(sql)?.query_row(params![account, name], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

/// The UIDs of all messages of a mailbox, in any order.
pub(in crate::mda::mailboxes) fn uids(connection: &Connection, mailbox: i64) -> Result<Vec<Uid>, store::Error> {
    let mut query = connection.prepare_cached("SELECT uid FROM message WHERE mailbox = ?1")?;
    Ok(query.query_map([mailbox], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Whether the mailbox has a message with this UID.
pub(in crate::mda::mailboxes) fn exists(connection: &Connection, mailbox: i64, uid: Uid) -> Result<bool, store::Error> {
    let sql = "SELECT 1 FROM message WHERE mailbox = ?1 AND uid = ?2";
    Ok(connection.prepare_cached(sql)?.exists(params![mailbox, uid])?)
}

/// Those of the UIDs whose message was changed after the modification sequence `since`, in the order given.
pub(in crate::mda::mailboxes) fn changed_since(
    connection: &Connection,
    mailbox: i64,
    uids: &[Uid],
    since: u64,
) -> Result<Vec<Uid>, store::Error> {
    let sql = "SELECT 1 FROM message WHERE mailbox = ?1 AND uid = ?2 AND ?3 < modseq";
    let mut changed = connection.prepare_cached(sql)?;
    let mut modified = vec![];
    for uid in uids {
        if changed.exists(params![mailbox, uid, since])? {
            modified.push(*uid);
        }
    }
    Ok(modified)
}

/// The UIDs of the messages with `\Deleted`, ascending.
pub(in crate::mda::mailboxes) fn deleted(connection: &Connection, mailbox: i64) -> Result<Vec<Uid>, store::Error> {
    let sql = "SELECT uid FROM message WHERE mailbox = ?1 AND flags & ?2 ORDER BY uid";
    let mut query = connection.prepare_cached(sql)?;
    let uids = query.query_map(params![mailbox, SystemFlags::DELETED.bits()], |row| row.get(0))?;
    Ok(uids.collect::<Result<_, _>>()?)
}

/// Inserts a message under the next UID, its content and its summary, and joins its entry of the catalogue. Returns
/// UIDVALIDITY, its UID, and the change.
pub(in crate::mda::mailboxes) fn insert(
    transaction: &Transaction<'_>,
    mailbox: i64,
    new_message: &MessageToInsert,
) -> Result<(u32, Uid, Change), store::Error> {
    let MessageToInsert { message, summary, received, saved, .. } = new_message;
    let (content, _) = content::put(transaction, &message.content)?;
    insert_summary(transaction, content, summary)?;
    let mut change = MailboxChange::begin(transaction, mailbox)?;
    let (uid, size) = (change.allocate_uid(), message.len() as u64);
    let joined = entries::join(transaction, change.account, (mailbox, uid), new_message)?;
    let Membership { entry, flags, is_new } = joined;
    if !message.trace.is_empty() || entry.is_some() {
        let journey = message.journey().map(|journey| journey.to_string());
        let sql = "INSERT INTO trace (mailbox, uid, octets, journey, entry) VALUES (?1, ?2, ?3, ?4, ?5)";
        transaction.prepare_cached(sql)?.execute(params![mailbox, uid, message.trace.as_ref(), journey, entry])?;
    }
    let meta = MessageMeta {
        uid,
        flags: flags.system,
        keywords: flags.keywords.into(),
        modseq: change.modseq,
        received: *received,
        saved: *saved,
        size,
        content,
        email: views::own_email_id(mailbox, uid),
    };
    insert_row(transaction, mailbox, &meta)?;
    change.add(uid, flags.system, size);
    let MailboxChange { account, uidvalidity, modseq, .. } = change;
    change.finish(transaction)?;
    let entries = entries::refresh_all(transaction, entry, is_new)?;
    Ok((uidvalidity, uid, Change { account, mailbox, modseq, kind: ChangeKind::Added(vec![meta]), entries }))
}

/// Inserts the row of a message into a mailbox; its trace, its content and the counters of the mailbox are the caller's
/// affair.
fn insert_row(transaction: &Transaction<'_>, mailbox: i64, message: &MessageMeta) -> rusqlite::Result<()> {
    let MessageMeta { uid, flags, keywords, modseq, received, saved, size, content, email } = message;
    let sql = "INSERT INTO message (mailbox, uid, content, flags, keywords, modseq, received, size, origin)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let (bits, keywords) = (flags.bits(), words(keywords));
    let has_own = saved == received && *email == views::own_email_id(mailbox, *uid);
    let origin = (!has_own).then(|| format!("{saved} {email}"));
    let values = params![mailbox, uid, content, bits, keywords, modseq, received, size, origin];
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}

/// Keywords as the column `keywords` holds them, with a space between; `None`, for NULL, if there are none.
fn words(keywords: &[String]) -> Option<String> {
    (!keywords.is_empty()).then(|| keywords.join(" "))
}

/// Replaces the flags of messages by what `new_flags` makes of the old ones, `None` for no change; UIDs that do not
/// exist are ignored. The change has its own modification sequence, or that of the mailbox if no message changed.
pub(in crate::mda::mailboxes) fn set_flags(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uids: &[Uid],
    new_flags: impl Fn(&Flags) -> Result<Option<Flags>, Error>,
) -> Result<Change, Error> {
    let uids = ascending(uids);
    let mut change = MailboxChange::begin(transaction, mailbox)?;
    let sql = "SELECT uid, flags, keywords, size FROM message WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3";
    let mut find = transaction.prepare_cached(sql)?;
    let mut changed: Vec<(Uid, Flags)> = Vec::new();
    let mut shown = Vec::new();
    for run in uids.chunk_by(|before, after| before.checked_add(1) == Some(*after)) {
        let mut rows = find.query(params![mailbox, run.first(), run.last()])?;
        while let Some(row) = rows.next()? {
            let old = views::flags(row, 1)?;
            if let Some(new) = new_flags(&old)? {
                let uid = row.get(0)?;
                change.set_flags(uid, &old, &new, row.get(3)?);
                if entries::shows_other(&old, &new) {
                    shown.push(uid);
                }
                changed.push((uid, new));
            }
        }
    }
    let sql = "UPDATE message SET flags = ?3, keywords = ?4, modseq = ?5 WHERE mailbox = ?1 AND uid = ?2";
    let mut update = transaction.prepare_cached(sql)?;
    let MailboxChange { account, modseq, .. } = change;
    for (uid, flags) in &changed {
        update.execute(params![mailbox, uid, flags.system.bits(), words(&flags.keywords), modseq])?;
    }
    let modseq = change.finish_if(!changed.is_empty(), transaction)?;
    let shown = shown.into_iter().filter_map(|uid| entries::of(transaction, mailbox, uid).transpose());
    let entries = entries::refresh_all(transaction, shown.collect::<Result<Vec<_>, _>>()?, false)?;
    Ok(Change { account, mailbox, modseq, kind: ChangeKind::Flagged(changed), entries })
}

/// The UIDs in ascending order, each once.
fn ascending(uids: &[Uid]) -> Cow<'_, [Uid]> {
    if uids.is_sorted_by(|before, after| before < after) {
        return uids.into();
    }
    let mut uids = uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    uids.into()
}

/// UIDVALIDITY of the target, the UIDs of originals and copies, both ascending, and the change of the target.
type Copies = (u32, Vec<(Uid, Uid)>, Change);

/// Copies messages into a mailbox, perhaps the same, under new UIDs, with flags, date of arrival and email id; UIDs
/// that do not exist are ignored. `now` is when the copies are saved. The catalogue has them as further copies of their
/// entries.
pub(in crate::mda::mailboxes) fn copy(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uids: &[Uid],
    target: i64,
    now: i64,
) -> Result<Copies, store::Error> {
    let uids = ascending(uids);
    let sql = "SELECT uid, flags, keywords, modseq, received, size, content, origin FROM message
               WHERE mailbox = ?1 AND uid = ?2";
    let read = |row: &Row<'_>| views::message(mailbox, |column| row.get_ref(column));
    let mut find = transaction.prepare_cached(sql)?;
    let mut found: Vec<MessageMeta> = Vec::new();
    for uid in uids.iter() {
        found.extend(find.query_row(params![mailbox, uid], read).optional()?);
    }
    let mut change = MailboxChange::begin(transaction, target)?;
    let MailboxChange { account, uidvalidity, modseq, .. } = change;
    let sql = "INSERT INTO trace SELECT ?3, ?4, octets, journey, entry FROM trace WHERE mailbox = ?1 AND uid = ?2";
    let mut trace = transaction.prepare_cached(sql)?;
    let mut copied = Vec::with_capacity(found.len());
    for message in &mut found {
        let uid = change.allocate_uid();
        trace.execute(params![mailbox, message.uid, target, uid])?;
        copied.push((message.uid, uid));
        (message.uid, message.modseq, message.saved) = (uid, modseq, now);
        insert_row(transaction, target, message)?;
        change.add(uid, message.flags, message.size);
        content::add_ref(transaction, message.content)?;
    }
    let modseq = change.finish_if(!found.is_empty(), transaction)?;
    let (kind, entries) = (ChangeKind::Added(found), Default::default());
    Ok((uidvalidity, copied, Change { account, mailbox: target, modseq, kind, entries }))
}

/// Deletes messages and records their UIDs as expunged, releases their contents, and updates their entries of the
/// catalogue; UIDs that do not exist are ignored. Returns the change, with the UIDs that existed in the order given; if
/// none did, with the modification sequence of the mailbox, which stays.
pub(in crate::mda::mailboxes) fn remove(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uids: &[Uid],
) -> Result<Change, store::Error> {
    let mut change = MailboxChange::begin(transaction, mailbox)?;
    let MailboxChange { account, modseq, .. } = change;
    let sql = "DELETE FROM message WHERE mailbox = ?1 AND uid = ?2 RETURNING content, flags, size";
    let mut delete = transaction.prepare_cached(sql)?;
    let mut delete_trace = transaction.prepare_cached("DELETE FROM trace WHERE mailbox = ?1 AND uid = ?2")?;
    let mut record_expunged = transaction.prepare_cached("INSERT INTO expunged VALUES (?1, ?2, ?3)")?;
    let (mut removed, mut left) = (Vec::new(), BTreeSet::new());
    for uid in uids {
        let gone = delete.query_row(params![mailbox, uid], |row| {
            Ok((row.get(0)?, SystemFlags::from_bits(row.get(1)?), row.get(2)?))
        });
        if let Some((content, flags, size)) = gone.optional()? {
            change.remove(*uid, flags, size);
            content::release(transaction, content)?;
            left.extend(entries::of(transaction, mailbox, *uid)?);
            delete_trace.execute(params![mailbox, uid])?;
            record_expunged.execute(params![mailbox, uid, modseq])?;
            removed.push(*uid);
        }
    }
    let modseq = change.finish_if(!removed.is_empty(), transaction)?;
    if !removed.is_empty() {
        prune(transaction, mailbox, modseq)?;
    }
    let entries = entries::leave(transaction, account, left)?;
    Ok(Change { account, mailbox, modseq, kind: ChangeKind::Expunged(removed), entries })
}

/// At every [`PRUNE_INTERVAL`]th change, by its modification sequence, deletes the oldest records of expunged messages
/// if there are more than [`MAX_RETAINED_RECORDS`], and notes up to which change they are missing.
fn prune(transaction: &Transaction<'_>, mailbox: i64, modseq: u64) -> rusqlite::Result<()> {
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

/// The UIDs of the mailbox that were expunged after this modification sequence; `None` if some of their records may
/// have been deleted, or the mailbox does not exist.
pub(in crate::mda::mailboxes) fn expunged_since(
    connection: &Connection,
    mailbox: i64,
    modseq: u64,
) -> Result<Option<Vec<Uid>>, store::Error> {
    let sql = "SELECT forgotten FROM mailbox WHERE id = ?1";
    let forgotten: Option<u64> = connection.prepare_cached(sql)?.query_row([mailbox], |row| row.get(0)).optional()?;
    if forgotten.is_none_or(|forgotten| modseq < forgotten) {
        return Ok(None);
    }
    let sql = "SELECT uid FROM expunged WHERE mailbox = ?1 AND ?2 < modseq";
    let mut expunged = connection.prepare_cached(sql)?;
    let uids = expunged.query_map(params![mailbox, modseq], |row| row.get(0))?;
    Ok(Some(uids.collect::<Result<_, _>>()?))
}
