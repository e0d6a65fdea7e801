//! The buffer that replies grow in, and how IMAP spells numbers and strings. RFC 9051 §4.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::imap::utf7_encode;
use crate::mail::{Dialogue, Speaker};

/// Shorter literals are copied: a slice of its own is one more call to the system, and costs more than its octets.
const SHARED_OCTETS_MIN: usize = 16 * 1024;
/// Longer strings are written as literals, which need no escaping.
const QUOTED_OCTETS_MAX: usize = 1024;

/// Replies on their way out.
#[derive(Debug, Default)]
pub struct Out {
    /// What is complete, in order.
    ready: VecDeque<Bytes>,
    /// What is still growing behind it.
    tail: BytesMut,
    len: usize,
    dialogue: Option<Dialogue>,
    /// Where in the tail the line begins that the dialogue has not noted.
    line: usize,
    /// Whether the tail has room for many messages.
    wide: bool,
    /// Whether mailbox names go out in UTF-8, as after `ENABLE IMAP4rev2`.
    utf8: bool,
}

impl Out {
    /// How many octets wait to be sent.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next piece to send.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() && !self.tail.is_empty() {
            self.cut();
        }
        let piece = self.ready.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    /// Makes room for so much at once, where much is to come.
    pub fn widen(&mut self, octets: usize) {
        self.tail.reserve(octets);
        self.wide = true;
    }

    /// Nothing is to be said for a while: gives the room of a long answer back.
    pub(crate) fn rest(&mut self) {
        if self.tail.is_empty() && std::mem::take(&mut self.wide) {
            self.tail = BytesMut::new();
            self.line = 0;
        }
    }

    /// All that was added, where it is not sent but kept.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        while let Some(piece) = self.take() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    /// Ends the growing piece.
    fn cut(&mut self) {
        self.note_to(self.tail.len());
        self.ready.push_back(self.tail.split().freeze());
        self.line = 0;
    }

    /// Keeps a record of what is sent from here on.
    pub(crate) fn record(&mut self, dialogue: Dialogue) {
        self.dialogue = Some(dialogue);
        self.line = self.tail.len();
    }

    pub(crate) fn dialogue_mut(&mut self) -> Option<&mut Dialogue> {
        self.dialogue.as_mut()
    }

    pub(crate) fn speak_utf8(&mut self) {
        self.utf8 = true;
    }

    /// Notes the line so far.
    fn note_to(&mut self, end: usize) {
        if let Some(dialogue) = &mut self.dialogue
            && self.line < end
        {
            dialogue.note_lines(Speaker::Server, &String::from_utf8_lossy(&self.tail[self.line..end]));
        }
        self.line = end;
    }

    fn note_literal(&mut self, octets: usize) {
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.note_data(Speaker::Server, octets);
        }
    }

    /// Adds octets as they are.
    pub fn raw(&mut self, octets: &[u8]) -> &mut Self {
        self.tail.extend_from_slice(octets);
        self.len += octets.len();
        self
    }

    /// Adds text as it is.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.raw(text.as_bytes())
    }

    /// Adds text that may not end the line it stands in.
    pub(crate) fn line_text(&mut self, text: &str) -> &mut Self {
        for part in text.split(|char: char| char.is_ascii_control()) {
            self.text(part);
        }
        self
    }

    /// Ends the line.
    pub fn end(&mut self) -> &mut Self {
        self.raw(b"\r\n");
        if self.dialogue.is_some() {
            self.note_to(self.tail.len());
        }
        self
    }

    /// Adds a number.
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

    /// Adds a string, quoted if it can be. RFC 9051 §4.3.
    pub fn string(&mut self, text: &str) -> &mut Self {
        let plain = |byte: u8| byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0);
        if QUOTED_OCTETS_MAX < text.len() || !text.bytes().all(plain) {
            return self.literal(text.as_bytes());
        }
        self.quoted(text)
    }

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

    /// Adds a string or `NIL`.
    pub fn nstring(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.text("NIL"),
        }
    }

    /// Adds an atom if the text can be one, else a string. RFC 9051 §9 (astring).
    pub fn astring(&mut self, text: &str) -> &mut Self {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
        let nil = text.eq_ignore_ascii_case("NIL");
        if !text.is_empty() && !nil && text.bytes().all(plain) { self.text(text) } else { self.string(text) }
    }

    /// Adds a mailbox name in the spelling that the client understands. RFC 3501 §5.1.3, RFC 9051 §5.1.
    pub fn mailbox(&mut self, name: &str) -> &mut Self {
        if name.is_ascii() && !name.contains('&') && !name.contains(|char: char| char.is_ascii_control()) {
            return self.quoted(name);
        }
        if self.utf8 { self.quoted(name) } else { self.quoted(&utf7_encode(name)) }
    }

    /// Adds a literal of octets at hand.
    pub fn literal(&mut self, octets: &[u8]) -> &mut Self {
        self.announce(octets.len());
        self.raw(octets).skip_note()
    }

    /// Adds one literal of several shared pieces, which are not copied if they are large.
    pub fn shared_literal(&mut self, pieces: &[Bytes]) -> &mut Self {
        self.announce(pieces.iter().map(Bytes::len).sum());
        for piece in pieces {
            self.shared(piece);
        }
        self.skip_note()
    }

    /// Begins a literal.
    fn announce(&mut self, octets: usize) {
        self.raw(b"{").number(octets as u64).raw(b"}\r\n");
        if self.dialogue.is_some() {
            self.note_to(self.tail.len());
            self.note_literal(octets);
        }
    }

    fn shared(&mut self, piece: &Bytes) {
        if piece.len() < SHARED_OCTETS_MIN {
            self.raw(piece);
            return;
        }
        if self.dialogue.is_some() {
            self.line = self.tail.len();
        }
        if !self.tail.is_empty() {
            self.cut();
        }
        self.len += piece.len();
        self.ready.push_back(piece.clone());
    }

    /// The octets of a literal do not enter the dialogue.
    fn skip_note(&mut self) -> &mut Self {
        self.line = self.tail.len();
        self
    }
}
