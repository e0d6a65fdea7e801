//! Evaluates search keys. RFC 9051 §6.4.4.

use jiff::Timestamp;
use jiff::civil::Date;
use memchr::memmem;

use super::text::fold;
use super::{Key, Text, When, field_start};
#[cfg(doc)]
use crate::imap::sort::SortKeys;
use crate::imap::sort::thread_of;
use crate::imap::summary::SEARCHED_FIELDS;
use crate::imap::value::{SequenceSet, SystemFlags, day_of};

/// The facts about a message that are known without reading it.
#[derive(Clone, Debug)]
pub struct MessageFacts<'a> {
    /// Its sequence number.
    pub number: u32,
    /// The highest sequence number.
    pub number_last: u32,
    /// Its UID.
    pub uid: u32,
    /// The highest UID.
    pub uid_last: u32,
    /// Whether it is in the saved search result `$`. RFC 5182.
    pub saved: bool,
    /// Its system flags.
    pub flags: SystemFlags,
    /// Whether it has `\Recent`. RFC 3501 §2.3.2.
    pub recent: bool,
    /// Its keywords.
    pub keywords: &'a [String],
    /// When it was received.
    pub internal_date: Timestamp,
    /// The email id, the same for all copies. RFC 8474 §5.1.
    pub email_id: u64,
    /// When it was added to this mailbox.
    pub save_date: Timestamp,
    /// The current time.
    pub now: Timestamp,
    /// The modification sequence of its last change.
    pub modseq: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Facts of its summary, if that was loaded.
    pub known: Option<KnownFacts<'a>>,
    /// Texts that it certainly does not contain.
    pub lacks: &'a [&'a str],
}

/// The facts of a [`crate::imap::Summary`].
#[derive(Clone, Copy, Debug)]
pub struct KnownFacts<'a> {
    /// For each of [`SEARCHED_FIELDS`] its values, each followed by NUL.
    pub fields: [&'a [u8]; SEARCHED_FIELDS.len()],
    /// The date in the Date field.
    pub sent: Option<Date>,
    /// [`SortKeys::to_bytes`].
    pub sort_keys: &'a [u8],
}

impl KnownFacts<'_> {
    /// Returns whether a field of this name contains the words, in any case; for empty words, whether there is such a
    /// field. `None` for fields that are not in the summary.
    fn field_contains(&self, name: &str, words: &str) -> Option<bool> {
        let at = SEARCHED_FIELDS.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        let (values, words) = (self.fields[at], fold(words));
        Some(if words.is_empty() { !values.is_empty() } else { memmem::find(values, words.as_bytes()).is_some() })
    }
}

/// Returns whether the message matches the key; `None` if the facts do not decide that, and the caller has to call this
/// again with a `text`, which always decides. A message without a valid Date field was sent on the day of its internal
/// date.
pub fn evaluate(key: &Key, facts: &MessageFacts<'_>, text: Option<&Text<'_>>) -> Option<bool> {
    match key {
        Key::All => Some(true),
        Key::And(keys) => evaluate_all(keys, facts, text),
        Key::Or(first, second) => match evaluate(first, facts, text) {
            Some(true) => Some(true),
            first => match evaluate(second, facts, text) {
                Some(true) => Some(true),
                second => first.and(second),
            },
        },
        Key::Not(key) => evaluate(key, facts, text).map(|is| !is),
        Key::Flag(flag) => Some(facts.flags.contains(*flag)),
        Key::Keyword(word) => Some(facts.keywords.iter().any(|known| known.eq_ignore_ascii_case(word))),
        Key::Recent => Some(facts.recent),
        Key::Sequence(SequenceSet::Saved) | Key::Uid(SequenceSet::Saved) => Some(facts.saved),
        Key::Sequence(set) => Some(set.contains(facts.number, facts.number_last)),
        Key::Uid(set) => Some(set.contains(facts.uid, facts.uid_last)),
        Key::Arrived(when, day) => Some(compare_day(*when, day_of(facts.internal_date), *day)),
        Key::EmailId(id) => Some(*id == Some(facts.email_id)),
        Key::ThreadId(None) => Some(false),
        Key::ThreadId(Some(id)) => {
            let thread = match (facts.known, text) {
                (Some(known), _) => thread_of(known.sort_keys, facts.email_id),
                (None, text) => thread_of(&text?.sort_keys().to_bytes(), facts.email_id),
            };
            Some(thread == *id)
        }
        Key::Saved(when, day) => Some(compare_day(*when, day_of(facts.save_date), *day)),
        Key::Younger(seconds) => Some(facts.now.as_second() - i64::from(*seconds) < facts.internal_date.as_second()),
        Key::ModSeq(modseq) => Some(*modseq <= facts.modseq),
        Key::Larger(bytes) => Some(*bytes < facts.size),
        Key::Smaller(bytes) => Some(facts.size < *bytes),
        Key::Sent(when, day) => {
            let sent = facts.known.map(|known| known.sent).or_else(|| text.map(Text::sent))?;
            // RFC 5256 §2.2: the sent date of a message without a valid Date field is its internal date.
            Some(compare_day(*when, sent.unwrap_or_else(|| day_of(facts.internal_date)), *day))
        }
        Key::Header(name, words) => {
            let known = facts.known.and_then(|known| known.field_contains(name, words));
            let lacks = |what: &str| facts.lacks.contains(&what);
            let lacked = (!facts.lacks.is_empty() && (lacks(words) || lacks(&field_start(name)))).then_some(false);
            known.or(lacked).or_else(|| text.map(|text| text.header_contains(name, words)))
        }
        Key::Body(words) | Key::Text(words) if facts.lacks.contains(&words.as_str()) => Some(false),
        Key::Body(words) => Some(text?.body_contains(words)),
        Key::Text(words) => Some(text?.contains(words)),
    }
}

