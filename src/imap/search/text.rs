//! The decoded text of a message: header fields and text parts. RFC 9051 §6.4.4.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::parsers::MessageStream;
use memchr::memmem;

use crate::imap::sort::SortKeys;
use crate::imap::structure::{
    EnvelopeAddress, Field, Part, PartContent, Structure, addresses, decode_body, fields, unfold,
};
use crate::imap::value::SentDate;
use crate::mail::{Message, decode_base64};

/// Longest preview. RFC 8970 §3.1.
const PREVIEW_CHARS: usize = 200;
/// Longest name of a charset.
const MAX_CHARSET_BYTES: usize = 64;
/// Bytes of a part that are decoded for a preview: whole lines of base64, with 76 characters each.
const PREVIEW_BYTES: u32 = 78 * 840;

/// The text of a message; it is decoded once for all keys.
pub struct Text<'a> {
    message: &'a Message,
    structure: &'a Structure,
    /// The text of the body, case-folded.
    body: OnceCell<String>,
}

impl<'a> Text<'a> {
    /// Prepares the text of a message with this structure; nothing is decoded yet.
    pub fn new(message: &'a Message, structure: &'a Structure) -> Self {
        Self { message, structure, body: OnceCell::new() }
    }

    /// Computes the keys for SORT and THREAD.
    pub(super) fn sort_keys(&self) -> SortKeys {
        SortKeys::of(self, self.structure)
    }

    /// Returns when the message was sent, by its first Date field, in seconds since 1970; `None` if that is missing or
    /// invalid. RFC 5256 §2.2.
    pub(crate) fn sent_at(&self) -> Option<i64> {
        self.date().map(|date| date.timestamp)
    }

    /// Returns the beginning of the first text part, not case-folded, with single spaces between words and without
    /// control characters: at most `PREVIEW_CHARS`; empty if there is no text part. RFC 8970 §4.
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

    /// Returns the day in the first Date field, in the time zone of the field, for `SENTON` and similar keys; `None`
    /// without a valid day. RFC 9051 §6.4.4 disregards time and time zone.
    pub(crate) fn sent(&self) -> Option<Date> {
        self.date().map(|date| date.day)
    }

    /// Parses the first Date field; `None` if it is missing, or has no valid day.
    fn date(&self) -> Option<SentDate> {
        SentDate::parse(self.structure.envelope.date.as_deref()?)
    }

    /// Returns whether a header field of this name, a trace line included, contains the words, in any case; for empty
    /// words, whether there is such a field.
    pub(super) fn header_contains(&self, name: &str, words: &str) -> bool {
        let words = fold(words);
        self.fields().filter(|field| field.is(name)).any(|field| searched(&field).contains(&words))
    }

    /// Returns whether the text parts, or the headers of attached messages, contain the words, in any case: the key
    /// `BODY`.
    pub(super) fn body_contains(&self, words: &str) -> bool {
        self.body().contains(&fold(words))
    }

    /// Returns whether a line of the header, as in `subject: hello`, or what [`Text::body_contains`] searches, contains
    /// the words, in any case: the key `TEXT`.
    pub(super) fn contains(&self, words: &str) -> bool {
        let folded = fold(words);
        self.fields().any(|field| line(&field).contains(&folded)) || self.body().contains(&folded)
    }

    /// Visits names and values of all header fields, trace lines included; the values are decoded and case-folded, and
    /// those of address fields followed by the addresses that are not literally in them, with [`VALUE_END`] before
    /// each.
    pub(crate) fn each_searched_field(&self, mut visit: impl FnMut(&[u8], &str)) {
        self.fields().for_each(|field| visit(field.name, &searched(&field)));
    }

    /// Visits names and values of all header fields, trace lines included: the names as they are in the message, the
    /// values decoded and case-folded.
    pub(crate) fn each_field(&self, mut visit: impl FnMut(&[u8], &str)) {
        self.fields().for_each(|field| visit(field.name, &decoded(&field)));
    }

