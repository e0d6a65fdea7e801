//! Files that hold the bytes of contents, one content after the other; the database knows where each lies.
//!
//! ```text
//!  contents/1   ▓▓▓░▓▓▓▓░░▓▓   sealed; ░ is of contents that are gone
//!  contents/2   ░░░░░░▓░░░░░   sealed and sparse: what lives is moved to the end of the last, and the file goes
//!  contents/3   ▓▓▓▓▓▓┊        new contents come here; each commit writes its own in one piece
//! ```
//!
//! Contents go straight to the disk where they can. Many of them are made durable while the rows that name them are; a crash
//! between the two may leave rows without bytes, of a commit that nobody was told of: [`super::recovery`] finds them. Few are
//! durable in [`super::mirror`] first, and come here later with others, each commit's as a [`Piece`], unless they are gone by
//! then: the oldest first, on a thread of their own. What is written at once begins at a whole block, and nothing comes into
//! that block later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::aside::{Aside, Doing};
use super::straight::{BLOCK_OCTETS, LARGE_OCTETS, Straight};
use crate::mail::Content;

/// A segment is sealed when it has so many octets.
pub(super) const SEGMENT_OCTETS: u64 = 32 << 20;
/// Segments that are held open for readers.
const OPEN_MAX: usize = 64;
static BLOCK: [u8; BLOCK_OCTETS] = [0; BLOCK_OCTETS];
/// So many octets are written together, beside the writer.
const ROW_OCTETS: u64 = 256 << 10;
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
    /// Those that are not in their files yet, by segment and start.
    waiting: Mutex<BTreeMap<(i64, u64), Bytes>>,
    /// Segments in which some were gone before they were written, so that something else lies in their place.
    holes: Mutex<BTreeSet<i64>>,
}

/// Contents of one commit, one after the other.
pub(super) struct Piece {
    pub(super) segment: i64,
    pub(super) start: u64,
    contents: Vec<Content>,
}

impl Piece {
    pub(super) fn new(segment: i64, start: u64, contents: Vec<Content>) -> Self {
        Self { segment, start, contents }
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.contents.iter().map(|content| content.bytes().as_ref())
    }

    pub(super) fn octets(&self) -> u64 {
        self.contents.iter().map(|content| content.bytes().len() as u64).sum()
    }

    /// Where each content begins.
    fn starts(&self) -> impl Iterator<Item = (i64, u64)> {
        let starts = self.contents.iter().scan(self.start, |end, content| {
            let start = *end;
            *end += content.bytes().len() as u64;
            Some(start)
        });
        starts.map(|start| (self.segment, start))
    }

    fn end(&self) -> u64 {
        self.start + self.octets()
    }
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default(), waiting: Mutex::default(), holes: Mutex::default() }
    }

    pub(super) fn read(&self, place: Place) -> io::Result<Bytes> {
        if place.octets == 0 {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = self.waiting().get(&(place.segment, place.start)) {
            return Ok(bytes.clone());
        }
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidData);
        let mut bytes = vec![0; usize::try_from(place.octets).map_err(too_long)?];
        read_exact_at(&*self.open(place.segment)?, &mut bytes, place.start)?;
        Ok(bytes.into())
    }

    /// Whether some of it is neither gone nor written.
    fn awaits(&self, piece: &Piece) -> bool {
        let waiting = self.waiting();
        piece.starts().any(|start| waiting.contains_key(&start))
    }

    /// These lie in their files now, or never will.
    fn forget(&self, pieces: &[Piece]) {
        let mut waiting = self.waiting();
        pieces.iter().flat_map(Piece::starts).for_each(|start| drop(waiting.remove(&start)));
    }

    /// Whether what lies in a place may be something else than it was.
    pub(super) fn has_holes(&self, segment: i64) -> bool {
        self.holes().contains(&segment)
    }

    fn holes(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.holes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(i64, u64), Bytes>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes contents that a crash has kept from their files, which may be gone: segment, start and octets of each.
    pub(super) fn restore(&self, pieces: &[(i64, u64, &[u8])]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut files = BTreeMap::new();
        for (segment, start, octets) in pieces {
            let mut file = File::options().create(true).write(true).truncate(false).open(self.path(*segment))?;
            file.seek(SeekFrom::Start(*start))?;
            file.write_all(octets)?;
            files.insert(segment, file);
        }
        files.into_values().try_for_each(|file| file.sync_all())?;
        sync_folder(&self.folder)
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
        self.holes().remove(&segment);
        // If it cannot go now, the next start removes it.
        let _ = fs::remove_file(self.path(segment));
    }
}

#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut start: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, start)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => (bytes, start) = (&mut bytes[read..], start + read as u64),
        }
    }
    Ok(())
}

