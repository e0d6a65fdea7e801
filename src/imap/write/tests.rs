//! Values in the format of the protocol.

use bytes::Bytes;

use super::*;
use crate::imap::StatusItem;
use crate::imap::fetch::{BodyName, Section, SectionText};
use crate::imap::structure::Structure;
use crate::imap::value::{Flags, Numbers, SystemFlags};
use crate::journey::{Dialogue, Recorder};

fn written(write: impl FnOnce(&mut ResponseBuffer)) -> String {
    let mut out = ResponseBuffer::default();
    write(&mut out);
    let mut bytes = Vec::new();
    while let Some(piece) = out.take() {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(out.len(), 0);
    String::from_utf8(bytes).unwrap()
}

/// One value as written.
fn value(write: impl FnOnce(&mut ResponseBuffer) -> &mut ResponseBuffer) -> String {
    written(|out| {
        write(out);
    })
}

#[test]
fn string_is_quoted_if_possible() {
    for (text, wanted) in [
        ("", "\"\""),
        ("a b", "\"a b\""),
        ("a\"\\b", "\"a\\\"\\\\b\""),
        ("a\r\nb", "{4}\r\na\r\nb"),
        ("\u{e9}", "{2}\r\n\u{e9}"),
    ] {
        assert_eq!(value(|out| out.string(text)), wanted);
    }
    assert!(value(|out| out.string(&"x".repeat(2_000))).starts_with("{2000}\r\n"));
    for (text, wanted) in [("abc", "abc"), ("nil", "\"nil\""), ("a b", "\"a b\""), ("", "\"\""), ("a]", "\"a]\"")] {
        assert_eq!(value(|out| out.astring(text)), wanted);
    }
}

#[test]
fn mailbox_name_is_utf7_until_utf8_is_enabled() {
    assert_eq!(value(|out| out.mailbox("a&\u{53f0}")), "\"a&-&U,A-\"");
    let utf8 = written(|out| {
        out.use_utf8();
        out.mailbox("a&\u{53f0}");
    });
    assert_eq!(utf8, "\"a&\u{53f0}\"");
}

#[test]
fn responses_have_the_format_of_the_rfc() {
    let numbers: Numbers = [1, 2, 3, 7].into_iter().collect();
    let keywords = ["$Junk".to_owned()];
    let flags = Flags { system: SystemFlags::SEEN.with(SystemFlags::ANSWERED), keywords: keywords.to_vec() };
    let entry = ListEntry::new(&[Attribute::HasNoChildren, Attribute::Trash], '/', "a b");
    let cases: Vec<(String, &str)> = vec![
        (written(|out| out.exists(4_000_000_000)), "* 4000000000 EXISTS\r\n"),
        (written(|out| out.expunge(0)), "* 0 EXPUNGE\r\n"),
        (written(|out| out.vanished(&[3, 1, 2].into_iter().collect(), true)), "* VANISHED (EARLIER) 1:3\r\n"),
        (written(|out| out.vanished(&[9].into_iter().collect(), false)), "* VANISHED 9\r\n"),
        (written(|out| out.search([1, 5], Some(8))), "* SEARCH 1 5 (MODSEQ 8)\r\n"),
        (written(|out| out.flags(&flags)), "* FLAGS (\\Answered \\Seen $Junk)\r\n"),
        (written(|out| out.list(&entry)), "* LIST (\\HasNoChildren \\Trash) \"/\" \"a b\"\r\n"),
        (
            written(|out| out.lsub(&ListEntry { attributes: &[], child_info: true, ..entry.clone() })),
            "* LSUB () \"/\" \"a b\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
        ),
        (
            written(|out| out.list(&ListEntry { attributes: &[], old_name: Some("Z\u{fc}rich"), ..entry.clone() })),
            "* LIST () \"/\" \"a b\" (\"OLDNAME\" (\"Z&APw-rich\"))\r\n",
        ),
        (written(|out| out.namespace("", '/')), "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"),
        (
            written(|out| out.status("a", [(StatusItem::Messages, 1), (StatusItem::Size, u64::MAX)])),
            "* STATUS \"a\" (MESSAGES 1 SIZE 18446744073709551615)\r\n",
        ),
        (written(|out| out.search([], None)), "* SEARCH\r\n"),
        (written(|out| out.note(&Code::UidNext(9), "next")), "* OK [UIDNEXT 9] next\r\n"),
        (
            written(|out| out.note(&Code::PermanentFlags(flags.clone(), true), "")),
            "* OK [PERMANENTFLAGS (\\Answered \\Seen $Junk \\*)] \r\n",
        ),
        (written(|out| out.note(&Code::PermanentFlags(Flags::default(), false), "")), "* OK [PERMANENTFLAGS ()] \r\n"),
        (
            written(|out| out.note(&Code::CopyUid { validity: 3, from: numbers.clone(), to: numbers.clone() }, "ok")),
            "* OK [COPYUID 3 1:3,7 1:3,7] ok\r\n",
        ),
    ];
    for (found, wanted) in cases {
        assert_eq!(found, wanted);
    }
}

#[test]
fn fetch_reply_separates_items_by_one_space() {
    let section = |part: &[u32], text| Section { part: part.to_vec(), text };
    let fields = SectionText::HeaderFields { not: false, names: vec!["To".into(), "X (y)".into()] };
    let found = written(|out| {
        let mut fetch = out.fetch(12);
        fetch.flags(SystemFlags::SEEN, true, &["$Junk"]);
        fetch.uid(7);
        fetch.size(0);
        fetch.section(BodyName::Body, &section(&[1, 2], SectionText::Mime), Some(5), Some(&["a".into(), "b".into()]));
        fetch.section(BodyName::Body, &section(&[], fields), None, Some(&[]));
        fetch.section(BodyName::Rfc822Text, &section(&[], SectionText::Text), None, None);
        fetch.binary(&[1], None, Some(&["a\0".into()]));
        fetch.binary_size(&[1], 2);
        fetch.end();
    });
    let wanted = "* 12 FETCH (FLAGS (\\Recent \\Seen $Junk) UID 7 RFC822.SIZE 0 BODY[1.2.MIME]<5> {2}\r\nab \
        BODY[HEADER.FIELDS (To \"X (y)\")] {0}\r\n RFC822.TEXT NIL BINARY[1] ~{2}\r\na\0 BINARY.SIZE[1] 2)\r\n";
    assert_eq!(found, wanted);
}

#[test]
fn envelope_and_body_structure_are_complete() {
    let message = b"Date: now\r\nSubject: \"hi\"\r\nFrom: Ann <ann@a.test>\r\nTo: friends:;\r\nMessage-ID: <1@a>\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\n\r\nhello\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nyou\r\n\
        --b\r\nContent-Type: IMAGE/PNG; name=\"x y\"\r\nContent-ID: <i>\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=x\r\nContent-Language: de, en\r\n\r\nAAAA\r\n--b--\r\n";
    let structure = Structure::of(message);
    let found = written(|out| {
        let mut fetch = out.fetch(1);
        let mut envelope = ResponseBuffer::default();
        envelope.envelope(&structure.envelope);
        fetch.stored_envelope(&envelope.into_bytes());
        fetch.body(&structure.part);
        fetch.end();
    });
    let nothing = "NIL NIL NIL NIL NIL NIL NIL NIL NIL";
    let wanted = format!(
        "* 1 FETCH (ENVELOPE (\"now\" \"\\\"hi\\\"\" ((\"Ann\" NIL \"ann\" \"a.test\")) ((\"Ann\" NIL \"ann\" \"a.test\")) \
         ((\"Ann\" NIL \"ann\" \"a.test\")) ((NIL NIL \"friends\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL \"<1@a>\") BODY (\
         (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 5 1)\
         (\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 18 (NIL \"in\" {}) \
         (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 3 1) 3)\
         (\"image\" \"png\" (\"name\" \"x y\") \"<i>\" NIL \"BASE64\" 4) \"mixed\"))\r\n",
        &nothing[..31],
    );
    assert_eq!(found, wanted);
    let extended = written(|out| {
        let mut fetch = out.fetch(1);
        let mut body = ResponseBuffer::default();
        body.body(&structure.part, true);
        fetch.stored_body_structure(&body.into_bytes());
        fetch.end();
    });
    assert!(extended.contains("\"BASE64\" 4 NIL (\"attachment\" (\"filename\" \"x\")) (\"de\" \"en\") NIL)"));
    assert!(extended.ends_with(" \"mixed\" (\"boundary\" \"b\") NIL NIL NIL))\r\n"));
}

#[test]
fn shared_literal_does_not_copy_large_pieces() {
    let message = Bytes::from(vec![b'x'; 20_000]);
    let mut out = ResponseBuffer::default();
    let mut fetch = out.fetch(1);
    fetch.section(BodyName::Body, &Section::default(), None, Some(&["trace".into(), message.clone()]));
    fetch.end();
    assert_eq!(out.len(), 20_000 + "* 1 FETCH (BODY[] {20005}\r\ntrace)\r\n".len());
    assert_eq!(out.take().unwrap(), "* 1 FETCH (BODY[] {20005}\r\ntrace");
    assert_eq!(out.take().unwrap().as_ptr(), message.as_ptr());
    assert_eq!(out.take().unwrap(), ")\r\n");
    assert_eq!(out.take(), None);
}

#[test]
fn transcript_omits_literals() {
    let mut out = ResponseBuffer::default();
    out.record(Dialogue::new(true, Recorder::default()));
    out.exists(1);
    for bytes in [5, 20_000] {
        let mut fetch = out.fetch(1);
        fetch.section(BodyName::Body, &Section::default(), None, Some(&[vec![b'x'; bytes].into()]));
        fetch.end();
    }
    let transcript = out.dialogue_mut().take_transcript();
    let lines: Vec<_> = transcript.lines().map(|(_, line)| line).collect();
    let wanted = [
        "* 1 EXISTS",
        "* 1 FETCH (BODY[] {5}",
        "(5 bytes of message data)",
        ")",
        "* 1 FETCH (BODY[] {20000}",
        "(20000 bytes of message data)",
        ")",
    ];
    assert_eq!(lines, wanted);
}

/// RFC 9051 §7.5.2: a FETCH response has at least one item.
#[test]
fn fetch_without_an_item_is_not_sent() {
    assert_eq!(written(|out| out.fetch(1).end()), "");
}

/// RFC 9051 §4.3, §9: only a literal8 may hold NUL.
#[test]
fn nul_in_a_message_is_sent_by_binary_only() {
    let pieces = [Bytes::from_static(b"a\0"), Bytes::from_static(b"\0z")];
    let mut out = ResponseBuffer::default();
    let mut fetch = out.fetch(1);
    fetch.section(BodyName::Body, &Section::default(), None, Some(&pieces));
    fetch.binary(&[1], None, Some(&pieces));
    fetch.end();
    let mut sent = Vec::new();
    while let Some(piece) = out.take() {
        sent.extend_from_slice(&piece);
    }
    assert_eq!(sent, b"* 1 FETCH (BODY[] {4}\r\na\x80\x80z BINARY[1] ~{4}\r\na\0\0z)\r\n");
}
