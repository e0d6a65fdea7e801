//! Message data on its way in: dot stuffing undone, sizes and line ends watched, all in one pass into one buffer.
//!
//! ```text
//!        ┌──────────── CR LF ────────────┐
//!        ▼                               │
//!   LineStart ── other ──▶ Text ── CR ─▶ Cr ── other: a bare CR ──▶ Text
//!        │ "."
//!        ▼
//!       Dot ── CR ─▶ DotCr ── LF ─▶ the end
//!        └── other: a stuffed dot, dropped ──▶ Text
//! ```

use bytes::{Bytes, BytesMut};

use super::BareLineEnds;
use super::known::{Known, Same};
use crate::mail::{Letter, has_bare_line_end, normalize, trace_len};

/// At most this much is set aside on the strength of what was declared alone.
const RESERVED_OCTETS_MAX: u64 = 1 << 20;
/// Who has sent some of what was declared is believed so many times as much: a buffer that grows is a copy more.
const BELIEVED: u64 = 64;
/// So much beyond the limit is read and thrown away before the peer is cut off.
const SWALLOWED_OCTETS_MAX: u64 = 16 << 20;
/// So much has come before we look whether it is [known](Known).
const START_OCTETS: usize = 64 << 10;

/// A message that arrives.
#[derive(Debug)]
pub(super) struct Incoming {
    message: BytesMut,
    known: Known,
    /// What comes behind `message`, as long as it is the same as a content at hand.
    same: Option<Same>,
    has_looked: bool,
    /// All octets so far, kept or not.
    octets: u64,
    octets_max: u64,
    /// How many octets there will be, as far as `SIZE=` or BDAT has said.
    declared: u64,
    has_bare_line_end: bool,
    at: At,
}

/// Where in the stuffed text we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Text,
    Cr,
    Dot,
    DotCr,
}

/// Why a message that is complete is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// RFC 1870 §6.3.
    TooLarge,
    /// RFC 5321 §2.3.8.
    BareLineEnd,
}

impl Incoming {
    pub(super) fn new(octets_max: u64, declared: Option<u64>, known: Known) -> Self {
        let declared = declared.unwrap_or(0).min(octets_max);
        Self {
            message: BytesMut::new(),
            known,
            same: None,
            has_looked: false,
            octets: 0,
            octets_max,
            declared,
            has_bare_line_end: false,
            at: At::LineStart,
        }
    }

    /// Takes text with dots stuffed. Says how much of it belonged to the message once its end is there.
    /// RFC 5321 §4.1.1.4, §4.5.2.
    pub(super) fn take_stuffed(&mut self, chunk: &[u8]) -> Option<usize> {
        // chunk[kept..at] is part of the message and not yet copied.
        let (mut kept, mut at) = (0, 0);
        while let Some(byte) = chunk.get(at).copied() {
            match (self.at, byte) {
                (At::LineStart, b'.') => {
                    self.keep(&chunk[kept..at]);
                    at += 1;
                    kept = at;
                    self.at = At::Dot;
                }
                (At::Dot, b'\r') => {
                    at += 1;
                    kept = at;
                    self.at = At::DotCr;
                }
                (At::DotCr, b'\n') => return Some(at + 1),
                (At::DotCr, _) => {
                    self.keep(b"\r");
                    self.at = At::Cr;
                }
                (At::Cr, b'\n') => {
                    at += 1;
                    self.at = At::LineStart;
                }
                (At::Cr, _) => {
                    self.has_bare_line_end = true;
                    self.at = At::Text;
                }
                (At::LineStart | At::Dot | At::Text, _) => at = self.text(chunk, at),
            }
        }
        self.keep(&chunk[kept..]);
        None
    }

