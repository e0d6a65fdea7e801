//! Commands as text and as types, and the errors of invalid commands.

use super::*;
use crate::imap::append::{Append, NewMessage, Replace};
use crate::imap::command::{Body, List, ListReturn, MessageSet, Request, StatusItem, Store};
use crate::imap::fetch::{BodyName, Item, Section, SectionText};
use crate::imap::search::{Key, Search, SearchReturn, When};
use crate::imap::sync::{ChangedSince, Resync};
use crate::imap::value::{Flags, SequenceSet, StoreMode, SystemFlags, parse_date, parse_date_time};
use crate::net::UploadBudget;

const LIMITS: Limits = Limits { line: 1_000, message: 2_000, literals: 100 };

/// Reads one command; the reader's prompts are skipped.
fn read(text: &str) -> Result<Body, ParseError> {
    read_bytes(text.as_bytes())
}

fn read_bytes(text: &[u8]) -> Result<Body, ParseError> {
    let mut reader = Reader::new(UploadBudget::default());
    reader.receive(text);
    reader.receive(b"\r\n");
    loop {
        match reader.command(&LIMITS) {
            ReadResult::Prompt => {}
            ReadResult::Command(raw) => {
                return command(&raw, false).map(|command| command.body).map_err(|(_, why)| why);
            }
            other => panic!("{text:?} is {other:?}"),
        }
    }
}

fn request(text: &str) -> Request {
    match read(&format!("a1 {text}")) {
        Ok(Body::Request(request)) => request,
        other => panic!("{text:?} is {other:?}"),
    }
}

fn set(text: &str) -> SequenceSet {
    let raw = RawCommand { text: text.into(), ..RawCommand::default() };
    scanner::Scanner::new(&raw, false).set().unwrap()
}

fn string(text: &str) -> String {
    text.to_owned()
}

#[test]
fn mailbox_commands_parse() {
    for (text, expected) in [
        ("NOOP", Request::Noop),
        ("check", Request::Noop),
        (
            "SELECT inbox",
            Request::Select { mailbox: string("INBOX"), read_only: false, condstore: false, resync: None },
        ),
        (
            "EXAMINE \"a \\\"b\\\\\"",
            Request::Select { mailbox: string("a \"b\\"), read_only: true, condstore: false, resync: None },
        ),
        ("CREATE {3}\r\na/b", Request::Create { mailbox: string("a/b"), uses: vec![] }),
        ("DELETE &U,BTFw-", Request::Delete(string("\u{53f0}\u{5317}"))),
        ("RENAME a {1+}\r\nb", Request::Rename { from: string("a"), to: string("b") }),
        ("UNSUBSCRIBE a]", Request::Subscribe { mailbox: string("a]"), on: false }),
        ("LSUB \"\" %/*", Request::Lsub { reference: string(""), pattern: string("%/*") }),
        ("CLOSE", Request::Close { expunge: true }),
        ("UNSELECT", Request::Close { expunge: false }),
        ("EXPUNGE", Request::Expunge(None)),
        ("UID EXPUNGE 3:*", Request::Expunge(Some(set("3:*")))),
        (
            "STATUS a (MESSAGES UIDNEXT messages)",
            Request::Status { mailbox: string("a"), items: vec![StatusItem::Messages, StatusItem::UidNext] },
        ),
        (
            "uid move 1,2:* a",
            Request::Copy {
                set: MessageSet { set: set("1,2:*"), uid: true },
                mailbox: string("a"),
                remove_originals: true,
            },
        ),
        (
            "COPY $ a",
            Request::Copy {
                set: MessageSet { set: SequenceSet::Saved, uid: false },
                mailbox: string("a"),
                remove_originals: false,
            },
        ),
    ] {
        assert_eq!(request(text), expected, "{text}");
    }
}

#[test]
fn list_parses_basic_and_extended_syntax() {
    let plain = List { patterns: vec![string("*")], ..List::default() };
    assert_eq!(request("LIST \"\" *"), Request::List(plain.clone()));
    assert_eq!(request("LIST \"\" \"*\""), Request::List(plain));
    let expected = List {
        subscribed: true,
        recursive_match: true,
        reference: string("a/"),
        patterns: vec![string("INBOX"), string("%")],
        returns: Some(ListReturn { children: true, status: vec![StatusItem::Size], ..ListReturn::default() }),
        ..List::default()
    };
    let text = "LIST (SUBSCRIBED RECURSIVEMATCH) a/ (inbox \"%\") RETURN (CHILDREN STATUS (SIZE))";
    assert_eq!(request(text), Request::List(expected));
    let expected = List { patterns: vec![string("%")], returns: Some(ListReturn::default()), ..List::default() };
    assert_eq!(request("LIST () \"\" %"), Request::List(expected));
}

