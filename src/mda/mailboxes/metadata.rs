//! Annotations of mailboxes and of accounts: entries with values that users set. RFC 5464.
//!
//! They refer to the id of their mailbox, so a rename keeps them, and a trigger deletes them with the mailbox. The
//! special use of a mailbox is one of them, the same as LIST reports (RFC 6154 §4).

use bytes::Bytes;

use super::account_feed::{AccountEvent, CommittedChanges};
use super::name::canonical;
use super::special_use::{format_uses, parse_uses};
use super::{Error, Mailboxes, sqlite};
use crate::store::Transaction;

/// Most entries of one mailbox, or of the account itself. RFC 5464 §4.1 asks for 10 at least.
const MAX_ENTRIES: usize = 100;
/// Most entries of an account with all its mailboxes.
const MAX_ACCOUNT_ENTRIES: usize = 1_000;
/// The special use of a mailbox. RFC 6154 §4.
const SPECIAL_USE: &str = "/private/specialuse";

impl Mailboxes {
    /// All entries of a mailbox, or of the account itself if that is `None`, with their values, by name. The special
    /// uses of a mailbox are the entry `/private/specialuse`.
    ///
    /// # Errors
    /// The mailbox does not exist, or the store cannot be read.
    pub fn annotations(&self, account: &str, mailbox: Option<&str>) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mailbox = mailbox.map(canonical).transpose()?;
        let found = self.store.read(|connection| sqlite::annotations(connection, account, mailbox.as_deref()))?;
        let (mut all, uses) = found.ok_or_else(|| Error::NoMailbox(mailbox.unwrap_or_default()))?;
        if !uses.is_empty() {
            all.push((SPECIAL_USE.to_owned(), format_uses(&uses, "\\").into_bytes()));
            all.sort();
        }
        Ok(all)
    }

    /// Sets entries of a mailbox, or of the account itself if that is `None`; a value of `None` removes an entry. All
    /// of them or none.
    ///
    /// # Errors
    /// The mailbox or the special use does not exist, there would be too many entries, or the change cannot be stored.
    pub async fn annotate(
        &self,
        account: &str,
        mailbox: Option<&str>,
        values: Vec<(String, Option<Bytes>)>,
    ) -> Result<(), Error> {
        let (account, mailbox) = (account.to_owned(), mailbox.map(canonical).transpose()?);
        self.change(move |transaction| {
            let place = sqlite::find_annotated(transaction, &account, mailbox.as_deref())?;
            let (account, place) = place.ok_or_else(|| Error::NoMailbox(mailbox.clone().unwrap_or_default()))?;
            for (entry, value) in &values {
                set(transaction, account, place, entry, value.as_deref())?;
            }
            let adds_entries = values.iter().any(|(_, value)| value.is_some());
            if adds_entries && exceeds_limits(transaction, account, place)? {
                return Err(Error::TooMany("annotations"));
            }
            let entries = values.iter().map(|(entry, _)| entry.clone()).collect();
            let events = vec![(account, AccountEvent::Annotated { mailbox: mailbox.clone(), entries })];
            Ok(((), CommittedChanges { events, ..CommittedChanges::default() }))
        })
        .await
    }
}

/// Sets one entry of `place`, the id of a mailbox or `sqlite::ACCOUNT`; removes it if the value is `None`. The entry
/// for special uses of a mailbox sets those, and fails if one is unknown.
fn set(
    transaction: &Transaction<'_>,
    account: i64,
    place: i64,
    entry: &str,
    value: Option<&[u8]>,
) -> Result<(), Error> {
    if place != sqlite::ACCOUNT && entry.eq_ignore_ascii_case(SPECIAL_USE) {
        let value = std::str::from_utf8(value.unwrap_or_default()).map_err(|_| Error::BadUse)?;
        return Ok(sqlite::set_uses(transaction, place, &parse_uses(value.split_ascii_whitespace())?)?);
    }
    Ok(sqlite::set_annotation(transaction, account, place, entry, value)?)
}

