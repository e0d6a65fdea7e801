//! Sessions as transcripts: the service on an in-process network in virtual time, with as many clients as it takes.
//!
//! `C:` and `S:` are the first client, `C2:` and `S2:` the second, `D:` delivers a letter with that subject to INBOX.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::journey::{Journal, Step};
use crate::mail::Letter;
use crate::mda::{Mailboxes, Mda, SCHEMA, Setup};
use crate::net::{Authority, Door, Interface, Limits, Net, serve};
use crate::store::Store;
use crate::world::{self, Clock, Dice, HostName, World};

const USER: &str = "friend@sina.test";

/// An MDA with its listener, and a place to connect from.
struct Scene {
    journal: Journal,
    mailboxes: Mailboxes,
    neighbour: Interface,
    address: SocketAddr,
    stop: Stop,
}

impl Scene {
    async fn new() -> Self {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let (world, host): (_, HostName) = (Arc::new(World::journey()), "mda-sina".into());
        let authority = Authority::create("journey", clock.now()).unwrap();
        let journal = Journal::new(clock, 100, true);
        let declared = world.hosts[&host].clone();
        let mailboxes = Mailboxes::new(Store::in_memory(&[SCHEMA]).unwrap(), clock);
        mailboxes.ensure_account(USER).await.unwrap();
        let mda = Mda::new(Setup {
            settings: world::Mda { size_max: 100_000 },
            mailboxes: mailboxes.clone(),
            clock,
            dice: Dice::seeded(1),
            recorder: journal.recorder(&host),
            identity: authority.issue(std::slice::from_ref(&declared.fqdn), clock.now()).unwrap(),
            world: world.clone(),
            host,
        });
        let (net, stop) = (Net::memory(Arc::new(|_, _| Duration::from_millis(10))), Stop::new());
        let listener = net.interface(&declared.addresses).listen(0).await.unwrap().remove(0);
        let address = listener.address();
        let door = Door { listener, tls: None, limits: Limits::default() };
        tokio::spawn(serve(door, Imap::new(Site::of(mda), true), stop.clone()));
        let neighbour = net.interface(&world.hosts["mua"].addresses);
        Self { journal, mailboxes, neighbour, address, stop }
    }

    async fn deliver(&self, content: &str) {
        let id = crate::mail::JourneyId::of(5).stay(6);
        let letter = Letter::new(Bytes::from(content.to_owned())).stamped(&format!("Received: by x id {id}; now"));
        self.mailboxes.deliver(USER, None, &letter).await.unwrap();
    }

    /// Another client, greeted.
    async fn connect(&self) -> Stream {
        let mut stream = self.neighbour.connect(self.address).await.unwrap();
        let greeting = said(&mut stream).await;
        assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
        stream
    }

    async fn log_in(&self) -> Stream {
        let mut stream = self.connect().await;
        stream.write_all(format!("a LOGIN {USER} postroad\r\n").as_bytes()).await.unwrap();
        let welcome = said(&mut stream).await;
        assert!(welcome.starts_with("a OK [CAPABILITY "), "{welcome}");
        stream
    }
}

/// All that is said until there is silence.
async fn said(stream: &mut Stream) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(len @ 1..)) = timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
        said.extend_from_slice(&buffer[..len]);
    }
    String::from_utf8(said).unwrap()
}

async fn play(scene: &Scene, transcript: &str) {
    let mut clients: BTreeMap<&str, Stream> = BTreeMap::new();
    let mut lines = transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let (mark, mut text) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        if mark == "D" {
            scene.deliver(&format!("Subject: {text}\r\n\r\nhello\r\n")).await;
            continue;
        }
        let (who, name) = mark.split_at(1);
        if !clients.contains_key(name) {
            clients.insert(name, scene.log_in().await);
        }
        let client = clients.get_mut(name).unwrap();
        if who == "C" {
            client.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
            continue;
        }
        let mut wanted = String::new();
        loop {
            wanted.push_str(text);
            wanted.push_str("\r\n");
            let Some(next) = lines.next_if(|next| next.split(": ").next().unwrap().trim_end_matches(':') == mark)
            else {
                break;
            };
            text = next.split_once(": ").map_or("", |(_, text)| text);
        }
        assert_eq!(said(client).await, wanted, "to client {name:?}");
    }
}

/// Plays a transcript at an INBOX with these letters.
async fn play_with(subjects: &[&str], transcript: &str) -> Scene {
    let scene = Scene::new().await;
    for subject in subjects {
        scene.deliver(&format!("Subject: {subject}\r\n\r\nhello\r\n")).await;
    }
    play(&scene, transcript).await;
    scene
}

