//! Lists and counts the mailboxes of an account: RFC 9051 §6.3.9, §6.3.11.

use std::collections::BTreeSet;

use super::counters::Counters;
use super::name::{canonical, parents as parent_names};
use super::special_use::SpecialUse;
use super::{Error, Mailboxes, Uid, sqlite};

/// A name in the mailbox tree of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name, with `/` between levels.
    pub name: String,
    /// The status of the mailbox; `None` if only mailboxes below it, or a subscription, exist.
    pub status: Option<Status>,
    /// Whether mailboxes exist below it.
    pub has_children: bool,
    /// Whether it is subscribed.
    pub subscribed: bool,
    /// Its special uses.
    pub special_uses: Vec<SpecialUse>,
}

/// The status of a mailbox. RFC 9051 §6.3.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it contains.
    pub counters: Counters,
    /// See [`super::View::uidnext`].
    pub uidnext: Uid,
    /// See [`super::View::uidvalidity`].
    pub uidvalidity: u32,
    /// See [`super::View::modseq`].
    pub modseq: u64,
    /// The id, which a rename keeps. RFC 8474 §4.
    pub id: u64,
    /// Messages from this UID on are recent.
    pub(super) recent_from: Uid,
}

impl Listed {
    /// Whether a mailbox of this name exists.
    pub fn exists(&self) -> bool {
        self.status.is_some()
    }

    /// The id of the mailbox of this name; `None` if there is none.
    pub fn id(&self) -> Option<u64> {
        self.status.map(|status| status.id)
    }
}

impl Mailboxes {
    /// All names in the mailbox tree of the account with this key, in order: of its mailboxes, of levels above them
    /// without a mailbox, and of its subscriptions. Empty if the account does not exist.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self, account: &str) -> Result<Vec<Listed>, Error> {
        let (mut mailboxes, subscriptions) = self.store.read(|connection| sqlite::names(connection, account))?;
        for (status, _) in mailboxes.values_mut() {
            self.subtract_claimed(status)?;
        }
        let parents: BTreeSet<&str> = mailboxes.keys().flat_map(|name| parent_names(name)).collect();
        let names: BTreeSet<&str> =
            mailboxes.keys().chain(&subscriptions).map(String::as_str).chain(parents.iter().copied()).collect();
        let listed = names.iter().map(|name| {
            let (status, special_uses) = mailboxes.get(*name).cloned().unzip();
            Listed {
                name: (*name).to_owned(),
                status,
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

    /// The status of the mailbox of an account key and a name, without the recent messages that sessions have claimed.
    ///
    /// # Errors
    /// No mailbox has this name, or the store cannot be read.
    pub fn status(&self, account: &str, name: &str) -> Result<Status, Error> {
        let name = canonical(name).map_err(|_| Error::NoMailbox(name.to_owned()))?;
        let status = self.store.read(|connection| sqlite::status(connection, account, &name))?;
        let mut status = status.ok_or(Error::NoMailbox(name))?;
        self.subtract_claimed(&mut status)?;
        Ok(status)
    }
}
