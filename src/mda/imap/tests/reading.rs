//! SELECT, FETCH and SEARCH.

use super::*;

#[tokio::test(start_paused = true)]
async fn select_and_fetch_return_the_messages() {
    let fixture = play_with(
        &["one", "two"],
        &format!(
            "C: a1 SELECT inbox
            {}
            C: a2 FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)
            S: * 1 FETCH (UID 1 FLAGS (\\Recent) RFC822.SIZE 64 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\")
            S: * 2 FETCH (UID 2 FLAGS (\\Recent) RFC822.SIZE 64 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\")
            S: a2 OK FETCH completed
            C: a3 FETCH 2 BODY[]
            S: * 2 FETCH (BODY[] {{64}}
            S: Received: by x id 0000000005-00006; now
            S: Subject: two
            S:
            S: hello
            S:  FLAGS (\\Recent \\Seen))
            S: a3 OK FETCH completed
            C: a4 UID FETCH 2 (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<1.3>)
            S: * 2 FETCH (UID 2 FLAGS (\\Recent \\Seen) BODY[HEADER.FIELDS (SUBJECT)] {{16}}
            S: Subject: two
            S:
            S:  BODY[TEXT]<1> {{3}}
            S: ell)
            S: a4 OK FETCH completed
            C: a5 FETCH 3 FLAGS
            S: a5 BAD No such message
            C: a6 UID FETCH 3:9 FLAGS
            S: a6 OK FETCH completed
            C: a7 FETCH 1 (BODYSTRUCTURE BODY[2])
            S: * 1 FETCH (BODYSTRUCTURE (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 7 1 NIL NIL NIL NIL) BODY[2] NIL FLAGS (\\Recent \\Seen))
            S: a7 OK FETCH completed
            C: a8 LOGOUT
            S: * BYE Logging out
            S: a8 OK LOGOUT completed",
            selected("a1", 2, 2, 3)
        ),
    )
    .await;
    let retrieved =
        fixture.event_log.since(0).into_iter().filter(|event| matches!(event.kind, EventKind::Retrieved { .. }));
    let events: Vec<_> = retrieved.collect();
    assert_eq!(events.len(), 1, "{events:?}");
    let transcript = events[0].transcript.as_ref().unwrap();
    assert!(!format!("{transcript:?}").contains("postroad\""), "{transcript:?}");
}

#[tokio::test(start_paused = true)]
async fn examine_changes_nothing() {
    let transcript = "
        C: a1 EXAMINE INBOX
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1] First unseen message
        S: * OK [PERMANENTFLAGS ()] Permanent flags
        S: * OK [UIDVALIDITY 1767225600] UIDs valid
        S: * OK [UIDNEXT 2] Predicted next UID
        S: * OK [HIGHESTMODSEQ 2] Highest modification sequence
        S: * OK [MAILBOXID (F1)] Mailbox id
        S: a1 OK [READ-ONLY] EXAMINE completed
        C: a2 FETCH 1 (BODY[TEXT] FLAGS)
        S: * 1 FETCH (BODY[TEXT] {7}
        S: hello
        S:  FLAGS (\\Recent))
        S: a2 OK FETCH completed
        C: a3 STORE 1 FLAGS \\Deleted
        S: a3 NO [CANNOT] Mailbox is read-only
        C: a4 MOVE 1 Trash
        S: a4 NO [CANNOT] Mailbox is read-only
        C: a5 EXPUNGE
        S: a5 NO [CANNOT] Mailbox is read-only
        C: a6 UNSELECT
        S: a6 OK UNSELECT completed
        C: a7 STATUS INBOX (RECENT DELETED SIZE)
        S: * STATUS \"INBOX\" (RECENT 1 DELETED 0 SIZE 64)
        S: a7 OK STATUS completed";
    play_with(&["one"], transcript).await;
}

