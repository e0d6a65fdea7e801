//! Sessions as transcripts: the service on an in-process network in virtual time, with as many clients as it takes.
//!
//! `C:` and `S:` are the first client, `C2:` and `S2:` the second, `D:` delivers a letter with that subject to INBOX.

mod appending;
mod changing;
mod compress;
mod condstore;
mod listing;
mod metadata;
mod model;
mod notify;
mod quota;
mod reading;
mod searching;
mod sorting;

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
        Self::of(World::journey()).await
    }

    async fn of(world: World) -> Self {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let (world, host): (_, HostName) = (Arc::new(world), "mda-sina".into());
        let authority = Authority::create("journey", clock).unwrap();
        let journal = Journal::new(clock, 100, true);
        let declared = world.hosts[&host].clone();
        let mailboxes = Mailboxes::new(Store::in_memory(&[SCHEMA]).unwrap(), clock);
        mailboxes.ensure_account(USER).await.unwrap();
        let mda = Mda::new(Setup {
            settings: world::Mda { size_max: 100_000, mailboxes: world::MailboxForm::default() },
            mailboxes: mailboxes.clone(),
            clock,
            dice: Dice::seeded(1),
            recorder: journal.recorder(&host),
            identity: authority.issue(std::slice::from_ref(&declared.fqdn)).unwrap(),
            whims: crate::smtp::whims::Whims::default(),
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
        S: * OK [HIGHESTMODSEQ {next}] is the last change
        S: * OK [MAILBOXID (F1)] is the mailbox under any name
        S: {tag} OK [READ-WRITE] to be used"
    )
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
async fn a_mailbox_that_is_deleted_is_no_longer_selected() {
    let transcript = "
        C: a1 CREATE x
        S: a1 OK [MAILBOXID (F7)] made
        C: a2 EXAMINE x
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS ()] are kept
        S: * OK [UIDVALIDITY 1767225606] holds for all UIDs
        S: * OK [UIDNEXT 1] comes next
        S: * OK [HIGHESTMODSEQ 1] is the last change
        S: * OK [MAILBOXID (F7)] is the mailbox under any name
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
