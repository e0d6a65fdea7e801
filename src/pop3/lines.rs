//! Cuts what arrives into lines, and never holds more than one line that is too long.

use bytes::BytesMut;

/// Lines of more octets are refused. RFC 2449 §4 asks for 255, a SASL response may be longer (RFC 5034 §4).
pub(super) const LINE_OCTETS_MAX: usize = 1024;

/// Octets that arrived and are not yet read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unread: BytesMut,
    /// Inside a line that was too long: what comes up to its end is dropped.
    skipping: bool,
}

/// What stood before a line end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(String),
    TooLong,
}

impl Lines {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next line without its end; `None` asks for more octets. A lone LF ends a line too.
    pub(super) fn next(&mut self) -> Option<Line> {
        let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') else {
            if LINE_OCTETS_MAX < self.unread.len() {
                self.skipping = true;
                self.unread.clear();
            }
            return None;
        };
        let line = self.unread.split_to(end + 1);
        if std::mem::take(&mut self.skipping) || LINE_OCTETS_MAX < line.len() {
            return Some(Line::TooLong);
        }
        let line = &line[..end];
        Some(Line::Whole(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()))
    }

    /// The octets themselves, for a reader of message data.
    pub(super) fn unread(&mut self) -> &mut BytesMut {
        &mut self.unread
    }

    /// Forgets what came in plain text before TLS began. RFC 2595 §4.
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
    fn lines_end_with_cr_lf_or_lf() {
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
    fn an_endless_line_is_not_kept() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.receive(&[b'x'; 999]);
            assert_eq!(lines.next(), None);
            assert!(lines.unread.len() <= LINE_OCTETS_MAX);
        }
        lines.receive(b"\r\nNOOP\r\n");
        assert_eq!(lines.next(), Some(Line::TooLong));
        assert_eq!(lines.next(), whole("NOOP"));
    }
}
