//! MULTIAPPEND, REPLACE and literal8. RFC 3502, RFC 8508, RFC 3516, RFC 6855.

use super::*;

#[tokio::test(start_paused = true)]
async fn several_messages_are_filed_at_once_or_none() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 APPEND INBOX (\\Seen) {{3+}}
        C: one () \" 2-Feb-2024 03:04:05 +0000\" {{3}}
        S: + go ahead
        C: two
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a2 OK [APPENDUID 1767225600 1:2] filed
        C: a3 APPEND INBOX {{3+}}
        C: one {{0+}}
        C:
        S: a3 NO a message without octets is not filed, nor are the others
        C: a4 APPEND None {{3+}}
        C: one {{3+}}
        C: two
        S: a4 NO [TRYCREATE] no such mailbox
        C: a5 FETCH 1:* (FLAGS RFC822.SIZE)
        S: * 1 FETCH (FLAGS (\\Recent \\Seen) RFC822.SIZE 3)
        S: * 2 FETCH (FLAGS (\\Recent) RFC822.SIZE 3)
        S: a5 OK fetched",
        selected("a1", 0, 0, 1),
    );
    play_with(&[], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_takes_the_place_of_another() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 REPLACE 1 INBOX (\\Draft) {{3+}}
        C: new
        S: * OK [APPENDUID 1767225600 3] is the new one
        S: * 1 EXPUNGE
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a2 OK replaced
        C: a3 UID REPLACE 3 Archive {{5+}}
        C: newer
        S: * OK [APPENDUID 1767225601 1] is the new one
        S: * 2 EXPUNGE
        S: a3 OK replaced
        C: a4 REPLACE 1 None {{3+}}
        C: new
        S: a4 NO [TRYCREATE] no such mailbox
        C: a5 REPLACE 9 INBOX {{3+}}
        C: new
        S: a5 BAD no message has that number
        C2: b1 SELECT INBOX
        S2: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S2: * 1 EXISTS
        S2: * 0 RECENT
        S2: * OK [UNSEEN 1] is the first that is not read
        S2: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] are kept
        S2: * OK [UIDVALIDITY 1767225600] holds for all UIDs
        S2: * OK [UIDNEXT 4] comes next
        S2: * OK [HIGHESTMODSEQ 6] is the last change
        S2: * OK [MAILBOXID (F1)] is the mailbox under any name
        S2: b1 OK [READ-WRITE] to be used
        C2: b2 MOVE 1 Trash
        S2: * OK [COPYUID 1767225605 2 1] moved
        S2: * 1 EXPUNGE
        S2: b2 OK done
        C: a6 UID REPLACE 2 INBOX {{3+}}
        C: new
        S: * 1 EXPUNGE
        S: a6 NO [EXPUNGEISSUED] some of the messages are gone
        C: a7 EXAMINE INBOX
        S: * OK [CLOSED] what follows is of the mailbox selected now
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS ()] are kept
        S: * OK [UIDVALIDITY 1767225600] holds for all UIDs
        S: * OK [UIDNEXT 4] comes next
        S: * OK [HIGHESTMODSEQ 7] is the last change
        S: * OK [MAILBOXID (F1)] is the mailbox under any name
        S: a7 OK [READ-ONLY] to be read only
        C: a8 REPLACE 1 INBOX {{3+}}
        C: new
        S: a8 NO [CANNOT] the mailbox was opened to be read only",
        selected("a1", 2, 2, 3),
    );
    play_with(&["one", "two"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_as_literal8_may_hold_any_octet_and_is_read_in_either_way() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 APPEND INBOX ~{{38+}}
        C: content-transfer-encoding:binary
        C:
        C: \0\u{1}
        S: * 1 EXISTS
        S: * 1 RECENT
        S: a2 OK [APPENDUID 1767225600 1] filed
        C: a3 FETCH 1 (BINARY.PEEK[1] BODY.PEEK[])
        S: * 1 FETCH (BINARY[1] ~{{2}}
        S: \0\u{1} BODY[] {{43}}
        S: content-transfer-encoding: base64
        S:
        S: AAE=
        S: )
        S: a3 OK fetched
        C: a4 APPEND INBOX UTF8 (~{{15+}}
        C: Subject: \u{e9}
        C:
        C: )
        S: a4 BAD enable UTF8=ACCEPT first
        C: a5 ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: a5 OK enabled
        C: a6 APPEND INBOX UTF8 (~{{15+}}
        C: Subject: \u{e9}
        C:
        C: )
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a6 OK [APPENDUID 1767225600 2] filed
        C: a7 CREATE \u{fc}
        S: a7 BAD a string is missing
        C: a8 CREATE \"\u{fc}\"
        S: a8 OK [MAILBOXID (F7)] made
        C: a9 LIST \"\" \"\u{fc}\"
        S: * LIST (\\HasNoChildren) \"/\" \"\u{fc}\"
        S: a9 OK that is all
        C: a10 SEARCH CHARSET UTF-8 SUBJECT \"\u{e9}\"
        S: a10 BAD the charset is UTF-8 since UTF8=ACCEPT was enabled
        C: a11 SEARCH SUBJECT \"\u{e9}\"
        S: * SEARCH 2
        S: a11 OK searched",
        selected("a1", 0, 0, 1),
    );
    play_with(&[], &transcript).await;
}
