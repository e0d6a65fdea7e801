//! Routes, TLS modes and REQUIRETLS. The next hop of the tested routes is a peer outside the world.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use super::*;
use crate::net::{self, Authority, Conn, Limits, ServerConfig, Service, Stop, Stream, TlsAcceptor, serve};
use crate::smtp::Reply;
use crate::smtp::server::{Config, Event, Session, Tls};
use crate::world::{Clock, Rng};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 99));

/// The messages that the peer received: whether over TLS, and whether with REQUIRETLS.
type Came = Arc<Mutex<Vec<(bool, bool)>>>;

/// An SMTP server that accepts everything; without a certificate it has no TLS.
#[derive(Clone)]
struct Peer {
    tls: Option<TlsAcceptor>,
    is_broken: bool,
    came: Came,
}

impl Service for Peer {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), net::Error> {
        let tls = if self.tls.is_some() { Tls::Offered } else { Tls::Absent };
        let config = Config { hostname: "peer.test".to_owned(), tls, ..Config::default() };
        let session = Session::new(config, &Reply::plain(220, "peer.test"), "n".to_owned());
        let mut conn = Conn::new(stream, session, stop);
        while let Some(event) = conn.event().await? {
            match (event, &self.tls) {
                (Event::StartTls, _) if self.is_broken => return Ok(()),
                (Event::StartTls, Some(acceptor)) => {
                    conn.accept_tls(acceptor).await?;
                    conn.machine.encrypted("TLS".to_owned());
                    continue;
                }
                (Event::Message { envelope, .. }, _) => {
                    let is_encrypted = conn.stream().tls().is_some();
                    self.came.lock().unwrap().push((is_encrypted, envelope.require_tls));
                }
                _ => {}
            }
            conn.machine.answer(Reply::new(250, (2, 0, 0), "ok"));
        }
        Ok(())
    }

    fn too_many_reply(&self) -> &'static str {
        "421 \r\n"
    }
}

/// The TLS of the peer.
#[derive(Clone, Copy, Debug)]
enum Shows {
    NoTls,
    OwnName,
    OtherName,
    /// A certificate of an unknown authority.
    Strange,
    /// It offers TLS, but closes the connection when the handshake starts.
    Broken,
}

/// The TLS request of the message.
#[derive(Clone, Copy, Debug)]
enum Asks {
    Nothing,
    RequireTls,
    Waives,
}

/// Sends a message from mta-163 to the peer; returns what the peer received, and the report to the sender.
async fn trial(mode: &str, shows: Shows, asks: Asks) -> (Vec<(bool, bool)>, Option<DeliveryReport>) {
    let route = format!("routes = [{{ to = \"*.peer.test\", via = \"{PEER}:2525\", tls = \"{mode}\" }}]");
    let text = crate::world::JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{route}\n"));
    let text = format!("{text}\n[mua.x-peer]\naddress = \"{PEER}\"\n");
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, false).unwrap();
    let strange = || Authority::seeded("strange", Clock::starting_at(start), Rng::seeded(9)).unwrap();
    let identity = match shows {
        Shows::NoTls => None,
        Shows::OwnName | Shows::Broken => Some(env.authority.issue(&[PEER.to_string()]).unwrap()),
        Shows::OtherName => Some(env.authority.issue(&["other.test".to_owned()]).unwrap()),
        Shows::Strange => Some(strange().issue(&[PEER.to_string()]).unwrap()),
    };
    let peer =
        Peer { tls: identity.map(TlsAcceptor::from), is_broken: matches!(shows, Shows::Broken), came: Came::default() };
    let listener = env.net.interface(&[PEER]).listen(2525).await.unwrap().remove(0);
    let config = ServerConfig { listener, tls: None, limits: Limits::default() };
    tokio::spawn(serve(config, peer.clone(), Stop::new()));
    let running = RunningWorld::start(env, PublicPorts::none()).await.unwrap();
    let header = if matches!(asks, Asks::Waives) { "TLS-Required: No\r\n" } else { "" };
    let mail = QueuedMessage {
        id: JourneyId::from_random(7).queue_id(1),
        envelope: Envelope {
            reverse_path: "me@163.test".parse().ok(),
            recipients: vec!["x@a.peer.test".parse::<Address>().unwrap().into()],
            require_tls: matches!(asks, Asks::RequireTls),
            ret: Some(crate::mail::Return::Full),
            ..Envelope::default()
        },
        message: Message::new(Bytes::from(format!("{header}Subject: secret\r\n\r\nbody\r\n"))),
        arrived: running.env.clock.now(),
    };
    let _ = running.mtas["mta-163"].queue().put(mail).await.unwrap();
    sleep(HOUR * 24 * 6).await;
    let drop = maildrop(&running, "me@163.test").await;
    if matches!(asks, Asks::RequireTls) {
        let is_whole = |report: &Bytes| memchr::memmem::find(report, b"\r\nbody\r\n").is_some();
        assert!(!drop.iter().any(is_whole), "RFC 8689 §5: the text does not come back");
    }
    running.stop().await;
    let came = peer.came.lock().unwrap().clone();
    (came, drop.last().map(|report| DeliveryReport::read(report).unwrap()))
}

