//! Entry points for everything that parses bytes of clients or messages: for the fuzzers in `fuzz/`, and for the seeded
//! tests of this file. Invariants that must hold for every input are asserted here.

use jiff::Timestamp;

use super::parse::{RawCommand, command};
use super::search::{Key, KnownFacts, MessageFacts, Text, TrigramQuery, evaluate, trace_text};
use super::{
    Body, Event, Numbers, Part, PartContent, Reply, Request, SentDate, SequenceSet, Session, SessionConfig, Span,
    Structure, Summary, SystemFlags,
};
use crate::mail::{Message, decode_base64, decode_quoted_printable};
use crate::net::fuzzing::drive;

/// The largest message that a client may append.
const MAX_SIZE: usize = 500;
/// Numbers for which the membership in a set is checked.
const CHECKED_NUMBERS: [u32; 8] = [1, 2, 3, 9, 10, 4000, u32::MAX - 1, u32::MAX];

/// Runs a session with the bytes of a client, of which the first selects the settings, the second the chunk size.
///
/// # Panics
/// If the session breaks an invariant, as for all functions below.
pub fn session(input: &[u8]) {
    let [settings, chunk, words @ ..] = input else { return };
    let is = |bit: u8| settings & (1 << bit) != 0;
    let config = SessionConfig {
        host: "b.test".to_owned(),
        starttls: is(0),
        cleartext_login: is(1),
        max_message_bytes: MAX_SIZE,
        nonce: "nonce".to_owned(),
        record: is(2),
        recorder: crate::journey::Recorder::default(),
        uploads: crate::net::UploadBudget::default(),
    };
    drive(&mut Session::new(config, is(3)), words, usize::from(*chunk), |session, event| match event {
        Event::StartTls => session.encrypted(),
        Event::NeedSecret(user) => session.secret((user == "ann").then_some("pw")),
        Event::Open { user } => {
            assert_eq!(user, "ann", "no other user was authenticated");
            session.opened(if is(4) { Err("Not now") } else { Ok(()) });
        }
        Event::IdleEnd(reply) => session.done(&reply),
        Event::Request(Request::Idle) => {
            session.idle();
            session.out().exists(4);
        }
        Event::Request(Request::Select { mailbox, .. }) if mailbox.starts_with("no") => {
            session.done(&Reply::no("No such mailbox"));
        }
        Event::Request(_) => session.done(&Reply::ok("Completed")),
    });
}

/// Checks a search key with, after the first line end, a message: a precomputed summary must never change the result of
/// a search.
///
/// # Panics
/// As [`session()`].
pub fn search(input: &[u8]) {
    let (words, message) = input.split_at(memchr::memchr(b'\n', input).unwrap_or(input.len()));
    let message = message.get(1..).unwrap_or_default();
    let Some(key) = key(words) else { return };
    let message_with_trace = Message::new(message.to_vec().into());
    let structure = Structure::of(message_with_trace.content.bytes());
    let summary = Summary::of(&message_with_trace.content);
    let text = Text::new(&message_with_trace, &structure);
    let facts = MessageFacts {
        email_id: 1,
        save_date: Timestamp::UNIX_EPOCH,
        now: Timestamp::UNIX_EPOCH,
        modseq: 7,
        number: 3,
        number_last: 9,
        uid: 30,
        uid_last: 90,
        saved: true,
        flags: SystemFlags::default(),
        recent: false,
        keywords: &[],
        internal_date: Timestamp::UNIX_EPOCH,
        size: message_with_trace.len() as u64,
        known: None,
        lacks: &[],
    };
    let found = evaluate(&key, &facts, Some(&text));
    assert!(found.is_some(), "the whole message decides every key");
    let texts = key.texts();
    let may_hold = |words: &&str| {
        let query = TrigramQuery::new(words);
        query.may_be_in(summary.trigrams.bytes())
            || trace_text(&message_with_trace.trace).is_none_or(|trace| query.may_be_in_trace(&trace))
    };
    let lacks: Vec<&str> = texts.iter().map(|words| &**words).filter(|words| !may_hold(words)).collect();
    // Trace lines are not in the summary, and contain none of its fields.
    let sort_keys = &summary.sort_keys.to_bytes();
    let fields = summary.fields.each_ref().map(|values| values.as_bytes());
    let known = KnownFacts { fields, sent: summary.sent, sort_keys };
    let without_message = evaluate(&key, &MessageFacts { known: Some(known), lacks: &lacks, ..facts }, None);
    assert!(
        without_message.is_none() || without_message == found,
        "{key:?}: {without_message:?} without the message, {found:?} with it"
    );
}

