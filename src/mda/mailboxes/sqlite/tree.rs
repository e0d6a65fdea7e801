//! Rows of accounts, of the names and counts of mailboxes, and of subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::counters::counters;
use super::entries::{entries_in, leave};
use crate::catalogue;
use crate::mda::mailboxes::list::Status;
use crate::mda::mailboxes::quota::Usage;
use crate::mda::mailboxes::special_use::{SpecialUse, format_uses, parse_stored_uses};
use crate::store::{Error, Transaction, content};

/// Ids and keys of all accounts, by key.
pub(in crate::mda::mailboxes) fn accounts(connection: &Connection) -> Result<Vec<(i64, String)>, Error> {
    let mut all = connection.prepare_cached("SELECT id, key FROM account ORDER BY key")?;
    Ok(all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

/// The key of the account with this id. Fails if there is none.
pub(in crate::mda::mailboxes) fn key(connection: &Connection, account: i64) -> Result<String, Error> {
    let sql = "SELECT key FROM account WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([account], |row| row.get(0))?)
}

/// The id of the account that this mailbox belongs to. Fails if the mailbox does not exist.
pub(in crate::mda::mailboxes) fn account_of(connection: &Connection, mailbox: i64) -> Result<i64, Error> {
    let sql = "SELECT account FROM mailbox WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([mailbox], |row| row.get(0))?)
}

/// The count and total size of the messages in all mailboxes of the account with this key; 0 if the account does not
/// exist.
pub(in crate::mda::mailboxes) fn usage(connection: &Connection, account: &str) -> Result<Usage, Error> {
    let sql = "SELECT ifnull(sum(octets), 0), ifnull(sum(messages), 0) FROM mailbox
               WHERE account = (SELECT id FROM account WHERE key = ?1)";
    let found = |row: &rusqlite::Row<'_>| Ok(Usage { bytes: row.get(0)?, messages: row.get(1)? });
    Ok(connection.prepare_cached(sql)?.query_row([account], found)?)
}

/// Mailboxes with their special uses, and subscriptions.
type Names = (BTreeMap<String, (Status, Vec<SpecialUse>)>, BTreeSet<String>);

/// The mailboxes, by name, and the subscribed names of the account with this key; none if it does not exist.
pub(in crate::mda::mailboxes) fn names(connection: &Connection, account: &str) -> Result<Names, Error> {
    let sql = "SELECT id, uidnext, uidvalidity, modseq, recent,
                      messages, octets, unseen, deleted, deleted_octets, recents, name, use
               FROM mailbox WHERE account = (SELECT id FROM account WHERE key = ?1)";
    let mut mailboxes = connection.prepare_cached(sql)?;
    let mailboxes = mailboxes.query_map([account], |row| {
        let uses = row.get_ref(12)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        Ok((row.get(11)?, (status_in(row)?, parse_stored_uses(uses))))
    })?;
    let mailboxes = mailboxes.collect::<Result<_, _>>()?;
    let sql = "SELECT name FROM subscription WHERE account = (SELECT id FROM account WHERE key = ?1)";
    let mut subscriptions = connection.prepare_cached(sql)?;
    let subscriptions = subscriptions.query_map([account], |row| row.get(0))?;
    Ok((mailboxes, subscriptions.collect::<Result<_, _>>()?))
}

/// The status of a mailbox, by account key and stored name; `None` if it does not exist.
pub(in crate::mda::mailboxes) fn status(
    connection: &Connection,
    account: &str,
    name: &str,
) -> Result<Option<Status>, Error> {
    let sql = "SELECT mailbox.id, uidnext, mailbox.uidvalidity, modseq, recent,
                      messages, octets, unseen, deleted, deleted_octets, recents
               FROM account JOIN mailbox ON mailbox.account = account.id
               WHERE account.key = ?1 AND mailbox.name = ?2";
    Ok(connection.prepare_cached(sql)?.query_row([account, name], status_in).optional()?)
}

/// A status from the columns `id, uidnext, uidvalidity, modseq, recent` of a row, in this order, and its counters after
/// them.
fn status_in(row: &Row<'_>) -> rusqlite::Result<Status> {
    Ok(Status {
        id: row.get(0)?,
        uidnext: row.get(1)?,
        uidvalidity: row.get(2)?,
        modseq: row.get(3)?,
        recent_from: row.get(4)?,
        counters: counters(row, 5)?,
    })
}

/// Inserts an account without mailboxes; returns its id. Fails if the key exists.
pub(in crate::mda::mailboxes) fn insert_account(transaction: &Transaction<'_>, key: &str) -> Result<i64, Error> {
    let sql = "INSERT INTO account (key, uidvalidity) VALUES (?1, 0)";
    Ok(transaction.prepare_cached(sql)?.insert([key])?)
}

/// Inserts an empty mailbox; returns its id. UIDVALIDITY is `now`, or one more than the last of the account if that is
/// greater.
pub(in crate::mda::mailboxes) fn insert_mailbox(
    transaction: &Transaction<'_>,
    account: i64,
    name: &str,
    uses: &[SpecialUse],
    now: i64,
) -> Result<i64, Error> {
    let now = u32::try_from(now).unwrap_or_default();
    let sql = "UPDATE account SET uidvalidity = max(uidvalidity + 1, ?2) WHERE id = ?1 RETURNING uidvalidity";
    let uidvalidity: u32 = transaction.prepare_cached(sql)?.query_row(params![account, now], |row| row.get(0))?;
    let sql = "INSERT INTO mailbox (account, name, use, uidvalidity) VALUES (?1, ?2, nullif(?3, ''), ?4)";
    Ok(transaction.prepare_cached(sql)?.insert(params![account, name, format_uses(uses, ""), uidvalidity])?)
}

/// Deletes a mailbox with its messages; returns what that changed in the catalogue. A trigger deletes the annotations;
/// the record of its Maildir folder stays.
pub(in crate::mda::mailboxes) fn delete_mailbox(
    transaction: &Transaction<'_>,
    account: i64,
    mailbox: i64,
) -> Result<catalogue::Changes, Error> {
    let left = entries_in(transaction, mailbox)?;
    let mut delete = transaction.prepare_cached("DELETE FROM message WHERE mailbox = ?1 RETURNING content")?;
    let contents = delete.query_map([mailbox], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    contents.into_iter().try_for_each(|content| content::release(transaction, content))?;
    transaction.execute("DELETE FROM trace WHERE mailbox = ?1", [mailbox])?;
    transaction.execute("DELETE FROM expunged WHERE mailbox = ?1", [mailbox])?;
    transaction.execute("DELETE FROM mailbox WHERE id = ?1", [mailbox])?;
    leave(transaction, account, left)
}

/// Changes the stored name of this mailbox; those below it keep theirs. Fails if the name is taken.
pub(in crate::mda::mailboxes) fn rename(transaction: &Transaction<'_>, mailbox: i64, name: &str) -> Result<(), Error> {
    let sql = "UPDATE mailbox SET name = ?2 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![mailbox, name])?;
    Ok(())
}

/// Ids and names of the mailboxes of an account, by name.
pub(in crate::mda::mailboxes) fn mailboxes_of(
    connection: &Connection,
    account: i64,
) -> Result<Vec<(i64, String)>, Error> {
    let mut all = connection.prepare_cached("SELECT id, name FROM mailbox WHERE account = ?1 ORDER BY name")?;
    Ok(all.query_map([account], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

/// The number of mailboxes of an account.
pub(in crate::mda::mailboxes) fn count_mailboxes(connection: &Connection, account: i64) -> Result<usize, Error> {
    let sql = "SELECT count(*) FROM mailbox WHERE account = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([account], |row| row.get(0))?)
}

/// The number of names that an account is subscribed to.
pub(in crate::mda::mailboxes) fn count_subscriptions(connection: &Connection, account: i64) -> Result<usize, Error> {
    let sql = "SELECT count(*) FROM subscription WHERE account = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([account], |row| row.get(0))?)
}

/// Subscribes an account to a name; returns whether it was not subscribed before.
pub(in crate::mda::mailboxes) fn insert_subscription(
    transaction: &Transaction<'_>,
    account: i64,
    name: &str,
) -> Result<bool, Error> {
    let sql = "INSERT OR IGNORE INTO subscription VALUES (?1, ?2)";
    Ok(transaction.prepare_cached(sql)?.execute(params![account, name])? != 0)
}

/// Removes the subscription of an account to a name; returns whether it was subscribed before.
pub(in crate::mda::mailboxes) fn delete_subscription(
    transaction: &Transaction<'_>,
    account: i64,
    name: &str,
) -> Result<bool, Error> {
    let sql = "DELETE FROM subscription WHERE account = ?1 AND name = ?2";
    Ok(transaction.prepare_cached(sql)?.execute(params![account, name])? != 0)
}
