//! The services on an in-process network in virtual time: LMTP in, POP3 out.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::journey::{EventKind, EventLog};
use crate::mail::{Envelope, Message, Recipient};
use crate::net::{Authority, Conn, Interface, Limits, Net, ServerConfig, Service, Stop, Trust, serve};
use crate::pop3::client::{self as pop3_client, StartTls};
use crate::smtp::client::{self as smtp_client, Verdict};
use crate::smtp::reply_faults::ReplyFaults;
use crate::smtp::server::Server;
use crate::store::{DiskFault, DiskFaults, Store};
use crate::world::HostGroup;

/// The MDA of sina.test with its listeners, and an MTA in front of it.
struct Fixture {
    event_log: EventLog,
    mda: Mda,
    disk: DiskFaults,
    neighbour: Interface,
    lmtp: SocketAddr,
    pop3: SocketAddr,
    trust: Trust,
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
        let (clock, disk) = (Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()), DiskFaults::default());
        let (world, host): (_, HostName) = (Arc::new(world), "mda-sina".into());
        let authority = Authority::create("journey", clock).unwrap();
        let event_log = EventLog::new(clock, 100, true);
        let declared = &world.hosts[&host];
        let mda = Mda::new(MdaContext {
            world: world.clone(),
            host: host.clone(),
            settings: world::Mda { size_max: 10_000, mailboxes: world::MailboxForm::default() },
            mailboxes: Mailboxes::new(store.with_disk_faults(disk.clone()), clock),
            clock,
            rng: Rng::seeded(1),
            emitter: event_log.emitter(&host),
            tls: authority.issue(std::slice::from_ref(&declared.fqdn)).unwrap().into(),
            uploads: crate::net::UploadBudget::default(),
        });
        let net = Net::memory(Arc::new(|_, _| Duration::from_millis(10)));
        let (place, stop) = (net.interface(&declared.addresses), Stop::new());
        let lmtp = Server::new(LmtpPolicy::new(mda.clone()), ReplyFaults::default());
        let users = UserDirectory::new(HostGroup::single(host, mda.clone()));
        Self {
            lmtp: open(&place, lmtp, &stop).await,
            pop3: open(&place, Pop3::new(users), &stop).await,
            neighbour: net.interface(&world.hosts["mta-sina"].addresses),
            trust: authority.trust().unwrap(),
            event_log,
            mda,
            disk,
            stop,
        }
    }

    /// Sends a message over LMTP; returns the reply for each recipient.
    async fn send(&self, message: &Message, recipients: &[&str]) -> Vec<String> {
        let config = smtp_client::Config { hello: "mx.sina.test".to_owned(), lmtp: true, ..Default::default() };
        let stream = self.neighbour.connect(self.lmtp).await.unwrap();
        let mut conn = Conn::new(stream, smtp_client::Session::new(config), Stop::new());
        let recipients =
            recipients.iter().map(|address| Recipient::from(address.parse::<Address>().unwrap())).collect();
        let reverse_path = Some("me@163.test".parse().unwrap());
        assert_eq!(conn.event().await.unwrap(), Some(smtp_client::Event::Ready));
        conn.machine.send(Envelope { reverse_path, recipients, ..Envelope::default() }, message);
        let Some(smtp_client::Event::Sent(outcome)) = conn.event().await.unwrap() else { panic!("not sent") };
        conn.machine.quit();
        assert_eq!(conn.event().await.unwrap(), None);
        let replies = |verdict: &Verdict| match verdict {
            Verdict::Accepted(reply) | Verdict::Refused { reply, .. } => reply.to_string(),
            Verdict::NotSent(not_sent) => not_sent.to_string(),
        };
        outcome.verdicts.iter().map(replies).collect()
    }

    /// A logged-in POP3 session under TLS, and the event of the login.
    async fn log_in(&self, user: &str, password: &str) -> (Conn<pop3_client::Session>, pop3_client::Event) {
        let context = pop3_client::Config {
            user: user.to_owned(),
            password: password.to_owned(),
            starttls: StartTls::Required,
            max_message_bytes: 1 << 20,
            transcript: false,
        };
        let stream = self.neighbour.connect(self.pop3).await.unwrap();
        let mut conn = Conn::new(stream, pop3_client::Session::new(context, false), Stop::new());
        assert_eq!(conn.event().await.unwrap(), Some(pop3_client::Event::StartTls));
        conn.connect_tls(&self.trust, self.mda.fqdn()).await.unwrap();
        conn.machine.encrypted();
        let event = conn.event().await.unwrap().unwrap();
        (conn, event)
    }
}

