//! The log of a database: its header, and which of its frames are sound. SQLite database file format, section 4.

use std::fs::File;
use std::io;

use super::segments::read_exact_at;

/// Octets of a log's header.
const HEADER_OCTETS: usize = 32;
/// Octets of a frame's header, before its page.
const FRAME_HEADER_OCTETS: usize = 24;

/// The header of a log, which has no like: its salts are drawn (SQLite database file format, section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header([u8; HEADER_OCTETS]);

impl Header {
    pub(super) fn read(log: &File) -> io::Result<Self> {
        let mut header = Self::default();
        read_exact_at(log, &mut header.0, 0)?;
        Ok(header)
    }

    /// That of a log, if it is sound.
    pub(super) fn parse(log: &[u8]) -> Option<Self> {
        let header = Self(log.get(..HEADER_OCTETS)?.try_into().ok()?);
        let page = header.word(2);
        let is_ours = header.word(0) & !1 == 0x377f_0682 && page.is_power_of_two() && (512..=65_536).contains(&page);
        (is_ours && header.sum((0, 0), &header.0[..24]) == header.start()).then_some(header)
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// In every frame of this log, and of no other.
    pub(super) fn salts(&self) -> &[u8] {
        &self.0[16..24]
    }

    /// Where a frame begins in the log, counted from 0.
    pub(super) fn at(&self, frame: u32) -> u64 {
        HEADER_OCTETS as u64 + u64::from(frame) * self.frame_octets() as u64
    }

    fn word(&self, at: usize) -> u32 {
        word(&self.0[4 * at..])
    }

    pub(super) fn frame_octets(&self) -> usize {
        FRAME_HEADER_OCTETS + self.word(2) as usize
    }

    /// The first of the salts, which is one more with each log that is begun anew.
    pub(super) fn number(&self) -> u32 {
        self.word(4)
    }

    /// By how many times a log was begun anew since the other; any number for one that does not follow from it.
    pub(super) fn since(&self, other: &Self) -> i32 {
        self.number().wrapping_sub(other.number()).cast_signed()
    }

    fn start(&self) -> (u32, u32) {
        (self.word(6), self.word(7))
    }

    /// How many octets of this log are sound, up to the end of its last commit.
    pub(super) fn sound(&self, log: &[u8]) -> usize {
        let (mut sum, mut end) = (self.start(), 0);
        let frames = log.get(HEADER_OCTETS..).unwrap_or_default().chunks_exact(self.frame_octets());
        for (frame, at) in frames.zip(1..) {
            sum = self.sum(self.sum(sum, &frame[..8]), &frame[FRAME_HEADER_OCTETS..]);
            if frame[8..16] != *self.salts() || (word(&frame[16..]), word(&frame[20..])) != sum {
                break;
            }
            // The size of the database stands in the last frame of each commit.
            if word(&frame[4..]) != 0 {
                end = HEADER_OCTETS + at * self.frame_octets();
            }
        }
        end
    }

    /// Adds octets to a checksum (section 4.2).
    fn sum(&self, start: (u32, u32), octets: &[u8]) -> (u32, u32) {
        let is_big_endian = self.word(0) & 1 == 1;
        octets.chunks_exact(8).fold(start, |(first, second), pair| {
            let [a, b] =
                [&pair[..4], &pair[4..]].map(|it| if is_big_endian { word(it) } else { word(it).swap_bytes() });
            let first = first.wrapping_add(a).wrapping_add(second);
            (first, second.wrapping_add(b).wrapping_add(first))
        })
    }
}

/// The number, in network order, that octets begin with.
pub(super) fn word(octets: &[u8]) -> u32 {
    octets.first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}
