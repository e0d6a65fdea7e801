//! Lists and counts the mailboxes of an account: RFC 9051 §6.3.9, §6.3.11.

use std::collections::BTreeSet;

use super::name::{canonical, parents as parent_names};
use super::special_use::SpecialUse;
use super::{Error, Mailboxes, Uid, sqlite};

/// A name in the mailbox tree of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name, with `/` between levels.
    pub name: String,
    /// The id of the mailbox; `None` if only mailboxes below it, or a subscription, exist.
    pub id: Option<u64>,
    /// Whether mailboxes exist below it.
    pub has_children: bool,
    /// Whether it is subscribed.
    pub subscribed: bool,
    /// Its special uses.
    pub special_uses: Vec<SpecialUse>,
}

/// The counts of a mailbox. RFC 9051 §6.3.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Number of messages.
    pub messages: u32,
    /// Messages that are recent. RFC 3501 §2.3.2.
    pub recent: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Bytes of the messages with `\Deleted`. RFC 9208 §4.1.4.
    pub deleted_size: u64,
    /// Bytes of all messages. RFC 8438.
    pub size: u64,
    /// See [`super::View::uidnext`].
    pub uidnext: Uid,
    /// See [`super::View::uidvalidity`].
    pub uidvalidity: u32,
    /// See [`super::View::modseq`].
    pub modseq: u64,
    /// The id, which a rename keeps. RFC 8474 §4.
    pub id: u64,
}

impl Listed {
    /// Whether a mailbox of this name exists.
    pub fn exists(&self) -> bool {
        self.id.is_some()
    }
}

impl Mailboxes {
    /// All names of an account, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self, account: &str) -> Result<Vec<Listed>, Error> {
        let (mailboxes, subscriptions) = self.store.read(|connection| sqlite::names(connection, account))?;
        let parents: BTreeSet<&str> = mailboxes.keys().flat_map(|name| parent_names(name)).collect();
        let names: BTreeSet<&str> =
            mailboxes.keys().chain(&subscriptions).map(String::as_str).chain(parents.iter().copied()).collect();
        let listed = names.iter().map(|name| {
            let (id, special_uses) = mailboxes.get(*name).cloned().unzip();
            Listed {
                name: (*name).to_owned(),
                id,
                has_children: parents.contains(name),
                subscribed: subscriptions.contains(*name),
                special_uses: special_uses.unwrap_or_default(),
            }
        });
        Ok(listed.collect())
    }

    /// The keys of all accounts, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn accounts(&self) -> Result<Vec<String>, Error> {
        Ok(self.store.read(sqlite::accounts)?.into_iter().map(|(_, key)| key).collect())
    }

    /// Counts the messages of a mailbox.
    ///
    /// # Errors
    /// No mailbox has this name.
    pub fn status(&self, account: &str, name: &str) -> Result<Status, Error> {
        let name = canonical(name)?;
        let status = self.store.read(|connection| sqlite::status(connection, account, &name))?;
        status.ok_or(Error::NoMailbox(name))
    }
}