async fn open(place: &Interface, service: impl Service, stop: &Stop) -> SocketAddr {
    let listener = place.listen(0).await.unwrap().remove(0);
    let address = listener.address();
    tokio::spawn(serve(ServerConfig { listener, tls: None, limits: Limits::default() }, service, stop.clone()));
    address
}

fn message() -> Message {
    let id = crate::mail::JourneyId::from_random(5).queue_id(6);
    let message = Message::new(Bytes::from_static(b"Subject: hello\r\n\r\n.\r\nHello!\r\n"));
    message.with_header(&format!("Received: from mua by mx.sina.test with ESMTP id {id}; now"))
}

#[tokio::test(start_paused = true)]
async fn message_delivered_over_lmtp_is_retrieved_unchanged_over_pop3() {
    let fixture = Fixture::new().await;
    let replies = fixture.send(&message(), &["friend@sina.test", "nobody@sina.test", "friend+sent@sina.test"]).await;
    let unknown = "550 5.1.1 <nobody@sina.test> has no mailbox here";
    assert_eq!(replies, ["250 2.1.5 Saved as INBOX uid 1", unknown, "250 2.1.5 Saved as Sent uid 1"]);

    let (mut conn, ready) = fixture.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready);
    conn.machine.list();
    let Some(pop3_client::Event::Listing(listing)) = conn.event().await.unwrap() else { panic!("not listed") };
    conn.machine.retrieve(1);
    let Some(pop3_client::Event::Message { bytes, .. }) = conn.event().await.unwrap() else { panic!("not retrieved") };
    assert_eq!((listing.len(), listing[0].size), (1, bytes.len() as u64));
    let arrived = Message::new(bytes);
    assert_eq!(arrived.content, message().content);
    assert_eq!((arrived.hops(), arrived.journey()), (2, message().journey()));
    let trace = String::from_utf8(arrived.trace.to_vec()).unwrap();
    let top = "Return-Path: <me@163.test>\r\nReceived: from mx.sina.test (mx.sina.test [203.0.113.25])\r\n\tby mail.sina.test";
    assert!(trace.starts_with(top), "{trace}");
    assert!(trace.contains("with LMTP") && trace.contains("\r\n\tfor <friend@sina.test>;\r\n"), "{trace}");

    conn.machine.delete(1);
    assert!(matches!(conn.event().await.unwrap(), Some(pop3_client::Event::Deleted { number: 1 })));
    conn.machine.quit();
    assert_eq!(conn.event().await.unwrap(), Some(pop3_client::Event::Closed));
    let (_conn, ready) = fixture.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready, "the maildrop is unlocked");
    assert_eq!(fixture.mda.mailboxes().status("friend@sina.test", "INBOX").unwrap().counters.messages, 0);

    let steps = fixture.event_log.since(0).into_iter().map(|event| {
        assert_eq!(Some(event.journey), message().journey());
        match event.kind {
            EventKind::Received { recipients, .. } => format!("received for {}", recipients.len()),
            EventKind::Delivered { recipient, mailbox, uid, .. } => format!("{recipient} {mailbox} {uid}"),
            EventKind::Retrieved { account, .. } => format!("retrieved by {account}"),
            _ => "unexpected".to_owned(),
        }
    });
    assert_eq!(
        steps.collect::<Vec<_>>(),
        ["received for 2", "friend@sina.test INBOX 1", "friend+sent@sina.test Sent 1", "retrieved by friend@sina.test"]
    );
    fixture.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn pop3_when_the_disk_is_full_reads_and_deletes() {
    let fixture = Fixture::new().await;
    fixture.send(&message(), &["friend@sina.test"]).await;
    fixture.disk.inject(DiskFault::Full);
    let (mut conn, ready) = fixture.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready);
    conn.machine.retrieve(1);
    assert!(matches!(conn.event().await.unwrap(), Some(pop3_client::Event::Message { number: 1, .. })));
    conn.machine.delete(1);
    assert!(matches!(conn.event().await.unwrap(), Some(pop3_client::Event::Deleted { number: 1 })));
    conn.machine.quit();
    assert_eq!(conn.event().await.unwrap(), Some(pop3_client::Event::Closed));
    assert_eq!(fixture.mda.mailboxes().status("friend@sina.test", "INBOX").unwrap().counters.messages, 0);
    let replies = fixture.send(&message(), &["friend@sina.test"]).await;
    assert_eq!(replies, ["452 4.3.1 The disk is full, try again later"]);
}

