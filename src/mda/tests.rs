//! The services on an in-process network in virtual time: LMTP in, POP3 out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::journey::{Journal, Step};
use crate::mail::{Envelope, Letter, Recipient};
use crate::net::{Authority, Conn, Door, Interface, Limits, Net, Service, Stop, Trust, serve};
use crate::pop3::client::{self as pop3_client, StartTls};
use crate::smtp::client::{self as smtp_client, Verdict};
use crate::store::Store;

/// The MDA of sina.test with its listeners, and the MTA before it.
struct Scene {
    journal: Journal,
    mda: Mda,
    neighbour: Interface,
    lmtp: SocketAddr,
    pop3: SocketAddr,
    trust: Trust,
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
        let declared = &world.hosts[&host];
        let mda = Mda::new(Setup {
            world: world.clone(),
            host: host.clone(),
            settings: world::Mda { size_max: 10_000, mailboxes: world::MailboxForm::default() },
            mailboxes: Mailboxes::new(Store::in_memory(&[SCHEMA]).unwrap(), clock),
            clock,
            dice: Dice::seeded(1),
            recorder: journal.recorder(&host),
            identity: authority.issue(std::slice::from_ref(&declared.fqdn)).unwrap(),
            whims: crate::smtp::whims::Whims::default(),
        });
        let net = Net::memory(Arc::new(|_, _| Duration::from_millis(10)));
        let (place, stop) = (net.interface(&declared.addresses), Stop::new());
        let front = Site::front(Arc::new(BTreeMap::from([(host, mda.clone())])), mda.clone());
        Self {
            lmtp: open(&place, Lmtp::new(mda.clone()), &stop).await,
            pop3: open(&place, Pop3::new(front), &stop).await,
            neighbour: net.interface(&world.hosts["mta-sina"].addresses),
            trust: authority.trust().unwrap(),
            journal,
            mda,
            stop,
        }
    }

    /// Sends a letter over LMTP; what was said for each recipient.
    async fn send(&self, letter: &Letter, recipients: &[&str]) -> Vec<String> {
        let config = smtp_client::Config { hello: "mx.sina.test".to_owned(), lmtp: true, ..Default::default() };
        let stream = self.neighbour.connect(self.lmtp).await.unwrap();
        let mut conn = Conn::new(stream, smtp_client::Session::new(config), Stop::new());
        let recipients =
            recipients.iter().map(|address| Recipient::from(address.parse::<Address>().unwrap())).collect();
        let reverse_path = Some("me@163.test".parse().unwrap());
        assert_eq!(conn.event().await.unwrap(), Some(smtp_client::Event::Ready));
        conn.machine.send(Envelope { reverse_path, recipients, ..Envelope::default() }, letter);
        let Some(smtp_client::Event::Sent(outcome)) = conn.event().await.unwrap() else { panic!("not sent") };
        conn.machine.quit();
        assert_eq!(conn.event().await.unwrap(), None);
        let said = |verdict: &Verdict| match verdict {
            Verdict::Accepted(reply) | Verdict::Refused { reply, .. } => reply.to_string(),
        };
        outcome.verdicts.iter().map(said).collect()
    }

    /// A POP3 session under TLS, logged in, and what it answered to the login.
    async fn log_in(&self, user: &str, password: &str) -> (Conn<pop3_client::Session>, pop3_client::Event) {
        let setup = pop3_client::Setup {
            user: user.to_owned(),
            password: password.to_owned(),
            starttls: StartTls::Required,
            message_octets_max: 1 << 20,
            record: false,
        };
        let stream = self.neighbour.connect(self.pop3).await.unwrap();
        let mut conn = Conn::new(stream, pop3_client::Session::new(setup, false), Stop::new());
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
    tokio::spawn(serve(Door { listener, tls: None, limits: Limits::default() }, service, stop.clone()));
    address
}

fn letter() -> Letter {
    let id = crate::mail::JourneyId::of(5).stay(6);
    let letter = Letter::new(Bytes::from_static(b"Subject: hello\r\n\r\n.\r\nHello!\r\n"));
    letter.stamped(&format!("Received: from mua by mx.sina.test with ESMTP id {id}; now"))
}