/// What is said when INBOX with so many messages is selected first.
fn selected(tag: &str, count: u32, recent: u32, next: u32) -> String {
    let unseen = if count == 0 { "" } else { "\nS: * OK [UNSEEN 1] is the first that is not read" };
    format!(
        "S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * {count} EXISTS
        S: * {recent} RECENT{unseen}
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] are kept
        S: * OK [UIDVALIDITY 1767225600] holds for all UIDs
        S: * OK [UIDNEXT {next}] comes next
        S: {tag} OK [READ-WRITE] to be used"
    )
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_selected_and_read() {
    let scene = play_with(
        &["one", "two"],
        &format!(
            "C: a1 SELECT inbox
            {}
            C: a2 FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)
            S: * 1 FETCH (UID 1 FLAGS (\\Recent) RFC822.SIZE 64 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\")
            S: * 2 FETCH (UID 2 FLAGS (\\Recent) RFC822.SIZE 64 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\")
            S: a2 OK fetched
            C: a3 FETCH 2 BODY[]
            S: * 2 FETCH (BODY[] {{64}}
            S: Received: by x id 0000000005-00006; now
            S: Subject: two
            S:
            S: hello
            S:  FLAGS (\\Recent \\Seen))
            S: a3 OK fetched
            C: a4 UID FETCH 2 (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<1.3>)
            S: * 2 FETCH (UID 2 FLAGS (\\Recent \\Seen) BODY[HEADER.FIELDS (SUBJECT)] {{16}}
            S: Subject: two
            S:
            S:  BODY[TEXT]<1> {{3}}
            S: ell)
            S: a4 OK fetched
            C: a5 FETCH 3 FLAGS
            S: a5 BAD no message has that number
            C: a6 UID FETCH 3:9 FLAGS
            S: a6 OK fetched
            C: a7 FETCH 1 (BODYSTRUCTURE BODY[2])
            S: * 1 FETCH (BODYSTRUCTURE (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 7 1 NIL NIL NIL NIL) BODY[2] NIL FLAGS (\\Recent \\Seen))
            S: a7 OK fetched
            C: a8 LOGOUT
            S: * BYE until next time
            S: a8 OK goodbye",
            selected("a1", 2, 2, 3)
        ),
    )
    .await;
    let retrieved = scene.journal.since(0).into_iter().filter(|event| matches!(event.step, Step::Retrieved { .. }));
    let events: Vec<_> = retrieved.collect();
    assert_eq!(events.len(), 1, "{events:?}");
    let dialogue = events[0].dialogue.as_ref().unwrap();
    assert!(!format!("{dialogue:?}").contains("postroad\""), "{dialogue:?}");
}

#[tokio::test(start_paused = true)]
async fn idle_is_told_at_once() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 IDLE
        S: + idling
        D: news
        S: * 1 EXISTS
        S: * 1 RECENT
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1 +FLAGS (\\Deleted work)
        S2: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)
        S2: * 1 FETCH (FLAGS (\\Recent \\Deleted work))
        S2: b2 OK stored
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)
        S: * 1 FETCH (FLAGS (\\Recent \\Deleted work))
        C2: b3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK expunged
        S: * 1 EXPUNGE
        C: DONE
        S: a2 OK that was the news",
        selected("a1", 0, 0, 1),
        selected("b1", 1, 1, 2).replace("S: ", "S2: "),
    );
    play_with(&[], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn numbers_do_not_shift_while_a_command_counts_by_them() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1 +FLAGS.SILENT \\Deleted
        S2: b2 OK stored
        C2: b3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK expunged
        D: four
        C: a2 FETCH 1:3 UID
        S: * 1 FETCH (UID 1)
        S: * 2 FETCH (UID 2)
        S: * 3 FETCH (UID 3)
        S: * 4 EXISTS
        S: * 4 RECENT
        S: a2 OK fetched
        C: a3 FETCH 1:2 BODY.PEEK[HEADER.FIELDS (Subject)]
        S: * 2 FETCH (BODY[HEADER.FIELDS (Subject)] {{16}}
        S: Subject: two
        S:
        S: )
        S: a3 NO [EXPUNGEISSUED] some of the messages are gone
        C: a4 STORE 1:2 FLAGS \\Flagged
        S: * 2 FETCH (FLAGS (\\Recent \\Flagged))
        S: a4 NO [EXPUNGEISSUED] some of the messages are gone
        C: a5 NOOP
        S: * 1 EXPUNGE
        S: a5 OK done
        C: a6 FETCH 1:* (UID FLAGS)
        S: * 1 FETCH (UID 2 FLAGS (\\Recent \\Flagged))
        S: * 2 FETCH (UID 3 FLAGS (\\Recent))
        S: * 3 FETCH (UID 4 FLAGS (\\Recent))
        S: a6 OK fetched",
        selected("a1", 3, 3, 4),
        selected("b1", 3, 0, 4).replace("S: ", "S2: "),
    );
    play_with(&["one", "two", "three"], &transcript).await;
}

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
async fn an_examined_mailbox_stays_as_it_is() {
    let transcript = "
        C: a1 EXAMINE INBOX
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1] is the first that is not read
        S: * OK [PERMANENTFLAGS ()] are kept
        S: * OK [UIDVALIDITY 1767225600] holds for all UIDs
        S: * OK [UIDNEXT 2] comes next
        S: a1 OK [READ-ONLY] to be read only
        C: a2 FETCH 1 (BODY[TEXT] FLAGS)
        S: * 1 FETCH (BODY[TEXT] {7}
        S: hello
        S:  FLAGS (\\Recent))
        S: a2 OK fetched
        C: a3 STORE 1 FLAGS \\Deleted
        S: a3 NO [CANNOT] the mailbox was opened to be read only
        C: a4 MOVE 1 Trash
        S: a4 NO [CANNOT] the mailbox was opened to be read only
        C: a5 EXPUNGE
        S: a5 NO [CANNOT] the mailbox was opened to be read only
        C: a6 UNSELECT
        S: a6 OK closed
        C: a7 STATUS INBOX (RECENT DELETED SIZE)
        S: * STATUS \"INBOX\" (RECENT 1 DELETED 0 SIZE 64)
        S: a7 OK counted";
    play_with(&["one"], transcript).await;
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
        S: a2 OK made
        C: a3 CREATE lists&AOk-
        S: a3 OK made
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