    /// Visits names and values of all header fields, trace lines included, the values as they are in the message, with
    /// their folding; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn each_raw_field(&self, mut visit: impl FnMut(&[u8], &str)) {
        self.fields().for_each(|field| visit(field.name, &String::from_utf8_lossy(field.value)));
    }

    /// Visits all text that [`Text::contains`] searches, case-folded and piece by piece: each header field as `name:
    /// value`, then the body.
    pub(super) fn for_each_text(&self, mut visit: impl FnMut(&str)) {
        self.fields().for_each(|field| visit(&line(&field)));
        visit(self.body());
    }

    /// Returns the number of bytes, as they are stored, of the headers and text parts of the message and of the
    /// messages attached to it: what a search would have to decode.
    pub(super) fn raw_len(&self) -> usize {
        fn of(part: &Part) -> usize {
            match &part.content {
                PartContent::Multipart(parts) => parts.iter().map(of).sum(),
                PartContent::Message(message) => message.part.header.len() + of(&message.part),
                PartContent::Leaf if part.kind == "text" => part.body.len(),
                PartContent::Leaf => 0,
            }
        }
        self.message.trace.len() + self.structure.part.header.len() + of(&self.structure.part)
    }

    /// Returns about the number of bytes that [`Text::for_each_text`] visits: of the trace lines and the header as they
    /// are stored, and of the decoded body. Decodes the body.
    pub(super) fn len(&self) -> usize {
        self.message.trace.len() + self.structure.part.header.len() + self.body().len()
    }

    /// Iterates over the trace lines and the fields of the header; not over those of attached messages.
    fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let header = &self.message.content.bytes()[self.structure.part.header.range()];
        fields(&self.message.trace).chain(fields(header))
    }

    /// Returns the text parts, HTML without its tags, and the values of the headers of attached messages, all decoded
    /// and case-folded, each followed by a line end; decoded by the first call, and kept.
    fn body(&self) -> &str {
        self.body.get_or_init(|| {
            let mut text = String::new();
            self.collect(&self.structure.part, &mut text);
            text
        })
    }

    /// Appends the case-folded text of a part and its children to `text`, for [`Text::body`]; of an attached message
    /// also the values of its header fields.
    fn collect(&self, part: &Part, text: &mut String) {
        let content = self.message.content.bytes();
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

    /// Returns the decoded text of a text part, not case-folded; HTML without its tags. A body in an unknown encoding
    /// is taken as it is.
    fn decoded_part(&self, part: &Part) -> String {
        let content = self.message.content.bytes();
        let body = decode_body(part, content).unwrap_or_else(|| content[part.body.range()].into());
        let text = in_charset(part.parameter("charset"), &body);
        if part.subtype == "html" { html_to_text(&text) } else { text }
    }
}

/// Returns the part with its body cut to its first `PREVIEW_BYTES`, still encoded, so that a preview decodes no more.
fn beginning(part: &Part) -> Part {
    let mut part = part.clone();
    part.body.end = part.body.end.min(part.body.start + PREVIEW_BYTES);
    part
}

/// Returns the first text part in this part, itself included, also one of an attached message; `None` if there is none.
fn first_text(part: &Part) -> Option<&Part> {
    match &part.content {
        PartContent::Multipart(parts) => parts.iter().find_map(first_text),
        PartContent::Message(message) => first_text(&message.part),
        PartContent::Leaf => Some(part).filter(|part| part.kind == "text"),
    }
}

/// Returns a field as TEXT searches it: `name: value`, both case-folded, the value decoded, and that of an address
/// field followed by the addresses that are not literally in it, with [`VALUE_END`] before each.
fn line(field: &Field<'_>) -> String {
    format!("{}: {}", fold(&String::from_utf8_lossy(field.name)), searched(field))
}

/// The fields with addresses. RFC 5322 §3.6.2, §3.6.3, §3.6.6.
const ADDRESS_FIELDS: [&str; 11] = [
    "From",
    "To",
    "Cc",
    "Bcc",
    "Sender",
    "Reply-To",
    "Resent-From",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Resent-Sender",
];
/// Ends each value; a search text cannot contain it (RFC 9051 §9, CHAR8).
pub(crate) const VALUE_END: char = '\0';

/// Returns the value of a field, decoded and case-folded; of an address field also, behind [`VALUE_END`] each, the
/// addresses in it that are not literally there: those with comments or spaces in them, or in quotes. RFC 9051 §6.4.4
/// leaves open how FROM compares.
fn searched(field: &Field<'_>) -> String {
    let mut value = decoded(field);
    if !ADDRESS_FIELDS.iter().any(|name| field.is(name)) {
        return value;
    }
    let is_between = |char: char| char.is_whitespace() || "<>()\",;".contains(char);
    // A search in the value for each of its addresses would take a time that grows with the square of its length.
    let words: BTreeSet<_> = value.split(is_between).map(str::to_owned).collect();
    for EnvelopeAddress { local, domain, .. } in addresses(&unfold(field.value)) {
        let (Some(local), Some(domain)) = (local, domain) else { continue };
        let address = fold(&format!("{local}@{domain}"));
        if !domain.is_empty() && !words.contains(&address) {
            value.push(VALUE_END);
            value.push_str(&address);
        }
    }
    value
}

