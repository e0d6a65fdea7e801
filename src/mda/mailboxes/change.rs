//! Changes existing messages: flags, copy, move, expunge.

use rusqlite::{OptionalExtension, params};

use super::append::{UidAllocation, check, insert_row};
use super::name::canonical;
use super::open_mailbox::{self, Change, ChangeKind};
use super::quota::Usage;
use super::vanished::prune;
use super::{Error, Mailbox, Mailboxes, MessageMeta, Uid, date, quota, tree};
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::store::{Transaction, content};

/// The result of a copy. RFC 9051 §7.1 (COPYUID).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the mailbox that holds the copies.
    pub uidvalidity: u32,
    /// UIDs of the originals and of their copies, both ascending.
    pub uids: Vec<(Uid, Uid)>,
}

impl Mailbox {
    /// Changes flags of messages; UIDs that do not exist are ignored. Returns the modification sequence of the change;
    /// messages that already had the flags keep their own. Fastest with ascending UIDs.
    ///
    /// # Errors
    /// There are too many keywords, or the change cannot be stored.
    pub async fn store(&self, uids: Vec<Uid>, mode: StoreMode, flags: Flags) -> Result<u64, Error> {
        check(&flags)?;
        let id = self.shared.id;
        let mailboxes = self.mailboxes_for(mode, &flags);
        mailboxes.change(move |transaction| set_flags(transaction, id, &uids, mode, &flags)).await
    }

    /// The same, except for messages changed after this modification sequence: they stay as they are, and their UIDs
    /// are returned, ascending. RFC 7162 §3.1.3.
    ///
    /// # Errors
    /// As for [`Self::store`].
    pub async fn store_unchanged(
        &self,
        mut uids: Vec<Uid>,
        mode: StoreMode,
        flags: Flags,
        since: Option<u64>,
    ) -> Result<Vec<Uid>, Error> {
        let Some(since) = since else { return self.store(uids, mode, flags).await.map(|_| vec![]) };
        check(&flags)?;
        let (id, mailboxes) = (self.shared.id, self.mailboxes_for(mode, &flags));
        let job = move |transaction: &Transaction<'_>| {
            let sql = "SELECT 1 FROM message WHERE mailbox = ?1 AND uid = ?2 AND ?3 < modseq";
            let mut changed = transaction.prepare_cached(sql)?;
            let mut modified = vec![];
            for uid in &uids {
                if changed.exists(params![id, uid, since])? {
                    modified.push(*uid);
                }
            }
            modified.sort_unstable();
            uids.retain(|uid| modified.binary_search(uid).is_err());
            let changes = if uids.is_empty() { vec![] } else { set_flags(transaction, id, &uids, mode, &flags)?.1 };
            Ok((modified, changes))
        };
        mailboxes.change(job).await
    }

    /// To mark messages `\Deleted` is the first half of deleting them.
    fn mailboxes_for(&self, mode: StoreMode, flags: &Flags) -> Mailboxes {
        let deletes = mode != StoreMode::Remove && flags.system.contains(SystemFlags::DELETED);
        if deletes { self.mailboxes.freeing() } else { self.mailboxes.clone() }
    }

    /// Copies messages with their flags and internal dates into a mailbox of the account, all of them or none.
    ///
    /// # Errors
    /// The mailbox does not exist, the quota of the account is exceeded, or the copies cannot be stored.
    pub async fn copy_to(&self, uids: Vec<Uid>, mailbox: &str) -> Result<Copied, Error> {
        self.transfer(uids, mailbox, false).await
    }

    /// Moves messages into a mailbox of the account, atomically. RFC 6851 §3.
    ///
    /// # Errors
    /// The mailbox does not exist, or the change cannot be stored.
    pub async fn move_to(&self, uids: Vec<Uid>, mailbox: &str) -> Result<Copied, Error> {
        self.transfer(uids, mailbox, true).await
    }

    /// Removes the messages with `\Deleted`, or, if `only` is given, those of them among these UIDs. RFC 9051 §6.4.3,
    /// §6.4.9.
    ///
    /// # Errors
    /// The change cannot be stored.
    pub async fn expunge(&self, only: Option<Vec<Uid>>) -> Result<Vec<Uid>, Error> {
        let id = self.shared.id;
        let job = move |transaction: &Transaction<'_>| {
            let sql = "SELECT uid FROM message WHERE mailbox = ?1 AND flags & ?2 ORDER BY uid";
            let mut deleted = transaction.prepare_cached(sql)?;
            let deleted = deleted.query_map(params![id, SystemFlags::DELETED.bits()], |row| row.get(0))?;
            let mut uids = deleted.collect::<Result<Vec<Uid>, _>>()?;
            if let Some(mut only) = only {
                only.sort_unstable();
                uids.retain(|uid| only.binary_search(uid).is_ok());
            }
            let change = remove(transaction, id, &uids)?;
            Ok((change.expunged(), vec![change]))
        };
        self.mailboxes.freeing().change(job).await
    }

    /// Removes messages whatever their flags, as POP3 does. Returns the UIDs of those that existed.
    ///
    /// # Errors
    /// The change cannot be stored.
    pub async fn remove(&self, uids: Vec<Uid>) -> Result<Vec<Uid>, Error> {
        let id = self.shared.id;
        let job = move |transaction: &Transaction<'_>| {
            let change = remove(transaction, id, &uids)?;
            Ok((change.expunged(), vec![change]))
        };
        self.mailboxes.freeing().change(job).await
    }

    async fn transfer(&self, uids: Vec<Uid>, mailbox: &str, remove_originals: bool) -> Result<Copied, Error> {
        let (id, account, name, now) = (self.shared.id, self.account, canonical(mailbox)?, self.mailboxes.now());
        let quotas = self.mailboxes.quotas();
        let job = move |transaction: &Transaction<'_>| {
            let target = tree::find_in(transaction, account, &name)?.ok_or(Error::NoMailbox(name))?;
            let (copied, arrived) = copy(transaction, id, &uids, target, now)?;
            let mut changes = vec![arrived];
            if remove_originals {
                let originals: Vec<Uid> = copied.uids.iter().map(|(original, _)| *original).collect();
                changes.push(remove(transaction, id, &originals)?);
            } else {
                quota::check(transaction, &quotas, account, &changes)?;
            }
            Ok((copied, changes))
        };
        // Many clients delete by moving to Trash, and as many rows go as come.
        let mailboxes = if remove_originals { self.mailboxes.freeing() } else { self.mailboxes.clone() };
        mailboxes.change(job).await
    }
}

