//! `SORT`: messages in an order of the client's choice, and what is kept of each for that and for `THREAD`. RFC 5256.

use std::cmp::Ordering;

use icu_normalizer::DecomposingNormalizer;

use super::search::{Search, Text};
use super::structure::{AddressList, Structure};

/// `SORT` and `UID SORT`. RFC 5256 §3 (SORT).
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    /// What to compare; the next one counts where one finds no difference. At least one.
    pub criteria: Vec<Criterion>,
    /// Which messages.
    pub search: Search,
}

/// `REVERSE SUBJECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// Highest first.
    pub reverse: bool,
    /// What is compared.
    pub by: By,
}

/// What messages are sorted by. RFC 5256 §3 (SORT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// When it came: the internal date with its time.
    Arrival,
    /// The local part of the first Cc address.
    Cc,
    /// When it was sent; without a Date field when it came. RFC 5256 §2.2.
    Date,
    /// The local part of the first From address.
    From,
    /// Its octets.
    Size,
    /// Its base subject. RFC 5256 §2.1.
    Subject,
    /// The local part of the first To address.
    To,
}

/// What decides about the place of a message among others, worked out once when it is filed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Local parts of the first From, To and Cc addresses, to be compared.
    pub people: [String; 3],
    /// The base subject, to be compared.
    pub subject: String,
    /// Whether the subject says that it answers or forwards another one.
    pub is_reply: bool,
    /// Its own Message-ID.
    pub id: Option<String>,
    /// Message-IDs of those it answers, the oldest first. RFC 5256 §3 (REFERENCES).
    pub references: Vec<String>,
    /// When it was sent, in seconds since 1970.
    pub sent: Option<i64>,
}

/// More references are left out, the oldest first but for the first of all, which began the thread.
const REFERENCES_MAX: usize = 100;
/// Values of a stored [`Standing`] before the references; the last of them is its own id.
const FIXED_VALUES: usize = 6;
/// Longer ids are no ids.
const ID_OCTETS_MAX: usize = 1_000;

impl Standing {
    /// Of a message that was taken apart.
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
        if REFERENCES_MAX < references.len() {
            references.drain(1..=references.len() - REFERENCES_MAX);
        }
        let (subject, is_reply) = subject.unwrap_or_default();
        Self {
            people: [person(&envelope.from), person(&envelope.to), person(&envelope.cc)],
            subject: collated(&subject),
            is_reply,
            id: envelope.message_id.as_deref().and_then(|field| ids(field).into_iter().next()),
            references,
            sent: text.sent_at(),
        }
    }

    /// Compares two messages by what is kept of them; by arrival and size the owner does.
    pub fn compare(&self, by: By, other: &Self) -> Ordering {
        match by {
            By::From => self.people[0].cmp(&other.people[0]),
            By::To => self.people[1].cmp(&other.people[1]),
            By::Cc => self.people[2].cmp(&other.people[2]),
            By::Subject => self.subject.cmp(&other.subject),
            By::Arrival | By::Date | By::Size => Ordering::Equal,
        }
    }

    /// For the store, but for [`Standing::sent`]; a NUL behind each value, which none of them holds.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [from, to, cc] = &self.people;
        let reply = if self.is_reply { "R" } else { "" };
        let fixed: [&str; FIXED_VALUES] = [from, to, cc, &self.subject, reply, self.id.as_deref().unwrap_or_default()];
        let values = fixed.into_iter().chain(self.references.iter().map(String::as_str));
        values.flat_map(|value| [value, "\0"]).collect::<String>().into_bytes()
    }

    /// From the store.
    pub fn from_bytes(bytes: &[u8], sent: Option<i64>) -> Self {
        let mut values = bytes.split(|byte| *byte == 0).map(|value| String::from_utf8_lossy(value).into_owned());
        let mut next = || values.next().unwrap_or_default();
        let people = [next(), next(), next()];
        let (subject, is_reply, id) = (next(), next() == "R", Some(next()).filter(|id| !id.is_empty()));
        // Behind the last NUL there is nothing.
        let references = values.filter(|id| !id.is_empty()).collect();
        Self { people, subject, is_reply, id, references, sent }
    }
}

/// The thread of a message, by its [`Standing`] as it is stored and by what all its copies have in common: the same for
/// all that name the same message as the first of those they answer, and for that one. RFC 8474 §5.2.
pub fn thread_of(standing: &[u8], email: u64) -> u64 {
    let mut ids = standing.split(|byte| *byte == 0).skip(FIXED_VALUES - 1);
    let mut next = || ids.next().filter(|id| !id.is_empty());
    let (own, first) = (next(), next());
    let hash = match first.or(own) {
        Some(id) => blake3::hash(id),
        None => blake3::hash(&email.to_le_bytes()),
    };
    let octets = hash.as_bytes();
    u64::from_le_bytes(std::array::from_fn(|at| octets[at]))
}

/// Text as it is compared: the collation i;unicode-casemap. RFC 5051 §2.
fn collated(text: &str) -> String {
    let upper: String = text.chars().filter(|char| *char != '\0').flat_map(char::to_uppercase).collect();
    DecomposingNormalizer::new_nfkd().normalize(&upper).into_owned()
}

