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
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use bytes::Bytes;

use super::straight::{BLOCK_OCTETS, Straight};
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
    open: Mutex<BTreeMap<i64, Arc<File>>>,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default() }
    }

    pub(super) fn read(&self, place: Place) -> io::Result<Bytes> {
        if place.octets == 0 {
            return Ok(Bytes::new());
        }
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidData);
        let mut bytes = vec![0; usize::try_from(place.octets).map_err(too_long)?];
        read_exact_at(&*self.open(place.segment)?, &mut bytes, place.start)?;
        Ok(bytes.into())
    }

    fn open(&self, segment: i64) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
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

    fn path(&self, segment: i64) -> PathBuf {
        self.folder.join(segment.to_string())
    }

    fn remove(&self, segment: i64) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&segment);
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
    file.seek(SeekFrom::Start(start))?;
    io::Read::read_exact(&mut file, bytes)
}

/// The files, for the one who writes them.
pub(super) struct Segments {
    files: Arc<Files>,
    /// Those with contents that live, and the last one.
    sizes: BTreeMap<i64, Size>,
    last: i64,
    /// The last one, once something was written to it.
    file: Option<(Arc<File>, Straight)>,
    syncer: Syncer,
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
        last = last.max(live.last_key_value().map_or(0, |(segment, _)| *segment)) + 1;
        sizes.insert(last, Size::default());
        Ok(Self { files, sizes, last, file: None, syncer: Syncer::start()? })
    }

    pub(super) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Where the next content goes.
    pub(super) fn end(&mut self) -> Place {
        if SEGMENT_OCTETS <= self.size().octets {
            self.file = None;
            self.last += 1;
            self.sizes.insert(self.last, Size::default());
        }
        Place { segment: self.last, start: self.size().octets, octets: 0 }
    }

    fn size(&self) -> Size {
        self.sizes.get(&self.last).copied().unwrap_or_default()
    }

    /// Writes contents at the end, and begins to put them on stable storage.
    pub(super) fn write(&mut self, contents: &[(i64, Content)]) -> io::Result<()> {
        let start = self.size().octets;
        let (file, straight) = match &mut self.file {
            Some(file) => file,
            None => {
                let path = self.files.path(self.last);
                let file = Arc::new(File::create(&path)?);
                sync_folder(&self.files.folder)?;
                self.file.insert((file, Straight::open(&path)))
            }
        };
        let written = straight.write(start, contents).and_then(|is_written| match is_written {
            true => Ok(()),
            false => write_at(file, start, contents),
        });
        if written.is_err() {
            // What is half there would be in the way of nobody, but take room.
            let _ = file.set_len(start);
        }
        written?;
        self.syncer.begin(file.clone())
    }

    /// Waits until what was written is on stable storage.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.syncer.wait()
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

fn write_at(mut file: &File, start: u64, contents: &[(i64, Content)]) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    let mut slices: Vec<_> = contents.iter().map(|(_, content)| IoSlice::new(content.bytes())).collect();
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A new file is there after a crash only if its folder says so.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Puts a file on stable storage while the writer commits its rows: two waits for the disk at once.
struct Syncer {
    work: mpsc::Sender<Arc<File>>,
    done: mpsc::Receiver<io::Result<()>>,
    is_busy: bool,
}

impl Syncer {
    fn start() -> io::Result<Self> {
        let (work, files) = mpsc::channel::<Arc<File>>();
        let (tell, done) = mpsc::channel();
        std::thread::Builder::new().name("store-sync".to_owned()).spawn(move || {
            while let Ok(file) = files.recv() {
                if tell.send(file.sync_data()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { work, done, is_busy: false })
    }

    fn begin(&mut self, file: Arc<File>) -> io::Result<()> {
        self.work.send(file).map_err(|_| gone())?;
        self.is_busy = true;
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_busy) { self.done.recv().map_err(|_| gone())? } else { Ok(()) }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that waits for the disk has ended")
}
