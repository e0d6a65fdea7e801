//! Rows of folders and files of Maildirs, as they were last seen.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::views::view;
use crate::mda::mailboxes::maildir::{KnownFile, KnownFolder};
use crate::mda::mailboxes::{Uid, View};
use crate::store::{Error, Transaction};

/// The mailboxes of an account, with or without a folder, and the folders whose mailbox was deleted.
pub(in crate::mda::mailboxes) fn folders(connection: &Connection, account: i64) -> Result<Vec<KnownFolder>, Error> {
    let sql = "SELECT mailbox.id, name, directory, modseq FROM mailbox LEFT JOIN maildir ON mailbox = mailbox.id
               WHERE mailbox.account = ?1
               UNION ALL SELECT mailbox, NULL, directory, 0 FROM maildir
               WHERE account = ?1 AND NOT EXISTS (SELECT 1 FROM mailbox WHERE id = maildir.mailbox)";
    let mut all = connection.prepare_cached(sql)?;
    let folder = |row: &Row<'_>| {
        Ok(KnownFolder { mailbox: row.get(0)?, name: row.get(1)?, directory: row.get(2)?, modseq: row.get(3)? })
    };
    Ok(all.query_map([account], folder)?.collect::<Result<_, _>>()?)
}

/// Records the folder of a mailbox by its name in the account folder, in place of an earlier one.
pub(in crate::mda::mailboxes) fn record_folder(
    transaction: &Transaction<'_>,
    account: i64,
    mailbox: i64,
    directory: &str,
) -> Result<(), Error> {
    let sql = "INSERT INTO maildir (mailbox, account, directory) VALUES (?1, ?2, ?3)
               ON CONFLICT (mailbox) DO UPDATE SET directory = excluded.directory";
    transaction.prepare_cached(sql)?.execute(params![mailbox, account, directory])?;
    Ok(())
}

/// Deletes the record of the folder of a mailbox, and those of its files; the folder itself stays.
pub(in crate::mda::mailboxes) fn delete_folder(transaction: &Transaction<'_>, mailbox: i64) -> Result<(), Error> {
    transaction.execute("DELETE FROM maildir WHERE mailbox = ?1", [mailbox])?;
    transaction.execute("DELETE FROM maildir_file WHERE mailbox = ?1", [mailbox])?;
    Ok(())
}

/// The view of a mailbox, empty if it was deleted, and its files as they were last seen, by UID.
pub(in crate::mda::mailboxes) fn folder(
    connection: &Connection,
    mailbox: i64,
) -> Result<(View, BTreeMap<Uid, KnownFile>), Error> {
    let view = view(connection, mailbox)?.map(|(view, _)| view).unwrap_or_default();
    let sql = "SELECT uid, base, flag_chars FROM maildir_file WHERE mailbox = ?1";
    let mut all = connection.prepare_cached(sql)?;
    let file = |row: &Row<'_>| Ok((row.get(0)?, KnownFile { base: row.get(1)?, flag_chars: row.get(2)? }));
    Ok((view, all.query_map([mailbox], file)?.collect::<Result<_, _>>()?))
}

/// Records the file of a message, in place of an earlier one.
pub(in crate::mda::mailboxes) fn record_file(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uid: Uid,
    KnownFile { base, flag_chars }: &KnownFile,
) -> Result<(), Error> {
    let sql = "INSERT INTO maildir_file (mailbox, uid, base, flag_chars) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (mailbox, uid) DO UPDATE SET base = excluded.base, flag_chars = excluded.flag_chars";
    transaction.prepare_cached(sql)?.execute(params![mailbox, uid, base, flag_chars])?;
    Ok(())
}

/// Deletes the record of the file of a message, if there is one; the file itself stays.
pub(in crate::mda::mailboxes) fn delete_file(
    transaction: &Transaction<'_>,
    mailbox: i64,
    uid: Uid,
) -> Result<(), Error> {
    let sql = "DELETE FROM maildir_file WHERE mailbox = ?1 AND uid = ?2";
    transaction.prepare_cached(sql)?.execute(params![mailbox, uid])?;
    Ok(())
}
