//! What `FETCH` can tell of a message. RFC 9051 §6.4.5.

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
    /// `PREVIEW`: how its text begins. RFC 8970 §3.1.
    Preview,
    /// `EMAILID`: the same for all copies. RFC 8474 §5.1.
    EmailId,
    /// `THREADID`: the same for all that answer the same message, at first or second hand. RFC 8474 §5.2.
    ThreadId,
    /// `SAVEDATE`: when it came into this mailbox. RFC 8514 §4.2.
    SaveDate,
    /// `MODSEQ`: the number of its last change. RFC 7162 §3.1.4.2.
    ModSeq,
    /// `BODYSTRUCTURE`, or `BODY` without a section, which leaves out extension data.
    BodyStructure {
        /// Whether extension data is told.
        extensible: bool,
    },
    /// `BODY[section]<partial>` and its kin.
    Body {
        /// Which octets.
        section: Section,
        /// Whether `\Seen` stays as it is: `BODY.PEEK`.
        peek: bool,
        /// First octet and how many.
        partial: Option<(u32, u32)>,
        /// Under which name the client asked.
        name: BodyName,
    },
    /// `BINARY[part]<partial>`: the body of a part, decoded. RFC 3516.
    Binary {
        /// The part; empty for the whole message.
        part: Vec<u32>,
        /// Whether `\Seen` stays as it is: `BINARY.PEEK`.
        peek: bool,
        /// First octet and how many.
        partial: Option<(u32, u32)>,
    },
    /// `BINARY.SIZE[part]`.
    BinarySize(Vec<u32>),
}

impl Item {
    /// Whether to tell it the message gets `\Seen`. RFC 9051 §6.4.5.
    pub fn sets_seen(&self) -> bool {
        matches!(self, Self::Body { peek: false, .. } | Self::Binary { peek: false, .. })
    }

    /// Whether the message's summary has it ready.
    pub fn needs_summary(&self) -> bool {
        matches!(self, Self::Envelope | Self::BodyStructure { extensible: true } | Self::ThreadId)
    }

    /// Whether the message's structure must be known to tell it.
    pub fn needs_structure(&self) -> bool {
        match self {
            // The whole message is whole whatever it is made of.
            Self::Body { section, .. } => *section != Section::default(),
            Self::BodyStructure { extensible } => !extensible,
            Self::Binary { .. } | Self::BinarySize(_) => true,
            _ => false,
        }
    }

    /// Whether the message's octets must be at hand to tell it.
    pub fn needs_octets(&self) -> bool {
        matches!(self, Self::Body { .. } | Self::Binary { .. } | Self::BinarySize(_))
    }
}

/// The names under which octets of a message are asked for. RFC 3501 §6.4.5.
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

/// `1.2.HEADER`: which octets of a message. RFC 9051 §6.4.5.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Part numbers from the outside in; empty for the message itself.
    pub part: Vec<u32>,
    /// Which octets of that part.
    pub text: SectionText,
}

/// Which octets of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SectionText {
    /// All of the message, or the body of a part.
    #[default]
    All,
    /// The header of a message.
    Header,
    /// Some fields of the header of a message.
    HeaderFields {
        /// `HEADER.FIELDS.NOT`: all but the named ones.
        not: bool,
        /// Field names as the client wrote them.
        names: Vec<String>,
    },
    /// The body of a message.
    Text,
    /// The MIME header of a part.
    Mime,
}
