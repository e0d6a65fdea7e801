//! The output buffer, and the format of numbers and strings. RFC 9051 §4.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::imap::utf7_encode;
use crate::journey::Dialogue;
use crate::mail::Side;

/// Shorter literals are copied: a slice of its own costs another system call, which takes longer than the copy.
const MIN_SHARED_BYTES: usize = 16 * 1024;
/// Longer strings are written as literals, which need no escaping.
const MAX_QUOTED_BYTES: usize = 1024;

/// Buffers responses.
#[derive(Debug, Default)]
pub struct ResponseBuffer {
    /// Complete pieces, in order.
    ready: VecDeque<Bytes>,
    /// The piece that is still growing.
    tail: BytesMut,
    len: usize,
    dialogue: Dialogue,
    /// The start of the line in the tail that is not in the dialogue yet.
    line: usize,
    /// Whether the tail has reserved space for many messages.
    wide: bool,
    /// Whether mailbox names are written in UTF-8, as after `ENABLE IMAP4rev2`.
    utf8: bool,
}

impl ResponseBuffer {
    /// Returns the number of bytes that were not taken yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes left to take.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next piece to send out of the buffer; if it is the one that still grows, that is ended. `None` if the
    /// buffer is empty.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() && !self.tail.is_empty() {
            self.cut();
        }
        let piece = self.ready.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    /// Reserves space for a response of this many bytes; [`Session`](crate::imap::Session) releases it when all output
    /// was taken and no more is expected for a while.
    pub fn reserve(&mut self, bytes: usize) {
        self.tail.reserve(bytes);
        self.wide = true;
    }

    /// Releases the space of [`Self::reserve`], for when no output is expected for a while. Nothing happens unless all
    /// output was taken, and space was reserved.
    pub(crate) fn release_memory(&mut self) {
        if self.tail.is_empty() && std::mem::take(&mut self.wide) {
            self.tail = BytesMut::new();
            self.line = 0;
        }
    }

    /// Takes the whole output out of the buffer, to store it instead of sending it.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        while let Some(piece) = self.take() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    /// Ends the growing piece, so that it can be sent; notes in the dialogue what of it is not noted yet.
    fn cut(&mut self) {
        self.note_to(self.tail.len());
        self.ready.push_back(self.tail.split().freeze());
        self.line = 0;
    }

    /// Notes the output from now on in this dialogue, in place of the one before.
    pub(crate) fn record(&mut self, dialogue: Dialogue) {
        self.dialogue = dialogue;
        self.line = self.tail.len();
    }

    /// Returns the dialogue in which the output is noted, so that the session notes there what the client sends.
    pub(crate) fn dialogue_mut(&mut self) -> &mut Dialogue {
        &mut self.dialogue
    }

    /// Writes mailbox names in UTF-8 from now on.
    pub(crate) fn use_utf8(&mut self) {
        self.utf8 = true;
    }

    /// Notes the bytes of the growing piece in the dialogue, from those that are not noted yet up to `end`.
    fn note_to(&mut self, end: usize) {
        if self.dialogue.is_wanted() && self.line < end {
            self.dialogue.note_lines(Side::Server, &String::from_utf8_lossy(&self.tail[self.line..end]));
        }
        self.line = end;
    }

    /// Notes in the dialogue that a literal of this size follows, without its bytes.
    fn note_literal(&mut self, bytes: usize) {
        self.dialogue.note_data(Side::Server, bytes);
    }

    /// Writes bytes unchanged.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
        self
    }

    /// Writes text unchanged.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.raw(text.as_bytes())
    }

    /// Writes text without its ASCII control characters, so that it stays on one line.
    pub(crate) fn line_text(&mut self, text: &str) -> &mut Self {
        for part in text.split(|char: char| char.is_ascii_control()) {
            self.text(part);
        }
        self
    }

    /// Ends the line with CR LF, and notes it in the dialogue.
    pub fn end(&mut self) -> &mut Self {
        self.raw(b"\r\n");
        if self.dialogue.is_wanted() {
            self.note_to(self.tail.len());
        }
        self
    }

    /// Writes a number in decimal.
    pub fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        let mut number: u64 = number.into();
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return self.raw(&digits[at..]);
            }
        }
    }

    /// Writes a string: quoted if it is ASCII without line ends and NUL, and at most `MAX_QUOTED_BYTES` long, else as a
    /// literal. RFC 9051 §4.3.
    pub fn string(&mut self, text: &str) -> &mut Self {
        let plain = |byte: u8| byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0);
        if MAX_QUOTED_BYTES < text.len() || !text.bytes().all(plain) {
            return self.literal(text.as_bytes());
        }
        self.quoted(text)
    }

    /// Writes the text in quotes, with `"` and `\` escaped; other characters are written as they are, so the caller
    /// excludes line ends.
    fn quoted(&mut self, text: &str) -> &mut Self {
        self.raw(b"\"");
        if text.bytes().any(|byte| matches!(byte, b'"' | b'\\')) {
            for byte in text.bytes() {
                if matches!(byte, b'"' | b'\\') {
                    self.raw(b"\\");
                }
                self.raw(&[byte]);
            }
        } else {
            self.text(text);
        }
        self.raw(b"\"")
    }

    /// Writes a string, or `NIL` for `None`.
    pub fn nstring(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.text("NIL"),
        }
    }

    /// Writes an atom if the text can be one and is not `NIL`, else a string. RFC 9051 §9 (astring).
    pub fn astring(&mut self, text: &str) -> &mut Self {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
        let nil = text.eq_ignore_ascii_case("NIL");
        if !text.is_empty() && !nil && text.bytes().all(plain) { self.text(text) } else { self.string(text) }
    }

    /// Writes a mailbox name in quotes: in UTF-8 if the client has enabled that, else in modified UTF-7. RFC 3501
    /// §5.1.3, RFC 9051 §5.1.
    pub fn mailbox(&mut self, name: &str) -> &mut Self {
        if name.is_ascii() && !name.contains('&') && !name.contains(|char: char| char.is_ascii_control()) {
            return self.quoted(name);
        }
        if self.utf8 { self.quoted(name) } else { self.quoted(&utf7_encode(name)) }
    }

    /// Writes a literal, `{n}` included, with a copy of these bytes.
    pub fn literal(&mut self, bytes: &[u8]) -> &mut Self {
        self.announce(bytes.len());
        self.raw(bytes).skip_note()
    }

    /// Writes one literal of several pieces, `{n}` included; pieces of `MIN_SHARED_BYTES` or more are shared, not
    /// copied.
    pub fn shared_literal(&mut self, pieces: &[Bytes]) -> &mut Self {
        self.announce(pieces.iter().map(Bytes::len).sum());
        for piece in pieces {
            self.shared(piece);
        }
        self.skip_note()
    }

    /// Writes the beginning of a literal of this size, `{n}` and CR LF, and notes the line and the size in the
    /// dialogue.
    fn announce(&mut self, bytes: usize) {
        self.raw(b"{").number(bytes as u64).raw(b"}\r\n");
        if self.dialogue.is_wanted() {
            self.note_to(self.tail.len());
            self.note_literal(bytes);
        }
    }

    /// Writes bytes of a literal: shared, as a piece of their own, if they are `MIN_SHARED_BYTES` or more, else copied.
    fn shared(&mut self, piece: &Bytes) {
        if piece.len() < MIN_SHARED_BYTES {
            self.raw(piece);
            return;
        }
        if self.dialogue.is_wanted() {
            self.line = self.tail.len();
        }
        if !self.tail.is_empty() {
            self.cut();
        }
        self.len += piece.len();
        self.ready.push_back(piece.clone());
    }

    /// Counts all output up to here as noted, which keeps the bytes of a literal out of the transcript.
    fn skip_note(&mut self) -> &mut Self {
        self.line = self.tail.len();
        self
    }
}
