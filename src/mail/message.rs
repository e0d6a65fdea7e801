//! The bytes of a message: trace fields, which each hop adds on top, and the content below, which no hop changes.
//!
//! ```text
//! Return-Path: <me@163.test>        \
//! Received: from mx.163.test ...     |  trace: small, one allocation per hop
//! Received: from mua ...            /
//! From: me@163.test                 \
//! Subject: hello                     |  content: one buffer, shared by all hops
//!                                    |
//! Hello!                            /
//! ```

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{Address, JourneyId, QueueId};

/// The part of a message that stays the same at every hop, with its hash. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct Content {
    bytes: Bytes,
    hash: blake3::Hash,
    /// The id under which the store holds it; 0 while that is not known.
    stored_id: Arc<AtomicI64>,
}

impl PartialEq for Content {
    /// Whether the hashes are equal, so that the bytes are; those are not compared.
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Content {}

impl Content {
    /// Takes the bytes and computes their hash.
    pub fn new(bytes: Bytes) -> Self {
        Self { hash: blake3::hash(&bytes), bytes, stored_id: Arc::default() }
    }

    /// Takes bytes that were read from the store, and the hash stored with them, which is neither computed again nor
    /// checked.
    pub fn stored(bytes: Bytes, hash: [u8; 32]) -> Self {
        Self { bytes, hash: hash.into(), stored_id: Arc::default() }
    }

