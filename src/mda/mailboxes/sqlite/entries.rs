//! Copies of messages that the catalogue lists: `trace.entry` is the number of their entry.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::{tree, views};
use crate::catalogue::{self, Expected};
use crate::imap::{Flags, SystemFlags};
use crate::journey;
use crate::mda::mailboxes::CopyFilter;
use crate::mda::mailboxes::Uid;
use crate::mda::mailboxes::append::{Listing, MessageToInsert};
use crate::mda::mailboxes::view::date;
use crate::store::{Error, Transaction};

/// What a new message of a mailbox is to the catalogue.
pub(super) struct Membership {
    /// The entry that it is a copy of.
    pub(super) entry: Option<i64>,
    /// Its flags, with those that were set on the entry before it came.
    pub(super) flags: Flags,
    /// Whether the entry is new.
    pub(super) is_new: bool,
}

/// Joins a message that is inserted under this UID to its entry of the catalogue, listed under its account; adds an
/// entry only for [`Listing::Entry`]. A delivered copy takes the flags that were set on the entry before. Returns no
/// entry without a catalogue, or for a copy whose entry is unknown.
pub(super) fn join(
    transaction: &Transaction<'_>,
    account: i64,
    (mailbox, uid): (i64, Uid),
    MessageToInsert { message, flags, saved, listing, .. }: &MessageToInsert,
) -> Result<Membership, Error> {
    let mut membership = Membership { entry: None, flags: flags.clone(), is_new: false };
    match (listing, message.journey()) {
        (Listing::None, _) | (Listing::Copy, None) => {}
        (Listing::Entry, _) => {
            let (key, seed) = (tree::key(transaction, account)?, (mailbox as u64) << 32 | u64::from(uid));
            let (number, is_new) = catalogue::append(transaction, message, &key, date(*saved), seed)?;
            (membership.entry, membership.is_new) = (Some(number), is_new);
        }
        (Listing::Copy, Some(journey)) => {
            if let Some(Expected { number, seen, keywords }) = catalogue::find_expected(transaction, journey)? {
                catalogue::list_under(transaction, number, &tree::key(transaction, account)?)?;
                membership.entry = Some(number);
                if seen {
                    membership.flags.system = membership.flags.system.with(SystemFlags::SEEN);
                }
                keywords.iter().for_each(|keyword| membership.flags.add_keyword(keyword));
            }
        }
    }
    Ok(membership)
}

/// Whether the entry of a message was deleted while it was under way; `false` without a catalogue or a journey.
pub(in crate::mda::mailboxes) fn is_deleted(
    transaction: &Transaction<'_>,
    MessageToInsert { message, listing, .. }: &MessageToInsert,
) -> Result<bool, Error> {
    match message.journey().filter(|_| *listing != Listing::None) {
        Some(id) if catalogue::find_expected(transaction, id)?.is_none() => journey::is_deleted(transaction, id),
        _ => Ok(false),
    }
}

/// The entry of the catalogue that the message with this UID is a copy of; `None` if it is no copy of one, or does not
/// exist.
pub(super) fn of(connection: &Connection, mailbox: i64, uid: Uid) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT entry FROM trace WHERE mailbox = ?1 AND uid = ?2";
    let found = connection.prepare_cached(sql)?.query_row(params![mailbox, uid], |row| row.get(0)).optional()?;
    Ok(found.flatten())
}

/// The entries of the catalogue that have copies in this mailbox.
pub(super) fn entries_in(connection: &Connection, mailbox: i64) -> rusqlite::Result<BTreeSet<i64>> {
    let sql = "SELECT entry FROM trace WHERE mailbox = ?1 AND entry IS NOT NULL";
    connection.prepare_cached(sql)?.query_map([mailbox], |row| row.get(0))?.collect()
}

/// Whether the catalogue shows these flags differently: they differ in `\Seen` or in keywords.
pub(super) fn shows_other(old: &Flags, new: &Flags) -> bool {
    old.system.contains(SystemFlags::SEEN) != new.system.contains(SystemFlags::SEEN) || old.keywords != new.keywords
}