/// The account, and the modification sequence of this change.
fn next_modseq(transaction: &Transaction<'_>, mailbox: i64) -> rusqlite::Result<(i64, u64)> {
    let sql = "UPDATE mailbox SET modseq = modseq + 1 WHERE id = ?1 RETURNING account, modseq";
    transaction.prepare_cached(sql)?.query_row([mailbox], |row| Ok((row.get(0)?, row.get(1)?)))
}

pub(super) fn set_flags(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uids: &[Uid],
    mode: StoreMode,
    given: &Flags,
) -> Result<(u64, Vec<Change>), Error> {
    let (account, modseq) = next_modseq(transaction, mailbox)?;
    let sql = "SELECT uid, flags, keywords FROM message WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3";
    let mut find = transaction.prepare_cached(sql)?;
    let mut changed: Vec<(Uid, Flags)> = Vec::new();
    for run in uids.chunk_by(|before, after| before.checked_add(1) == Some(*after)) {
        let mut rows = find.query(params![mailbox, run.first(), run.last()])?;
        while let Some(row) = rows.next()? {
            let old = open_mailbox::flags(row.get(1)?, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
            let new = combine(&old, mode, given);
            if new != old {
                check(&new)?;
                changed.push((row.get(0)?, new));
            }
        }
    }
    let sql = "UPDATE message SET flags = ?3, keywords = ?4, modseq = ?5 WHERE mailbox = ?1 AND uid = ?2";
    let mut update = transaction.prepare_cached(sql)?;
    for (uid, flags) in &changed {
        update.execute(params![mailbox, uid, flags.system.bits(), flags.keywords.join(" "), modseq])?;
    }
    Ok((modseq, vec![Change { account, mailbox, modseq, kind: ChangeKind::Flagged(changed) }]))
}

fn combine(old: &Flags, mode: StoreMode, given: &Flags) -> Flags {
    let mut new = old.clone();
    match mode {
        StoreMode::Replace => return given.clone(),
        StoreMode::Add => {
            new.system = old.system.with(given.system);
            given.keywords.iter().for_each(|word| new.add_keyword(word));
        }
        StoreMode::Remove => {
            new.system = old.system.without(given.system);
            new.keywords.retain(|word| !given.keywords.iter().any(|gone| gone.eq_ignore_ascii_case(word)));
        }
    }
    new
}

pub(super) fn copy(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uids: &[Uid],
    target: i64,
    now: i64,
) -> Result<(Copied, Change), Error> {
    let mut uids = uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    let sql = "SELECT uid, flags, keywords, modseq, received, saved, size, content, email FROM message
               WHERE mailbox = ?1 AND uid = ?2";
    let mut find = transaction.prepare_cached(sql)?;
    let mut found: Vec<MessageMeta> = Vec::new();
    for uid in uids {
        found.extend(find.query_row(params![mailbox, uid], open_mailbox::message).optional()?);
    }
    let UidAllocation { account, uidvalidity, uid: first, modseq } =
        UidAllocation::allocate(transaction, target, Usage::of(&found))?;
    let sql = "INSERT INTO trace SELECT ?3, ?4, octets, journey FROM trace WHERE mailbox = ?1 AND uid = ?2";
    let mut trace = transaction.prepare_cached(sql)?;
    let mut copied = Copied { uidvalidity, uids: Vec::with_capacity(found.len()) };
    for (message, uid) in found.iter_mut().zip(first..) {
        trace.execute(params![mailbox, message.uid, target, uid])?;
        copied.uids.push((message.uid, uid));
        (message.uid, message.modseq, message.saved) = (uid, modseq, date(now));
        insert_row(transaction, target, message)?;
        content::add_ref(transaction, message.content)?;
    }
    Ok((copied, Change { account, mailbox: target, modseq, kind: ChangeKind::Added(found) }))
}

/// Removes messages and records their UIDs as expunged.
pub(super) fn remove(transaction: &Transaction<'_>, mailbox: i64, uids: &[Uid]) -> Result<Change, Error> {
    let (account, modseq) = next_modseq(transaction, mailbox)?;
    let sql = "DELETE FROM message WHERE mailbox = ?1 AND uid = ?2 RETURNING content, size";
    let mut delete = transaction.prepare_cached(sql)?;
    let mut delete_trace = transaction.prepare_cached("DELETE FROM trace WHERE mailbox = ?1 AND uid = ?2")?;
    let mut record_expunged = transaction.prepare_cached("INSERT INTO expunged VALUES (?1, ?2, ?3)")?;
    let (mut removed, mut bytes) = (Vec::new(), 0);
    for uid in uids {
        let gone = delete.query_row(params![mailbox, uid], |row| Ok((row.get(0)?, row.get::<_, u64>(1)?)));
        if let Some((content, size)) = gone.optional()? {
            bytes += size;
            content::release(transaction, content)?;
            delete_trace.execute(params![mailbox, uid])?;
            record_expunged.execute(params![mailbox, uid, modseq])?;
            removed.push(*uid);
        }
    }
    let sql = "UPDATE mailbox SET messages = messages - ?2, octets = octets - ?3 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![mailbox, removed.len(), bytes])?;
    prune(transaction, mailbox, modseq)?;
    Ok(Change { account, mailbox, modseq, kind: ChangeKind::Expunged(removed) })
}

impl Change {
    fn expunged(&self) -> Vec<Uid> {
        if let ChangeKind::Expunged(uids) = &self.kind { uids.clone() } else { vec![] }
    }
}
