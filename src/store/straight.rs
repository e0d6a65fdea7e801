//! Writes that go straight to the disk.
//!
//! The system's memory for files would take a copy of everything, page by page, which nobody reads soon: what came last
//! is at hand anyway. That copy costs a letter of 100 KiB an eighth of its time, and a batch of them a quarter.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Where such a write begins and ends, in the file and in memory, is a multiple of this.
pub(super) const BLOCK_OCTETS: usize = 4096;
/// So much is gathered for one write.
const PIECE_OCTETS: usize = 1 << 20;

/// A file that is written this way where its file system lets us, and as any other where it does not.
pub(super) struct Straight {
    file: Arc<File>,
    /// A second handle, for such writes.
    direct: Option<File>,
    /// A piece, from its first whole block on.
    room: Vec<u8>,
}

impl Straight {
    /// Makes the file, or empties it.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = Arc::new(File::create(path)?);
        Ok(Self { file, direct: open(path).ok(), room: Vec::new() })
    }

    /// The file, for who syncs it.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Writes parts one after the other from `start` on, which is a multiple of [`BLOCK_OCTETS`], and zeros up to the end
    /// of the last block.
    pub(super) fn write<'a>(&mut self, start: u64, parts: impl Iterator<Item = &'a [u8]> + Clone) -> io::Result<()> {
        if self.room.is_empty() {
            self.room = vec![0; PIECE_OCTETS + BLOCK_OCTETS];
        }
        let first = self.room.as_ptr().align_offset(BLOCK_OCTETS);
        let room = &mut self.room[first..first + PIECE_OCTETS];
        if let Some(direct) = &self.direct {
            match write_in_pieces(direct, start, parts.clone(), room) {
                // Some file systems say only now that they have no such writes.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        write_in_pieces(&self.file, start, parts, room)
    }
}

fn write_in_pieces<'a>(
    file: &File,
    mut at: u64,
    parts: impl Iterator<Item = &'a [u8]>,
    room: &mut [u8],
) -> io::Result<()> {
    let mut filled = 0;
    for mut rest in parts {
        while !rest.is_empty() {
            let (part, more) = rest.split_at(rest.len().min(room.len() - filled));
            room[filled..filled + part.len()].copy_from_slice(part);
            (filled, rest) = (filled + part.len(), more);
            if filled == room.len() {
                write_all_at(file, room, at)?;
                (at, filled) = (at + room.len() as u64, 0);
            }
        }
    }
    let end = filled.next_multiple_of(BLOCK_OCTETS);
    room[filled..end].fill(0);
    write_all_at(file, &room[..end], at)
}

#[cfg(target_os = "linux")]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).custom_flags(libc::O_DIRECT).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn write_all_at(file: &File, octets: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, octets, at)
}

#[cfg(not(unix))]
fn write_all_at(mut file: &File, octets: &[u8], at: u64) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
    io::Write::write_all(&mut file, octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_one_after_the_other_and_the_rest_of_the_last_block_is_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1");
        for sizes in [vec![5000], vec![100, PIECE_OCTETS, 1, 3 * PIECE_OCTETS - 101], vec![200_000; 21]] {
            let parts: Vec<_> = (1..).zip(&sizes).map(|(fill, octets)| vec![fill; *octets]).collect();
            let mut straight = Straight::create(&path).unwrap();
            // Whether the file system has such writes or not.
            for direct in [straight.direct.take(), None] {
                std::fs::write(&path, "before").unwrap();
                straight.direct = direct;
                straight.write(BLOCK_OCTETS as u64, parts.iter().map(Vec::as_slice)).unwrap();
                let held = std::fs::read(&path).unwrap();
                let (head, rest) = held.split_at(BLOCK_OCTETS);
                let (body, tail) = rest.split_at(sizes.iter().sum());
                assert!(head.starts_with(b"before\0") && body == parts.concat() && tail.len() < BLOCK_OCTETS);
                assert!(tail.iter().all(|octet| *octet == 0));
            }
        }
    }
}