    /// The id under which the store held this content or a clone of it; `None` before [`Content::set_stored_id`]. The
    /// store may have deleted it since.
    pub fn stored_id(&self) -> Option<i64> {
        Some(self.stored_id.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// Records the id under which the store holds this content, for all clones.
    pub fn set_stored_id(&self, id: i64) {
        self.stored_id.store(id, Ordering::Relaxed);
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header fields, each with its line end: all before the first empty line, or all if there is none.
    pub fn header(&self) -> &[u8] {
        if self.bytes.starts_with(b"\r\n") {
            return b"";
        }
        let end = memchr::memmem::find(&self.bytes, b"\r\n\r\n").map_or(self.bytes.len(), |at| at + 2);
        &self.bytes[..end]
    }

    /// BLAKE3 hash of the bytes, by which the store finds equal contents; of [`Content::stored`], the hash that was
    /// given.
    pub fn hash(&self) -> &blake3::Hash {
        &self.hash
    }
}

/// Name of the field that a host adds when it forwards a message by one of its aliases. RFC 9228 §4.
const DELIVERED_TO: &[u8] = b"delivered-to";

/// A message with its trace fields on top. Clones share both parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `Received`, `Return-Path` and `Delivered-To` lines, newest first, each ended by CR LF. RFC 5321 §4.4, RFC 9228
    /// §4.
    pub trace: Bytes,
    /// Everything below the trace.
    pub content: Content,
}

impl Message {
    /// Splits a received message after its leading trace fields, and hashes the content; both parts share the buffer.
    pub fn new(mut bytes: Bytes) -> Self {
        let trace = bytes.split_to(trace_len(&bytes));
        Self { trace, content: Content::new(bytes) }
    }

    /// Returns the message with one more trace field on top; `field` is `Name: value`, folded, without the last CR LF.
    pub fn with_header(&self, field: &str) -> Self {
        let mut trace = BytesMut::with_capacity(field.len() + 2 + self.trace.len());
        trace.put_slice(field.as_bytes());
        trace.put_slice(b"\r\n");
        trace.put_slice(&self.trace);
        Self { trace: trace.freeze(), content: self.content.clone() }
    }

    /// Length in bytes, including the trace.
    pub fn len(&self) -> usize {
        self.trace.len() + self.content.bytes.len()
    }

    /// Whether both the trace and the content are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message as two shared buffers, in order.
    pub fn pieces(&self) -> [Bytes; 2] {
        [self.trace.clone(), self.content.bytes.clone()]
    }

    /// The message as one buffer. Copies unless one part is empty.
    pub fn to_bytes(&self) -> Bytes {
        match (self.trace.is_empty(), self.content.bytes.is_empty()) {
            (true, _) => self.content.bytes.clone(),
            (_, true) => self.trace.clone(),
            _ => [self.trace.as_ref(), self.content.bytes.as_ref()].concat().into(),
        }
    }

    /// Number of `Received` fields in the trace, by which RFC 5321 §6.3 detects loops.
    pub fn hops(&self) -> usize {
        self.trace.split(|byte| *byte == b'\n').filter(|line| is_field(line, b"received")).count()
    }

    /// The trimmed value of the first header field below the trace with this name, in any case; of a folded field, that
    /// of its first line only. `None` if there is no such field, or its line is not UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        let header = self.content.bytes().split(|byte| *byte == b'\n').take_while(|line| !matches!(line, [] | [b'\r']));
        let line = header.into_iter().find(|line| is_field(line, name.as_bytes()))?;
        Some(std::str::from_utf8(line).ok()?.split_once(':')?.1.trim())
    }

    /// The aliases by which the message was forwarded, newest first, from the `Delivered-To` fields of the trace;
    /// values that are no address are left out. RFC 9228 §4.
    pub fn delivered_to(&self) -> impl Iterator<Item = Address> {
        let values = self.trace.split(|byte| *byte == b'\n').filter(|line| is_field(line, DELIVERED_TO));
        let values = values.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
        values.filter_map(|(_, address)| address.trim().parse().ok())
    }

    /// The journey in the newest `Received` field of a host of this world: that of the first [`QueueId`] after a word
    /// `id` in the trace. `None` without one, or if the trace is not UTF-8.
    pub fn journey(&self) -> Option<JourneyId> {
        let trace = std::str::from_utf8(&self.trace).ok()?;
        let mut words = trace.split_ascii_whitespace();
        while let Some(word) = words.next() {
            if word == "id"
                && let Some(id) = words.next()
                && let Ok(id) = id.trim_end_matches(';').parse::<QueueId>()
            {
                return Some(id.journey);
            }
        }
        None
    }
}

/// Length in bytes of the leading `Received`, `Return-Path` and `Delivered-To` fields, including their folded lines; a
/// line with a lone CR or LF, or without CR LF at its end, ends them.
fn trace_len(message: &[u8]) -> usize {
    let (mut end, mut at) = (0, 0);
    while let Some(len) = message[at..].windows(2).position(|pair| pair == b"\r\n") {
        let line = &message[at..at + len + 2];
        let continues = at != 0 && matches!(line[0], b' ' | b'\t');
        let is_trace = [b"received".as_slice(), b"return-path", DELIVERED_TO].iter().any(|name| is_field(line, name));
        // A line end that is none would hide other fields in it.
        let is_whole = || memchr::memchr2(b'\r', b'\n', &line[..len]).is_none();
        if !(continues || is_trace) || !is_whole() {
            break;
        }
        at += line.len();
        end = at;
    }
    end
}

/// Whether a line starts with this field name, in any case, and a colon, perhaps after white space.
fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.len() > name.len()
        && line[..name.len()].eq_ignore_ascii_case(name)
        && line[name.len()..].trim_ascii_start().starts_with(b":")
}

/// The message with every line, including the last, ended by CR LF, as SMTP needs it. RFC 5321 §2.3.8.
///
/// The flag says whether a lone CR or LF was replaced.
///
/// ```
/// use postroad::mail::normalize;
/// assert_eq!(normalize(b"a\nb\r\n"), (b"a\r\nb\r\n".as_slice().into(), true));
/// ```
pub fn normalize(message: &[u8]) -> (Cow<'_, [u8]>, bool) {
    let mut out: Vec<u8> = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = message[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let end = at + found;
        if message[end..].starts_with(b"\r\n") {
            at = end + 2;
            continue;
        }
        if out.is_empty() {
            out.reserve(message.len() + message.len() / 16);
        }
        out.extend_from_slice(&message[copied..end]);
        out.extend_from_slice(b"\r\n");
        at = end + 1;
        copied = at;
    }
    let lone = copied != 0;
    let ended = message.ends_with(b"\n") || message.ends_with(b"\r") || message.is_empty();
    if !lone && ended {
        return (message.into(), false);
    }
    out.extend_from_slice(&message[copied..]);
    if !ended {
        out.extend_from_slice(b"\r\n");
    }
    (out.into(), lone)
}

/// How to treat a message with a CR or LF that is not part of a CR LF. RFC 5321 §2.3.8 forbids them; servers that
/// treat them differently allow a second message to be smuggled inside the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BareLineEnds {
    /// Refuse the message.
    #[default]
    Refuse,
    /// Replace each by CR LF and accept the message.
    Normalize,
    /// Accept the message unchanged. Only CR LF ends a line.
    Keep,
}

/// Whether the text has a CR or LF that is not part of a CR LF. RFC 5321 §2.3.8.
pub fn has_bare_line_end(text: &[u8]) -> bool {
    let ([first, ..], [.., last]) = (text, text) else { return false };
    // Pairs of adjacent bytes are tested independently and without branches, so that the compiler can vectorize the
    // loop.
    let is_bare = |(before, byte): (&u8, &u8)| (*before == b'\r') != (*byte == b'\n');
    let has_bare = |pairs: (&[u8], &[u8])| pairs.0.iter().zip(pairs.1).fold(false, |found, pair| found | is_bare(pair));
    *first == b'\n' || *last == b'\r' || text[..text.len() - 1].chunks(PAIRS).zip(text[1..].chunks(PAIRS)).any(has_bare)
}

