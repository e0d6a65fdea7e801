//! NOTIFY. RFC 5465.

use super::*;

/// The responses to SELECT of an empty INBOX.
fn empty_inbox(tag: &str) -> String {
    selected(tag, 0, 0, 1)
}

/// RFC 5465 §3.1, §5.1, §5.2, §5.3.
#[tokio::test(start_paused = true)]
async fn notify_reports_the_selected_mailbox_without_a_command() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (Subject)]) MessageExpunge FlagChange))
        S: a2 OK NOTIFY completed
        D: one
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * 1 FETCH (UID 1 BODY[HEADER.FIELDS (Subject)] {{16}}
        S: Subject: one
        S:
        S: )
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1 +FLAGS (\\Deleted)
        S2: * 1 FETCH (FLAGS (\\Deleted))
        S2: b2 OK STORE completed
        S: * 1 FETCH (UID 1 FLAGS (\\Recent \\Deleted))
        C2: b3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK EXPUNGE completed
        S: * 1 EXPUNGE",
        empty_inbox("a1"),
        selected("b1", 1, 0, 2).replace("S: ", "S2: "),
    );
    play_with(&[], &transcript).await;
}

/// RFC 5465 §5.2: of messages that the client created itself, only EXISTS is reported.
#[tokio::test(start_paused = true)]
async fn notify_omits_items_of_own_messages() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 NOTIFY SET (selected (MessageNew (UID) MessageExpunge)) (personal (MessageNew MessageExpunge))
        S: a2 OK NOTIFY completed
        C: a3 APPEND INBOX {{1+}}
        C: x
        S: * 1 EXISTS
        S: * 1 RECENT
        S: a3 OK [APPENDUID 1767225600 1] APPEND completed
        C: a4 APPEND Sent {{1+}}
        C: x
        S: a4 OK [APPENDUID 1767225604 1] APPEND completed
        C: a5 UID COPY 1 INBOX
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a5 OK [COPYUID 1767225600 1 2] COPY completed
        D: new
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * 3 FETCH (UID 3)
        C2: b1 APPEND Sent {{1+}}
        C2: y
        S2: b1 OK [APPENDUID 1767225604 2] APPEND completed
        S: * STATUS \"Sent\" (MESSAGES 2 UIDNEXT 3 UNSEEN 2)",
        empty_inbox("a1")
    );
    play_with(&[], &transcript).await;
}

/// RFC 5465 §6.1.2.
#[tokio::test(start_paused = true)]
async fn notify_selected_delayed_holds_expunges() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))
        S: a2 OK NOTIFY completed
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1 +FLAGS.SILENT (\\Deleted)
        S2: b2 OK STORE completed
        S: * 1 FETCH (UID 1 FLAGS (\\Recent \\Deleted))
        C2: b3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK EXPUNGE completed
        D: three
        S: * 3 EXISTS
        S: * 3 RECENT
        C: a3 FETCH 2:3 UID
        S: * 2 FETCH (UID 2)
        S: * 3 FETCH (UID 3)
        S: a3 OK FETCH completed
        C: a4 IDLE
        S: * 1 EXPUNGE
        S: + idling
        D: four
        S: * 3 EXISTS
        S: * 3 RECENT
        C: DONE
        S: a4 OK IDLE completed",
        selected("a1", 2, 2, 3),
        selected("b1", 2, 0, 3).replace("S: ", "S2: "),
    );
    play_with(&["one", "two"], &transcript).await;
}