/// RFC 3207, RFC 7435, RFC 8689.
#[tokio::test(start_paused = true)]
async fn tls_mode_and_requiretls_decide_whether_mail_is_sent() {
    use Asks::{Nothing, RequireTls, Waives};
    use Shows::{Broken, NoTls, OtherName, OwnName, Strange};
    let (plain, tls, kept) = (vec![(false, false)], vec![(true, false)], vec![(true, true)]);
    for (mode, shows, asks, came, status) in [
        ("none", OwnName, Nothing, &plain, ""),
        ("opportunistic", NoTls, Nothing, &plain, ""),
        ("opportunistic", OtherName, Nothing, &tls, ""),
        ("opportunistic", Broken, Nothing, &plain, ""),
        ("required", Broken, Nothing, &vec![], "5.7.5"),
        ("required", Strange, Nothing, &tls, ""),
        ("required", NoTls, Nothing, &vec![], "5.7.4"),
        ("verified", OwnName, Nothing, &tls, ""),
        ("verified", OtherName, Nothing, &vec![], "5.7.5"),
        ("verified", Strange, Nothing, &vec![], "5.7.5"),
        ("verified", NoTls, Nothing, &vec![], "5.7.4"),
        ("verified", NoTls, Waives, &plain, ""),
        ("verified", OtherName, Waives, &tls, ""),
        ("verified", Broken, Waives, &plain, ""),
        ("none", OwnName, Waives, &plain, ""),
        ("opportunistic", OwnName, RequireTls, &kept, ""),
        ("none", OwnName, RequireTls, &kept, ""),
        ("opportunistic", NoTls, RequireTls, &vec![], "5.7.10"),
        ("opportunistic", OtherName, RequireTls, &vec![], "5.7.10"),
    ] {
        let (arrived, report) = trial(mode, shows, asks).await;
        let case = format!("{mode}, {shows:?}, {asks:?}");
        assert_eq!(&arrived, came, "{case}");
        let reported = report.map_or_else(String::new, |report| {
            let (class, subject, detail) = report.recipients[0].status;
            format!("{class}.{subject}.{detail}")
        });
        assert_eq!(reported, status, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn route_takes_precedence_over_smarthost_and_dns() {
    let route = "routes = [{ to = \"sina.test\", via = \"mta-sina\" }]";
    let text = crate::world::JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{route}\n"));
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, false).unwrap();
    let running = RunningWorld::start(env, PublicPorts::none()).await.unwrap();
    send(&running, "friend@sina.test", HOUR).await;
    assert_eq!(maildrop(&running, "friend@sina.test").await.len(), 1);
    let way = steps(&running).into_iter().filter(|step| step.ends_with("received")).collect::<Vec<_>>();
    assert_eq!(way, ["mta-163 received", "mta-sina received", "mda-sina received"]);
    running.stop().await;
}

/// RFC 5321 §5.1: all exchanges, and all addresses of each.
#[tokio::test(start_paused = true)]
async fn next_exchange_or_address_is_tried_when_one_does_not_answer() {
    let text = crate::world::JOURNEY.replace("mx = [\"mta-sina\"]", "mx = [\"mta-sina\", \"mta-elsewhere\"]");
    let both = "address = [\"2001:db8::25\", \"203.0.113.25\"]";
    let text = text.replace("address = \"203.0.113.25\"", both);
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, false).unwrap();
    let running = RunningWorld::start(env, PublicPorts::none()).await.unwrap();
    let link = net::Link { from: net::LinkEnd::Any, to: net::LinkEnd::Among(vec!["2001:db8::25".parse().unwrap()]) };
    running.env.net.faults().inject(link, net::LinkFault::Refuse);
    send(&running, "friend@sina.test", Duration::from_secs(60)).await;
    running.turn_off("mta-sina").await;
    send(&running, "friend@sina.test", Duration::from_secs(60)).await;
    assert_eq!(maildrop(&running, "friend@sina.test").await.len(), 2);
    let steps = steps(&running);
    for wanted in ["mta-sina received", "mta-elsewhere received"] {
        assert!(steps.iter().any(|step| step == wanted), "{steps:?}");
    }
    assert!(!steps.iter().any(|step| step.ends_with("deferred")), "{steps:?}");
    running.stop().await;
}

/// Queues a message of this sender at mta-163.
async fn put(running: &RunningWorld, number: u64, from: &str, to: &str) {
    let recipients = vec![to.parse::<Address>().unwrap().into()];
    let mail = QueuedMessage {
        id: JourneyId::from_random(number).queue_id(1),
        envelope: Envelope { reverse_path: from.parse().ok(), recipients, ..Envelope::default() },
        message: Message::new(Bytes::from(format!("Subject: {number}\r\n\r\n"))),
        arrived: running.env.clock.now(),
    };
    let _ = running.mtas["mta-163"].queue().put(mail).await.unwrap();
}

/// The numbers of the messages in the mailbox, in order.
async fn order(running: &RunningWorld, user: &str) -> Vec<u64> {
    let number = |message: &Bytes| {
        let text = String::from_utf8_lossy(message).into_owned();
        text.split_once("Subject: ").unwrap().1.lines().next().unwrap().parse().unwrap()
    };
    maildrop(running, user).await.iter().map(number).collect()
}

#[tokio::test(start_paused = true)]
async fn message_is_not_delayed_by_a_thousand_of_another_sender() {
    let running = world(10).await;
    running.turn_off("mta-relay").await;
    for number in 0..1000 {
        put(&running, number, "bulk@163.test", "friend@sina.test").await;
    }
    put(&running, 1000, "me@163.test", "friend@sina.test").await;
    running.turn_on("mta-relay").await.unwrap();
    sleep(HOUR).await;
    let order = order(&running, "friend@sina.test").await;
    let place = order.iter().position(|number| *number == 1000).unwrap();
    assert_eq!(order.len(), 1001);
    assert!(place < 150, "it came as number {place}");
    running.stop().await;
}

/// Thousands of messages for an unreachable host do not use up the permits that other messages need.
#[tokio::test(start_paused = true)]
async fn unreachable_destination_does_not_delay_mail_to_other_hosts() {
    let route = "routes = [{ to = \"hole.test\", via = \"198.51.100.99\" }]";
    let text = crate::world::JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{route}\n"));
    let text = format!("{text}\n[mua.x-peer]\naddress = \"198.51.100.99\"\n");
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, false).unwrap();
    let running = RunningWorld::start(env, PublicPorts::none()).await.unwrap();
    let _listener = running.env.net.interface(&[PEER]).listen(25).await.unwrap();
    let link = net::Link { from: net::LinkEnd::Any, to: net::LinkEnd::Among(vec![PEER]) };
    running.env.net.faults().inject(link, net::LinkFault::Cut);
    for number in 0..2000 {
        put(&running, number, "bulk@163.test", "x@hole.test").await;
    }
    sleep(Duration::from_secs(1)).await;
    put(&running, 2000, "me@163.test", "friend@sina.test").await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(order(&running, "friend@sina.test").await, [2000]);
    let attempts = running.mtas["mta-163"].queue().list(crate::mta::Selector::All, None, 3000).unwrap();
    assert_eq!(attempts.total, 2000);
    running.stop().await;
}
