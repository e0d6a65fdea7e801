//! Changes existing messages: flags, copy, move, expunge.

use super::append::check_keywords;
use super::name::canonical;
use super::open_mailbox::{Change, ChangeKind};
use super::{Error, Mailbox, Mailboxes, Uid, quota, sqlite};
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::store::Transaction;

/// The result of a copy. RFC 9051 §7.1 (COPYUID).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the mailbox that holds the copies.
    pub uidvalidity: u32,
    /// UIDs of the originals and of their copies, both ascending.
    pub uids: Vec<(Uid, Uid)>,
}

impl Mailbox {
    /// Changes flags of messages; UIDs that do not exist are ignored, and messages that already had the flags keep their
    /// modification sequence. Returns the one of the change; if no message changed, that of the mailbox, which stays.
    /// Fastest with ascending UIDs.
    ///
    /// # Errors
    /// There are too many keywords, or the change cannot be stored.
    pub async fn store(&self, uids: Vec<Uid>, mode: StoreMode, flags: Flags) -> Result<u64, Error> {
        check_keywords(&flags)?;
        let (id, mailboxes) = (self.shared.id, self.mailboxes_for(mode, &flags));
        let job = move |transaction: &Transaction<'_>| {
            let change = set_flags(transaction, id, &uids, mode, &flags)?;
            Ok((change.modseq, vec![change]))
        };
        mailboxes.change(job).await
    }

    /// Changes flags of messages as [`Self::store`] does, except of those changed after the modification sequence
    /// `since`: they stay as they are, and their UIDs are returned, ascending. `None` changes all and returns no UIDs.
    /// RFC 7162 §3.1.3.
    ///
    /// # Errors
    /// As for [`Self::store`].
    pub async fn store_unchanged(
        &self,
        uids: Vec<Uid>,
        mode: StoreMode,
        flags: Flags,
        since: Option<u64>,
    ) -> Result<Vec<Uid>, Error> {
        let Some(since) = since else { return self.store(uids, mode, flags).await.map(|_| vec![]) };
        check_keywords(&flags)?;
        let (id, mailboxes) = (self.shared.id, self.mailboxes_for(mode, &flags));
        let job = move |transaction: &Transaction<'_>| {
            let mut modified = sqlite::changed_since(transaction, id, &uids, since)?;
            modified.sort_unstable();
            let mut uids = uids.clone();
            uids.retain(|uid| modified.binary_search(uid).is_err());
            if uids.is_empty() {
                return Ok((modified, vec![]));
            }
            Ok((modified, vec![set_flags(transaction, id, &uids, mode, &flags)?]))
        };
        mailboxes.change(job).await
    }

    /// The handle by which to make a change of flags: one whose changes a full disk lets pass if it sets `\Deleted`,
    /// since that is the first half of deleting messages; else that of the mailbox.
    fn mailboxes_for(&self, mode: StoreMode, flags: &Flags) -> Mailboxes {
        let deletes = mode != StoreMode::Remove && flags.system.contains(SystemFlags::DELETED);
        if deletes { self.mailboxes.freeing() } else { self.mailboxes.clone() }
    }

    /// Copies messages with their flags and internal dates into a mailbox of the same account, all of them or none.
    /// Returns the UIDs of originals and copies. UIDs that do not exist are ignored.
    ///
    /// # Errors
    /// The mailbox does not exist, the quota of the account is exceeded, or the copies cannot be stored.
    pub async fn copy_to(&self, uids: Vec<Uid>, mailbox: &str) -> Result<Copied, Error> {
        self.transfer(uids, mailbox, false).await
    }

    /// Moves messages into a mailbox of the same account, atomically, whatever its quota and also on a full disk.
    /// Returns the old and the new UIDs. UIDs that do not exist are ignored. RFC 6851 §3.
    ///
    /// # Errors
    /// The mailbox does not exist, or the change cannot be stored.
    pub async fn move_to(&self, uids: Vec<Uid>, mailbox: &str) -> Result<Copied, Error> {
        self.transfer(uids, mailbox, true).await
    }

    /// Removes the messages with `\Deleted`, or, if `only` is given, those of them among these UIDs. Returns the UIDs
    /// of the removed messages, ascending. RFC 9051 §6.4.3, §6.4.9.
    ///
    /// # Errors
    /// The change cannot be stored.
    pub async fn expunge(&self, mut only: Option<Vec<Uid>>) -> Result<Vec<Uid>, Error> {
        let id = self.shared.id;
        only.iter_mut().for_each(|only| only.sort_unstable());
        let job = move |transaction: &Transaction<'_>| {
            let mut uids = sqlite::deleted(transaction, id)?;
            if let Some(only) = &only {
                uids.retain(|uid| only.binary_search(uid).is_ok());
            }
            let change = sqlite::remove(transaction, id, &uids)?;
            Ok((change.expunged(), vec![change]))
        };
        self.mailboxes.freeing().change(job).await
    }

    /// Removes messages whatever their flags, as POP3 does, also on a full disk. Returns the UIDs of those that
    /// existed, in the order given.
    ///
    /// # Errors
    /// The change cannot be stored.
    pub async fn remove(&self, uids: Vec<Uid>) -> Result<Vec<Uid>, Error> {
        let id = self.shared.id;
        let job = move |transaction: &Transaction<'_>| {
            let change = sqlite::remove(transaction, id, &uids)?;
            Ok((change.expunged(), vec![change]))
        };
        self.mailboxes.freeing().change(job).await
    }

    /// Copies messages into a mailbox of the same account; if `remove_originals`, moves them, and then without a check
    /// of the quota and even on a full disk. All or none; UIDs that do not exist are ignored. Returns the UIDs of
    /// originals and copies.
    async fn transfer(&self, uids: Vec<Uid>, mailbox: &str, remove_originals: bool) -> Result<Copied, Error> {
        let (id, account, name, now) = (self.shared.id, self.account, canonical(mailbox)?, self.mailboxes.now());
        let quotas = self.mailboxes.quotas();
        let job = move |transaction: &Transaction<'_>| {
            let target = sqlite::find_in(transaction, account, &name)?.ok_or_else(|| Error::NoMailbox(name.clone()))?;
            let (uidvalidity, uids, arrived) = sqlite::copy(transaction, id, &uids, target, now)?;
            let mut changes = vec![arrived];
            if remove_originals {
                let originals: Vec<Uid> = uids.iter().map(|(original, _)| *original).collect();
                changes.push(sqlite::remove(transaction, id, &originals)?);
            } else {
                quota::check(transaction, &quotas, account, &changes)?;
            }
            Ok((Copied { uidvalidity, uids }, changes))
        };
        // Many clients delete by moving to Trash, and as many rows go as come.
        let mailboxes = if remove_originals { self.mailboxes.freeing() } else { self.mailboxes.clone() };
        mailboxes.change(job).await
    }
}

/// Changes the flags of messages by the `given` ones, as the mode says; UIDs that do not exist are ignored. Messages
/// that already have the new flags keep their modification sequence; fails if a message would get too many keywords.
pub(super) fn set_flags(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uids: &[Uid],
    mode: StoreMode,
    given: &Flags,
) -> Result<Change, Error> {
    sqlite::set_flags(transaction, mailbox, uids, |old| {
        let new = mode.apply(old, given);
        if new == *old {
            return Ok(None);
        }
        check_keywords(&new)?;
        Ok(Some(new))
    })
}

impl Change {
    /// The UIDs of the messages that the change expunged; none for a change of another kind.
    fn expunged(&self) -> Vec<Uid> {
        if let ChangeKind::Expunged(uids) = &self.kind { uids.clone() } else { vec![] }
    }
}
