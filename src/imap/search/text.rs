//! A message as people read it: header fields and text parts, decoded. RFC 9051 §6.4.4.

use std::borrow::Cow;
use std::cell::OnceCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::parsers::MessageStream;
use memchr::memmem;

use crate::imap::sort::Standing;
use crate::imap::structure::{Field, Part, PartContent, Structure, decode_body, fields};
use crate::imap::value::SentDate;
use crate::mail::{Letter, decode_base64};

/// RFC 8970 §3.1: no more is told.
const PREVIEW_CHARS: usize = 200;
/// Longer names of charsets are none.
const CHARSET_OCTETS_MAX: usize = 64;
/// So much of a part is read for it; whole lines of base64, where they have 76 characters.
const PREVIEW_OCTETS: u32 = 78 * 840;

/// A message to search in. What is decoded once serves all keys.
pub struct Text<'a> {
    letter: &'a Letter,
    structure: &'a Structure,
    /// All text of the body, folded.
    body: OnceCell<String>,
}

impl<'a> Text<'a> {
    /// Takes a message with its structure.
    pub fn new(letter: &'a Letter, structure: &'a Structure) -> Self {
        Self { letter, structure, body: OnceCell::new() }
    }

    /// What decides about its place among others.
    pub(super) fn standing(&self) -> Standing {
        Standing::of(self, self.structure)
    }

    /// When it was sent, in seconds since 1970. RFC 5256 §2.2.
    pub(crate) fn sent_at(&self) -> Option<i64> {
        self.date().map(|date| date.timestamp)
    }

    /// The beginning of what there is to read, spaces between words. RFC 8970 §4.
    pub(crate) fn preview(&self) -> String {
        let mut preview = String::new();
        let text = first_text(&self.structure.part).map(|part| self.decoded_part(&beginning(part))).unwrap_or_default();
        let mut chars = 0;
        for word in text.split_whitespace() {
            let space = if preview.is_empty() { "" } else { " " };
            preview.push_str(space);
            preview.push_str(word);
            chars += space.len() + word.chars().count();
            if PREVIEW_CHARS <= chars {
                break;
            }
        }
        preview.chars().filter(|char| !char.is_control()).take(PREVIEW_CHARS).collect()
    }

    /// The day in the Date field, as its writer saw it: RFC 9051 §6.4.4 disregards time and zone.
    pub(crate) fn sent(&self) -> Option<Date> {
        self.date().map(|date| date.day)
    }

    fn date(&self) -> Option<SentDate> {
        SentDate::parse(self.structure.envelope.date.as_deref()?)
    }

    pub(super) fn header_holds(&self, name: &str, words: &str) -> bool {
        let words = fold(words);
        self.fields().filter(|field| field.is(name)).any(|field| decoded(&field).contains(&words))
    }

    pub(super) fn body_holds(&self, words: &str) -> bool {
        self.body().contains(&fold(words))
    }

    /// Whether it is in the header or in the body.
    pub(super) fn holds(&self, words: &str) -> bool {
        let folded = fold(words);
        self.fields().any(|field| line(&field).contains(&folded)) || self.body().contains(&folded)
    }

    /// Names and values of all header fields, the values decoded and folded.
    pub(crate) fn each_field(&self, mut take: impl FnMut(&[u8], &str)) {
        self.fields().for_each(|field| take(field.name, &decoded(&field)));
    }

    /// Names and values of all header fields, as they stand there.
    pub(crate) fn each_raw_field(&self, mut take: impl FnMut(&[u8], &str)) {
        self.fields().for_each(|field| take(field.name, &String::from_utf8_lossy(field.value)));
    }

    /// All that [`Text::holds`] looks into, piece by piece.
    pub(super) fn each(&self, mut take: impl FnMut(&str)) {
        self.fields().for_each(|field| take(&line(&field)));
        take(self.body());
    }

    /// How many octets the text takes in the message, before anything is decoded.
    pub(super) fn raw_len(&self) -> usize {
        fn of(part: &Part) -> usize {
            match &part.content {
                PartContent::Multipart(parts) => parts.iter().map(of).sum(),
                PartContent::Message(message) => message.part.header.len() + of(&message.part),
                PartContent::Leaf if part.kind == "text" => part.body.len(),
                PartContent::Leaf => 0,
            }
        }
        self.letter.trace.len() + self.structure.part.header.len() + of(&self.structure.part)
    }

    /// About how many octets there are to look into.
    pub(super) fn len(&self) -> usize {
        self.letter.trace.len() + self.structure.part.header.len() + self.body().len()
    }

    fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let header = &self.letter.content.bytes()[self.structure.part.header.range()];
        fields(&self.letter.trace).chain(fields(header))
    }

    fn body(&self) -> &str {
        self.body.get_or_init(|| {
            let mut text = String::new();
            self.collect(&self.structure.part, &mut text);
            text
        })
    }

    /// Appends the text of a part and of the parts in it.
    fn collect(&self, part: &Part, text: &mut String) {
        let content = self.letter.content.bytes();
        match &part.content {
            PartContent::Multipart(parts) => parts.iter().for_each(|part| self.collect(part, text)),
            PartContent::Message(message) => {
                for field in fields(&content[message.part.header.range()]) {
                    text.push_str(&decoded(&field));
                    text.push('\n');
                }
                self.collect(&message.part, text);
            }
            PartContent::Leaf if part.kind == "text" => {
                text.push_str(&fold(&self.decoded_part(part)));
                text.push('\n');
            }
            PartContent::Leaf => {}
        }
    }

    /// A part of text as it is read: without its encodings, HTML without its tags.
    fn decoded_part(&self, part: &Part) -> String {
        let content = self.letter.content.bytes();
        let body = decode_body(part, content).unwrap_or_else(|| content[part.body.range()].into());
        let text = in_charset(part.parameter("charset"), &body);
        if part.subtype == "html" { html_to_text(&text) } else { text }
    }
}

