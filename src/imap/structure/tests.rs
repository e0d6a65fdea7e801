//! Valid and invalid messages, and the bytes of their sections.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::imap::fetch::{Section, SectionText};
use crate::mail::Message;

/// A multipart with a text, a message with two parts, and another text.
const NESTED: &str = "Received: from x\r\nSubject: outer\r\nTo: b\r\nContent-Type: multipart/mixed; boundary=\"out er\"\r\n\r\n\
    preamble\r\n\
    --out er\r\nX-Part: 1\r\n\r\none\r\n\
    --out er \r\nContent-Type: message/rfc822\r\nX-Part: 2\r\n\r\n\
    Subject: inner\r\nContent-Type: multipart/alternative; boundary=out\r\n\r\n\
    --out\r\n\r\n2.1\r\n--out\r\nX-Part: 2.2\r\n\r\n2.2\r\n--out--\r\n\
    --out er\r\n\r\n\r\n--out er--\r\nepilogue\r\n";

fn section(text: &str, section: &str) -> Option<String> {
    let message = Message::new(text.to_owned().into());
    let structure = Structure::of(message.content.bytes());
    let mut part = Vec::new();
    let mut words = section.split('.').filter(|word| !word.is_empty()).peekable();
    while let Some(number) = words.peek().and_then(|word| word.parse().ok()) {
        part.push(number);
        words.next();
    }
    let text = match words.collect::<Vec<_>>().join(".").as_str() {
        "" => SectionText::All,
        "HEADER" => SectionText::Header,
        "TEXT" => SectionText::Text,
        "MIME" => SectionText::Mime,
        "SUBJECT" => SectionText::HeaderFields { not: false, names: vec!["subject".into()] },
        "NOT SUBJECT" => SectionText::HeaderFields { not: true, names: vec!["SUBJECT".into()] },
        other => panic!("{other}"),
    };
    let pieces = structure.section(&Section { part, text }, &message)?;
    Some(pieces.iter().map(|piece| String::from_utf8_lossy(piece)).collect())
}

#[test]
fn section_returns_slices_of_the_message() {
    let inner_header = "Subject: inner\r\nContent-Type: multipart/alternative; boundary=out\r\n\r\n";
    let inner_text = "--out\r\n\r\n2.1\r\n--out\r\nX-Part: 2.2\r\n\r\n2.2\r\n--out--";
    let inner = format!("{inner_header}{inner_text}");
    for (name, wanted) in [
        ("", Some(NESTED)),
        ("1", Some("one")),
        ("1.MIME", Some("X-Part: 1\r\n\r\n")),
        ("1.HEADER", None),
        ("1.1", None),
        ("2", Some(&inner)),
        ("2.MIME", Some("Content-Type: message/rfc822\r\nX-Part: 2\r\n\r\n")),
        ("2.HEADER", Some(inner_header)),
        ("2.TEXT", Some(inner_text)),
        ("2.SUBJECT", Some("Subject: inner\r\n\r\n")),
        ("2.1", Some("2.1")),
        ("2.2", Some("2.2")),
        ("2.2.MIME", Some("X-Part: 2.2\r\n\r\n")),
        ("2.3", None),
        ("3", Some("")),
        ("4", None),
        ("0", None),
        ("SUBJECT", Some("Subject: outer\r\n\r\n")),
    ] {
        assert_eq!(section(NESTED, name).as_deref(), wanted, "{name}");
    }
    let (header, text) = (section(NESTED, "HEADER").unwrap(), section(NESTED, "TEXT").unwrap());
    assert!(header.starts_with("Received: from x\r\nSubject: outer") && text.ends_with("epilogue\r\n"));
    assert_eq!(header + &text, NESTED);
    assert!(section(NESTED, "NOT SUBJECT").unwrap().starts_with("Received: from x\r\nTo: b\r\nContent-Type"));
}

#[test]
fn section_1_of_a_simple_message_is_its_body() {
    let message = "Received: x\r\nSubject: s\r\n\r\nhello\r\n";
    assert_eq!(section(message, "1").as_deref(), Some("hello\r\n"));
    assert_eq!(section(message, "1.MIME").as_deref(), Some("Received: x\r\nSubject: s\r\n\r\n"));
    assert_eq!(section(message, "1.1"), None);
    assert_eq!(section(message, "2"), None);
}

