//! The bytes of messages, each stored once however many queues and mailboxes refer to it: a row here, and the bytes in
//! the row or in a segment.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::segment_files::SegmentFiles;
use super::segments::Location;
use super::{Error, Schema, Transaction};
use crate::mail::Content;

/// No content is longer, in bytes, whatever its row says.
const MAX_LENGTH: usize = 1 << 31;

pub(super) const SCHEMA: Schema = Schema {
    module: "store",
    migrations: &["
CREATE TABLE content (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: it may still be referenced in memory
    hash BLOB NOT NULL, -- BLAKE3; without an index, which would cost as much as the content
    uses INTEGER NOT NULL,
    segment INTEGER, -- NULL where the bytes are in content_bytes
    start INTEGER,
    length INTEGER NOT NULL
) STRICT;
CREATE INDEX content_segment ON content (segment, start) WHERE segment IS NOT NULL;

-- Apart from the uses, so that to count one does not rewrite the bytes.
CREATE TABLE content_bytes (
    content INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE segment (
    id INTEGER PRIMARY KEY, -- the name of the file
    end INTEGER NOT NULL, -- where the next content would go
    live INTEGER NOT NULL -- bytes of contents that are not deleted
) STRICT;
"],
    on_content_deleted: None,
    content_owners: None,
    content_uses: None,
};

/// Counts one more use of an equal content that is cached, was stored from this very value, or is known to be damaged,
/// which gets its bytes back; any other is stored with one use, even if an equal one is on disk. Returns its id, which
/// `content` keeps, and the content whose buffer is shared with the others that hold it.
///
/// # Errors
/// SQLite refuses.
pub fn put(transaction: &Transaction<'_>, content: &Content) -> rusqlite::Result<(i64, Content)> {
    if let Some(id) = transaction.cache().find_damaged(content)
        && heal(transaction, id, content)?
    {
        return Ok((id, content.clone()));
    }
    let hash = content.hash().as_bytes();
    let cached = transaction.cache().find_equal(content);
    let known = cached.as_ref().map(|(id, _)| *id).or_else(|| content.stored_id());
    if let Some(id) = known {
        let again = "UPDATE content SET uses = uses + 1 WHERE id = ?1 AND hash = ?2";
        if transaction.prepare_cached(again)?.execute(params![id, hash])? == 1 {
            content.set_stored_id(id);
            return Ok((id, cached.map_or_else(|| content.clone(), |(_, content)| content)));
        }
    }
    let location = transaction.place(content);
    let (segment, start) = (location.map(|location| location.segment), location.map(|location| location.start));
    let sql = "INSERT INTO content (hash, uses, segment, start, length) VALUES (?1, 1, ?2, ?3, ?4)";
    let id = transaction.prepare_cached(sql)?.insert(params![hash, segment, start, content.bytes().len()])?;
    if location.is_none() {
        put_bytes(transaction, id, content)?;
    }
    content.set_stored_id(id);
    transaction.note_new(id, content);
    Ok((id, content.clone()))
}

/// Stores the bytes of a content in the database, beside its row, in the place of earlier ones.
fn put_bytes(transaction: &Transaction<'_>, id: i64, content: &Content) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO content_bytes VALUES (?1, ?2)";
    transaction.prepare_cached(sql)?.execute(params![id, &content.bytes()[..]]).map(drop)
}

/// Stores the bytes of the damaged content `id` anew, frees their old place, and counts one more use. Returns `false`
/// and changes nothing if it was deleted.
fn heal(transaction: &Transaction<'_>, id: i64, content: &Content) -> rusqlite::Result<bool> {
    let sql = "SELECT segment, start, length FROM content WHERE id = ?1 AND hash = ?2";
    let found = params![id, content.hash().as_bytes()];
    let Some(old) = transaction.prepare_cached(sql)?.query_row(found, |row| location(row, 0)).optional()? else {
        return Ok(false);
    };
    let location = transaction.place(content);
    let (segment, start) = (location.map(|location| location.segment), location.map(|location| location.start));
    let sql = "UPDATE content SET uses = uses + 1, segment = ?2, start = ?3, length = ?4 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![id, segment, start, content.bytes().len()])?;
    if location.is_none() {
        put_bytes(transaction, id, content)?;
    }
    old.into_iter().for_each(|location| transaction.release_location(location));
    content.set_stored_id(id);
    transaction.note_new(id, content);
    tracing::info!(id, "a damaged content was stored anew");
    Ok(true)
}

/// Counts one more use of a stored content, as a copy in another mailbox is. Does nothing if there is none with this
/// id.
///
/// # Errors
/// SQLite refuses.
pub fn add_ref(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    transaction.prepare_cached("UPDATE content SET uses = uses + 1 WHERE id = ?1")?.execute([id]).map(drop)
}

/// Counts one use of a content less, and with the last one deletes it and what other modules know of it. Does nothing
/// if there is none with this id.
///
/// # Errors
/// SQLite refuses.
pub fn release(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    // RETURNING would cost a temporary table each time.
    let sql = "SELECT uses, segment, start, length FROM content WHERE id = ?1";
    let found = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, location(row, 1)?));
    let Some((uses, location)) = transaction.prepare_cached(sql)?.query_row([id], found).optional()? else {
        return Ok(());
    };
    if uses != 1 {
        return transaction.prepare_cached("UPDATE content SET uses = uses - 1 WHERE id = ?1")?.execute([id]).map(drop);
    }
    transaction.prepare_cached("DELETE FROM content WHERE id = ?1")?.execute([id])?;
    if location.is_none() {
        transaction.prepare_cached("DELETE FROM content_bytes WHERE content = ?1")?.execute([id])?;
    }
    transaction.note_deleted(id, location)
}

