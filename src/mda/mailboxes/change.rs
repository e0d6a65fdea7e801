//! Changes to messages that are there: flags, copies, moves, the end.

use rusqlite::{OptionalExtension, params};

use super::file::{Slot, check, insert};
use super::name::canonical;
use super::quota::Usage;
use super::shelf::{self, Change, What};
use super::vanished::forget;
use super::{Error, Mailbox, Message, Uid, date, quota, tree};
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::store::{Transaction, content};

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
    /// had those flags already keep their own. It is quickest with UIDs in order.
    ///
    /// # Errors
    /// There are too many keywords, or it is not stored.
    pub async fn store(&self, uids: Vec<Uid>, mode: StoreMode, flags: Flags) -> Result<u64, Error> {
        check(&flags)?;
        let id = self.shelf.id;
        self.mailboxes.change(move |transaction| set_flags(transaction, id, &uids, mode, &flags)).await
    }

    /// The same, but messages with a change after this one stay as they are: their UIDs are returned, ascending.
    /// RFC 7162 §3.1.3.
    ///
    /// # Errors
    /// As above.
    pub async fn store_unchanged(
        &self,
        mut uids: Vec<Uid>,
        mode: StoreMode,
        flags: Flags,
        since: Option<u64>,
    ) -> Result<Vec<Uid>, Error> {
        let Some(since) = since else { return self.store(uids, mode, flags).await.map(|_| vec![]) };
        check(&flags)?;
        let id = self.shelf.id;
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
        self.mailboxes.change(job).await
    }

    /// Copies messages with their flags and internal dates into a mailbox of the account. All of them or none.
    ///
    /// # Errors
    /// There is no such mailbox, it is more than the account's quota allows, or nothing is stored.
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
            let change = remove(transaction, id, &uids)?;
            Ok((change.expunged(), vec![change]))
        };
        self.mailboxes.change(job).await
    }

    /// Removes messages, whatever their flags, as POP3 does. Returns those that were there.
    ///
    /// # Errors
    /// It is not stored.
    pub async fn remove(&self, uids: Vec<Uid>) -> Result<Vec<Uid>, Error> {
        let id = self.shelf.id;
        let job = move |transaction: &Transaction<'_>| {
            let change = remove(transaction, id, &uids)?;
            Ok((change.expunged(), vec![change]))
        };
        self.mailboxes.change(job).await
    }

    async fn transfer(&self, uids: Vec<Uid>, mailbox: &str, leave: bool) -> Result<Copied, Error> {
        let (id, account, name, now) = (self.shelf.id, self.account, canonical(mailbox)?, self.mailboxes.now());
        let quotas = self.mailboxes.quotas();
        let job = move |transaction: &Transaction<'_>| {
            let target = tree::find_in(transaction, account, &name)?.ok_or(Error::NoMailbox(name))?;
            let (copied, arrived) = copy(transaction, id, &uids, target, now)?;
            let mut changes = vec![arrived];
            if leave {
                let originals: Vec<Uid> = copied.uids.iter().map(|(original, _)| *original).collect();
                changes.push(remove(transaction, id, &originals)?);
            } else {
                quota::check(transaction, &quotas, account, &changes)?;
            }
            Ok((copied, changes))
        };
        self.mailboxes.change(job).await
    }
}

/// The account, and the number of the change that is being made.
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
            let old = shelf::flags(row.get(1)?, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
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
    Ok((modseq, vec![Change { account, mailbox, modseq, what: What::Flagged(changed) }]))
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
    let mut found: Vec<Message> = Vec::new();
    for uid in uids {
        found.extend(find.query_row(params![mailbox, uid], shelf::message).optional()?);
    }
    let Slot { account, uidvalidity, uid: first, modseq } = Slot::take(transaction, target, Usage::of(&found))?;
    let sql = "INSERT INTO trace SELECT ?3, ?4, octets, journey FROM trace WHERE mailbox = ?1 AND uid = ?2";
    let mut trace = transaction.prepare_cached(sql)?;
    let mut copied = Copied { uidvalidity, uids: Vec::with_capacity(found.len()) };
    for (message, uid) in found.iter_mut().zip(first..) {
        trace.execute(params![mailbox, message.uid, target, uid])?;
        copied.uids.push((message.uid, uid));
        (message.uid, message.modseq, message.saved) = (uid, modseq, date(now));
        insert(transaction, target, message)?;
        content::add_ref(transaction, message.content)?;
    }
    Ok((copied, Change { account, mailbox: target, modseq, what: What::Arrived(found) }))
}

/// Removes messages and keeps in mind that they were there.
pub(super) fn remove(transaction: &Transaction<'_>, mailbox: i64, uids: &[Uid]) -> Result<Change, Error> {
    let (account, modseq) = next_modseq(transaction, mailbox)?;
    let sql = "DELETE FROM message WHERE mailbox = ?1 AND uid = ?2 RETURNING content, size";
    let mut delete = transaction.prepare_cached(sql)?;
    let mut delete_trace = transaction.prepare_cached("DELETE FROM trace WHERE mailbox = ?1 AND uid = ?2")?;
    let mut remember = transaction.prepare_cached("INSERT INTO expunged VALUES (?1, ?2, ?3)")?;
    let (mut removed, mut octets) = (Vec::new(), 0);
    for uid in uids {
        let gone = delete.query_row(params![mailbox, uid], |row| Ok((row.get(0)?, row.get::<_, u64>(1)?)));
        if let Some((content, size)) = gone.optional()? {
            octets += size;
            content::release(transaction, content)?;
            delete_trace.execute(params![mailbox, uid])?;
            remember.execute(params![mailbox, uid, modseq])?;
            removed.push(*uid);
        }
    }
    let sql = "UPDATE mailbox SET messages = messages - ?2, octets = octets - ?3 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![mailbox, removed.len(), octets])?;
    forget(transaction, mailbox, modseq)?;
    Ok(Change { account, mailbox, modseq, what: What::Expunged(removed) })
}

impl Change {
    fn expunged(&self) -> Vec<Uid> {
        if let What::Expunged(uids) = &self.what { uids.clone() } else { vec![] }
    }
}
