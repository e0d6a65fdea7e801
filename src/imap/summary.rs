//! The summary of a message, computed once when it is stored: finished responses, and the data that decides most
//! searches without reading the message.

use jiff::civil::Date;

use super::listed_fields::KeptHeader;
use super::search::{Text, TrigramFilter, VALUE_END};
use super::sort::SortKeys;
use super::structure::{Structure, has_binary};
use super::write::ResponseBuffer;
use crate::mail::{Content, Message};

/// The header fields that have a search key of their own, in the order of [`Summary::fields`]. RFC 9051 §6.4.4.
pub const SEARCHED_FIELDS: [&str; 5] = ["From", "To", "Cc", "Bcc", "Subject"];
/// Everything that is derived from the content of a message; the trace lines above it are not part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// `ENVELOPE` as sent. RFC 9051 §7.5.2.
    pub envelope: Vec<u8>,
    /// `BODYSTRUCTURE` as sent.
    pub body_structure: Vec<u8>,
    /// What is kept of the header apart from the message; `None` if that is too long.
    pub header: Option<KeptHeader<Vec<u8>>>,
    /// For each of [`SEARCHED_FIELDS`] the values of all such fields, decoded and case-folded, each followed by NUL.
    pub fields: [String; SEARCHED_FIELDS.len()],
    /// The date in the Date field.
    pub sent: Option<Date>,
    /// The keys for SORT and THREAD.
    pub sort_keys: SortKeys,
    /// The beginning of the text. RFC 8970.
    pub preview: String,
    /// [`Structure::to_bytes`].
    pub structure: Vec<u8>,
    /// The trigram filter for text searches.
    pub trigrams: TrigramFilter,
    /// See [`super::has_binary`]; no message that is stored has.
    pub has_binary: bool,
}

impl Summary {
    /// Computes the summary of a content without trace lines; works for any bytes.
    pub fn of(content: &Content) -> Self {
        let structure = Structure::of(content.bytes());
        let message = Message { trace: Default::default(), content: content.clone() };
        let text = Text::new(&message, &structure);
        let mut fields: [String; SEARCHED_FIELDS.len()] = Default::default();
        text.each_searched_field(|name, value| {
            if let Some(at) = SEARCHED_FIELDS.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
                fields[at].push_str(value);
                fields[at].push(VALUE_END);
            }
        });
        let mut envelope = ResponseBuffer::default();
        envelope.envelope(&structure.envelope);
        let mut body_structure = ResponseBuffer::default();
        body_structure.body(&structure.part, true);
        Self {
            envelope: envelope.into_bytes(),
            body_structure: body_structure.into_bytes(),
            header: KeptHeader::of(&content.bytes()[structure.part.header.range()], content.bytes().len()),
            fields,
            sent: text.sent(),
            sort_keys: SortKeys::of(&text, &structure),
            preview: text.preview(),
            trigrams: TrigramFilter::of(&text),
            has_binary: has_binary(&structure, content.bytes()),
            structure: structure.to_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_equals_the_responses_for_the_message() {
        let message = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: Ann <ann@a.test>\r\nSubject: two\r\nTo:\r\n\
            Date: Thu, 1 Jan 2026 23:00:00 -0800\r\n\r\nhello\r\n";
        let summary = Summary::of(&Content::new(message.into()));
        assert_eq!(
            String::from_utf8_lossy(&summary.envelope),
            "(\"Thu, 1 Jan 2026 23:00:00 -0800\" \"=?utf-8?q?Gr=C3=BC=C3=9Fe?=\" ((\"Ann\" NIL \"ann\" \"a.test\")) \
             ((\"Ann\" NIL \"ann\" \"a.test\")) ((\"Ann\" NIL \"ann\" \"a.test\")) NIL NIL NIL NIL NIL)"
        );
        assert_eq!(
            String::from_utf8_lossy(&summary.body_structure),
            "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 7 1 NIL NIL NIL NIL)"
        );
        let header = message.split_once("\r\nhello").unwrap().0.as_bytes().to_vec();
        assert_eq!(summary.header, Some(KeptHeader { bytes: header, is_whole: false }));
        assert_eq!(summary.fields, ["ann <ann@a.test>\0", "\0", "", "", "gr\u{fc}\u{df}e\0two\0"]);
        assert_eq!(summary.sent, Some(Date::constant(2026, 1, 1)));
        assert_eq!(Structure::from_bytes(&summary.structure), Some(Structure::of(message.as_bytes())));
    }
}