/// Whether more entries are set than allowed: on this `place`, the id of a mailbox or `sqlite::ACCOUNT`, or on the
/// account with all its mailboxes.
fn exceeds_limits(transaction: &Transaction<'_>, account: i64, place: i64) -> Result<bool, Error> {
    let (all, here) = sqlite::count_annotations(transaction, account, place)?;
    Ok(MAX_ENTRIES < here || MAX_ACCOUNT_ENTRIES < all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mda::SCHEMA;
    use crate::store::Store;
    use crate::world::Clock;

    const ANN: &str = "ann@a.test";

    async fn on(store: Store) -> Mailboxes {
        let mailboxes = Mailboxes::new(store, Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()));
        mailboxes.ensure_account(ANN).await.unwrap();
        mailboxes
    }

    async fn annotate(mailboxes: &Mailboxes, mailbox: Option<&str>, entry: &str, value: &str) -> Result<(), Error> {
        let value = Some(Bytes::from(value.to_owned()));
        mailboxes.annotate(ANN, mailbox, vec![(entry.to_owned(), value)]).await
    }

    /// The entries with their values, as `entry=value`.
    fn annotations(mailboxes: &Mailboxes, mailbox: Option<&str>) -> Vec<String> {
        let all = mailboxes.annotations(ANN, mailbox).unwrap();
        all.iter().map(|(entry, value)| format!("{entry}={}", String::from_utf8_lossy(value))).collect()
    }

    #[tokio::test]
    async fn annotations_survive_restart_and_rename_and_end_with_their_mailbox() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(&folder.path().join("post.db"), &[SCHEMA]).unwrap();
        let before = on(open()).await;
        before.create(ANN, "a/b").await.unwrap();
        annotate(&before, Some("a/b"), "/private/comment", "one").await.unwrap();
        annotate(&before, Some("a/b"), "/PRIVATE/Comment", "two").await.unwrap();
        annotate(&before, None, "/private/comment", "mine").await.unwrap();
        before.rename(ANN, "a", "c").await.unwrap();
        drop(before);
        let mailboxes = on(open()).await;
        assert_eq!(annotations(&mailboxes, Some("c/b")), ["/PRIVATE/Comment=two"]);
        assert_eq!(annotations(&mailboxes, None), ["/private/comment=mine"]);
        mailboxes.delete(ANN, "c/b").await.unwrap();
        mailboxes.create(ANN, "c/b").await.unwrap();
        assert!(annotations(&mailboxes, Some("c/b")).is_empty());
        annotate(&mailboxes, Some("INBOX"), "/shared/comment", "in").await.unwrap();
        mailboxes.rename(ANN, "INBOX", "old").await.unwrap();
        assert_eq!(annotations(&mailboxes, Some("INBOX")), annotations(&mailboxes, Some("old")));
        assert!(matches!(mailboxes.annotations(ANN, Some("none")), Err(Error::NoMailbox(_))));
    }

    #[tokio::test]
    async fn annotate_beyond_the_limit_changes_nothing() {
        let mailboxes = on(Store::in_memory(&[SCHEMA]).unwrap()).await;
        let many = |from: usize, to: usize| {
            let value = Some(Bytes::from_static(b"x"));
            (from..to).map(|at| (format!("/private/{at:03}"), value.clone())).collect::<Vec<_>>()
        };
        let set = async |name: &str, values| mailboxes.annotate(ANN, Some(name), values).await;
        set("INBOX", many(0, 99)).await.unwrap();
        let refused = set("INBOX", many(99, 101)).await;
        assert!(matches!(refused, Err(Error::TooMany(_))));
        assert_eq!(annotations(&mailboxes, Some("INBOX")).len(), 99);
        set("INBOX", many(0, 100)).await.unwrap();
        for place in 0..9 {
            let name = format!("m{place}");
            mailboxes.create(ANN, &name).await.unwrap();
            set(&name, many(0, 100)).await.unwrap();
        }
        assert!(matches!(annotate(&mailboxes, None, "/private/x", "x").await, Err(Error::TooMany(_))));
        mailboxes.delete(ANN, "m0").await.unwrap();
        annotate(&mailboxes, None, "/private/x", "x").await.unwrap();
    }
}
