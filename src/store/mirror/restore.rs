//! What a start does with a mirror that it finds: see [`super`] for the states.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::super::log::{Header, word};
use super::super::segments::Files;
use super::super::straight::BLOCK_OCTETS;
use super::{AT_BLOCK, HEAD_OCTETS, RECORDS_AT, beside, sync_folder_of};

/// No process begins so many logs.
const LOGS_MAX: i32 = 1 << 20;

/// Sees to it that SQLite finds, beside this database that nobody uses, the log of all that anybody was told of, and that
/// contents are in their files; and that all this is durable without a mirror. `false` if nobody has left anything to do.
///
/// # Errors
/// The files cannot be read or written.
pub(in crate::store) fn restore(database: &Path, files: &Files) -> io::Result<bool> {
    let (log, path) = (beside(database, "wal"), beside(database, "mirror"));
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(fs::metadata(&log).is_ok_and(|log| log.len() != 0));
        }
        file => file?,
    };
    if file.try_lock().is_err() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it"));
    }
    let mut mirror = Vec::new();
    file.read_to_end(&mut mirror)?;
    drop(file);
    let mirrored = latest(&mirror).map(|header| (header, Mirrored::of(&header, &mirror)));
    files.restore(mirrored.as_ref().map_or(&[], |(_, mirrored)| mirrored.pieces.as_slice()))?;
    if log.exists() {
        let held = fs::read(&log)?;
        let right = newer(&held, mirrored);
        if *right != held {
            tracing::info!(octets = right.len(), "the log of the database is restored from its mirror");
            fs::write(&log, &right)?;
        }
        File::open(&log)?.sync_all()?;
    }
    fs::remove_file(path)?;
    sync_folder_of(database).map(|()| true)
}

/// Of a log and of what its mirror has, the one with all that anybody was told of.
fn newer<'a>(log: &'a [u8], mirrored: Option<(Header, Mirrored<'_>)>) -> Cow<'a, [u8]> {
    let Some((header, mirrored)) = mirrored else { return Cow::Borrowed(&[]) };
    let is_newer = Header::parse(log).is_some_and(|of_log| {
        // One that follows from nothing here is of a program that has put ours away.
        let is_older = (-LOGS_MAX..0).contains(&of_log.since(&header));
        if of_log == header { mirrored.log.len() <= header.sound(log) } else { !is_older }
    });
    if is_newer { log.into() } else { mirrored.log.into() }
}

/// What whole records tell of.
struct Mirrored<'a> {
    /// The log, up to its last commit.
    log: Vec<u8>,
    pieces: Vec<Contents<'a>>,
}

impl<'a> Mirrored<'a> {
    fn of(header: &Header, mirror: &'a [u8]) -> Self {
        let (mut log, mut pieces) = (header.octets().to_vec(), Vec::new());
        let mut left = mirror.get(RECORDS_AT as usize..).unwrap_or_default();
        while let Some((piece, octets)) = next(header, left, &mut log) {
            pieces.extend(piece.map(|piece| (piece, log.len())));
            left = left.get(octets.next_multiple_of(BLOCK_OCTETS)..).unwrap_or_default();
        }
        log.truncate(header.sound(&log));
        let whole = pieces.into_iter().filter(|(_, end)| *end <= log.len());
        Self { pieces: whole.map(|(piece, _)| piece).collect(), log }
    }
}

/// Segment and start of contents, and their octets.
type Contents<'a> = (i64, u64, &'a [u8]);

/// Adds the frames of the record that comes next, which may be torn, and says which contents it has and how long it is.
fn next<'a>(header: &Header, record: &'a [u8], log: &mut Vec<u8>) -> Option<(Option<Contents<'a>>, usize)> {
    let mut left = record;
    let head = left.split_off(..HEAD_OCTETS)?;
    let (first, frames) = (word(&head[8..]), word(&head[12..]));
    if head[..8] != *header.salts() || header.at(first) != log.len() as u64 {
        return None;
    }
    let [segment, start, octets] =
        [16, 24, 32].map(|at| u64::from(word(&head[at..])) << 32 | u64::from(word(&head[at + 4..])));
    log.extend_from_slice(left.split_off(..usize::try_from(header.at(frames) - header.at(0)).ok()?)?);
    let end = record.len() - left.len();
    let gap = if octets & AT_BLOCK == 0 { 0 } else { end.next_multiple_of(BLOCK_OCTETS) - end };
    left.split_off(..gap)?;
    let octets = octets & !AT_BLOCK;
    let contents = left.split_off(..usize::try_from(octets).ok()?)?;
    let piece = (octets != 0).then_some((segment.cast_signed(), start, contents));
    Some((piece, record.len() - left.len()))
}

/// The newer one of both headers.
fn latest(mirror: &[u8]) -> Option<Header> {
    let blocks = mirror.chunks(BLOCK_OCTETS).take(2);
    blocks.filter_map(Header::parse).reduce(|one, other| if 0 < other.since(&one) { other } else { one })
}
