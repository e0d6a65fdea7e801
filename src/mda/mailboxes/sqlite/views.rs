//! Reads a whole mailbox.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::imap::{Flags, SystemFlags};
use crate::mda::mailboxes::{MessageMeta, Uid, View};
use crate::store::Error;

/// The view, and the first recent UID.
pub(in crate::mda::mailboxes) fn view(connection: &Connection, mailbox: i64) -> Result<Option<(View, Uid)>, Error> {
    let moment = connection.unchecked_transaction()?;
    let sql = "SELECT uidvalidity, uidnext, modseq, recent FROM mailbox WHERE id = ?1";
    let state = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let state = moment.prepare_cached(sql)?.query_row([mailbox], state).optional()?;
    let Some((uidvalidity, uidnext, modseq, recent)) = state else { return Ok(None) };
    let sql = "SELECT uid, flags, keywords, modseq, received, saved, size, content, email FROM message
               WHERE mailbox = ?1 ORDER BY uid";
    let messages = moment.prepare_cached(sql)?.query_map([mailbox], message)?.collect::<Result<_, _>>()?;
    Ok(Some((View { uidvalidity, uidnext, modseq, messages }, recent)))
}

/// A message from a row of `uid, flags, keywords, modseq, received, saved, size, content, email`.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<MessageMeta> {
    Ok(MessageMeta {
        uid: row.get(0)?,
        flags: SystemFlags::from_bits(row.get(1)?),
        keywords: keywords(row, 2)?.into(),
        modseq: row.get(3)?,
        received: row.get(4)?,
        saved: row.get(5)?,
        size: row.get(6)?,
        content: row.get(7)?,
        email: row.get(8)?,
    })
}

/// Flags from their columns `flags, keywords`.
pub(super) fn flags(row: &Row<'_>, first: usize) -> rusqlite::Result<Flags> {
    Ok(Flags { system: SystemFlags::from_bits(row.get(first)?), keywords: keywords(row, first + 1)? })
}

fn keywords(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    // A keyword that is no atom could end a response early.
    let words = row.get_ref(column)?.as_str()?.split_ascii_whitespace();
    Ok(words.filter(|word| Flags::is_keyword(word)).map(str::to_owned).collect())
}
