//! CONDSTORE and QRESYNC. RFC 7162.

use super::*;

#[tokio::test(start_paused = true)]
async fn condstore_when_enabled_reports_modseq_with_flags() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 STORE 1 +FLAGS (\\Seen)
        S: * 1 FETCH (FLAGS (\\Recent \\Seen))
        S: a2 OK STORE completed
        C: a3 FETCH 1:2 (FLAGS MODSEQ)
        S: * OK [HIGHESTMODSEQ 4] Highest modification sequence
        S: * 1 FETCH (FLAGS (\\Recent \\Seen) MODSEQ (4))
        S: * 2 FETCH (FLAGS (\\Recent) MODSEQ (3))
        S: a3 OK FETCH completed
        C2: b1 SELECT INBOX (CONDSTORE)
        {}
        C2: b2 STORE 2 +FLAGS.SILENT (\\Flagged)
        S2: * 2 FETCH (UID 2 MODSEQ (5))
        S2: b2 OK STORE completed
        C: a4 NOOP
        S: * 2 FETCH (UID 2 FLAGS (\\Recent \\Flagged) MODSEQ (5))
        S: a4 OK NOOP completed
        C: a5 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 4)
        S: * 2 FETCH (UID 2 FLAGS (\\Recent \\Flagged) MODSEQ (5))
        S: a5 OK FETCH completed
        C: a6 FETCH 2 RFC822.TEXT
        S: * 2 FETCH (UID 2 RFC822.TEXT {{7}}
        S: hello
        S:  FLAGS (\\Recent \\Flagged \\Seen) MODSEQ (6))
        S: a6 OK FETCH completed
        C: a61 STORE 1 -FLAGS (\\Answered)
        S: * 1 FETCH (UID 1 FLAGS (\\Recent \\Seen) MODSEQ (4))
        S: a61 OK STORE completed
        C: a7 SEARCH MODSEQ \"/flags/\\\\Seen\" all 5
        S: * SEARCH 2 (MODSEQ 6)
        S: a7 OK SEARCH completed
        C: a8 SEARCH RETURN (MIN COUNT) MODSEQ 1
        S: * ESEARCH (TAG \"a8\") MIN 1 COUNT 2 MODSEQ 6
        S: a8 OK SEARCH completed
        C: a9 SEARCH RETURN (MIN) MODSEQ 1
        S: * ESEARCH (TAG \"a9\") MIN 1 MODSEQ 4
        S: a9 OK SEARCH completed
        C: a10 SEARCH MODSEQ 7
        S: * SEARCH
        S: a10 OK SEARCH completed
        C: a11 STATUS INBOX (HIGHESTMODSEQ)
        S: * STATUS \"INBOX\" (HIGHESTMODSEQ 6)
        S: a11 OK STATUS completed",
        selected("a1", 2, 2, 3),
        selected("b1", 2, 0, 3)
            .replace("[UNSEEN 1]", "[UNSEEN 2]")
            .replace("[HIGHESTMODSEQ 3]", "[HIGHESTMODSEQ 4]")
            .replace("S: ", "S2: "),
    );
    play_with(&["one", "two"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn commands_that_change_nothing_use_no_modification_sequence() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 STORE 1 +FLAGS (\\Seen)
        S: * 1 FETCH (FLAGS (\\Recent \\Seen))
        S: a2 OK STORE completed
        C: a3 STORE 1 +FLAGS (\\Seen)
        S: * 1 FETCH (FLAGS (\\Recent \\Seen))
        S: a3 OK STORE completed
        C: a4 EXPUNGE
        S: a4 OK EXPUNGE completed
        C: a5 UID EXPUNGE 1:*
        S: a5 OK EXPUNGE completed
        C: a51 UID COPY 9 INBOX
        S: a51 OK No matching messages
        C: a52 UID MOVE 9 INBOX
        S: a52 OK No matching messages
        C: a6 CLOSE
        S: a6 OK CLOSE completed
        C: a7 STATUS INBOX (HIGHESTMODSEQ)
        S: * STATUS \"INBOX\" (HIGHESTMODSEQ 3)
        S: a7 OK STATUS completed",
        selected("a1", 1, 1, 2),
    );
    play_with(&["one"], &transcript).await;
}

/// RFC 9051 §6.4.6.
#[tokio::test(start_paused = true)]
async fn silent_store_reports_what_another_session_has_changed() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1 +FLAGS.SILENT (\\Flagged)
        S2: b2 OK STORE completed
        C: a2 STORE 1:2 +FLAGS.SILENT (\\Answered)
        S: * 1 FETCH (FLAGS (\\Recent \\Flagged))
        S: a2 OK STORE completed
        C: a3 ENABLE CONDSTORE
        S: * ENABLED CONDSTORE
        S: a3 OK ENABLE completed
        C2: b3 STORE 2 +FLAGS.SILENT (\\Draft)
        S2: * 1 FETCH (FLAGS (\\Answered \\Flagged))
        S2: * 2 FETCH (FLAGS (\\Answered))
        S2: b3 OK STORE completed
        C: a4 UID STORE 2 +FLAGS.SILENT (\\Seen)
        S: * 2 FETCH (UID 2 FLAGS (\\Recent \\Answered \\Draft) MODSEQ (6))
        S: * 2 FETCH (UID 2 MODSEQ (7))
        S: a4 OK STORE completed",
        selected("a1", 2, 2, 3),
        selected("b1", 2, 0, 3).replace("S: ", "S2: "),
    );
    play_with(&["one", "two"], &transcript).await;
}

