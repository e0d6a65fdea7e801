//! Sessions as transcripts: the service on an in-process network in virtual time, with several clients.
//!
//! `C:` and `S:` are the first client, `C2:` and `S2:` the second, `D:` delivers a message with that subject to INBOX,
//! `F:` makes the disk full, failing or well.

mod appending;
mod changing;
mod compress;
mod condstore;
mod disk;
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
use crate::journey::{EventKind, EventLog};
use crate::mail::Message;
use crate::mda::{Mailboxes, Mda, MdaContext, SCHEMA};
use crate::net::{Authority, Interface, Lifetime, Limits, Net, ServerConfig, serve};
use crate::store::{DiskFault, DiskFaults, Store};
use crate::world::{self, Clock, HostGroup, HostName, Rng, World};

const USER: &str = "friend@sina.test";

/// An MDA with its listener, and an interface to connect from.
struct Fixture {
    event_log: EventLog,
    mailboxes: Mailboxes,
    disk: DiskFaults,
    neighbour: Interface,
    address: SocketAddr,
    stop: Stop,
}

impl Fixture {
    async fn new() -> Self {
        Self::of(World::journey()).await
    }

    async fn of(world: World) -> Self {
        Self::with(world, Store::in_memory(&[SCHEMA]).unwrap()).await
    }

    async fn with(world: World, store: Store) -> Self {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let (world, host): (_, HostName) = (Arc::new(world), "mda-sina".into());
        let authority = Authority::create("journey", clock).unwrap();
        let event_log = EventLog::new(clock, 100, true);
        let declared = world.hosts[&host].clone();
        let disk = DiskFaults::default();
        let mailboxes = Mailboxes::new(store.with_disk_faults(disk.clone()), clock);
        mailboxes.ensure_account(USER).await.unwrap();
        let mda = Mda::new(MdaContext {
            settings: world::Mda { size_max: 100_000, mailboxes: world::MailboxForm::default() },
            mailboxes: mailboxes.clone(),
            clock,
            rng: Rng::seeded(1),
            emitter: event_log.emitter(&host),
            tls: authority.issue(std::slice::from_ref(&declared.fqdn)).unwrap().into(),
            uploads: crate::net::UploadBudget::default(),
            world: world.clone(),
            host,
        });
        let (net, stop) = (Net::memory(Arc::new(|_, _| Duration::from_millis(10))), Stop::new());
        let listener = net.interface(&declared.addresses).listen(0).await.unwrap().remove(0);
        let address = listener.address();
        let config = ServerConfig { listener, tls: None, limits: Limits::default() };
        mda.start(Lifetime::new(Stop::new(), Stop::new()));
        let hosts = HostGroup::public(Arc::new([(mda.host().clone(), mda.clone())].into()), mda);
        tokio::spawn(serve(config, Imap::new(UserDirectory::new(hosts)), stop.clone()));
        let neighbour = net.interface(&world.hosts["mua"].addresses);
        Self { event_log, mailboxes, disk, neighbour, address, stop }
    }

    async fn deliver(&self, content: &str) {
        let id = crate::mail::JourneyId::from_random(5).queue_id(6);
        let message =
            Message::new(Bytes::from(content.to_owned())).with_header(&format!("Received: by x id {id}; now"));
        self.mailboxes.deliver(USER, None, &message).await.unwrap();
    }

    /// Another client, after the greeting.
    async fn connect(&self) -> Stream {
        let mut stream = self.neighbour.connect(self.address).await.unwrap();
        let greeting = read_until_idle(&mut stream).await;
        assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
        stream
    }

    async fn log_in(&self) -> Stream {
        let mut stream = self.connect().await;
        stream.write_all(format!("a LOGIN {USER} postroad\r\n").as_bytes()).await.unwrap();
        let welcome = read_until_idle(&mut stream).await;
        assert!(welcome.starts_with("a OK [CAPABILITY "), "{welcome}");
        stream
    }
}

/// All output until the server is idle.
async fn read_until_idle(stream: &mut Stream) -> String {
    let mut output = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(len @ 1..)) = timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
        output.extend_from_slice(&buffer[..len]);
    }
    String::from_utf8(output).unwrap()
}

