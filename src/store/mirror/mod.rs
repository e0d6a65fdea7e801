//! What makes a commit durable: a record of what it added, straight to the disk in one piece.
//!
//! SQLite writes its log (`-wal`) page by page into the system's memory for files; to sync that takes longer than to write
//! the same octets straight to the disk. And contents that lie in a file of their own would need a sync of their own. So
//! SQLite syncs nothing, contents that are not large come to their files later, many of them at once, and this is durable:
//!
//! ```text
//!  post.db-wal      header ▓▓▓▓▓▓▓▓│▓▓▓▓▓│▓▓▓▓▓   frames, which SQLite reads; on the disk at some time
//!  contents/3       ░░░░░│                        contents; those that are gone by then never come here
//!  post.db-mirror   ▒│▒│▓▓▓░░░░░│▓▓│▓▓▓░░┊        a record for each commit: its frames and its contents
//!                   └── in turn: the header of the log that is mirrored
//! ```
//!
//! # What a crash can leave
//! A log is begun anew once the database file and the files of contents hold all of the one before and are synced
//! ([`Mirror::checkpoint`]). The new header is then durable before the first record of the old log is overwritten, and only
//! frames that are mirrored go into the database. Hence, for [`restore`]:
//!
//! - The mirror's log is the newer one, or the longer: that of the system was not on the disk yet. It is made anew.
//! - Both are of one length: the process ended, the system did not.
//! - That of the system is newer or longer: it has commits of which nobody was told. They are sound, and stay.
//! - The mirror names no log: all that anybody was told of is in the database.
//! - There is no log: whoever closed the database last has put it there; nor is there one before the first start.
//!
//! In each case the contents of whole records are brought to their files.

mod restore;

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::log::Header;
use super::segments::{Piece, read_exact_at, sync_folder};
use super::straight::{BLOCK_OCTETS, LARGE_OCTETS, Straight};
pub(super) use restore::restore;

/// Where the records begin: behind the two headers.
const RECORDS_AT: u64 = 2 * BLOCK_OCTETS as u64;
/// Octets of a record before its frames: salts of the log (8), number of the first frame (4), how many there are (4); segment
/// of the contents (8), where they begin there (8), how many octets they are (8, with [`AT_BLOCK`]). In network order.
const HEAD_OCTETS: usize = 40;
/// Set where contents begin at a whole block of the record, as large ones do.
const AT_BLOCK: u64 = 1 << 63;
/// So many frames at most are in one record.
const FRAMES_MAX: u32 = 256;
/// A log or a mirror of so many octets ends up in the database: so much is read by a start after a crash. With more, fewer
/// pages go there twice, but the memory and the disk that they take cost as much.
const LOG_OCTETS: u64 = 8 << 20;
const MIRROR_OCTETS: u64 = 32 << 20;
/// Where somebody reads an old state, that is tried again after so many octets more.
const PATIENCE_OCTETS: u64 = 1 << 20;
/// So much room is made in the mirror, before it is needed.
const ROOM_OCTETS: u64 = 2 << 20;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

