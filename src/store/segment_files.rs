//! The files that hold the bytes of large contents: on a disk, or in memory for a simulated world.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::private::{private_file, private_folder};
use crate::sync::lock;

/// Segment files kept open, for readers.
const MAX_OPEN: usize = 64;

/// What segments need of a file system. A segment is a file whose name is its number.
pub(super) trait SegmentFiles: Send + Sync {
    /// All segments, with their lengths in bytes.
    fn list(&self) -> io::Result<BTreeMap<i64, u64>>;

    /// Makes an empty segment, or empties it; a power cut may lose its name until [`SegmentFiles::sync_names`].
    fn create(&self, segment: i64) -> io::Result<()>;

    /// Puts the names of segments on stable storage.
    fn sync_names(&self) -> io::Result<()>;

    /// Writes at a position; a power cut may lose it until [`SegmentFiles::sync`].
    fn write(&self, segment: i64, start: u64, bytes: &[u8]) -> io::Result<()>;

    /// Puts on stable storage what was written.
    fn sync(&self, segment: i64) -> io::Result<()>;

    /// Cuts a segment to a length, to give back the room of a write that failed.
    fn truncate(&self, segment: i64, length: u64) -> io::Result<()>;

    /// Fills the buffer from a position. [`io::ErrorKind::NotFound`] if there is no such segment.
    fn read(&self, segment: i64, start: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Removes a segment. If that fails, the next start of the store does it.
    fn remove(&self, segment: i64);
}

/// Files of a folder.
pub(super) struct DiskFiles {
    folder: PathBuf,
    open: Mutex<BTreeMap<i64, Arc<File>>>,
    removals: Mutex<Removals>,
}

/// Removals wait while a backup copies files.
#[derive(Default)]
struct Removals {
    backups: usize,
    waiting: Vec<i64>,
}

impl DiskFiles {
    /// The segments of a folder, which is made with the first of them.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default(), removals: Mutex::default() }
    }

    /// The path of the file of a segment, whether or not it is there.
    pub(super) fn path(&self, segment: i64) -> PathBuf {
        self.folder.join(segment.to_string())
    }

    /// Keeps the files of all segments: those that are removed meanwhile are removed when the last guard is dropped.
    pub(super) fn keep_all(&self) -> KeepAll<'_> {
        lock(&self.removals).backups += 1;
        KeepAll(self)
    }

    /// The file of a segment, open for reading and writing; an error if it is not there. It is kept open; beyond
    /// [`MAX_OPEN`], the one with the lowest number is closed. The highest one, which is written to, stays open: a file
    /// handle that is opened after a failed write-back may not get its error.
    fn open(&self, segment: i64) -> io::Result<Arc<File>> {
        let mut open = lock(&self.open);
        if let Some(file) = open.get(&segment) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::options().read(true).write(true).open(self.path(segment))?);
        if MAX_OPEN <= open.len() {
            open.pop_first();
        }
        open.insert(segment, file.clone());
        Ok(file)
    }

    /// Removes a segment, also while a backup copies files. A failure is logged.
    fn remove_now(&self, segment: i64) {
        if let Err(error) = fs::remove_file(self.path(segment)) {
            tracing::debug!(segment, %error, "cannot remove a segment; the next start does it");
        }
        // After the file, so that a reader does not open it again meanwhile.
        lock(&self.open).remove(&segment);
    }
}

impl SegmentFiles for DiskFiles {
    /// Skips files whose names are not numbers. Without a folder, there are no segments.
    fn list(&self) -> io::Result<BTreeMap<i64, u64>> {
        let mut segments = BTreeMap::new();
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(segments),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if let Some(segment) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                segments.insert(segment, entry.metadata()?.len());
            }
        }
        Ok(segments)
    }

    /// Makes the folder, too, if it is missing.
    fn create(&self, segment: i64) -> io::Result<()> {
        private_folder().create(&self.folder)?;
        let mut options = private_file();
        let file = options.read(true).write(true).create(true).truncate(true).open(self.path(segment))?;
        lock(&self.open).insert(segment, Arc::new(file));
        Ok(())
    }

    /// Syncs the folder and, since it may be new, the one above it.
    fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.folder)?;
        // The folder itself may be new.
        sync_folder(self.folder.parent().unwrap_or(Path::new(".")))
    }

    /// Writes to the file, without a sync.
    fn write(&self, segment: i64, start: u64, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&*self.open(segment)?, bytes, start)
    }

    /// Syncs the bytes of the file, and its length.
    fn sync(&self, segment: i64) -> io::Result<()> {
        self.open(segment)?.sync_data()
    }

    /// Sets the length of the file, without a sync.
    fn truncate(&self, segment: i64, length: u64) -> io::Result<()> {
        self.open(segment)?.set_len(length)
    }

    /// Reads from the file; [`io::ErrorKind::UnexpectedEof`] if it ends before.
    fn read(&self, segment: i64, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        read_exact_at(&*self.open(segment)?, buffer, start)
    }

    /// While a backup copies files, only notes the segment, which is removed after the last backup.
    fn remove(&self, segment: i64) {
        let mut removals = lock(&self.removals);
        if removals.backups != 0 {
            removals.waiting.push(segment);
            return;
        }
        drop(removals);
        self.remove_now(segment);
    }
}

