//! Rows of annotations. They refer to the id of their mailbox, and a trigger deletes them with it.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{find, find_account};
use crate::mda::mailboxes::special_use::{SpecialUse, format_uses, parse_stored_uses};
use crate::store::{Error, Transaction};

/// The mailbox id that stands for the account itself.
pub(in crate::mda::mailboxes) const ACCOUNT: i64 = 0;

/// The ids of an account, by its key, and of a mailbox, by its stored name, or [`ACCOUNT`] in place of the latter if
/// `mailbox` is `None`. `None` if either does not exist.
pub(in crate::mda::mailboxes) fn find_annotated(
    connection: &Connection,
    account: &str,
    mailbox: Option<&str>,
) -> Result<Option<(i64, i64)>, Error> {
    match mailbox {
        Some(mailbox) => find(connection, account, mailbox),
        None => Ok(find_account(connection, account)?.map(|account| (account, ACCOUNT))),
    }
}

/// Entries with their values, and the special uses of the mailbox.
type Annotations = (Vec<(String, Vec<u8>)>, Vec<SpecialUse>);

/// The entries of a mailbox, or of the account itself, by name, and the special uses, which are no entries here. `None`
/// if the mailbox does not exist.
pub(in crate::mda::mailboxes) fn annotations(
    connection: &Connection,
    account: &str,
    mailbox: Option<&str>,
) -> Result<Option<Annotations>, Error> {
    let Some((account, place)) = find_annotated(connection, account, mailbox)? else { return Ok(None) };
    let sql = "SELECT entry, value FROM metadata WHERE account = ?1 AND mailbox = ?2 ORDER BY entry";
    let mut all = connection.prepare_cached(sql)?;
    let all = all.query_map([account, place], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let sql = "SELECT use FROM mailbox WHERE id = ?1";
    let stored: Option<Option<String>> =
        connection.prepare_cached(sql)?.query_row([place], |row| row.get(0)).optional()?;
    Ok(Some((all, parse_stored_uses(stored.flatten().as_deref()))))
}

/// Replaces the special uses of a mailbox, perhaps by none.
pub(in crate::mda::mailboxes) fn set_uses(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uses: &[SpecialUse],
) -> Result<(), Error> {
    let sql = "UPDATE mailbox SET use = nullif(?2, '') WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![mailbox, format_uses(uses, "")])?;
    Ok(())
}

/// Sets an entry of `place`, the id of a mailbox or [`ACCOUNT`], in place of an earlier value; removes it if the value
/// is `None`.
pub(in crate::mda::mailboxes) fn set_annotation(
    transaction: &Transaction<'_>,
    account: i64,
    place: i64,
    entry: &str,
    value: Option<&[u8]>,
) -> Result<(), Error> {
    match value {
        Some(value) => {
            let sql = "INSERT OR REPLACE INTO metadata (account, mailbox, entry, value) VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(sql)?.execute(params![account, place, entry, value])?;
        }
        None => {
            let sql = "DELETE FROM metadata WHERE account = ?1 AND mailbox = ?2 AND entry = ?3";
            transaction.prepare_cached(sql)?.execute(params![account, place, entry])?;
        }
    }
    Ok(())
}

/// How many entries are set: on the account with all its mailboxes, and on `place`, the id of a mailbox or [`ACCOUNT`].
pub(in crate::mda::mailboxes) fn count_annotations(
    connection: &Connection,
    account: i64,
    place: i64,
) -> Result<(usize, usize), Error> {
    let sql = "SELECT count(*), ifnull(sum(mailbox = ?2), 0) FROM metadata WHERE account = ?1";
    let counts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    Ok(connection.prepare_cached(sql)?.query_row([account, place], counts)?)
}

/// Copies the annotations of the mailbox with the id `from` to that with the id `to`, of the same account and without
/// annotations. Special uses are not copied.
pub(in crate::mda::mailboxes) fn copy_annotations(
    transaction: &Transaction<'_>,
    from: i64,
    to: i64,
) -> Result<(), Error> {
    let sql = "INSERT INTO metadata SELECT account, ?2, entry, value FROM metadata
               WHERE account = (SELECT account FROM mailbox WHERE id = ?1) AND mailbox = ?1";
    transaction.prepare_cached(sql)?.execute([from, to])?;
    Ok(())
}
