//! The numbers of rows: those of a host lie together, so that a message costs the queue one page, without an index.

use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{Connection, params};

use crate::world::HostName;

/// The rows of a host whose numbers begin at ?1 and whose name is ?2. The first builds had small numbers for all.
pub(super) const OF_HOST: &str = "(id BETWEEN ?1 AND ?1 + 4294967295 OR id < 4294967296) AND host = ?2";

/// The row ids of a host. Ids are never reused within a process, because a deleted row's id may still be referenced in
/// memory.
pub(super) struct RowIds {
    pub(super) host: HostName,
    /// The first that a row may have. Two hosts may happen to have the same.
    pub(super) first: i64,
    last: AtomicU32,
}

impl RowIds {
    /// Of a host that may have rows already.
    pub(super) fn open(connection: &Connection, host: HostName) -> rusqlite::Result<Self> {
        let hash = blake3::hash(host.as_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        let first = i64::from(u32::from_be_bytes([a, b, c, d]) >> 1 | 1) << 32;
        let sql = "SELECT coalesce(max(id), ?1) - ?1 FROM queue WHERE id BETWEEN ?1 AND ?1 + 4294967295";
        let last = connection.query_row(sql, params![first], |row| row.get(0))?;
        Ok(Self { host, first, last: AtomicU32::new(last) })
    }

    /// The next number, which another host's row may have, or, after four thousand million, one of our own.
    pub(super) fn next(&self) -> i64 {
        self.first + i64::from(self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }
}