#[tokio::test(start_paused = true)]
async fn search_finds_messages_and_saves_the_result() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 SEARCH SUBJECT T
        S: * SEARCH 2 3
        S: a2 OK SEARCH completed
        C: a3 UID SEARCH RETURN (SAVE COUNT) NOT BODY goodbye SUBJECT t
        S: * ESEARCH (TAG \"a3\") UID COUNT 2
        S: a3 OK SEARCH completed
        C: a4 STORE $ +FLAGS.SILENT \\Flagged
        S: a4 OK STORE completed
        C: a5 SEARCH RETURN (MIN MAX ALL) FLAGGED
        S: * ESEARCH (TAG \"a5\") MIN 2 MAX 3 ALL 2:3
        S: a5 OK SEARCH completed
        C: a6 SEARCH $ SMALLER 66
        S: * SEARCH 2
        S: a6 OK SEARCH completed
        C: a7 SEARCH 5
        S: * SEARCH
        S: a7 OK SEARCH completed",
        selected("a1", 3, 3, 4)
    );
    play_with(&["one", "two", "three"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn fetch_binary_decodes_parts() {
    let fixture = Fixture::new().await;
    let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        aGVsbG8=\r\n--b\r\nContent-Transfer-Encoding: x-own\r\n\r\n?\r\n--b--\r\n";
    fixture.deliver(message).await;
    play(
        &fixture,
        &format!(
            "C: a1 SELECT INBOX
            {}
            C: a2 FETCH 1 (BINARY.PEEK[1] BINARY.PEEK[1]<1.2> BINARY.SIZE[1] BODY.PEEK[1])
            S: * 1 FETCH (BINARY[1] {{5}}
            S: hello BINARY[1]<1> {{2}}
            S: el BINARY.SIZE[1] 5 BODY[1] {{8}}
            S: aGVsbG8=)
            S: a2 OK FETCH completed
            C: a3 FETCH 1 (UID BINARY.PEEK[2])
            S: * 1 FETCH (UID 1)
            S: a3 NO [UNKNOWN-CTE] Cannot decode a part",
            selected("a1", 1, 1, 2)
        ),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn imap4rev2_when_enabled_changes_responses() {
    let transcript = "
        C: a1 ENABLE IMAP4rev2
        S: * ENABLED IMAP4rev2
        S: a1 OK ENABLE completed
        C: a2 SELECT INBOX
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 1 EXISTS
        S: * LIST () \"/\" \"INBOX\"
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Permanent flags
        S: * OK [UIDVALIDITY 1767225600] UIDs valid
        S: * OK [UIDNEXT 2] Predicted next UID
        S: * OK [HIGHESTMODSEQ 2] Highest modification sequence
        S: * OK [MAILBOXID (F1)] Mailbox id
        S: a2 OK [READ-WRITE] SELECT completed
        D: two
        C: a3 SEARCH ALL
        S: * 2 EXISTS
        S: * ESEARCH (TAG \"a3\") ALL 1:2
        S: a3 OK SEARCH completed
        C: a4 FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS ())
        S: a4 OK FETCH completed";
    play_with(&["one"], transcript).await;
}

/// RFC 9051 §6.3.6, §6.3.9.7: INBOX is case-insensitive as first level.
#[tokio::test(start_paused = true)]
async fn imap4rev2_list_reports_old_names() {
    let transcript = "
        C: a1 ENABLE IMAP4rev2
        S: * ENABLED IMAP4rev2
        S: a1 OK ENABLE completed
        C: a2 CREATE inbox/a
        S: * LIST () \"/\" \"INBOX/a\" (\"OLDNAME\" (\"inbox/a\"))
        S: a2 OK [MAILBOXID (F7)] CREATE completed
        C: a3 CREATE b/
        S: a3 OK [MAILBOXID (F8)] CREATE completed
        C: a4 RENAME b inbox/b
        S: * LIST () \"/\" \"INBOX/b\" (\"OLDNAME\" (\"b\"))
        S: a4 OK RENAME completed
        C: a5 EXAMINE Inbox/b
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 0 EXISTS
        S: * LIST () \"/\" \"INBOX/b\" (\"OLDNAME\" (\"Inbox/b\"))
        S: * OK [PERMANENTFLAGS ()] Permanent flags
        S: * OK [UIDVALIDITY 1767225607] UIDs valid
        S: * OK [UIDNEXT 1] Predicted next UID
        S: * OK [HIGHESTMODSEQ 1] Highest modification sequence
        S: * OK [MAILBOXID (F8)] Mailbox id
        S: a5 OK [READ-ONLY] EXAMINE completed
        C2: b1 RENAME INBOX/b c
        S2: b1 OK RENAME completed";
    play_with(&[], transcript).await;
}

#[tokio::test(start_paused = true)]
async fn fetch_of_many_messages_is_complete() {
    let fixture = Fixture::new().await;
    let content = format!("Subject: long\r\n\r\n{}", "0123456789abcdef\r\n".repeat(5_000));
    for _ in 0..3 {
        fixture.deliver(&content).await;
    }
    let mut client = fixture.log_in().await;
    client.write_all(b"b SELECT INBOX\r\nc FETCH 1:* BODY.PEEK[TEXT]\r\nd FETCH 1:* BODY.PEEK[]\r\n").await.unwrap();
    let output = read_until_idle(&mut client).await;
    let body = &content[17..];
    for number in 1..=3 {
        assert!(output.contains(&format!("* {number} FETCH (BODY[TEXT] {{{}}}\r\n{body})\r\n", body.len())));
        assert!(output.contains(&format!("now\r\n{content})\r\n")));
    }
    assert!(output.ends_with("d OK FETCH completed\r\n"));
}

/// RFC 9051 §7.5.2.
#[tokio::test(start_paused = true)]
async fn fetch_with_nothing_to_report_sends_no_response() {
    const UNDECODABLE: &str = "Content-Transfer-Encoding: frob\r\n\r\nhello\r\n";
    let fixture = Fixture::new().await;
    fixture.deliver(UNDECODABLE).await;
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 FETCH 1 BINARY.PEEK[1]
        S: a2 NO [UNKNOWN-CTE] Cannot decode a part
        C: a3 FETCH 1 BINARY.SIZE[1]
        S: a3 NO [UNKNOWN-CTE] Cannot decode a part",
        selected("a1", 1, 1, 2)
    );
    play(&fixture, &transcript).await;
    let mut client = fixture.log_in().await;
    client.write_all(b"b1 SELECT INBOX\r\n").await.unwrap();
    read_until_idle(&mut client).await;
    client.write_all(b"b2 NOTIFY SET (SELECTED (MessageNew (BINARY.SIZE[1]) MessageExpunge))\r\n").await.unwrap();
    assert_eq!(read_until_idle(&mut client).await, "b2 OK NOTIFY completed\r\n");
    fixture.deliver(UNDECODABLE).await;
    assert_eq!(read_until_idle(&mut client).await, "* 2 EXISTS\r\n* 1 RECENT\r\n");
}

/// RFC 9051 §4.3.1: no literal holds NUL, so binary parts are given re-encoded, with sizes to match; BINARY gives them as
/// they came.
#[tokio::test(start_paused = true)]
async fn message_of_binarymime_is_read_in_base64() {
    let fixture = Fixture::new().await;
    for text in ["Content-Transfer-Encoding: binary\r\n\r\na\0\u{1}", "Subject: x\r\n\r\na\0\u{1}"] {
        let message = Message::new(Bytes::from(text));
        fixture.mailboxes.deliver(USER, None, &message).await.unwrap();
    }
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 FETCH 1:2 (RFC822.SIZE BINARY.SIZE[1] BINARY.PEEK[1] BODY.PEEK[])
        S: * 1 FETCH (RFC822.SIZE 43 BINARY.SIZE[1] 3 BINARY[1] ~{{3}}
        S: a\0\u{1} BODY[] {{43}}
        S: Content-Transfer-Encoding: base64
        S:
        S: YQAB
        S: )
        S: * 2 FETCH (RFC822.SIZE 55 BINARY.SIZE[1] 3 BINARY[1] ~{{3}}
        S: a\0\u{1} BODY[] {{55}}
        S: Subject: x
        S: Content-Transfer-Encoding: base64
        S:
        S: YQAB
        S: )
        S: a2 OK FETCH completed",
        selected("a1", 2, 2, 3),
    );
    play(&fixture, &transcript).await;
}

/// RFC 9051 §7.5.2 (at-domain-list), RFC 5322 §4.4.
#[tokio::test(start_paused = true)]
async fn source_routes_and_comments_of_addresses_are_understood() {
    let fixture = Fixture::new().await;
    fixture.deliver("From: Ann <@x.test,@y.test:ann(the one)@(ha)a.test>\r\n\r\n").await;
    fixture.deliver("From: bob (the two) @ b.test\r\nReply-To: <cy(x)@c.test>\r\n\r\n").await;
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 SEARCH FROM ann@a.test
        S: * SEARCH 1
        S: a2 OK SEARCH completed
        C: a3 SEARCH FROM bob@b.test
        S: * SEARCH 2
        S: a3 OK SEARCH completed
        C: a4 SEARCH HEADER Reply-To cy@c.test
        S: * SEARCH 2
        S: a4 OK SEARCH completed
        C: a5 SEARCH TEXT cy@c.test
        S: * SEARCH 2
        S: a5 OK SEARCH completed
        C: a6 FETCH 1 ENVELOPE
        S: * 1 FETCH (ENVELOPE (NIL NIL {from} {from} {from} NIL NIL NIL NIL NIL))
        S: a6 OK FETCH completed",
        selected("a1", 2, 2, 3),
        from = "((\"Ann\" \"@x.test,@y.test\" \"ann\" \"a.test\"))",
    );
    play(&fixture, &transcript).await;
}

/// A list is written without a look at the messages, and says the same as they do.
#[tokio::test(start_paused = true)]
async fn header_fields_of_lists_are_those_of_the_message() {
    let fixture = Fixture::new().await;
    fixture
        .deliver("SUBJECT : one\r\n\ttwo\r\nX-Run: 7\r\nTo: a\r\nto: b\r\nList-Id: <l>\r\n\r\nSubject: body\r\n")
        .await;
    fixture.deliver(&format!("Subject: two\r\nReferences: {}\r\n\r\n", "<x@y> ".repeat(2_000))).await;
    fixture.deliver(&format!("Subject: six\r\nX-Run: 1\r\n\r\n{}", "text\r\n".repeat(5_000))).await;
    let mut client = fixture.log_in().await;
    client.write_all(b"a1 EXAMINE INBOX\r\n").await.unwrap();
    read_until_idle(&mut client).await;
    for names in ["Subject", "to SUBJECT", "List-Id References", "Message-ID"] {
        let mut replies = Vec::new();
        // The second is answered from the message, because of a field that is not kept apart.
        for more in ["", " X-None"] {
            client.write_all(format!("a2 FETCH 1:3 BODY[HEADER.FIELDS ({names}{more})]\r\n").as_bytes()).await.unwrap();
            replies.push(read_until_idle(&mut client).await.replace(" X-None", ""));
        }
        assert_eq!(replies[0], replies[1], "{names}");
        assert!(replies[0].contains("* 3 FETCH ") && replies[0].contains("a2 OK"), "{}", replies[0]);
    }
    // The header of the last one is kept whole; the message itself says the same.
    for section in ["HEADER", "HEADER.FIELDS (Received X-RUN)", "HEADER.FIELDS.NOT (Subject)"] {
        let mut replies = Vec::new();
        for more in ["", " BINARY.SIZE[1]"] {
            client.write_all(format!("a3 FETCH 3 (BODY.PEEK[{section}]{more})\r\n").as_bytes()).await.unwrap();
            replies.push(read_until_idle(&mut client).await.replace(" BINARY.SIZE[1] 30000", ""));
        }
        assert_eq!(replies[0], replies[1], "{section}");
        assert!(replies[0].contains("Received: by x"), "{}", replies[0]);
    }
}