/// Counts the contents whose number of uses is not the sum over the queries `uses`, which are the
/// [`Schema::content_uses`] of all modules.
pub(super) fn refcount_errors<'a>(
    connection: &Connection,
    uses: impl IntoIterator<Item = &'a str>,
) -> rusqlite::Result<u64> {
    let counted: String = uses.into_iter().map(|sql| format!(" UNION ALL {sql}")).collect();
    let sql = format!(
        "SELECT count(*) FROM content LEFT JOIN (
             SELECT id, sum(uses) AS counted FROM (SELECT 0 AS id, 0 AS uses{counted}) GROUP BY id
         ) USING (id) WHERE uses <> ifnull(counted, 0)"
    );
    connection.query_row(&sql, [], |row| row.get(0))
}

/// Moves the live contents of a segment to the end of the last one, after comparing them with their hashes, and frees
/// their old places. The commit of the transaction writes them.
///
/// # Errors
/// One of them cannot be read, or SQLite refuses.
pub(super) fn compact_segment(
    transaction: &Transaction<'_>,
    segment: i64,
    files: &dyn SegmentFiles,
) -> Result<(), Error> {
    let sql = format!("SELECT {COLUMNS} WHERE segment = ?1 ORDER BY start");
    let found: Vec<ContentRef> =
        transaction.prepare_cached(&sql)?.query_map([segment], ContentRef::read)?.collect::<rusqlite::Result<_>>()?;
    for content in found {
        let (id, Some(old)) = (content.id, content.location) else { continue };
        let content = content.load(files).map_err(|error| error.of(id))?;
        let Location { segment, start, .. } = transaction.append(&content);
        let sql = "UPDATE content SET segment = ?2, start = ?3 WHERE id = ?1";
        transaction.prepare_cached(sql)?.execute(params![id, segment, start])?;
        transaction.release_location(old);
    }
    Ok(())
}

/// The columns of a [`ContentRef`], and where they come from.
const COLUMNS: &str = "id, segment, start, length, bytes, hash FROM content LEFT JOIN content_bytes ON content_bytes.content = content.id";

