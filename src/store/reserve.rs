//! Room on the disk for commits that delete, when the others find none.
//!
//! Deleting is written, too: to the WAL, and from there to the database. So a file beside the database takes the room of
//! one commit and of a checkpoint of the whole WAL. On a full disk it is emptied for a commit that deletes, and filled
//! with what is left of the room before any other commit, or contents, can take it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::private::private_file;

/// Room for one commit; also the steps in which the reserve grows.
const STEP_BYTES: u64 = 1024 * 1024;
/// With less room on the disk, a commit may find none.
const LOW_BYTES: u64 = 4 * STEP_BYTES;

/// The reserve of one store.
pub(super) struct Reserve {
    path: PathBuf,
    /// The room that it takes, in bytes.
    bytes: u64,
    /// The room that it should take.
    wanted: u64,
    /// There was no room for it lately.
    is_short: bool,
}

impl Reserve {
    /// The reserve in a file, which may not be there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        let bytes = path.metadata().map_or(0, |file| file.len());
        Self { path, bytes, wanted: STEP_BYTES, is_short: false }
    }

    /// Whether the disk may have no room for a commit: less than 4 MiB are free or, where that is not known, the last
    /// fill failed.
    pub(super) fn is_needed(&self) -> bool {
        free_bytes(&self.path).map_or(self.is_short, |free| free < LOW_BYTES)
    }

    /// Empties the reserve, so that its room is free for others. A failure is logged.
    pub(super) fn give_up(&mut self) {
        match File::options().write(true).truncate(true).open(&self.path) {
            Ok(_) => self.bytes = 0,
            Err(error) => tracing::debug!(%error, "cannot give up the reserve"),
        }
    }

    /// Lets the file grow, as far as there is room, to the length of this WAL or the longest so far and at least 1 MiB
    /// more; it gets no shorter. Nothing is synced: it is no loss. A failure is logged, once in a row.
    pub(super) fn fill(&mut self, wal_bytes: u64) {
        self.wanted = self.wanted.max(STEP_BYTES * (1 + wal_bytes.div_ceil(STEP_BYTES)));
        if self.wanted <= self.bytes {
            return;
        }
        let filled = self.try_fill();
        self.bytes = self.path.metadata().map_or(0, |file| file.len());
        if let Err(error) = &filled
            && !self.is_short
        {
            tracing::warn!(%error, bytes = self.bytes, "no room to keep for deleting");
        }
        self.is_short = filled.is_err();
    }

    /// Appends to the reserve what it lacks of the wanted length; what fits before an error stays.
    fn try_fill(&self) -> io::Result<()> {
        let mut file = private_file().append(true).create(true).open(&self.path)?;
        let mut left = self.wanted - self.bytes;
        let mut noise = vec![0; STEP_BYTES as usize];
        while left != 0 {
            let part = &mut noise[..left.min(STEP_BYTES) as usize];
            // File systems that compress would give zeros no room.
            blake3::Hasher::new().update(&left.to_le_bytes()).finalize_xof().fill(part);
            file.write_all(part)?;
            left -= part.len() as u64;
        }
        Ok(())
    }
}

/// The room that is free on the disk of a file, in bytes; `None` if that is not known.
#[cfg(target_os = "linux")]
fn free_bytes(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file.parent()?).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Always `None`: the free room of a disk is not asked for on this system.
#[cfg(not(target_os = "linux"))]
fn free_bytes(_file: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_grows_with_the_wal_and_is_filled_again_after_it_was_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reserve");
        let mut reserve = Reserve::new(path.clone());
        let length = || path.metadata().unwrap().len();
        reserve.fill(0);
        assert_eq!(length(), STEP_BYTES);
        reserve.fill(STEP_BYTES + 1);
        assert_eq!(length(), 3 * STEP_BYTES);
        reserve.fill(0);
        assert_eq!(length(), 3 * STEP_BYTES, "the WAL gets no shorter");
        reserve.give_up();
        assert_eq!(length(), 0);
        reserve.fill(0);
        assert_eq!(length(), 3 * STEP_BYTES);
        assert_eq!(Reserve::new(path).bytes, 3 * STEP_BYTES);
    }

    #[test]
    fn reserve_without_room_is_short_and_tries_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/reserve");
        let mut reserve = Reserve::new(path.clone());
        reserve.give_up();
        reserve.fill(0);
        assert!(reserve.is_short && reserve.bytes == 0);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        reserve.fill(0);
        assert!(!reserve.is_short && reserve.bytes == STEP_BYTES);
    }
}