/// Case-folds a text for comparison: to lower case. RFC 9051 §6.4.4.
pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Returns the value of a field with encoded words decoded (RFC 2047), case-folded.
fn decoded(field: &Field<'_>) -> String {
    // The parser needs a line end after the field.
    let line = [&repair_encoded_words(field.value.trim_ascii()), &b"\n"[..]].concat();
    fold(MessageStream::new(&line).parse_unstructured().as_text().unwrap_or_default())
}

/// Returns the value of a field with its invalid encoded words (RFC 2047 §2) encoded anew. The parser would lose
/// characters at missing padding or at an invalid escape.
fn repair_encoded_words(value: &[u8]) -> Cow<'_, [u8]> {
    let (mut repaired, mut rest) = (Vec::new(), value);
    while let Some(at) = memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at(at + 2);
        repaired.extend_from_slice(before);
        rest = word;
        let Some((prefix, encoding)) = word_prefix(word) else { continue };
        let Some(len) = memmem::find(&word[prefix..], b"?=") else { break };
        let text = &word[prefix..prefix + len];
        repaired.extend_from_slice(&word[..prefix]);
        match encoding {
            b'B' | b'b' => repaired.extend_from_slice(STANDARD.encode(decode_base64(text)).as_bytes()),
            _ => repaired.extend_from_slice(&repair_escapes(text)),
        }
        rest = &word[prefix + len..];
    }
    if repaired.is_empty() {
        return value.into();
    }
    repaired.extend_from_slice(rest);
    repaired.into()
}

/// Returns the length of a prefix such as `utf-8?B?`, and its encoding (`B` or `Q`, in any case); `None` if the word,
/// behind its `=?`, does not begin with one.
fn word_prefix(word: &[u8]) -> Option<(usize, u8)> {
    let charset = word.iter().take(MAX_CHARSET_BYTES).position(|byte| *byte == b'?')?;
    match word.get(charset + 1..charset + 3)? {
        [encoding @ (b'B' | b'b' | b'Q' | b'q'), b'?'] => Some((charset + 3, *encoding)),
        _ => None,
    }
}

/// Escapes each `=` in the text of an encoded word `Q` that does not begin an escape of quoted-printable, as `=3D`.
fn repair_escapes(text: &[u8]) -> Vec<u8> {
    let mut repaired = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        repaired.push(*byte);
        let is_escape = || text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if *byte == b'=' && !is_escape() {
            repaired.extend_from_slice(b"3D");
        }
    }
    repaired
}

/// Decodes bytes of this charset to text. If the charset is missing, empty or unknown, they are UTF-8, with U+FFFD for
/// invalid ones.
fn in_charset(charset: Option<&str>, bytes: &[u8]) -> String {
    let charset = charset.filter(|name| !name.is_empty());
    // The decoder works character by character, so ASCII bypasses it.
    let decoder = match charset {
        Some(name) if bytes.is_ascii() && has_ascii(name) => None,
        Some(name) => charset_decoder(name.as_bytes()),
        None => None,
    };
    match decoder {
        Some(decode) => decode(bytes),
        // The validity check first is several times faster.
        None => std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into(), str::to_owned),
    }
}

/// Returns whether ASCII bytes are known to mean ASCII in this charset; not so in charsets with shift sequences
/// (ISO-2022), and `false` for all that are not known.
fn has_ascii(charset: &str) -> bool {
    let begins = |name: &str| charset.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    begins("us-ascii") || begins("utf-8") || begins("iso-8859-") || begins("windows-125")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charset_decoders_agree_with_the_ascii_shortcut() {
        let bytes: Vec<u8> = (0..0x80).collect();
        for charset in ["US-ASCII", "utf-8", "ISO-8859-1", "iso-8859-15", "Windows-1252", "windows-1251", "koi8-r"] {
            let decoded = charset_decoder(charset.as_bytes()).map(|decode| decode(&bytes));
            assert!(decoded.is_none_or(|decoded| decoded == in_charset(Some(charset), &bytes)), "{charset}");
        }
        assert_eq!(in_charset(Some("ISO-2022-JP"), b"\x1b$B$\"\x1b(B"), "\u{3042}", "shift sequences are decoded");
        assert_eq!(in_charset(Some("iso-8859-1"), b"caf\xe9"), "caf\u{e9}");
    }

    #[test]
    fn encoded_words_when_invalid_are_decoded_as_far_as_possible() {
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