#[tokio::test(start_paused = true)]
async fn pop3_of_a_damaged_message_refuses_it_and_sends_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(&folder.path().join("post.db"), &[SCHEMA]).unwrap();
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let mailboxes = Mailboxes::new(open(), clock);
    for subject in ["one", "two", "six"] {
        let text = format!("Subject: {subject}\r\n\r\n{}", format!("{subject}\r\n").repeat(6_000));
        mailboxes.deliver("friend@sina.test", None, &Message::new(Bytes::from(text))).await.unwrap();
    }
    drop(mailboxes);
    let segment = folder.path().join("contents/1");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(segment, bytes).unwrap();
    let fixture = Fixture::with(World::journey(), open()).await;
    let (mut conn, ready) = fixture.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready);
    let mut retrieved = Vec::new();
    for number in 1..=3 {
        conn.machine.retrieve(number);
        match conn.event().await.unwrap() {
            Some(pop3_client::Event::Message { number, .. }) => retrieved.push(number.to_string()),
            Some(pop3_client::Event::Refused { text, .. }) => retrieved.push(text),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(retrieved, ["1", "[SYS/PERM] The message is damaged on the disk of the server", "3"]);
}

#[tokio::test(start_paused = true)]
async fn pop3_login_works_only_for_users_of_the_host_and_once_at_a_time() {
    let fixture = Fixture::new().await;
    for (user, password) in [("friend@sina.test", "wrong"), ("me@163.test", "postroad"), ("ghost@sina.test", "")] {
        let (_, event) = fixture.log_in(user, password).await;
        assert!(matches!(event, pop3_client::Event::LoginRefused(why) if why.starts_with("[AUTH]")), "{user}");
    }
    let (mut first, ready) = fixture.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready);
    let (_, event) = fixture.log_in("Friend@sina.test", "postroad").await;
    assert!(matches!(event, pop3_client::Event::LoginRefused(why) if why.starts_with("[IN-USE]")));
    first.machine.quit();
    assert_eq!(first.event().await.unwrap(), Some(pop3_client::Event::Closed));
}

#[tokio::test(start_paused = true)]
async fn lmtp_accepts_postmaster_and_refuses_other_domains() {
    let fixture = Fixture::new().await;
    let replies = fixture.send(&message(), &["Postmaster@sina.test", "me@163.test", "a@other.test"]).await;
    let codes: Vec<_> = replies.iter().map(|reply| &reply[..3]).collect();
    assert_eq!(codes, ["250", "550", "550"]);
}

#[tokio::test(start_paused = true)]
async fn pop3_timeout_after_ten_minutes_unlocks_the_maildrop() {
    let fixture = Fixture::new().await;
    let (_silent, ready) = fixture.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready);
    tokio::time::sleep(Duration::from_secs(599)).await;
    let (_, event) = fixture.log_in("friend@sina.test", "postroad").await;
    assert!(matches!(event, pop3_client::Event::LoginRefused(_)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_, event) = fixture.log_in("friend@sina.test", "postroad").await;
    assert_eq!(event, pop3_client::Event::Ready);
}

#[tokio::test(start_paused = true)]
async fn lmtp_replies_differ_for_full_mailbox_too_large_message_and_unknown_user() {
    let users =
        "users = [{ name = \"friend\", quota = { storage = 500 } }, { name = \"shut\", quota = { messages = 0 } }]";
    let world = World::parse("w.toml", &world::JOURNEY.replace("users = [\"friend\"]", users)).unwrap();
    let fixture = Fixture::of(world).await;
    let recipients = ["friend@sina.test", "friend+sent@sina.test", "shut@sina.test", "nobody@sina.test"];
    let replies = fixture.send(&message(), &recipients).await;
    let wanted = [
        "250 2.1.5 Saved as INBOX uid 1",
        "452 4.2.2 The mailbox is full, try again later",
        "552 5.2.2 The message is larger than the quota of the mailbox",
        "550 5.1.1 <nobody@sina.test> has no mailbox here",
    ];
    assert_eq!(replies, wanted);
    let delivered =
        fixture.event_log.since(0).into_iter().filter(|event| matches!(event.kind, EventKind::Delivered { .. }));
    assert_eq!(delivered.count(), 1);
    assert_eq!(fixture.mda.mailboxes().status("friend@sina.test", "Sent").unwrap().counters.messages, 0);
}
