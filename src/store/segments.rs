//! Files that hold the bytes of contents, one content after the other; the database knows where each lies.
//!
//! ```text
//!  contents/1   ▓▓▓░▓▓▓▓░░▓▓   sealed; ░ is of contents that are gone
//!  contents/2   ░░░░░░▓░░░░░   sealed and sparse: what lives is moved to the end of the last, and the file goes
//!  contents/3   ▓▓▓▓▓▓┊        new contents come here; each commit writes its own in one piece
//! ```
//!
//! What a commit writes begins at a whole block. Bytes are written once, where they can be straight to the disk, and are
//! made durable while the rows that name them are. A crash between the two may leave rows without bytes, of a commit that
//! nobody was told of: [`super::recovery`] finds them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::scribe::{Scribe, Sheet, trim};
use super::straight::BLOCK_OCTETS;
use crate::mail::Content;

/// A segment is sealed when it has so many octets.
pub(super) const SEGMENT_OCTETS: u64 = 32 << 20;
/// Segments that are held open for readers.
const OPEN_MAX: usize = 64;
/// What lives in a sealed segment is moved elsewhere when it is less than one in so many octets.
const SPARSE: u64 = 4;

/// Where a content lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the file; 0 where the bytes lie in their row.
    pub(super) segment: i64,
    pub(super) start: u64,
    pub(super) octets: u64,
}

/// The files, for whoever reads them.
pub(super) struct Files {
    folder: PathBuf,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    open: BTreeMap<i64, Arc<File>>,
    /// What is being written, by segment and start: who sees its rows already may look for it.
    fresh: BTreeMap<(i64, u64), Bytes>,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, held: Mutex::default() }
    }

    pub(super) fn read(&self, place: Place) -> io::Result<Bytes> {
        if place.octets == 0 {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = self.held().fresh.get(&(place.segment, place.start)) {
            return Ok(bytes.clone());
        }
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidData);
        let mut bytes = vec![0; usize::try_from(place.octets).map_err(too_long)?];
        read_exact_at(&*self.open(place.segment)?, &mut bytes, place.start)?;
        Ok(bytes.into())
    }

    fn open(&self, segment: i64) -> io::Result<Arc<File>> {
        let open = &mut self.held().open;
        if let Some(file) = open.get(&segment) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(self.path(segment))?);
        if OPEN_MAX <= open.len() {
            open.pop_first();
        }
        open.insert(segment, file.clone());
        Ok(file)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, segment: i64) -> PathBuf {
        self.folder.join(segment.to_string())
    }

    fn remove(&self, segment: i64) {
        self.held().open.remove(&segment);
        // If it cannot go now, the next start removes it.
        let _ = fs::remove_file(self.path(segment));
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(not(unix))]
fn read_exact_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    // The position is the handle's, so each read has a handle of its own.
    let mut file = file.try_clone()?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(start))?;
    io::Read::read_exact(&mut file, bytes)
}

/// The files, for the one who writes them.
pub(super) struct Segments {
    files: Arc<Files>,
    /// Those with contents that live, and the last one.
    sizes: BTreeMap<i64, Size>,
    last: i64,
    /// The last one, once something was written to it.
    sheet: Option<Sheet>,
    scribe: Scribe,
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    octets: u64,
    live: u64,
}

