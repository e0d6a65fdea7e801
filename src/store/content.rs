//! The bytes of letters, each stored once however many queues and mailboxes refer to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::Schema;
use crate::mail::Content;

/// Contents kept at hand, in octets.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

pub(super) const SCHEMA: Schema = Schema {
    room: "store",
    steps: &["CREATE TABLE content (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hash BLOB NOT NULL, -- BLAKE3; without an index, which would cost as much as the content
        bytes BLOB NOT NULL,
        uses INTEGER NOT NULL
    ) STRICT"],
};

/// Stores a content, or finds it where it says that it is, and counts one more use. Returns its id.
///
/// # Errors
/// SQLite refuses.
pub fn put(transaction: &Transaction<'_>, content: &Content) -> rusqlite::Result<i64> {
    let hash = content.hash().as_bytes();
    if let Some(id) = content.place() {
        let again = "UPDATE content SET uses = uses + 1 WHERE id = ?1 AND hash = ?2";
        if transaction.prepare_cached(again)?.execute(rusqlite::params![id, hash])? == 1 {
            return Ok(id);
        }
    }
    // There are conflicts in databases only that were made when hashes were unique.
    let new = "INSERT INTO content (hash, bytes, uses) VALUES (?1, ?2, 1)
        ON CONFLICT DO UPDATE SET uses = uses + 1 RETURNING id";
    let values = rusqlite::params![hash, content.bytes().as_ref()];
    let id = transaction.prepare_cached(new)?.query_row(values, |row| row.get(0))?;
    content.set_place(id);
    Ok(id)
}

/// Counts one more use of a stored content, as a copy in another mailbox is.
///
/// # Errors
/// SQLite refuses.
pub fn reuse(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    transaction.prepare_cached("UPDATE content SET uses = uses + 1 WHERE id = ?1")?.execute([id]).map(drop)
}

/// Counts one use less, and forgets the content with its last use.
///
/// # Errors
/// SQLite refuses.
pub fn release(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE content SET uses = uses - 1 WHERE id = ?1 RETURNING uses";
    let uses: Option<i64> = transaction.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    if uses == Some(0) {
        transaction.prepare_cached("DELETE FROM content WHERE id = ?1")?.execute([id])?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection, id: i64) -> rusqlite::Result<Option<Content>> {
    let sql = "SELECT bytes, hash FROM content WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id], |row| read(row, 0)).optional()
}

/// A content out of a row of any table joined with ours, with `bytes` and `hash` from column `at` on.
///
/// # Errors
/// These are other columns.
pub fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Content> {
    let bytes: Vec<u8> = row.get(at)?;
    Ok(Content::stored(bytes.into(), row.get(at + 1)?))
}

/// The contents used last, oldest out first.
#[derive(Default)]
pub(super) struct Cache(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    by_id: BTreeMap<i64, Content>,
    by_hash: BTreeMap<[u8; 32], i64>,
    order: VecDeque<i64>,
    octets: usize,
}

impl Cache {
    pub(super) fn find(&self, id: i64) -> Option<Content> {
        self.shelf().by_id.get(&id).cloned()
    }

    pub(super) fn same(&self, content: &Content) -> Option<Content> {
        let shelf = self.shelf();
        shelf.by_hash.get(content.hash().as_bytes()).and_then(|id| shelf.by_id.get(id)).cloned()
    }

    pub(super) fn keep(&self, id: i64, content: &Content) {
        content.set_place(id);
        let mut shelf = self.shelf();
        if CACHE_BYTES < content.bytes().len() || shelf.by_id.contains_key(&id) {
            return;
        }
        shelf.octets += content.bytes().len();
        shelf.by_hash.insert(*content.hash().as_bytes(), id);
        shelf.by_id.insert(id, content.clone());
        shelf.order.push_back(id);
        while CACHE_BYTES < shelf.octets
            && let Some(oldest) = shelf.order.pop_front()
        {
            if let Some(content) = shelf.by_id.remove(&oldest) {
                shelf.octets -= content.bytes().len();
                shelf.by_hash.remove(content.hash().as_bytes());
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
