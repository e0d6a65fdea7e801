//! What changes mailboxes and the tree of their names.

use super::*;

#[tokio::test(start_paused = true)]
async fn messages_are_copied_moved_and_expunged() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 COPY 2:3 Archive
        S: a2 OK [COPYUID 1767225601 2:3 1:2] copied
        C: a3 COPY 1 Nowhere
        S: a3 NO [TRYCREATE] no such mailbox
        C: a4 UID MOVE 1,3 Trash
        S: * OK [COPYUID 1767225605 1,3 1:2] moved
        S: * 3 EXPUNGE
        S: * 1 EXPUNGE
        S: a4 OK done
        C: a5 UID COPY 9 Trash
        S: a5 OK there was nothing to do
        C: a6 STORE 1:2 +FLAGS (\\Deleted)
        S: * 1 FETCH (FLAGS (\\Recent \\Deleted))
        S: * 2 FETCH (FLAGS (\\Recent \\Deleted))
        S: a6 OK stored
        C: a7 UID EXPUNGE 4
        S: * 2 EXPUNGE
        S: a7 OK expunged
        C: a8 CLOSE
        S: a8 OK closed
        C: a9 STATUS INBOX (MESSAGES UIDNEXT UNSEEN RECENT)
        S: * STATUS \"INBOX\" (MESSAGES 0 UIDNEXT 5 UNSEEN 0 RECENT 0)
        S: a9 OK counted",
        selected("a1", 4, 4, 5)
    );
    play_with(&["one", "two", "three", "four"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_appended_where_it_is_told() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 APPEND INBOX (\\Seen $Forwarded) \" 2-Feb-2024 03:04:05 +0100\" {{10}}
        S: + go ahead
        C: Subject: x
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)
        S: a2 OK [APPENDUID 1767225600 1] filed
        C: a3 FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])
        S: * 1 FETCH (FLAGS (\\Recent \\Seen $Forwarded) INTERNALDATE \"02-Feb-2024 02:04:05 +0000\" BODY[] {{10}}
        S: Subject: x)
        S: a3 OK fetched
        C: a4 APPEND Nowhere {{1+}}
        C: x
        C: a5 NOOP
        S: a4 NO [TRYCREATE] no such mailbox
        S: a5 OK done",
        selected("a1", 0, 0, 1)
    );
    play_with(&[], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn the_tree_is_listed_and_changed() {
    let transcript = "
        C: a1 LIST \"\" \"\"
        S: * LIST (\\Noselect) \"/\" \"\"
        S: a1 OK that is the delimiter
        C: a2 CREATE Lists/rust/
        S: a2 OK [MAILBOXID (F8)] made
        C: a3 CREATE lists&AOk-
        S: a3 OK [MAILBOXID (F9)] made
        C: a4 CREATE Sent
        S: a4 NO [ALREADYEXISTS] there is a mailbox of that name already
        C: a5 LIST \"\" %
        S: * LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"
        S: * LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"
        S: * LIST (\\HasNoChildren) \"/\" \"INBOX\"
        S: * LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"
        S: * LIST (\\HasChildren) \"/\" \"Lists\"
        S: * LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"
        S: * LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"
        S: * LIST (\\HasNoChildren) \"/\" \"lists&AOk-\"
        S: a5 OK that is all
        C: a6 LIST Lists/ (rust inbox) RETURN (SUBSCRIBED STATUS (MESSAGES))
        S: * LIST (\\HasNoChildren) \"/\" \"Lists/rust\"
        S: * STATUS \"Lists/rust\" (MESSAGES 0)
        S: a6 OK that is all
        C: a7 SUBSCRIBE Lists/rust
        S: a7 OK subscribed
        C: a8 LSUB \"\" Lis%
        S: * LSUB (\\Noselect) \"/\" \"Lists\"
        S: a8 OK that is all
        C: a9 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" L%
        S: * LIST (\\HasChildren) \"/\" \"Lists\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a9 OK that is all
        C: b1 RENAME Lists Groups
        S: b1 OK renamed
        C: b2 LIST \"\" G*
        S: * LIST (\\HasChildren) \"/\" \"Groups\"
        S: * LIST (\\HasNoChildren) \"/\" \"Groups/rust\"
        S: b2 OK that is all
        C: b3 DELETE INBOX
        S: b3 NO [CANNOT] INBOX cannot be deleted
        C: b4 DELETE Groups
        S: b4 OK deleted
        C: b5 LIST \"\" G*
        S: * LIST (\\Noselect \\HasChildren) \"/\" \"Groups\"
        S: * LIST (\\HasNoChildren) \"/\" \"Groups/rust\"
        S: b5 OK that is all
        C: b6 LIST (SPECIAL-USE) \"\" S*
        S: * LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"
        S: b6 OK that is all
        C: b7 NAMESPACE
        S: * NAMESPACE ((\"\" \"/\")) NIL NIL
        S: b7 OK that is all
        C: b8 SELECT Nowhere
        S: b8 NO [NONEXISTENT] no such mailbox";
    play_with(&[], transcript).await;
}
