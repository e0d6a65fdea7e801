//! Bytes from the peer, cut into lines. Only CR LF ends a line (RFC 5321 §2.3.8), and no line grows without bound.

use bytes::{Bytes, BytesMut};

/// Longest line kept, without its CR LF: the 512 of RFC 5321 §4.5.3.1.4 and room for all extensions.
const LINE_OCTETS_MAX: usize = 2000;
/// So much of a line without end is passed over before we give up on the peer.
const SKIPPED_OCTETS_MAX: usize = 256 * 1024;

/// A line of the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its CR LF.
    Whole(Bytes),
    /// It was longer than allowed and is gone.
    TooLong,
    /// It has not ended after far more than allowed.
    Endless,
}

/// What the peer sent and nobody took yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unread: BytesMut,
    /// Length of the front that holds no line end.
    searched: usize,
    /// Length of the front of the line that was thrown away.
    skipped: usize,
}

impl Lines {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// Forgets what the peer sent so far. RFC 3207 §4.2.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Everything unread, for whoever takes bytes and not lines.
    pub(super) fn take_all(&mut self) -> BytesMut {
        self.searched = 0;
        std::mem::take(&mut self.unread)
    }

    /// Gives back what [`Lines::take_all`] took too much.
    pub(super) fn put_back(&mut self, rest: BytesMut) {
        self.unread = rest;
    }

    /// The next line, when it is there.
    pub(super) fn next(&mut self) -> Option<Line> {
        let Some(end) = memchr::memmem::find(&self.unread[self.searched..], b"\r\n") else {
            return self.skip();
        };
        let mut line = self.unread.split_to(self.searched + end + 2);
        line.truncate(line.len() - 2);
        let is_long = self.skipped != 0 || LINE_OCTETS_MAX < line.len();
        (self.searched, self.skipped) = (0, 0);
        Some(if is_long { Line::TooLong } else { Line::Whole(line.freeze()) })
    }

    /// Remembers that no line end is there yet, and drops the front of a line that is too long anyway.
    fn skip(&mut self) -> Option<Line> {
        self.searched = self.unread.len().saturating_sub(1);
        if LINE_OCTETS_MAX < self.unread.len() {
            self.skipped += self.searched;
            let _ = self.unread.split_to(self.searched);
            self.searched = 0;
        }
        (SKIPPED_OCTETS_MAX < self.skipped).then_some(Line::Endless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &'static str) -> Option<Line> {
        Some(Line::Whole(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn only_cr_lf_ends_a_line() {
        let mut lines = Lines::default();
        lines.receive(b"a\nb\rc\r\r\n\n\r\nd\r");
        assert_eq!(lines.next(), whole("a\nb\rc\r"));
        assert_eq!(lines.next(), whole("\n"));
        assert_eq!(lines.next(), None);
        lines.receive(b"\n");
        assert_eq!(lines.next(), whole("d"));
        assert!(lines.is_empty());
    }

    #[test]
    fn a_long_line_is_passed_over_and_the_next_one_read() {
        for chunk in [1, 7, 4096] {
            let mut lines = Lines::default();
            let sent = [vec![b'x'; LINE_OCTETS_MAX + 1], b"\r\nNOOP\r\n".to_vec()].concat();
            let mut found = Vec::new();
            for part in sent.chunks(chunk) {
                lines.receive(part);
                found.extend(std::iter::from_fn(|| lines.next()));
            }
            assert_eq!(found, [Line::TooLong, whole("NOOP").unwrap()]);
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_does_not_last() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.receive(&[b'x'; 4096]);
            let found = lines.next();
            assert!(lines.unread.len() <= LINE_OCTETS_MAX);
            if found == Some(Line::Endless) {
                return;
            }
        }
        panic!("it lasted");
    }
}