#[test]
fn list_with_too_long_patterns_is_refused() {
    let reference = "a".repeat(700);
    assert!(read(&format!("a LIST {reference} (a b)")).is_ok());
    assert_eq!(read(&format!("a LIST {reference} (a b c)")), Err(ParseError::Syntax("The patterns are too long")));
}

#[test]
fn append_parses_flags_date_and_literals() {
    let append = |message| Request::Append(Append { mailbox: string("a"), messages: vec![message] });
    let hello = NewMessage { message: "hello".into(), ..NewMessage::default() };
    assert_eq!(request("APPEND a {5}\r\nhello"), append(hello.clone()));
    let mut flags = Flags { system: SystemFlags::SEEN, keywords: vec![] };
    flags.add_keyword("$Junk");
    let date = "17-Jul-1996 02:44:25 -0700";
    let expected = NewMessage { flags, internal_date: parse_date_time(date), ..hello.clone() };
    assert_eq!(request(&format!("APPEND a (\\seen $Junk) \"{date}\" {{5}}\r\nhello")), append(expected));
    let binary = NewMessage { message: "h\0llo".into(), ..NewMessage::default() };
    assert_eq!(request("APPEND a ~{5+}\r\nh\0llo"), append(binary.clone()));
    let both = Append { mailbox: string("a"), messages: vec![hello, binary.clone()] };
    assert_eq!(request("APPEND a {5}\r\nhello () ~{5}\r\nh\0llo"), Request::Append(both));
    let old = MessageSet { set: set("*"), uid: true };
    let replace = Replace { old, mailbox: string("a"), message: binary };
    assert_eq!(request("UID REPLACE * a ~{5}\r\nh\0llo"), Request::Replace(replace));
}

#[test]
fn store_parses_flags_with_and_without_parentheses() {
    let flags = Flags { system: SystemFlags::SEEN.with(SystemFlags::DELETED), keywords: vec![] };
    let expected = |uid, mode, silent| {
        let set = MessageSet { set: set("1:2"), uid };
        Request::Store(Store { set, mode, silent, unchanged_since: None, flags: flags.clone() })
    };
    assert_eq!(request("STORE 1:2 FLAGS (\\Seen \\Deleted \\Recent)"), expected(false, StoreMode::Replace, false));
    assert_eq!(request("STORE 1:2 +FLAGS.SILENT \\Deleted \\Seen"), expected(false, StoreMode::Add, true));
    assert_eq!(request("UID STORE 1:2 -flags (\\Seen \\Deleted)"), expected(true, StoreMode::Remove, false));
}

#[test]
fn condstore_and_qresync_parameters_parse() {
    let uids = |text: &str| MessageSet { set: set(text), uid: true };
    let flags = Flags { system: SystemFlags::SEEN, keywords: vec![] };
    let store = Store { set: uids("1"), mode: StoreMode::Add, silent: true, unchanged_since: Some(0), flags };
    let resync = |known| Some(Resync { uidvalidity: 7, modseq: 9, known });
    let select = |resync| Request::Select { mailbox: string("a"), read_only: false, condstore: false, resync };
    let since = |vanished| Some(ChangedSince { modseq: 4, vanished });
    let fetch = |items, since| Request::Fetch { set: uids("1"), items, since, page: None };
    for (text, expected) in [
        ("UID STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Seen)", Request::Store(store)),
        ("SELECT a (QRESYNC (7 9))", select(resync(None))),
        ("SELECT a (QRESYNC (7 9 1:3))", select(resync(Some(set("1:3"))))),
        ("SELECT a (QRESYNC (7 9 1:3 (1,2 3,4)))", select(resync(Some(set("1:3"))))),
        ("SELECT a (QRESYNC (7 9 (1,2 3,4)))", select(resync(None))),
        (
            "EXAMINE a (CONDSTORE)",
            Request::Select { mailbox: string("a"), read_only: true, condstore: true, resync: None },
        ),
        ("UID FETCH 1 (MODSEQ) (CHANGEDSINCE 4)", fetch(vec![Item::Uid, Item::ModSeq], since(false))),
        ("UID FETCH 1 FLAGS (CHANGEDSINCE 4 VANISHED)", fetch(vec![Item::Uid, Item::Flags, Item::ModSeq], since(true))),
    ] {
        let request = request(text);
        assert_eq!(request, expected, "{text}");
        assert_eq!(request.needs_qresync(), text.contains("QRESYNC") || text.contains("VANISHED"), "{text}");
        assert!(request.enables_condstore(), "{text}");
    }
}

