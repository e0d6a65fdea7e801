//! Changes to messages that are there: flags, copies, moves, the end.

use rusqlite::{OptionalExtension, Transaction, params};

use super::file::{Slot, check};
use super::name::canonical;
use super::{Error, Mailbox, Uid, tree, view};
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::store::content;

/// Where copies are. RFC 9051 §7.1 (COPYUID).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the mailbox that holds the copies.
    pub uidvalidity: u32,
    /// UIDs of the originals and of their copies, both ascending.
    pub uids: Vec<(Uid, Uid)>,
}

impl Mailbox {
    /// Changes flags of messages; those that are gone are passed over. Returns the number of the change; messages that
    /// had those flags already keep their own.
    ///
    /// # Errors
    /// There are too many keywords, or it is not stored.
    pub async fn store(&self, uids: Vec<Uid>, mode: StoreMode, flags: Flags) -> Result<u64, Error> {
        check(&flags)?;
        let id = self.shelf.id;
        let modseq = self.mailboxes.write(move |transaction| set_flags(transaction, id, &uids, mode, &flags)).await?;
        self.mailboxes.wake(id, modseq);
        Ok(modseq)
    }

    /// Copies messages with their flags and internal dates into a mailbox of the account. All of them or none.
    ///
    /// # Errors
    /// There is no such mailbox, or nothing is stored.
    pub async fn copy_to(&self, uids: Vec<Uid>, mailbox: &str) -> Result<Copied, Error> {
        self.transfer(uids, mailbox, false).await
    }

    /// Moves messages into a mailbox of the account: there is no moment with none or two of them. RFC 6851 §3.
    ///
    /// # Errors
    /// There is no such mailbox, or nothing is moved.
    pub async fn move_to(&self, uids: Vec<Uid>, mailbox: &str) -> Result<Copied, Error> {
        self.transfer(uids, mailbox, true).await
    }

    /// Removes the messages with `\Deleted`, if `only` is given those among them. RFC 9051 §6.4.3, §6.4.9.
    ///
    /// # Errors
    /// It is not stored.
    pub async fn expunge(&self, only: Option<Vec<Uid>>) -> Result<Vec<Uid>, Error> {
        let id = self.shelf.id;
        let job = move |transaction: &Transaction<'_>| {
            let sql = "SELECT uid FROM message WHERE mailbox = ?1 AND flags & ?2 ORDER BY uid";
            let mut deleted = transaction.prepare_cached(sql)?;
            let deleted = deleted.query_map(params![id, SystemFlags::DELETED.bits()], |row| row.get(0))?;
            let mut uids = deleted.collect::<Result<Vec<Uid>, _>>()?;
            if let Some(mut only) = only {
                only.sort_unstable();
                uids.retain(|uid| only.binary_search(uid).is_ok());
            }
            remove(transaction, id, &uids)
        };
        let (removed, modseq) = self.mailboxes.write(job).await?;
        self.mailboxes.wake(id, modseq);
        Ok(removed)
    }

    /// Removes messages, whatever their flags, as POP3 does. Returns those that were there.
    ///
    /// # Errors
    /// It is not stored.
    pub async fn remove(&self, uids: Vec<Uid>) -> Result<Vec<Uid>, Error> {
        let id = self.shelf.id;
        let (removed, modseq) = self.mailboxes.write(move |transaction| remove(transaction, id, &uids)).await?;
        self.mailboxes.wake(id, modseq);
        Ok(removed)
    }

    async fn transfer(&self, uids: Vec<Uid>, mailbox: &str, leave: bool) -> Result<Copied, Error> {
        let (id, account, name, now) = (self.shelf.id, self.account, canonical(mailbox)?, self.mailboxes.now());
        let job = move |transaction: &Transaction<'_>| {
            let target = tree::find_in(transaction, account, &name)?.ok_or(Error::NoMailbox(name))?;
            let (copied, modseq) = copy(transaction, id, &uids, target, now)?;
            let originals: Vec<Uid> = copied.uids.iter().map(|(original, _)| *original).collect();
            let left = if leave { remove(transaction, id, &originals)?.1 } else { 0 };
            Ok((copied, [(target, modseq), (id, left)]))
        };
        let (copied, changes) = self.mailboxes.write(job).await?;
        changes.iter().for_each(|(mailbox, modseq)| self.mailboxes.wake(*mailbox, *modseq));
        Ok(copied)
    }
}