/// The part without what comes too late for a preview.
fn beginning(part: &Part) -> Part {
    let mut part = part.clone();
    part.body.end = part.body.end.min(part.body.start + PREVIEW_OCTETS);
    part
}

/// The first part that is text.
fn first_text(part: &Part) -> Option<&Part> {
    match &part.content {
        PartContent::Multipart(parts) => parts.iter().find_map(first_text),
        PartContent::Message(message) => first_text(&message.part),
        PartContent::Leaf => Some(part).filter(|part| part.kind == "text"),
    }
}

/// A field as it is looked into.
fn line(field: &Field<'_>) -> String {
    format!("{}: {}", fold(&String::from_utf8_lossy(field.name)), decoded(field))
}

/// Letters of either case are the same. RFC 9051 §6.4.4.
pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// The field's value with encoded words decoded (RFC 2047), folded.
fn decoded(field: &Field<'_>) -> String {
    // The parser ends a field at a line end.
    let line = [&with_sound_words(field.value.trim_ascii()), &b"\n"[..]].concat();
    fold(MessageStream::new(&line).parse_unstructured().as_text().unwrap_or_default())
}

/// The value with the broken ones among its encoded words (RFC 2047 §2) written anew: padding that is missing, or an escape
/// that is none, would cost the parser letters.
fn with_sound_words(value: &[u8]) -> Cow<'_, [u8]> {
    let (mut sound, mut rest) = (Vec::new(), value);
    while let Some(at) = memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at(at + 2);
        sound.extend_from_slice(before);
        rest = word;
        let Some((prefix, encoding)) = word_prefix(word) else { continue };
        let Some(len) = memmem::find(&word[prefix..], b"?=") else { break };
        let text = &word[prefix..prefix + len];
        sound.extend_from_slice(&word[..prefix]);
        match encoding {
            b'B' | b'b' => sound.extend_from_slice(STANDARD.encode(decode_base64(text)).as_bytes()),
            _ => sound.extend_from_slice(&with_sound_escapes(text)),
        }
        rest = &word[prefix + len..];
    }
    if sound.is_empty() {
        return value.into();
    }
    sound.extend_from_slice(rest);
    sound.into()
}

/// The length of `utf-8?B?` at the beginning, and its letter.
fn word_prefix(word: &[u8]) -> Option<(usize, u8)> {
    let charset = word.iter().take(CHARSET_OCTETS_MAX).position(|byte| *byte == b'?')?;
    match word.get(charset + 1..charset + 3)? {
        [encoding @ (b'B' | b'b' | b'Q' | b'q'), b'?'] => Some((charset + 3, *encoding)),
        _ => None,
    }
}

/// A `=` that begins no escape is written as one.
fn with_sound_escapes(text: &[u8]) -> Vec<u8> {
    let mut sound = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        sound.push(*byte);
        let is_escape = || text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if *byte == b'=' && !is_escape() {
            sound.extend_from_slice(b"3D");
        }
    }
    sound
}

fn in_charset(charset: Option<&str>, octets: &[u8]) -> String {
    let charset = charset.filter(|name| !name.is_empty());
    // The decoder goes character by character.
    let decoder = match charset {
        Some(name) if octets.is_ascii() && has_ascii(name) => None,
        Some(name) => charset_decoder(name.as_bytes()),
        None => None,
    };
    match decoder {
        Some(decode) => decode(octets),
        // To look whether all is well first takes a fraction of the time.
        None => std::str::from_utf8(octets).map_or_else(|_| String::from_utf8_lossy(octets).into(), str::to_owned),
    }
}

/// Whether octets that are ASCII say the same in this charset, as they do not where they shift to others (ISO-2022).
fn has_ascii(charset: &str) -> bool {
    let begins = |name: &str| charset.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    begins("us-ascii") || begins("utf-8") || begins("iso-8859-") || begins("windows-125")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_read_the_same_with_and_without_its_decoder() {
        let octets: Vec<u8> = (0..0x80).collect();
        for charset in ["US-ASCII", "utf-8", "ISO-8859-1", "iso-8859-15", "Windows-1252", "windows-1251", "koi8-r"] {
            let decoded = charset_decoder(charset.as_bytes()).map(|decode| decode(&octets));
            assert!(decoded.is_none_or(|decoded| decoded == in_charset(Some(charset), &octets)), "{charset}");
        }
        assert_eq!(in_charset(Some("ISO-2022-JP"), b"\x1b$B$\"\x1b(B"), "\u{3042}", "these are shifted");
        assert_eq!(in_charset(Some("iso-8859-1"), b"caf\xe9"), "caf\u{e9}");
    }

    #[test]
    fn encoded_words_that_are_broken_are_decoded_as_far_as_they_go() {
        for (value, wanted) in [
            ("=?utf-8?B?Q2Fmw6k=?= au lait", "caf\u{e9} au lait"),
            ("=?utf-8?B?Q2Fmw6k?= au lait", "caf\u{e9} au lait"),
            ("=?utf-8?B?Q2*Fmw6k=?= au lait", "caf\u{e9} au lait"),
            ("=?utf-8?Q?Caf=C3=A9_=XY?= au lait", "caf\u{e9} =xy au lait"),
            ("=?utf-8?Q?Caf=C3=A9_1=2?= au lait", "caf\u{e9} 1=2 au lait"),
        ] {
            let field = Field { name: b"Subject", value: value.as_bytes(), whole: b"" };
            assert_eq!(decoded(&field), wanted, "{value}");
        }
    }
}
