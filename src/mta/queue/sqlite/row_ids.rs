//! The ids of rows: those of a host lie together, so that a message costs the queue one page, without an index.

use rusqlite::params;

use crate::store::Transaction;

/// The rows of the host whose name is ?1.
pub(super) const OF_HOST: &str = "id BETWEEN (SELECT number << 32 FROM queue_host WHERE host = ?1)
    AND (SELECT (number << 32) + 4294967295 FROM queue_host WHERE host = ?1)";

/// Takes the next id for a row of a host, in the transaction that uses it; the first one also gives the host its
/// number. No id is given twice, since a row that was deleted may still be referenced in memory.
pub(super) fn next(transaction: &Transaction<'_>, host: &str) -> rusqlite::Result<i64> {
    let take = "UPDATE queue_host SET last = last + 1 WHERE host = ?1";
    if transaction.prepare_cached(take)?.execute([host])? == 0 {
        transaction.execute("INSERT INTO queue_host (host, last) VALUES (?1, 1)", params![host])?;
    }
    let sql = "SELECT (number << 32) + last FROM queue_host WHERE host = ?1";
    transaction.prepare_cached(sql)?.query_row([host], |row| row.get(0))
}