async fn play(fixture: &Fixture, transcript: &str) {
    let mut clients: BTreeMap<&str, Stream> = BTreeMap::new();
    let mut disk_fault = None;
    let mut lines = transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let (mark, mut text) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        if mark == "D" {
            fixture.deliver(&format!("Subject: {text}\r\n\r\nhello\r\n")).await;
            continue;
        }
        if mark == "F" {
            if let Some(id) = disk_fault.take() {
                fixture.disk.clear(id);
            }
            let fault = [("full", DiskFault::Full), ("failing", DiskFault::Failing)]
                .into_iter()
                .find(|(name, _)| *name == text);
            disk_fault = fault.map(|(_, fault)| fixture.disk.inject(fault));
            continue;
        }
        let (who, name) = mark.split_at(1);
        if !clients.contains_key(name) {
            clients.insert(name, fixture.log_in().await);
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
        assert_eq!(read_until_idle(client).await, wanted, "to client {name:?}");
    }
}

/// Plays a transcript with these messages in INBOX.
async fn play_with(subjects: &[&str], transcript: &str) -> Fixture {
    let fixture = Fixture::new().await;
    for subject in subjects {
        fixture.deliver(&format!("Subject: {subject}\r\n\r\nhello\r\n")).await;
    }
    play(&fixture, transcript).await;
    fixture
}

/// The responses to a first SELECT of INBOX with this many messages.
fn selected(tag: &str, count: u32, recent: u32, next: u32) -> String {
    let unseen = if count == 0 { "" } else { "\nS: * OK [UNSEEN 1] First unseen message" };
    format!(
        "S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * {count} EXISTS
        S: * {recent} RECENT{unseen}
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Permanent flags
        S: * OK [UIDVALIDITY 1767225600] UIDs valid
        S: * OK [UIDNEXT {next}] Predicted next UID
        S: * OK [HIGHESTMODSEQ {next}] Highest modification sequence
        S: * OK [MAILBOXID (F1)] Mailbox id
        S: {tag} OK [READ-WRITE] SELECT completed"
    )
}

#[tokio::test(start_paused = true)]
async fn idle_reports_changes_at_once() {
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
        S2: * 1 FETCH (FLAGS (\\Deleted work))
        S2: b2 OK STORE completed
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)
        S: * 1 FETCH (FLAGS (\\Recent \\Deleted work))
        C2: b3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK EXPUNGE completed
        S: * 1 EXPUNGE
        C: DONE
        S: a2 OK IDLE completed",
        selected("a1", 0, 0, 1),
        selected("b1", 1, 0, 2).replace("S: ", "S2: "),
    );
    play_with(&[], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn expunge_is_held_during_commands_with_sequence_numbers() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1 +FLAGS.SILENT \\Deleted
        S2: b2 OK STORE completed
        C2: b3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK EXPUNGE completed
        D: four
        C: a2 FETCH 1:3 (UID FLAGS)
        S: * 4 EXISTS
        S: * 4 RECENT
        S: * 1 FETCH (UID 1 FLAGS (\\Recent))
        S: * 2 FETCH (UID 2 FLAGS (\\Recent))
        S: * 3 FETCH (UID 3 FLAGS (\\Recent))
        S: a2 OK FETCH completed
        C: a3 FETCH 1:2 BODY.PEEK[HEADER.FIELDS (Subject)]
        S: * 2 FETCH (BODY[HEADER.FIELDS (Subject)] {{16}}
        S: Subject: two
        S:
        S: )
        S: a3 OK FETCH completed
        C: a4 STORE 1:2 FLAGS \\Flagged
        S: * 2 FETCH (FLAGS (\\Recent \\Flagged))
        S: a4 OK STORE completed
        C: a41 STORE 1 FLAGS \\Flagged
        S: a41 NO [EXPUNGEISSUED] Some messages were expunged
        C: a42 FETCH 1 BODY.PEEK[]
        S: a42 NO [EXPUNGEISSUED] Some messages were expunged
        C: a5 NOOP
        S: * 1 EXPUNGE
        S: a5 OK NOOP completed
        C: a6 FETCH 1:* (UID FLAGS)
        S: * 1 FETCH (UID 2 FLAGS (\\Recent \\Flagged))
        S: * 2 FETCH (UID 3 FLAGS (\\Recent))
        S: * 3 FETCH (UID 4 FLAGS (\\Recent))
        S: a6 OK FETCH completed",
        selected("a1", 3, 3, 4),
        selected("b1", 3, 0, 4).replace("S: ", "S2: "),
    );
    play_with(&["one", "two", "three"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn delete_of_the_selected_mailbox_deselects_it() {
    let transcript = "
        C: a1 CREATE x
        S: a1 OK [MAILBOXID (F7)] CREATE completed
        C: a2 EXAMINE x
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS ()] Permanent flags
        S: * OK [UIDVALIDITY 1767225606] UIDs valid
        S: * OK [UIDNEXT 1] Predicted next UID
        S: * OK [HIGHESTMODSEQ 1] Highest modification sequence
        S: * OK [MAILBOXID (F7)] Mailbox id
        S: a2 OK [READ-ONLY] EXAMINE completed
        C: a3 IDLE
        S: + idling
        C2: b1 DELETE x
        S2: b1 OK DELETE completed
        S: * OK [CLOSED] Mailbox was deleted
        C: DONE
        S: a3 OK IDLE completed
        C: a4 FETCH 1 FLAGS
        S: a4 BAD No mailbox selected";
    play_with(&[], transcript).await;
}

#[tokio::test(start_paused = true)]
async fn recent_messages_are_recent_in_one_session_only() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        D: two
        C: a2 NOOP
        S: * 2 EXISTS
        S: * 2 RECENT
        S: a2 OK NOOP completed
        C: a3 UNSELECT
        S: a3 OK UNSELECT completed
        C: a4 SELECT INBOX
        {}",
        selected("a1", 1, 1, 2),
        selected("a4", 2, 0, 3),
    );
    play_with(&["one"], &transcript).await;
}