thread_local! {
    /// The frames in the log after the last commit of this thread.
    static FRAMES: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The writer's hold on the log.
pub(super) struct Mirror {
    database: File,
    log: File,
    copy: Straight,
    path: PathBuf,
    /// The log that is mirrored, and so many frames of it.
    header: Header,
    frames: u32,
    added: Vec<u8>,
    /// Where the next record begins, and up to where the file needs not grow.
    end: u64,
    room: u64,
    /// All of it is in the database and in files of contents.
    is_put_away: bool,
    /// The log has more, which was synced there.
    is_behind: bool,
    /// What is too long is left alone until the mirror has so many octets.
    patience: u64,
}

impl Mirror {
    /// Begins, for a connection that so far syncs all that it writes; `None` where somebody else reads the log: then it goes on
    /// to sync.
    ///
    /// # Errors
    /// The files cannot be made or synced.
    pub(super) fn start(connection: &Connection, database: &Path) -> io::Result<Option<Self>> {
        let path = beside(database, "mirror");
        if !empty(connection).map_err(io::Error::other)? {
            return Ok(None);
        }
        let log = File::open(beside(database, "wal"))?;
        log.sync_all()?;
        let mut copy = Straight::create(&path)?;
        // It names no log.
        copy.write(0, [&ZEROS[..RECORDS_AT as usize]].into_iter())?;
        // Two who think that it is theirs would lose what the other has.
        copy.file().lock()?;
        copy.file().sync_all()?;
        sync_folder_of(database)?;
        connection.pragma_update(None, "synchronous", "OFF").map_err(io::Error::other)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(io::Error::other)?;
        connection.wal_hook(Some(|_, frames| {
            FRAMES.set(u32::try_from(frames).ok());
            Ok(())
        }));
        Ok(Some(Self {
            database: File::open(database)?,
            log,
            copy,
            path,
            header: Header::default(),
            frames: 0,
            added: Vec::new(),
            end: RECORDS_AT,
            room: RECORDS_AT,
            is_put_away: false,
            is_behind: false,
            patience: 0,
        }))
    }

    /// Makes durable what the last commit of this thread has added to the log, and these contents. `false` if the contents
    /// are not.
    ///
    /// # Errors
    /// The disk has failed: nobody knows what is on it.
    pub(super) fn keep(&mut self, piece: Option<&Piece>) -> io::Result<bool> {
        let Some(frames) = FRAMES.take() else { return Ok(true) };
        let outcome = self.copy(frames, piece);
        self.is_behind = outcome.is_err();
        match outcome {
            Ok(()) => Ok(true),
            // What a mirror that names no log stands beside is taken for nothing.
            Err(error) if self.header == Header::default() => Err(error),
            Err(error) => {
                // The log itself has the same, and a start finds the longer one.
                tracing::debug!(%error, "the log cannot be mirrored; it is synced");
                self.log.sync_data().map(|()| false)
            }
        }
    }

    fn copy(&mut self, frames: u32, piece: Option<&Piece>) -> io::Result<()> {
        let header = Header::read(&self.log)?;
        if header != self.header {
            if self.header != Header::default() && !self.is_put_away {
                return Err(io::Error::other("another program has begun the log anew"));
            }
            self.copy.write(place(&header), [header.octets()].into_iter())?;
            self.copy.file().sync_data()?;
            (self.header, self.frames, self.end, self.patience) = (header, 0, RECORDS_AT, 0);
        }
        let (mut at, mut end) = (self.frames, self.end);
        while at < frames {
            let next = frames.min(at + FRAMES_MAX);
            let piece = piece.filter(|_| next == frames);
            self.added.resize((header.at(next) - header.at(at)) as usize, 0);
            read_exact_at(&self.log, &mut self.added, header.at(at))?;
            let head = head(&header, at..next, piece);
            let contents = piece.into_iter().flat_map(Piece::parts);
            let (octets, length) = (head.len() + self.added.len(), piece.map_or(0, Piece::octets));
            let gap = if is_large(length) { octets.next_multiple_of(BLOCK_OCTETS) - octets } else { 0 };
            let gap = &ZEROS[..gap];
            self.copy.write(end, [head.as_slice(), &self.added, gap].into_iter().chain(contents))?;
            let octets = octets + gap.len() + length as usize;
            (at, end) = (next, end + octets.next_multiple_of(BLOCK_OCTETS) as u64);
        }
        self.copy.file().sync_data()?;
        (self.frames, self.end, self.is_put_away) = (frames, end, false);
        Ok(())
    }

    /// Whether contents of so many octets can be kept without a file that grows, which a full disk could refuse.
    pub(super) fn has_room(&self, octets: u64) -> bool {
        self.end + octets + ROOM_OCTETS / 2 <= self.room
    }

    /// Makes room for what comes. A sync of a file that has grown takes several times as long as one of octets that are
    /// overwritten.
    ///
    /// # Errors
    /// The disk has no room for it, which changes nothing.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        if self.room < self.end + ROOM_OCTETS * 3 / 4 {
            let from = self.room.max(self.end);
            self.copy.write(from, std::iter::repeat_n(ZEROS.as_slice(), ROOM_OCTETS as usize / ZEROS.len()))?;
            self.room = from + ROOM_OCTETS;
        }
        Ok(())
    }

    /// Whether it is time for [`Mirror::checkpoint`].
    pub(super) fn is_long(&self) -> bool {
        self.is_behind || self.fills(4) && self.patience <= self.end
    }

    /// Whether that comes soon.
    pub(super) fn is_nearly_long(&self) -> bool {
        self.fills(3)
    }

    /// Whether log or mirror take so many quarters of what they may.
    fn fills(&self, quarters: u64) -> bool {
        LOG_OCTETS / 4 * quarters <= self.header.at(self.frames) || MIRROR_OCTETS / 4 * quarters <= self.end
    }

    /// Brings all that is durable into the database file, so that the log can begin anew; `contents` waits until these are in
    /// their files and synced. Readers who are at work, or a full disk, may keep some of it back until next time.
    ///
    /// # Errors
    /// The disk has failed: nobody knows what is on it.
    pub(super) fn checkpoint(
        &mut self,
        connection: &Connection,
        contents: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.patience = self.end + PATIENCE_OCTETS;
        let frames = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let is_whole = match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], frames) {
            Ok((all, done)) => all == done,
            Err(error) => {
                tracing::warn!(%error, "the log cannot be brought into the database yet");
                false
            }
        };
        self.database.sync_data()?;
        // Until now a start would find them in the mirror.
        contents()?;
        if is_whole && self.is_behind {
            // What the mirror has is less than what the database has now.
            self.copy.write(0, [&ZEROS[..RECORDS_AT as usize]].into_iter())?;
            self.copy.file().sync_data()?;
            (self.header, self.is_behind) = (Header::default(), false);
        }
        self.is_put_away = is_whole;
        Ok(())
    }

    /// The same for the last time, with contents synced: the connection is about to be closed, and nothing has to be mirrored any more.
    ///
    /// # Errors
    /// Then the next start does it.
    pub(super) fn close(&mut self, connection: &Connection) -> io::Result<()> {
        if self.is_behind {
            self.checkpoint(connection, || Ok(()))?;
        }
        connection.pragma_update(None, "synchronous", "FULL").map_err(io::Error::other)?;
        // A mirror that lacks something must not be found beside an empty log.
        if !self.is_behind && empty(connection).map_err(io::Error::other)? {
            self.log.sync_all()?;
            // If it cannot go, a start puts into the database what is there already.
            let _ = fs::remove_file(&self.path);
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn is_large(octets: u64) -> bool {
    LARGE_OCTETS as u64 <= octets
}

/// What a record begins with.
fn head(header: &Header, frames: Range<u32>, piece: Option<&Piece>) -> Vec<u8> {
    let (segment, start) = piece.map_or((0, 0), |piece| (piece.segment, piece.start));
    let octets = piece.map_or(0, Piece::octets);
    let octets = if is_large(octets) { octets | AT_BLOCK } else { octets };
    let mut head = header.salts().to_vec();
    head.extend([frames.start, frames.end - frames.start].map(u32::to_be_bytes).as_flattened());
    head.extend(segment.to_be_bytes());
    head.extend([start, octets].map(u64::to_be_bytes).as_flattened());
    head
}

/// Brings the whole log into the database file and empties it, unless somebody else is reading it.
fn empty(connection: &Connection) -> rusqlite::Result<bool> {
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(!is_busy)
}

fn beside(database: &Path, what: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-");
    path.push(what);
    path.into()
}

/// Where the header of a log stands.
fn place(header: &Header) -> u64 {
    u64::from(header.number() % 2) * BLOCK_OCTETS as u64
}

fn sync_folder_of(database: &Path) -> io::Result<()> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests;
