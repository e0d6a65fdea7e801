//! Writes that go straight to the disk.
//!
//! The system's memory for files would take a copy of everything, page by page, which nobody reads soon: what came last
//! is at hand anyway. That copy costs a letter of 100 KiB an eighth of its time, and a batch of them a quarter.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::mail::Content;

/// Where such a write begins and ends, in the file and in memory, is a multiple of this.
pub(super) const BLOCK_OCTETS: usize = 4096;
/// So much is gathered for one write.
const PIECE_OCTETS: usize = 1 << 20;

/// A file opened for such writes, beside its usual handle.
pub(super) struct Straight {
    /// `None` where its file system has no such writes.
    file: Option<File>,
    /// A piece, from its first whole block on.
    room: Vec<u8>,
}

impl Straight {
    pub(super) fn open(path: &Path) -> Self {
        Self { file: open(path).ok(), room: Vec::new() }
    }

    /// Writes contents one after the other from `start` on, which is a multiple of [`BLOCK_OCTETS`], and zeros up to the
    /// end of the last block. `false` if that has to be done the usual way.
    pub(super) fn write(&mut self, start: u64, contents: &[(i64, Content)]) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        if self.room.is_empty() {
            self.room = vec![0; PIECE_OCTETS + BLOCK_OCTETS];
        }
        let first = self.room.as_ptr().align_offset(BLOCK_OCTETS);
        let room = &mut self.room[first..first + PIECE_OCTETS];
        match write_in_pieces(file, start, contents, room) {
            // Some file systems say so only now.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.file = None;
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }
}

fn write_in_pieces(file: &File, mut at: u64, contents: &[(i64, Content)], room: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    for (_, content) in contents {
        let mut rest: &[u8] = content.bytes();
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
fn write_all_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(sizes: &[usize]) -> Vec<(i64, Content)> {
        let content = |(id, octets): (u8, &usize)| (id.into(), Content::new(vec![id; *octets].into()));
        (1..).zip(sizes).map(content).collect()
    }

    #[test]
    fn contents_lie_one_after_the_other_and_the_rest_of_the_last_block_is_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1");
        for sizes in [vec![5000], vec![100, PIECE_OCTETS, 1, 3 * PIECE_OCTETS - 101], vec![200_000; 21]] {
            let contents = contents(&sizes);
            std::fs::write(&path, "before").unwrap();
            let mut straight = Straight::open(&path);
            if !straight.write(BLOCK_OCTETS as u64, &contents).unwrap() {
                eprintln!("skipped: this file system has no such writes");
                return;
            }
            let whole: Vec<u8> = contents.iter().flat_map(|(_, content)| content.bytes().to_vec()).collect();
            let held = std::fs::read(&path).unwrap();
            let (head, rest) = held.split_at(BLOCK_OCTETS);
            let (body, tail) = rest.split_at(whole.len());
            assert!(head.starts_with(b"before\0") && body == whole && tail.len() < BLOCK_OCTETS);
            assert!(tail.iter().all(|octet| *octet == 0));
        }
    }
}
