//! Search words, as in `from:ann is:unread -subject:"two words" before:2026-04-01`. No case.
//!
//! Words apart mean all of them; quotes keep a phrase together, also behind a colon; `-` or `!` in front negates. An unknown
//! prefix is searched as text.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::summary::normalise;

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those listed under the address with this key.
    pub mailbox: Option<String>,
    /// Only those with a copy in the folder with this id, which is one of that address.
    pub folder: Option<u64>,
    /// Only those that match.
    pub search: Search,
}

/// A parsed search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    pub(super) terms: Vec<Term>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) is_negated: bool,
    pub(super) key: Key,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    /// This normalised text in one of these columns of [`super::summary::COLUMNS`]; in any if there are none.
    Text(&'static [&'static str], String),
    Tag(String),
    Unread,
    Tagged,
    Attachments,
    Inlines,
    ArrivedBefore(Timestamp),
    ArrivedAfter(Timestamp),
    Larger(u64),
    Smaller(u64),
}

const ADDRESSED: &[&str] = &["sender", "recipient", "cc", "bcc", "reply_to"];

impl Search {
    /// Parses the words of a search, all of which must match. An empty text or tag, and an invalid time or size, are
    /// ignored, so that the search may be empty and match everything. Dates without an offset are of this zone.
    pub fn parse(text: &str, zone: &TimeZone) -> Self {
        Self { terms: words(text).filter_map(|word| term(&word, zone)).collect() }
    }

    /// Returns a search for the messages with this tag, in any case.
    pub fn tag(tag: &str) -> Self {
        Self { terms: vec![Term { is_negated: false, key: Key::Tag(tag.to_owned()) }] }
    }

    /// Adds the condition that the message arrived at this time or before.
    #[must_use]
    pub fn before(mut self, time: Timestamp) -> Self {
        self.terms.push(Term { is_negated: false, key: Key::ArrivedBefore(time) });
        self
    }

    /// Returns whether the search has no condition, so that it matches everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Returns whether the search needs what the indexer works out, so that new entries must be indexed first: it has a
    /// text, `has:attachment` or `has:inline`.
    pub(super) fn has_summary_terms(&self) -> bool {
        self.terms.iter().any(|term| matches!(term.key, Key::Text(..) | Key::Attachments | Key::Inlines))
    }
}

/// Splits a text into words at white space, except in quotes; the quotes stay in the words, and one that is not closed
/// extends to the end. No word is empty.
fn words(text: &str) -> impl Iterator<Item = String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            _ if letter.is_whitespace() && !is_quoted => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            _ => {}
        }
        word.push(letter);
    }
    words.push(word);
    words.into_iter().filter(|word| !word.is_empty())
}

/// Returns the condition of a word, whose quotes are removed; `-` or `!` in front negates it, and a word with an
/// unknown prefix is searched as text, prefix included. `None` for an empty text or tag, or an invalid time or size.
fn term(word: &str, zone: &TimeZone) -> Option<Term> {
    // Quotes keep a word together wherever they are, as in Mailpit: `"subject:two words"` is the same as `subject:"two words"`.
    let word = word.replace('"', "");
    let bare = word.strip_prefix(['-', '!']).filter(|rest| !rest.is_empty());
    let (is_negated, word) = (bare.is_some(), bare.unwrap_or(&word));
    let plain = || Key::Text(&[], normalise(word));
    let (name, value) = word.split_once(':').unwrap_or_default();
    let key = name.to_ascii_lowercase();
    let text = |columns| Key::Text(columns, normalise(value));
    let time = || read_time(value, zone);
    let (key, flips) = match (key.as_str(), value.to_ascii_lowercase().as_str()) {
        ("from", _) => (text(&["sender"]), false),
        ("to", _) => (text(&["recipient"]), false),
        ("cc", _) => (text(&["cc"]), false),
        ("bcc", _) => (text(&["bcc"]), false),
        ("reply-to", _) => (text(&["reply_to"]), false),
        ("addressed", _) => (text(ADDRESSED), false),
        ("subject", _) => (text(&["subject"]), false),
        ("message-id", _) => (text(&["message_id"]), false),
        ("tag", _) => (Key::Tag(value.trim().to_owned()), false),
        ("is", "unread") => (Key::Unread, false),
        ("is", "read") => (Key::Unread, true),
        ("is", "tagged") => (Key::Tagged, false),
        ("has", "attachment" | "attachments") => (Key::Attachments, false),
        ("has", "inline" | "inlines") => (Key::Inlines, false),
        ("before", _) => (Key::ArrivedBefore(time()?), false),
        ("after", _) => (Key::ArrivedAfter(time()?), false),
        ("larger", _) => (Key::Larger(parse_size(value)?), false),
        ("smaller", _) => (Key::Smaller(parse_size(value)?), false),
        _ => (plain(), false),
    };
    let is_empty = matches!(&key, Key::Text(_, text) | Key::Tag(text) if text.is_empty());
    (!is_empty).then_some(Term { is_negated: is_negated != flips, key })
}

