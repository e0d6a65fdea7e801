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

/// `*` is the last message that the client knew, so that none is changed that it has not seen.
#[tokio::test(start_paused = true)]
async fn commands_that_name_a_message_which_has_just_come_change_it() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        D: two
        C: a2 UID STORE 2 +FLAGS (\\Flagged)
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * 2 FETCH (UID 2 FLAGS (\\Recent \\Flagged))
        S: a2 OK STORE completed
        D: three
        C: a3 STORE 3 +FLAGS (\\Flagged)
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * 3 FETCH (FLAGS (\\Recent \\Flagged))
        S: a3 OK STORE completed
        D: four
        C: a4 UID COPY 4 Archive
        S: * 4 EXISTS
        S: * 4 RECENT
        S: a4 OK [COPYUID 1767225601 4 1] COPY completed
        D: five
        C: a5 STORE * +FLAGS (\\Deleted)
        S: * 5 EXISTS
        S: * 5 RECENT
        S: * 4 FETCH (FLAGS (\\Recent \\Deleted))
        S: a5 OK STORE completed
        D: six
        C: a6 UID MOVE 6,5 Trash
        S: * 6 EXISTS
        S: * 6 RECENT
        S: * OK [COPYUID 1767225605 5:6 1:2] Moved messages
        S: * 6 EXPUNGE
        S: * 5 EXPUNGE
        S: a6 OK MOVE completed
        D: seven
        C: a7 UID MOVE 4:* Trash
        S: * 5 EXISTS
        S: * 5 RECENT
        S: * OK [COPYUID 1767225605 4 3] Moved messages
        S: * 4 EXPUNGE
        S: a7 OK MOVE completed
        C2: b1 APPEND INBOX (\\Deleted) {{10+}}
        C2: Subject: x
        S2: b1 OK [APPENDUID 1767225600 8] APPEND completed
        C: a8 UID EXPUNGE 8
        S: * 5 EXISTS
        S: * 5 RECENT
        S: * 5 EXPUNGE
        S: a8 OK EXPUNGE completed
        D: nine
        C: a9 UID STORE 9:* +FLAGS (\\Seen)
        S: * 5 EXISTS
        S: * 5 RECENT
        S: * 4 FETCH (UID 7 FLAGS (\\Recent \\Seen))
        S: a9 OK STORE completed",
        selected("a1", 1, 1, 2)
    );
    play_with(&["one"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn commands_in_a_mailbox_that_another_session_deleted_say_so() {
    for (command, reply) in [
        ("UID STORE 1 +FLAGS (\\Seen)", "NO [NONEXISTENT] The mailbox was deleted"),
        ("FETCH 1 FLAGS", "NO [NONEXISTENT] The mailbox was deleted"),
        ("EXPUNGE", "NO [NONEXISTENT] The mailbox was deleted"),
        ("CLOSE", "OK CLOSE completed"),
    ] {
        let closed = if command == "CLOSE" { "" } else { "S: * OK [CLOSED] Mailbox was deleted\n        " };
        let transcript = format!(
            "C: a1 CREATE y
        S: a1 OK [MAILBOXID (F7)] CREATE completed
        C: a2 SELECT y
        {}
        C2: b1 DELETE y
        S2: b1 OK DELETE completed
        C: a3 {command}
        {closed}S: a3 {reply}",
            selected("a2", 0, 0, 1).replace("1767225600", "1767225606").replace("(F1)", "(F7)")
        );
        play_with(&[], &transcript).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_messages_of_an_empty_mailbox_are_none_though_one_comes() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        D: one
        C: a2 UID STORE 1:* +FLAGS (\\Deleted)
        S: * 1 EXISTS
        S: * 1 RECENT
        S: a2 OK STORE completed
        C: a3 UID STORE 1 +FLAGS (\\Seen)
        S: * 1 FETCH (UID 1 FLAGS (\\Recent \\Seen))
        S: a3 OK STORE completed",
        selected("a1", 0, 0, 1)
    );
    play_with(&[], &transcript).await;
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