fn items(text: &str) -> Vec<Item> {
    match request(&format!("FETCH 1 {text}")) {
        Request::Fetch { items, .. } => items,
        other => panic!("{other:?}"),
    }
}

fn body(part: &[u32], text: SectionText, peek: bool, partial: Option<(u32, u32)>) -> Vec<Item> {
    let section = Section { part: part.to_vec(), text };
    vec![Item::Body { section, peek, partial, name: BodyName::Body }]
}

#[test]
fn fetch_items_parse() {
    let fields = |not| SectionText::HeaderFields { not, names: vec![string("To"), string("Date")] };
    assert_eq!(items("FAST"), [Item::Flags, Item::InternalDate, Item::Size]);
    assert_eq!(items("full")[3..], [Item::Envelope, Item::BodyStructure { extensible: false }]);
    assert_eq!(items("(UID BODYSTRUCTURE)"), [Item::Uid, Item::BodyStructure { extensible: true }]);
    assert_eq!(items("BODY[]"), body(&[], SectionText::All, false, None));
    assert_eq!(items("BODY.PEEK[]<5.10>"), body(&[], SectionText::All, true, Some((5, 10))));
    assert_eq!(items("BODY[1.22.3]"), body(&[1, 22, 3], SectionText::All, false, None));
    assert_eq!(items("BODY[2.MIME]"), body(&[2], SectionText::Mime, false, None));
    assert_eq!(items("(BODY[TEXT])"), body(&[], SectionText::Text, false, None));
    assert_eq!(items("BODY[HEADER.FIELDS (To \"Date\")]"), body(&[], fields(false), false, None));
    assert_eq!(items("body.peek[4.header.fields.not (To Date)]"), body(&[4], fields(true), true, None));
    assert_eq!(items("BINARY.PEEK[1]<0.9>"), [Item::Binary { part: vec![1], peek: true, partial: Some((0, 9)) }]);
    assert_eq!(items("BINARY.SIZE[]"), [Item::BinarySize(vec![])]);
    assert!(matches!(items("RFC822.HEADER")[..], [Item::Body { peek: true, name: BodyName::Rfc822Header, .. }]));
    assert!(matches!(items("RFC822")[..], [Item::Body { peek: false, name: BodyName::Rfc822, .. }]));
    match request("UID FETCH 1 FLAGS") {
        Request::Fetch { items, .. } => assert_eq!(items, [Item::Uid, Item::Flags]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn search_keys_parse() {
    let day = |text| parse_date(text).unwrap();
    let seen = || Key::Flag(SystemFlags::SEEN);
    let not = |key: Key| Key::Not(Box::new(key));
    for (text, expected) in [
        ("ALL", Key::All),
        ("1:3,*", Key::Sequence(set("1:3,*"))),
        ("UID $", Key::Uid(SequenceSet::Saved)),
        ("SEEN UNDELETED", Key::And(vec![seen(), not(Key::Flag(SystemFlags::DELETED))])),
        ("NEW", Key::And(vec![Key::Recent, not(seen())])),
        ("NOT (SEEN ALL)", not(Key::And(vec![seen(), Key::All]))),
        ("OR NOT SEEN (ALL)", Key::Or(not(seen()).into(), Key::All.into())),
        ("CHARSET utf-8 SUBJECT {2}\r\n\u{e9}", Key::Header(string("SUBJECT"), string("\u{e9}"))),
        ("HEADER X-A \"\"", Key::Header(string("X-A"), string(""))),
        ("SINCE 1-Feb-1994", Key::Arrived(When::Since, day("1-Feb-1994"))),
        ("SENTBEFORE \"01-feb-1994\"", Key::Sent(When::Before, day("1-Feb-1994"))),
        ("LARGER 5000000000", Key::Larger(5_000_000_000)),
        ("OLDER 5", not(Key::Younger(5))),
        (
            "SAVEDSINCE 1-Feb-1994 SAVEDATESUPPORTED",
            Key::And(vec![Key::Saved(When::Since, day("1-Feb-1994")), Key::All]),
        ),
        (
            "EMAILID M7 THREADID T7 THREADID M7",
            Key::And(vec![Key::EmailId(Some(7)), Key::ThreadId(Some(7)), Key::ThreadId(None)]),
        ),
        ("UNKEYWORD $Junk", not(Key::Keyword(string("$Junk")))),
        ("TEXT a", Key::Text(string("a"))),
    ] {
        let names_charset = text.contains("CHARSET");
        let expected = Search { uid: false, returns: None, names_charset, key: expected };
        assert_eq!(request(&format!("SEARCH {text}")), Request::Search(expected), "{text}");
    }
    let returns = SearchReturn { min: true, count: true, ..SearchReturn::default() };
    let expected = Search { uid: true, returns: Some(returns), names_charset: true, key: Key::All };
    assert_eq!(request("UID SEARCH RETURN (MIN COUNT) CHARSET UTF-8 ALL"), Request::Search(expected));
}

#[test]
fn login_enable_and_id_parse() {
    let initial = Some(string("="));
    for (text, expected) in [
        ("LOGIN ann {3}\r\np w", Body::Login { user: string("ann"), password: string("p w") }),
        ("authenticate plain =", Body::Authenticate { mechanism: string("PLAIN"), initial }),
        ("ENABLE imap4rev2 X", Body::Enable(vec![string("IMAP4REV2"), string("X")])),
        ("ID NIL", Body::Id(vec![])),
        ("ID (\"name\" \"x\" \"y\" NIL)", Body::Id(vec![(string("name"), Some(string("x"))), (string("y"), None)])),
        ("STARTTLS", Body::StartTls),
    ] {
        assert_eq!(read(&format!("a.1 {text}")), Ok(expected), "{text}");
    }
}

#[test]
fn invalid_commands_are_refused_with_a_reason() {
    for (text, why) in [
        ("", "A command begins with a tag"),
        ("+ NOOP", "A command begins with a tag"),
        ("a", "A space is missing"),
        ("a  NOOP", "A word is missing"),
        ("a NOOP ", "Unexpected text at the end of the command"),
        ("a UID NOOP", "Unknown command"),
        ("a SELECT", "A space is missing"),
        ("a SELECT a b", "A list in parentheses is missing"),
        ("a SELECT \"a", "A closing quote is missing"),
        ("a SELECT \"\\a\"", "Only quotes and backslashes can be escaped"),
        ("a SELECT {1} a", "A literal begins on a new line"),
        ("a SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", "PARTIAL is given twice"),
        ("a FETCH 0 FLAGS", "The number must not be 0"),
        ("a FETCH 4294967296 FLAGS", "The number is too large"),
        ("a FETCH 1: FLAGS", "A number is missing"),
        ("a FETCH 1 ()", "An item is missing"),
        ("a FETCH 1 (ALL)", "Unknown item"),
        ("a FETCH 1 BODY[MIME]", "Unknown section"),
        ("a FETCH 1 BODY[1.]", "The section ends in a dot"),
        ("a FETCH 1 BODY[1TEXT]", "A closing bracket is missing"),
        ("a FETCH 1 BODY[]<0.0>", "The number must not be 0"),
        ("a FETCH 1 BODY[HEADER.FIELDS ()]", "A field name is missing"),
        ("a STORE 1 FLAGS (\\Bold)", "Unknown system flag"),
        ("a STORE 1 LABELS (a)", "Only FLAGS can be stored"),
        ("a STORE 1 (UNCHANGEDSINCE) FLAGS a", "A space is missing"),
        ("a STORE 1 () FLAGS a", "UNCHANGEDSINCE is missing"),
        ("a FETCH 1 FLAGS (CHANGEDSINCE)", "A space is missing"),
        ("a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", "VANISHED needs UID FETCH"),
        ("a SORT (REVERSE) UTF-8 ALL", "Unknown sort key"),
        ("a SORT (DATE REVERSE REVERSE TO) UTF-8 ALL", "Unknown sort key"),
        ("a SEARCH YOUNGER 0 ALL", "The number must not be 0"),
        ("a SEARCH RETURN (ALL PARTIAL 1:2) ALL", "ALL and PARTIAL exclude each other"),
        ("a SEARCH RETURN (PARTIAL 1:-2) ALL", "A number is missing"),
        ("a SEARCH RETURN (PARTIAL -1:2) ALL", "A range like 1:9 or -1:-9 is missing"),
        ("a UID FETCH 1 FLAGS (VANISHED)", "CHANGEDSINCE is missing"),
        ("a SELECT b (QRESYNC (1 0))", "The number must not be 0"),
        ("a SELECT b (QRESYNC (1 2 1:*))", "The set must contain only numbers"),
        ("a SELECT b (QRESYNC (1 2 3 4))", "QRESYNC takes a UID set and a pair of sets"),
        ("a SELECT b (FAST)", "Unknown parameter"),
        ("a SEARCH MODSEQ \"/x/y\" all 1", "Unknown entry"),
        ("a SEARCH", "A space is missing"),
        ("a SEARCH OR SEEN", "A space is missing"),
        ("a SEARCH (SEEN", "A closing parenthesis is missing"),
        ("a SEARCH BEFORE 1-Feb", "A date like 1-Feb-1994 is missing"),
        ("a STATUS a ()", "A status item is missing"),
        ("a LIST (RECURSIVEMATCH) \"\" *", "RECURSIVEMATCH needs SUBSCRIBED"),
        ("a APPEND a UTF8 (~{1}\r\nx)", "UTF8=ACCEPT is not enabled"),
        ("a REPLACE 1:2 a {1}\r\nx", "REPLACE takes exactly one message"),
        ("a REPLACE $ a {1}\r\nx", "REPLACE takes exactly one message"),
        ("a APPEND a \"soon\" {1}\r\nx", "The date is not a date-time"),
        ("a ENABLE", "A capability is missing"),
    ] {
        assert_eq!(read(text), Err(ParseError::Syntax(why)), "{text}");
    }
    assert_eq!(read("a SEARCH CHARSET latin1 ALL"), Err(ParseError::Charset { saves: false }));
}

#[test]
fn search_nested_too_deeply_is_refused() {
    let nested = |depth: usize| format!("a SEARCH {}ALL{}", "(".repeat(depth), ")".repeat(depth));
    assert!(read(&nested(MAX_DEPTH - 1)).is_ok());
    assert_eq!(read(&nested(MAX_DEPTH)), Err(ParseError::Syntax("The search is too large")));
    assert_eq!(
        read(&format!("a SEARCH {}ALL", "NOT ".repeat(MAX_DEPTH))),
        Err(ParseError::Syntax("The search is too large"))
    );
}

#[test]
fn reader_skips_commands_beyond_the_limits() {
    for (text, refusal) in [
        (format!("a SELECT {{101+}}\r\n{}\r\n", "x".repeat(101)), Refusal::Literal),
        (format!("a LOGIN {{60+}}\r\n{} {{60+}}\r\n{}\r\n", "x".repeat(60), "y".repeat(60)), Refusal::Literal),
        (format!("a APPEND a {{2001+}}\r\n{}\r\n", "x".repeat(2_001)), Refusal::Message),
        (format!("a SELECT {}\r\n", "x".repeat(2_000)), Refusal::Line),
        (format!("a SELECT {} {{3+}}\r\nabc\r\n", "x".repeat(2_000)), Refusal::Line),
    ] {
        for size in [1, 3, 4_000] {
            let mut reader = Reader::new(UploadBudget::default());
            let mut refused = 0;
            for chunk in format!("{text}b NOOP\r\n").as_bytes().chunks(size) {
                reader.receive(chunk);
                loop {
                    match reader.command(&LIMITS) {
                        ReadResult::More => break,
                        ReadResult::Refused(_, found) => {
                            assert_eq!(found, refusal, "{text:.20}");
                            refused += 1;
                        }
                        ReadResult::Command(raw) => assert_eq!((raw.text.as_slice(), refused), (&b"b NOOP\r\n"[..], 1)),
                        ReadResult::Prompt | ReadResult::Http => panic!("{text:.20} sends a prompt"),
                    }
                }
            }
            assert_eq!(refused, 1, "{text:.20} in chunks of {size}");
        }
    }
}

/// Well-formed, but there is no such mailbox.
#[test]
fn mailbox_name_that_is_not_utf8_names_no_mailbox() {
    for text in [&b"a1 SELECT {4+}\r\ncaf\xe9"[..], b"a1 SELECT \"caf\xe9\""] {
        let body = read_bytes(text);
        assert!(matches!(&body, Ok(Body::Request(Request::Select { mailbox, .. })) if mailbox == "\u{7f}"), "{body:?}");
    }
}

/// RFC 9051 §4.3, §9: only a literal8 may hold NUL, wherever there is a literal.
#[test]
fn nul_is_accepted_in_a_literal8_only() {
    for command in [
        "APPEND INBOX {3+}\r\na\0b",
        "APPEND INBOX {1+}\r\na {3+}\r\na\0b",
        "APPEND {3+}\r\na\0b {1+}\r\na",
        "REPLACE 1 INBOX {3+}\r\na\0b",
        "UID REPLACE 1 INBOX {3+}\r\na\0b",
        "SETMETADATA INBOX (/private/comment {3+}\r\na\0b)",
        "SEARCH TEXT {3+}\r\na\0b",
        "LOGIN ann {3+}\r\na\0b",
    ] {
        let wanted = ParseError::Syntax("NUL is only allowed in a literal8");
        assert_eq!(read(&format!("a1 {command}")), Err(wanted), "{command:?}");
    }
    for command in [
        "APPEND INBOX ~{3+}\r\na\0b",
        "REPLACE 1 INBOX ~{3+}\r\na\0b",
        "SETMETADATA INBOX (/private/comment ~{3+}\r\na\0b)",
    ] {
        assert!(read(&format!("a1 {command}")).is_ok(), "{command:?}");
    }
}

#[test]
fn reader_without_memory_for_a_literal_skips_the_command() {
    let budget = UploadBudget::new(100_000);
    let limits = Limits { line: 1_000, message: 1_000_000, literals: 100 };
    let mut other = budget.share();
    for (other_bytes, announced, refused) in [(0, 90_000, false), (120_000, 90_000, true), (60_000, 40_000, false)] {
        other = budget.share();
        let mut reader = Reader::new(budget.clone());
        reader.receive(format!("a APPEND a {{{announced}+}}\r\n").as_bytes());
        assert!(matches!(reader.command(&limits), ReadResult::More));
        assert!(other.grow_to(other_bytes.min(110_000)));
        for _ in 0..announced / 1_000 {
            reader.receive(&[b'x'; 1_000]);
            assert!(matches!(reader.command(&limits), ReadResult::More));
        }
        reader.receive(b"\r\nb NOOP\r\n");
        match reader.command(&limits) {
            ReadResult::Refused(_, Refusal::NoRoom) => assert!(refused),
            ReadResult::Command(_) => assert!(!refused),
            other => panic!("{other:?}"),
        }
        assert!(matches!(reader.command(&limits), ReadResult::Command(raw) if raw.text == b"b NOOP\r\n"));
    }
    drop(other);
    // What has no room from the start is refused before it is sent.
    let mut reader = Reader::new(UploadBudget::new(10));
    reader.receive(b"a APPEND a {50000}\r\n");
    assert!(matches!(reader.command(&limits), ReadResult::Refused(_, Refusal::NoRoom)));
}

/// A session that reads on must not hold the memory of a message that was stored long ago.
#[test]
fn reader_after_a_large_literal_does_not_share_its_buffer() {
    let (bytes, limits) = (200_000, Limits { line: 1_000, message: 1_000_000, literals: 100 });
    let mut reader = Reader::new(UploadBudget::default());
    let sent = [format!("a APPEND a {{{bytes}+}}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\nb NOOP\r\n"].concat();
    let mut found = sent.chunks(60_000).map(|part| {
        reader.receive(part);
        reader.command(&limits)
    });
    let Some(ReadResult::Command(mut raw)) = found.find(|found| !matches!(found, ReadResult::More)) else { panic!() };
    let literal = raw.literals.remove(0).try_into_mut().unwrap();
    assert!(literal.len() == bytes && literal.capacity() < 2 * bytes, "{}", literal.capacity());
    drop(found);
    assert!(matches!(reader.command(&limits), ReadResult::Command(raw) if raw.text == b"b NOOP\r\n"));
}

#[test]
fn reader_with_an_http_request_reports_it() {
    for chunk in [1, 5, 100] {
        let mut reader = Reader::new(UploadBudget::default());
        let sent = b"POST /x HTTP/1.1\r\nHost: a\r\n\r\na LOGIN ann pw\r\n";
        let found = sent.chunks(chunk).find_map(|part| {
            reader.receive(part);
            Some(reader.command(&LIMITS)).filter(|found| !matches!(found, ReadResult::More))
        });
        assert!(matches!(found, Some(ReadResult::Http)), "{found:?}");
    }
    let mut reader = Reader::new(UploadBudget::default());
    reader.receive(b"POST LOGIN ann /x\r\n");
    assert!(matches!(reader.command(&LIMITS), ReadResult::Command(_)), "a method may be a tag");
}
