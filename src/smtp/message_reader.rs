//! Reads message data: undoes dot stuffing and checks size and line ends, in one pass into one buffer.
//!
//! ```text
//!        ┌──────────── CR LF ────────────┐
//!        ▼                               │
//!   LineStart ── other ──▶ Text ── CR ─▶ Cr ── other: a bare CR ──▶ Text
//!        │ "."
//!        ▼
//!       Dot ── CR ─▶ DotCr ── LF ─▶ the end
//!        └── other: a stuffed dot, dropped ──▶ Text
//! ```

use bytes::{Bytes, BytesMut};

use super::BareLineEnds;
use crate::mail::{Message, has_bare_line_end, has_long_header, normalize};
use crate::net::UploadShare;

/// Data beyond the size limit that is read and discarded before the connection is closed.
const MAX_DISCARDED_BYTES: u64 = 16 << 20;

/// A message that is being received.
#[derive(Debug)]
pub(super) struct MessageReader {
    message: BytesMut,
    /// Number of bytes so far, including discarded ones.
    bytes: u64,
    max_bytes: u64,
    /// The size announced by `SIZE=` or BDAT.
    declared: u64,
    has_bare_line_end: bool,
    position: Position,
    /// Its part of the memory for uploads.
    share: UploadShare,
    /// There was no memory for it.
    lacks_room: bool,
}

/// The position in the dot-stuffed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    LineStart,
    Text,
    Cr,
    Dot,
    DotCr,
}

/// Why a complete message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageError {
    /// RFC 1870 §6.3.
    TooLarge,
    /// RFC 5321 §2.3.8.
    BareLineEnd,
    /// The header alone is larger than any of a real message.
    LongHeader,
    /// Other uploads have taken the memory.
    NoRoom,
}

impl MessageReader {
    /// A reader of one message of at most `max_bytes`. `declared` is the size that the client announced; memory for so
    /// much is reserved out of `share` when the first bytes come.
    pub(super) fn new(max_bytes: u64, declared: Option<u64>, share: UploadShare) -> Self {
        let declared = declared.unwrap_or(0).min(max_bytes);
        Self {
            message: BytesMut::new(),
            bytes: 0,
            max_bytes,
            declared,
            has_bare_line_end: false,
            position: Position::LineStart,
            share,
            lacks_room: false,
        }
    }

    /// Reads dot-stuffed text: appends it to the message without the stuffing, and notes a lone CR or LF. If the
    /// message ends in this chunk, returns how many bytes of it belong to the message and the line of its final dot;
    /// `None` if more must come. RFC 5321 §4.1.1.4, §4.5.2.
    pub(super) fn take_stuffed(&mut self, chunk: &[u8]) -> Option<usize> {
        // chunk[copied..at] belongs to the message and is not copied yet.
        let (mut copied, mut at) = (0, 0);
        while let Some(byte) = chunk.get(at).copied() {
            match (self.position, byte) {
                (Position::LineStart, b'.') => {
                    self.append(&chunk[copied..at]);
                    at += 1;
                    copied = at;
                    self.position = Position::Dot;
                }
                (Position::Dot, b'\r') => {
                    at += 1;
                    copied = at;
                    self.position = Position::DotCr;
                }
                (Position::DotCr, b'\n') => return Some(at + 1),
                (Position::DotCr, _) => {
                    self.append(b"\r");
                    self.position = Position::Cr;
                }
                (Position::Cr, b'\n') => {
                    at += 1;
                    self.position = Position::LineStart;
                }
                (Position::Cr, _) => {
                    self.has_bare_line_end = true;
                    self.position = Position::Text;
                }
                (Position::LineStart | Position::Dot | Position::Text, _) => at = self.text(chunk, at),
            }
        }
        self.append(&chunk[copied..]);
        None
    }

    /// Skips text of a line past the next CR or bare LF, from the index `at` of the chunk; returns the index after it,
    /// or the length of the chunk if there is none. Notes the bare LF and the new position.
    fn text(&mut self, chunk: &[u8], at: usize) -> usize {
        match memchr::memchr2(b'\r', b'\n', &chunk[at..]) {
            Some(run) if chunk[at + run] == b'\r' => {
                self.position = Position::Cr;
                at + run + 1
            }
            Some(run) => {
                self.has_bare_line_end = true;
                self.position = Position::Text;
                at + run + 1
            }
            None => {
                self.position = Position::Text;
                chunk.len()
            }
        }
    }

    /// Appends bytes of a BDAT chunk, which are not stuffed, to the message; its lone CR and LF are found by
    /// [`Self::finish_counted`]. RFC 3030 §2.
    pub(super) fn take_counted(&mut self, chunk: &[u8]) {
        self.append(chunk);
    }

    /// Adds bytes to the message. Beyond the size limit or without memory they are only counted, and the buffer and its
    /// memory share are released.
    fn append(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        if self.max_bytes < self.bytes || self.lacks_room || !self.reserve(part.len()) {
            // It is refused at its end.
            (self.message, self.share) = (BytesMut::new(), UploadShare::default());
            return;
        }
        self.message.extend_from_slice(part);
    }

