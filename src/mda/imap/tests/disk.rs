//! Full, failing and damaged disks.

use std::fs;

use super::*;

/// What only reads works, and what deletes; the rest says what is wrong. RFC 5530 §3.
#[tokio::test(start_paused = true)]
async fn full_disk_allows_to_read_and_to_delete() {
    let transcript = format!(
        "F: full
        C: a1 SELECT INBOX
        {}
        C: a2 FETCH 1:2 BODY[TEXT]
        S: * 1 FETCH (BODY[TEXT] {{7}}
        S: hello
        S: )
        S: * 2 FETCH (BODY[TEXT] {{7}}
        S: hello
        S: )
        S: a2 OK FETCH completed
        C: a3 STORE 1 +FLAGS \\Flagged
        S: a3 NO [OVERQUOTA] The disk of the server is full
        C: a4 STORE 1 -FLAGS \\Deleted
        S: a4 NO [OVERQUOTA] The disk of the server is full
        C: a5 COPY 1 Trash
        S: a5 NO [OVERQUOTA] The disk of the server is full
        C: a6 CREATE x
        S: a6 NO [OVERQUOTA] The disk of the server is full
        C: a7 APPEND INBOX {{1+}}
        C: x
        S: a7 NO [OVERQUOTA] The disk of the server is full
        C: a8 STORE 1 +FLAGS.SILENT \\Deleted
        S: a8 OK STORE completed
        C: a9 EXPUNGE
        S: * 1 EXPUNGE
        S: a9 OK EXPUNGE completed
        C: a10 MOVE 1 Trash
        S: * OK [COPYUID 1767225605 2 1] Moved messages
        S: * 1 EXPUNGE
        S: a10 OK MOVE completed
        C: a11 FETCH 1 BODY[TEXT]
        S: * 1 FETCH (BODY[TEXT] {{7}}
        S: hello
        S: )
        S: a11 OK FETCH completed
        C: a12 STORE 1 (UNCHANGEDSINCE 1000) FLAGS.SILENT \\Deleted
        S: * OK [HIGHESTMODSEQ 7] Highest modification sequence
        S: * 1 FETCH (UID 3 MODSEQ (8))
        S: a12 OK STORE completed
        C: a13 CLOSE
        S: a13 OK CLOSE completed
        C: a14 DELETE Trash
        S: a14 OK DELETE completed",
        selected("a1", 3, 3, 4),
    );
    play_with(&["one", "two", "three"], &transcript).await;
}

/// The first login of a user makes mailboxes.
#[tokio::test(start_paused = true)]
async fn full_disk_when_a_user_logs_in_first_is_named() {
    let world = world::JOURNEY.replace("users = [\"friend\"]", "users = [\"friend\", \"other\"]");
    let fixture = Fixture::of(World::parse("w.toml", &world).unwrap()).await;
    fixture.disk.inject(DiskFault::Full);
    let mut client = fixture.connect().await;
    client.write_all(b"a LOGIN other@sina.test postroad\r\n").await.unwrap();
    assert_eq!(read_until_idle(&mut client).await, "a NO [UNAVAILABLE] The disk of the server is full\r\n");
}

