//! Writes that go straight to the disk.
//!
//! The system's memory for files would take a copy of everything, page by page, which nobody reads soon: what came last
//! is at hand anyway. That copy costs a letter of 100 KiB an eighth of its time, and a batch of them a quarter. Nor do we
//! copy what is large.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Where such a write begins and ends, in the file and in memory, is a multiple of this.
pub(super) const BLOCK_OCTETS: usize = 4096;
/// So much is gathered for one write, and so many large parts.
const PIECE_OCTETS: usize = 1 << 20;
const LARGE_MAX: usize = 256;
/// A part of so many octets is not copied, if it is at a whole block in memory and in the file, as large buffers are.
pub(super) const LARGE_OCTETS: usize = 32 << 10;

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
            match Gather::new(direct, start, room).write(parts.clone()) {
                // Some file systems say only now that they have no such writes.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        Gather::new(&self.file, start, room).write(parts)
    }
}

/// Gathers parts for few writes.
struct Gather<'r, 'a> {
    file: &'r File,
    /// Where the next write begins.
    at: u64,
    room: &'r mut [u8],
    /// So much of the room is taken.
    filled: usize,
    /// What is written from where it lies, each behind so much of the room.
    large: Vec<(usize, &'a [u8])>,
}

impl<'r, 'a> Gather<'r, 'a> {
    fn new(file: &'r File, at: u64, room: &'r mut [u8]) -> Self {
        Self { file, at, room, filled: 0, large: Vec::new() }
    }

    fn write(mut self, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        for mut rest in parts {
            while !rest.is_empty() {
                rest = self.add(rest)?;
            }
        }
        let end = self.filled.next_multiple_of(BLOCK_OCTETS);
        self.room[self.filled..end].fill(0);
        self.filled = end;
        self.flush()
    }

    /// Adds some of a part, and gives back the rest.
    fn add(&mut self, part: &'a [u8]) -> io::Result<&'a [u8]> {
        let is_at_block = self.filled.is_multiple_of(BLOCK_OCTETS);
        if is_at_block && (self.filled == self.room.len() || self.large.len() == LARGE_MAX) {
            self.flush()?;
        }
        if is_at_block && LARGE_OCTETS <= part.len() && part.as_ptr().align_offset(BLOCK_OCTETS) == 0 {
            let (blocks, rest) = part.split_at(part.len() - part.len() % BLOCK_OCTETS);
            self.large.push((self.filled, blocks));
            return Ok(rest);
        }
        let (copied, rest) = part.split_at(part.len().min(self.room.len() - self.filled));
        self.room[self.filled..self.filled + copied.len()].copy_from_slice(copied);
        self.filled += copied.len();
        Ok(rest)
    }

    fn flush(&mut self) -> io::Result<()> {
        let (mut slices, mut from) = (Vec::new(), 0);
        for (until, blocks) in self.large.drain(..) {
            slices.extend([&self.room[from..until], blocks]);
            from = until;
        }
        slices.push(&self.room[from..self.filled]);
        write_all_at(self.file, &slices, self.at)?;
        self.at += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        self.filled = 0;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    File::options().write(true).custom_flags(direct).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn write_all_at(file: &File, slices: &[&[u8]], mut at: u64) -> io::Result<()> {
    let mut slices: Vec<_> = slices.iter().map(|slice| io::IoSlice::new(slice)).collect();
    let mut left = slices.as_mut_slice();
    // What is empty at the front goes.
    io::IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match rustix::io::pwritev(file, left, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += written as u64;
                io::IoSlice::advance_slices(&mut left, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(all(unix, not(target_os = "linux")))]
fn write_all_at(file: &File, slices: &[&[u8]], mut at: u64) -> io::Result<()> {
    for slice in slices {
        std::os::unix::fs::FileExt::write_all_at(file, slice, at)?;
        at += slice.len() as u64;
    }
    Ok(())
}

#[cfg(not(unix))]
fn write_all_at(mut file: &File, slices: &[&[u8]], at: u64) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
    slices.iter().try_for_each(|slice| io::Write::write_all(&mut file, slice))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn parts_lie_one_after_the_other_and_the_rest_of_the_last_block_is_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1");
        let in_blocks = [LARGE_OCTETS, BLOCK_OCTETS, LARGE_OCTETS + 1, 2 * BLOCK_OCTETS - 1, 3 * PIECE_OCTETS, 10];
        let many = vec![LARGE_OCTETS; 2 * LARGE_MAX + 1];
        let of_all_kinds = [vec![5000], vec![100, PIECE_OCTETS, 1, 3 * PIECE_OCTETS - 101], vec![200_000; 21]];
        for sizes in of_all_kinds.into_iter().chain([in_blocks.to_vec(), many]) {
            // Each begins at a whole block in memory.
            let room: Vec<_> = sizes.iter().map(|octets| vec![0; octets + BLOCK_OCTETS]).collect();
            let parts: Vec<_> = (1..=250)
                .cycle()
                .zip(room)
                .map(|(fill, mut room)| {
                    let first = room.as_ptr().align_offset(BLOCK_OCTETS);
                    room.fill(fill);
                    Bytes::from(room).slice(first..)
                })
                .zip(&sizes)
                .map(|(part, octets)| part.slice(..*octets))
                .collect();
            let mut straight = Straight::create(&path).unwrap();
            // Whether the file system has such writes or not.
            for direct in [straight.direct.take(), None] {
                std::fs::write(&path, "before").unwrap();
                straight.direct = direct;
                straight.write(BLOCK_OCTETS as u64, parts.iter().map(AsRef::as_ref)).unwrap();
                let held = std::fs::read(&path).unwrap();
                let (head, rest) = held.split_at(BLOCK_OCTETS);
                let (body, tail) = rest.split_at(sizes.iter().sum());
                assert!(head.starts_with(b"before\0") && body == parts.concat() && tail.len() < BLOCK_OCTETS);
                assert!(tail.iter().all(|octet| *octet == 0));
            }
        }
    }
}
