//! `SEARCH`: what a client looks for, and whether a message is it. RFC 9051 §6.4.4.
//!
//! A key is judged in three values: what the index knows (flags, dates, sizes) may decide without the message; if it
//! does not, the owner looks into what was worked out when the message was filed ([`Known`], [`Grams`]), and only then
//! into the message.

mod grams;
mod judge;
mod text;

use jiff::civil::Date;

pub use grams::{Grams, Wanted};
pub use judge::{Facts, Known, judge};
pub use text::Text;

use super::value::{SequenceSet, SystemFlags, Window};

/// `SEARCH` with its options.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Whether the answer speaks of UIDs.
    pub uid: bool,
    /// `RETURN (...)`, which makes the answer an `ESEARCH`; `None` asks for the `SEARCH` of RFC 3501.
    pub returns: Option<SearchReturn>,
    /// Whether the client has named a charset.
    pub names_charset: bool,
    /// What is looked for.
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
    /// How many.
    pub count: bool,
    /// Remember them as `$`.
    pub save: bool,
    /// `PARTIAL`: a page of them. RFC 9394 §3.1.
    pub page: Option<Window>,
}

/// What is looked for. RFC 9051 §6.4.4.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// `ALL`.
    All,
    /// All of these, as keys in a row.
    And(Vec<Key>),
    /// `OR`.
    Or(Box<Key>, Box<Key>),
    /// `NOT`.
    Not(Box<Key>),
    /// `SEEN`, `DELETED` and their kin.
    Flag(SystemFlags),
    /// `KEYWORD`.
    Keyword(String),
    /// `RECENT`. RFC 3501 §6.4.4.
    Recent,
    /// Sequence numbers.
    Sequence(SequenceSet),
    /// `UID`.
    Uid(SequenceSet),
    /// `BEFORE`, `ON`, `SINCE`: by arrival.
    Arrived(When, Date),
    /// `YOUNGER`, and without it `OLDER`: arrived within so many seconds. RFC 5032 §3.
    Younger(u32),
    /// `SAVEDBEFORE`, `SAVEDON`, `SAVEDSINCE`: by when it came into this mailbox. RFC 8514 §4.3.
    Saved(When, Date),
    /// `SENTBEFORE`, `SENTON`, `SENTSINCE`: by the Date field.
    Sent(When, Date),
    /// `MODSEQ`: changed in this change or later. RFC 7162 §3.1.5.
    ModSeq(u64),
    /// `EMAILID`; `None` for what is no id of ours. RFC 8474 §6.
    EmailId(Option<u64>),
    /// `THREADID`; `None` for what is no id of ours. RFC 8474 §6.
    ThreadId(Option<u64>),
    /// `LARGER`.
    Larger(u64),
    /// `SMALLER`.
    Smaller(u64),
    /// `FROM`, `SUBJECT`, `HEADER` and their kin: a field that holds a text; every such field holds the empty text.
    Header(String, String),
    /// `BODY`.
    Body(String),
    /// `TEXT`: header or body.
    Text(String),
}

impl Key {
    /// Whether it asks for changes, and so the answer tells the last of them. RFC 7162 §3.1.5.
    pub fn asks_modseq(&self) -> bool {
        match self {
            Self::And(keys) => keys.iter().any(Self::asks_modseq),
            Self::Or(first, second) => first.asks_modseq() || second.asks_modseq(),
            Self::Not(key) => key.asks_modseq(),
            Self::ModSeq(_) => true,
            _ => false,
        }
    }

    /// The texts that are looked for in whole messages.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::And(keys) => keys.iter().flat_map(Self::texts).collect(),
            Self::Or(first, second) => [first.texts(), second.texts()].concat(),
            Self::Not(key) => key.texts(),
            Self::Body(words) | Self::Text(words) => vec![words],
            _ => vec![],
        }
    }
}

/// On which side of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Earlier than the day.
    Before,
    /// On the day.
    On,
    /// On the day or later.
    Since,
}
