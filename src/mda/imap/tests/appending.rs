//! MULTIAPPEND, REPLACE and literal8. RFC 3502, RFC 8508, RFC 3516, RFC 6855.

use super::*;

#[tokio::test(start_paused = true)]
async fn append_adds_all_messages_or_none() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 APPEND INBOX (\\Seen) {{3+}}
        C: one () \" 2-Feb-2024 03:04:05 +0000\" {{3}}
        S: + Ready for literal data
        C: two
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a2 OK [APPENDUID 1767225600 1:2] APPEND completed
        C: a3 APPEND INBOX {{3+}}
        C: one {{0+}}
        C:
        S: a3 NO Empty message, APPEND cancelled
        C: a4 APPEND None {{3+}}
        C: one {{3+}}
        C: two
        S: a4 NO [TRYCREATE] No such mailbox
        C: a5 FETCH 1:* (FLAGS RFC822.SIZE)
        S: * 1 FETCH (FLAGS (\\Recent \\Seen) RFC822.SIZE 3)
        S: * 2 FETCH (FLAGS (\\Recent) RFC822.SIZE 3)
        S: a5 OK FETCH completed",
        selected("a1", 0, 0, 1),
    );
    play_with(&[], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn replace_exchanges_a_message() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 REPLACE 1 INBOX (\\Draft) {{3+}}
        C: new
        S: * OK [APPENDUID 1767225600 3] Replacement message
        S: * 1 EXPUNGE
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a2 OK REPLACE completed
        C: a3 UID REPLACE 3 Archive {{5+}}
        C: newer
        S: * OK [APPENDUID 1767225601 1] Replacement message
        S: * 2 EXPUNGE
        S: a3 OK REPLACE completed
        C: a4 REPLACE 1 None {{3+}}
        C: new
        S: a4 NO [TRYCREATE] No such mailbox
        C: a5 REPLACE 9 INBOX {{3+}}
        C: new
        S: a5 BAD No such message
        C2: b1 SELECT INBOX
        S2: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S2: * 1 EXISTS
        S2: * 0 RECENT
        S2: * OK [UNSEEN 1] First unseen message
        S2: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Permanent flags
        S2: * OK [UIDVALIDITY 1767225600] UIDs valid
        S2: * OK [UIDNEXT 4] Predicted next UID
        S2: * OK [HIGHESTMODSEQ 6] Highest modification sequence
        S2: * OK [MAILBOXID (F1)] Mailbox id
        S2: b1 OK [READ-WRITE] SELECT completed
        C2: b2 MOVE 1 Trash
        S2: * OK [COPYUID 1767225605 2 1] Moved messages
        S2: * 1 EXPUNGE
        S2: b2 OK MOVE completed
        C: a6 UID REPLACE 2 INBOX {{3+}}
        C: new
        S: * 1 EXPUNGE
        S: a6 NO [EXPUNGEISSUED] Some messages were expunged
        C: a7 EXAMINE INBOX
        S: * OK [CLOSED] Previous mailbox closed
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS ()] Permanent flags
        S: * OK [UIDVALIDITY 1767225600] UIDs valid
        S: * OK [UIDNEXT 4] Predicted next UID
        S: * OK [HIGHESTMODSEQ 7] Highest modification sequence
        S: * OK [MAILBOXID (F1)] Mailbox id
        S: a7 OK [READ-ONLY] EXAMINE completed
        C: a8 REPLACE 1 INBOX {{3+}}
        C: new
        S: a8 NO [CANNOT] Mailbox is read-only",
        selected("a1", 2, 2, 3),
    );
    play_with(&["one", "two"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn append_literal8_accepts_any_byte() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 APPEND INBOX ~{{38+}}
        C: content-transfer-encoding:binary
        C:
        C: \0\u{1}
        S: * 1 EXISTS
        S: * 1 RECENT
        S: a2 OK [APPENDUID 1767225600 1] APPEND completed
        C: a3 FETCH 1 (BINARY.PEEK[1] BODY.PEEK[])
        S: * 1 FETCH (BINARY[1] ~{{2}}
        S: \0\u{1} BODY[] {{43}}
        S: content-transfer-encoding: base64
        S:
        S: AAE=
        S: )
        S: a3 OK FETCH completed
        C: a4 APPEND INBOX UTF8 (~{{15+}}
        C: Subject: \u{e9}
        C:
        C: )
        S: a4 BAD UTF8=ACCEPT is not enabled
        C: a5 ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: a5 OK ENABLE completed
        C: a6 APPEND INBOX UTF8 (~{{15+}}
        C: Subject: \u{e9}
        C:
        C: )
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a6 OK [APPENDUID 1767225600 2] APPEND completed
        C: a7 CREATE \u{fc}
        S: a7 BAD A string is missing
        C: a8 CREATE \"\u{fc}\"
        S: a8 OK [MAILBOXID (F7)] CREATE completed
        C: a9 LIST \"\" \"\u{fc}\"
        S: * LIST (\\HasNoChildren) \"/\" \"\u{fc}\"
        S: a9 OK LIST completed
        C: a10 SEARCH CHARSET UTF-8 SUBJECT \"\u{e9}\"
        S: a10 BAD CHARSET is not allowed with UTF8=ACCEPT
        C: a11 SEARCH SUBJECT \"\u{e9}\"
        S: * SEARCH 2
        S: a11 OK SEARCH completed",
        selected("a1", 0, 0, 1),
    );
    play_with(&[], &transcript).await;
}