/// RFC 5465 §3.1, §4, §5: without events of the selected mailbox the client keeps a snapshot, in IDLE too; the next
/// NOTIFY reports all changes.
#[tokio::test(start_paused = true)]
async fn notify_without_selected_events_keeps_a_snapshot() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 NOTIFY SET (mailboxes INBOX (MessageNew MessageExpunge))
        S: a2 OK NOTIFY completed
        D: three
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1:2 +FLAGS.SILENT (\\Deleted)
        S2: b2 OK STORE completed
        C2: b3 UID EXPUNGE 1
        S2: * 1 EXPUNGE
        S2: b3 OK EXPUNGE completed
        C: a3 NOOP
        S: a3 OK NOOP completed
        C: a4 IDLE
        S: + idling
        C: DONE
        S: a4 OK IDLE completed
        C: a5 SEARCH UID 1:*
        S: * SEARCH 1 2
        S: a5 OK SEARCH completed
        C: a6 FETCH 1 BODY.PEEK[]
        S: a6 NO [EXPUNGEISSUED] Some messages were expunged
        C: a7 EXPUNGE
        S: * 2 EXPUNGE
        S: a7 OK EXPUNGE completed
        C: a8 NOTIFY SET (selected (MessageNew (UID) MessageExpunge))
        S: * 1 EXPUNGE
        S: * 1 EXISTS
        S: * 0 RECENT
        S: a8 OK NOTIFY completed
        C: a9 NOTIFY NONE
        S: a9 OK NOTIFY NONE completed
        D: four
        C: b1 NOOP
        S: b1 OK NOOP completed
        C: b2 SELECT INBOX
        S: * OK [CLOSED] Previous mailbox closed
        {}
        C: b3 NOTIFY SET (mailboxes INBOX NONE)
        S: b3 OK NOTIFY completed
        C2: b4 NOOP
        S2: * 1 EXPUNGE
        S2: * 2 EXISTS
        S2: * 1 RECENT
        S2: b4 OK NOOP completed",
        selected("a1", 2, 2, 3),
        selected("b1", 3, 1, 4).replace("S: ", "S2: "),
        selected("b2", 2, 1, 5).replace("[HIGHESTMODSEQ 5]", "[HIGHESTMODSEQ 8]"),
    );
    play_with(&["one", "two"], &transcript).await;
}

/// RFC 5465 §5.1: flags are only reported if requested.
#[tokio::test(start_paused = true)]
async fn notify_reports_flags_only_with_flagchange() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 NOTIFY SET (selected (MessageNew MessageExpunge)) (mailboxes Sent (MessageNew MessageExpunge))
        S: a2 OK NOTIFY completed
        C2: b1 APPEND Sent {{1+}}
        C2: x
        S2: b1 OK [APPENDUID 1767225604 1] APPEND completed
        S: * STATUS \"Sent\" (MESSAGES 1 UIDNEXT 2 UNSEEN 1)
        C2: b2 EXAMINE Sent
        S2: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S2: * 1 EXISTS
        S2: * 1 RECENT
        S2: * OK [UNSEEN 1] First unseen message
        S2: * OK [PERMANENTFLAGS ()] Permanent flags
        S2: * OK [UIDVALIDITY 1767225604] UIDs valid
        S2: * OK [UIDNEXT 2] Predicted next UID
        S2: * OK [HIGHESTMODSEQ 2] Highest modification sequence
        S2: * OK [MAILBOXID (F5)] Mailbox id
        S2: b2 OK [READ-ONLY] EXAMINE completed
        C2: b3 SELECT INBOX
        S2: * OK [CLOSED] Previous mailbox closed
        {}
        C2: b4 STORE 1 FLAGS (\\Seen)
        S2: * 1 FETCH (FLAGS (\\Seen))
        S2: b4 OK STORE completed
        C: a3 NOOP
        S: a3 OK NOOP completed
        C: a4 UID FETCH 1 FLAGS
        S: * 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))
        S: a4 OK FETCH completed
        C: a5 UID STORE 1 +FLAGS (\\Flagged)
        S: * 1 FETCH (UID 1 FLAGS (\\Recent \\Flagged \\Seen))
        S: a5 OK STORE completed",
        selected("a1", 1, 1, 2),
        selected("b3", 1, 0, 2).replace("S: ", "S2: "),
    )
    .replace("(\\Seen \\Recent)", "(\\Recent \\Seen)");
    play_with(&["one"], &transcript).await;
}

