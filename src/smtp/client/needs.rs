//! What a letter needs of the peer, and the refusal where the peer does not offer it.

use super::super::incoming::has_bare_line_end;
use super::super::{BareLineEnds, Reply};
use super::{Config, Offers, Stage, Verdict};
use crate::mail::{Envelope, Letter};

/// What carrying a letter asks of a server, for whatever recipient.
#[derive(Debug)]
pub(super) struct Needs {
    octets: u64,
    /// There is an octet above 127. RFC 6152.
    pub(super) eight_bit: bool,
    /// The sender or a header field is not ASCII. RFC 6531 §3.
    pub(super) utf8: bool,
    /// There is a lone CR or LF. RFC 5321 §2.3.8.
    bare_line_ends: bool,
}

impl Needs {
    pub(super) fn of(envelope: &Envelope, letter: &Letter) -> Self {
        let content = letter.content.bytes();
        let header_len = memchr::memmem::find(content, b"\r\n\r\n").unwrap_or(content.len());
        let is_ascii_header = letter.trace.is_ascii() && content[..header_len].is_ascii();
        let is_ascii_sender = envelope.reverse_path.as_ref().is_none_or(|address| address.is_ascii());
        Self {
            octets: letter.len() as u64,
            eight_bit: !(letter.trace.is_ascii() && content.is_ascii()),
            // Many senders put raw octets into header fields without meaning SMTPUTF8; only who said it needs it.
            utf8: !is_ascii_sender || (envelope.smtputf8 && !is_ascii_header),
            bare_line_ends: has_bare_line_end(&letter.trace) || has_bare_line_end(content),
        }
    }

    /// For each recipient why the peer cannot get the letter, `None` where it can.
    pub(super) fn refusals(&self, envelope: &Envelope, offers: &Offers, config: &Config) -> Vec<Option<Verdict>> {
        let whole = self.refusal(offers, config);
        let refusal = |is_ascii: bool| match &whole {
            Some(reply) => Some(reply.clone()),
            None => (!is_ascii && !offers.smtputf8).then(no_utf8),
        };
        let verdict = |reply| Verdict::Refused { stage: Stage::Offers, reply };
        envelope.recipients.iter().map(|recipient| refusal(recipient.address.is_ascii()).map(verdict)).collect()
    }

    fn refusal(&self, offers: &Offers, config: &Config) -> Option<Reply> {
        let is_too_large = offers.size.is_some_and(|max| max != 0 && max < self.octets);
        if self.bare_line_ends && config.bare_line_ends == BareLineEnds::Refuse {
            return Some(Reply::new(554, (5, 6, 0), "the message holds a lone CR or LF"));
        }
        if is_too_large {
            return Some(Reply::new(552, (5, 3, 4), "the message is larger than the next host takes"));
        }
        if self.utf8 && !offers.smtputf8 {
            return Some(no_utf8());
        }
        if self.eight_bit && !offers.eight_bit_mime && !config.force_8bit {
            return Some(Reply::new(554, (5, 6, 3), "the next host takes no octets above 127"));
        }
        None
    }
}

/// RFC 6531 §3.5, RFC 5248.
fn no_utf8() -> Reply {
    Reply::new(553, (5, 6, 7), "the next host takes no addresses beyond ASCII")
}
