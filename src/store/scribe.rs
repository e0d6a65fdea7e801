//! The thread that writes contents to the last segment, beside the writer, who commits their rows meanwhile: two waits
//! for the disk at once.

use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use bytes::Bytes;

use super::straight::Straight;

/// So much room is set aside at once, at least.
const ROOM_OCTETS: u64 = 4 << 20;

/// A segment that is written to.
pub(super) struct Sheet {
    ink: Arc<Ink>,
    /// Up to here there is room on the disk that nobody else can take.
    room: u64,
}

struct Ink {
    file: File,
    straight: Mutex<Straight>,
}

/// What is to be written, and where.
struct Piece {
    ink: Arc<Ink>,
    start: u64,
    contents: Vec<Bytes>,
}

/// The writer's end of the thread.
pub(super) struct Scribe {
    work: mpsc::Sender<Piece>,
    /// Two for each piece; one if that failed.
    answers: mpsc::Receiver<io::Result<Done>>,
    is_busy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Written,
    Durable,
}

impl Sheet {
    /// A new segment.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        // It is there after a crash only if its folder says so.
        if cfg!(unix)
            && let Some(folder) = path.parent()
        {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { ink: Arc::new(Ink { file, straight: Mutex::new(Straight::open(path)) }), room: 0 })
    }

    /// Sees to it that there is room on the disk up to here, which nobody else can take; `false` if that cannot be had.
    fn has_room(&mut self, end: u64) -> bool {
        let wanted = end.next_multiple_of(ROOM_OCTETS);
        if self.room < end && set_aside(&self.ink.file, self.room, wanted - self.room).is_ok() {
            self.room = wanted;
        }
        end <= self.room
    }

    /// Nothing is written any more: gives back the room that is left.
    pub(super) fn seal(self) {
        // What is not given back now is when the segment goes.
        let _ = trim(&self.ink.file);
    }
}

impl Scribe {
    pub(super) fn start() -> io::Result<Self> {
        let (work, pieces) = mpsc::channel::<Piece>();
        let (tell, answers) = mpsc::channel();
        std::thread::Builder::new().name("store-sync".to_owned()).spawn(move || {
            while let Ok(piece) = pieces.recv() {
                let written = piece.write();
                let is_written = written.is_ok();
                // Nobody may be there any more who wants to know.
                let _ = tell.send(written.map(|()| Done::Written));
                if is_written {
                    let _ = tell.send(piece.ink.file.sync_data().map(|()| Done::Durable));
                }
            }
        })?;
        Ok(Self { work, answers, is_busy: false })
    }

    /// Begins to write contents at the end of a segment, and to put them on stable storage. What is left to do when this
    /// returns cannot fail for want of room: either room was set aside, or all is written.
    pub(super) fn begin(&mut self, sheet: &mut Sheet, start: u64, contents: Vec<Bytes>) -> io::Result<()> {
        let octets: u64 = contents.iter().map(|content| content.len() as u64).sum();
        let has_room = sheet.has_room(start + octets);
        self.work.send(Piece { ink: sheet.ink.clone(), start, contents }).map_err(|_| gone())?;
        self.is_busy = true;
        if has_room { Ok(()) } else { self.hear(Done::Written) }
    }

    /// Waits until what was begun is on stable storage.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        if self.is_busy { self.hear(Done::Durable) } else { Ok(()) }
    }

    fn hear(&mut self, wanted: Done) -> io::Result<()> {
        loop {
            let answer = self.answers.recv().map_err(|_| gone()).flatten();
            self.is_busy = matches!(answer, Ok(Done::Written));
            if answer? == wanted {
                return Ok(());
            }
        }
    }
}

impl Piece {
    fn write(&self) -> io::Result<()> {
        let Ink { file, straight } = &*self.ink;
        let mut straight = straight.lock().unwrap_or_else(PoisonError::into_inner);
        let written = straight.write(self.start, &self.contents).and_then(|is_written| match is_written {
            true => Ok(()),
            false => write_at(file, self.start, &self.contents),
        });
        if written.is_err() {
            // What is half there would be in the way of nobody, but take room.
            let _ = file.set_len(self.start);
        }
        written
    }
}

fn write_at(mut file: &File, start: u64, contents: &[Bytes]) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    let mut slices: Vec<_> = contents.iter().map(|content| IoSlice::new(content)).collect();
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

/// Gives back the room behind the end of a file.
pub(super) fn trim(file: &File) -> io::Result<()> {
    file.set_len(file.metadata()?.len())
}

#[cfg(target_os = "linux")]
fn set_aside(file: &File, start: u64, octets: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    Ok(fallocate(file, FallocateFlags::KEEP_SIZE, start, octets)?)
}

#[cfg(not(target_os = "linux"))]
fn set_aside(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes contents has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_written_in_turn_and_room_is_set_aside_ahead_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1");
        let (mut sheet, mut scribe) = (Sheet::create(&path).unwrap(), Scribe::start().unwrap());
        let piece = |fill: u8| vec![Bytes::from(vec![fill; 5000]), Bytes::from(vec![fill; 3192])];
        for fill in 0..3 {
            scribe.begin(&mut sheet, u64::from(fill) * 8192, piece(fill)).unwrap();
            scribe.wait().unwrap();
        }
        let held = std::fs::read(&path).unwrap();
        assert_eq!(held, [vec![0; 8192], vec![1; 8192], vec![2; 8192]].concat());
        if sheet.room == 0 {
            eprintln!("skipped: this file system sets no room aside");
            return;
        }
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::fs::MetadataExt;
            let on_disk = || std::fs::metadata(&path).unwrap().st_blocks() * 512;
            assert!(ROOM_OCTETS <= on_disk(), "{}", on_disk());
            sheet.seal();
            assert!(on_disk() < ROOM_OCTETS, "{}", on_disk());
        }
    }

    #[test]
    fn what_cannot_be_written_is_said_before_anything_relies_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1");
        std::fs::write(&path, "").unwrap();
        // Neither room nor octets.
        let ink = Ink { file: File::open(&path).unwrap(), straight: Mutex::new(Straight::none()) };
        let (mut sheet, mut scribe) = (Sheet { ink: Arc::new(ink), room: 0 }, Scribe::start().unwrap());
        assert!(scribe.begin(&mut sheet, 0, vec!["x".into()]).is_err());
        scribe.wait().unwrap();
        let mut sheet = Sheet::create(&folder.path().join("2")).unwrap();
        scribe.begin(&mut sheet, 0, vec!["x".into()]).unwrap();
        scribe.wait().unwrap();
    }
}