impl Segments {
    /// The files in a folder, with the octets that live in each; those without any are removed.
    pub(super) fn open(files: Arc<Files>, live: &BTreeMap<i64, u64>) -> io::Result<Self> {
        fs::create_dir_all(&files.folder)?;
        let (mut sizes, mut last) = (BTreeMap::new(), 0);
        for entry in fs::read_dir(&files.folder)? {
            let entry = entry?;
            let Some(segment) = entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok()) else { continue };
            last = last.max(segment);
            match live.get(&segment) {
                Some(live) => drop(sizes.insert(segment, Size { octets: entry.metadata()?.len(), live: *live })),
                None => files.remove(segment),
            }
        }
        if let Some((last, _)) = sizes.last_key_value() {
            // A crash left it the room that was set aside.
            trim(&File::options().write(true).open(files.path(*last))?)?;
        }
        last = last.max(live.last_key_value().map_or(0, |(segment, _)| *segment)) + 1;
        sizes.insert(last, Size::default());
        Ok(Self { files, sizes, last, sheet: None, scribe: Scribe::start()? })
    }

    pub(super) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Where the next content goes.
    pub(super) fn end(&mut self) -> Place {
        if SEGMENT_OCTETS <= self.size().octets {
            if let Some(sheet) = self.sheet.take() {
                sheet.seal();
            }
            self.last += 1;
            self.sizes.insert(self.last, Size::default());
        }
        Place { segment: self.last, start: self.size().octets, octets: 0 }
    }

    fn size(&self) -> Size {
        self.sizes.get(&self.last).copied().unwrap_or_default()
    }

    /// Begins to write contents at the end, and to put them on stable storage.
    pub(super) fn write(&mut self, contents: &[(i64, Content)]) -> io::Result<()> {
        let start = self.size().octets;
        let sheet = match &mut self.sheet {
            Some(sheet) => sheet,
            None => self.sheet.insert(Sheet::create(&self.files.path(self.last))?),
        };
        let bytes: Vec<_> = contents.iter().map(|(_, content)| content.bytes().clone()).collect();
        let mut end = start;
        let placed = bytes.iter().map(|bytes| {
            let place = ((self.last, end), bytes.clone());
            end += bytes.len() as u64;
            place
        });
        self.files.held().fresh.extend(placed);
        self.scribe.begin(sheet, start, bytes).inspect_err(|_| self.files.held().fresh.clear())
    }

    /// Waits until what was begun is on stable storage.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let outcome = self.scribe.wait();
        self.files.held().fresh.clear();
        outcome
    }

    /// What was written is to stay, and these others are gone.
    pub(super) fn settle(&mut self, added: &[(i64, Content)], freed: &[Place]) {
        let octets: u64 = added.iter().map(|(_, content)| content.bytes().len() as u64).sum();
        let size = self.sizes.entry(self.last).or_default();
        size.octets = (size.octets + octets).next_multiple_of(BLOCK_OCTETS as u64);
        size.live += octets;
        for place in freed {
            let Some(size) = self.sizes.get_mut(&place.segment) else { continue };
            size.live = size.live.saturating_sub(place.octets);
            if size.live == 0 && place.segment != self.last {
                self.sizes.remove(&place.segment);
                self.files.remove(place.segment);
            }
        }
    }

    /// A sealed segment in which little lives.
    pub(super) fn sparse(&self) -> Option<i64> {
        let mut sealed = self.sizes.range(..self.last);
        sealed.find(|(_, size)| size.live < size.octets / SPARSE).map(|(segment, _)| *segment)
    }

    /// Nothing is to be moved out of this segment, since that failed.
    pub(super) fn leave(&mut self, segment: i64) {
        if let Some(size) = self.sizes.get_mut(&segment) {
            size.octets = size.live;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_found_from_when_they_are_handed_over_and_later_in_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = Arc::new(Files::new(folder.path().join("contents")));
        let mut segments = Segments::open(files.clone(), &BTreeMap::new()).unwrap();
        let place = segments.end();
        let content = Content::new(vec![7; 10_000].into());
        let added = [(1, content.clone()), (2, Content::new(vec![8; 100].into()))];
        segments.write(&added).unwrap();
        assert_eq!(files.held().fresh.len(), 2, "its rows may be seen before it is on the disk");
        let other = Place { start: place.start + 10_000, octets: 100, ..place };
        let place = Place { octets: 10_000, ..place };
        assert_eq!((files.read(place).unwrap(), files.read(other).unwrap()[0]), (content.bytes().clone(), 8));
        segments.wait().unwrap();
        assert!(files.held().fresh.is_empty());
        assert_eq!((files.read(place).unwrap(), files.read(other).unwrap()[0]), (content.bytes().clone(), 8));
    }
}
