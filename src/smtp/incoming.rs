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
use crate::mail::{has_bare_line_end, normalize};

/// At most this much is set aside on the strength of `SIZE=` alone.
const RESERVED_OCTETS_MAX: u64 = 1 << 20;
/// Who has sent some of what was declared is believed so many times as much: a buffer that grows is a copy more.
const BELIEVED: u64 = 64;
/// So much beyond the limit is read and thrown away before the peer is cut off.
const SWALLOWED_OCTETS_MAX: u64 = 16 << 20;

/// A message that arrives.
#[derive(Debug)]
pub(super) struct Incoming {
    message: BytesMut,
    /// All octets so far, kept or not.
    octets: u64,
    octets_max: u64,
    /// What `SIZE=` has declared.
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
    pub(super) fn new(octets_max: u64, declared: Option<u64>) -> Self {
        let declared = declared.unwrap_or(0).min(octets_max);
        let message = BytesMut::with_capacity(declared.min(RESERVED_OCTETS_MAX) as usize);
        Self { message, octets: 0, octets_max, declared, has_bare_line_end: false, at: At::LineStart }
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
        if self.octets <= self.octets_max {
            self.make_room(part.len());
            self.message.extend_from_slice(part);
        } else {
            self.message = BytesMut::new();
        }
    }

    fn make_room(&mut self, octets: usize) {
        let (len, room) = (self.message.len(), self.message.capacity() - self.message.len());
        if room < octets {
            let expected = self.declared.saturating_sub(len as u64).min(len as u64 * BELIEVED) as usize;
            self.message.reserve(octets.max(expected));
        }
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
    pub(super) fn finish_stuffed(self, rule: BareLineEnds) -> Result<Bytes, Fault> {
        match rule {
            _ if self.is_too_large() => Err(Fault::TooLarge),
            BareLineEnds::Refuse if self.has_bare_line_end => Err(Fault::BareLineEnd),
            BareLineEnds::Normalize if self.has_bare_line_end => Ok(normalize(&self.message).0.into_owned().into()),
            _ => Ok(self.message.freeze()),
        }
    }

    /// The message that arrived by BDAT.
    pub(super) fn finish_counted(mut self, rule: BareLineEnds) -> Result<Bytes, Fault> {
        self.has_bare_line_end = rule != BareLineEnds::Keep && has_bare_line_end(&self.message);
        self.finish_stuffed(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut incoming = Incoming::new(100, None);
        for (number, part) in wire.chunks(chunk).enumerate() {
            if let Some(used) = incoming.take_stuffed(part) {
                return Some((incoming.finish_stuffed(rule), wire.len() - number * chunk - used));
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
        let mut incoming = Incoming::new(10, Some(u64::MAX));
        assert_eq!(incoming.take_stuffed(b"0123456789"), None);
        assert!(!incoming.is_too_large());
        assert_eq!(incoming.take_stuffed(b"0"), None);
        assert!(incoming.is_too_large() && incoming.message.is_empty() && !incoming.is_endless());
        assert_eq!(incoming.take_stuffed(b"\r\n.\r\n"), Some(5));
        assert_eq!(incoming.finish_stuffed(BareLineEnds::Refuse), Err(Fault::TooLarge));
    }
}