/// The longest header that is accepted, in bytes; Exim's default (`header_maxsize`). Many look through a header as a
/// whole.
const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// Whether the header of a message, with its trace, is longer than 1 MiB, as no real one is.
pub fn has_long_header(message: &[u8]) -> bool {
    let Some(start) = message.get(..MAX_HEADER_BYTES) else { return false };
    memchr::memmem::find(start, b"\n\r\n").or_else(|| memchr::memmem::find(start, b"\n\n")).is_none()
        && !start.starts_with(b"\r\n")
}

/// Number of pairs that are tested before an early exit.
const PAIRS: usize = 4096;

/// The message with each CR LF replaced by LF, as text files of Unix have it; a lone CR stays.
pub fn with_line_feeds(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len());
    for (at, byte) in message.iter().enumerate() {
        if !(*byte == b'\r' && message.get(at + 1) == Some(&b'\n')) {
            bytes.push(*byte);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &'static str) -> Message {
        Message::new(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn message_with_folded_trace_fields_splits_after_them() {
        let message = message(
            "Return-Path: <a@b>\r\nReceived: from x\r\n\tby y; now\r\nreceived : z\r\nSubject: s\r\nReceived: deep\r\n\r\nhi\r\n",
        );
        assert!(message.trace.ends_with(b"received : z\r\n"));
        assert!(message.content.bytes().starts_with(b"Subject: s\r\n"));
        assert_eq!(message.hops(), 2);
    }

    #[test]
    fn message_without_complete_trace_field_has_an_empty_trace() {
        for text in
            ["", "\r\n", "Received: cut", "Received: a\nFrom: b\r\n\r\n", " folded\r\nx: y\r\n", "Receivedx: y\r\n"]
        {
            assert_eq!(message(text).trace.len(), 0, "{text:?}");
            assert_eq!(message(text).to_bytes(), text);
        }
    }

    #[test]
    fn with_header_when_foreign_fields_are_above_keeps_the_journey() {
        let id = JourneyId::from_random(42).queue_id(7);
        let stamped = message("Subject: s\r\n\r\nhi\r\n")
            .with_header(&format!("Received: from a\r\n\tby b with ESMTP id {id};\r\n\tnow"))
            .with_header("Received: from b by postfix id 4XkQ2;\r\n\tnow");
        assert_eq!(stamped.journey(), Some(id.journey));
        assert_eq!(Message::new(stamped.to_bytes()), stamped);
        assert_eq!(stamped.hops(), 2);
    }

    /// RFC 9228 §4.
    #[test]
    fn delivered_to_lists_aliases_of_the_trace_newest_first() {
        let forwarded = message("Subject: s\r\nDelivered-To: own@x.test\r\n\r\n")
            .with_header("Delivered-To: info@a.test")
            .with_header("Received: by b; now")
            .with_header("delivered-to: \"all of us\"@b.test");
        let names: Vec<_> = forwarded.delivered_to().map(|address| address.to_string()).collect();
        assert_eq!(names, ["\"all of us\"@b.test", "info@a.test"]);
        assert_eq!(Message::new(forwarded.to_bytes()), forwarded);
    }

    #[test]
    fn normalize_when_line_ends_are_bare_or_missing_makes_crlf() {
        let cases: [(&[u8], &[u8], bool); 8] = [
            (b"", b"", false),
            (b"a", b"a\r\n", false),
            (b"a\r\n", b"a\r\n", false),
            (b"a\n", b"a\r\n", true),
            (b"a\r", b"a\r\n", true),
            (b"a\r\r\n", b"a\r\n\r\n", true),
            (b"\n\n", b"\r\n\r\n", true),
            (b"a\rb\nc\r\nd", b"a\r\nb\r\nc\r\nd\r\n", true),
        ];
        for (given, wanted, lone) in cases {
            assert_eq!(normalize(given), (Cow::Borrowed(wanted), lone), "{given:?}");
        }
    }

    #[test]
    fn has_bare_line_end_at_any_position_finds_it() {
        for (text, wanted) in [
            (b"".as_slice(), false),
            (b"a\r\n\r\nb", false),
            (b"a\n", true),
            (b"a\r", true),
            (b"a\r\r\n", true),
            (b"\r\n\n", true),
        ] {
            assert_eq!(has_bare_line_end(text), wanted, "{text:?}");
        }
        for at in PAIRS - 3..PAIRS + 3 {
            let mut text = vec![b'x'; 3 * PAIRS];
            text.splice(at..at, *b"\r\n");
            assert!(!has_bare_line_end(&text), "{at}");
            for byte in [at, at + 1] {
                let mut text = text.clone();
                text[byte] = b'x';
                assert!(has_bare_line_end(&text), "{at}, {byte}");
            }
        }
    }
}