/// Delays the removal of segments until it is dropped; made by [`DiskFiles::keep_all`].
pub(super) struct KeepAll<'a>(&'a DiskFiles);

impl Drop for KeepAll<'_> {
    /// With the last guard, removes the segments that were kept meanwhile.
    fn drop(&mut self) {
        let mut removals = lock(&self.0.removals);
        removals.backups -= 1;
        let waiting = if removals.backups == 0 { std::mem::take(&mut removals.waiting) } else { Vec::new() };
        drop(removals);
        waiting.into_iter().for_each(|segment| self.0.remove_now(segment));
    }
}

/// Makes new and removed names of a folder durable: a new file is there after a power cut only if its folder says so.
/// Does nothing but on Unix.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Fills the buffer from a position of a file. A file that ends before is an error.
#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

/// Writes all bytes at a position of a file.
#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, start)
}

/// Fills the buffer from a position of a file. A file that ends before is an error. Moves the cursor of the file.
#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut start: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, start)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => (buffer, start) = (&mut buffer[read..], start + read as u64),
        }
    }
    Ok(())
}

/// Writes all bytes at a position of a file. Moves the cursor of the file.
#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut start: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, start)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => (bytes, start) = (&bytes[written..], start + written as u64),
        }
    }
    Ok(())
}

/// Files in memory that know what a power cut would leave of them, for simulated worlds and for tests.
#[derive(Default)]
pub(super) struct MemoryFiles(Mutex<MemoryState>);

#[derive(Default)]
struct MemoryState {
    files: BTreeMap<i64, MemoryFile>,
    /// Refuses writes as a full disk does.
    is_full: bool,
    /// Fails the next sync, and loses what was not synced before, as Linux does.
    fails_next_sync: bool,
}

#[derive(Default)]
struct MemoryFile {
    bytes: Vec<u8>,
    /// How much of it is on stable storage.
    synced: usize,
    /// Whether its name is.
    is_named: bool,
}

impl MemoryFiles {
    /// Removes files whose names were not synced, and cuts the others to what was synced, as a power cut does.
    pub(super) fn cut_power(&self) {
        let mut state = lock(&self.0);
        state.files.retain(|_, file| file.is_named);
        state.files.values_mut().for_each(|file| file.bytes.truncate(file.synced));
    }

    #[cfg(test)]
    pub(super) fn set_full(&self, is_full: bool) {
        lock(&self.0).is_full = is_full;
    }

    #[cfg(test)]
    pub(super) fn fail_next_sync(&self) {
        lock(&self.0).fails_next_sync = true;
    }
}

impl SegmentFiles for MemoryFiles {
    /// All files, with their lengths, synced or not.
    fn list(&self) -> io::Result<BTreeMap<i64, u64>> {
        Ok(lock(&self.0).files.iter().map(|(segment, file)| (*segment, file.bytes.len() as u64)).collect())
    }

    /// Makes an empty file, or empties it; its name is not synced.
    fn create(&self, segment: i64) -> io::Result<()> {
        lock(&self.0).files.insert(segment, MemoryFile::default());
        Ok(())
    }

    /// Marks all names as synced.
    fn sync_names(&self) -> io::Result<()> {
        let mut state = lock(&self.0);
        if std::mem::take(&mut state.fails_next_sync) {
            return Err(io::Error::other("the device reports an error"));
        }
        state.files.values_mut().for_each(|file| file.is_named = true);
        Ok(())
    }

    /// Writes at the position; a gap before it becomes zeros. All behind it is no longer synced.
    fn write(&self, segment: i64, start: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.0);
        if state.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = state.files.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(start).map_err(io::Error::other)?;
        if file.bytes.len() < start + bytes.len() {
            file.bytes.resize(start + bytes.len(), 0);
        }
        file.bytes[start..][..bytes.len()].copy_from_slice(bytes);
        file.synced = file.synced.min(start);
        Ok(())
    }

    /// Marks all bytes as synced. If that is made to fail, the others are lost, as a failed write-back may lose them.
    fn sync(&self, segment: i64) -> io::Result<()> {
        let mut state = lock(&self.0);
        let fails = std::mem::take(&mut state.fails_next_sync);
        let file = state.files.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        if fails {
            file.bytes.truncate(file.synced);
            return Err(io::Error::other("the device reports an error"));
        }
        file.synced = file.bytes.len();
        Ok(())
    }

    /// Cuts the file, as if that were synced.
    fn truncate(&self, segment: i64, length: u64) -> io::Result<()> {
        let mut state = lock(&self.0);
        let file = state.files.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        file.bytes.truncate(usize::try_from(length).map_err(io::Error::other)?);
        file.synced = file.synced.min(file.bytes.len());
        Ok(())
    }

    /// Copies from the file; [`io::ErrorKind::UnexpectedEof`] if it ends before.
    fn read(&self, segment: i64, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = lock(&self.0);
        let file = state.files.get(&segment).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(start).map_err(io::Error::other)?;
        let bytes = file.bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Removes the file at once; does nothing if there is none.
    fn remove(&self, segment: i64) {
        lock(&self.0).files.remove(&segment);
    }
}
