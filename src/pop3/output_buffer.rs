//! Output that is to be sent: short replies are coalesced in one buffer, large message parts are shared slices.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use crate::mail::Message;

/// Slices of at least this length are sent without copying.
const MIN_SHARED_SLICE_BYTES: usize = 16 * 1024;
/// Maximum length of a slice, which bounds the search for dots.
const MAX_SLICE_BYTES: usize = 64 * 1024;
/// When this much is buffered, it is sent before the next command is read.
const MAX_BUFFERED_BYTES: usize = 64 * 1024;

/// Replies in the order of their commands, followed by at most one message.
#[derive(Debug, Default)]
pub(super) struct OutputBuffer {
    buffered: BytesMut,
    message: Option<DotStuffer>,
}

impl OutputBuffer {
    /// Adds a line, given without its line end; only allowed once a message added before was taken whole.
    pub(super) fn line(&mut self, line: &str) {
        debug_assert!(self.message.is_none(), "a message must be sent before the next reply");
        self.buffered.put_slice(line.as_bytes());
        self.buffered.put_slice(b"\r\n");
    }

    /// Adds a message, which is sent dot-stuffed and ended by a line with a dot; with `body_lines`, only its header and
    /// that many lines of its body. Returns how many bytes of the message are sent, without stuffed dots and the final
    /// line.
    pub(super) fn message(&mut self, message: &Message, body_lines: Option<usize>) -> usize {
        let message = DotStuffer::of(message, body_lines);
        let len = message.parts.iter().map(Bytes::len).sum();
        self.message = Some(message);
        len
    }

    /// Copies short slices of a message into the buffer, so that small messages are coalesced like replies; then
    /// returns whether the output must be sent before more is added: [`MAX_BUFFERED_BYTES`] are buffered, or a part of
    /// the message is not.
    pub(super) fn is_full(&mut self) -> bool {
        self.coalesce();
        self.message.is_some() || MAX_BUFFERED_BYTES <= self.buffered.len()
    }

    /// Takes the next bytes to send: all that is buffered, else the next slice of the message; `None` if nothing is
    /// left.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.coalesce();
        if self.buffered.is_empty()
            && let Some(message) = &mut self.message
            && let Some(slice) = message.peek()
        {
            message.advance(slice.len());
            return Some(slice);
        }
        (!self.buffered.is_empty()).then(|| self.buffered.split().freeze())
    }

    /// Copies short slices of the message, and its final line, into the buffer, until [`MAX_BUFFERED_BYTES`] are
    /// buffered or the next slice is long enough to be sent without copying.
    fn coalesce(&mut self) {
        while let Some(message) = &mut self.message
            && self.buffered.len() < MAX_BUFFERED_BYTES
        {
            let Some(slice) = message.peek() else {
                self.buffered.put_slice(message.end());
                self.message = None;
                break;
            };
            if MIN_SHARED_SLICE_BYTES <= slice.len() {
                break;
            }
            message.advance(slice.len());
            self.buffered.put_slice(&slice);
        }
    }
}

/// A message that is being sent: a line that begins with a dot gets a second one. RFC 1939 §3.
#[derive(Debug)]
struct DotStuffer {
    /// The remaining parts; every part but the last ends with a line end.
    parts: VecDeque<Bytes>,
    /// At the start of a line, before its extra dot.
    fresh: bool,
    /// Whether the last part ends with CR LF.
    ended: bool,
}

impl DotStuffer {
    /// The stuffer at the start of the message: of all of it, or with `body_lines` of its header and that many lines of
    /// its body.
    fn of(message: &Message, body_lines: Option<usize>) -> Self {
        let [trace, content] = message.pieces();
        let content = body_lines.map_or(content.clone(), |lines| content.slice(..top_len(&content, lines)));
        let parts: VecDeque<_> = [trace, content].into_iter().filter(|part| !part.is_empty()).collect();
        let ended = parts.back().is_none_or(|part| part.ends_with(b"\r\n"));
        Self { parts, fresh: true, ended }
    }

    /// The next slice, at most to the end of a line before one that begins with a dot; the extra dot is a slice of its
    /// own. `None` at the end of the message.
    fn peek(&self) -> Option<Bytes> {
        let part = self.parts.front()?;
        if self.fresh && part.starts_with(b".") {
            return Some(part.slice(..1));
        }
        // Two bytes beyond the slice show whether a dot follows a line end at its end.
        let near = &part[..part.len().min(MAX_SLICE_BYTES + 2)];
        let dot = memmem::find(near, b"\r\n.");
        Some(part.slice(..dot.map_or(part.len().min(MAX_SLICE_BYTES), |at| at + 2)))
    }

