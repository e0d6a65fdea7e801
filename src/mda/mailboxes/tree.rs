//! Accounts and their mailbox trees: RFC 9051 §6.3.4 to §6.3.8.

use super::account_feed::{AccountEvent, CommittedChanges};
use super::name::{INBOX, canonical, is_within, parents};
use super::open_mailbox::{Change, ChangeKind};
use super::special_use::{SpecialUse, parse_uses};
use super::{Error, Mailboxes, sqlite};
use crate::store::Transaction;

/// Most mailboxes of an account.
const MAX_MAILBOXES: usize = 2_000;

impl Mailboxes {
    /// Creates the account with this key, with INBOX and a mailbox for each special use, all subscribed, unless it
    /// exists.
    ///
    /// # Errors
    /// The change cannot be stored.
    pub async fn ensure_account(&self, account: &str) -> Result<(), Error> {
        if self.store.read(|connection| sqlite::find(connection, account, INBOX))?.is_some() {
            return Ok(());
        }
        let (account, now) = (account.to_owned(), self.now());
        self.write(move |transaction| ensure_account(transaction, &account, now).map(drop)).await
    }

    /// Creates a mailbox and its missing parents; also the account with this key, if it does not exist. RFC 9051
    /// §6.3.4.
    ///
    /// # Errors
    /// The name is taken or not allowed, there are too many mailboxes, or the change cannot be stored.
    pub async fn create(&self, account: &str, name: &str) -> Result<(), Error> {
        self.create_for(account, name, &[]).await.map(drop)
    }

    /// Creates a mailbox with special uses such as `\Sent`, and its missing parents; also the account, if it does not
    /// exist. Returns the id of the mailbox. RFC 6154 §3, RFC 8474 §4.1.
    ///
    /// # Errors
    /// As for [`Mailboxes::create`], or a special use is not known.
    pub async fn create_for(&self, account: &str, name: &str, uses: &[String]) -> Result<u64, Error> {
        let (account, name, now) = (account.to_owned(), canonical(name)?, self.now());
        let uses = parse_uses(uses.iter().map(String::as_str))?;
        self.change(move |transaction| {
            let account = ensure_account(transaction, &account, now)?;
            let (mailbox, created) = create(transaction, account, &name, &uses, now)?;
            Ok((mailbox as u64, CommittedChanges::names(account, created)))
        })
        .await
    }

    /// Deletes a mailbox with its messages and annotations; mailboxes below it and its subscription stay. RFC 9051
    /// §6.3.5.
    ///
    /// # Errors
    /// The mailbox does not exist or is INBOX, or the change cannot be stored.
    pub async fn delete(&self, account: &str, name: &str) -> Result<(), Error> {
        let (account, name) = (account.to_owned(), canonical(name)?);
        if name == INBOX {
            return Err(Error::BadName("INBOX cannot be deleted"));
        }
        let job = move |transaction: &Transaction<'_>| {
            let found = sqlite::find(transaction, &account, &name)?;
            let (account, mailbox) = found.ok_or_else(|| Error::NoMailbox(name.clone()))?;
            let entries = sqlite::delete_mailbox(transaction, account, mailbox)?;
            let changes = vec![Change { account, mailbox, modseq: 0, kind: ChangeKind::Gone, entries }];
            Ok(((), CommittedChanges { changes, ..CommittedChanges::names(account, [name.clone()]) }))
        };
        self.freeing().change(job).await
    }

    /// Renames a mailbox and all mailboxes below it; creates missing parents of the new name; subscriptions stay. INBOX
    /// itself and those below it stay, and its messages are moved into a new mailbox. RFC 9051 §6.3.6.
    ///
    /// # Errors
    /// The mailbox does not exist, the new name is taken or not allowed, or the change cannot be stored.
    pub async fn rename(&self, account: &str, from: &str, to: &str) -> Result<(), Error> {
        let (account, from, to, now) = (account.to_owned(), canonical(from)?, canonical(to)?, self.now());
        if from != INBOX && from != to && is_within(&to, &from) {
            return Err(Error::BadName("a mailbox cannot be moved below itself"));
        }
        let job = move |transaction: &Transaction<'_>| {
            let found = sqlite::find(transaction, &account, INBOX)?;
            let (account, inbox) = found.ok_or_else(|| Error::NoMailbox(from.clone()))?;
            let mut committed = match from == INBOX {
                true => move_inbox_messages(transaction, account, inbox, &to, now)?,
                false => rename(transaction, account, &from, &to, now)?,
            };
            committed.events.push((account, AccountEvent::Named { name: to.clone(), old_name: Some(from.clone()) }));
            Ok(((), committed))
        };
        self.change(job).await
    }

    /// Subscribes the account with this key, which is created if it does not exist, to a name if `on`, else
    /// unsubscribes it; the mailbox need not exist. RFC 9051 §6.3.7, §6.3.8.
    ///
    /// # Errors
    /// The name is not allowed, there are too many subscriptions, or the change cannot be stored.
    pub async fn subscribe(&self, account: &str, name: &str, on: bool) -> Result<(), Error> {
        let (account, name, now) = (account.to_owned(), canonical(name)?, self.now());
        self.change(move |transaction| {
            let account = ensure_account(transaction, &account, now)?;
            let is_new = subscribe(transaction, account, &name, on)?;
            let events = is_new.then_some((account, AccountEvent::Subscribed(name.clone()))).into_iter().collect();
            Ok(((), CommittedChanges { events, ..CommittedChanges::default() }))
        })
        .await
    }
}