/// Sessions that select at once, and one that selected before: each message is recent in one of them, and STATUS counts
/// only those that nobody was told of.
#[tokio::test(start_paused = true)]
async fn recent_messages_of_sessions_that_select_at_once_are_recent_in_one() {
    let fixture = Fixture::new().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(fixture.log_in().await);
    }
    // What was recent in the first session before, if it goes on.
    let mut kept = 0;
    for round in 0..10 {
        fixture.deliver("Subject: x\r\n\r\n").await;
        assert_eq!(fixture.mailboxes.status(USER, "INBOX").unwrap().counters.recents, 1);
        let goes_on = round % 2 == 1;
        let first: &[u8] = if goes_on { b"s NOOP\r\n" } else { b"s SELECT INBOX\r\n" };
        clients[0].write_all(first).await.unwrap();
        for client in &mut clients[1..] {
            client.write_all(b"s SELECT INBOX\r\n").await.unwrap();
        }
        let mut recent = Vec::new();
        for client in &mut clients {
            let reply = read_until_idle(client).await;
            recent.push(reply.split(" RECENT").next().unwrap().rsplit(' ').next().unwrap().parse::<u32>().unwrap());
        }
        assert_eq!(recent.iter().sum::<u32>() - if goes_on { kept } else { 0 }, 1, "{recent:?}");
        assert_eq!(fixture.mailboxes.status(USER, "INBOX").unwrap().counters.recents, 0, "all were told");
        kept = recent[0];
    }
}

#[tokio::test(start_paused = true)]
async fn commands_find_what_arrived_before_them() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        D: two
        C: a2 SEARCH SUBJECT two
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * SEARCH 2
        S: a2 OK SEARCH completed
        D: three
        C: a3 UID FETCH 1:* UID
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * 1 FETCH (UID 1)
        S: * 2 FETCH (UID 2)
        S: * 3 FETCH (UID 3)
        S: a3 OK FETCH completed
        D: four
        C: a4 SORT (ARRIVAL) UTF-8 ALL
        S: * 4 EXISTS
        S: * 4 RECENT
        S: * SORT 1 2 3 4
        S: a4 OK SORT completed
        D: five
        C: a5 THREAD REFERENCES UTF-8 SUBJECT five
        S: * 5 EXISTS
        S: * 5 RECENT
        S: * THREAD (5)
        S: a5 OK THREAD completed
        C2: b1 SELECT INBOX
        {}
        C2: b2 STORE 1 +FLAGS.SILENT \\Deleted
        S2: b2 OK STORE completed
        C2: b3 EXPUNGE
        S2: * 1 EXPUNGE
        S2: b3 OK EXPUNGE completed
        C: a6 SEARCH ALL
        S: * SEARCH 1 2 3 4 5
        S: a6 OK SEARCH completed",
        selected("a1", 1, 1, 2),
        selected("b1", 5, 0, 6).replace("S: ", "S2: "),
    );
    play_with(&["one"], &transcript).await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_sends_bye() {
    let fixture = Fixture::new().await;
    let mut client = fixture.log_in().await;
    fixture.stop.cancel();
    assert_eq!(read_until_idle(&mut client).await, "* BYE Server shutting down\r\n");
}
