//! `SEARCH`: its keys, and their evaluation. RFC 9051 §6.4.4.
//!
//! A key has three possible values: facts of the view (flags, dates, sizes) may decide it without the message; if not,
//! the caller loads the precomputed summary ([`KnownFacts`], [`TrigramFilter`]), and only then the message itself.

mod matcher;
mod text;
mod trigrams;

use std::borrow::Cow;

use jiff::civil::Date;

pub use matcher::{KnownFacts, MessageFacts, evaluate};
pub use text::Text;
pub(crate) use text::VALUE_END;
pub use trigrams::{TrigramFilter, TrigramQuery, trace_text};

use self::text::fold;
use super::value::{SequenceSet, SystemFlags, Window};

/// `SEARCH` with its options.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Whether the reply contains UIDs.
    pub uid: bool,
    /// `RETURN (...)`, with which the reply is `ESEARCH`; `None` for the `SEARCH` of RFC 3501.
    pub returns: Option<SearchReturn>,
    /// Whether the command has a CHARSET.
    pub names_charset: bool,
    /// The key.
    pub key: Key,
}

/// `RETURN (...)` of `SEARCH`. RFC 9051 §6.4.4.1; an empty list means `ALL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchReturn {
    /// The lowest number.
    pub min: bool,
    /// The highest number.
    pub max: bool,
    /// All numbers.
    pub all: bool,
    /// The number of matches.
    pub count: bool,
    /// Save the result as `$`.
    pub save: bool,
    /// `PARTIAL`: a page of the result. RFC 9394 §3.1.
    pub page: Option<Window>,
}

/// A search key. RFC 9051 §6.4.4.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// `ALL`.
    All,
    /// All of these keys.
    And(Vec<Key>),
    /// `OR`.
    Or(Box<Key>, Box<Key>),
    /// `NOT`.
    Not(Box<Key>),
    /// `SEEN`, `DELETED` and similar keys.
    Flag(SystemFlags),
    /// `KEYWORD`.
    Keyword(String),
    /// `RECENT`. RFC 3501 §6.4.4.
    Recent,
    /// Sequence numbers.
    Sequence(SequenceSet),
    /// `UID`.
    Uid(SequenceSet),
    /// `BEFORE`, `ON`, `SINCE`: by internal date.
    Arrived(When, Date),
    /// `YOUNGER`, and negated `OLDER`: received within this many seconds. RFC 5032 §3.
    Younger(u32),
    /// `SAVEDBEFORE`, `SAVEDON`, `SAVEDSINCE`: by save date. RFC 8514 §4.3.
    Saved(When, Date),
    /// `SENTBEFORE`, `SENTON`, `SENTSINCE`: by the Date field.
    Sent(When, Date),
    /// `MODSEQ`: changed at this modification sequence or later. RFC 7162 §3.1.5.
    ModSeq(u64),
    /// `EMAILID`; `None` for an id of another form. RFC 8474 §6.
    EmailId(Option<u64>),
    /// `THREADID`; `None` for an id of another form. RFC 8474 §6.
    ThreadId(Option<u64>),
    /// `LARGER`.
    Larger(u64),
    /// `SMALLER`.
    Smaller(u64),
    /// `FROM`, `SUBJECT`, `HEADER` and similar keys: field name and text; the empty text matches any field of that
    /// name.
    Header(String, String),
    /// `BODY`.
    Body(String),
    /// `TEXT`: header or body.
    Text(String),
}

impl Key {
    /// Returns whether a key `MODSEQ` is in this key, at any depth, so that the reply includes the highest one. RFC
    /// 7162 §3.1.5.
    pub fn uses_modseq(&self) -> bool {
        match self {
            Self::And(keys) => keys.iter().any(Self::uses_modseq),
            Self::Or(first, second) => first.uses_modseq() || second.uses_modseq(),
            Self::Not(key) => key.uses_modseq(),
            Self::ModSeq(_) => true,
            _ => false,
        }
    }

    /// Returns the texts of all `BODY`, `TEXT` and header keys in this key, at any depth, as the client wrote them, and
    /// for each header key also the beginning of the field, as in `subject: `. Those that filters rule out for a
    /// message are to be its [`MessageFacts::lacks`].
    pub fn texts(&self) -> Vec<Cow<'_, str>> {
        match self {
            Self::And(keys) => keys.iter().flat_map(Self::texts).collect(),
            Self::Or(first, second) => [first.texts(), second.texts()].concat(),
            Self::Not(key) => key.texts(),
            Self::Body(words) | Self::Text(words) => vec![words.into()],
            Self::Header(name, words) => vec![field_start(name).into(), words.into()],
            _ => vec![],
        }
    }

    /// Returns whether a `BODY` or `TEXT` key is in this key, at any depth, so that it may need more of a message than
    /// its header.
    pub fn needs_body(&self) -> bool {
        match self {
            Self::And(keys) => keys.iter().any(Self::needs_body),
            Self::Or(first, second) => first.needs_body() || second.needs_body(),
            Self::Not(key) => key.needs_body(),
            Self::Body(_) | Self::Text(_) => true,
            _ => false,
        }
    }
}

/// Returns how the line of a field of this name begins in the text that `TEXT` searches: `subject: `, case-folded.
fn field_start(name: &str) -> String {
    format!("{}: ", fold(name))
}

/// The relation to a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Earlier than the day.
    Before,
    /// On the day.
    On,
    /// On the day or later.
    Since,
}
