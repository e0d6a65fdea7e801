//! `SORT`, and the sort keys that are stored of each message for it and for `THREAD`. RFC 5256.

use std::cmp::Ordering;

use icu_normalizer::DecomposingNormalizer;

use super::search::{Search, Text};
use super::structure::{AddressList, Structure};
use crate::mail::base_subject;

/// `SORT` and `UID SORT`. RFC 5256 §3 (SORT).
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    /// The criteria, the most significant first; at least one.
    pub criteria: Vec<Criterion>,
    /// The messages.
    pub search: Search,
}

/// `REVERSE SUBJECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// Descending order.
    pub reverse: bool,
    /// The compared key.
    pub by: SortKey,
}

/// The keys of a sort. RFC 5256 §3 (SORT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// The internal date and time.
    Arrival,
    /// The local part of the first Cc address.
    Cc,
    /// The date it was sent; without a Date field the internal date. RFC 5256 §2.2.
    Date,
    /// The local part of the first From address.
    From,
    /// Its size.
    Size,
    /// Its base subject. RFC 5256 §2.1.
    Subject,
    /// The local part of the first To address.
    To,
}

/// The keys by which a message is sorted and threaded, computed once when it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortKeys {
    /// Local parts of the first From, To and Cc addresses, collated.
    pub addresses: [String; 3],
    /// The base subject, collated.
    pub subject: String,
    /// Whether the subject marks a reply or a forward.
    pub is_reply: bool,
    /// Its own Message-ID.
    pub id: Option<String>,
    /// Message-IDs of its ancestors, the oldest first. RFC 5256 §3 (REFERENCES).
    pub references: Vec<String>,
    /// When it was sent, in seconds since 1970.
    pub sent: Option<i64>,
}

/// Most references kept. Of more, the first (the root of the thread) and the last ones are kept.
const MAX_REFERENCES: usize = 100;
/// Values of stored [`SortKeys`] before the references; the last of them is the own id.
const FIXED_VALUES: usize = 6;
/// Longest Message-ID, in bytes; longer ones are ignored.
const MAX_ID_BYTES: usize = 1_000;

impl SortKeys {
    /// Returns the keys of a parsed message. The references are those of the first References field with an id; without
    /// one, the first id of In-Reply-To. Of more than `MAX_REFERENCES`, the first and the last ones are kept.
    pub(crate) fn of(text: &Text<'_>, structure: &Structure) -> Self {
        let envelope = &structure.envelope;
        let person = |list: &AddressList| {
            list.iter().next().and_then(|first| first.local).as_deref().map(collated).unwrap_or_default()
        };
        let (mut references, mut subject) = (Vec::new(), None);
        text.each_field(|name, value| match name.to_ascii_lowercase().as_slice() {
            b"subject" if subject.is_none() => subject = Some(base_subject(value)),
            _ => {}
        });
        text.each_raw_field(|name, value| {
            if name.eq_ignore_ascii_case(b"References") && references.is_empty() {
                references = ids(value);
            }
        });
        if references.is_empty() {
            references = envelope.in_reply_to.as_deref().map(ids).unwrap_or_default();
            references.truncate(1);
        }
        if MAX_REFERENCES < references.len() {
            references.drain(1..=references.len() - MAX_REFERENCES);
        }
        let (subject, is_reply) = subject.unwrap_or_default();
        Self {
            addresses: [person(&envelope.from), person(&envelope.to), person(&envelope.cc)],
            subject: collated(&subject),
            is_reply,
            id: envelope.message_id.as_deref().and_then(|field| ids(field).into_iter().next()),
            references,
            sent: text.sent_at(),
        }
    }

    /// Compares with the keys of another message, ascending, by From, To or Cc (the collated first address) or by
    /// subject; always `Equal` by arrival, date and size, which the caller compares.
    pub fn compare(&self, by: SortKey, other: &Self) -> Ordering {
        match by {
            SortKey::From => self.addresses[0].cmp(&other.addresses[0]),
            SortKey::To => self.addresses[1].cmp(&other.addresses[1]),
            SortKey::Cc => self.addresses[2].cmp(&other.addresses[2]),
            SortKey::Subject => self.subject.cmp(&other.subject),
            SortKey::Arrival | SortKey::Date | SortKey::Size => Ordering::Equal,
        }
    }

    /// Returns the form for storage, without [`SortKeys::sent`]: the From, To and Cc address, the subject, `R` for a
    /// reply, the own id and the references; each value, also an empty one, ends in NUL, which none of them contains.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [from, to, cc] = &self.addresses;
        let reply = if self.is_reply { "R" } else { "" };
        let fixed: [&str; FIXED_VALUES] = [from, to, cc, &self.subject, reply, self.id.as_deref().unwrap_or_default()];
        let values = fixed.into_iter().chain(self.references.iter().map(String::as_str));
        values.flat_map(|value| [value, "\0"]).collect::<String>().into_bytes()
    }

    /// Reads the form of [`SortKeys::to_bytes`], and sets [`SortKeys::sent`] to `sent`; values that are missing are
    /// empty, and bytes that are not UTF-8 become U+FFFD.
    pub fn from_bytes(bytes: &[u8], sent: Option<i64>) -> Self {
        let mut values = bytes.split(|byte| *byte == 0).map(|value| String::from_utf8_lossy(value).into_owned());
        let mut next = || values.next().unwrap_or_default();
        let addresses = [next(), next(), next()];
        let (subject, is_reply, id) = (next(), next() == "R", Some(next()).filter(|id| !id.is_empty()));
        // After the last NUL comes an empty piece.
        let references = values.filter(|id| !id.is_empty()).collect();
        Self { addresses, subject, is_reply, id, references, sent }
    }
}

