//! Parses a command from left to right: atoms, strings, numbers, sets. RFC 9051 §4, §9.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::{ParseError, Parsed, RawCommand, bad};
use crate::imap::value::{Number, SequenceSet, Window, is_atom_char, utf7_decode};
use crate::sync::beside_others;

/// A name that no mailbox has: none contains a control character.
const NO_NAME: &str = "\u{7f}";

/// A position in a command.
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
    literals: std::slice::Iter<'a, Bytes>,
    /// Whether mailbox names may be in UTF-8 (`ENABLE IMAP4rev2`).
    utf8: bool,
}

/// Returns whether the byte may be in an astring without quotes: that of an atom, or `]`. RFC 9051 §9 (astring).
fn is_astring(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

/// Returns whether the byte may be in a tag: that of an astring, without `+`. RFC 9051 §9 (tag).
fn is_tag(byte: u8) -> bool {
    is_astring(byte) && byte != b'+'
}

/// Returns whether the byte may be in a pattern without quotes: that of an astring, `%` or `*` (RFC 3501 §9,
/// list-char), and also that of UTF-8, which some clients send.
fn is_pattern(byte: u8) -> bool {
    is_astring(byte) || matches!(byte, b'%' | b'*') || !byte.is_ascii()
}

impl<'a> Scanner<'a> {
    /// Begins at the first line of a command; its last line end is left out. `utf8` is whether the client has enabled
    /// UTF-8.
    pub(super) fn new(command: &'a RawCommand, utf8: bool) -> Self {
        let text = command.text.strip_suffix(b"\n").unwrap_or(&command.text);
        let rest = text.strip_suffix(b"\r").unwrap_or(text);
        Self { rest, literals: command.literals.iter(), utf8 }
    }

    /// Returns whether the client has enabled UTF-8.
    pub(super) fn allows_utf8(&self) -> bool {
        self.utf8
    }

    /// Returns the next byte without taking it; `None` at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Skips this text if it comes next, case-insensitively; returns whether it did.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let found = self.rest.get(..text.len()).is_some_and(|next| next.eq_ignore_ascii_case(text.as_bytes()));
        if found {
            self.rest = &self.rest[text.len()..];
        }
        found
    }

    /// Skips this text, case-insensitively; if it does not come next, the error is `why`.
    pub(super) fn expect(&mut self, text: &str, why: &'static str) -> Parsed<()> {
        if self.eat(text) { Ok(()) } else { bad(why) }
    }

    /// Skips one space; an error if there is none.
    pub(super) fn space(&mut self) -> Parsed<()> {
        self.expect(" ", "A space is missing")
    }

    /// Returns an error unless the command ends here.
    pub(super) fn end(&self) -> Parsed<()> {
        if self.rest.is_empty() { Ok(()) } else { bad("Unexpected text at the end of the command") }
    }

    /// Takes the longest run of bytes of this kind. The error is `why` if the run is empty, or not UTF-8.
    fn take_while(&mut self, kind: fn(u8) -> bool, why: &'static str) -> Parsed<&'a str> {
        let end = self.rest.iter().position(|byte| !kind(*byte)).unwrap_or(self.rest.len());
        let (take_while, rest) = self.rest.split_at(end);
        self.rest = rest;
        match std::str::from_utf8(take_while) {
            Ok(take_while) if !take_while.is_empty() => Ok(take_while),
            _ => bad(why),
        }
    }

    /// Takes the tag at the beginning of a command; an error if there is none.
    pub(super) fn tag(&mut self) -> Parsed<&'a str> {
        self.take_while(is_tag, "A command begins with a tag")
    }

    /// Takes an atom of at least one character, as the client wrote it; an error if there is none.
    pub(super) fn atom(&mut self) -> Parsed<&'a str> {
        self.take_while(is_atom_char, "An atom is missing")
    }

    /// Takes letters, digits, `.` and `-`, as in the names of commands, items and options, and returns them in upper
    /// case; an error if there are none.
    pub(super) fn word(&mut self) -> Parsed<String> {
        let kind = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        Ok(self.take_while(kind, "A word is missing")?.to_ascii_uppercase())
    }

    /// Takes a decimal number of at most 63 bits; an error if there is none, or it is larger. RFC 9051 §9 (number64).
    pub(super) fn number(&mut self) -> Parsed<u64> {
        let digits = self.take_while(|byte| byte.is_ascii_digit(), "A number is missing")?;
        let number = digits.parse().ok().filter(|number| *number <= i64::MAX as u64);
        number.ok_or(ParseError::Syntax("The number is too large"))
    }

    /// Takes a decimal number of at most 32 bits; an error if there is none, or it is larger.
    pub(super) fn number32(&mut self) -> Parsed<u32> {
        u32::try_from(self.number()?).or(bad("The number is too large"))
    }

    /// Takes a decimal number of at most 32 bits that is not 0; an error if there is none.
    pub(super) fn nonzero(&mut self) -> Parsed<NonZeroU32> {
        NonZeroU32::new(self.number32()?).ok_or(ParseError::Syntax("The number must not be 0"))
    }

    /// Takes a quoted string, and returns its bytes without quotes and escapes, or a literal. RFC 9051 §4.3.
    pub(super) fn string(&mut self) -> Parsed<Bytes> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => bad("A string is missing"),
        }
    }

    /// Takes a string in quotes, which come next, and returns its bytes without quotes and escapes; those that are not
    /// ASCII are accepted. An error without a closing quote on the same line.
    fn quoted(&mut self) -> Parsed<Bytes> {
        let mut text = Vec::new();
        let mut bytes = self.rest.iter().enumerate().skip(1);
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text.into());
                }
                b'\\' => match bytes.next() {
                    Some((_, escaped @ (b'"' | b'\\'))) => text.push(*escaped),
                    _ => return bad("Only quotes and backslashes can be escaped"),
                },
                b'\r' | b'\n' | 0 => break,
                byte => text.push(*byte),
            }
        }
        bad("A closing quote is missing")
    }

    /// Takes a literal, `{n}` included; an error if it holds NUL. RFC 9051 §4.3, §9 (CHAR8).
    pub(super) fn literal(&mut self) -> Parsed<Bytes> {
        let literal = self.literal8()?;
        let has_nul = beside_others(literal.len(), || memchr::memchr(0, &literal).is_some());
        if has_nul { bad("NUL is only allowed in a literal8") } else { Ok(literal) }
    }

    /// Takes a literal of any bytes, `{n}` included, and returns those that were read with the command; the caller has
    /// taken the `~`. An error if `n` is not the size of the next literal. RFC 9051 §4.3, §9.
    pub(super) fn literal8(&mut self) -> Parsed<Bytes> {
        self.expect("{", "A literal is missing")?;
        let bytes = self.number()?;
        self.eat("+");
        self.expect("}", "A closing brace is missing")?;
        if !(self.eat("\r\n") || self.eat("\n")) {
            return bad("A literal begins on a new line");
        }
        match self.literals.next() {
            Some(literal) if literal.len() as u64 == bytes => Ok(literal.clone()),
            _ => bad("A literal is missing"),
        }
    }

    /// Takes an atom, which may contain `]`, or a string, and returns its bytes. RFC 9051 §9 (astring).
    pub(super) fn astring(&mut self) -> Parsed<Bytes> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => Ok(Bytes::copy_from_slice(self.take_while(is_astring, "A string is missing")?.as_bytes())),
        }
    }

    /// Takes an astring, and returns it as text; an error if it is not UTF-8, or has NUL.
    pub(super) fn text(&mut self) -> Parsed<String> {
        utf8(self.astring()?)
    }

    /// Takes `NIL`, which is `None`, or a string, which must be UTF-8. RFC 9051 §9 (nstring).
    pub(super) fn nstring(&mut self) -> Parsed<Option<String>> {
        if self.eat("NIL") { Ok(None) } else { utf8(self.string()?).map(Some) }
    }

    /// Takes a mailbox name, decoded to UTF-8: `INBOX` in any case is `INBOX`, and what is neither UTF-8 nor
    /// modified UTF-7 is [`NO_NAME`]: the command is well-formed, but there is no such mailbox. RFC 9051 §9 (mailbox).
    pub(super) fn mailbox(&mut self) -> Parsed<String> {
        let name = self.astring()?;
        Ok(self.decode_name(name))
    }

    /// Takes a mailbox name with wildcards, decoded to UTF-8: `INBOX` in any case is `INBOX`, and what is neither
    /// UTF-8 nor modified UTF-7 is [`NO_NAME`], which matches no mailbox. RFC 9051 §9 (list-mailbox).
    pub(super) fn pattern(&mut self) -> Parsed<String> {
        let name = match self.peek() {
            Some(b'"' | b'{') => self.string()?,
            _ => Bytes::copy_from_slice(self.take_while(is_pattern, "A mailbox name is missing")?.as_bytes()),
        };
        Ok(self.decode_name(name))
    }

    /// Returns a name as the client sent it in UTF-8: `INBOX` in upper case, modified UTF-7 decoded unless the client
    /// has enabled UTF-8 or the name is not ASCII. What is neither UTF-8 nor modified UTF-7 becomes [`NO_NAME`].
    fn decode_name(&self, name: Bytes) -> String {
        let Ok(name) = utf8(name) else { return NO_NAME.to_owned() };
        if name.eq_ignore_ascii_case("INBOX") {
            return "INBOX".to_owned();
        }
        // RFC 3501 §5.1 forbids 8-bit names; they are taken as UTF-8.
        if self.utf8 || !name.is_ascii() {
            return name;
        }
        utf7_decode(&name).unwrap_or_else(|| NO_NAME.to_owned())
    }

    /// Takes a set of numbers as written, `*` included, or `$` alone. RFC 9051 §9 (sequence-set), RFC 5182 §2.1.
    pub(super) fn set(&mut self) -> Parsed<SequenceSet> {
        if self.eat("$") {
            return Ok(SequenceSet::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let from = self.set_number()?;
            let to = if self.eat(":") { self.set_number()? } else { from };
            ranges.push((from, to));
            if !self.eat(",") {
                return Ok(SequenceSet::Ranges(ranges));
            }
        }
    }

    /// Takes a number of a set; `None` is `*`, and 0 is an error.
    fn set_number(&mut self) -> Parsed<Number> {
        if self.eat("*") { Ok(None) } else { self.nonzero().map(Some) }
    }

    /// Takes a range like `1:9` or `-1:-9`: both bounds from the beginning, or both from the end, and neither 0.
    /// RFC 9394 §4 (partial-range).
    pub(super) fn window(&mut self) -> Parsed<Window> {
        let from_end = self.eat("-");
        let from = self.nonzero()?;
        self.expect(if from_end { ":-" } else { ":" }, "A range like 1:9 or -1:-9 is missing")?;
        Ok(Window { from_end, bounds: (from, self.nonzero()?) })
    }

    /// Takes a list in parentheses, of which `item` takes one item at each call; takes the single spaces between them
    /// itself. There may be none.
    pub(super) fn list(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.expect("(", "A list in parentheses is missing")?;
        if self.eat(")") {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.eat(")") {
                return Ok(());
            }
            self.space()?;
        }
    }
}

/// Returns the bytes as text; an error if they are not UTF-8 or contain NUL.
fn utf8(bytes: Bytes) -> Parsed<String> {
    match String::from_utf8(bytes.into()) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => bad("The text is not UTF-8"),
    }
}
