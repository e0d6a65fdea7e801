//! Commands that change messages and mailboxes.

use super::*;

#[tokio::test(start_paused = true)]
async fn copy_move_and_expunge_report_uids() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 COPY 2:3 Archive
        S: a2 OK [COPYUID 1767225601 2:3 1:2] COPY completed
        C: a3 COPY 1 Nowhere
        S: a3 NO [TRYCREATE] No such mailbox
        C: a4 UID MOVE 1,3 Trash
        S: * OK [COPYUID 1767225605 1,3 1:2] Moved messages
        S: * 3 EXPUNGE
        S: * 1 EXPUNGE
        S: a4 OK MOVE completed
        C: a5 UID COPY 9 Trash
        S: a5 OK No matching messages
        C: a6 STORE 1:2 +FLAGS (\\Deleted)
        S: * 1 FETCH (FLAGS (\\Recent \\Deleted))
        S: * 2 FETCH (FLAGS (\\Recent \\Deleted))
        S: a6 OK STORE completed
        C: a7 UID EXPUNGE 4
        S: * 2 EXPUNGE
        S: a7 OK EXPUNGE completed
        C: a8 CLOSE
        S: a8 OK CLOSE completed
        C: a9 STATUS INBOX (MESSAGES UIDNEXT UNSEEN RECENT)
        S: * STATUS \"INBOX\" (MESSAGES 0 UIDNEXT 5 UNSEEN 0 RECENT 0)
        S: a9 OK STATUS completed",
        selected("a1", 4, 4, 5)
    );
    play_with(&["one", "two", "three", "four"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn append_adds_a_message_to_the_named_mailbox() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 APPEND INBOX (\\Seen $Forwarded) \" 2-Feb-2024 03:04:05 +0100\" {{10}}
        S: + Ready for literal data
        C: Subject: x
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)
        S: a2 OK [APPENDUID 1767225600 1] APPEND completed
        C: a3 FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])
        S: * 1 FETCH (FLAGS (\\Recent \\Seen $Forwarded) INTERNALDATE \"02-Feb-2024 02:04:05 +0000\" BODY[] {{10}}
        S: Subject: x)
        S: a3 OK FETCH completed
        C: a4 APPEND Nowhere {{1+}}
        C: x
        C: a5 NOOP
        S: a4 NO [TRYCREATE] No such mailbox
        S: a5 OK NOOP completed",
        selected("a1", 0, 0, 1)
    );
    play_with(&[], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn create_rename_delete_and_list_agree() {
    let transcript = "
        C: a1 LIST \"\" \"\"
        S: * LIST (\\Noselect) \"/\" \"\"
        S: a1 OK LIST completed
        C: a2 CREATE Lists/rust/
        S: a2 OK [MAILBOXID (F8)] CREATE completed
        C: a3 CREATE lists&AOk-
        S: a3 OK [MAILBOXID (F9)] CREATE completed
        C: a4 CREATE Sent
        S: a4 NO [ALREADYEXISTS] Mailbox already exists
        C: a5 LIST \"\" %
        S: * LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"
        S: * LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"
        S: * LIST (\\HasNoChildren) \"/\" \"INBOX\"
        S: * LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"
        S: * LIST (\\HasChildren) \"/\" \"Lists\"
        S: * LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"
        S: * LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"
        S: * LIST (\\HasNoChildren) \"/\" \"lists&AOk-\"
        S: a5 OK LIST completed
        C: a6 LIST Lists/ (rust inbox) RETURN (SUBSCRIBED STATUS (MESSAGES))
        S: * LIST (\\HasNoChildren) \"/\" \"Lists/rust\"
        S: * STATUS \"Lists/rust\" (MESSAGES 0)
        S: a6 OK LIST completed
        C: a7 SUBSCRIBE Lists/rust
        S: a7 OK SUBSCRIBE completed
        C: a8 LSUB \"\" Lis%
        S: * LSUB (\\Noselect) \"/\" \"Lists\"
        S: a8 OK LSUB completed
        C: a9 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" L%
        S: * LIST (\\HasChildren) \"/\" \"Lists\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a9 OK LIST completed
        C: b1 RENAME Lists Groups
        S: b1 OK RENAME completed
        C: b2 LIST \"\" G*
        S: * LIST (\\HasChildren) \"/\" \"Groups\"
        S: * LIST (\\HasNoChildren) \"/\" \"Groups/rust\"
        S: b2 OK LIST completed
        C: b3 DELETE INBOX
        S: b3 NO [CANNOT] INBOX cannot be deleted
        C: b4 DELETE Groups
        S: b4 OK DELETE completed
        C: b5 LIST \"\" G*
        S: * LIST (\\Noselect \\HasChildren) \"/\" \"Groups\"
        S: * LIST (\\HasNoChildren) \"/\" \"Groups/rust\"
        S: b5 OK LIST completed
        C: b6 LIST (SPECIAL-USE) \"\" S*
        S: * LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"
        S: b6 OK LIST completed
        C: b7 NAMESPACE
        S: * NAMESPACE ((\"\" \"/\")) NIL NIL
        S: b7 OK NAMESPACE completed
        C: b8 SELECT Nowhere
        S: b8 NO [NONEXISTENT] No such mailbox";
    play_with(&[], transcript).await;
}
