//! Lists and counts the mailboxes of an account: RFC 9051 §6.3.9, §6.3.11.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::name::{canonical, parents as parent_names};
use super::special_use::{SpecialUse, parse_stored_uses};
use super::tree::find;
use super::{Error, Mailboxes, Uid};
use crate::imap::SystemFlags;

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
        let (mailboxes, subscriptions) = self.0.store.read(|connection| {
            let sql = "SELECT name, id, use FROM mailbox WHERE account = (SELECT id FROM account WHERE key = ?1)";
            let mut mailboxes = connection.prepare_cached(sql)?;
            let mailboxes = mailboxes.query_map([account], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
            let mailboxes: BTreeMap<String, (u64, Option<String>)> = mailboxes.collect::<Result<_, _>>()?;
            let sql = "SELECT name FROM subscription WHERE account = (SELECT id FROM account WHERE key = ?1)";
            let mut subscriptions = connection.prepare_cached(sql)?;
            let subscriptions = subscriptions.query_map([account], |row| row.get(0))?;
            Ok::<_, rusqlite::Error>((mailboxes, subscriptions.collect::<Result<BTreeSet<String>, _>>()?))
        })?;
        let parents: BTreeSet<&str> = mailboxes.keys().flat_map(|name| parent_names(name)).collect();
        let names: BTreeSet<&str> =
            mailboxes.keys().chain(&subscriptions).map(String::as_str).chain(parents.iter().copied()).collect();
        let listed = names.iter().map(|name| {
            let (id, uses) = mailboxes.get(*name).map(|(id, uses)| (*id, uses.as_deref())).unzip();
            Listed {
                name: (*name).to_owned(),
                id,
                has_children: parents.contains(name),
                subscribed: subscriptions.contains(*name),
                special_uses: parse_stored_uses(uses.flatten()),
            }
        });
        Ok(listed.collect())
    }

    /// The keys of all accounts, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn accounts(&self) -> Result<Vec<String>, Error> {
        let keys = self.0.store.read(|connection| {
            let mut all = connection.prepare_cached("SELECT key FROM account ORDER BY key")?;
            all.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
        })?;
        Ok(keys)
    }

    /// Counts the messages of a mailbox.
    ///
    /// # Errors
    /// No mailbox has this name.
    pub fn status(&self, account: &str, name: &str) -> Result<Status, Error> {
        let name = canonical(name)?;
        let status = self.0.store.read(|connection| match find(connection, account, &name)? {
            Some((_, mailbox)) => status(connection, mailbox).map(Some),
            None => Ok(None),
        })?;
        status.ok_or(Error::NoMailbox(name))
    }
}

fn status(connection: &Connection, mailbox: i64) -> rusqlite::Result<Status> {
    let sql = "SELECT count(uid), ifnull(sum(uid >= recent), 0), ifnull(sum(flags & ?2 = 0), 0),
                      ifnull(sum(flags & ?3 != 0), 0), ifnull(sum(size), 0), uidnext, uidvalidity, mailbox.modseq,
                      ifnull(sum(size) FILTER (WHERE flags & ?3 != 0), 0), mailbox.id
               FROM mailbox LEFT JOIN message ON message.mailbox = mailbox.id WHERE mailbox.id = ?1";
    let flags = params![mailbox, SystemFlags::SEEN.bits(), SystemFlags::DELETED.bits()];
    connection.prepare_cached(sql)?.query_row(flags, |row| {
        Ok(Status {
            messages: row.get(0)?,
            recent: row.get(1)?,
            unseen: row.get(2)?,
            deleted: row.get(3)?,
            size: row.get(4)?,
            uidnext: row.get(5)?,
            uidvalidity: row.get(6)?,
            modseq: row.get(7)?,
            deleted_size: row.get(8)?,
            id: row.get(9)?,
        })
    })
}
