//! What a message is made of, worked out once when it is delivered: its envelope and where each part lies, so that any
//! section a client asks for is a slice of the shared octets.
//!
//! ```text
//! trace | content                                  a mail::Letter
//!         Subject: ...                \ header
//!                                     /            Part { header, body, content }
//!         --b                         \
//!         Content-Type: text/plain     |             header  \
//!                                      | body                 | Part in content
//!         hello                        |             body    /
//!         --b--                       /
//! ```
//!
//! Offsets count from where the content begins; trace lines above it belong to the header. However broken a message
//! is, it has a structure: what cannot be understood is text.

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

pub(crate) use address::entries;
pub use decode::decode_body;
pub use encode::without_binary;
pub use field::{Field, fields, unfold};
pub use section::partial;

/// How deep parts may nest; what lies deeper is not taken apart.
const DEPTH_MAX: usize = 30;
/// Stored forms begin with it. Whatever changes in a [`Structure`] changes it.
const VERSION: u8 = 2;

/// A stretch of the content, in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first octet.
    pub start: u32,
    /// Behind its last octet.
    pub end: u32,
}

impl Span {
    /// Its length.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// As a range to slice with.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A message, or one inside of another: its envelope, and itself as a part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// What its header says about its way.
    pub envelope: Envelope,
    /// The outermost part.
    pub part: Part,
}

/// One part: a message's whole content, or one part of a multipart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its header, with the empty line below.
    pub header: Span,
    /// What follows the header.
    pub body: Span,
    /// Lines of the body.
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
    /// What is inside.
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

/// What is inside of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartContent {
    /// Octets.
    #[default]
    Leaf,
    /// Parts, at least one. RFC 2046 §5.1.
    Multipart(Vec<Part>),
    /// A message. RFC 2046 §5.2.1.
    Message(Box<Structure>),
}

impl Part {
    /// Whether `BODYSTRUCTURE` tells its lines. RFC 9051 §7.5.2.
    pub fn counts_lines(&self) -> bool {
        self.kind == "text" || matches!(self.content, PartContent::Message(_))
    }

    /// The value of a Content-Type parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The header fields that `ENVELOPE` tells, unfolded but not decoded. RFC 9051 §7.5.2.
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

/// The address list of a header field, as it stands there, unfolded. It is read when it is asked for, so that it takes
/// no more memory than the field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressList(String);

impl AddressList {
    /// Of the value of such a field.
    pub(crate) fn new(value: String) -> Self {
        Self(value)
    }

    /// The addresses and the edges of groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = EnvelopeAddress> {
        address::addresses(&self.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// An address of a header field, or the edge of a group of them. RFC 9051 §7.5.2 (address structure).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeAddress {
    /// The display name, not decoded.
    pub name: Option<String>,
    /// The local part without quoting; where a group begins, its name; `None` where a group ends.
    pub local: Option<String>,
    /// The domain; `None` at the edge of a group.
    pub domain: Option<String>,
}

impl Structure {
    /// Takes a message apart, the content of a [`crate::mail::Letter`]. Never fails.
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

    /// For the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always have a form.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// From the store; `None` if it was not written by [`Structure::to_bytes`] of this version, and then the message
    /// is to be taken apart again.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes.strip_prefix(&[VERSION])?).ok()
    }
}
