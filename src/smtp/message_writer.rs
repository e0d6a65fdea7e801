//! Writes message data: slices of the shared buffers with the dots of RFC 5321 §4.5.2 inserted.
//!
//! Long runs are sent without copying; short ones are coalesced, so that a message with many dots does not need a write
//! per line.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Runs of at least this length are sent without copying.
const MIN_SHARED_RUN_BYTES: usize = 4096;
/// Longest run, so that no step looks through a long message.
const MAX_RUN_BYTES: usize = 256 * 1024;
/// Short runs are coalesced up to this length.
const COALESCED_BYTES: usize = 16 * 1024;

/// The rest of a message that is being sent.
#[derive(Debug)]
pub(super) struct MessageWriter {
    pieces: VecDeque<Bytes>,
    encoding: Encoding,
    /// The last two bytes written; initially CR LF, because a message begins at the start of a line.
    tail: [u8; 2],
    /// The extra dot of the current line has been written.
    is_dotted: bool,
    /// A long run to be sent after the short ones before it.
    held: Option<Bytes>,
    is_ended: bool,
}

/// How the end of the message is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// By a line with a dot: RFC 5321 §4.1.1.4.
    Stuffed,
    /// By the length given before: RFC 3030 §2.
    Counted,
}

impl MessageWriter {
    /// A writer for DATA, which inserts the dots and ends with the final dot. A last line without line end gets one,
    /// because the final dot needs its own line.
    pub(super) fn stuffed(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self::new(pieces, Encoding::Stuffed)
    }

    /// A writer for BDAT: the bytes are unchanged, even without a last line end, and no end is marked.
    pub(super) fn counted(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self::new(pieces, Encoding::Counted)
    }

    fn new(pieces: impl IntoIterator<Item = Bytes>, encoding: Encoding) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { pieces, encoding, tail: *b"\r\n", is_dotted: false, held: None, is_ended: false }
    }

    /// Whether everything has been returned, including the end.
    pub(super) fn is_over(&self) -> bool {
        self.held.is_none() && self.pieces.is_empty() && (self.is_ended || self.encoding == Encoding::Counted)
    }

    /// The next bytes to send, stuffed and with the final dot for DATA; `None` after the last ones. A run of at least 4
    /// KiB shares its buffer; shorter ones are joined in a copy of about 16 KiB.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let first = self.held.take().or_else(|| self.part())?;
        if MIN_SHARED_RUN_BYTES <= first.len() {
            return Some(first);
        }
        let mut gathered = BytesMut::from(first.as_ref());
        while gathered.len() < COALESCED_BYTES {
            match self.part() {
                Some(part) if MIN_SHARED_RUN_BYTES <= part.len() => {
                    self.held = Some(part);
                    break;
                }
                Some(part) => gathered.extend_from_slice(&part),
                None => break,
            }
        }
        Some(gathered.freeze())
    }

    /// Takes the next run of bytes that needs no dot inside, an extra dot, or the mark of the end; `None` after it.
    /// BDAT takes each piece as a whole.
    fn part(&mut self) -> Option<Bytes> {
        let Some(piece) = self.pieces.front_mut() else { return self.end() };
        let needs_dot = self.encoding == Encoding::Stuffed && self.tail == *b"\r\n" && piece.starts_with(b".");
        if needs_dot && !self.is_dotted {
            self.is_dotted = true;
            return Some(Bytes::from_static(b"."));
        }
        self.is_dotted = false;
        let len = if self.encoding == Encoding::Stuffed { sendable_len(piece, self.tail[1]) } else { piece.len() };
        let part = piece.split_to(len);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        self.tail = match *part {
            [.., a, b] => [a, b],
            [b] => [self.tail[1], b],
            [] => self.tail,
        };
        Some(part)
    }

    /// Returns the mark of the end at the first call, `None` afterwards: for DATA the line with the final dot, after a
    /// line end if the message lacks one. `None` always for BDAT.
    fn end(&mut self) -> Option<Bytes> {
        let is_ended = std::mem::replace(&mut self.is_ended, true);
        if is_ended || self.encoding == Encoding::Counted {
            return None;
        }
        Some(Bytes::from_static(if self.tail == *b"\r\n" { b".\r\n" } else { b"\r\n.\r\n" }))
    }
}

/// Length of the part of the piece, up to 256 KiB, that can be sent unchanged: up to the next line that begins with a
/// dot, which needs an extra one. `before` is the byte before the piece, since a CR LF may be split.
fn sendable_len(piece: &[u8], before: u8) -> usize {
    if before == b'\r' && piece.starts_with(b"\n.") {
        return 1;
    }
    let first = &piece[..piece.len().min(MAX_RUN_BYTES)];
    memchr::memmem::find(first, b"\r\n.").map_or(first.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut outgoing: MessageWriter) -> Vec<Bytes> {
        let mut parts = Vec::new();
        while !outgoing.is_over() {
            parts.extend(outgoing.next());
        }
        assert_eq!(outgoing.next(), None);
        parts
    }

    #[test]
    fn message_writer_at_any_piece_boundary_stuffs_dots() {
        for (message, wanted) in [
            ("", ".\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("..\r\n.a\r\n", "...\r\n..a\r\n.\r\n"),
            ("a\r\n.\r\n\r\n.b.\r\n", "a\r\n..\r\n\r\n..b.\r\n.\r\n"),
            ("a\n.\r.\r", "a\n.\r.\r\r\n.\r\n"),
        ] {
            let message = Bytes::from_static(message.as_bytes());
            for cut in 0..=message.len() {
                for second in cut..=message.len() {
                    let pieces = [message.slice(..cut), message.slice(cut..second), message.slice(second..)];
                    let sent = all(MessageWriter::stuffed(pieces.clone())).concat();
                    assert_eq!(String::from_utf8_lossy(&sent), wanted, "cut at {cut} and {second}");
                    assert_eq!(all(MessageWriter::counted(pieces)).concat(), message);
                }
            }
        }
    }

    #[test]
    fn message_writer_shares_long_runs_and_coalesces_short_ones() {
        let long = Bytes::from(vec![b'x'; 100_000]);
        let parts = all(MessageWriter::stuffed([Bytes::from_static(b"Subject: s\r\n\r\n"), long.clone()]));
        assert_eq!(parts.iter().map(Bytes::len).collect::<Vec<_>>(), [14, 100_000, 5]);
        assert_eq!(parts[1].as_ptr(), long.as_ptr());
        let parts = all(MessageWriter::stuffed([Bytes::from(".\r\n".repeat(10_000))]));
        assert!(parts.len() <= 3, "{} writes", parts.len());
    }
}
