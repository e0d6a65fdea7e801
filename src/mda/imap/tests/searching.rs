//! Results beyond numbers: pages, ages, save dates. RFC 5032, RFC 8514, RFC 9394.

use super::*;

#[tokio::test(start_paused = true)]
async fn partial_returns_pages() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 UID SEARCH RETURN (PARTIAL 1:2 COUNT) ALL
        S: * ESEARCH (TAG \"a2\") UID PARTIAL (1:2 1:2) COUNT 4
        S: a2 OK SEARCH completed
        C: a3 SEARCH RETURN (PARTIAL -1:-2 SAVE) NOT 2
        S: * ESEARCH (TAG \"a3\") PARTIAL (-1:-2 3:4)
        S: a3 OK SEARCH completed
        C: a4 FETCH $ UID
        S: * 3 FETCH (UID 3)
        S: * 4 FETCH (UID 4)
        S: a4 OK FETCH completed
        C: a5 SEARCH RETURN (PARTIAL 9:10) ALL
        S: * ESEARCH (TAG \"a5\") PARTIAL (9:10 NIL)
        S: a5 OK SEARCH completed
        C: a6 UID FETCH 1:* (UID) (PARTIAL -1:-1)
        S: * 4 FETCH (UID 4)
        S: a6 OK FETCH completed
        C: a7 UID FETCH 1:* (UID) (PARTIAL 1:1 CHANGEDSINCE 3)
        S: * OK [HIGHESTMODSEQ 5] Highest modification sequence
        S: * 3 FETCH (UID 3 MODSEQ (4))
        S: a7 OK FETCH completed",
        selected("a1", 4, 4, 5),
    );
    play_with(&["one", "two", "three", "four"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn search_finds_by_age_and_save_date() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 APPEND INBOX \" 2-Feb-2024 03:04:05 +0000\" {{3+}}
        C: old
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a2 OK [APPENDUID 1767225600 2] APPEND completed
        C: a3 SEARCH YOUNGER 3600
        S: * SEARCH 1
        S: a3 OK SEARCH completed
        C: a4 SEARCH OLDER 3600
        S: * SEARCH 2
        S: a4 OK SEARCH completed
        C: a5 SEARCH SAVEDSINCE 1-Jan-2026 SAVEDATESUPPORTED
        S: * SEARCH 1 2
        S: a5 OK SEARCH completed
        C: a6 SEARCH SAVEDBEFORE 1-Jan-2026
        S: * SEARCH
        S: a6 OK SEARCH completed
        C: a7 FETCH 2 (INTERNALDATE SAVEDATE)
        S: * 2 FETCH (INTERNALDATE \"02-Feb-2024 03:04:05 +0000\" SAVEDATE \"01-Jan-2026 00:00:03 +0000\")
        S: a7 OK FETCH completed",
        selected("a1", 1, 1, 2),
    );
    play_with(&["one"], &transcript).await;
}

/// RFC 9051 §6.4.4: search in the decoded text, also with the stored filters.
#[tokio::test(start_paused = true)]
async fn search_finds_by_decoded_text() {
    let fixture = Fixture::new().await;
    for message in [
        "Subject: one\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <p class=3Dhidden>Gr=C3=BC&szlig;e <b>an</b> alle</p>\r\n",
        "Subject: =?koi8-r?B?8NLJ18XU?=\r\nContent-Type: text/plain; charset=koi8-r\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n8NLJ18XU\r\n",
    ] {
        fixture.deliver(message).await;
    }
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 SEARCH CHARSET UTF-8 BODY {{7+}}
        C: GRü\u{df}E
        S: * SEARCH 1
        S: a2 OK SEARCH completed
        C: a3 SEARCH TEXT hidden
        S: * SEARCH
        S: a3 OK SEARCH completed
        C: a4 SEARCH CHARSET UTF-8 SUBJECT {{6+}}
        C: \u{43f}\u{440}\u{438}
        S: * SEARCH 2
        S: a4 OK SEARCH completed
        C: a5 SEARCH CHARSET UTF-8 TEXT {{12+}}
        C: \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}
        S: * SEARCH 2
        S: a5 OK SEARCH completed
        C: a6 CHECK
        S: a6 OK NOOP completed",
        selected("a1", 2, 2, 3),
    );
    play(&fixture, &transcript).await;
}

/// RFC 9051 §6.4.4 (HEADER), by the filter of the text and by the header alone.
#[tokio::test(start_paused = true)]
async fn search_header_finds_fields_by_name_and_text() {
    let fixture = Fixture::new().await;
    for (run, subject) in [("r-1", "one"), ("r-2", "x-run: r-1"), ("r-1", "two")] {
        fixture
            .deliver(&format!("Subject: {subject}\r\nX-Run: {run}\r\nMessage-ID: <{subject}@a>\r\n\r\nr-3\r\n"))
            .await;
    }
    fixture.deliver("Subject: none\r\n\r\nX-Run: r-1\r\n").await;
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 SEARCH HEADER X-Run R-1
        S: * SEARCH 1 3
        S: a2 OK SEARCH completed
        C: a3 SEARCH HEADER x-run \"\"
        S: * SEARCH 1 2 3
        S: a3 OK SEARCH completed
        C: a4 SEARCH HEADER X-Run r-3
        S: * SEARCH
        S: a4 OK SEARCH completed
        C: a5 SEARCH NOT HEADER X-Run r-1
        S: * SEARCH 2 4
        S: a5 OK SEARCH completed
        C: a6 SEARCH HEADER Message-ID <two@a>
        S: * SEARCH 3
        S: a6 OK SEARCH completed
        C: a7 SEARCH HEADER Received \"by x\"
        S: * SEARCH 1 2 3 4
        S: a7 OK SEARCH completed
        C: a8 SEARCH OR HEADER X-Run r-2 BODY r-1
        S: * SEARCH 2 4
        S: a8 OK SEARCH completed",
        selected("a1", 4, 4, 5),
    );
    play(&fixture, &transcript).await;
}