/// Returns the key of `SEARCH` with this argument; `None` if the command is invalid or is another one.
fn key(words: &[u8]) -> Option<Key> {
    let raw = RawCommand { text: [b"a SEARCH ", words, b"\r\n"].concat(), ..RawCommand::default() };
    match command(&raw, true).ok()?.body {
        Body::Request(Request::Search(search)) => Some(search.key),
        _ => None,
    }
}

/// Checks a sequence set: it contains the same numbers before and after it is resolved, and formatting round-trips.
///
/// # Panics
/// As [`session()`].
pub fn sequence_set(input: &[u8]) {
    let Some(set) = set(input) else { return };
    for last in CHECKED_NUMBERS {
        let numbers = set.resolve(last);
        assert!(
            CHECKED_NUMBERS.iter().all(|number| numbers.contains(*number) == set.contains(*number, last)),
            "{set:?}"
        );
        assert!(numbers.ranges().is_sorted_by(|one, next| one.end() + 1 < *next.start()), "{numbers}");
        let parsed = self::set(numbers.to_string().as_bytes()).map_or_else(Numbers::default, |set| set.resolve(last));
        assert_eq!(parsed, numbers);
    }
}

/// Returns the sequence set of `SEARCH` with this argument; `None` if its key is anything but a sequence set.
fn set(words: &[u8]) -> Option<SequenceSet> {
    match key(words)? {
        Key::Sequence(set) => Some(set),
        _ => None,
    }
}

/// Checks the structure of a message: its parts lie within their parents, one after the other, and the encoding
/// round-trips.
///
/// # Panics
/// As [`session()`].
pub fn structure(input: &[u8]) {
    let structure = Structure::of(input);
    let whole = Span { start: 0, end: input.len() as u32 };
    check_part(&structure.part, whole);
    assert_eq!(Structure::from_bytes(&structure.to_bytes()), Some(structure));
    let summary = Summary::of(&Message::new(input.to_vec().into()).content);
    assert!(summary.envelope.starts_with(b"(") && summary.body_structure.ends_with(b")"));
}

/// Asserts that the header and the body of a part lie within this span, one after the other, and its inner parts within
/// the body.
fn check_part(part: &Part, within: Span) {
    let Part { header, body, .. } = part;
    assert!(within.start <= header.start && header.start <= header.end, "{header:?} within {within:?}");
    assert!(header.end <= body.start && body.start <= body.end && body.end <= within.end, "{body:?} within {within:?}");
    match &part.content {
        PartContent::Leaf => {}
        PartContent::Message(inner) => check_part(&inner.part, *body),
        PartContent::Multipart(parts) => {
            assert!(!parts.is_empty());
            let mut from = body.start;
            for part in parts {
                check_part(part, Span { start: from, end: body.end });
                from = part.body.end;
            }
        }
    }
}

/// Checks the value of a `Date` field: its day and its moment are at most three days apart.
///
/// # Panics
/// As [`session()`].
pub fn date(input: &[u8]) {
    let Some(date) = SentDate::parse(&String::from_utf8_lossy(input)) else { return };
    // Not as a timestamp, which the last day of the year 9999 has not everywhere.
    let midnight = date.day.duration_since(jiff::civil::date(1970, 1, 1)).as_secs();
    assert!((date.timestamp - midnight).abs() < 3 * 86_400, "{date:?}");
}