/// The number of the change that is being made.
fn next_modseq(transaction: &Transaction<'_>, mailbox: i64) -> rusqlite::Result<u64> {
    let sql = "UPDATE mailbox SET modseq = modseq + 1 WHERE id = ?1 RETURNING modseq";
    transaction.prepare_cached(sql)?.query_row([mailbox], |row| row.get(0))
}

fn set_flags(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uids: &[Uid],
    mode: StoreMode,
    given: &Flags,
) -> Result<u64, Error> {
    let modseq = next_modseq(transaction, mailbox)?;
    let mut find = transaction.prepare_cached("SELECT flags, keywords FROM message WHERE mailbox = ?1 AND uid = ?2")?;
    let sql = "UPDATE message SET flags = ?3, keywords = ?4, modseq = ?5 WHERE mailbox = ?1 AND uid = ?2";
    let mut update = transaction.prepare_cached(sql)?;
    for uid in uids {
        let now = |row: &rusqlite::Row<'_>| Ok(view::flags(row.get(0)?, row.get_ref(1)?.as_str()?));
        let Some(old) = find.query_row(params![mailbox, uid], now).optional()? else { continue };
        let new = combine(&old, mode, given);
        check(&new)?;
        if new != old {
            update.execute(params![mailbox, uid, new.system.bits(), new.keywords.join(" "), modseq])?;
        }
    }
    Ok(modseq)
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
) -> Result<(Copied, u64), Error> {
    let mut uids = uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    let mut there = transaction.prepare_cached("SELECT content FROM message WHERE mailbox = ?1 AND uid = ?2")?;
    let mut found: Vec<(Uid, i64)> = Vec::new();
    for uid in uids {
        let content = there.query_row(params![mailbox, uid], |row| row.get(0)).optional()?;
        found.extend(content.map(|content| (uid, content)));
    }
    let count = u32::try_from(found.len()).map_err(|_| Error::TooMany("messages"))?;
    let slot = Slot::take(transaction, target, count)?;
    let sql = "INSERT INTO message SELECT ?3, ?4, content, trace, flags, keywords, ?5, received, ?6, size, journey,
               structure FROM message WHERE mailbox = ?1 AND uid = ?2";
    let mut insert = transaction.prepare_cached(sql)?;
    let mut copied = Copied { uidvalidity: slot.uidvalidity, uids: Vec::with_capacity(found.len()) };
    for ((uid, content), new) in found.into_iter().zip(slot.uid..) {
        insert.execute(params![mailbox, uid, target, new, slot.modseq, now])?;
        content::reuse(transaction, content)?;
        copied.uids.push((uid, new));
    }
    Ok((copied, slot.modseq))
}

/// Removes messages and keeps in mind that they were there. Returns those found, and the number of the change.
pub(super) fn remove(transaction: &Transaction<'_>, mailbox: i64, uids: &[Uid]) -> Result<(Vec<Uid>, u64), Error> {
    let modseq = next_modseq(transaction, mailbox)?;
    let sql = "DELETE FROM message WHERE mailbox = ?1 AND uid = ?2 RETURNING content";
    let mut delete = transaction.prepare_cached(sql)?;
    let mut remember = transaction.prepare_cached("INSERT INTO expunged VALUES (?1, ?2, ?3)")?;
    let mut removed = Vec::new();
    for uid in uids {
        if let Some(content) = delete.query_row(params![mailbox, uid], |row| row.get(0)).optional()? {
            content::release(transaction, content)?;
            remember.execute(params![mailbox, uid, modseq])?;
            removed.push(*uid);
        }
    }
    Ok((removed, modseq))
}