#[tokio::test(start_paused = true)]
async fn a_letter_comes_by_lmtp_and_leaves_by_pop3_as_it_was() {
    let scene = Scene::new().await;
    let said = scene.send(&letter(), &["friend@sina.test", "nobody@sina.test", "friend+sent@sina.test"]).await;
    let unknown = "550 5.1.1 <nobody@sina.test> has no mailbox here";
    assert_eq!(said, ["250 2.1.5 Saved as INBOX uid 1", unknown, "250 2.1.5 Saved as Sent uid 1"]);

    let (mut conn, ready) = scene.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready);
    conn.machine.list();
    let Some(pop3_client::Event::Listing(listing)) = conn.event().await.unwrap() else { panic!("not listed") };
    conn.machine.retrieve(1);
    let Some(pop3_client::Event::Message { bytes, .. }) = conn.event().await.unwrap() else { panic!("not retrieved") };
    assert_eq!((listing.len(), listing[0].size), (1, bytes.len() as u64));
    let arrived = Letter::new(bytes);
    assert_eq!(arrived.content, letter().content);
    assert_eq!((arrived.hops(), arrived.journey()), (2, letter().journey()));
    let trace = String::from_utf8(arrived.trace.to_vec()).unwrap();
    let top = "Return-Path: <me@163.test>\r\nReceived: from mx.sina.test (mx.sina.test [203.0.113.25])\r\n\tby mail.sina.test";
    assert!(trace.starts_with(top), "{trace}");
    assert!(trace.contains("with LMTP") && trace.contains("\r\n\tfor <friend@sina.test>;\r\n"), "{trace}");

    conn.machine.delete(1);
    assert!(matches!(conn.event().await.unwrap(), Some(pop3_client::Event::Deleted { number: 1 })));
    conn.machine.quit();
    assert_eq!(conn.event().await.unwrap(), Some(pop3_client::Event::Closed));
    let (_conn, ready) = scene.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready, "the maildrop is free again");
    assert_eq!(scene.mda.mailboxes().status("friend@sina.test", "INBOX").unwrap().messages, 0);

    let steps = scene.journal.since(0).into_iter().map(|event| {
        assert_eq!(Some(event.journey), letter().journey());
        match event.step {
            Step::Received { recipients, .. } => format!("received for {}", recipients.len()),
            Step::Delivered { recipient, mailbox, uid, .. } => format!("{recipient} {mailbox} {uid}"),
            Step::Retrieved { account, .. } => format!("retrieved by {account}"),
            _ => "odd".to_owned(),
        }
    });
    assert_eq!(
        steps.collect::<Vec<_>>(),
        ["received for 2", "friend@sina.test INBOX 1", "friend+sent@sina.test Sent 1", "retrieved by friend@sina.test"]
    );
    scene.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_door_opens_only_for_its_users() {
    let scene = Scene::new().await;
    for (user, password) in [("friend@sina.test", "wrong"), ("me@163.test", "postroad"), ("ghost@sina.test", "")] {
        let (_, event) = scene.log_in(user, password).await;
        assert!(matches!(event, pop3_client::Event::LoginRefused(why) if why.starts_with("[AUTH]")), "{user}");
    }
    let (mut first, ready) = scene.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready);
    let (_, event) = scene.log_in("Friend@sina.test", "postroad").await;
    assert!(matches!(event, pop3_client::Event::LoginRefused(why) if why.starts_with("[IN-USE]")));
    first.machine.quit();
    assert_eq!(first.event().await.unwrap(), Some(pop3_client::Event::Closed));
}

#[tokio::test(start_paused = true)]
async fn the_postmaster_is_known_and_other_domains_are_not() {
    let scene = Scene::new().await;
    let said = scene.send(&letter(), &["Postmaster@sina.test", "me@163.test", "a@other.test"]).await;
    let codes: Vec<_> = said.iter().map(|reply| &reply[..3]).collect();
    assert_eq!(codes, ["250", "550", "550"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_frees_its_maildrop_after_ten_minutes() {
    let scene = Scene::new().await;
    let (_silent, ready) = scene.log_in("friend@sina.test", "postroad").await;
    assert_eq!(ready, pop3_client::Event::Ready);
    tokio::time::sleep(Duration::from_secs(599)).await;
    let (_, event) = scene.log_in("friend@sina.test", "postroad").await;
    assert!(matches!(event, pop3_client::Event::LoginRefused(_)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_, event) = scene.log_in("friend@sina.test", "postroad").await;
    assert_eq!(event, pop3_client::Event::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_a_message_beyond_all_quotas_and_an_unknown_user_are_told_apart() {
    let users =
        "users = [{ name = \"friend\", quota = { storage = 500 } }, { name = \"shut\", quota = { messages = 0 } }]";
    let world = World::parse("w.toml", &world::JOURNEY.replace("users = [\"friend\"]", users)).unwrap();
    let scene = Scene::of(world).await;
    let recipients = ["friend@sina.test", "friend+sent@sina.test", "shut@sina.test", "nobody@sina.test"];
    let said = scene.send(&letter(), &recipients).await;
    let wanted = [
        "250 2.1.5 Saved as INBOX uid 1",
        "452 4.2.2 The mailbox is full, try again when there is room",
        "552 5.2.2 The message is larger than all that the mailbox may hold",
        "550 5.1.1 <nobody@sina.test> has no mailbox here",
    ];
    assert_eq!(said, wanted);
    let filed = scene.journal.since(0).into_iter().filter(|event| matches!(event.step, Step::Delivered { .. }));
    assert_eq!(filed.count(), 1);
    assert_eq!(scene.mda.mailboxes().status("friend@sina.test", "Sent").unwrap().messages, 0);
}
