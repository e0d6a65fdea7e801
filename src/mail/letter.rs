//! The bytes of a message: trace lines that hops put in front, and the content below, which no hop touches.
//!
//! ```text
//! Return-Path: <me@163.test>        \
//! Received: from mx.163.test ...     |  trace: small, one allocation a hop
//! Received: from mua ...            /
//! From: me@163.test                 \
//! Subject: hello                     |  content: one shared buffer, the whole way
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
    /// Where it is stored; 0 as long as that is not known.
    place: Arc<AtomicI64>,
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Content {}

impl Content {
    /// Takes the bytes and works out their hash.
    pub fn new(bytes: Bytes) -> Self {
        Self { hash: blake3::hash(&bytes), bytes, place: Arc::default() }
    }

    /// Takes bytes that were stored with their hash.
    pub fn stored(bytes: Bytes, hash: [u8; 32]) -> Self {
        Self { bytes, hash: hash.into(), place: Arc::default() }
    }

    /// Where it was stored, if that is known: it may be there no more.
    pub fn place(&self) -> Option<i64> {
        Some(self.place.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// It is stored there, as all clones know from now on.
    pub fn set_place(&self, id: i64) {
        self.place.store(id, Ordering::Relaxed);
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// BLAKE3 of the bytes: equal contents are stored once.
    pub fn hash(&self) -> &blake3::Hash {
        &self.hash
    }
}

/// What a host writes on top when it sends mail on by an alias of its own.
const DELIVERED_TO: &[u8] = b"delivered-to";

/// A message as one host holds it. Cloning shares both parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// `Received`, `Return-Path` and `Delivered-To` lines, newest first, each ended by CR LF. RFC 5321 §4.4, RFC 9228 §4.
    pub trace: Bytes,
    /// Everything below them.
    pub content: Content,
}

impl Letter {
    /// Splits a received message where its leading trace fields end; both parts share the buffer.
    pub fn new(message: Bytes) -> Self {
        let mut message = message;
        let trace = message.split_to(trace_len(&message));
        Self { trace, content: Content::new(message) }
    }

    /// The same letter with one more trace field, `Name: value` with its folding but without the last CR LF, on top.
    pub fn stamped(&self, field: &str) -> Self {
        let mut trace = BytesMut::with_capacity(field.len() + 2 + self.trace.len());
        trace.put_slice(field.as_bytes());
        trace.put_slice(b"\r\n");
        trace.put_slice(&self.trace);
        Self { trace: trace.freeze(), content: self.content.clone() }
    }

    /// Length in octets, trace lines included.
    pub fn len(&self) -> usize {
        self.trace.len() + self.content.bytes.len()
    }

    /// Whether there is not one octet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message in two shared pieces, in order.
    pub fn pieces(&self) -> [Bytes; 2] {
        [self.trace.clone(), self.content.bytes.clone()]
    }

    /// The message as one buffer. Copies unless one part is empty; for clients that need it whole.
    pub fn to_bytes(&self) -> Bytes {
        match (self.trace.is_empty(), self.content.bytes.is_empty()) {
            (true, _) => self.content.bytes.clone(),
            (_, true) => self.trace.clone(),
            _ => [self.trace.as_ref(), self.content.bytes.as_ref()].concat().into(),
        }
    }

    /// How many hosts have stamped it. RFC 5321 §6.3 ends loops by this count.
    pub fn hops(&self) -> usize {
        self.trace.split(|byte| *byte == b'\n').filter(|line| is_field(line, b"received")).count()
    }

    /// The value of the first such header field below the trace, if it is on one line; the name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let header = self.content.bytes().split(|byte| *byte == b'\n').take_while(|line| !matches!(line, [] | [b'\r']));
        let line = header.into_iter().find(|line| is_field(line, name.as_bytes()))?;
        Some(std::str::from_utf8(line).ok()?.split_once(':')?.1.trim())
    }

    /// The aliases by which it came, newest first: each host that sent it on wrote down which of its own it was.
    /// RFC 9228 §4.
    pub fn delivered_to(&self) -> impl Iterator<Item = Address> {
        let values = self.trace.split(|byte| *byte == b'\n').filter(|line| is_field(line, DELIVERED_TO));
        let values = values.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
        values.filter_map(|(_, address)| address.trim().parse().ok())
    }

    /// The journey that the newest stamp of ours names, if one of ours is there.
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

/// Length of the leading trace fields, with the lines they are folded over.
pub(crate) fn trace_len(message: &[u8]) -> usize {
    let (mut end, mut at) = (0, 0);
    while let Some(len) = message[at..].windows(2).position(|pair| pair == b"\r\n") {
        let line = &message[at..at + len + 2];
        let continues = at != 0 && matches!(line[0], b' ' | b'\t');
        let is_trace = [b"received".as_slice(), b"return-path", DELIVERED_TO].iter().any(|name| is_field(line, name));
        if !(continues || is_trace) {
            break;
        }
        at += line.len();
        end = at;
    }
    end
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.len() > name.len()
        && line[..name.len()].eq_ignore_ascii_case(name)
        && line[name.len()..].trim_ascii_start().starts_with(b":")
}

/// The message as SMTP carries it: every line ended by CR LF, the last one too. RFC 5321 §2.3.8.
///
/// Also says whether a lone CR or LF had to be made a line end.
///
/// ```
/// use postroad::mail::normalize;
/// assert_eq!(normalize(b"a\nb\r\n"), (b"a\r\nb\r\n".as_slice().into(), true));
/// ```
pub fn normalize(message: &[u8]) -> (Cow<'_, [u8]>, bool) {
    let mut out: Vec<u8> = Vec::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(found) = message[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let end = at + found;
        if message[end..].starts_with(b"\r\n") {
            at = end + 2;
            continue;
        }
        out.extend_from_slice(&message[kept..end]);
        out.extend_from_slice(b"\r\n");
        at = end + 1;
        kept = at;
    }
    let lone = kept != 0;
    let ended = message.ends_with(b"\n") || message.ends_with(b"\r") || message.is_empty();
    if !lone && ended {
        return (message.into(), false);
    }
    out.extend_from_slice(&message[kept..]);
    if !ended {
        out.extend_from_slice(b"\r\n");
    }
    (out.into(), lone)
}

/// What becomes of a message that holds a CR or LF that is no CR LF. RFC 5321 §2.3.8 forbids them; servers that
/// disagree about them let a second message be smuggled inside the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BareLineEnds {
    /// It is refused as a whole.
    #[default]
    Refuse,
    /// Each is made a CR LF, and the message goes on.
    Normalize,
    /// It goes through as it is. Even so, only CR LF ends a line.
    Keep,
}

/// Whether there is a CR or LF that is not part of a CR LF, as RFC 5321 §2.3.8 forbids in text.
pub fn has_bare_line_end(text: &[u8]) -> bool {
    let ([first, ..], [.., last]) = (text, text) else { return false };
    // Each pair of neighbours by itself: many of them are looked at in one step.
    let is_bare = |(before, octet): (&u8, &u8)| (*before == b'\r') != (*octet == b'\n');
    let has_bare = |pairs: (&[u8], &[u8])| pairs.0.iter().zip(pairs.1).fold(false, |found, pair| found | is_bare(pair));
    *first == b'\n' || *last == b'\r' || text[..text.len() - 1].chunks(PAIRS).zip(text[1..].chunks(PAIRS)).any(has_bare)
}

/// Pairs that are looked at before it is asked whether one was found.
const PAIRS: usize = 4096;

/// The same message as files of this system hold it: lines end in LF.
pub fn with_line_feeds(message: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(message.len());
    for (at, byte) in message.iter().enumerate() {
        if !(*byte == b'\r' && message.get(at + 1) == Some(&b'\n')) {
            octets.push(*byte);
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(text: &'static str) -> Letter {
        Letter::new(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn trace_fields_are_split_off_with_their_folded_lines() {
        let letter = letter(
            "Return-Path: <a@b>\r\nReceived: from x\r\n\tby y; now\r\nreceived : z\r\nSubject: s\r\nReceived: deep\r\n\r\nhi\r\n",
        );
        assert!(letter.trace.ends_with(b"received : z\r\n"));
        assert!(letter.content.bytes().starts_with(b"Subject: s\r\n"));
        assert_eq!(letter.hops(), 2);
    }

    #[test]
    fn odd_messages_have_no_trace() {
        for text in ["", "\r\n", "Received: cut", " folded\r\nx: y\r\n", "Receivedx: y\r\n"] {
            assert_eq!(letter(text).trace.len(), 0, "{text:?}");
            assert_eq!(letter(text).to_bytes(), text);
        }
    }

    #[test]
    fn stamps_go_on_top_and_name_the_journey() {
        let id = JourneyId::of(42).stay(7);
        let stamped = letter("Subject: s\r\n\r\nhi\r\n")
            .stamped(&format!("Received: from a\r\n\tby b with ESMTP id {id};\r\n\tnow"))
            .stamped("Received: from b by postfix id 4XkQ2;\r\n\tnow");
        assert_eq!(stamped.journey(), Some(id.journey));
        assert_eq!(Letter::new(stamped.to_bytes()), stamped);
        assert_eq!(stamped.hops(), 2);
    }

    /// RFC 9228 §4.
    #[test]
    fn a_letter_names_the_aliases_that_it_came_by() {
        let sent_on = letter("Subject: s\r\nDelivered-To: own@x.test\r\n\r\n")
            .stamped("Delivered-To: info@a.test")
            .stamped("Received: by b; now")
            .stamped("delivered-to: \"all of us\"@b.test");
        let names: Vec<_> = sent_on.delivered_to().map(|address| address.to_string()).collect();
        assert_eq!(names, ["\"all of us\"@b.test", "info@a.test"]);
        assert_eq!(Letter::new(sent_on.to_bytes()), sent_on);
    }

    #[test]
    fn line_ends_are_made_whole() {
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
    fn bare_line_ends_are_found() {
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
            for octet in [at, at + 1] {
                let mut text = text.clone();
                text[octet] = b'x';
                assert!(has_bare_line_end(&text), "{at}, {octet}");
            }
        }
    }
}