/// Parses a size such as `10k`, `1.5MB` or `200` to bytes: `k` is 1024, `m` and `g` are powers of it, in any case; a
/// fraction of a byte is cut off. `None` if it is no size.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let unit = text.find(['k', 'm', 'g']).unwrap_or(text.len());
    let (number, unit) = (text[..unit].trim(), &text[unit..]);
    let unit = match unit {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0 * 1024.0,
        "g" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| is_number)?;
    Some((number * unit) as u64)
}

/// Parses a time in RFC 3339 or RFC 5322, or a date of this zone, such as `2026-04-01` or, as in the US, `04/01/2026`,
/// with or without a time behind it; without one, it is midnight. `None` if it is none of these.
pub fn read_time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(time) = jiff::fmt::rfc2822::parse(text) {
        return Some(time.timestamp());
    }
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let date = read_date(date)?;
    let moment: DateTime = match time.trim() {
        "" => date.at(0, 0, 0, 0),
        time => date.to_datetime(time.parse::<Time>().ok()?),
    };
    Some(moment.to_zoned(zone.clone()).ok()?.timestamp())
}

/// Parses `2026-04-01`, `2026/04/01` or, as in the US, `04/01/2026`, with any of `-`, `/` and `.`; the year is first if
/// the first number has four digits. `None` if it is no valid date.
fn read_date(text: &str) -> Option<Date> {
    let mut parts = text.split(['-', '/', '.']);
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| text.parse::<i16>().ok();
    let (year, month, day) = match first.len() {
        4 => (number(first)?, number(second)?, number(third)?),
        _ => (number(third)?, number(first)?, number(second)?),
    };
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<(bool, Key)> {
        let search = Search::parse(text, &TimeZone::UTC);
        search.terms.into_iter().map(|term| (term.is_negated, term.key)).collect()
    }

    #[test]
    fn search_words_become_conditions() {
        let text = |columns, text: &str| Key::Text(columns, text.to_owned());
        for (words, expected) in [
            ("Hello", vec![(false, text(&[], "hello"))]),
            ("\"two  words\" -x!", vec![(false, text(&[], "two words")), (true, text(&[], "x!"))]),
            ("subject:\"Two Words\"", vec![(false, text(&["subject"], "two words"))]),
            ("\"subject:Two Words\"", vec![(false, text(&["subject"], "two words"))]),
            ("!from:ann@x.test", vec![(true, text(&["sender"], "ann@x.test"))]),
            ("addressed:a", vec![(false, text(ADDRESSED, "a"))]),
            ("is:read -is:unread", vec![(true, Key::Unread), (true, Key::Unread)]),
            ("tag:\"big one\" is:tagged", vec![(false, Key::Tag("big one".to_owned())), (false, Key::Tagged)]),
            ("has:attachments has:inline", vec![(false, Key::Attachments), (false, Key::Inlines)]),
            ("larger:1.5k smaller:2MB", vec![(false, Key::Larger(1536)), (false, Key::Smaller(2 << 20))]),
            ("http://x.test", vec![(false, text(&[], "http://x.test"))]),
            ("before:never larger:x subject: -", vec![(false, text(&[], "-"))]),
            ("", vec![]),
        ] {
            assert_eq!(keys(words), expected, "{words}");
        }
    }

    #[test]
    fn search_dates_are_read_in_many_forms() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (text, expected) in [
            ("after:2026-04-01", Key::ArrivedAfter(at("2026-04-01T00:00:00Z"))),
            ("after:2026/04/01", Key::ArrivedAfter(at("2026-04-01T00:00:00Z"))),
            ("after:04/01/2026", Key::ArrivedAfter(at("2026-04-01T00:00:00Z"))),
            ("after:\"2026-04-01 15:00\"", Key::ArrivedAfter(at("2026-04-01T15:00:00Z"))),
            ("after:2026-04-01T15:00:00+02:00", Key::ArrivedAfter(at("2026-04-01T13:00:00Z"))),
            ("before:2026-04-01", Key::ArrivedBefore(at("2026-04-01T00:00:00Z"))),
        ] {
            assert_eq!(keys(text), [(false, expected)], "{text}");
        }
    }
}
