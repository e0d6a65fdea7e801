//! CONDSTORE and QRESYNC. RFC 7162.

use super::*;

#[tokio::test(start_paused = true)]
async fn flags_are_told_with_the_number_of_their_change_once_asked_for() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 STORE 1 +FLAGS (\\Seen)
        S: * 1 FETCH (FLAGS (\\Recent \\Seen))
        S: a2 OK stored
        C: a3 FETCH 1:2 (FLAGS MODSEQ)
        S: * OK [HIGHESTMODSEQ 4] is the last change
        S: * 1 FETCH (FLAGS (\\Recent \\Seen) MODSEQ (4))
        S: * 2 FETCH (FLAGS (\\Recent) MODSEQ (3))
        S: a3 OK fetched
        C2: b1 SELECT INBOX (CONDSTORE)
        {}
        C2: b2 STORE 2 +FLAGS.SILENT (\\Flagged)
        S2: * 2 FETCH (MODSEQ (5))
        S2: b2 OK stored
        C: a4 NOOP
        S: * 2 FETCH (FLAGS (\\Recent \\Flagged) MODSEQ (5))
        S: a4 OK done
        C: a5 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 4)
        S: * 2 FETCH (UID 2 FLAGS (\\Recent \\Flagged) MODSEQ (5))
        S: a5 OK fetched
        C: a6 FETCH 2 RFC822.TEXT
        S: * 2 FETCH (RFC822.TEXT {{7}}
        S: hello
        S:  FLAGS (\\Recent \\Flagged \\Seen) MODSEQ (6))
        S: a6 OK fetched
        C: a7 SEARCH MODSEQ \"/flags/\\\\Seen\" all 5
        S: * SEARCH 2 (MODSEQ 6)
        S: a7 OK searched
        C: a8 SEARCH RETURN (MIN COUNT) MODSEQ 1
        S: * ESEARCH (TAG \"a8\") MIN 1 COUNT 2 MODSEQ 6
        S: a8 OK searched
        C: a9 SEARCH RETURN (MIN) MODSEQ 1
        S: * ESEARCH (TAG \"a9\") MIN 1 MODSEQ 4
        S: a9 OK searched
        C: a10 SEARCH MODSEQ 7
        S: * SEARCH
        S: a10 OK searched
        C: a11 STATUS INBOX (HIGHESTMODSEQ)
        S: * STATUS \"INBOX\" (HIGHESTMODSEQ 6)
        S: a11 OK counted",
        selected("a1", 2, 2, 3),
        selected("b1", 2, 0, 3)
            .replace("[UNSEEN 1]", "[UNSEEN 2]")
            .replace("[HIGHESTMODSEQ 3]", "[HIGHESTMODSEQ 4]")
            .replace("S: ", "S2: "),
    );
    play_with(&["one", "two"], &transcript).await;
}

/// As Thunderbird does where CONDSTORE is turned on. RFC 7162 §3.1.4.1.
#[tokio::test(start_paused = true)]
async fn a_client_that_knows_nothing_yet_asks_for_changes_since_0() {
    let transcript = format!(
        "C: a1 SELECT INBOX (CONDSTORE)
        {}
        C: a2 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 0)
        S: * 1 FETCH (UID 1 FLAGS (\\Recent) MODSEQ (2))
        S: * 2 FETCH (UID 2 FLAGS (\\Recent) MODSEQ (3))
        S: a2 OK fetched",
        selected("a1", 2, 2, 3),
    );
    play_with(&["one", "two"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_changed_is_not_overwritten() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 2 FLAGS (\\Answered)
        S2: * 2 FETCH (FLAGS (\\Answered))
        S2: b2 OK stored
        C: a2 UID STORE 1:3 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\\Deleted)
        S: * OK [HIGHESTMODSEQ 4] is the last change
        S: * 2 FETCH (FLAGS (\\Recent \\Answered) MODSEQ (5))
        S: * 1 FETCH (UID 1 MODSEQ (6))
        S: * 3 FETCH (UID 3 MODSEQ (6))
        S: a2 OK [MODIFIED 2] stored
        C: a3 STORE 1 (UNCHANGEDSINCE 0) FLAGS ()
        S: a3 OK [MODIFIED 1] stored
        C: a4 UID EXPUNGE 3
        S: * 3 EXPUNGE
        S: a4 OK [HIGHESTMODSEQ 7] expunged
        C: a5 MOVE 1 Archive
        S: * OK [COPYUID 1767225601 1 1] moved
        S: * 1 EXPUNGE
        S: a5 OK [HIGHESTMODSEQ 8] done
        C: a6 CLOSE
        S: a6 OK closed",
        selected("a1", 3, 3, 4),
        selected("b1", 3, 0, 4).replace("S: ", "S2: "),
    );
    play_with(&["one", "two", "three"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_told_what_has_vanished_and_what_has_changed() {
    let transcript = format!(
        "C: a1 SELECT INBOX (QRESYNC (1767225600 4))
        S: a1 BAD enable QRESYNC first
        C: a2 ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: a2 OK enabled
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1,3 +FLAGS.SILENT (\\Deleted)
        S2: b2 OK stored
        C2: b3 EXPUNGE
        S2: * 3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK expunged
        C2: b4 STORE 1 +FLAGS.SILENT (\\Seen)
        S2: b4 OK stored
        C: a3 SELECT INBOX (QRESYNC (1767225600 5 1:9 (1:2 1,2)))
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 2 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 2] is the first that is not read
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] are kept
        S: * OK [UIDVALIDITY 1767225600] holds for all UIDs
        S: * OK [UIDNEXT 5] comes next
        S: * OK [HIGHESTMODSEQ 8] is the last change
        S: * OK [MAILBOXID (F1)] is the mailbox under any name
        S: * VANISHED (EARLIER) 1,3
        S: * 1 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (8))
        S: a3 OK [READ-WRITE] to be used
        C2: b5 STORE 2 +FLAGS.SILENT (\\Deleted)
        S2: b5 OK stored
        C2: b6 EXPUNGE
        S2: * 2 EXPUNGE
        S2: b6 OK expunged
        C: a4 FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Seen))
        S: a4 OK fetched
        C: a5 UID FETCH 1:9 (UID) (CHANGEDSINCE 4 VANISHED)
        S: * VANISHED (EARLIER) 1,3
        S: * 1 FETCH (UID 2 MODSEQ (8))
        S: * 2 FETCH (UID 4 MODSEQ (5))
        S: * VANISHED 4
        S: a5 OK fetched
        C: a6 SELECT INBOX (QRESYNC (1 1))
        S: * OK [CLOSED] what follows is of the mailbox selected now
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 1 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] are kept
        S: * OK [UIDVALIDITY 1767225600] holds for all UIDs
        S: * OK [UIDNEXT 5] comes next
        S: * OK [HIGHESTMODSEQ 10] is the last change
        S: * OK [MAILBOXID (F1)] is the mailbox under any name
        S: a6 OK [READ-WRITE] to be used",
        selected("b1", 4, 4, 5).replace("S: ", "S2: "),
    );
    play_with(&["one", "two", "three", "four"], &transcript).await;
}