/// As sent by Thunderbird with CONDSTORE. RFC 7162 §3.1.4.1.
#[tokio::test(start_paused = true)]
async fn fetch_accepts_changedsince_0() {
    let transcript = format!(
        "C: a1 SELECT INBOX (CONDSTORE)
        {}
        C: a2 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 0)
        S: * 1 FETCH (UID 1 FLAGS (\\Recent) MODSEQ (2))
        S: * 2 FETCH (UID 2 FLAGS (\\Recent) MODSEQ (3))
        S: a2 OK FETCH completed",
        selected("a1", 2, 2, 3),
    );
    play_with(&["one", "two"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn store_unchangedsince_keeps_changes_of_other_sessions() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 2 FLAGS (\\Answered)
        S2: * 2 FETCH (FLAGS (\\Answered))
        S2: b2 OK STORE completed
        C: a2 UID STORE 1:3 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\\Deleted)
        S: * OK [HIGHESTMODSEQ 4] Highest modification sequence
        S: * 2 FETCH (UID 2 FLAGS (\\Recent \\Answered) MODSEQ (5))
        S: * 1 FETCH (UID 1 MODSEQ (6))
        S: * 3 FETCH (UID 3 MODSEQ (6))
        S: a2 OK [MODIFIED 2] STORE completed
        C: a3 STORE 1 (UNCHANGEDSINCE 0) FLAGS ()
        S: a3 OK [MODIFIED 1] STORE completed
        C: a4 UID EXPUNGE 3
        S: * 3 EXPUNGE
        S: a4 OK [HIGHESTMODSEQ 7] EXPUNGE completed
        C: a5 MOVE 1 Archive
        S: * OK [COPYUID 1767225601 1 1] Moved messages
        S: * 1 EXPUNGE
        S: a5 OK [HIGHESTMODSEQ 8] MOVE completed
        C: a6 CLOSE
        S: a6 OK CLOSE completed",
        selected("a1", 3, 3, 4),
        selected("b1", 3, 0, 4).replace("S: ", "S2: "),
    );
    play_with(&["one", "two", "three"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn select_qresync_reports_vanished_and_changed_messages() {
    let transcript = format!(
        "C: a1 SELECT INBOX (QRESYNC (1767225600 4))
        S: a1 BAD QRESYNC is not enabled
        C: a2 ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: a2 OK ENABLE completed
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1,3 +FLAGS.SILENT (\\Deleted)
        S2: b2 OK STORE completed
        C2: b3 EXPUNGE
        S2: * 3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK EXPUNGE completed
        C2: b4 STORE 1 +FLAGS.SILENT (\\Seen)
        S2: b4 OK STORE completed
        C: a3 SELECT INBOX (QRESYNC (1767225600 5 1:9 (1:2 1,2)))
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 2 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 2] First unseen message
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Permanent flags
        S: * OK [UIDVALIDITY 1767225600] UIDs valid
        S: * OK [UIDNEXT 5] Predicted next UID
        S: * OK [HIGHESTMODSEQ 8] Highest modification sequence
        S: * OK [MAILBOXID (F1)] Mailbox id
        S: * VANISHED (EARLIER) 1,3
        S: * 1 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (8))
        S: a3 OK [READ-WRITE] SELECT completed
        C2: b5 STORE 2 +FLAGS.SILENT (\\Deleted)
        S2: b5 OK STORE completed
        C2: b6 EXPUNGE
        S2: * 2 EXPUNGE
        S2: b6 OK EXPUNGE completed
        C: a4 FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Seen))
        S: a4 OK FETCH completed
        C: a5 UID FETCH 1:9 (UID) (CHANGEDSINCE 4 VANISHED)
        S: * VANISHED (EARLIER) 1,3
        S: * 1 FETCH (UID 2 MODSEQ (8))
        S: * 2 FETCH (UID 4 MODSEQ (5))
        S: * VANISHED 4
        S: a5 OK FETCH completed
        C: a6 SELECT INBOX (QRESYNC (1 1))
        S: * OK [CLOSED] Previous mailbox closed
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 1 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Permanent flags
        S: * OK [UIDVALIDITY 1767225600] UIDs valid
        S: * OK [UIDNEXT 5] Predicted next UID
        S: * OK [HIGHESTMODSEQ 10] Highest modification sequence
        S: * OK [MAILBOXID (F1)] Mailbox id
        S: a6 OK [READ-WRITE] SELECT completed",
        selected("b1", 4, 4, 5).replace("S: ", "S2: "),
    );
    play_with(&["one", "two", "three", "four"], &transcript).await;
}

