//! What a letter needs of the peer, and the refusal where the peer does not offer it.

use super::super::{BareLineEnds, Reply};
use super::{Config, Offers, Stage, Verdict};
use crate::mail::{Body, Content, Envelope, Letter, has_bare_line_end, normalize};

/// What carrying a letter asks of a server, for whatever recipient.
#[derive(Debug)]
pub(super) struct Needs {
    octets: u64,
    /// There is an octet above 127. RFC 6152.
    eight_bit: bool,
    /// The local part of the sender or a header field is not ASCII. RFC 6531 §3.
    pub(super) utf8: bool,
    /// There is a lone CR or LF where there should be lines. RFC 5321 §2.3.8.
    bare_line_ends: bool,
    /// It said BINARYMIME, and is. RFC 3030 §3.
    binary: bool,
    /// It said REQUIRETLS. RFC 8689 §2.
    require_tls: bool,
}

/// The longest line of a message that is not binary, without its CR LF. RFC 5321 §4.5.3.1.6.
const LINE_OCTETS_MAX: usize = 998;

/// The letter as it goes out: what is meant to be text may have its line ends mended. RFC 5321 §2.3.8.
pub(super) fn mended(envelope: &Envelope, letter: &Letter, rule: BareLineEnds) -> Letter {
    let content = letter.content.bytes();
    if rule != BareLineEnds::Normalize || envelope.body == Body::Binary || !has_bare_line_end(content) {
        return letter.clone();
    }
    let content = Content::new(normalize(content).0.into_owned().into());
    Letter { trace: letter.trace.clone(), content }
}

impl Needs {
    pub(super) fn of(envelope: &Envelope, letter: &Letter) -> Self {
        let content = letter.content.bytes();
        let header_len = memchr::memmem::find(content, b"\r\n\r\n").unwrap_or(content.len());
        let is_ascii_header = letter.trace.is_ascii() && content[..header_len].is_ascii();
        let may_be_binary = envelope.body == Body::Binary;
        let is_ascii_sender = envelope.reverse_path.as_ref().is_none_or(|address| address.local().is_ascii());
        Self {
            octets: letter.len() as u64,
            eight_bit: !(letter.trace.is_ascii() && content.is_ascii()),
            // Many senders put raw octets into header fields without meaning SMTPUTF8; only who said it needs it.
            utf8: !is_ascii_sender || (envelope.smtputf8 && !is_ascii_header),
            bare_line_ends: !may_be_binary && (has_bare_line_end(&letter.trace) || has_bare_line_end(content)),
            binary: may_be_binary && is_binary(content),
            require_tls: envelope.require_tls,
        }
    }

    /// What MAIL says about the octets. RFC 6152 §2, RFC 3030 §3.
    pub(super) fn body(&self, declared: Body, offers: &Offers) -> Option<Body> {
        if declared == Body::Binary && takes_binary(offers) {
            return Some(Body::Binary);
        }
        let is_eight_bit = self.eight_bit || declared != Body::SevenBit;
        (offers.eight_bit_mime && is_eight_bit).then_some(Body::EightBit)
    }

    /// For each recipient why the peer cannot get the letter, `None` where it can.
    pub(super) fn refusals(&self, envelope: &Envelope, offers: &Offers, config: &Config) -> Vec<Option<Verdict>> {
        let whole = self.refusal(offers, config);
        let refusal = |is_ascii: bool| match &whole {
            Some(reply) => Some(reply.clone()),
            None => (!is_ascii && !offers.smtputf8).then(no_utf8),
        };
        let verdict = |reply| Verdict::Refused { stage: Stage::Offers, reply };
        envelope.recipients.iter().map(|recipient| refusal(recipient.address.local().is_ascii()).map(verdict)).collect()
    }

    fn refusal(&self, offers: &Offers, config: &Config) -> Option<Reply> {
        let is_too_large = offers.size.is_some_and(|max| max != 0 && max < self.octets);
        if self.bare_line_ends && config.bare_line_ends != BareLineEnds::Keep {
            return Some(Reply::new(554, (5, 6, 0), "the message holds a lone CR or LF"));
        }
        // RFC 8689 §4.2.1.
        if self.require_tls && !offers.require_tls {
            return Some(Reply::new(550, (5, 7, 30), "the next host has no REQUIRETLS, which the sender asked for"));
        }
        if is_too_large {
            return Some(Reply::new(552, (5, 3, 4), "the message is larger than the next host takes"));
        }
        if self.utf8 && !offers.smtputf8 {
            return Some(no_utf8());
        }
        if self.binary && !takes_binary(offers) {
            return Some(Reply::new(554, (5, 6, 1), "the next host takes no binary messages, and we convert none"));
        }
        if self.eight_bit && !offers.eight_bit_mime && !config.force_8bit {
            return Some(Reply::new(554, (5, 6, 3), "the next host takes no octets above 127"));
        }
        None
    }
}

/// A binary message needs both: RFC 3030 §3.
fn takes_binary(offers: &Offers) -> bool {
    offers.binary_mime && offers.chunking
}

/// Whether a message cannot go as lines of text: by its octets, or because a part of it calls itself binary
/// (RFC 2045 §6.2). Some clients say BINARYMIME of every message, and most of those can go anywhere.
fn is_binary(content: &[u8]) -> bool {
    let field = b"content-transfer-encoding:";
    let is_marked = |line: &[u8]| match line.split_at_checked(field.len()) {
        Some((name, value)) => name.eq_ignore_ascii_case(field) && value.trim_ascii().eq_ignore_ascii_case(b"binary"),
        None => false,
    };
    let has_no_lines = memchr::memchr(0, content).is_some() || has_bare_line_end(content);
    has_no_lines
        || content.split(|octet| *octet == b'\n').any(|line| LINE_OCTETS_MAX + 1 < line.len() || is_marked(line))
}

/// RFC 6531 §3.5, RFC 5248.
fn no_utf8() -> Reply {
    Reply::new(553, (5, 6, 7), "the next host takes no addresses beyond ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_go_as_text_is_binary() {
        let long = [b"x".repeat(LINE_OCTETS_MAX), b"\r\n".to_vec()].concat();
        for (content, wanted) in [
            (b"".as_slice(), false),
            (b"Subject: s\r\n\r\n\xff\r\n", false),
            (&long, false),
            (&[b"x", long.as_slice()].concat(), true),
            (b"a\nb", true),
            (b"a\r", true),
            (b"a\0b\r\n", true),
            (b"Content-Transfer-Encoding: Binary\r\n\r\na\r\n", true),
            (b"Content-Transfer-Encoding: 8bit\r\n\r\nbinary\r\n", false),
        ] {
            assert_eq!(is_binary(content), wanted, "{}", String::from_utf8_lossy(content));
        }
    }
}