#[test]
fn structure_of_invalid_messages_is_text() {
    for (message, kind, header, lines) in [
        ("", "text/plain", "", 0),
        ("\r\n", "text/plain", "\r\n", 0),
        ("hello\nyou", "text/plain", "", 2),
        ("Subject: s", "text/plain", "Subject: s", 0),
        ("Subject: s\nno field\n\nx\n", "text/plain", "Subject: s\n", 3),
        ("From ann Mon\nSubject: s\n\nx\n", "text/plain", "From ann Mon\nSubject: s\n\n", 1),
        ("Content-Type: multipart/mixed\r\n\r\nx\r\n", "text/plain", "Content-Type: multipart/mixed\r\n\r\n", 1),
        ("Content-Type: nonsense\r\n\r\nx", "text/plain", "Content-Type: nonsense\r\n\r\n", 1),
        (
            "Content-Type: multipart/mixed; boundary=b\n\nx\n",
            "text/plain",
            "Content-Type: multipart/mixed; boundary=b\n\n",
            1,
        ),
    ] {
        let Structure { part, .. } = Structure::of(message.as_bytes());
        assert_eq!(format!("{}/{}", part.kind, part.subtype), kind, "{message:?}");
        assert_eq!((&message[part.header.range()], part.lines), (header, lines), "{message:?}");
        assert_eq!(part.content, PartContent::Leaf);
    }
}

#[test]
fn structure_of_an_unclosed_part_extends_to_the_end() {
    let message = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--bb\n--b\n\ntwo\n";
    assert_eq!(section(message, "1").as_deref(), Some("one\n--bb"));
    assert_eq!(section(message, "2").as_deref(), Some("two\n"));
    assert_eq!(section(message, "3"), None);
}

#[test]
fn structure_limits_parts_and_depth() {
    let many = format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", "--b\n\nx\n".repeat(50_000));
    let PartContent::Multipart(parts) = Structure::of(many.as_bytes()).part.content else { panic!("it has parts") };
    assert_eq!(parts.len(), mime::max_parts(many.as_bytes()));
    let last = &many[parts.last().unwrap().body.range()];
    assert_eq!(last.matches("--b\n").count(), 50_000 - parts.len(), "the last one holds the rest");
    assert!(last.ends_with("\nx"), "up to the end of the multipart");
    let deep = "Content-Type: message/rfc822\n\n".repeat(5_000);
    let whole = Structure::of(deep.as_bytes());
    assert_eq!(
        Structure::from_bytes(&whole.to_bytes()).as_ref(),
        Some(&whole),
        "the deepest structure survives encoding"
    );
    let mut structure = &whole;
    let mut depth = 0;
    while let PartContent::Message(inner) = &structure.part.content {
        structure = inner;
        depth += 1;
    }
    assert_eq!(depth, MAX_DEPTH);
    assert_eq!(structure.part.kind, "application");
}

#[test]
fn structure_of_many_addresses_parts_and_parameters_is_complete() {
    let list = |name: &str, count: usize| {
        let addresses: Vec<_> = (0..count).map(|at| format!("Person {at} <person{at}@example.test>")).collect();
        format!("{name}: {}\r\n", addresses.join(",\r\n\t"))
    };
    let long = "x".repeat(20_000);
    let parameters: String = (0..200).map(|at| format!(";\r\n\tp{at}=v{at}")).collect();
    let languages = vec!["en"; 60].join(", ");
    let inner: String = (0..3_000).map(|at| format!("--in\r\n\r\ninner {at}\r\n")).collect();
    let boundary = "b".repeat(300);
    let message = format!(
        "{}{}{}Subject: {long}\r\nIn-Reply-To: <{long}>\r\nContent-Language: {languages}\r\n\
         Content-Type: multipart/mixed; boundary={boundary}{parameters}\r\n\r\n\
         --{boundary}\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n{inner}--in--\r\n\
         --{boundary}\r\nContent-Description: {long}\r\n\r\nlast\r\n--{boundary}--\r\n",
        list("From", 1),
        list("To", 5_000),
        list("Cc", 1_200),
    );
    let structure = Structure::of(message.as_bytes());
    let Envelope { to, cc, subject, in_reply_to, .. } = &structure.envelope;
    assert_eq!((to.iter().count(), cc.iter().count()), (5_000, 1_200));
    assert_eq!(to.iter().last().unwrap().local.as_deref(), Some("person4999"));
    assert_eq!(subject.as_deref().map(str::len), Some(20_000));
    assert_eq!(in_reply_to.as_deref().map(str::len), Some(20_002));
    assert_eq!((structure.part.parameters.len(), structure.part.languages.len()), (201, 60));
    let PartContent::Multipart(parts) = &structure.part.content else { panic!("it has parts") };
    let PartContent::Multipart(inner) = &parts[0].content else { panic!("the first has parts") };
    assert_eq!((parts.len(), inner.len()), (2, 3_000));
    assert_eq!(parts[1].description.as_deref().map(str::len), Some(20_000));
    assert_eq!(Structure::from_bytes(&structure.to_bytes()), Some(structure), "also after it was stored");
}