    /// Runs to the next CR or over the next bare LF; the new position.
    fn text(&mut self, chunk: &[u8], at: usize) -> usize {
        match memchr::memchr2(b'\r', b'\n', &chunk[at..]) {
            Some(run) if chunk[at + run] == b'\r' => {
                self.at = At::Cr;
                at + run + 1
            }
            Some(run) => {
                self.has_bare_line_end = true;
                self.at = At::Text;
                at + run + 1
            }
            None => {
                self.at = At::Text;
                chunk.len()
            }
        }
    }

    /// Takes octets that are counted, not stuffed. RFC 3030 §2.
    pub(super) fn take_counted(&mut self, chunk: &[u8]) {
        self.keep(chunk);
    }

    fn keep(&mut self, part: &[u8]) {
        self.octets += part.len() as u64;
        if self.octets_max < self.octets {
            (self.message, self.same) = (BytesMut::new(), None);
            return;
        }
        if let Some(same) = &mut self.same {
            if same.goes_on(part) {
                return;
            }
            self.part_ways();
        }
        self.make_room(part.len());
        self.message.extend_from_slice(part);
        if START_OCTETS <= self.message.len() && !std::mem::replace(&mut self.has_looked, true) {
            self.look();
        }
    }

    /// Keeps no more than the trace of a message whose content is known.
    fn look(&mut self) {
        let (trace, start) = self.message.split_at(trace_len(&self.message));
        // A line that goes on may yet be of the trace.
        if memchr::memmem::find(start, b"\r\n").is_none() {
            return;
        }
        self.same = self.known.find(start);
        if self.same.is_some() {
            self.message = BytesMut::from(trace);
        }
    }

    /// It is not that content, so what came of it is kept.
    fn part_ways(&mut self) {
        if let Some(same) = self.same.take() {
            self.make_room(same.start().len());
            self.message.extend_from_slice(same.start());
        }
    }

    fn make_room(&mut self, octets: usize) {
        let (len, room) = (self.message.len(), self.message.capacity() - self.message.len());
        if room < octets {
            let believed = RESERVED_OCTETS_MAX.max(len as u64 * BELIEVED);
            let expected = self.declared.saturating_sub(len as u64).min(believed) as usize;
            self.message.reserve(octets.max(expected));
        }
    }

    /// So many octets more are about to come.
    pub(super) fn expect(&mut self, octets: u64) {
        self.declared = self.declared.max(self.octets.saturating_add(octets)).min(self.octets_max);
    }

    /// All octets that came, kept or not.
    pub(super) fn octets(&self) -> usize {
        usize::try_from(self.octets).unwrap_or(usize::MAX)
    }

    /// Whether the peer has gone on for so long beyond the limit that we need not hear the end.
    pub(super) fn is_endless(&self) -> bool {
        self.octets_max.saturating_add(SWALLOWED_OCTETS_MAX) < self.octets
    }

    /// Whether the message is larger than allowed already.
    pub(super) fn is_too_large(&self) -> bool {
        self.octets_max < self.octets
    }

    /// The message that arrived by DATA; its octets are not copied again.
    pub(super) fn finish_stuffed(mut self, rule: BareLineEnds) -> Result<Letter, Fault> {
        match rule {
            _ if self.is_too_large() => Err(Fault::TooLarge),
            BareLineEnds::Refuse if self.has_bare_line_end => Err(Fault::BareLineEnd),
            BareLineEnds::Normalize if self.has_bare_line_end => {
                self.part_ways();
                Ok(Letter::new(normalize(&self.message).0.into_owned().into()))
            }
            _ => Ok(self.letter()),
        }
    }

    /// The message that arrived by BDAT.
    pub(super) fn finish_counted(mut self, rule: BareLineEnds) -> Result<Letter, Fault> {
        // A trace ends with a whole line.
        let mut parts = std::iter::once(self.message.as_ref()).chain(self.same.as_ref().map(Same::start));
        self.has_bare_line_end = rule != BareLineEnds::Keep && parts.any(has_bare_line_end);
        self.finish_stuffed(rule)
    }