    /// Moves past the slice that [`Self::peek`] returned, which has this length; after the extra dot only notes that it
    /// was sent.
    fn advance(&mut self, bytes: usize) {
        let Some(part) = self.parts.front_mut() else { return };
        if self.fresh && part.starts_with(b".") {
            // That was the extra dot; the line itself is next.
            self.fresh = false;
            return;
        }
        self.fresh = part.split_to(bytes).ends_with(b"\r\n");
        if part.is_empty() {
            self.parts.pop_front();
        }
    }

    /// The final line with a dot, with a line end in front if the message lacks one.
    fn end(&self) -> &'static [u8] {
        if self.ended { b".\r\n" } else { b"\r\n.\r\n" }
    }
}

/// Length of the header, the empty line and `body_lines` lines of the body, in bytes; that of all of the content if it
/// has fewer lines. RFC 1939 §7 (TOP).
fn top_len(content: &[u8], body_lines: usize) -> usize {
    let mut at = 0;
    let mut body_left = None;
    while body_left != Some(0) {
        let Some(len) = content[at..].iter().position(|byte| *byte == b'\n') else { return content.len() };
        let blank = matches!(&content[at..at + len], b"" | b"\r");
        at += len + 1;
        body_left = match body_left {
            None => blank.then_some(body_lines),
            Some(left) => Some(left - 1),
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(message: &[u8], body_lines: Option<usize>) -> String {
        let mut out = OutputBuffer::default();
        out.message(&Message::new(Bytes::copy_from_slice(message)), body_lines);
        let mut all = Vec::new();
        while let Some(bytes) = out.take() {
            all.extend_from_slice(&bytes);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn message_with_leading_dots_is_stuffed() {
        for (message, wire) in [
            ("", ".\r\n"),
            (".", "..\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("a\r\n.\r\n..b\r\n.c.\r\n", "a\r\n..\r\n...b\r\n..c.\r\n.\r\n"),
            ("Received: x\r\n.a: b\r\n\r\n.\r\n", "Received: x\r\n..a: b\r\n\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(sent(message.as_bytes(), None), wire, "{message:?}");
        }
    }

    #[test]
    fn top_len_counts_header_and_body_lines() {
        let message = b"Received: x\r\nA: b\r\n\r\n1\r\n.2\r\n3";
        assert_eq!(sent(message, Some(0)), "Received: x\r\nA: b\r\n\r\n.\r\n");
        assert_eq!(sent(message, Some(2)), "Received: x\r\nA: b\r\n\r\n1\r\n..2\r\n.\r\n");
        assert_eq!(sent(message, Some(9)), "Received: x\r\nA: b\r\n\r\n1\r\n..2\r\n3\r\n.\r\n");
        assert_eq!(sent(b"A: b\r\n", Some(1)), "A: b\r\n.\r\n");
        let octets = |lines| OutputBuffer::default().message(&Message::new(message.as_slice().into()), lines);
        assert_eq!([Some(0), Some(2), None].map(octets), [21, 28, message.len()]);
    }

    #[test]
    fn dot_stuffer_at_any_slice_boundary_finds_the_dot() {
        for before in MAX_SLICE_BYTES - 4..MAX_SLICE_BYTES + 4 {
            let text = "x".repeat(before);
            assert_eq!(sent(format!("{text}\r\n.\r\n").as_bytes(), None), format!("{text}\r\n..\r\n.\r\n"));
        }
    }

    #[test]
    fn output_buffer_sends_large_parts_without_copy() {
        let mut text = b"Received: x\r\nA: b\r\n\r\n".to_vec();
        text.extend("0123456789abcde\r\n".repeat(1000).bytes());
        text.extend(b".dot\r\n");
        text.extend("0123456789abcde\r\n".repeat(1000).bytes());
        let message = Message::new(text.into());
        let content = message.content.bytes().clone();
        let mut out = OutputBuffer::default();
        out.line("+OK");
        out.message(&message, None);
        let sent: Vec<_> = std::iter::from_fn(|| out.take()).collect();
        assert_eq!(sent[0], "+OK\r\nReceived: x\r\n");
        assert_eq!(sent[1].as_ptr(), content.as_ptr());
        assert_eq!(sent.len(), 5);
        assert_eq!(sent[4], ".\r\n");
    }
}