/// Updates the catalogue after copies of these entries were removed from an account: an entry without a copy there is
/// no longer listed under the account, and deleted if it is then listed under none; the others are worked out from
/// their copies again. Returns the deleted journeys and the changed entries.
pub(super) fn leave(
    transaction: &Transaction<'_>,
    account: i64,
    entries: BTreeSet<i64>,
) -> Result<catalogue::Changes, Error> {
    let mut changes = catalogue::Changes::default();
    let sql = "SELECT 1 FROM trace JOIN mailbox ON mailbox.id = trace.mailbox WHERE entry = ?1 AND account = ?2";
    for entry in entries {
        if !transaction.prepare_cached(sql)?.exists(params![entry, account])?
            && let Some(id) = catalogue::forget_address(transaction, entry, &tree::key(transaction, account)?)?
        {
            changes.deleted.insert(id);
            continue;
        }
        changes.changed.insert(entry);
        refresh(transaction, entry)?;
    }
    Ok(changes)
}

/// Works out the read state and the tags of entries from their copies, which changed, and stores them. Returns the
/// entries as added if `is_new`, else as changed.
pub(super) fn refresh_all(
    transaction: &Transaction<'_>,
    entries: impl IntoIterator<Item = i64>,
    is_new: bool,
) -> Result<catalogue::Changes, Error> {
    let entries: BTreeSet<i64> = entries.into_iter().collect();
    entries.iter().try_for_each(|entry| refresh(transaction, *entry))?;
    let (added, changed) = if is_new { (entries, BTreeSet::new()) } else { (BTreeSet::new(), entries) };
    Ok(catalogue::Changes { added, changed, ..Default::default() })
}

/// Works out read state and tags of an entry of the catalogue from its copies, and stores them: unread if a copy is,
/// and tagged with the keywords of all, except those that begin with `$`. No effect if it has no copies.
fn refresh(transaction: &Transaction<'_>, entry: i64) -> Result<(), Error> {
    let sql = "SELECT flags, keywords FROM trace JOIN message USING (mailbox, uid) WHERE entry = ?1";
    let mut query = transaction.prepare_cached(sql)?;
    let mut rows = query.query([entry])?;
    let (mut copies, mut is_unread, mut tags) = (0, false, BTreeSet::new());
    while let Some(row) = rows.next()? {
        let flags = views::flags(row, 0)?;
        copies += 1;
        is_unread |= !flags.system.contains(SystemFlags::SEEN);
        // RFC 9051 §2.3.2: a keyword with a dollar sign is of the mail clients, such as $Forwarded.
        tags.extend(flags.keywords.into_iter().filter(|keyword| !keyword.starts_with('$')));
    }
    if copies == 0 {
        return Ok(());
    }
    // A tag may have spaces, a keyword may not.
    let tags: Vec<String> = tags.into_iter().map(|tag| tag.replace('+', " ")).collect();
    catalogue::set_state(transaction, entry, is_unread, tags.iter().map(String::as_str))
}

/// The mailbox ids and UIDs of those copies of an entry that pass the filter.
pub(in crate::mda::mailboxes) fn copies_of(
    connection: &Connection,
    entry: i64,
    CopyFilter { account, mailbox }: &CopyFilter,
) -> Result<Vec<(i64, Uid)>, Error> {
    let sql = "SELECT trace.mailbox, trace.uid FROM trace JOIN mailbox ON mailbox.id = trace.mailbox
        JOIN account ON account.id = mailbox.account WHERE entry = ?1 AND (?2 IS NULL OR key = ?2) AND (?3 IS NULL OR trace.mailbox = ?3)";
    let mut query = connection.prepare_cached(sql)?;
    let copies = query.query_map(params![entry, account, mailbox], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(copies.collect::<rusqlite::Result<_>>()?)
}