    fn letter(mut self) -> Letter {
        if let Some(content) = self.same.as_ref().and_then(Same::whole) {
            return Letter { trace: self.message.freeze(), content: content.clone() };
        }
        self.part_ways();
        Letter::new(self.fitted())
    }

    /// The octets, in no more than twice the room that they need: who declares much and sends little must not hold it for
    /// as long as the message waits.
    fn fitted(self) -> Bytes {
        match self.message.len() < self.message.capacity() / 2 {
            true => Bytes::copy_from_slice(&self.message),
            false => self.message.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Content;

    /// What follows DATA on the wire, the message it holds, how much is left over; `None` where no end is found.
    type Case = (&'static [u8], Option<(Result<&'static [u8], Fault>, usize)>);

    const BARE: Result<&[u8], Fault> = Err(Fault::BareLineEnd);

    /// RFC 5321 §2.3.8, §4.1.1.4: the one end is CR LF . CR LF. Every near miss that a server somewhere takes for it.
    const CASES: &[Case] = &[
        (b".\r\n", Some((Ok(b""), 0))),
        (b"a\r\n.\r\n", Some((Ok(b"a\r\n"), 0))),
        (b"a\r\n.\r\nMAIL", Some((Ok(b"a\r\n"), 4))),
        (b"a\r\n..\r\n.\r\n", Some((Ok(b"a\r\n.\r\n"), 0))),
        (b"..a\r\n...\r\n.\r\n", Some((Ok(b".a\r\n..\r\n"), 0))),
        (b".a\r\n.\r\n", Some((Ok(b"a\r\n"), 0))),
        (b"a.\r\n.\r\n", Some((Ok(b"a.\r\n"), 0))),
        (b"\0\xff\r\n.\r\n", Some((Ok(b"\0\xff\r\n"), 0))),
        (b"a\n.\n", None),
        (b"a\n.\r\n", None),
        (b"a\r\n.\n", None),
        (b"a\r.\r", None),
        (b"a\r.\r\n", None),
        (b"a\r\n.\r", None),
        (b"a\n\r.\n\r", None),
        (b"a\r\n\0.\r\n", None),
        (b"a\r\n.\0\r\n", None),
        (b"a\r\n .\r\n", None),
        (b"a\n.\n\r\n.\r\n", Some((BARE, 0))),
        (b"a\n.\r\n.\r\nX", Some((BARE, 1))),
        (b"a\r\n.\n\r\n.\r\n", Some((BARE, 0))),
        (b"a\r.\r\r\n.\r\n", Some((BARE, 0))),
        (b"a\r.\r\n.\r\n", Some((BARE, 0))),
        (b"a\r\n.\r\r\n.\r\n", Some((BARE, 0))),
        (b"a\r\n.\r.\r\n.\r\n", Some((BARE, 0))),
        (b"a\r\r\n.\r\n", Some((BARE, 0))),
        (b"a\n\r\n.\r\n", Some((BARE, 0))),
        (b"a\n\r.\n\r\r\n.\r\n", Some((BARE, 0))),
    ];

    fn read(wire: &[u8], chunk: usize, rule: BareLineEnds) -> Option<(Result<Bytes, Fault>, usize)> {
        let mut incoming = Incoming::new(100, None, Known::default());
        for (number, part) in wire.chunks(chunk).enumerate() {
            if let Some(used) = incoming.take_stuffed(part) {
                let message = incoming.finish_stuffed(rule).map(|letter| letter.to_bytes());
                return Some((message, wire.len() - number * chunk - used));
            }
        }
        None
    }

    #[test]
    fn a_message_ends_only_at_its_own_dot() {
        for (wire, wanted) in CASES {
            for chunk in [1, 2, 3, 100] {
                let found = read(wire, chunk, BareLineEnds::Refuse);
                let wanted = wanted.map(|(message, rest)| (message.map(Bytes::from_static), rest));
                assert_eq!(found, wanted, "{:?} in chunks of {chunk}", String::from_utf8_lossy(wire));
            }
        }
    }

    /// Every text of up to eight octets, against the definition: the first CR LF . CR LF behind an imagined CR LF is the
    /// end, and what is before it loses one dot at the front of each line.
    #[test]
    fn every_mix_of_cr_lf_and_dot_ends_where_rfc_5321_says() {
        for len in 0..=8 {
            for number in 0..4_u32.pow(len) {
                let wire: Vec<u8> = (0..len).map(|at| b"\r\n.x"[(number >> (2 * at) & 3) as usize]).collect();
                let framed = [b"\r\n", wire.as_slice()].concat();
                let wanted = memchr::memmem::find(&framed, b"\r\n.\r\n").map(|end| {
                    let text = String::from_utf8_lossy(&framed[..end + 2]).replace("\r\n.", "\r\n");
                    (Ok(Bytes::copy_from_slice(&text.as_bytes()[2..])), framed.len() - end - 5)
                });
                assert_eq!(read(&wire, 3, BareLineEnds::Keep), wanted, "{:?}", String::from_utf8_lossy(&wire));
            }
        }
    }

    #[test]
    fn kept_bare_line_ends_change_no_octet_and_end_nothing() {
        for (wire, message) in [
            (b"a\n.\n\r\n.\r\n".as_slice(), b"a\n.\n\r\n".as_slice()),
            (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n"),
            (b"a\r.\r\n.\r\n", b"a\r.\r\n"),
        ] {
            for chunk in [1, 2, 100] {
                assert_eq!(read(wire, chunk, BareLineEnds::Keep).unwrap().0.unwrap(), message);
            }
        }
    }

    #[test]
    fn normalized_bare_line_ends_become_cr_lf_and_end_nothing() {
        for (wire, message) in [
            (b"a\n.\n\r\n.\r\n".as_slice(), b"a\r\n.\r\n\r\n".as_slice()),
            (b"a\r.\r\n.\r\n", b"a\r\n.\r\n"),
            (b"a\r\n.\r\n", b"a\r\n"),
        ] {
            assert_eq!(read(wire, 2, BareLineEnds::Normalize).unwrap().0.unwrap(), message);
        }
    }

    #[test]
    fn a_message_beyond_the_limit_is_counted_but_not_kept() {
        let mut incoming = Incoming::new(10, Some(u64::MAX), Known::default());
        assert_eq!(incoming.take_stuffed(b"0123456789"), None);
        assert!(!incoming.is_too_large());
        assert_eq!(incoming.take_stuffed(b"0"), None);
        assert!(incoming.is_too_large() && incoming.message.is_empty() && !incoming.is_endless());
        assert_eq!(incoming.take_stuffed(b"\r\n.\r\n"), Some(5));
        assert_eq!(incoming.finish_stuffed(BareLineEnds::Refuse), Err(Fault::TooLarge));
    }

    #[test]
    fn a_message_smaller_than_declared_does_not_keep_the_room() {
        for (declared, sent) in [(1 << 20, 4096), (50 << 20, 2 << 20), (4096, 4096), (0, 4097)] {
            let mut incoming = Incoming::new(60 << 20, Some(declared), Known::default());
            vec![b'x'; sent].chunks(4000).for_each(|part| incoming.take_counted(part));
            let room = incoming.fitted().try_into_mut().unwrap().capacity();
            assert!((sent..=2 * sent + 1).contains(&room), "{declared} declared, {sent} sent: {room}");
        }
    }

    const TRACE: &str = "Received: from a;\r\n\tnow\r\n";

    /// A large content, and who knows it.
    fn known() -> (Content, Known) {
        let text = format!("Subject: large\r\n\r\n{}", "0123456789\r\n..\r\n.x\r\n".repeat(10_000));
        let content = Content::new(text.into());
        (content.clone(), Known::by(move |start| content.bytes().starts_with(start).then(|| content.clone())))
    }

    /// By DATA or by BDAT; and how many octets were in a buffer of its own.
    fn arrived(message: &[u8], known: &Known, is_stuffed: bool) -> (usize, Result<Letter, Fault>) {
        let mut incoming = Incoming::new(1 << 20, Some(message.len() as u64), known.clone());
        let text = String::from_utf8(message.to_vec()).unwrap().replace("\r\n.", "\r\n..") + ".\r\n";
        for part in if is_stuffed { text.as_bytes() } else { message }.chunks(10_007) {
            match is_stuffed {
                true => assert!(incoming.take_stuffed(part).is_none_or(|used| used == part.len())),
                false => incoming.take_counted(part),
            }
        }
        let held = incoming.message.len();
        let letter = match is_stuffed {
            true => incoming.finish_stuffed(BareLineEnds::Refuse),
            false => incoming.finish_counted(BareLineEnds::Refuse),
        };
        (held, letter)
    }

    #[test]
    fn a_content_at_hand_is_shared_and_one_that_only_begins_the_same_is_not() {
        let (content, known) = known();
        // Inside a line.
        let (early, half, whole) = (18 + 3500 * 20 + 4, 18 + 5000 * 20 + 4, content.bytes().len());
        for is_stuffed in [true, false] {
            let message = [TRACE.as_bytes(), content.bytes()].concat();
            let (held, letter) = arrived(&message, &known, is_stuffed);
            let letter = letter.unwrap();
            assert_eq!((held, letter.trace.as_ref(), &letter.content), (TRACE.len(), TRACE.as_bytes(), &content));
            assert_eq!(letter.content.bytes().as_ptr(), content.bytes().as_ptr(), "it is the same buffer");

            // It ends sooner, goes on for longer, or says something else on its way.
            for (kept, behind) in [(half, "\r\n"), (whole, "and more\r\n"), (half, "?\r\n"), (early, "x\r\n")] {
                let message = [TRACE.as_bytes(), &content.bytes()[..kept], behind.as_bytes()].concat();
                let (_, letter) = arrived(&message, &known, is_stuffed);
                let letter = letter.unwrap();
                assert!(letter.to_bytes() == message, "{kept} octets and {behind:?}");
                assert!(letter == Letter::new(message.into()));
            }

            let bare = [TRACE.as_bytes(), content.bytes(), b"a\nb\r\n"].concat();
            assert_eq!(arrived(&bare, &known, is_stuffed).1, Err(Fault::BareLineEnd));
        }
    }

    #[test]
    fn a_line_without_an_end_is_split_as_it_always_is() {
        let content = Content::new(format!(" {}\r\n", "x".repeat(300_000)).into());
        let message = [TRACE.as_bytes(), content.bytes()].concat();
        let known = Known::by(move |_| Some(content.clone()));
        let letter = arrived(&message, &known, false).1.unwrap();
        let wanted = Letter::new(message.into());
        assert_eq!((letter.trace, letter.content), (wanted.trace, wanted.content));
    }

    #[test]
    fn bare_line_ends_of_a_content_at_hand_are_no_less_refused() {
        let content = Content::new("with a lone\nline feed\r\n".repeat(10_000).into());
        let known = Known::by(move |_| Some(content.clone()));
        let message = "with a lone\nline feed\r\n".repeat(10_000);
        for is_stuffed in [true, false] {
            assert_eq!(arrived(message.as_bytes(), &known, is_stuffed).1, Err(Fault::BareLineEnd));
        }
    }

    #[test]
    fn a_message_that_is_known_but_too_large_is_not_kept() {
        let (content, known) = known();
        let mut incoming = Incoming::new(100_000, None, known);
        incoming.take_counted(content.bytes());
        assert!(incoming.is_too_large() && incoming.same.is_none() && incoming.message.is_empty());
    }
}
