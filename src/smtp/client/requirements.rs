//! What a message requires of the peer, and why it is not sent if the peer lacks that.

use super::super::BareLineEnds;
use super::{Config, Extensions, NotSent, Verdict};
use crate::mail::{Body, Content, Envelope, Message, Recipient, has_bare_line_end, normalize};

/// What a message requires of the peer, independently of recipients.
#[derive(Debug)]
pub(super) struct Requirements {
    bytes: u64,
    /// It has bytes above 127. RFC 6152.
    eight_bit: bool,
    /// The sender's local part or a header field is not ASCII. RFC 6531 §3.
    pub(super) utf8: bool,
    /// It is text with a lone CR or LF. RFC 5321 §2.3.8.
    bare_line_ends: bool,
    /// It was declared BINARYMIME, and is binary. RFC 3030 §3.
    binary: bool,
    /// The sender asked for REQUIRETLS. RFC 8689 §2.
    require_tls: bool,
}

/// Maximum line length of a message that is not binary, without CR LF. RFC 5321 §4.5.3.1.6.
const MAX_LINE_BYTES: usize = 998;

/// The message to be sent: if `rule` is to normalize, each lone CR or LF in the content becomes CR LF, except in one
/// declared BINARYMIME; the trace and any other message are unchanged. RFC 5321 §2.3.8.
pub(super) fn with_fixed_line_ends(envelope: &Envelope, message: &Message, rule: BareLineEnds) -> Message {
    let content = message.content.bytes();
    if rule != BareLineEnds::Normalize || envelope.body == Body::Binary || !has_bare_line_end(content) {
        return message.clone();
    }
    let content = Content::new(normalize(content).0.into_owned().into());
    Message { trace: message.trace.clone(), content }
}

impl Requirements {
    /// What this message requires, determined from the declarations in its envelope and from its bytes.
    pub(super) fn of(envelope: &Envelope, message: &Message) -> Self {
        let content = message.content.bytes();
        let header_len = memchr::memmem::find(content, b"\r\n\r\n").unwrap_or(content.len());
        let is_ascii_header = message.trace.is_ascii() && content[..header_len].is_ascii();
        let may_be_binary = envelope.body == Body::Binary;
        let is_ascii_sender = envelope.reverse_path.as_ref().is_none_or(|address| address.local().is_ascii());
        Self {
            bytes: message.len() as u64,
            eight_bit: !(message.trace.is_ascii() && content.is_ascii()),
            // Many senders put 8-bit bytes into header fields without SMTPUTF8; only those that declared it require it.
            utf8: !is_ascii_sender || (envelope.smtputf8 && !is_ascii_header),
            bare_line_ends: !may_be_binary && (has_bare_line_end(&message.trace) || has_bare_line_end(content)),
            binary: may_be_binary && is_binary(content),
            require_tls: envelope.require_tls,
        }
    }

    /// The `BODY` parameter of MAIL: `BINARYMIME` if declared and supported, else `8BITMIME` if that is supported and
    /// the message has bytes above 127 or is not declared 7BIT; else `None`. RFC 6152 §2, RFC 3030 §3.
    pub(super) fn body(&self, declared: Body, extensions: &Extensions) -> Option<Body> {
        if declared == Body::Binary && takes_binary(extensions) {
            return Some(Body::Binary);
        }
        let is_eight_bit = self.eight_bit || declared != Body::SevenBit;
        (extensions.eight_bit_mime && is_eight_bit).then_some(Body::EightBit)
    }

    /// For each recipient, the verdict if the message cannot be sent there, for a reason that holds for all or because
    /// the local part of the address needs SMTPUTF8, which the peer lacks; `None` if it can.
    pub(super) fn unmet(&self, envelope: &Envelope, extensions: &Extensions, config: &Config) -> Vec<Option<Verdict>> {
        let whole = self.unmet_by_all(extensions, config);
        let unmet = |is_ascii: bool| match &whole {
            Some(reason) => Some(reason.clone()),
            None => (!is_ascii && !extensions.smtputf8).then(no_utf8),
        };
        let of = |recipient: &Recipient| unmet(recipient.address.local().is_ascii()).map(Verdict::NotSent);
        envelope.recipients.iter().map(of).collect()
    }

    /// Why the message cannot be sent to any recipient, if so: a lone CR or LF that the configuration does not keep,
    /// more bytes than the peer accepts, or an extension that the message needs and the peer lacks.
    fn unmet_by_all(&self, extensions: &Extensions, config: &Config) -> Option<NotSent> {
        if self.bare_line_ends && config.bare_line_ends != BareLineEnds::Keep {
            return Some(NotSent::new((5, 6, 0), "the message contains a lone CR or LF"));
        }
        // RFC 8689 §4.2.1.
        if self.require_tls && !extensions.require_tls {
            let reason = "the next host does not support REQUIRETLS, which the sender asked for";
            return Some(NotSent::new((5, 7, 30), reason));
        }
        // RFC 1870 §4: 0 is no limit.
        if let Some(max) = extensions.size.filter(|max| *max != 0 && *max < self.bytes) {
            let reason = format!("the message has {} bytes, and the next host accepts {max}", self.bytes);
            return Some(NotSent::new((5, 3, 4), reason));
        }
        if self.utf8 && !extensions.smtputf8 {
            return Some(no_utf8());
        }
        if self.binary && !takes_binary(extensions) {
            let reason = "the next host does not support binary messages, and conversion is not supported";
            return Some(NotSent::new((5, 6, 1), reason));
        }
        if self.eight_bit && !extensions.eight_bit_mime && !config.force_8bit {
            return Some(NotSent::new((5, 6, 3), "the next host does not support 8BITMIME"));
        }
        None
    }
}

/// Whether the peer takes binary messages, which need both BINARYMIME and CHUNKING. RFC 3030 §3.
fn takes_binary(extensions: &Extensions) -> bool {
    extensions.binary_mime && extensions.chunking
}

/// Whether a message cannot be sent as lines of text: it has NUL, a lone CR or LF or a line of more than 998 bytes, or
/// a part is marked as binary (RFC 2045 §6.2). Some clients declare every message BINARYMIME, and most of these can be
/// sent as text.
fn is_binary(content: &[u8]) -> bool {
    let field = b"content-transfer-encoding:";
    let is_marked = |line: &[u8]| match line.split_at_checked(field.len()) {
        Some((name, value)) => name.eq_ignore_ascii_case(field) && value.trim_ascii().eq_ignore_ascii_case(b"binary"),
        None => false,
    };
    let has_no_lines = memchr::memchr(0, content).is_some() || has_bare_line_end(content);
    has_no_lines || content.split(|byte| *byte == b'\n').any(|line| MAX_LINE_BYTES + 1 < line.len() || is_marked(line))
}

/// The reason that the peer lacks SMTPUTF8, with status 5.6.7. RFC 6531 §3.5, RFC 5248.
fn no_utf8() -> NotSent {
    NotSent::new((5, 6, 7), "the next host does not support SMTPUTF8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_binary_of_text_lines_is_false() {
        let long = [b"x".repeat(MAX_LINE_BYTES), b"\r\n".to_vec()].concat();
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
