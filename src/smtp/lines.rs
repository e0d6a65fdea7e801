//! Splits input into lines of bounded length. Only CR LF ends a line (RFC 5321 §2.3.8).

use bytes::{Bytes, BytesMut};

use crate::net::is_http_request;

/// Maximum length of a line without its CR LF: the 512 of RFC 5321 §4.5.3.1.4 and space for all extensions.
const MAX_LINE_BYTES: usize = 2000;
/// Maximum length of a too long line that is skipped; beyond it the connection is closed.
const MAX_SKIPPED_BYTES: usize = 256 * 1024;

/// A line of the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its CR LF.
    Whole(Bytes),
    /// It was longer than allowed and has been dropped.
    TooLong,
    /// It exceeds [`MAX_SKIPPED_BYTES`] and has not ended.
    Endless,
    /// It is that of an HTTP request.
    Http,
}

/// Input that has not been consumed.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unread: BytesMut,
    /// Length of the prefix that has no line end.
    searched: usize,
    /// Length of the prefix of the current line that was dropped.
    skipped: usize,
}

impl Lines {
    /// Appends input to what has not been consumed.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Whether no input is left; `false` also if only the beginning of a line is.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// The input after the last line that was taken, which may hold complete lines.
    pub(super) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Discards all input so far. RFC 3207 §4.2.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes all input, to be read as bytes and not as lines.
    pub(super) fn take_all(&mut self) -> BytesMut {
        self.searched = 0;
        std::mem::take(&mut self.unread)
    }

    /// Puts back the unused rest of what [`Lines::take_all`] returned; nothing may have been received in between.
    pub(super) fn put_back(&mut self, rest: BytesMut) {
        self.unread = rest;
    }

    /// Takes the next line; `None` if it is not complete. A line that is too long is dropped, and returned as
    /// [`Line::TooLong`] when its end has come. For an endless line, or a too long one of an HTTP request, the end is
    /// not awaited.
    pub(super) fn next(&mut self) -> Option<Line> {
        let Some(end) = memchr::memmem::find(&self.unread[self.searched..], b"\r\n") else {
            return self.skip();
        };
        let mut line = self.unread.split_to(self.searched + end + 2);
        line.truncate(line.len() - 2);
        let is_http = self.skipped == 0 && is_http_request(&line);
        let is_long = self.skipped != 0 || MAX_LINE_BYTES < line.len();
        (self.searched, self.skipped) = (0, 0);
        Some(match is_long {
            _ if is_http => Line::Http,
            true => Line::TooLong,
            false => Line::Whole(line.freeze()),
        })
    }

    /// Notes that the input has no line end yet, and drops the prefix of a line that is too long. Returns a line only
    /// if no end is to be waited for: that of an HTTP request longer than a line may be, or an endless one.
    fn skip(&mut self) -> Option<Line> {
        self.searched = self.unread.len().saturating_sub(1);
        if MAX_LINE_BYTES < self.unread.len() {
            if self.skipped == 0 && is_http_request(&self.unread) {
                return Some(Line::Http);
            }
            self.skipped += self.searched;
            let _ = self.unread.split_to(self.searched);
            self.searched = 0;
        }
        (MAX_SKIPPED_BYTES < self.skipped).then_some(Line::Endless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &'static str) -> Option<Line> {
        Some(Line::Whole(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn lines_with_bare_cr_or_lf_do_not_end() {
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
    fn lines_when_one_is_too_long_skips_it() {
        for chunk in [1, 7, 4096] {
            let mut lines = Lines::default();
            let sent = [vec![b'x'; MAX_LINE_BYTES + 1], b"\r\nNOOP\r\n".to_vec()].concat();
            let mut found = Vec::new();
            for part in sent.chunks(chunk) {
                lines.receive(part);
                found.extend(std::iter::from_fn(|| lines.next()));
            }
            assert_eq!(found, [Line::TooLong, whole("NOOP").unwrap()]);
        }
    }

    #[test]
    fn lines_with_an_http_request_of_any_length_report_it() {
        let long = format!("POST /{} HTTP/1.1\r\n", "x".repeat(MAX_LINE_BYTES));
        for (sent, chunk) in [("GET / HTTP/1.1\r\n", 1), (long.as_str(), 1000), (long.as_str(), usize::MAX)] {
            let mut lines = Lines::default();
            let found = sent.as_bytes().chunks(chunk).find_map(|part| {
                lines.receive(part);
                lines.next()
            });
            assert_eq!(found, Some(Line::Http), "{chunk}");
        }
        let mut lines = Lines::default();
        lines.receive(format!("NOOP {}GET / HTTP/1.1\r\n", "x".repeat(MAX_LINE_BYTES)).as_bytes());
        assert_eq!(lines.next(), Some(Line::TooLong));
    }

    #[test]
    fn lines_when_one_never_ends_stay_bounded_and_report_it() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.receive(&[b'x'; 4096]);
            let found = lines.next();
            assert!(lines.unread.len() <= MAX_LINE_BYTES);
            if found == Some(Line::Endless) {
                return;
            }
        }
        panic!("the endless line was not reported");
    }
}
