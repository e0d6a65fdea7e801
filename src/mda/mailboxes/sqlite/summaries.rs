//! Rows of summaries.

use std::ops::RangeInclusive;

use rusqlite::{Connection, Row, params};

use crate::imap::{KeptHeader, Summary};
use crate::mda::mailboxes::Uid;
use crate::mda::mailboxes::summary_cache::{PIECES, StoredSummary, SummaryQuery, number_of_date};
use crate::store::{Error, Transaction};

/// Stores the summary of a content, unless it has one.
pub(super) fn insert_summary(transaction: &Transaction<'_>, content: i64, summary: &Summary) -> rusqlite::Result<()> {
    let Summary {
        envelope,
        body_structure,
        header,
        fields,
        sent,
        sort_keys,
        preview,
        structure,
        trigrams,
        has_binary: _,
    } = summary;
    let sql = "INSERT OR IGNORE INTO summary (content, envelope, body_structure, sender, recipient, cc, bcc, subject,
               sent, structure, grams, standing, sent_at, preview, header, whole_header)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let [sender, recipient, cc, bcc, subject] = fields.each_ref().map(String::as_bytes);
    let sent = sent.map(number_of_date);
    let values = params![
        content,
        envelope,
        body_structure,
        sender,
        recipient,
        cc,
        bcc,
        subject,
        sent,
        structure,
        trigrams.bytes(),
        sort_keys.to_bytes(),
        sort_keys.sent,
        preview,
        header.as_ref().map(|header| &header.bytes),
        header.as_ref().is_some_and(|header| header.is_whole),
    ];
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}

/// Calls `visit` with UID, content id and stored summary, if there is one, of the messages of a query, by ascending
/// UID; larger ones than the query wants are left out.
pub(in crate::mda::mailboxes) fn visit_summaries(
    connection: &Connection,
    SummaryQuery { mailbox, uids, wanted, max_bytes }: &SummaryQuery,
    mut visit: impl FnMut(Uid, i64, Option<StoredSummary<'_>>),
) -> Result<(), Error> {
    let sql = "SELECT uid, message.content, sent, envelope, body_structure, sender, recipient, cc, bcc, subject,
                      standing, sent_at FROM message LEFT JOIN summary USING (content)
               WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 AND (uid = ?4 OR envelope IS NULL OR standing IS NULL OR
                     length(envelope) + length(body_structure) + length(sender) + length(recipient) + length(cc)
                     + length(bcc) + length(subject) + length(standing) <= ?5)
               ORDER BY uid";
    let mut find = connection.prepare_cached(sql)?;
    let mut rows = find.query(params![mailbox, uids.start(), uids.end(), wanted, max_bytes])?;
    while let Some(row) = rows.next()? {
        visit(row.get(0)?, row.get(1)?, stored(row)?);
    }
    Ok(())
}

/// Calls `visit` with UID and kept header, if it has one, of each message in a range, by ascending UID.
pub(in crate::mda::mailboxes) fn visit_headers(
    connection: &Connection,
    mailbox: i64,
    uids: &RangeInclusive<Uid>,
    mut visit: impl FnMut(Uid, Option<KeptHeader<&[u8]>>),
) -> Result<(), Error> {
    let sql = "SELECT uid, header, whole_header FROM message LEFT JOIN summary USING (content)
               WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid";
    let mut find = connection.prepare_cached(sql)?;
    let mut rows = find.query(params![mailbox, uids.start(), uids.end()])?;
    while let Some(row) = rows.next()? {
        let header = match row.get_ref(1)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
            Some(bytes) => Some(KeptHeader { bytes, is_whole: row.get(2)? }),
            None => None,
        };
        visit(row.get(0)?, header);
    }
    Ok(())
}

/// The summary in a row of the query of [`visit_summaries`]; `None` if a piece of it is NULL, so that it must be
/// computed.
fn stored<'a>(row: &'a Row<'_>) -> rusqlite::Result<Option<StoredSummary<'a>>> {
    let mut pieces: [&[u8]; PIECES] = [&[]; PIECES];
    for (at, piece) in pieces.iter_mut().enumerate() {
        let Some(bytes) = row.get_ref(3 + at)?.as_blob_or_null()? else { return Ok(None) };
        *piece = bytes;
    }
    Ok(Some(StoredSummary { pieces, sent: row.get(2)?, sent_at: row.get(3 + PIECES)? }))
}