#[test]
fn structure_with_many_parts_inside_the_first_keeps_the_second() {
    let inner = "--in\n\nx\n".repeat(30_000);
    let message = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=in\n\n{inner}--in--\n\
         --b\nContent-Type: application/pdf\n\nkept\n--b--\n"
    );
    let structure = Structure::of(message.as_bytes());
    assert_eq!(
        structure.part(&[2]).map(|part| (part.subtype.as_str(), &message[part.body.range()])),
        Some(("pdf", "kept"))
    );
}

#[test]
fn structure_of_a_digest_contains_messages() {
    let message = "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: in\n\nx\n--b--\n";
    assert_eq!(section(message, "1.SUBJECT").as_deref(), Some("Subject: in\n\r\n"));
}

#[test]
fn structure_survives_encoding() {
    let structure = Structure::of(NESTED.as_bytes());
    assert_eq!(Structure::from_bytes(&structure.to_bytes()), Some(structure));
    assert_eq!(Structure::from_bytes(b"old"), None);
}

#[test]
fn partial_cuts_across_pieces() {
    let pieces = ["abc".into(), "".into(), "defg".into()];
    let cut = |first, count| partial(&pieces, (first, count)).concat();
    assert_eq!(cut(0, 100), b"abcdefg");
    assert_eq!(cut(2, 3), b"cde");
    assert_eq!(cut(3, 1), b"d");
    assert_eq!(cut(7, 5), b"");
    assert_eq!(cut(u32::MAX, u32::MAX), b"");
}

#[test]
fn decode_body_decodes_transfer_encodings() {
    for (encoding, body, wanted) in [
        ("base64", "aGVs\r\nbG8=\r\n", Some("hello")),
        ("Quoted-Printable (yes)", "a=3Db=\r\nc", Some("a=bc")),
        ("8bit", "x", Some("x")),
        ("base64", "aGVs\r\nbG8=\r\n-- \r\nA list\r\n", Some("hello")),
        ("base64", "aG*Vs bG8", Some("hello")),
        ("quoted-printable", "a=3Db =XY=\r\n c=", Some("a=b =XY c")),
        ("x-uue", "x", None),
    ] {
        let message = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n{body}");
        let part = Structure::of(message.as_bytes()).part;
        assert_eq!(decode_body(&part, message.as_bytes()).as_deref(), wanted.map(str::as_bytes), "{encoding}");
    }
}

/// Fragments of random messages.
const PIECES: [&str; 16] = [
    "\r\n",
    "\n",
    "--b",
    "--b--",
    "--c\n",
    "Content-Type: multipart/mixed; boundary=b\n",
    "Content-Type: message/rfc822\n",
    "Content-Type: multipart/digest; boundary=\"c\"\r\n",
    "Subject: s",
    ": ",
    " ",
    "\t",
    "From: a <b@c>, \"d",
    "x",
    "\0",
    "\r",
];

/// Every span lies in its parent, so every section is a valid slice.
fn check_spans(part: &Part, within: Span) {
    assert!(within.start <= part.header.start && part.header.end == part.body.start && part.body.end <= within.end);
    match &part.content {
        PartContent::Leaf => {}
        PartContent::Multipart(parts) => parts.iter().for_each(|inner| check_spans(inner, part.body)),
        PartContent::Message(inner) => check_spans(&inner.part, part.body),
    }
}

#[test]
fn structure_of_random_messages_is_valid() {
    for seed in 0..2_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let pieces = (0..rng.next_u32() % 60).map(|_| PIECES[rng.next_u32() as usize % PIECES.len()]);
        let message: String = pieces.collect();
        let structure = Structure::of(message.as_bytes());
        check_spans(&structure.part, Span { start: 0, end: message.len() as u32 });
    }
}

/// RFC 2045 §5.1: comments may be anywhere between tokens.
#[test]
fn comments_in_content_fields_are_ignored() {
    let message = "Content-Type: (a; \\) b) text/html (c); (d) charset=\"(e)\"\r\n\
        Content-Transfer-Encoding: (f) base64\r\n\r\nx";
    let structure = Structure::of(message.as_bytes());
    let part = &structure.part;
    assert_eq!((part.kind.as_str(), part.subtype.as_str()), ("text", "html"));
    assert_eq!(part.parameters, [("charset".to_owned(), "(e)".to_owned())]);
    assert_eq!(part.encoding.as_deref(), Some("BASE64"));
}