#[tokio::test(start_paused = true)]
async fn messages_are_found_and_saved_for_later() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 SEARCH SUBJECT T
        S: * SEARCH 2 3
        S: a2 OK searched
        C: a3 UID SEARCH RETURN (SAVE COUNT) NOT BODY goodbye SUBJECT t
        S: * ESEARCH (TAG \"a3\") UID COUNT 2
        S: a3 OK searched
        C: a4 STORE $ +FLAGS.SILENT \\Flagged
        S: a4 OK stored
        C: a5 SEARCH RETURN (MIN MAX ALL) FLAGGED
        S: * ESEARCH (TAG \"a5\") MIN 2 MAX 3 ALL 2:3
        S: a5 OK searched
        C: a6 SEARCH $ SMALLER 66
        S: * SEARCH 2
        S: a6 OK searched
        C: a7 SEARCH 5
        S: * SEARCH
        S: a7 OK searched",
        selected("a1", 3, 3, 4)
    );
    play_with(&["one", "two", "three"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_deleted_is_no_longer_selected() {
    let transcript = "
        C: a1 CREATE x
        S: a1 OK made
        C: a2 EXAMINE x
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS ()] are kept
        S: * OK [UIDVALIDITY 1767225606] holds for all UIDs
        S: * OK [UIDNEXT 1] comes next
        S: a2 OK [READ-ONLY] to be read only
        C: a3 IDLE
        S: + idling
        C2: b1 DELETE x
        S2: b1 OK deleted
        S: * OK [CLOSED] the mailbox was deleted
        C: DONE
        S: a3 OK that was the news
        C: a4 FETCH 1 FLAGS
        S: a4 BAD select a mailbox first";
    play_with(&[], transcript).await;
}

#[tokio::test(start_paused = true)]
async fn parts_are_decoded() {
    let scene = Scene::new().await;
    let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        aGVsbG8=\r\n--b\r\nContent-Transfer-Encoding: x-own\r\n\r\n?\r\n--b--\r\n";
    scene.deliver(message).await;
    play(
        &scene,
        &format!(
            "C: a1 SELECT INBOX
            {}
            C: a2 FETCH 1 (BINARY.PEEK[1] BINARY.PEEK[1]<1.2> BINARY.SIZE[1] BODY.PEEK[1])
            S: * 1 FETCH (BINARY[1] {{5}}
            S: hello BINARY[1]<1> {{2}}
            S: el BINARY.SIZE[1] 5 BODY[1] {{8}}
            S: aGVsbG8=)
            S: a2 OK fetched
            C: a3 FETCH 1 (UID BINARY.PEEK[2])
            S: * 1 FETCH (UID 1)
            S: a3 NO [UNKNOWN-CTE] a part cannot be decoded",
            selected("a1", 1, 1, 2)
        ),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn imap4rev2_is_spoken_once_enabled() {
    let transcript = "
        C: a1 ENABLE IMAP4rev2
        S: * ENABLED IMAP4rev2
        S: a1 OK enabled
        C: a2 SELECT INBOX
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 1 EXISTS
        S: * LIST () \"/\" \"INBOX\"
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] are kept
        S: * OK [UIDVALIDITY 1767225600] holds for all UIDs
        S: * OK [UIDNEXT 2] comes next
        S: a2 OK [READ-WRITE] to be used
        D: two
        C: a3 SEARCH ALL
        S: * ESEARCH (TAG \"a3\") ALL 1
        S: * 2 EXISTS
        S: a3 OK searched
        C: a4 FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS ())
        S: a4 OK fetched";
    play_with(&["one"], transcript).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_recent_to_one_session_is_not_to_the_next() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        D: two
        C: a2 NOOP
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a2 OK done
        C: a3 UNSELECT
        S: a3 OK closed
        C: a4 SELECT INBOX
        {}",
        selected("a1", 1, 1, 2),
        selected("a4", 2, 0, 3),
    );
    play_with(&["one"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn the_house_closes_with_a_farewell() {
    let scene = Scene::new().await;
    let mut client = scene.log_in().await;
    scene.stop.cancel();
    assert_eq!(said(&mut client).await, "* BYE the server goes down\r\n");
}
