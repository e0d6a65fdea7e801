//! What is still to be sent: short replies gather in one buffer, large message parts stay slices of the shared one.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use crate::mail::Letter;

/// Slices from this length on are sent as they are; shorter ones are worth a copy.
const SHARE_OCTETS_MIN: usize = 16 * 1024;
/// The longest slice, so that a look for dots is short.
const SLICE_OCTETS_MAX: usize = 64 * 1024;
/// Gathered replies of more octets are sent before another command is read.
const GATHER_OCTETS_MAX: usize = 64 * 1024;

/// Replies in the order of their commands, at most one message behind them.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    gathered: BytesMut,
    message: Option<Stuffing>,
}

impl Outgoing {
    /// One line; its end is added.
    pub(super) fn line(&mut self, line: &str) {
        debug_assert!(self.message.is_none(), "a message is sent whole before the next reply");
        self.gathered.put_slice(line.as_bytes());
        self.gathered.put_slice(b"\r\n");
    }

    /// A message, stuffed and ended by a line with one dot; with a number, only so many lines of its body.
    pub(super) fn message(&mut self, letter: &Letter, body_lines: Option<usize>) {
        self.message = Some(Stuffing::of(letter, body_lines));
    }

    /// Whether so much waits that it should leave before more is made. Small messages gather as replies do.
    pub(super) fn is_full(&mut self) -> bool {
        self.gather();
        self.message.is_some() || GATHER_OCTETS_MAX <= self.gathered.len()
    }

    /// The next bytes to send, if there are any.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.gather();
        if self.gathered.is_empty()
            && let Some(message) = &mut self.message
            && let Some(slice) = message.peek()
        {
            message.advance(slice.len());
            return Some(slice);
        }
        (!self.gathered.is_empty()).then(|| self.gathered.split().freeze())
    }

    /// Copies what is small, up to a slice that is worth sending as it is.
    fn gather(&mut self) {
        while let Some(message) = &mut self.message
            && self.gathered.len() < GATHER_OCTETS_MAX
        {
            let Some(slice) = message.peek() else {
                self.gathered.put_slice(message.end());
                self.message = None;
                break;
            };
            if SHARE_OCTETS_MIN <= slice.len() {
                break;
            }
            message.advance(slice.len());
            self.gathered.put_slice(&slice);
        }
    }
}

/// A message on its way out: a line that begins with a dot gets a second one. RFC 1939 §3.
#[derive(Debug)]
struct Stuffing {
    /// What is left; every part but the last ends with a line end.
    parts: VecDeque<Bytes>,
    /// At the start of a line that has not got its dot.
    fresh: bool,
    /// How the last part ends.
    ended: bool,
}

impl Stuffing {
    fn of(letter: &Letter, body_lines: Option<usize>) -> Self {
        let [trace, content] = letter.pieces();
        let content = body_lines.map_or(content.clone(), |lines| content.slice(..top_len(&content, lines)));
        let parts: VecDeque<_> = [trace, content].into_iter().filter(|part| !part.is_empty()).collect();
        let ended = parts.back().is_none_or(|part| part.ends_with(b"\r\n"));
        Self { parts, fresh: true, ended }
    }

    /// What goes out next, up to where a dot must be added.
    fn peek(&self) -> Option<Bytes> {
        let part = self.parts.front()?;
        if self.fresh && part.starts_with(b".") {
            return Some(part.slice(..1));
        }
        // Two octets beyond the slice show whether a dot follows the line end at its very end.
        let near = &part[..part.len().min(SLICE_OCTETS_MAX + 2)];
        let dot = memmem::find(near, b"\r\n.");
        Some(part.slice(..dot.map_or(part.len().min(SLICE_OCTETS_MAX), |at| at + 2)))
    }

    fn advance(&mut self, octets: usize) {
        let Some(part) = self.parts.front_mut() else { return };
        if self.fresh && part.starts_with(b".") {
            // That was the added dot; the line itself is still to come.
            self.fresh = false;
            return;
        }
        self.fresh = part.split_to(octets).ends_with(b"\r\n");
        if part.is_empty() {
            self.parts.pop_front();
        }
    }

    fn end(&self) -> &'static [u8] {
        if self.ended { b".\r\n" } else { b"\r\n.\r\n" }
    }
}

/// Length of the header, the empty line and so many lines of the body. RFC 1939 §7 (TOP).
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
        let mut out = Outgoing::default();
        out.message(&Letter::new(Bytes::copy_from_slice(message)), body_lines);
        let mut all = Vec::new();
        while let Some(bytes) = out.take() {
            all.extend_from_slice(&bytes);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn lines_with_a_leading_dot_get_a_second_one() {
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
    fn top_is_the_header_and_some_lines() {
        let message = b"Received: x\r\nA: b\r\n\r\n1\r\n.2\r\n3";
        assert_eq!(sent(message, Some(0)), "Received: x\r\nA: b\r\n\r\n.\r\n");
        assert_eq!(sent(message, Some(2)), "Received: x\r\nA: b\r\n\r\n1\r\n..2\r\n.\r\n");
        assert_eq!(sent(message, Some(9)), "Received: x\r\nA: b\r\n\r\n1\r\n..2\r\n3\r\n.\r\n");
        assert_eq!(sent(b"A: b\r\n", Some(1)), "A: b\r\n.\r\n");
    }

    #[test]
    fn a_dot_is_found_wherever_a_slice_ends() {
        for before in SLICE_OCTETS_MAX - 4..SLICE_OCTETS_MAX + 4 {
            let text = "x".repeat(before);
            assert_eq!(sent(format!("{text}\r\n.\r\n").as_bytes(), None), format!("{text}\r\n..\r\n.\r\n"));
        }
    }

    #[test]
    fn large_parts_are_sent_without_a_copy() {
        let mut text = b"Received: x\r\nA: b\r\n\r\n".to_vec();
        text.extend("0123456789abcde\r\n".repeat(1000).bytes());
        text.extend(b".dot\r\n");
        text.extend("0123456789abcde\r\n".repeat(1000).bytes());
        let letter = Letter::new(text.into());
        let content = letter.content.bytes().clone();
        let mut out = Outgoing::default();
        out.line("+OK");
        out.message(&letter, None);
        let sent: Vec<_> = std::iter::from_fn(|| out.take()).collect();
        assert_eq!(sent[0], "+OK\r\nReceived: x\r\n");
        assert_eq!(sent[1].as_ptr(), content.as_ptr());
        assert_eq!(sent.len(), 5);
        assert_eq!(sent[4], ".\r\n");
    }
}
