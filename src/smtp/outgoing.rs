//! Message data on its way out: slices of the shared buffers with the dots of RFC 5321 §4.5.2 put between them.
//!
//! Long runs go out as they lie in memory; only short ones are copied together, so that neither a body is copied nor
//! a letter full of dots takes a write for each line.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A run at least this long is worth a write of its own.
const SLICE_OCTETS_MIN: usize = 4096;
/// Short runs gather until there are so many octets.
const GATHERED_OCTETS: usize = 16 * 1024;

/// What is left of a message to send.
#[derive(Debug)]
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    encoding: Encoding,
    /// The last two octets taken; a message begins as if behind a CR LF.
    tail: [u8; 2],
    /// The dot that the line now beginning needs has been put.
    is_dotted: bool,
    /// A long run that waits until the short ones before it are out.
    held: Option<Bytes>,
    is_ended: bool,
}

/// How the end of the message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// By a line with a dot: RFC 5321 §4.1.1.4.
    Stuffed,
    /// By a length said before: RFC 3030 §2.
    Counted,
}

impl Outgoing {
    /// For DATA. A last line without its end gets one, as the dot must stand on a line of its own.
    pub(super) fn stuffed(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self::new(pieces, Encoding::Stuffed)
    }

    /// For BDAT: as it is, even without a last line end, since the length tells where it ends.
    pub(super) fn counted(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self::new(pieces, Encoding::Counted)
    }

    fn new(pieces: impl IntoIterator<Item = Bytes>, encoding: Encoding) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { pieces, encoding, tail: *b"\r\n", is_dotted: false, held: None, is_ended: false }
    }

    /// Whether everything has been handed out, the end included.
    pub(super) fn is_over(&self) -> bool {
        self.held.is_none() && self.pieces.is_empty() && (self.is_ended || self.encoding == Encoding::Counted)
    }

    /// The next octets for the wire, `None` when all are out.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let first = self.held.take().or_else(|| self.part())?;
        if SLICE_OCTETS_MIN <= first.len() {
            return Some(first);
        }
        let mut gathered = BytesMut::from(first.as_ref());
        while gathered.len() < GATHERED_OCTETS {
            match self.part() {
                Some(part) if SLICE_OCTETS_MIN <= part.len() => {
                    self.held = Some(part);
                    break;
                }
                Some(part) => gathered.extend_from_slice(&part),
                None => break,
            }
        }
        Some(gathered.freeze())
    }

    /// The next run of octets that needs no dot inside, a dot, or the end.
    fn part(&mut self) -> Option<Bytes> {
        let Some(piece) = self.pieces.front_mut() else { return self.end() };
        let needs_dot = self.encoding == Encoding::Stuffed && self.tail == *b"\r\n" && piece.starts_with(b".");
        if needs_dot && !self.is_dotted {
            self.is_dotted = true;
            return Some(Bytes::from_static(b"."));
        }
        self.is_dotted = false;
        let len = if self.encoding == Encoding::Stuffed { run(piece, self.tail[1]) } else { piece.len() };
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

    fn end(&mut self) -> Option<Bytes> {
        let is_ended = std::mem::replace(&mut self.is_ended, true);
        if is_ended || self.encoding == Encoding::Counted {
            return None;
        }
        Some(Bytes::from_static(if self.tail == *b"\r\n" { b".\r\n" } else { b"\r\n.\r\n" }))
    }
}

/// How far a piece goes until a line begins with a dot; `before` is the octet in front of it.
fn run(piece: &[u8], before: u8) -> usize {
    if before == b'\r' && piece.starts_with(b"\n.") {
        return 1;
    }
    memchr::memmem::find(piece, b"\r\n.").map_or(piece.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut outgoing: Outgoing) -> Vec<Bytes> {
        let mut parts = Vec::new();
        while !outgoing.is_over() {
            parts.extend(outgoing.next());
        }
        assert_eq!(outgoing.next(), None);
        parts
    }

    #[test]
    fn dots_are_put_wherever_the_pieces_are_cut() {
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
                    let sent = all(Outgoing::stuffed(pieces.clone())).concat();
                    assert_eq!(String::from_utf8_lossy(&sent), wanted, "cut at {cut} and {second}");
                    assert_eq!(all(Outgoing::counted(pieces)).concat(), message);
                }
            }
        }
    }

    #[test]
    fn long_runs_are_shared_and_short_ones_gathered() {
        let long = Bytes::from(vec![b'x'; 100_000]);
        let parts = all(Outgoing::stuffed([Bytes::from_static(b"Subject: s\r\n\r\n"), long.clone()]));
        assert_eq!(parts.iter().map(Bytes::len).collect::<Vec<_>>(), [14, 100_000, 5]);
        assert_eq!(parts[1].as_ptr(), long.as_ptr());
        let parts = all(Outgoing::stuffed([Bytes::from(".\r\n".repeat(10_000))]));
        assert!(parts.len() <= 3, "{} writes", parts.len());
    }
}