/// RFC 7162 §3.2.6: `*` is the highest UID that was given out, not the last that is left.
#[tokio::test(start_paused = true)]
async fn vanished_with_a_star_reaches_above_the_last_message() {
    let transcript = format!(
        "C: a1 ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: a1 OK ENABLE completed
        C: a2 SELECT INBOX
        {}
        C: a3 STORE 3:4 +FLAGS.SILENT \\Deleted
        S: * 3 FETCH (UID 3 MODSEQ (6))
        S: * 4 FETCH (UID 4 MODSEQ (6))
        S: a3 OK STORE completed
        C: a4 EXPUNGE
        S: * VANISHED 3:4
        S: a4 OK [HIGHESTMODSEQ 7] EXPUNGE completed
        C: a5 UID FETCH 1:* (UID) (CHANGEDSINCE 6 VANISHED)
        S: * VANISHED (EARLIER) 3:4
        S: a5 OK FETCH completed
        C: a6 UID FETCH * (UID) (CHANGEDSINCE 5 VANISHED)
        S: * VANISHED (EARLIER) 4
        S: a6 OK FETCH completed
        C: a7 UID FETCH 4:* (UID) (CHANGEDSINCE 1 VANISHED)
        S: * VANISHED (EARLIER) 4
        S: * 2 FETCH (UID 2 MODSEQ (3))
        S: a7 OK FETCH completed
        C: a8 UID STORE 1:* +FLAGS.SILENT \\Deleted
        S: * 1 FETCH (UID 1 MODSEQ (8))
        S: * 2 FETCH (UID 2 MODSEQ (8))
        S: a8 OK STORE completed
        C: a9 EXPUNGE
        S: * VANISHED 1:2
        S: a9 OK [HIGHESTMODSEQ 9] EXPUNGE completed
        C: a10 UID FETCH 1:* (UID) (CHANGEDSINCE 5 VANISHED)
        S: * VANISHED (EARLIER) 1:4
        S: a10 OK FETCH completed",
        selected("a2", 4, 4, 5),
    );
    play_with(&["one", "two", "three", "four"], &transcript).await;
}
