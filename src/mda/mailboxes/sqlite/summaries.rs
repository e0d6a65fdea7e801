//! Rows of summaries.

use rusqlite::params;

use crate::imap::Summary;
use crate::mda::mailboxes::summary_cache::number_of_date;
use crate::store::Transaction;

/// Stores the summary of a content, unless it has one.
pub(super) fn insert_summary(transaction: &Transaction<'_>, content: i64, summary: &Summary) -> rusqlite::Result<()> {
    let Summary { envelope, body_structure, fields, sent, sort_keys, preview, structure, trigrams } = summary;
    let sql = "INSERT OR IGNORE INTO summary (content, envelope, body_structure, sender, recipient, cc, bcc, subject,
               sent, structure, grams, standing, sent_at, preview)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
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
    ];
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}
