//! Changes all copies of entries of the catalogue at once: read state, tags, mailbox, deletion.

use std::collections::BTreeMap;

use super::account_feed::CommittedChanges;
use super::append::check_keywords;
use super::change::set_flags;
use super::name::canonical;
use super::tree::create;
use super::{Error, Mailboxes, Uid, sqlite};
use crate::catalogue::{self, Changes};
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::journey::DeletedJourneys;
use crate::store::Transaction;

/// Entries of one commit: others are not held up for long.
const BATCH: usize = 200;

/// Which copies of an entry; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct CopyFilter {
    /// Only those of the account with this key.
    pub account: Option<String>,
    /// Only those in the mailbox with this id.
    pub mailbox: Option<u64>,
}

impl Mailboxes {
    /// Marks the copies of entries that pass the filter as read if `seen`, else as unread. Those that are delivered
    /// later are marked, too, if there is no filter, or it is the one account that an entry is listed under. In commits
    /// of 200 entries, of which those before an error stay.
    ///
    /// # Errors
    /// The change cannot be stored.
    pub async fn mark_entries(&self, entries: &[i64], which: &CopyFilter, seen: bool) -> Result<(), Error> {
        let flags = Flags { system: SystemFlags::default().with(SystemFlags::SEEN), ..Flags::default() };
        let mode = if seen { StoreMode::Add } else { StoreMode::Remove };
        let which = which.clone();
        self.each_batch(entries, move |transaction, batch| {
            for entry in batch {
                let is_all = match &which {
                    CopyFilter { mailbox: Some(_), .. } => false,
                    CopyFilter { account: Some(account), .. } => {
                        catalogue::is_listed_only_under(transaction, *entry, account)?
                    }
                    CopyFilter { .. } => true,
                };
                if is_all {
                    catalogue::expect_seen(transaction, *entry, seen)?;
                }
            }
            let mark = |mailbox, uids: &[Uid]| set_flags(transaction, mailbox, uids, mode, &flags);
            change_copies(transaction, batch, &which, mark)
        })
        .await
    }

    /// Replaces the tags of entries by these, which become the keywords of all copies, also of those delivered later;
    /// keywords that begin with `$` stay. In commits of 200 entries, of which those before an error stay.
    ///
    /// # Errors
    /// A tag cannot be a keyword, or the change cannot be stored.
    pub async fn tag_entries(&self, entries: &[i64], tags: &[String]) -> Result<(), Error> {
        let keywords: Vec<String> = tags.iter().map(|tag| keyword(tag)).collect();
        check_keywords(&Flags { keywords: keywords.clone(), ..Flags::default() })?;
        let tags = tags.to_vec();
        self.each_batch(entries, move |transaction, batch| {
            for entry in batch {
                catalogue::expect_tags(transaction, *entry, &keywords)?;
                catalogue::set_tags(transaction, *entry, tags.iter().map(String::as_str))?;
            }
            change_copies(transaction, batch, &CopyFilter::default(), |mailbox, uids| {
                sqlite::set_flags(transaction, mailbox, uids, |old| {
                    let mut new = old.clone();
                    new.keywords.retain(|word| word.starts_with('$'));
                    keywords.iter().for_each(|word| new.add_keyword(word));
                    Ok((new != *old).then_some(new))
                })
            })
        })
        .await
    }