/// Message-IDs in a field, without what stands between them. RFC 5322 §3.6.4.
fn ids(field: &str) -> Vec<String> {
    let parts = field.split('<').skip(1).filter_map(|part| part.split_once('>'));
    let ids = parts.map(|(id, _)| id.chars().filter(|char| !char.is_whitespace() && *char != '\0').collect::<String>());
    ids.filter(|id| !id.is_empty() && id.len() <= ID_OCTETS_MAX).collect()
}

/// What a subject is about, without the marks of replies and forwards; and whether there were any. RFC 5256 §2.1.
pub fn base_subject(subject: &str) -> (String, bool) {
    let words = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut rest, mut is_reply) = (words.as_str(), false);
    loop {
        while let Some(shorter) = strip_suffix(rest, "(fwd)") {
            (rest, is_reply) = (shorter.trim_end(), true);
        }
        loop {
            rest = rest.trim_start();
            if let Some(shorter) = without_refwd(rest) {
                (rest, is_reply) = (shorter, true);
            } else if let Some(shorter) = without_blob(rest).filter(|shorter| !shorter.is_empty()) {
                rest = shorter;
            } else {
                break;
            }
        }
        match strip_prefix(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => (rest, is_reply) = (inner.trim(), true),
            None => return (rest.to_owned(), is_reply),
        }
    }
}

/// `*subj-blob ("re" / "fw" / "fwd") *WSP [subj-blob] ":"`.
fn without_refwd(subject: &str) -> Option<&str> {
    let mut rest = subject;
    while let Some(shorter) = without_blob(rest) {
        rest = shorter;
    }
    let rest = ["re", "fwd", "fw"].iter().find_map(|mark| strip_prefix(rest, mark))?.trim_start();
    without_blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// `"[" *BLOBCHAR "]" *WSP`.
fn without_blob(subject: &str) -> Option<&str> {
    let (inner, rest) = subject.strip_prefix('[')?.split_once(']')?;
    if inner.contains('[') { None } else { Some(rest.trim_start()) }
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Letter;

    #[test]
    fn subjects_are_stripped_to_what_they_are_about() {
        for (subject, wanted, is_reply) in [
            ("hello  world", "hello world", false),
            ("Re: hello", "hello", true),
            ("RE: fwd: Re : hello (fwd) (FWD)", "hello", true),
            ("[list] Re: [x] hello", "hello", true),
            ("Re[2]: hello", "hello", true),
            ("[list] hello", "hello", false),
            ("[list]", "[list]", false),
            ("[Fwd: Re: hello]", "hello", true),
            ("Rest: hello", "Rest: hello", false),
            ("re:", "", true),
            ("[a[b] hello", "[a[b] hello", false),
            ("", "", false),
            ("\u{e9}(fwd", "\u{e9}(fwd", false),
        ] {
            assert_eq!(base_subject(subject), (wanted.to_owned(), is_reply), "{subject:?}");
        }
    }

    #[test]
    fn what_is_kept_of_a_message_survives_the_store() {
        let of = |message: &str| {
            let letter = Letter::new(message.to_owned().into());
            let structure = Structure::of(letter.content.bytes());
            Standing::of(&Text::new(&letter, &structure), &structure)
        };
        let standing =
            of("From: \u{e9}va <Eva@a.test>\r\nTo: x:y@b.test, z@c.test;\r\nSubject: Re: =?utf-8?q?=C3=A9t?=\r\n\
            Message-ID: <1@a>\r\nReferences: <a@a>\r\n junk <b @b>\r\nIn-Reply-To: <c@c>\r\n\
            Date: Thu, 1 Jan 2026 01:00:00 +0100\r\n\r\n");
        let wanted = Standing {
            people: ["EVA".into(), "X".into(), String::new()],
            subject: "E\u{301}T".into(),
            is_reply: true,
            id: Some("1@a".into()),
            references: vec!["a@a".into(), "b@b".into()],
            sent: Some(1_767_225_600),
        };
        assert_eq!(standing, wanted);
        assert_eq!(Standing::from_bytes(&standing.to_bytes(), standing.sent), wanted);
        let plain = of("In-Reply-To: <c@c> <d@d>\r\n\r\n");
        assert_eq!(plain.references, ["c@c"]);
        assert_eq!(Standing::from_bytes(&plain.to_bytes(), None), plain);
        let long: String = (0..150).map(|at| format!(" <{at}@a>")).collect();
        let references = of(&format!("References:{long}\r\n\r\n")).references;
        assert_eq!((references.len(), &references[0][..], &references[1][..]), (REFERENCES_MAX, "0@a", "51@a"));
    }

    #[test]
    fn a_thread_is_what_began_it() {
        let of = |header: &str, email| {
            let letter = Letter::new(format!("{header}\r\n").into());
            let structure = Structure::of(letter.content.bytes());
            thread_of(&Standing::of(&Text::new(&letter, &structure), &structure).to_bytes(), email)
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
