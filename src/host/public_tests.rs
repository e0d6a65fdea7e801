//! Faults of hosts and links at the public ports, as the world's own clients see them from outside, in virtual time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::mail::{Envelope, Message};
use crate::mua::{ClientContext, ImapMailbox, ImapWatch, Login, Maildrop, Security, Server, Submitter, Verdict};
use crate::world::World;

const ME: &str = "me@163.test";
const FRIEND: &str = "friend@sina.test";
const START: &str = "2026-11-01T08:00:00Z";
const SECOND: Duration = Duration::from_secs(1);

/// A world with public ports, and a client outside of it.
struct Fixture {
    running: RunningWorld,
    context: ClientContext,
}

impl Fixture {
    async fn new() -> Self {
        let env = Environment::simulated(World::journey(), 1, START.parse().unwrap(), false).unwrap();
        let ports = PublicPorts::with_offset(&env.world.ports, Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let context = ClientContext {
            // Programs on this machine may send to any address without login.
            interface: env.net.interface(&[IpAddr::from([127, 0, 0, 9])]),
            trust: env.authority.trust().unwrap(),
            hello: "program.test".to_owned(),
            transcripts: false,
        };
        Self { running: RunningWorld::start(env, ports).await.unwrap(), context }
    }

    fn server(service: Service) -> Server {
        let port = World::journey().ports[&service];
        let addresses = vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)];
        let security = if service == Service::Imaps { Security::Immediate } else { Security::Plain };
        Server { name: "localhost".to_owned(), addresses, security }
    }

    fn login(user: &str) -> Login {
        Login { user: user.to_owned(), password: "postroad".to_owned() }
    }

    async fn imap(&self, user: &str) -> Result<ImapMailbox, String> {
        let opened = ImapMailbox::open(&self.context, &Self::server(Service::Imaps), &Self::login(user), "INBOX").await;
        opened.map_err(|error| error.to_string())
    }

    async fn pop3(&self, user: &str) -> Result<Maildrop, String> {
        let opened = Maildrop::open(&self.context, &Self::server(Service::Pop3), &Self::login(user)).await;
        opened.map_err(|error| error.to_string())
    }

    async fn smtp(&self) -> Result<Submitter, String> {
        let connected = Submitter::connect(&self.context, &Self::server(Service::Smtp), None).await;
        connected.map_err(|error| error.to_string())
    }

    /// The reply to a message of this sender.
    async fn send(&self, submitter: &mut Submitter, from: &str) -> Result<String, String> {
        let envelope = Envelope {
            reverse_path: from.parse().ok(),
            recipients: vec![FRIEND.parse::<crate::mail::Address>().unwrap().into()],
            ..Envelope::default()
        };
        let message = Message::new("Subject: hello\r\n\r\nHello!\r\n".into());
        let verdicts = submitter.submit(envelope, &message).await.map_err(|error| error.to_string())?;
        Ok(match &verdicts[0] {
            Verdict::Accepted(reply) | Verdict::Refused { reply, .. } => reply.to_string(),
            Verdict::NotSent(why) => why.to_string(),
        })
    }

    async fn begin(&self, fault: Fault) -> u64 {
        self.running.validate(&fault).unwrap();
        self.running.begin_fault(fault).await.id
    }

    async fn end(&self, fault: u64) {
        self.running.end_fault(fault).await.unwrap().unwrap();
    }
}

fn off(host: &str) -> [Fault; 2] {
    let (host, startup) = (host.to_owned(), Duration::ZERO);
    [Fault::Off { host: host.clone(), startup }, Fault::Crash { host, startup }]
}

fn between(one: &str, other: &str) -> [String; 2] {
    [one.to_owned(), other.to_owned()]
}

