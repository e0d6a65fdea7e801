//! Reads what never changes of messages: trace lines, contents, and what was computed of them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::mda::mailboxes::Uid;
use crate::store::Error;

/// The trace fields of all messages from UID `first` to `last`, both included, by UID; empty where a message has none.
pub(in crate::mda::mailboxes) fn traces(
    connection: &Connection,
    mailbox: i64,
    first: Uid,
    last: Uid,
) -> Result<BTreeMap<Uid, Bytes>, Error> {
    let sql = "SELECT message.uid, trace.octets FROM message LEFT JOIN trace USING (mailbox, uid)
               WHERE mailbox = ?1 AND message.uid BETWEEN ?2 AND ?3";
    let mut find = connection.prepare_cached(sql)?;
    let found = find.query_map([mailbox, first.into(), last.into()], |row| Ok((row.get(0)?, trace_lines(row)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// UID, trace fields and content id of all messages from UID `first` to `last`, both included, in order.
pub(in crate::mda::mailboxes) fn messages(
    connection: &Connection,
    mailbox: i64,
    first: Uid,
    last: Uid,
) -> Result<Vec<(Uid, Bytes, i64)>, Error> {
    let sql = "SELECT message.uid, trace.octets, message.content FROM message LEFT JOIN trace USING (mailbox, uid)
               WHERE mailbox = ?1 AND message.uid BETWEEN ?2 AND ?3 ORDER BY message.uid";
    let mut find = connection.prepare_cached(sql)?;
    let found = |row: &Row<'_>| Ok((row.get(0)?, trace_lines(row)?, row.get(2)?));
    Ok(find.query_map([mailbox, first.into(), last.into()], found)?.collect::<Result<_, _>>()?)
}

/// The trace lines in column 1 of a row, the header lines above the content such as `Received`; empty for NULL.
fn trace_lines(row: &Row<'_>) -> rusqlite::Result<Bytes> {
    Ok(row.get::<_, Option<Vec<u8>>>(1)?.map(Bytes::from).unwrap_or_default())
}

/// The encoded MIME structure of a content; `None` if it has no summary.
pub(in crate::mda::mailboxes) fn structure(connection: &Connection, content: i64) -> Result<Option<Vec<u8>>, Error> {
    let sql = "SELECT structure FROM summary WHERE content = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([content], |row| row.get(0)).optional()?)
}

/// The preview of a content; `None` if it is not stored.
pub(in crate::mda::mailboxes) fn preview(connection: &Connection, content: i64) -> Result<Option<String>, Error> {
    let sql = "SELECT preview FROM summary WHERE content = ?1 AND preview IS NOT NULL";
    Ok(connection.prepare_cached(sql)?.query_row([content], |row| row.get(0)).optional()?)
}

/// Calls `visit` with UID, text filter (if it was computed) and trace lines of each message in a range of UIDs,
/// ascending.
pub(in crate::mda::mailboxes) fn visit_text_filters(
    connection: &Connection,
    mailbox: i64,
    uids: &RangeInclusive<Uid>,
    mut visit: impl FnMut(Uid, Option<&[u8]>, &[u8]),
) -> Result<(), Error> {
    let sql = "SELECT uid, grams, octets FROM message LEFT JOIN summary USING (content)
               LEFT JOIN trace USING (mailbox, uid)
               WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid";
    let mut find = connection.prepare_cached(sql)?;
    let mut rows = find.query([mailbox, i64::from(*uids.start()), i64::from(*uids.end())])?;
    while let Some(row) = rows.next()? {
        let blob = |column| row.get_ref(column)?.as_blob_or_null().map_err(rusqlite::Error::from);
        visit(row.get(0)?, blob(1)?, blob(2)?.unwrap_or_default());
    }
    Ok(())
}
