//! Which messages lie in mailboxes, and the journeys by which they came.

use rusqlite::{Connection, params};

use crate::mail::ReversePath;
use crate::mda::mailboxes::sqlite::views::SAVED;
use crate::mda::mailboxes::view::date;
use crate::mda::mailboxes::{FiledMessage, Uid};
use crate::store::Error;

/// The messages with a journey that came into their mailbox at `since`, in seconds since 1970, or later: at most
/// `limit` after the one with this mailbox id and UID, in the order of mailbox ids and UIDs.
pub(in crate::mda::mailboxes) fn filed_after(
    connection: &Connection,
    (mailbox, uid): (i64, Uid),
    since: i64,
    limit: usize,
) -> Result<Vec<FiledMessage>, Error> {
    let sql = format!(
        "SELECT message.mailbox, message.uid, account.key, mailbox.name, trace.journey, {SAVED}, trace.octets
        FROM message CROSS JOIN trace ON trace.mailbox = message.mailbox AND trace.uid = message.uid
        JOIN mailbox ON mailbox.id = message.mailbox JOIN account ON account.id = mailbox.account
        WHERE (?1, ?2) < (message.mailbox, message.uid) AND ?3 <= {SAVED} AND trace.journey IS NOT NULL
        ORDER BY message.mailbox, message.uid LIMIT ?4"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = query.query_map(params![mailbox, uid, since, limit], |row| {
        Ok(FiledMessage {
            place: (row.get(0)?, row.get(1)?),
            account: row.get(2)?,
            mailbox: row.get(3)?,
            journey: row.get_ref(4)?.as_str().unwrap_or_default().parse().ok(),
            saved: date(row.get(5)?),
            reverse_path: reverse_path(row.get_ref(6)?.as_blob()?),
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The address in the Return-Path field with which trace lines begin, as the delivery wrote it, RFC 5321 §4.4; the null
/// path if there is none or it cannot be parsed.
fn reverse_path(trace: &[u8]) -> ReversePath {
    let field = trace.strip_prefix(b"Return-Path: <")?;
    let end = field.iter().position(|byte| *byte == b'\r')?;
    std::str::from_utf8(field[..end].strip_suffix(b">")?).ok()?.parse().ok()
}