    /// Makes space for this many more bytes in the buffer, out of the memory share; `false` if there is none now or
    /// there was none before, which refuses the message at its end.
    fn reserve(&mut self, bytes: usize) -> bool {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let expected = ((self.declared != 0).then(|| size(self.declared)), size(self.max_bytes));
        self.lacks_room |= !self.share.reserve(&mut self.message, 0, bytes, expected);
        !self.lacks_room
    }

    /// Notes that the next BDAT chunk has this size, so that memory for it is reserved with its first bytes.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.declared = self.declared.max(self.bytes.saturating_add(bytes)).min(self.max_bytes);
    }

    /// Number of bytes of the message so far, without dot stuffing and final dot, and including discarded ones.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    /// Whether the data exceeds the size limit by more than 16 MiB, so that the connection should be closed.
    pub(super) fn is_endless(&self) -> bool {
        self.max_bytes.saturating_add(MAX_DISCARDED_BYTES) < self.bytes
    }

    /// Whether the message exceeds the size limit.
    pub(super) fn is_too_large(&self) -> bool {
        self.max_bytes < self.bytes
    }

    /// The complete message of DATA, or why it is refused; `rule` is the treatment of a lone CR or LF. The share is its
    /// part of the memory for uploads, to be held until the message is stored.
    pub(super) fn finish_stuffed(mut self, rule: BareLineEnds) -> (Result<Message, MessageError>, UploadShare) {
        let message = self.finish(rule);
        (message, self.share)
    }

    /// Takes the message, with each lone CR or LF replaced if the rule says so. The error is the first that applies:
    /// too large, no memory, a long header, a lone CR or LF that the rule refuses.
    fn finish(&mut self, rule: BareLineEnds) -> Result<Message, MessageError> {
        match rule {
            _ if self.is_too_large() => Err(MessageError::TooLarge),
            _ if self.lacks_room => Err(MessageError::NoRoom),
            _ if has_long_header(&self.message) => Err(MessageError::LongHeader),
            BareLineEnds::Refuse if self.has_bare_line_end => Err(MessageError::BareLineEnd),
            BareLineEnds::Normalize if self.has_bare_line_end && !self.share.grow_to(2 * self.message.len()) => {
                Err(MessageError::NoRoom)
            }
            BareLineEnds::Normalize if self.has_bare_line_end => {
                Ok(Message::new(normalize(&self.message).0.into_owned().into()))
            }
            _ => Ok(Message::new(self.fitted())),
        }
    }

    /// The complete message of BDAT, as [`Self::finish_stuffed`] returns that of DATA.
    pub(super) fn finish_counted(mut self, rule: BareLineEnds) -> (Result<Message, MessageError>, UploadShare) {
        self.has_bare_line_end = rule != BareLineEnds::Keep && has_bare_line_end(&self.message);
        self.finish_stuffed(rule)
    }

    /// Takes the bytes, in a buffer of at most twice their size: a client that declares much and sends little must not
    /// occupy memory while the message is queued. The share covers both, since it is that of the larger buffer.
    fn fitted(&mut self) -> Bytes {
        let message = std::mem::take(&mut self.message);
        match message.len() < message.capacity() / 2 {
            true => Bytes::copy_from_slice(&message),
            false => message.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data on the wire after DATA, the message in it and the number of bytes after it; `None` if there is no end.
    type TestCase = (&'static [u8], Option<(Result<&'static [u8], MessageError>, usize)>);

    const BARE: Result<&[u8], MessageError> = Err(MessageError::BareLineEnd);

    /// RFC 5321 §2.3.8, §4.1.1.4: only CR LF . CR LF is an end. The others are sequences that some servers take for it.
    const CASES: &[TestCase] = &[
        (b".\r\n", Some((Ok(b""), 0))),
        (b"a\r\n.\r\n", Some((Ok(b"a\r\n"), 0))),
        (b"a\r\n.\r\nMAIL", Some((Ok(b"a\r\n"), 4))),
        (b"a\r\n..\r\n.\r\n", Some((Ok(b"a\r\n.\r\n"), 0))),
        (b"..a\r\n...\r\n.\r\n", Some((Ok(b".a\r\n..\r\n"), 0))),
        (b".a\r\n.\r\n", Some((Ok(b"a\r\n"), 0))),
        (b"a.\r\n.\r\n", Some((Ok(b"a.\r\n"), 0))),
        (b"\0\xff\r\n.\r\n", Some((Ok(b"\0\xff\r\n"), 0))),
        (b"a\n.\n", None),
        (b"a\n.\r\n", None),
        (b"a\r\n.\n", None),
        (b"a\r.\r", None),
        (b"a\r.\r\n", None),
        (b"a\r\n.\r", None),
        (b"a\n\r.\n\r", None),
        (b"a\r\n\0.\r\n", None),
        (b"a\r\n.\0\r\n", None),
        (b"a\r\n .\r\n", None),
        (b"a\n.\n\r\n.\r\n", Some((BARE, 0))),
        (b"a\n.\r\n.\r\nX", Some((BARE, 1))),
        (b"a\r\n.\n\r\n.\r\n", Some((BARE, 0))),
        (b"a\r.\r\r\n.\r\n", Some((BARE, 0))),
        (b"a\r.\r\n.\r\n", Some((BARE, 0))),
        (b"a\r\n.\r\r\n.\r\n", Some((BARE, 0))),
        (b"a\r\n.\r.\r\n.\r\n", Some((BARE, 0))),
        (b"a\r\r\n.\r\n", Some((BARE, 0))),
        (b"a\n\r\n.\r\n", Some((BARE, 0))),
        (b"a\n\r.\n\r\r\n.\r\n", Some((BARE, 0))),
    ];

    fn read(wire: &[u8], chunk: usize, rule: BareLineEnds) -> Option<(Result<Bytes, MessageError>, usize)> {
        let mut reader = MessageReader::new(100, None, UploadShare::default());
        for (number, part) in wire.chunks(chunk).enumerate() {
            if let Some(used) = reader.take_stuffed(part) {
                let message = reader.finish_stuffed(rule).0.map(|message| message.to_bytes());
                return Some((message, wire.len() - number * chunk - used));
            }
        }
        None
    }

    #[test]
    fn message_reader_ends_only_at_crlf_dot_crlf() {
        for (wire, wanted) in CASES {
            for chunk in [1, 2, 3, 100] {
                let found = read(wire, chunk, BareLineEnds::Refuse);
                let wanted = wanted.map(|(message, rest)| (message.map(Bytes::from_static), rest));
                assert_eq!(found, wanted, "{:?} in chunks of {chunk}", String::from_utf8_lossy(wire));
            }
        }
    }

    /// Compares every text of up to eight bytes with the definition: the first CR LF . CR LF after an implied CR LF is the
    /// end, and each line before it loses one leading dot.
    #[test]
    fn message_reader_with_any_mix_of_cr_lf_and_dot_matches_the_definition() {
        for len in 0..=8 {
            for number in 0..4_u32.pow(len) {
                let wire: Vec<u8> = (0..len).map(|at| b"\r\n.x"[(number >> (2 * at) & 3) as usize]).collect();
                let framed = [b"\r\n", wire.as_slice()].concat();
                let wanted = memchr::memmem::find(&framed, b"\r\n.\r\n").map(|end| {
                    let text = String::from_utf8_lossy(&framed[..end + 2]).replace("\r\n.", "\r\n");
                    (Ok(Bytes::copy_from_slice(&text.as_bytes()[2..])), framed.len() - end - 5)
                });
                assert_eq!(read(&wire, 3, BareLineEnds::Keep), wanted, "{:?}", String::from_utf8_lossy(&wire));
            }
        }
    }

    #[test]
    fn bare_line_ends_when_kept_are_unchanged_and_no_end() {
        for (wire, message) in [
            (b"a\n.\n\r\n.\r\n".as_slice(), b"a\n.\n\r\n".as_slice()),
            (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n"),
            (b"a\r.\r\n.\r\n", b"a\r.\r\n"),
        ] {
            for chunk in [1, 2, 100] {
                assert_eq!(read(wire, chunk, BareLineEnds::Keep).unwrap().0.unwrap(), message);
            }
        }
    }

    #[test]
    fn bare_line_ends_when_normalized_become_crlf_and_are_no_end() {
        for (wire, message) in [
            (b"a\n.\n\r\n.\r\n".as_slice(), b"a\r\n.\r\n\r\n".as_slice()),
            (b"a\r.\r\n.\r\n", b"a\r\n.\r\n"),
            (b"a\r\n.\r\n", b"a\r\n"),
        ] {
            assert_eq!(read(wire, 2, BareLineEnds::Normalize).unwrap().0.unwrap(), message);
        }
    }

    #[test]
    fn message_reader_beyond_the_limit_counts_but_does_not_buffer() {
        let mut reader = MessageReader::new(10, Some(u64::MAX), UploadShare::default());
        assert_eq!(reader.take_stuffed(b"0123456789"), None);
        assert!(!reader.is_too_large());
        assert_eq!(reader.take_stuffed(b"0"), None);
        assert!(reader.is_too_large() && reader.message.is_empty() && !reader.is_endless());
        assert_eq!(reader.take_stuffed(b"\r\n.\r\n"), Some(5));
        assert_eq!(reader.finish_stuffed(BareLineEnds::Refuse).0, Err(MessageError::TooLarge));
    }

    #[test]
    fn message_reader_when_message_is_smaller_than_declared_frees_the_reserve() {
        for (declared, sent) in [(1 << 20, 4096), (50 << 20, 2 << 20), (4096, 4096), (0, 4097)] {
            let mut reader = MessageReader::new(60 << 20, Some(declared), UploadShare::default());
            vec![b'x'; sent].chunks(4000).for_each(|part| reader.take_counted(part));
            let room = reader.fitted().try_into_mut().unwrap().capacity();
            assert!((sent..=2 * sent + 1).contains(&room), "{declared} declared, {sent} sent: {room}");
        }
    }
}