#[tokio::test(start_paused = true)]
async fn public_port_of_a_host_that_is_off_refuses() {
    let fixture = Fixture::new().await;
    for fault in off("mta-163").into_iter().chain(off("mda-163")) {
        let is_mta = fault.hosts() == ["mta-163"];
        let (mut sender, mut reader) = (fixture.smtp().await.unwrap(), fixture.imap(ME).await.unwrap());
        let id = fixture.begin(fault).await;
        let (smtp, imap) = (fixture.smtp().await.map(drop), fixture.imap(FRIEND).await.map(drop));
        assert_eq!((smtp.is_err(), imap.is_err()), (is_mta, !is_mta), "{smtp:?} {imap:?}");
        assert!(smtp.and(imap).unwrap_err().contains("refused the connection"));
        assert_eq!(fixture.send(&mut sender, ME).await.is_err(), is_mta);
        assert_eq!(reader.idle(SECOND).await.is_err(), !is_mta);
        fixture.end(id).await;
        fixture.smtp().await.unwrap();
        fixture.imap(FRIEND).await.unwrap();
    }
    fixture.running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mailboxes_of_a_host_that_is_off_are_unavailable_and_its_sessions_end() {
    let fixture = Fixture::new().await;
    for fault in off("mda-sina") {
        let (mut friend, mut me) = (fixture.imap(FRIEND).await.unwrap(), fixture.imap(ME).await.unwrap());
        let mut drop = fixture.pop3(FRIEND).await.unwrap();
        let id = fixture.begin(fault).await;
        let why = fixture.imap(FRIEND).await.map(std::mem::drop).unwrap_err();
        assert!(why.contains("temporarily unavailable"), "{why}");
        let why = fixture.pop3(FRIEND).await.map(std::mem::drop).unwrap_err();
        assert!(why.contains("[SYS/TEMP]"), "{why}");
        assert!(friend.idle(SECOND).await.is_err() && drop.list().await.is_err());
        me.idle(SECOND).await.unwrap();
        fixture.pop3(ME).await.unwrap().quit().await.unwrap();
        fixture.end(id).await;
        fixture.imap(FRIEND).await.unwrap();
        fixture.pop3(FRIEND).await.unwrap().quit().await.unwrap();
    }
    fixture.running.stop().await;
}

/// Nothing is accepted for the queue of a host that is off.
#[tokio::test(start_paused = true)]
async fn message_whose_provider_is_off_is_deferred_at_the_public_port() {
    let fixture = Fixture::new().await;
    let mut sender = fixture.smtp().await.unwrap();
    for fault in off("mta-sina") {
        let id = fixture.begin(fault).await;
        let reply = fixture.send(&mut sender, FRIEND).await.unwrap();
        assert!(reply.starts_with("451 4.3.2 mx.sina.test is not running"), "{reply}");
        assert!(fixture.send(&mut sender, ME).await.unwrap().starts_with("250 "));
        fixture.end(id).await;
        assert!(fixture.send(&mut sender, FRIEND).await.unwrap().starts_with("250 "));
    }
    fixture.running.stop().await;
}

/// The link is that of the host that answers: of the port, and from the login or MAIL on that of the user.
#[tokio::test(start_paused = true)]
async fn slow_link_to_outside_delays_what_its_host_answers() {
    let fixture = Fixture::new().await;
    let slow = |host: &str, direction| Fault::Slow {
        between: between("outside", host),
        direction,
        latency: SECOND,
        jitter: Duration::ZERO,
        bandwidth: 0,
    };
    let took = async |user: &str| {
        let mut watch =
            ImapWatch::open(&fixture.context, &Fixture::server(Service::Imap), &Fixture::login(user)).await.unwrap();
        let began = Instant::now();
        watch.uid_next().await.unwrap();
        began.elapsed().as_secs()
    };
    let greeting = async || {
        let began = Instant::now();
        // The greeting, then EHLO and its reply.
        fixture.smtp().await.unwrap();
        began.elapsed().as_secs()
    };
    assert_eq!((greeting().await, took(ME).await, took(FRIEND).await), (0, 0, 0));
    for (host, direction, expected) in [
        ("mta-163", Direction::Both, (3, 0, 0)),
        ("mta-163", Direction::There, (1, 0, 0)),
        ("mda-163", Direction::Both, (0, 2, 0)),
        ("mda-sina", Direction::Both, (0, 0, 2)),
        ("mda-sina", Direction::There, (0, 0, 1)),
    ] {
        let id = fixture.begin(slow(host, direction)).await;
        assert_eq!((greeting().await, took(ME).await, took(FRIEND).await), expected, "{host} {direction:?}");
        fixture.end(id).await;
    }
    let id = fixture.begin(slow("mta-sina", Direction::Both)).await;
    let mut sender = fixture.smtp().await.unwrap();
    for (from, is_slow) in [(ME, false), (FRIEND, true)] {
        let began = Instant::now();
        assert!(fixture.send(&mut sender, from).await.unwrap().starts_with("250 "));
        assert_eq!(SECOND <= began.elapsed(), is_slow, "{from}");
    }
    fixture.end(id).await;
    fixture.running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn cut_stalled_reset_and_refusing_links_to_outside_hold_for_programs() {
    let fixture = Fixture::new().await;
    let (ends, direction) = (between("outside", "mda-163"), Direction::Both);
    for fault in [
        Fault::Cut { between: ends.clone(), direction },
        Fault::Cut { between: between("mda-163", "outside"), direction: Direction::There },
        Fault::Stall { between: ends.clone(), direction, after: 0 },
    ] {
        let mut session = fixture.pop3(ME).await.unwrap();
        let id = fixture.begin(fault).await;
        assert!(timeout(SECOND * 30, fixture.imap(FRIEND)).await.is_err(), "nothing is said");
        let (listed, ()) = tokio::join!(session.list(), async {
            sleep(SECOND * 30).await;
            fixture.end(id).await;
        });
        // What was sent arrives when the fault has ended.
        assert_eq!(listed.unwrap().len(), 0);
        session.quit().await.unwrap();
    }
    let mut session = fixture.pop3(ME).await.unwrap();
    let id = fixture.begin(Fault::Reset { between: ends.clone(), direction, after: 5 }).await;
    assert!(session.list().await.is_err() && fixture.imap(ME).await.is_err());
    fixture.end(id).await;
    let mut session = fixture.pop3(ME).await.unwrap();
    let id = fixture.begin(Fault::Refuse { between: ends, direction }).await;
    // The port closes, and opens again, in a task of its own.
    sleep(SECOND).await;
    let why = fixture.imap(ME).await.map(drop).unwrap_err();
    assert!(why.contains("refused the connection"), "{why}");
    assert_eq!(session.list().await.unwrap().len(), 0, "open connections go on");
    fixture.smtp().await.unwrap();
    fixture.end(id).await;
    sleep(SECOND).await;
    fixture.imap(ME).await.unwrap();
    fixture.running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fault_that_cannot_apply_is_refused() {
    let fixture = Fixture::new().await;
    let refused = |text: &str| {
        let fault: Fault = toml::from_str(text).unwrap();
        fixture.running.validate(&fault).unwrap_err()
    };
    for (text, words) in [
        ("kind = \"cut\"\nbetween = [\"outside\", \"mta-relay\"]", "no public port leads to mta-relay"),
        ("kind = \"refuse\"\nbetween = [\"mta-sina\", \"outside\"]", "no public port belongs to mta-sina"),
        ("kind = \"crash\"\nhost = \"mua\"", "mua is a MUA"),
        ("kind = \"disk-failing\"\nhost = \"dns\"", "dns stores nothing"),
        ("kind = \"greylist\"\nhost = \"mta-163\"\nwait = \"0s\"", "set `wait`"),
    ] {
        assert!(refused(text).contains(words), "{text}: {}", refused(text));
    }
    let closed = Environment::simulated(World::journey(), 1, START.parse().unwrap(), false).unwrap();
    let closed = RunningWorld::start(closed, PublicPorts::none()).await.unwrap();
    let cut = Fault::Cut { between: between("outside", "mta-163"), direction: Direction::Both };
    assert!(closed.validate(&cut).unwrap_err().contains("has no public ports"));
    closed.stop().await;
    fixture.running.stop().await;
}