/// RFC 5465 §3.1, §5.1 to §5.3, §6.2 to §6.6.
#[tokio::test(start_paused = true)]
async fn notify_reports_other_mailboxes_by_status() {
    let transcript = "
        C: a1 CREATE Lists/a
        S: a1 OK [MAILBOXID (F8)] CREATE completed
        C: a2 CREATE Lists/b
        S: a2 OK [MAILBOXID (F9)] CREATE completed
        C: a3 NOTIFY SET STATUS (subtree Lists (MessageNew MessageExpunge FlagChange)) (mailboxes (Sent Nowhere) (MessageNew MessageExpunge)) (mailboxes Lists/b NONE)
        S: * STATUS \"Lists\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1767225606 UNSEEN 0 HIGHESTMODSEQ 1)
        S: * STATUS \"Lists/a\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1767225607 UNSEEN 0 HIGHESTMODSEQ 1)
        S: * STATUS \"Sent\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1767225604 UNSEEN 0)
        S: a3 OK NOTIFY completed
        D: not asked for
        C2: b1 APPEND Lists/a {1+}
        C2: x
        S2: b1 OK [APPENDUID 1767225607 1] APPEND completed
        S: * STATUS \"Lists/a\" (MESSAGES 1 UIDNEXT 2 UNSEEN 1)
        C2: b2 SELECT Lists/a
        S2: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S2: * 1 EXISTS
        S2: * 1 RECENT
        S2: * OK [UNSEEN 1] First unseen message
        S2: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Permanent flags
        S2: * OK [UIDVALIDITY 1767225607] UIDs valid
        S2: * OK [UIDNEXT 2] Predicted next UID
        S2: * OK [HIGHESTMODSEQ 2] Highest modification sequence
        S2: * OK [MAILBOXID (F8)] Mailbox id
        S2: b2 OK [READ-WRITE] SELECT completed
        C2: b3 STORE 1 FLAGS.SILENT (\\Seen \\Deleted)
        S2: b3 OK STORE completed
        S: * STATUS \"Lists/a\" (UIDVALIDITY 1767225607 UNSEEN 0 HIGHESTMODSEQ 3)
        C2: b4 COPY 1 Lists/b
        S2: b4 OK [COPYUID 1767225608 1 1] COPY completed
        C: a4 ENABLE CONDSTORE
        S: * ENABLED CONDSTORE
        S: a4 OK ENABLE completed
        C2: b5 MOVE 1 Sent
        S2: * OK [COPYUID 1767225604 1 1] Moved messages
        S2: * 1 EXPUNGE
        S2: b5 OK MOVE completed
        S: * STATUS \"Lists/a\" (MESSAGES 0 UIDNEXT 2 UNSEEN 0 HIGHESTMODSEQ 4)
        S: * STATUS \"Sent\" (MESSAGES 1 UIDNEXT 2 UNSEEN 0 HIGHESTMODSEQ 2)
        C2: b6 CREATE Nowhere
        S2: b6 OK [MAILBOXID (F10)] CREATE completed
        C2: b7 APPEND Nowhere {1+}
        C2: x
        S2: b7 OK [APPENDUID 1767225616 1] APPEND completed
        S: * STATUS \"Nowhere\" (MESSAGES 1 UIDNEXT 2 UNSEEN 1 HIGHESTMODSEQ 2)";
    play_with(&[], transcript).await;
}