/// Returns whether the message matches all keys: `false` as soon as one does not match, even if others are undecided,
/// and `None` if one is undecided and none fails.
fn evaluate_all(keys: &[Key], facts: &MessageFacts<'_>, text: Option<&Text<'_>>) -> Option<bool> {
    let mut all = Some(true);
    for key in keys {
        match evaluate(key, facts, text) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

/// Returns whether `day` is before `of`, equal to it, or not before it, as `when` asks.
fn compare_day(when: When, day: Date, of: Date) -> bool {
    match when {
        When::Before => day < of,
        When::On => day == of,
        When::Since => of <= day,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::{Structure, parse_date};
    use crate::mail::Message;

    const MESSAGE: &str = "From: =?utf-8?q?Andr=C3=A9?= <andre@a.test>\r\nTo: bob@b.test\r\n\
        Subject: =?utf-8?b?R3LDvMOfZQ==?= from the =?iso-8859-1?q?caf=E9?=\r\nX-Empty:\r\n\
        Date: Mon, 1 Jan 2024 23:30:00 -0500\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Ein sch=F6ner Tag, lang und br=\r\neit\r\n\
        --b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nc2VjcmV0\r\n--b--\r\n";

    fn facts() -> MessageFacts<'static> {
        MessageFacts {
            number: 2,
            number_last: 5,
            uid: 20,
            uid_last: 50,
            saved: false,
            flags: SystemFlags::SEEN,
            recent: false,
            keywords: &[],
            internal_date: "2024-01-03T00:00:00Z".parse().unwrap(),
            email_id: 1,
            save_date: "2024-02-03T00:00:00Z".parse().unwrap(),
            now: "2024-01-03T00:01:00Z".parse().unwrap(),
            modseq: 7,
            size: 600,
            known: None,
            lacks: &[],
        }
    }

    fn words(words: &str) -> String {
        words.to_owned()
    }

    #[test]
    fn evaluate_decides_by_facts_without_the_message() {
        let unseen = Key::Not(Key::Flag(SystemFlags::SEEN).into());
        let body = Key::Body(words("x"));
        assert_eq!(evaluate(&unseen, &facts(), None), Some(false));
        assert_eq!(evaluate(&Key::And(vec![body.clone(), unseen.clone()]), &facts(), None), Some(false));
        assert_eq!(evaluate(&Key::Or(body.clone().into(), Key::All.into()), &facts(), None), Some(true));
        assert_eq!(evaluate(&Key::Or(body.clone().into(), unseen.into()), &facts(), None), None);
        assert_eq!(evaluate(&Key::Not(body.into()), &facts(), None), None);
        assert_eq!(evaluate(&Key::Larger(599), &facts(), None), Some(true));
        assert_eq!(evaluate(&Key::Smaller(600), &facts(), None), Some(false));
        assert_eq!(evaluate(&Key::ModSeq(7), &facts(), None), Some(true));
        assert_eq!(evaluate(&Key::ModSeq(8), &facts(), None), Some(false));
        assert_eq!(evaluate(&Key::Younger(61), &facts(), None), Some(true));
        assert_eq!(evaluate(&Key::Younger(60), &facts(), None), Some(false));
        let february = parse_date("3-Feb-2024").unwrap();
        assert_eq!(evaluate(&Key::Saved(When::On, february), &facts(), None), Some(true));
        assert_eq!(evaluate(&Key::Saved(When::Before, february), &facts(), None), Some(false));
    }

    #[test]
    fn evaluate_compares_dates_by_day() {
        for (when, day, arrived, sent) in [
            (When::Before, "3-Jan-2024", false, true),
            (When::On, "3-Jan-2024", true, false),
            (When::On, "1-Jan-2024", false, true),
            (When::Since, "2-Jan-2024", true, false),
        ] {
            let day = parse_date(day).unwrap();
            let message = Message::new(MESSAGE.into());
            let structure = Structure::of(message.content.bytes());
            let text = Text::new(&message, &structure);
            assert_eq!(evaluate(&Key::Arrived(when, day), &facts(), Some(&text)), Some(arrived), "{when:?} {day}");
            assert_eq!(evaluate(&Key::Sent(when, day), &facts(), Some(&text)), Some(sent), "{when:?} {day}");
        }
    }

    #[test]
    fn sent_keys_when_date_is_obsolete_or_missing_match_one_side_of_a_day() {
        for (field, day) in [
            ("Date: Tue, 1 Jul 103 10:00:00 +0000\r\n", "1-Jul-2003"),
            ("Date: 1 Jul 03 10:00\r\n", "1-Jul-2003"),
            ("Date: Tue Jul  1 23:59:59 2003\r\n", "1-Jul-2003"),
            ("Date: yesterday\r\n", "3-Jan-2024"),
            ("Date: 31 Feb 2003 10:00:00 +0000\r\n", "3-Jan-2024"),
            ("", "3-Jan-2024"),
        ] {
            let message = Message::new(format!("{field}Subject: s\r\n\r\n").into());
            let structure = Structure::of(message.content.bytes());
            let text = Text::new(&message, &structure);
            let day = parse_date(day).unwrap();
            let sent = |when, day| evaluate(&Key::Sent(when, day), &facts(), Some(&text));
            assert_eq!(sent(When::On, day), Some(true), "{field}");
            for other in [day.yesterday().unwrap(), day, day.tomorrow().unwrap()] {
                assert_ne!(sent(When::Before, other), sent(When::Since, other), "{field} {other}");
            }
        }
    }

    #[test]
    fn evaluate_decides_by_summary_without_the_message() {
        let known = KnownFacts {
            fields: [b"ann\0", b"", b"\0", b"", b"one\0two\0"],
            sent: parse_date("3-Jan-2024"),
            sort_keys: b"",
        };
        let facts = MessageFacts { known: Some(known), lacks: &["secret", "x-gone: "], ..facts() };
        let header = |name: &str, text: &str| Key::Header(words(name), words(text));
        for (key, expected) in [
            (header("FROM", "Ann"), Some(true)),
            (header("subject", "TWO"), Some(true)),
            (header("subject", "onetwo"), Some(false)),
            (header("to", ""), Some(false)),
            (header("cc", ""), Some(true)),
            (header("x-other", "y"), None),
            (header("x-other", "secret"), Some(false)),
            (header("x-gone", "y"), Some(false)),
            (Key::Sent(When::On, parse_date("3-Jan-2024").unwrap()), Some(true)),
            (Key::Text(words("secret")), Some(false)),
            (Key::Body(words("open")), None),
        ] {
            assert_eq!(evaluate(&key, &facts, None), expected, "{key:?}");
        }
    }

    #[test]
    fn search_reads_html_as_displayed_and_text_in_its_charset() {
        let html = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            <html><body><p class=3Dhidden>Gr=C3=BC&szlig;e <b>an</b> alle &amp; jeden</p></body></html>\r\n";
        let russian = "Subject: =?koi8-r?B?8NLJ18XU?=\r\nContent-Type: text/plain; charset=koi8-r\r\n\
            Content-Transfer-Encoding: base64\r\n\r\n8NLJ18XU\r\n";
        let japanese =
            "Content-Type: text/plain; charset=shift_jis\r\nContent-Transfer-Encoding: base64\r\n\r\nk/qWew==\r\n";
        for (message, key, expected) in [
            (html, Key::Body(words("gr\u{fc}\u{df}e an alle & jeden")), true),
            (html, Key::Text(words("class")), false),
            (html, Key::Text(words("<b>")), false),
            (html, Key::Text(words("szlig")), false),
            (russian, Key::Body(words("\u{43f}\u{420}\u{438}\u{432}\u{435}\u{442}")), true),
            (russian, Key::Header(words("Subject"), words("\u{43f}\u{440}\u{438}")), true),
            (japanese, Key::Text(words("\u{65e5}\u{672c}")), true),
        ] {
            let message = Message::new(message.into());
            let structure = Structure::of(message.content.bytes());
            assert_eq!(evaluate(&key, &facts(), Some(&Text::new(&message, &structure))), Some(expected), "{key:?}");
        }
    }

    #[test]
    fn search_finds_decoded_text() {
        let header = |name: &str, text: &str| Key::Header(words(name), words(text));
        for (key, expected) in [
            (header("SUBJECT", "gr\u{fc}\u{df}e FROM"), true),
            (header("subject", "CAF\u{c9}"), true),
            (header("From", "andr\u{e9}"), true),
            (header("From", "andre@A.TEST"), true),
            (header("From", "bob"), false),
            (header("X-Empty", ""), true),
            (header("X-None", ""), false),
            (Key::Body(words("SCH\u{d6}NER tag")), true),
            (Key::Body(words("breit")), true),
            (Key::Body(words("secret")), false),
            (Key::Body(words("bob")), false),
            (Key::Text(words("bob@b.test")), true),
            (Key::Text(words("sch\u{f6}ner")), true),
        ] {
            let message = Message::new(MESSAGE.into());
            let structure = Structure::of(message.content.bytes());
            assert_eq!(evaluate(&key, &facts(), Some(&Text::new(&message, &structure))), Some(expected), "{key:?}");
        }
    }
}