/// The id of the account with this key, which is created if it does not exist, with INBOX and a mailbox for each
/// special use, all subscribed. `now`, in seconds since 1970, becomes UIDVALIDITY.
pub(super) fn ensure_account(transaction: &Transaction<'_>, key: &str, now: i64) -> Result<i64, Error> {
    if let Some(account) = sqlite::find_account(transaction, key)? {
        return Ok(account);
    }
    let account = sqlite::insert_account(transaction, key)?;
    let special = SpecialUse::ALL.map(|special| (special.name(), vec![special]));
    for (name, uses) in [(INBOX, vec![])].into_iter().chain(special) {
        sqlite::insert_mailbox(transaction, account, name, &uses, now)?;
        subscribe(transaction, account, name, true)?;
    }
    Ok(account)
}

/// Creates a mailbox and its missing parents; returns its id and the names of all mailboxes created, its own last.
/// Fails if the mailbox exists or the account then has too many. `now` is as for [`ensure_account`].
pub(super) fn create(
    transaction: &Transaction<'_>,
    account: i64,
    name: &str,
    uses: &[SpecialUse],
    now: i64,
) -> Result<(i64, Vec<String>), Error> {
    if sqlite::find_in(transaction, account, name)?.is_some() {
        return Err(Error::Exists(name.to_owned()));
    }
    let mut created = create_parents(transaction, account, name, now)?;
    created.push(name.to_owned());
    let id = sqlite::insert_mailbox(transaction, account, name, uses, now)?;
    check_count(transaction, account)?;
    Ok((id, created))
}

/// Fails if the account now has too many mailboxes; the job that created them must then fail too, which undoes it.
fn check_count(transaction: &Transaction<'_>, account: i64) -> Result<(), Error> {
    let count = sqlite::count_mailboxes(transaction, account)?;
    if MAX_MAILBOXES < count { Err(Error::TooMany("mailboxes")) } else { Ok(()) }
}

/// Creates the missing parents of a mailbox and returns their names, the topmost first.
fn create_parents(transaction: &Transaction<'_>, account: i64, name: &str, now: i64) -> Result<Vec<String>, Error> {
    let mut created = Vec::new();
    for parent in parents(name) {
        if sqlite::find_in(transaction, account, parent)?.is_none() {
            sqlite::insert_mailbox(transaction, account, parent, &[], now)?;
            created.push(parent.to_owned());
        }
    }
    Ok(created)
}

/// Subscribes an account to a name if `on`, else unsubscribes it; returns whether that changed anything. Fails if the
/// account then has too many subscriptions.
fn subscribe(transaction: &Transaction<'_>, account: i64, name: &str, on: bool) -> Result<bool, Error> {
    if !on {
        return Ok(sqlite::delete_subscription(transaction, account, name)?);
    }
    let is_new = sqlite::insert_subscription(transaction, account, name)?;
    if is_new && MAX_MAILBOXES < sqlite::count_subscriptions(transaction, account)? {
        return Err(Error::TooMany("subscriptions"));
    }
    Ok(is_new)
}

/// Renames the mailbox `from` and those below it, or only these if it does not exist itself, and creates missing
/// parents of `to`. Fails if there is nothing to rename, there would be too many mailboxes, or a new name is taken or
/// not allowed. The result has only the events of created parents.
fn rename(
    transaction: &Transaction<'_>,
    account: i64,
    from: &str,
    to: &str,
    now: i64,
) -> Result<CommittedChanges, Error> {
    let mut renamed = sqlite::mailboxes_of(transaction, account)?;
    renamed.retain(|(_, name)| is_within(name, from));
    if renamed.is_empty() {
        return Err(Error::NoMailbox(from.to_owned()));
    }
    let created = create_parents(transaction, account, to, now)?;
    if !created.is_empty() {
        check_count(transaction, account)?;
    }
    for (mailbox, name) in renamed {
        let new = canonical(&format!("{to}{}", &name[from.len()..]))?;
        if sqlite::find_in(transaction, account, &new)?.is_some() {
            return Err(Error::Exists(new));
        }
        sqlite::rename(transaction, mailbox, &new)?;
    }
    Ok(CommittedChanges::names(account, created))
}

/// Creates the mailbox `to` and its missing parents, moves all messages of INBOX into it, and copies the annotations of
/// INBOX. Fails if `to` exists or the account then has too many mailboxes. The result lacks the event of `to` itself,
/// which the caller adds as that of a rename.
fn move_inbox_messages(
    transaction: &Transaction<'_>,
    account: i64,
    inbox: i64,
    to: &str,
    now: i64,
) -> Result<CommittedChanges, Error> {
    let (target, mut created) = create(transaction, account, to, &[], now)?;
    created.pop();
    // RFC 5464 §4.1: the annotations of INBOX are copied to the new mailbox, and INBOX keeps them.
    sqlite::copy_annotations(transaction, inbox, target)?;
    let uids = sqlite::uids(transaction, inbox)?;
    let (_, _, arrived) = sqlite::copy(transaction, inbox, &uids, target, now)?;
    let removed = sqlite::remove(transaction, inbox, &uids)?;
    Ok(CommittedChanges { changes: vec![arrived, removed], ..CommittedChanges::names(account, created) })
}