    /// Moves the copies of entries that pass the filter into the mailbox `name` of their account, which is created if
    /// it does not exist; in commits of 200 entries, of which those before an error stay. Returns how many copies were
    /// moved.
    ///
    /// # Errors
    /// The name is not allowed, or the change cannot be stored.
    pub async fn move_entries(&self, entries: &[i64], which: &CopyFilter, name: &str) -> Result<usize, Error> {
        let (name, now, mut moved) = (canonical(name)?, self.now(), 0);
        for batch in entries.chunks(BATCH) {
            let (batch, which, name) = (batch.to_vec(), which.clone(), name.clone());
            let job = move |transaction: &Transaction<'_>| {
                let (mut moved, mut committed) = (0, CommittedChanges::default());
                for (mailbox, uids) in copies_by_mailbox(transaction, &batch, &which)? {
                    let account = sqlite::account_of(transaction, mailbox)?;
                    let target = match sqlite::find_in(transaction, account, &name)? {
                        Some(target) => target,
                        None => {
                            let (target, created) = create(transaction, account, &name, &[], now)?;
                            committed.events.extend(CommittedChanges::names(account, created).events);
                            target
                        }
                    };
                    if target != mailbox {
                        moved += uids.len();
                        let (_, _, arrived) = sqlite::copy(transaction, mailbox, &uids, target, now)?;
                        committed.changes.extend([arrived, sqlite::remove(transaction, mailbox, &uids)?]);
                    }
                }
                Ok((moved, committed))
            };
            moved += self.freeing().change(job).await?;
        }
        Ok(moved)
    }

    /// Deletes entries with their journeys and all their copies, those under way too, in commits of 200 entries, of
    /// which those before an error stay. With a filter, deletes only the copies that pass it, and the entries that are
    /// then listed under no account. Returns the journeys of the deleted entries.
    ///
    /// # Errors
    /// The change cannot be stored.
    pub async fn delete_entries(&self, entries: &[i64], which: &CopyFilter) -> Result<DeletedJourneys, Error> {
        let which = which.clone();
        let job = move |transaction: &Transaction<'_>, batch: &[i64]| {
            let by_mailbox = copies_by_mailbox(transaction, batch, &which)?;
            let (mut deleted, mut journeys) = (Changes::default(), DeletedJourneys::default());
            for entry in batch {
                let gone = match &which {
                    // Without a copy in other mailboxes, it is forgotten when these are removed.
                    CopyFilter { mailbox: Some(_), .. } => None,
                    CopyFilter { account: Some(account), .. } => {
                        catalogue::forget_address(transaction, *entry, account)?
                    }
                    CopyFilter { .. } => catalogue::remove(transaction, *entry)?,
                };
                if let Some(id) = gone {
                    journeys.delete(transaction, id)?;
                    deleted.deleted.insert(id);
                }
            }
            let changes = by_mailbox.into_iter().map(|(mailbox, uids)| sqlite::remove(transaction, mailbox, &uids));
            let changes = changes.collect::<Result<Vec<_>, _>>()?;
            for id in changes.iter().flat_map(|change| &change.entries.deleted) {
                journeys.delete(transaction, *id)?;
            }
            Ok((journeys, CommittedChanges { changes, entries: deleted, ..Default::default() }))
        };
        let mut journeys = DeletedJourneys::default();
        for batch in entries.chunks(BATCH) {
            let (batch, job) = (batch.to_vec(), job.clone());
            journeys.extend(self.freeing().change(move |transaction| job(transaction, &batch)).await?);
        }
        Ok(journeys)
    }

    /// Runs a job for every [`BATCH`] entries, each in its own commit; returns the first error, after which no more are
    /// run and those before it stay.
    async fn each_batch<F>(&self, entries: &[i64], job: F) -> Result<(), Error>
    where
        F: Fn(&Transaction<'_>, &[i64]) -> Result<CommittedChanges, Error> + Clone + Send + 'static,
    {
        for batch in entries.chunks(BATCH) {
            let (batch, job) = (batch.to_vec(), job.clone());
            self.change(move |transaction| Ok(((), job(transaction, &batch)?))).await?;
        }
        Ok(())
    }
}

/// Calls `change` once for each mailbox with copies of these entries that pass the filter, with its id and the UIDs of
/// the copies, ascending. Returns these changes, and all the entries as changed, for the catalogue.
fn change_copies(
    transaction: &Transaction<'_>,
    entries: &[i64],
    which: &CopyFilter,
    change: impl Fn(i64, &[Uid]) -> Result<super::open_mailbox::Change, Error>,
) -> Result<CommittedChanges, Error> {
    let by_mailbox = copies_by_mailbox(transaction, entries, which)?;
    let changes = by_mailbox.into_iter().map(|(mailbox, uids)| change(mailbox, &uids));
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    let entries = Changes { changed: entries.iter().copied().collect(), ..Changes::default() };
    Ok(CommittedChanges { changes, entries, ..Default::default() })
}

/// The UIDs of the copies of these entries that pass the filter, ascending, by mailbox id.
fn copies_by_mailbox(
    transaction: &Transaction<'_>,
    entries: &[i64],
    which: &CopyFilter,
) -> Result<BTreeMap<i64, Vec<Uid>>, Error> {
    let mut by_mailbox: BTreeMap<i64, Vec<Uid>> = BTreeMap::new();
    for entry in entries {
        for (mailbox, uid) in sqlite::copies_of(transaction, *entry, which)? {
            by_mailbox.entry(mailbox).or_default().push(uid);
        }
    }
    by_mailbox.values_mut().for_each(|uids| uids.sort_unstable());
    Ok(by_mailbox)
}

/// The keyword for a tag of an entry, with `+` for each space. RFC 9051 §9, `flag-keyword`.
fn keyword(tag: &str) -> String {
    tag.replace(' ', "+")
}