/// Returns the id of the thread of a message, from its stored [`SortKeys`] and the email id that its copies share: a
/// hash of its first reference, else of its own Message-ID, else of the email id. So messages with the same first
/// reference, and the message with that id, have the same thread. RFC 8474 §5.2.
pub fn thread_of(sort_keys: &[u8], email: u64) -> u64 {
    let mut ids = sort_keys.split(|byte| *byte == 0).skip(FIXED_VALUES - 1);
    let mut next = || ids.next().filter(|id| !id.is_empty());
    let (own, first) = (next(), next());
    let hash = match first.or(own) {
        Some(id) => blake3::hash(id),
        None => blake3::hash(&email.to_le_bytes()),
    };
    let bytes = hash.as_bytes();
    u64::from_le_bytes(std::array::from_fn(|at| bytes[at]))
}

/// Returns a text in the form that is compared: in upper case, decomposed (NFKD), without NUL; the collation
/// i;unicode-casemap. RFC 5051 §2.
fn collated(text: &str) -> String {
    let upper: String = text.chars().filter(|char| *char != '\0').flat_map(char::to_uppercase).collect();
    DecomposingNormalizer::new_nfkd().normalize(&upper).into_owned()
}

/// Returns the Message-IDs in the value of a field, in order, without angle brackets and whitespace, and without the
/// text between them; those longer than `MAX_ID_BYTES` are omitted. RFC 5322 §3.6.4.
fn ids(field: &str) -> Vec<String> {
    let parts = field.split('<').skip(1).filter_map(|part| part.split_once('>'));
    let ids = parts.map(|(id, _)| id.chars().filter(|char| !char.is_whitespace() && *char != '\0').collect::<String>());
    ids.filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Message;

    #[test]
    fn sort_keys_survive_encoding() {
        let of = |text: &str| {
            let message = Message::new(text.to_owned().into());
            let structure = Structure::of(message.content.bytes());
            SortKeys::of(&Text::new(&message, &structure), &structure)
        };
        let sort_keys =
            of("From: \u{e9}va <Eva@a.test>\r\nTo: x:y@b.test, z@c.test;\r\nSubject: Re: =?utf-8?q?=C3=A9t?=\r\n\
            Message-ID: <1@a>\r\nReferences: <a@a>\r\n junk <b @b>\r\nIn-Reply-To: <c@c>\r\n\
            Date: Thu, 1 Jan 2026 01:00:00 +0100\r\n\r\n");
        let wanted = SortKeys {
            addresses: ["EVA".into(), "X".into(), String::new()],
            subject: "E\u{301}T".into(),
            is_reply: true,
            id: Some("1@a".into()),
            references: vec!["a@a".into(), "b@b".into()],
            sent: Some(1_767_225_600),
        };
        assert_eq!(sort_keys, wanted);
        assert_eq!(SortKeys::from_bytes(&sort_keys.to_bytes(), sort_keys.sent), wanted);
        let plain = of("In-Reply-To: <c@c> <d@d>\r\n\r\n");
        assert_eq!(plain.references, ["c@c"]);
        assert_eq!(SortKeys::from_bytes(&plain.to_bytes(), None), plain);
        let long: String = (0..150).map(|at| format!(" <{at}@a>")).collect();
        let references = of(&format!("References:{long}\r\n\r\n")).references;
        assert_eq!((references.len(), &references[0][..], &references[1][..]), (MAX_REFERENCES, "0@a", "51@a"));
    }

    #[test]
    fn thread_of_is_the_same_for_all_replies() {
        let of = |header: &str, email| {
            let message = Message::new(format!("{header}\r\n").into());
            let structure = Structure::of(message.content.bytes());
            thread_of(&SortKeys::of(&Text::new(&message, &structure), &structure).to_bytes(), email)
        };
        let first = of("Message-ID: <1@a>\r\n", 1);
        for answer in [
            "Message-ID: <2@a>\r\nIn-Reply-To: <1@a>\r\n",
            "Message-ID: <3@a>\r\nReferences: <1@a> <2@a>\r\nIn-Reply-To: <2@a>\r\n",
            "References: <1@a>\r\nSubject: another one\r\n",
        ] {
            assert_eq!(of(answer, 2), first, "{answer}");
        }
        assert_ne!(of("Message-ID: <2@a>\r\n", 1), first);
        assert_ne!(of("Subject: x\r\n", 1), of("Subject: x\r\n", 2));
        assert_eq!(of("Subject: x\r\n", 1), of("", 1));
    }
}