/// RFC 5465 §6.4: the subscriptions at the time of the event count.
#[tokio::test(start_paused = true)]
async fn notify_subscribed_uses_current_subscriptions() {
    let transcript = "
        C: a1 NOTIFY SET (subscribed (MessageNew MessageExpunge SubscriptionChange))
        S: a1 OK NOTIFY completed
        C2: b1 UNSUBSCRIBE INBOX
        S2: b1 OK UNSUBSCRIBE completed
        S: * LIST (\\HasNoChildren) \"/\" \"INBOX\"
        D: one
        C2: b2 SUBSCRIBE INBOX
        S2: b2 OK SUBSCRIBE completed
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"INBOX\"
        C2: b3 SUBSCRIBE INBOX
        S2: b3 OK SUBSCRIBE completed
        D: two
        S: * STATUS \"INBOX\" (MESSAGES 2 UIDNEXT 3 UNSEEN 2)
        C2: b4 SUBSCRIBE None
        S2: b4 OK SUBSCRIBE completed
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" \"None\"
        C: a2 SUBSCRIBE Own
        S: a2 OK SUBSCRIBE completed";
    play_with(&[], transcript).await;
}

/// RFC 5465 §5.4.
#[tokio::test(start_paused = true)]
async fn notify_mailboxname_lists_created_deleted_and_renamed_mailboxes() {
    let transcript = "
        C: a1 NOTIFY SET (personal (MailboxName))
        S: a1 OK NOTIFY completed
        C2: b1 CREATE Lists/a/b (USE (\\Junk))
        S2: b1 OK [MAILBOXID (F9)] CREATE completed
        S: * LIST (\\HasChildren) \"/\" \"Lists\"
        S: * LIST (\\HasChildren) \"/\" \"Lists/a\"
        S: * LIST (\\HasNoChildren \\Junk) \"/\" \"Lists/a/b\"
        C2: b2 DELETE Lists/a
        S2: b2 OK DELETE completed
        S: * LIST (\\HasChildren) \"/\" \"Lists\"
        S: * LIST (\\NonExistent \\HasChildren) \"/\" \"Lists/a\"
        C2: b3 RENAME Lists &U,BTFw-/x
        S2: b3 OK RENAME completed
        S: * LIST (\\HasChildren) \"/\" \"&U,BTFw-\"
        S: * LIST (\\HasChildren) \"/\" \"&U,BTFw-/x\" (\"OLDNAME\" (\"Lists\"))
        C: a2 ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: a2 OK ENABLE completed
        C2: b4 RENAME &U,BTFw-/x &U,BTFw-/y
        S2: b4 OK RENAME completed
        S: * LIST (\\HasChildren) \"/\" \"台北/y\" (\"OLDNAME\" (\"台北/x\"))
        C2: b5 RENAME INBOX Old
        S2: b5 OK RENAME completed
        S: * LIST (\\HasNoChildren) \"/\" \"Old\" (\"OLDNAME\" (\"INBOX\"))
        C2: b6 DELETE Drafts
        S2: b6 OK DELETE completed
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" \"Drafts\"
        C: a3 CREATE Own
        S: a3 OK [MAILBOXID (F12)] CREATE completed
        C: a4 NOTIFY SET (subtree a (MailboxName))
        S: a4 OK NOTIFY completed
        C2: b7 CREATE b
        S2: b7 OK [MAILBOXID (F13)] CREATE completed
        C2: b8 RENAME b a
        S2: b8 OK RENAME completed
        S: * LIST (\\HasNoChildren) \"/\" \"a\" (\"OLDNAME\" (\"b\"))
        C2: b9 RENAME a c
        S2: b9 OK RENAME completed
        S: * LIST (\\HasNoChildren) \"/\" \"c\" (\"OLDNAME\" (\"a\"))";
    play_with(&[], transcript).await;
}

