//! Reads a multi-line response: added dots come off, a line with only a dot ends it. RFC 1939 §3.

use bytes::{BufMut, Bytes, BytesMut};

/// A multi-line response as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Gather {
    text: BytesMut,
}

/// More octets came than the owner wants to hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Gather {
    /// Takes what it can of `unread`; the response once it is whole.
    pub(super) fn read(&mut self, unread: &mut BytesMut, octets_max: usize) -> Result<Option<Bytes>, TooLarge> {
        loop {
            let fresh = self.text.is_empty() || self.text.ends_with(b"\r\n");
            let end = unread.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            // `.` and `.\r` may still become the end.
            if end.is_none() && (unread.is_empty() || fresh && unread.len() < 3) {
                return Ok(None);
            }
            let line = unread.split_to(end.unwrap_or(unread.len()));
            if fresh && line == ".\r\n".as_bytes() {
                return Ok(Some(std::mem::take(&mut self.text).freeze()));
            }
            let line = if fresh { line.strip_prefix(b".").unwrap_or(&line) } else { &line };
            if octets_max < self.text.len() + line.len() {
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
        let (mut gather, mut unread) = (Gather::default(), BytesMut::new());
        for bytes in wire.chunks(chunk) {
            unread.extend_from_slice(bytes);
            if let Some(text) = gather.read(&mut unread, 100).unwrap() {
                return (Some(text), unread);
            }
        }
        (None, unread)
    }

    #[test]
    fn dots_come_off_in_any_chunks() {
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
    fn what_follows_the_end_stays_unread() {
        let (text, unread) = read(b"a\r\n.\r\n+OK\r\n", 100);
        assert_eq!((text.unwrap().as_ref(), unread.as_ref()), (b"a\r\n".as_slice(), b"+OK\r\n".as_slice()));
    }

    #[test]
    fn a_response_without_end_is_not_held() {
        let (mut gather, mut unread) = (Gather::default(), BytesMut::from(&[b'x'; 101][..]));
        assert_eq!(gather.read(&mut unread, 100), Err(TooLarge));
    }
}
