//! Reads a multi-line response: removes dot stuffing; a line with only a dot ends it. RFC 1939 §3.

use bytes::{BufMut, Bytes, BytesMut};

/// A multi-line response that is being received.
#[derive(Debug, Default)]
pub(super) struct MultilineReader {
    text: BytesMut,
}

/// Error: the response exceeds the size limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl MultilineReader {
    /// Moves lines from `unread` into the response; returns it once the final line with a dot has come, without that
    /// line and without stuffed dots, and leaves the input after it. `None` until then; fails once the response has
    /// more than `max_bytes`.
    pub(super) fn read(&mut self, unread: &mut BytesMut, max_bytes: usize) -> Result<Option<Bytes>, TooLarge> {
        loop {
            let fresh = self.text.is_empty() || self.text.ends_with(b"\r\n");
            let end = unread.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            // `.` and `.\r` may be the beginning of the end.
            if end.is_none() && (unread.is_empty() || fresh && unread.len() < 3) {
                return Ok(None);
            }
            let line = unread.split_to(end.unwrap_or(unread.len()));
            if fresh && line == ".\r\n".as_bytes() {
                return Ok(Some(std::mem::take(&mut self.text).freeze()));
            }
            let line = if fresh { line.strip_prefix(b".").unwrap_or(&line) } else { &line };
            if max_bytes < self.text.len() + line.len() {
                return Err(TooLarge);
            }
            self.text.put_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &[u8], chunk: usize) -> (Option<Bytes>, BytesMut) {
        let (mut gather, mut unread) = (MultilineReader::default(), BytesMut::new());
        for bytes in wire.chunks(chunk) {
            unread.extend_from_slice(bytes);
            if let Some(text) = gather.read(&mut unread, 100).unwrap() {
                return (Some(text), unread);
            }
        }
        (None, unread)
    }

    #[test]
    fn multiline_reader_with_any_chunks_removes_dots() {
        for (wire, text) in [
            (".\r\n", ""),
            ("..\r\n.\r\n", ".\r\n"),
            ("a\r\n..b\r\n.\r\n", "a\r\n.b\r\n"),
            ("\r\n...\r\n\r\n.\r\n", "\r\n..\r\n\r\n"),
        ] {
            for chunk in [1, 2, 3, 100] {
                assert_eq!(read(wire.as_bytes(), chunk).0.unwrap(), text, "{wire:?} by {chunk}");
            }
        }
    }

    #[test]
    fn multiline_reader_at_the_end_leaves_the_rest_unread() {
        let (text, unread) = read(b"a\r\n.\r\n+OK\r\n", 100);
        assert_eq!((text.unwrap().as_ref(), unread.as_ref()), (b"a\r\n".as_slice(), b"+OK\r\n".as_slice()));
    }

    #[test]
    fn multiline_reader_beyond_the_limit_fails() {
        let (mut gather, mut unread) = (MultilineReader::default(), BytesMut::from(&[b'x'; 101][..]));
        assert_eq!(gather.read(&mut unread, 100), Err(TooLarge));
    }
}
