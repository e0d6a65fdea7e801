//! The tables of the mailboxes in SQLite: the only folder of this module that knows SQL.
//!
//! Another engine would implement these functions, with the same promises. Those with a `Transaction` change rows; all
//! that one job does becomes durable together, or not at all. Those with a `Connection` read what is at least as
//! new as the last commit, or in a job what it has changed so far. Accounts and mailboxes are named by ids; the id of a
//! mailbox is never given twice, nor is a UID in it. Each message counts as one use of its content in
//! [`crate::store::content`]. Limits, quotas and events are the callers' affair.
//!
//! | function | promise |
//! |---|---|
//! | [`accounts`], [`find_account`], [`account_of`], [`key`] | accounts by id, key and mailbox |
//! | [`insert_account`] | an account without mailboxes |
//! | [`find`], [`find_in`], [`find_ignoring_case`] | a mailbox by its name, with the account where that is not known |
//! | [`mailboxes_of`], [`count_mailboxes`], [`names`] | the mailboxes of an account, by name |
//! | [`insert_mailbox`] | an empty mailbox; its UIDVALIDITY is greater than any the account had before |
//! | [`rename`], [`delete_mailbox`] | a new name for the same mailbox; deletes it with its messages and annotations |
//! | [`count_subscriptions`], [`insert_subscription`], [`delete_subscription`] | subscriptions; whether they changed |
//! | [`status`], [`usage`] | the counters of a mailbox and of an account, in one look |
//! | [`record_recent`], [`count_from`] | messages before a UID are not recent; how many are from it on |
//! | [`miscounts`] | mailboxes whose counters differ from their messages |
//! | [`insert`], [`copy`] | messages under the next UIDs, with the next modification sequence of the mailbox |
//! | [`set_flags`], [`remove`] | flags as a function of the old ones; deletes messages, and records their UIDs |
//! | [`exists`], [`uids`], [`deleted`], [`changed_since`] | messages by UID, flag, modification sequence |
//! | [`expunged_since`] | UIDs that were removed after a change; `None` if it is too old for the records |
//! | [`annotations`], [`find_annotated`], [`count_annotations`] | entries of a mailbox or of the account itself |
//! | [`set_annotation`], [`copy_annotations`], [`set_uses`] | changes them; sets the special uses of a mailbox |
//! | [`messages`], [`traces`] | trace lines and contents of messages in a range of UIDs |
//! | [`structure`], [`preview`] | what was computed of a content; `None` if it is not there |
//! | [`visit_text_filters`] | the text filters and trace lines of a range of UIDs |
//! | [`view`] | a whole mailbox, as it is at one moment, and its first recent UID |
//! | [`visit_summaries`] | the summaries of a range of UIDs, large ones only if they are asked for |
//! | [`visit_headers`] | the listed header fields of a range of UIDs, where they are stored |
//! | [`folders`], [`record_folder`], [`delete_folder`] | the Maildir folders of mailboxes, deleted ones too |
//! | [`folder`], [`record_file`], [`delete_file`] | a mailbox, and its files as they were last seen; changes these |
//! | [`filed_after`] | messages that came by a journey, in order, after one |
//! | [`copies_of`], [`is_deleted`] | the copies of an entry of the catalogue; whether a message is of a deleted entry |
//! | [`inventory`] | what simulations check |

mod counters;
mod entries;
mod filed;
mod maildir;
mod messages;
mod metadata;
mod rows;
mod schema;
mod summaries;
#[cfg(test)]
pub(super) mod tests;
mod tree;
mod views;

use rusqlite::Connection;

use super::Inventory;
use crate::store::Error;

pub(super) use counters::{count_from, miscounts, record_recent};
pub(super) use entries::{copies_of, is_deleted};
pub(super) use filed::filed_after;
pub(super) use maildir::{delete_file, delete_folder, folder, folders, record_file, record_folder};
pub(super) use messages::{messages, preview, structure, traces, visit_text_filters};
pub(super) use metadata::{
    ACCOUNT, annotations, copy_annotations, count_annotations, find_annotated, set_annotation, set_uses,
};
pub(super) use rows::{
    changed_since, copy, deleted, exists, expunged_since, find, find_account, find_ignoring_case, find_in, insert,
    remove, set_flags, uids,
};
pub use schema::SCHEMA;
pub(super) use summaries::{visit_headers, visit_summaries};
pub(super) use tree::{
    account_of, accounts, count_mailboxes, count_subscriptions, delete_mailbox, delete_subscription, insert_account,
    insert_mailbox, insert_subscription, key, mailboxes_of, names, rename, status, usage,
};
pub(super) use views::view;

impl From<rusqlite::Error> for super::Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Reads what all mailboxes hold: the messages with a journey, counted by account and journey, and the content ids of
/// the messages that begin with a null Return-Path. Journeys that cannot be read are left out.
pub(super) fn inventory(connection: &Connection) -> Result<Inventory, Error> {
    let mut inventory = Inventory::default();
    let sql = "SELECT account.key, trace.journey, count(*) FROM trace
        JOIN mailbox ON mailbox.id = trace.mailbox JOIN account ON account.id = mailbox.account
        WHERE trace.journey IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2";
    let mut query = connection.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok(journey) = row.get_ref(1)?.as_str().unwrap_or_default().parse() {
            inventory.filed.push((row.get(0)?, journey, row.get(2)?));
        }
    }
    let sql = "SELECT DISTINCT content FROM trace JOIN message USING (mailbox, uid)
        WHERE CAST(substr(octets, 1, 15) AS TEXT) = 'Return-Path: <>' ORDER BY 1";
    let reports = connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    inventory.reports = reports;
    Ok(inventory)
}