/// The files, for the one who writes them.
pub(super) struct Segments {
    files: Arc<Files>,
    /// Those with contents that live, and the last one.
    sizes: BTreeMap<i64, Size>,
    last: i64,
    /// The last one, once something was written to it.
    file: Option<Straight>,
    /// What is to be written to it, in order, and how many octets that is.
    pieces: Vec<Piece>,
    unwritten: u64,
    /// Why what was written may be lost: the system tells it once.
    lost: Option<io::ErrorKind>,
    aside: Aside,
    syncing: Option<Doing<io::Result<()>>>,
    /// The file is there, with these.
    writing: Option<Doing<(Straight, Vec<Piece>)>>,
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
        Ok(Self {
            files,
            sizes,
            last,
            file: None,
            pieces: Vec::new(),
            unwritten: 0,
            lost: None,
            aside: Aside::start()?,
            syncing: None,
            writing: None,
        })
    }

    pub(super) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Where the next content goes.
    pub(super) fn end(&mut self) -> Place {
        let size = self.size();
        if SEGMENT_OCTETS <= size.octets && self.sync().is_ok() {
            self.file = None;
            if size.live == 0 {
                self.sizes.remove(&self.last);
                self.files.remove(self.last);
            }
            self.last += 1;
            self.sizes.insert(self.last, Size::default());
        }
        Place { segment: self.last, start: self.size().octets, octets: 0 }
    }

    fn size(&self) -> Size {
        self.sizes.get(&self.last).copied().unwrap_or_default()
    }

    /// Writes contents at the end, behind all that was to be written later, and begins to put them on stable storage.
    pub(super) fn write(&mut self, contents: &[(i64, Content)]) -> io::Result<()> {
        let piece = self.piece_of(contents);
        self.write_with(Some(&piece))?;
        self.begin_sync();
        Ok(())
    }

    /// Begins to put what was written on stable storage; [`Segments::wait`] waits for it.
    pub(super) fn begin_sync(&mut self) {
        if let Some(straight) = &self.file {
            let file = straight.file().clone();
            self.syncing = Some(self.aside.begin(move || file.sync_data()));
        }
    }

    /// Contents at the end that are to be written later. Until then, readers find them all the same.
    pub(super) fn piece(&self, contents: &[(i64, Content)]) -> Piece {
        let piece = self.piece_of(contents);
        let bytes = piece.contents.iter().map(|content| content.bytes().clone());
        self.files.waiting().extend(piece.starts().zip(bytes));
        piece
    }

    fn piece_of(&self, contents: &[(i64, Content)]) -> Piece {
        let contents = contents.iter().map(|(_, content)| content.clone()).collect();
        Piece::new(self.last, self.size().octets, contents)
    }

    /// Its commit has failed.
    pub(super) fn give_up(&self, piece: &Piece) {
        self.files.forget(std::slice::from_ref(piece));
    }

    /// Writes a piece that nothing else keeps, and puts it on stable storage.
    pub(super) fn put(&mut self, piece: &Piece) -> io::Result<()> {
        self.write_with(Some(piece))?;
        self.give_up(piece);
        self.sync()
    }

    /// Whether what was written may be lost.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// How many octets are still to be written.
    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten
    }

    /// Writes what was to be written later and is not gone meanwhile.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.write_with(None)
    }

    /// The same, and this piece behind it. What comes next begins at a block of its own.
    fn write_with(&mut self, last: Option<&Piece>) -> io::Result<()> {
        self.take_back()?;
        let files = &self.files;
        self.pieces.retain(|piece| files.awaits(piece));
        let pieces: Vec<_> = self.pieces.iter().chain(last).collect();
        if !pieces.is_empty() {
            write(opened(&mut self.file, files, self.last)?, &pieces)?;
        }
        files.forget(&self.pieces);
        self.pieces.clear();
        self.unwritten = 0;
        let size = self.sizes.entry(self.last).or_default();
        size.octets = size.octets.next_multiple_of(BLOCK_OCTETS as u64);
        Ok(())
    }

    /// Begins to write the oldest of what was to be written later, beside the writer, if that is more than so many octets.
    pub(super) fn thin(&mut self, keep: u64) {
        match self.writing.take().map(Doing::try_end) {
            Some(Err(busy)) => self.writing = Some(busy),
            Some(Ok(back)) => self.put_back(back),
            None => {}
        }
        if self.lost.is_some() {
            // It may be the file itself, which must not be made anew.
            return;
        }
        while self.writing.is_none() && keep < self.unwritten {
            let (first, next) = (self.pieces.first().map_or(0, |piece| piece.start), self.pieces.iter().skip(1));
            // Nothing else may come into the last block.
            let ends = |(piece, next): (&Piece, &Piece)| {
                first + ROW_OCTETS <= next.start && piece.end().next_multiple_of(BLOCK_OCTETS as u64) <= next.start
            };
            let Some(end) = self.pieces.iter().zip(next).position(ends) else { return };
            if opened(&mut self.file, &self.files, self.last).is_err() {
                // Whoever waits for it is told.
                return;
            }
            let mut row: Vec<_> = self.pieces.drain(..=end).collect();
            self.unwritten -= row.iter().map(Piece::octets).sum::<u64>();
            row.retain(|piece| self.files.awaits(piece));
            if let Some(mut file) = self.file.take_if(|_| !row.is_empty()) {
                let files = self.files.clone();
                self.writing = Some(self.aside.begin(move || {
                    if write(&mut file, &row.iter().collect::<Vec<_>>()).is_ok() {
                        files.forget(&row);
                        row.clear();
                    }
                    (file, row)
                }));
            }
        }
    }

    /// Waits for the file, and for what is being written to it.
    fn take_back(&mut self) -> io::Result<()> {
        if let Some(writing) = self.writing.take() {
            self.put_back(writing.end());
        }
        self.lost.map_or(Ok(()), |lost| Err(lost.into()))
    }

    /// The file is here again, with what could not be written.
    fn put_back(&mut self, back: io::Result<(Straight, Vec<Piece>)>) {
        match back {
            Ok((file, row)) => {
                self.file = Some(file);
                self.unwritten += row.iter().map(Piece::octets).sum::<u64>();
                self.pieces.splice(..0, row);
            }
            Err(error) => self.lost = Some(error.kind()),
        }
    }

    /// The same, and puts it on stable storage.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        let synced = self.file.as_ref().map_or(Ok(()), |straight| straight.file().sync_data());
        self.lost = self.lost.or(synced.err().map(|error| error.kind()));
        self.lost.map_or(Ok(()), |lost| Err(lost.into()))
    }

    /// Waits until what was written is on stable storage.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.syncing.take().map_or(Ok(()), |syncing| syncing.end()?)
    }

    /// What was written, up to here, is to stay, or will be written as a piece; and these others are gone.
    pub(super) fn settle(&mut self, octets: u64, end: u64, piece: Option<Piece>, freed: &[Place]) {
        let size = self.sizes.entry(self.last).or_default();
        size.live += octets;
        if octets != 0 {
            // What is large lies in blocks of its own; so does a row of what is not.
            let is_packed = piece
                .as_ref()
                .is_some_and(|piece| octets < LARGE_OCTETS as u64 && piece.start / ROW_OCTETS == end / ROW_OCTETS);
            size.octets = if is_packed { end } else { end.next_multiple_of(BLOCK_OCTETS as u64) };
        }
        if let Some(piece) = piece {
            self.unwritten += octets;
            self.pieces.push(piece);
        }
        for place in freed {
            if self.files.waiting().remove(&(place.segment, place.start)).is_some() {
                self.files.holes().insert(place.segment);
            }
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

impl Drop for Segments {
    /// Nothing is written to the files afterwards: they may be another's then.
    fn drop(&mut self) {
        let _ = self.take_back();
        let _ = self.wait();
    }
}

/// The last segment, made if nothing was written to it yet.
fn opened<'a>(file: &'a mut Option<Straight>, files: &Files, segment: i64) -> io::Result<&'a mut Straight> {
    if file.is_none() {
        let straight = Straight::create(&files.path(segment))?;
        sync_folder(&files.folder)?;
        *file = Some(straight);
    }
    file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Writes pieces at their places. What comes next begins at a block of its own.
fn write(file: &mut Straight, pieces: &[&Piece]) -> io::Result<()> {
    let block = BLOCK_OCTETS as u64;
    // Those that lie in one block, or next to each other, are written together.
    for row in pieces.chunk_by(|one, next| next.start <= one.end().next_multiple_of(block)) {
        let start = row[0].start - row[0].start % block;
        let ends = std::iter::once(start).chain(row.iter().map(|piece| piece.end()));
        let gaps = row.iter().zip(ends).map(|(piece, end)| &BLOCK[..(piece.start - end) as usize]);
        let parts = gaps.zip(row).flat_map(|(gap, piece)| std::iter::once(gap).chain(piece.parts()));
        let written = file.write(start, parts);
        if written.is_err() {
            // What is half there would be in the way of nobody, but take room.
            let _ = file.file().set_len(start);
        }
        written?;
    }
    Ok(())
}

/// A new file is there after a crash only if its folder says so.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
