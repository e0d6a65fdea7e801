//! SORT, THREAD, PREVIEW and OBJECTID. RFC 5256, RFC 8970, RFC 8474.

use super::*;

/// Four messages in two threads.
async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    for (from, date, subject, ids, text) in [
        (
            "Zo\u{eb} <zoe@a.test>",
            "3 Jan 2026 10:00:00 +0000",
            "=?utf-8?q?=C3=A9t=C3=A9?=",
            "Message-ID: <1@a>",
            "hello",
        ),
        ("bob@b.test", "1 Jan 2026 10:00:00 +0000", "Zebra", "Message-ID: <2@a>", "a\r\n  longer \ttext"),
        ("Ann <ann@c.test>", "3 Jan 2026 09:00:00 -0200", "Re: Zebra", "Message-ID: <3@a>\r\nReferences: <2@a>", "yes"),
        ("ann@d.test", "nonsense", "fiesta", "In-Reply-To: <1@a>", "no"),
    ] {
        let header = format!("From: {from}\r\nDate: {date}\r\nSubject: {subject}\r\n{ids}\r\n");
        fixture.deliver(&format!("{header}\r\n{text}\r\n")).await;
    }
    fixture
}

#[tokio::test(start_paused = true)]
async fn sort_returns_the_requested_order() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 SORT (SUBJECT) UTF-8 ALL
        S: * SORT 1 4 2 3
        S: a2 OK SORT completed
        C: a3 SORT (REVERSE FROM DATE) US-ASCII ALL
        S: * SORT 1 2 4 3
        S: a3 OK SORT completed
        C: a4 SORT (DATE) UTF-8 NOT 1
        S: * SORT 4 2 3
        S: a4 OK SORT completed
        C: a5 SORT (REVERSE ARRIVAL) UTF-8 1:3
        S: * SORT 1 2 3
        S: a5 OK SORT completed
        C: a6 UID SORT (REVERSE SIZE) UTF-8 MODSEQ 4
        S: * OK [HIGHESTMODSEQ 5] Highest modification sequence
        S: * SORT 3 4 (MODSEQ 5)
        S: a6 OK SORT completed
        C: a7 SORT (SUBJECT) latin1 ALL
        S: a7 NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset
        C: a8 SORT (TO CC) UTF-8 SEEN
        S: * SORT
        S: a8 OK SORT completed
        C: a9 SORT () UTF-8 ALL
        S: a9 BAD A criterion is missing",
        selected("a1", 4, 4, 5),
    );
    play(&fixture().await, &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn thread_returns_threads() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 THREAD REFERENCES UTF-8 ALL
        S: * THREAD (2 3)(1 4)
        S: a2 OK THREAD completed
        C: a3 THREAD ORDEREDSUBJECT UTF-8 ALL
        S: * THREAD (4)(2 3)(1)
        S: a3 OK THREAD completed
        C: a4 UID THREAD REFERENCES UTF-8 SEEN
        S: * THREAD
        S: a4 OK THREAD completed
        C: a5 THREAD JWZ UTF-8 ALL
        S: a5 BAD Unknown threading algorithm",
        selected("a1", 4, 4, 5),
    );
    play(&fixture().await, &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn fetch_returns_preview_and_object_ids() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 FETCH 2 (PREVIEW)
        S: * 2 FETCH (PREVIEW \"a longer text\")
        S: a2 OK FETCH completed
        C: a3 UID FETCH 1 PREVIEW (LAZY)
        S: * 1 FETCH (UID 1 PREVIEW \"hello\")
        S: a3 OK FETCH completed
        C: a4 COPY 2 Archive
        S: a4 OK [COPYUID 1767225601 2 1] COPY completed
        C: a5 FETCH 1:2 (EMAILID THREADID)
        S: * 1 FETCH (EMAILID (M4294967297) THREADID (T13214051174387660628))
        S: * 2 FETCH (EMAILID (M4294967298) THREADID (T12315461812691899806))
        S: a5 OK FETCH completed
        C: a51 FETCH 3:4 THREADID
        S: * 3 FETCH (THREADID (T12315461812691899806))
        S: * 4 FETCH (THREADID (T13214051174387660628))
        S: a51 OK FETCH completed
        C: a52 SEARCH THREADID T12315461812691899806
        S: * SEARCH 2 3
        S: a52 OK SEARCH completed
        C2: b1 EXAMINE Archive
        S2: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S2: * 1 EXISTS
        S2: * 1 RECENT
        S2: * OK [UNSEEN 1] First unseen message
        S2: * OK [PERMANENTFLAGS ()] Permanent flags
        S2: * OK [UIDVALIDITY 1767225601] UIDs valid
        S2: * OK [UIDNEXT 2] Predicted next UID
        S2: * OK [HIGHESTMODSEQ 2] Highest modification sequence
        S2: * OK [MAILBOXID (F2)] Mailbox id
        S2: b1 OK [READ-ONLY] EXAMINE completed
        C2: b2 UID SEARCH EMAILID M4294967298
        S2: * SEARCH 1
        S2: b2 OK SEARCH completed
        C2: b3 SEARCH OR EMAILID T4294967298 THREADID x
        S2: * SEARCH
        S2: b3 OK SEARCH completed
        C: a6 CREATE x
        S: a6 OK [MAILBOXID (F7)] CREATE completed
        C: a7 RENAME x y
        S: a7 OK RENAME completed
        C: a8 STATUS y (MAILBOXID MESSAGES)
        S: * STATUS \"y\" (MAILBOXID (F7) MESSAGES 0)
        S: a8 OK STATUS completed",
        selected("a1", 4, 4, 5),
    );
    play(&fixture().await, &transcript).await;
}
