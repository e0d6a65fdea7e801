//! Splits input into lines of bounded length.

use bytes::BytesMut;

use crate::net::is_http_request;

/// Maximum length of a line. RFC 2449 §4 asks for 255, a SASL response may be longer (RFC 5034 §4).
pub(super) const MAX_LINE_BYTES: usize = 1024;

/// Input that has not been consumed.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unread: BytesMut,
    /// Inside a line that is too long: input is dropped up to its end.
    skipping: bool,
}

/// A line without its line end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(String),
    TooLong,
    /// That of an HTTP request.
    Http,
}

impl Lines {
    /// Appends input from the peer.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Takes the next line without its line end, CR LF or a lone LF, with U+FFFD for what is not UTF-8; `None` if more
    /// input is needed. A line longer than [`MAX_LINE_BYTES`] is dropped as it comes, and is one [`Line::TooLong`] when
    /// its end comes; the request line of HTTP is [`Line::Http`], even before its end.
    pub(super) fn next(&mut self) -> Option<Line> {
        let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') else {
            if MAX_LINE_BYTES < self.unread.len() {
                if !std::mem::replace(&mut self.skipping, true) && is_http_request(&self.unread) {
                    return Some(Line::Http);
                }
                self.unread.clear();
            }
            return None;
        };
        let line = self.unread.split_to(end + 1);
        let is_rest = std::mem::take(&mut self.skipping);
        if !is_rest && is_http_request(&line) {
            return Some(Line::Http);
        }
        if is_rest || MAX_LINE_BYTES < line.len() {
            return Some(Line::TooLong);
        }
        let line = &line[..end];
        Some(Line::Whole(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()))
    }

    /// The input after the last line taken, for a reader of a multi-line response, which removes what it reads.
    pub(super) fn unread(&mut self) -> &mut BytesMut {
        &mut self.unread
    }

    /// Discards all input: after STLS, that from before the TLS handshake. RFC 2595 §4.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<Line> {
        Some(Line::Whole(text.into()))
    }

    #[test]
    fn lines_with_crlf_or_lf_end() {
        let mut lines = Lines::default();
        lines.receive(b"STAT\r\nNOOP\n\r\nQU");
        assert_eq!(lines.next(), whole("STAT"));
        assert_eq!(lines.next(), whole("NOOP"));
        assert_eq!(lines.next(), whole(""));
        assert_eq!(lines.next(), None);
        lines.receive(b"IT\r\n");
        assert_eq!(lines.next(), whole("QUIT"));
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
    }

    #[test]
    fn lines_when_one_never_ends_stay_bounded() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.receive(&[b'x'; 999]);
            assert_eq!(lines.next(), None);
            assert!(lines.unread.len() <= MAX_LINE_BYTES);
        }
        lines.receive(b"\r\nNOOP\r\n");
        assert_eq!(lines.next(), Some(Line::TooLong));
        assert_eq!(lines.next(), whole("NOOP"));
    }
}