/// Checks the decoders of base64 and quoted-printable: what they return is not longer than the encoded body allows.
///
/// # Panics
/// As [`session()`].
pub fn encoded(input: &[u8]) {
    assert!(decode_base64(input).len() <= input.len().div_ceil(4) * 3);
    assert!(decode_quoted_printable(input).len() <= input.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::fuzzing::run_random;

    #[test]
    fn session_with_random_input_keeps_its_invariants() {
        let words = "a LOGIN ann pw\r\n|a LOGIN ann pw\r\n|b LOGIN {3+}\r\nann {2}\r\npw\r\n|c AUTHENTICATE PLAIN AGFubgBwdw==\r\n|\
            d AUTHENTICATE PLAIN\r\n|AGFubgBwdw==\r\n|*\r\n|e SELECT INBOX\r\n|f EXAMINE nobox\r\n|g IDLE\r\n|DONE\r\n|h NOOP\r\n|\
            i FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (From)]<0.9>)\r\n|j UID SEARCH RETURN (ALL) OR TEXT x NOT (SEEN)\r\n|\
            k STORE 1,2:* +FLAGS.SILENT (\\Seen x)\r\n|l APPEND INBOX (\\Seen) {5+}\r\nhello\r\n|m APPEND INBOX {600}\r\n|\
            n APPEND INBOX {600+}\r\n|o LIST (SUBSCRIBED) \"\" (% *) RETURN (CHILDREN STATUS (MESSAGES))\r\n|p CLOSE\r\n|\
            q LOGOUT\r\n|r STARTTLS\r\n|s ENABLE IMAP4rev2\r\n|t STATUS x (MESSAGES UIDNEXT)\r\n|u ID NIL\r\n|v CAPABILITY\r\n|\
            w COPY 1 {4}\r\n|x MOVE $ b\r\n|y NOTIFY NONE\r\n|\
            z NOTIFY SET STATUS (SELECTED (MessageNew (UID BODY[]) MessageExpunge)) (SUBTREE (a b) (FlagChange MailboxName))\r\n|((((|\\|{99999999999999999999}\r\n|\"|\r\n|x";
        run_random("imap session", session, 3000, words);
    }

    #[test]
    fn search_with_summary_equals_search_of_the_message() {
        let words = "THREADID T1|TEXT caf|TEXT \u{e9}t\u{e9}|TEXT \"a b\"|BODY sch|SUBJECT hell|FROM ann|HEADER X-A val|NOT |OR |(|)| |SENTON 1-Jan-2026|\
            SENTSINCE 2-Jan-2026|\n|\nReceived: by caf\r\n|Subject: hello\r\n|From: Ann <ann@a.test>\r\n|Received: by caf\r\n|X-A: value\r\n|\
            Date: Thu, 1 Jan 2026 23:00:00 -0800\r\n|\r\n\r\n|\r\n|caf\u{e9} |sch\u{f6}n|=C3=A9t=C3=A9|&eacute;|\
            Content-Type: text/html\r\n|Content-Transfer-Encoding: quoted-printable\r\n|=\r\n|a b|a\r\n b";
        run_random("imap search", search, 5000, words);
    }

    #[test]
    fn search_for_a_field_behind_a_bare_line_end_equals_search_of_the_message() {
        search(b"FROM ann\nReceived: a\nFrom: ann\r\n\r\n");
    }

    #[test]
    fn sequence_set_contains_the_same_numbers_when_resolved() {
        run_random("imap set", sequence_set, 20_000, "1|2|9|10|4000|4294967295|4294967296|0|:|:|:|,|,|,|*|$| ");
    }

    #[test]
    fn date_of_any_text_is_consistent() {
        date(b"31 Dec 9999 23:59 -0500");
        let words = "Mon|, | |1|31|Jan|Dec|99|103|2026|9999|0000|10:00|23:59:60|:|+0100|-1200|+9999|EST|Z|(|)|-|\u{e9}|12-Dec-1999";
        run_random("sent date", date, 50_000, words);
    }

    #[test]
    fn encoded_text_is_not_shorter_than_its_content() {
        run_random("transfer encodings", encoded, 20_000, "=|==|=\r\n|=3D|=C3=A9|=x|aGVsbG8=|Zg|\n|\r\n| |\t|-- ");
    }

    #[test]
    fn structure_of_random_messages_is_valid() {
        let words = "Content-Type: multipart/mixed; boundary=b\r\n\r\n|Content-Type: multipart/digest; boundary=c\r\n\r\n|--b\r\n|--b\r\n|--b--\r\n|\
            --c\r\n|--c--\r\n|Content-Type: message/rfc822\r\n\r\n|Subject: s\r\n|From: a@b, g:c@d;\r\n|\r\n|\r\n|text\r\n|\
            Content-Disposition: attachment; filename*=utf-8''%e2\r\n|Content-Type: ;;=\"|charset=\"|--b|--|\u{e9}";
        run_random("imap structure", structure, 10_000, words);
    }
}
