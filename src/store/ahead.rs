//! Room in the log before it is needed.
//!
//! A sync of a file that has grown writes more than what it holds, and takes several times as long as one of octets that
//! are overwritten. So the log, which is overwritten again and again, is filled with zeros some way ahead. Where contents
//! lie, all would be written twice.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that stays smaller is left alone.
const WORTHWHILE_OCTETS: u64 = 256 << 10;
/// So much room at most is made at once, since writers wait meanwhile.
const ROOM_OCTETS_MAX: u64 = 4 << 20;
/// Zeros are written in pieces of so many octets.
const PIECE_OCTETS: u64 = 256 << 10;
static ZEROS: [u8; PIECE_OCTETS as usize] = [0; PIECE_OCTETS as usize];

/// How far a file has room.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    end: u64,
}

impl Ahead {
    /// Makes room again in a file that has grown beyond what it had, while nobody writes to it: as much as it has octets,
    /// within bounds. The room is durable with the next sync. A disk that has none for it changes nothing.
    pub(super) fn keep(&mut self, mut file: &File) -> io::Result<()> {
        // Not by its metadata: once somebody has seen the times of a file, the next write to it changes them, and the
        // sync after that writes them, too (multigrain timestamps of Linux).
        let octets = file.seek(SeekFrom::End(0))?;
        if octets <= self.end || octets < WORTHWHILE_OCTETS {
            self.end = octets.min(self.end);
            return Ok(());
        }
        let room = octets.min(ROOM_OCTETS_MAX).next_multiple_of(PIECE_OCTETS);
        match fill(file, octets, room) {
            Ok(()) => self.end = octets + room,
            Err(_) => file.set_len(octets)?,
        }
        Ok(())
    }
}

/// The log of a database.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    ahead: Ahead,
}

impl Log {
    /// Beside this database.
    pub(super) fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self { path: path.into(), file: None, ahead: Ahead::default() }
    }

    /// See [`Ahead::keep`]. SQLite reads a log up to the first frame that is not of its kind, as none of zeros is.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::options().write(true).open(&self.path)?,
        };
        self.ahead.keep(self.file.insert(file))
    }
}

fn fill(mut file: &File, from: u64, octets: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    (0..octets / PIECE_OCTETS).try_for_each(|_| file.write_all(&ZEROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_outgrows_its_room_gets_more_behind_what_it_holds() {
        let file = tempfile::tempfile().unwrap();
        let mut ahead = Ahead::default();
        for (octets, kept) in [
            (1 << 10, 1 << 10),     // too small
            (300 << 10, 812 << 10), // in whole pieces
            (812 << 10, 812 << 10), // not outgrown
            (400 << 10, 400 << 10), // somebody has cut it
            (10 << 20, 14 << 20),
        ] {
            file.set_len(octets).unwrap();
            ahead.keep(&file).unwrap();
            assert_eq!(file.metadata().unwrap().len(), kept, "{octets}");
        }
    }
}
