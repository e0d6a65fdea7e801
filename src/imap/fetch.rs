//! The data items of `FETCH`. RFC 9051 §6.4.5.

use super::listed_fields::is_listed_field;

/// One data item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `ENVELOPE`.
    Envelope,
    /// `FLAGS`.
    Flags,
    /// `INTERNALDATE`.
    InternalDate,
    /// `RFC822.SIZE`.
    Size,
    /// `UID`.
    Uid,
    /// `PREVIEW`: the beginning of the text. RFC 8970 §3.1.
    Preview,
    /// `EMAILID`: the same for all copies. RFC 8474 §5.1.
    EmailId,
    /// `THREADID`: the same for all messages of a thread. RFC 8474 §5.2.
    ThreadId,
    /// `SAVEDATE`: when it was added to this mailbox. RFC 8514 §4.2.
    SaveDate,
    /// `MODSEQ`: the modification sequence of its last change. RFC 7162 §3.1.4.2.
    ModSeq,
    /// `BODYSTRUCTURE`, or `BODY` without a section, which omits extension data.
    BodyStructure {
        /// Whether extension data is included.
        extensible: bool,
    },
    /// `BODY[section]<partial>` and its variants.
    Body {
        /// The requested bytes.
        section: Section,
        /// Whether `\Seen` is left unchanged: `BODY.PEEK`.
        peek: bool,
        /// Offset and length.
        partial: Option<(u32, u32)>,
        /// The name used by the client.
        name: BodyName,
    },
    /// `BINARY[part]<partial>`: the body of a part, decoded. RFC 3516.
    Binary {
        /// The part; empty for the whole message.
        part: Vec<u32>,
        /// Whether `\Seen` is left unchanged: `BINARY.PEEK`.
        peek: bool,
        /// Offset and length.
        partial: Option<(u32, u32)>,
    },
    /// `BINARY.SIZE[part]`.
    BinarySize(Vec<u32>),
}

impl Item {
    /// Returns whether a `FETCH` of this item sets `\Seen`: `BODY[...]` and `BINARY[...]` without `PEEK`, `RFC822` and
    /// `RFC822.TEXT`. RFC 9051 §6.4.5.
    pub fn sets_seen(&self) -> bool {
        matches!(self, Self::Body { peek: false, .. } | Self::Binary { peek: false, .. })
    }

    /// Returns whether the value of this item comes from the [`crate::imap::Summary`]: `ENVELOPE`, `BODYSTRUCTURE` (but
    /// not `BODY`) and `THREADID`.
    pub fn needs_summary(&self) -> bool {
        matches!(self, Self::Envelope | Self::BodyStructure { extensible: true } | Self::ThreadId)
    }

    /// Returns whether the value of this item needs the [`crate::imap::Structure`] of the message: `BODY` without a
    /// section, `BINARY`, `BINARY.SIZE`, and `BODY[...]` with part numbers.
    pub fn needs_structure(&self) -> bool {
        match self {
            // Sections of the message as a whole do not depend on its structure.
            Self::Body { section, .. } => !section.part.is_empty(),
            Self::BodyStructure { extensible } => !extensible,
            Self::Binary { .. } | Self::BinarySize(_) => true,
            _ => false,
        }
    }

    /// Returns whether this item asks for the header of the message itself, or for fields of that header, and for
    /// nothing else: `BODY[HEADER]`, `BODY[HEADER.FIELDS (...)]`, `BODY[HEADER.FIELDS.NOT (...)]`, `RFC822.HEADER`.
    pub fn is_of_header(&self) -> bool {
        let Self::Body { section: Section { part, text }, .. } = self else { return false };
        part.is_empty() && matches!(text, SectionText::Header | SectionText::HeaderFields { .. })
    }

    /// Returns the names in `BODY[HEADER.FIELDS (...)]` of the message itself, as the client wrote them; `None` for all
    /// other items, `HEADER.FIELDS.NOT` included.
    pub fn field_names(&self) -> Option<&[String]> {
        match self {
            Self::Body { section: Section { part, text: SectionText::HeaderFields { not: false, names } }, .. }
                if part.is_empty() =>
            {
                Some(names)
            }
            _ => None,
        }
    }

    /// Returns the names in `BODY[HEADER.FIELDS (...)]` of the message itself, if [`is_listed_field`] holds for all of
    /// them, so that the kept header answers the item; `None` if not, and for all other items.
    pub fn listed_fields(&self) -> Option<&[String]> {
        self.field_names().filter(|names| names.iter().all(|name| is_listed_field(name)))
    }

    /// Returns whether the value of this item needs the bytes of the message, or at least those of its header:
    /// `BODY[...]`, `BINARY`, `BINARY.SIZE`, `RFC822`, `RFC822.HEADER` and `RFC822.TEXT`.
    pub fn needs_message(&self) -> bool {
        matches!(self, Self::Body { .. } | Self::Binary { .. } | Self::BinarySize(_))
    }
}

/// The names of items that return bytes of a message. RFC 3501 §6.4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyName {
    /// `BODY[...]`.
    Body,
    /// `RFC822`: like `BODY[]`.
    Rfc822,
    /// `RFC822.HEADER`: like `BODY.PEEK[HEADER]`.
    Rfc822Header,
    /// `RFC822.TEXT`: like `BODY[TEXT]`.
    Rfc822Text,
}

/// `1.2.HEADER`: a section of a message. RFC 9051 §6.4.5.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Part numbers, outermost first; empty for the message itself.
    pub part: Vec<u32>,
    /// The section of that part.
    pub text: SectionText,
}

/// A section of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SectionText {
    /// The whole message, or the body of a part.
    #[default]
    All,
    /// The header of a message.
    Header,
    /// Some fields of the header of a message.
    HeaderFields {
        /// `HEADER.FIELDS.NOT`: all fields except the named ones.
        not: bool,
        /// Field names as the client wrote them.
        names: Vec<String>,
    },
    /// The body of a message.
    Text,
    /// The MIME header of a part.
    Mime,
}