#[tokio::test(start_paused = true)]
async fn full_disk_leaves_messages_unseen() {
    let transcript = format!(
        "F: full
        C: a1 SELECT INBOX
        {}
        C: a2 FETCH 1 (FLAGS RFC822.TEXT)
        S: * 1 FETCH (FLAGS (\\Recent) RFC822.TEXT {{7}}
        S: hello
        S: )
        S: a2 OK FETCH completed
        F: well
        C2: b1 SELECT INBOX
        {}
        C: a3 FETCH 1 RFC822.TEXT
        S: * 1 FETCH (RFC822.TEXT {{7}}
        S: hello
        S:  FLAGS (\\Recent \\Seen))
        S: a3 OK FETCH completed",
        selected("a1", 1, 1, 2),
        selected("b1", 1, 0, 2).replace("S: ", "S2: "),
    );
    play_with(&["one"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn failing_disk_allows_to_read() {
    let transcript = format!(
        "F: failing
        C: a1 SELECT INBOX
        {}
        C: a2 FETCH 1 BODY[TEXT]
        S: * 1 FETCH (BODY[TEXT] {{7}}
        S: hello
        S: )
        S: a2 OK FETCH completed
        C: a3 STORE 1 +FLAGS \\Deleted
        S: a3 NO [UNAVAILABLE] The server cannot write to its disk
        C: a4 EXPUNGE
        S: a4 NO [UNAVAILABLE] The server cannot write to its disk",
        selected("a1", 1, 1, 2),
    );
    play_with(&["one"], &transcript).await;
}

/// A message that is large enough for a segment.
fn large(subject: &str) -> Message {
    Message::new(Bytes::from(format!("Subject: {subject}\r\n\r\n{}", format!("{subject}\r\n").repeat(6_000))))
}

/// Three messages, the second of which is damaged.
async fn damaged(folder: &std::path::Path) -> Fixture {
    let open = || Store::open(&folder.join("post.db"), &[SCHEMA]).unwrap();
    let mailboxes = Mailboxes::new(open(), Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()));
    for subject in ["one", "two", "six"] {
        mailboxes.deliver(USER, None, &large(subject)).await.unwrap();
    }
    drop(mailboxes);
    let segment = folder.join("contents/1");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(segment, bytes).unwrap();
    Fixture::with(World::journey(), open()).await
}

/// The store's thread takes no virtual time, so these clients only read.
#[tokio::test(start_paused = true)]
async fn fetch_of_a_damaged_message_delivers_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = damaged(folder.path()).await;
    let mut client = fixture.log_in().await;
    client.write_all(b"a1 EXAMINE INBOX\r\n").await.unwrap();
    read_until_idle(&mut client).await;
    for items in ["BODY.PEEK[]<0.20>", "(UID BODY.PEEK[TEXT]<0.3>)", "BINARY.PEEK[1]<0.3>", "BINARY.SIZE[1]"] {
        client.write_all(format!("a2 FETCH 1:3 {items}\r\n").as_bytes()).await.unwrap();
        let reply = read_until_idle(&mut client).await;
        assert!(reply.starts_with("* 1 FETCH (") && reply.contains("* 3 FETCH ("), "{reply}");
        let end = "a2 NO [CORRUPTION] A message is damaged on the disk of the server\r\n";
        assert!(!reply.contains("* 2 FETCH") && reply.ends_with(end), "{reply}");
    }
    // What was stored beside it is whole: the header is read without the body.
    for (items, wanted) in [("BODY.PEEK[HEADER]", "{16}"), ("BODY.PEEK[HEADER.FIELDS.NOT (X-None)]", "{16}")] {
        client.write_all(format!("a3 FETCH 2 {items}\r\n").as_bytes()).await.unwrap();
        let reply = read_until_idle(&mut client).await;
        assert!(reply.contains(&format!("{wanted}\r\nSubject: two\r\n\r\n")) && reply.contains("a3 OK"), "{reply}");
    }
    client.write_all(b"a3 FETCH 2 (UID RFC822.SIZE BODY)\r\n").await.unwrap();
    let reply = read_until_idle(&mut client).await;
    assert!(reply.starts_with("* 2 FETCH (UID 2 RFC822.SIZE 30016 BODY (") && reply.contains("a3 OK"), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn search_of_a_damaged_message_finds_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = damaged(folder.path()).await;
    let transcript = "
        C: a2 SEARCH BODY x
        S: * SEARCH 3
        S: a2 OK SEARCH completed
        C: a3 SORT (SUBJECT) UTF-8 BODY o
        S: * SORT 1
        S: a3 OK SORT completed
        C: a4 THREAD REFERENCES UTF-8 BODY o
        S: * THREAD (1)
        S: a4 OK THREAD completed
        C: a5 SEARCH SUBJECT two
        S: * SEARCH 2
        S: a5 OK SEARCH completed";
    let examined = selected("a1", 3, 3, 4).replace("READ-WRITE] SELECT", "READ-ONLY] EXAMINE");
    let flags = "[PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)]";
    let examined = examined.replace(flags, "[PERMANENTFLAGS ()]");
    play(&fixture, &format!("C: a1 EXAMINE INBOX\n{examined}{transcript}")).await;
}
