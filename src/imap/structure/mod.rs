//! The MIME structure of a message, computed once at delivery: its envelope and the position of each part, so that
//! every requested section is a slice of the shared bytes.
//!
//! ```text
//! trace | content                                  a mail::Message
//!         Subject: ...                \ header
//!                                     /            Part { header, body, content }
//!         --b                         \
//!         Content-Type: text/plain     |             header  \
//!                                      | body                 | Part in content
//!         hello                        |             body    /
//!         --b--                       /
//! ```
//!
//! Offsets are relative to the content; the trace lines above it belong to the header. Every message has a structure,
//! however invalid it is: what cannot be parsed is text.

mod address;
mod decode;
mod encode;
mod field;
mod header;
mod mime;
mod section;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use address::{addresses, entries};
pub use decode::decode_body;
pub use encode::{has_binary, without_binary};
pub use field::{Field, fields, unfold};
pub use section::{header_section, message_section, partial, pick_fields};

/// Deepest nesting of parts; deeper content is not parsed.
const MAX_DEPTH: usize = 30;
/// The version of the stored form; to be changed with every change of [`Structure`].
const VERSION: u8 = 3;

/// A range of the content, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// The end, exclusive.
    pub end: u32,
}

impl Span {
    /// Returns its length, in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Returns the range, for slicing the content.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A message, or a message inside of a part: its envelope, and itself as a part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// The header fields of `ENVELOPE`.
    pub envelope: Envelope,
    /// The outermost part.
    pub part: Part,
}

/// One part: a whole message, or a part of a multipart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its header, with the empty line.
    pub header: Span,
    /// The body.
    pub body: Span,
    /// The number of lines of the body.
    pub lines: u32,
    /// `text` of `text/plain`, in lower case.
    pub kind: String,
    /// `plain` of `text/plain`, in lower case.
    pub subtype: String,
    /// The parameters of Content-Type, names in lower case.
    pub parameters: Vec<(String, String)>,
    /// Content-ID.
    pub id: Option<String>,
    /// Content-Description.
    pub description: Option<String>,
    /// Content-Transfer-Encoding, in upper case.
    pub encoding: Option<String>,
    /// Content-MD5.
    pub md5: Option<String>,
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-Language.
    pub languages: Vec<String>,
    /// Content-Location.
    pub location: Option<String>,
    /// Its content.
    pub content: PartContent,
}

/// Content-Disposition. RFC 2183.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposition {
    /// `attachment`, `inline`; in lower case.
    pub kind: String,
    /// Its parameters, names in lower case.
    pub parameters: Vec<(String, String)>,
}

/// The content of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartContent {
    /// Data.
    #[default]
    Leaf,
    /// Parts, at least one. RFC 2046 §5.1.
    Multipart(Vec<Part>),
    /// A message. RFC 2046 §5.2.1.
    Message(Box<Structure>),
}

impl Part {
    /// Returns whether `BODYSTRUCTURE` contains its number of lines: it is text, or contains a message. RFC 9051
    /// §7.5.2.
    pub fn counts_lines(&self) -> bool {
        self.kind == "text" || matches!(self.content, PartContent::Message(_))
    }

    /// Returns the value of the first Content-Type parameter with this name, which is given in lower case; `None` if
    /// there is none.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The header fields of `ENVELOPE`, unfolded but not decoded. RFC 9051 §7.5.2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Date.
    pub date: Option<String>,
    /// Subject.
    pub subject: Option<String>,
    /// From.
    pub from: AddressList,
    /// Sender; empty when the header has none.
    pub sender: AddressList,
    /// Reply-To; empty when the header has none.
    pub reply_to: AddressList,
    /// To.
    pub to: AddressList,
    /// Cc.
    pub cc: AddressList,
    /// Bcc.
    pub bcc: AddressList,
    /// In-Reply-To.
    pub in_reply_to: Option<String>,
    /// Message-ID.
    pub message_id: Option<String>,
}

/// The address list of a header field, unfolded. It is parsed when it is used, so it needs no more memory than the
/// field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressList(String);

impl AddressList {
    /// Keeps the list in the unfolded value of a field, without parsing it.
    pub(crate) fn new(value: String) -> Self {
        Self(value)
    }

    /// Parses the list: iterates over the addresses and the begins and ends of groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = EnvelopeAddress> {
        address::addresses(&self.0)
    }

    /// Returns whether the list has neither an address nor a group.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// An address of a header field, or the begin or end of a group. RFC 9051 §7.5.2 (address structure).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeAddress {
    /// The display name, not decoded.
    pub name: Option<String>,
    /// The source route (at-domain-list), as in `@a.test,@b.test`. RFC 5322 §4.4.
    pub route: Option<String>,
    /// The local part without quoting; at the begin of a group its name; `None` at the end of a group.
    pub local: Option<String>,
    /// The domain; `None` at the begin or end of a group.
    pub domain: Option<String>,
}

impl Structure {
    /// Parses the content of a [`crate::mail::Message`]; works for any bytes.
    ///
    /// ```
    /// use postroad::imap::Structure;
    /// let structure = Structure::of(b"Subject: hi\r\n\r\nhello\r\n");
    /// assert_eq!(structure.envelope.subject.as_deref(), Some("hi"));
    /// assert_eq!((structure.part.header.len(), structure.part.body.len()), (15, 7));
    /// ```
    pub fn of(content: &[u8]) -> Self {
        mime::structure(content)
    }

    /// Returns a structure of which only the header of the outermost part is filled in, for callers that need no more.
    pub fn of_header(content: &[u8]) -> Self {
        let header = Span { start: 0, end: field::header_len(content).try_into().unwrap_or(u32::MAX) };
        Self { part: Part { header, ..Part::default() }, ..Self::default() }
    }

    /// Returns the form for storage: a byte with the version, then the structure.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists always serialize.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Reads the form of [`Structure::to_bytes`]; `None` if it is of another version or damaged: then the message must
    /// be parsed again.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes.strip_prefix(&[VERSION])?).ok()
    }
}
