//! The bytes of letters, each stored once however many queues and mailboxes refer to it: rows here, bytes in
//! `segments`.

use std::io;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::segments::{Files, Place};
use super::{Schema, Transaction};
use crate::mail::Content;

pub(super) const SCHEMA: Schema = Schema {
    room: "store",
    steps: &[
        "CREATE TABLE content (
        id INTEGER PRIMARY KEY, -- given once while the process lives
        hash BLOB NOT NULL, -- BLAKE3; without an index, which would cost as much as the content
        bytes BLOB NOT NULL, -- empty where they lie in a segment
        uses INTEGER NOT NULL
    ) STRICT",
        "ALTER TABLE content ADD COLUMN segment INTEGER NOT NULL DEFAULT 0; -- 0: none
    ALTER TABLE content ADD COLUMN start INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE content ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;",
    ],
    forget: None,
    recount: None,
};

/// Stores a content, or finds it where it says that it is, and counts one more use. Returns its id.
///
/// # Errors
/// SQLite refuses.
pub fn put(transaction: &Transaction<'_>, content: &Content) -> rusqlite::Result<i64> {
    let hash = content.hash().as_bytes();
    if let Some(id) = content.stored_id() {
        let again = "UPDATE content SET uses = uses + 1 WHERE id = ?1 AND hash = ?2";
        if transaction.prepare_cached(again)?.execute(params![id, hash])? == 1 {
            return Ok(id);
        }
    }
    let place = transaction.next_place(content.bytes().len());
    let bytes = if place.segment == 0 { content.bytes().as_ref() } else { &[] };
    let id = transaction.next_id();
    let new = "INSERT INTO content (id, hash, bytes, uses, segment, start, octets) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)";
    let values = params![id, hash, bytes, place.segment, place.start, place.octets];
    transaction.prepare_cached(new)?.execute(values)?;
    content.set_stored_id(id);
    if place.segment != 0 {
        transaction.add(id, content.clone());
    }
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
    // RETURNING would cost a table of its own each time.
    let sql = "SELECT uses, segment, start, octets FROM content WHERE id = ?1";
    let found = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, place(row, 1)?));
    let Some((uses, place)) = transaction.prepare_cached(sql)?.query_row([id], found).optional()? else {
        return Ok(());
    };
    if uses != 1 {
        return transaction.prepare_cached("UPDATE content SET uses = uses - 1 WHERE id = ?1")?.execute([id]).map(drop);
    }
    transaction.prepare_cached("DELETE FROM content WHERE id = ?1")?.execute([id])?;
    transaction.free(id, place)
}

/// Moves what lives in a segment to where new contents go.
pub(super) fn gather(transaction: &Transaction<'_>, segment: i64, files: &Files) -> rusqlite::Result<()> {
    let sql = format!("SELECT {COLUMNS} FROM content WHERE segment = ?1 ORDER BY start");
    let found: Vec<Found> = transaction
        .prepare_cached(&sql)?
        .query_map([segment], |row| Found::read(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    for Found { id, place, hash, .. } in found {
        let odd = |error: io::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
        let content = Content::stored(files.read(place).map_err(odd)?, hash);
        let Place { segment, start, .. } = transaction.next_place(content.bytes().len());
        let sql = "UPDATE content SET segment = ?2, start = ?3 WHERE id = ?1";
        transaction.prepare_cached(sql)?.execute(params![id, segment, start])?;
        transaction.add(id, content);
        transaction.vacate(id, place);
    }
    Ok(())
}

/// The columns of a [`Found`].
pub const COLUMNS: &str = "content.id, content.segment, content.start, content.octets, content.bytes, content.hash";

/// A content whose place is known, and which is still to be read.
#[derive(Debug)]
pub struct Found {
    pub(super) id: i64,
    place: Place,
    /// Its bytes, where the tables have them.
    bytes: Vec<u8>,
    hash: [u8; 32],
}

impl Found {
    /// Out of a row of any table joined with ours, with [`COLUMNS`] from column `at` on.
    ///
    /// # Errors
    /// These are other columns.
    pub fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(at)?, place: place(row, at + 1)?, bytes: row.get(at + 4)?, hash: row.get(at + 5)? })
    }

    /// Its bytes; from a file if it lies in a segment. [`io::ErrorKind::NotFound`] if they are gone since it was found.
    pub(super) fn open(self, files: &Files) -> io::Result<Content> {
        if self.place.segment == 0 {
            return Ok(Content::stored(self.bytes.into(), self.hash));
        }
        match files.read(self.place) {
            // It may be gone, and before it was written.
            Ok(bytes) if files.has_holes(self.place.segment) => {
                let content = Content::new(bytes);
                let is_same = *content.hash().as_bytes() == self.hash;
                if is_same { Ok(content) } else { Err(io::ErrorKind::NotFound.into()) }
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(io::ErrorKind::NotFound.into()),
            read => Ok(Content::stored(read?, self.hash)),
        }
    }

    /// Whether its bytes are there.
    pub(super) fn is_sound(&self, files: &Files) -> bool {
        self.place.segment == 0
            || files.read(self.place).is_ok_and(|bytes| *Content::new(bytes).hash().as_bytes() == self.hash)
    }
}

pub(super) fn find(connection: &Connection, id: i64) -> rusqlite::Result<Option<Found>> {
    let sql = format!("SELECT {COLUMNS} FROM content WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], |row| Found::read(row, 0)).optional()
}

fn place(row: &Row<'_>, at: usize) -> rusqlite::Result<Place> {
    Ok(Place { segment: row.get(at)?, start: row.get(at + 1)?, octets: row.get(at + 2)? })
}