/// A content whose row was read, and whose bytes may still lie in a segment.
#[derive(Debug)]
pub(super) struct ContentRef {
    id: i64,
    location: Option<Location>,
    bytes: Option<Vec<u8>>,
    hash: [u8; 32],
}

impl ContentRef {
    /// Reads the row of the content with this id; `None` if there is none.
    pub(super) fn find(connection: &Connection, id: i64) -> rusqlite::Result<Option<Self>> {
        connection.prepare_cached(&format!("SELECT {COLUMNS} WHERE id = ?1"))?.query_row([id], Self::read).optional()
    }

    /// Reads a content's row, whose columns are [`COLUMNS`]. Its bytes are not compared with its hash.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, location: location(row, 1)?, bytes: row.get(4)?, hash: row.get(5)? })
    }

    /// The hash of the bytes according to the row.
    pub(super) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The number of bytes of the content, without reading a segment; 0 if the row has neither a place nor bytes.
    pub(super) fn len(&self) -> usize {
        let length = self.location.as_ref().map_or(0, |location| location.length);
        usize::try_from(length).unwrap_or(usize::MAX).max(self.bytes.as_ref().map_or(0, Vec::len))
    }

    /// Reads the bytes of the content, from its segment or its row, and compares them with the hash; the returned
    /// content has its id. [`LoadError::NoFile`] if there is no such segment, [`LoadError::Damaged`] if the bytes
    /// cannot be read or differ.
    pub(super) fn load(self, files: &dyn SegmentFiles) -> Result<Content, LoadError> {
        let (content, origin) = match (self.location, self.bytes) {
            (Some(location), _) => (read(files, location)?, origin(location)),
            (None, Some(bytes)) => (Content::new(bytes.into()), "post.db".to_owned()),
            (None, None) => return Err(LoadError::Damaged("its row names no bytes".into())),
        };
        if *content.hash().as_bytes() != self.hash {
            return Err(LoadError::Damaged(format!("the bytes in {origin} do not match their hash").into()));
        }
        content.set_stored_id(self.id);
        Ok(content)
    }
}

/// Reads the content at a place in a segment, without comparing it with its hash. [`LoadError::NoFile`] if there is no
/// such segment; [`LoadError::Damaged`] if it cannot be read, or the length is above [`MAX_LENGTH`].
fn read(files: &dyn SegmentFiles, location: Location) -> Result<Content, LoadError> {
    let damaged = |error: io::Error| LoadError::Damaged(format!("{}: {error}", origin(location)).into());
    let length = usize::try_from(location.length).ok().filter(|length| *length <= MAX_LENGTH);
    let length = length.ok_or_else(|| damaged(io::Error::other("its row has an impossible length")))?;
    let mut bytes = vec![0; length];
    match files.read(location.segment, location.start, &mut bytes) {
        Ok(()) => Ok(Content::new(Bytes::from(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LoadError::NoFile(damaged(error).to_string())),
        Err(error) => Err(damaged(error)),
    }
}

/// Where a content lies, in words, such as `contents/3 at 1024`.
fn origin(location: Location) -> String {
    format!("contents/{} at {}", location.segment, location.start)
}

/// Why the bytes of a content could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// There is no such segment: a compaction may have moved the content since its row was read.
    #[error("{0}")]
    NoFile(String),
    /// The bytes are not those that were stored.
    #[error("{0}")]
    Damaged(Arc<str>),
}

impl LoadError {
    /// Makes the [`Error::Damaged`] of the content with this id. The caller has found that the content is not being
    /// moved, since a missing segment is no damage then.
    pub(super) fn of(self, id: i64) -> Error {
        Error::Damaged { id, reason: self.to_string().into() }
    }
}

/// The place in the columns `segment`, `start` and `length`, of which `at` is the first; `None` if the bytes are in the
/// database.
fn location(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Location>> {
    let Some(segment) = row.get(at)? else { return Ok(None) };
    Ok(Some(Location { segment, start: row.get(at + 1)?, length: row.get(at + 2)? }))
}