/// RFC 5465 §5.6, §5.7: without ENABLE METADATA, and then not even with it.
#[tokio::test(start_paused = true)]
async fn notify_reports_metadata_only_if_requested() {
    let transcript = "
        C: a1 NOTIFY SET (mailboxes Sent (MailboxMetadataChange ServerMetadataChange))
        S: a1 OK NOTIFY completed
        C2: b1 SETMETADATA Sent (/private/comment \"x\" /shared/comment NIL)
        S2: b1 OK SETMETADATA completed
        S: * METADATA \"Sent\" /private/comment /shared/comment
        C2: b2 SETMETADATA \"\" (/private/comment \"y\")
        S2: b2 OK SETMETADATA completed
        S: * METADATA \"\" /private/comment
        C2: b3 SETMETADATA INBOX (/private/comment \"x\")
        S2: b3 OK SETMETADATA completed
        C: a2 SETMETADATA Sent (/private/comment \"own\")
        S: a2 OK SETMETADATA completed
        C: a3 NOTIFY SET (selected NONE)
        S: a3 OK NOTIFY completed
        C: a4 ENABLE METADATA
        S: * ENABLED METADATA
        S: a4 OK ENABLE completed
        C2: b4 SETMETADATA Sent (/private/comment \"z\")
        S2: b4 OK SETMETADATA completed
        C: a5 NOOP
        S: a5 OK NOOP completed";
    play_with(&[], transcript).await;
}

/// RFC 5465 §3.1, §5, §6.1, §8.
#[tokio::test(start_paused = true)]
async fn notify_when_invalid_is_refused() {
    let many: Vec<String> = (0..1_001).map(|at| format!("m{at}")).collect();
    let supported = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange \
                     ServerMetadataChange";
    let transcript = format!(
        "C: a01 NOTIFY SET (selected (MessageNew MessageExpunge AnnotationChange))
        S: a01 NO [BADEVENT ({supported})] Unknown event
        C: a02 NOTIFY SET (personal (Whatever))
        S: a02 NO [BADEVENT ({supported})] Unknown event
        C: a03 NOTIFY SET (personal (Whatever)) (personal
        S: a03 BAD A space is missing
        C: a04 NOTIFY SET (selected (MessageNew))
        S: a04 BAD MessageNew and MessageExpunge need each other
        C: a05 NOTIFY SET (personal (AnnotationChange))
        S: a05 BAD FlagChange and AnnotationChange need MessageNew and MessageExpunge
        C: a06 NOTIFY SET (selected (MessageNew MessageExpunge)) (selected-delayed NONE)
        S: a06 BAD SELECTED is given twice
        C: a07 NOTIFY SET (selected-delayed (MailboxName))
        S: a07 BAD Only message events are allowed for the selected mailbox
        C: a08 NOTIFY SET (inboxes (MessageNew (UID) MessageExpunge))
        S: a08 BAD Items are only allowed for the selected mailbox
        C: a09 NOTIFY SET (mailboxes ({}) (MailboxName))
        S: a09 NO [NOTIFICATIONOVERFLOW] Too many mailboxes
        C: a10 NOTIFY SET (subtree () NONE)
        S: a10 BAD A mailbox name is missing
        C2: b1 CREATE m1
        S2: b1 OK [MAILBOXID (F7)] CREATE completed
        D: not reported
        C: a11 NOTIFY SET STATUS
        S: a11 BAD A group of events is missing",
        many.join(" ")
    );
    play_with(&[], &transcript).await;
}

/// RFC 5465 §5.8.
#[tokio::test(start_paused = true)]
async fn notify_overflow_is_reported_and_turns_notifications_off() {
    let fixture = Fixture::new().await;
    let mut client = fixture.log_in().await;
    client.write_all(b"a NOTIFY SET (personal (MailboxName))\r\n").await.unwrap();
    assert_eq!(read_until_idle(&mut client).await, "a OK NOTIFY completed\r\n");
    // The client does not read until more has happened than the network and the server buffer.
    let names = ["x".repeat(200), "y".repeat(200)];
    fixture.mailboxes.create(USER, &names[0]).await.unwrap();
    for at in 0..2_000 {
        fixture.mailboxes.rename(USER, &names[at % 2], &names[1 - at % 2]).await.unwrap();
    }
    let reported = read_until_idle(&mut client).await;
    let overflow = "* OK [NOTIFICATIONOVERFLOW] Too many events, notifications are off\r\n";
    assert!(reported.starts_with("* LIST (") && reported.ends_with(overflow), "{} bytes", reported.len());
    assert!(reported.matches("OLDNAME").count() < 1_500);
    fixture.mailboxes.delete(USER, &names[0]).await.unwrap();
    client.write_all(b"b NOOP\r\n").await.unwrap();
    assert_eq!(read_until_idle(&mut client).await, "b OK NOOP completed\r\n");
}

/// RFC 7162 §3.2.10, RFC 5465 §5.3.
#[tokio::test(start_paused = true)]
async fn notify_with_qresync_reports_vanished() {
    let transcript = format!(
        "C: a0 ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: a0 OK ENABLE completed
        C: a1 SELECT INBOX
        {}
        C: a2 NOTIFY SET (selected (MessageNew (UID MODSEQ) MessageExpunge FlagChange))
        S: a2 OK NOTIFY completed
        D: two
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * 2 FETCH (UID 2 MODSEQ (3))
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1 FLAGS.SILENT (\\Deleted)
        S2: b2 OK STORE completed
        S: * 1 FETCH (UID 1 FLAGS (\\Recent \\Deleted) MODSEQ (4))
        C2: b3 CLOSE
        S2: b3 OK CLOSE completed
        S: * VANISHED 1",
        selected("a1", 1, 1, 2),
        selected("b1", 2, 0, 3).replace("S: ", "S2: "),
    );
    play_with(&["one"], &transcript).await;
}

/// The deletion of the selected mailbox by another session is reported at once.
#[tokio::test(start_paused = true)]
async fn notify_reports_deletion_of_the_selected_mailbox_at_once() {
    let transcript = "
        C: a1 SELECT Drafts
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Permanent flags
        S: * OK [UIDVALIDITY 1767225602] UIDs valid
        S: * OK [UIDNEXT 1] Predicted next UID
        S: * OK [HIGHESTMODSEQ 1] Highest modification sequence
        S: * OK [MAILBOXID (F3)] Mailbox id
        S: a1 OK [READ-WRITE] SELECT completed
        C: a2 NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MailboxName))
        S: a2 OK NOTIFY completed
        C2: b1 DELETE Drafts
        S2: b1 OK DELETE completed
        S: * OK [CLOSED] Mailbox was deleted
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" \"Drafts\"
        C: a3 FETCH 1 FLAGS
        S: a3 BAD No mailbox selected";
    play_with(&[], transcript).await;
}

/// Large output is sent in pieces, and commands are answered in between.
#[tokio::test(start_paused = true)]
async fn notify_sends_large_new_messages_completely() {
    let fixture = Fixture::new().await;
    let mut client = fixture.log_in().await;
    client
        .write_all(b"a SELECT INBOX\r\nb NOTIFY SET (selected (MessageNew (UID BODY[]) MessageExpunge))\r\n")
        .await
        .unwrap();
    read_until_idle(&mut client).await;
    let text = "x".repeat(50_000);
    let messages = (0..20).map(|_| crate::mda::AppendMessage {
        message: Message::new(Bytes::from(format!("Subject: large\r\n\r\n{text}"))),
        flags: crate::imap::Flags::default(),
        received: None,
    });
    fixture.mailboxes.append(USER, "INBOX", messages.collect()).await.unwrap();
    let reported = read_until_idle(&mut client).await;
    assert_eq!(reported.matches("* FETCH (").count() + reported.matches(" FETCH (UID ").count(), 20);
    assert_eq!(reported.len(), reported.matches(&text).count() * text.len() + reported.replace(&text, "").len());
    assert_eq!(reported.matches(&text).count(), 20);
    client.write_all(b"c UID SEARCH UNSEEN\r\n").await.unwrap();
    let all: Vec<String> = (1..=20).map(|uid| uid.to_string()).collect();
    assert_eq!(read_until_idle(&mut client).await, format!("* SEARCH {}\r\nc OK SEARCH completed\r\n", all.join(" ")));
}
