//! Many messages for few destinations: limits, fairness, and destinations that do not answer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::net::{self, Conn, Limits, ServerConfig, Service, Stop, Stream, serve};
use crate::smtp::Reply;
use crate::smtp::server::{Config, Event, Session};

/// A next hop outside the world.
#[derive(Clone)]
struct Peer {
    /// Maximum concurrent connections; `None`: any number, and it never replies.
    limit: Option<usize>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Default)]
struct Seen {
    open: usize,
    most: usize,
    connections: usize,
    /// Received messages.
    messages: usize,
}

impl Peer {
    fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    async fn serve_counted(&self, mut stream: Stream, open: usize, stop: Stop) -> Result<(), net::Error> {
        let Some(limit) = self.limit else {
            while stream.read(&mut [0; 64]).await.is_ok_and(|read| 0 < read) {}
            return Ok(());
        };
        if limit < open {
            let _ = stream.write_all(b"421 too many connections\r\n").await;
            return Ok(());
        }
        let config = Config { hostname: "peer.test".to_owned(), ..Config::default() };
        let session = Session::new(config, &Reply::plain(220, "peer.test"), "n".to_owned());
        let mut conn = Conn::new(stream, session, stop);
        while let Some(event) = conn.event().await? {
            if let Event::Message { .. } = event {
                self.seen.lock().unwrap().messages += 1;
            }
            conn.machine.answer(Reply::new(250, (2, 0, 0), "ok"));
        }
        Ok(())
    }
}

impl Service for Peer {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), net::Error> {
        let open = {
            let seen = &mut *self.seen.lock().unwrap();
            seen.open += 1;
            seen.connections += 1;
            seen.most = seen.most.max(seen.open);
            seen.open
        };
        let end = self.serve_counted(stream, open, stop).await;
        self.seen.lock().unwrap().open -= 1;
        end
    }

    fn too_many_reply(&self) -> &'static str {
        "421 \r\n"
    }
}

/// A world whose mta-163 has a route to each of these peers: a.test, b.test, …
async fn with_peers(limits: &[Option<usize>]) -> (RunningWorld, Vec<Peer>) {
    with_peers_and(limits, "").await
}

/// The same, with these keys of mta-163.
async fn with_peers_and(limits: &[Option<usize>], keys: &str) -> (RunningWorld, Vec<Peer>) {
    let names = ["a.test", "b.test"].into_iter().zip((1..).map(|last| IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))));
    let places: Vec<_> = limits.iter().zip(names).collect();
    let routes = places.iter().map(|(_, (name, ip))| format!("{{ to = \"{name}\", via = \"{ip}\", tls = \"none\" }}"));
    let routes = format!("routes = [{}]", routes.collect::<Vec<_>>().join(", "));
    let text = crate::world::JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{routes}\n{keys}\n"));
    let peers = places.iter().map(|(_, (name, ip))| format!("\n[mua.\"x-{name}\"]\naddress = \"{ip}\"\n"));
    let text = format!("{text}{}", peers.collect::<String>());
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, false).unwrap();
    let mut peers = Vec::new();
    for (limit, (_, ip)) in places {
        let peer = Peer { limit: *limit, seen: Arc::default() };
        let listener = env.net.interface(&[ip]).listen(25).await.unwrap().remove(0);
        tokio::spawn(serve(ServerConfig { listener, tls: None, limits: Limits::default() }, peer.clone(), Stop::new()));
        peers.push(peer);
    }
    (RunningWorld::start(env, PublicPorts::none()).await.unwrap(), peers)
}

#[tokio::test(start_paused = true)]
async fn mta_waits_for_a_silent_host_as_long_as_its_timeouts_say() {
    for (timeouts, expected) in [("", 300), ("timeouts = { greeting = \"7s\" }", 7)] {
        let (running, peers) = with_peers_and(&[None], timeouts).await;
        let began = running.env.clock.now();
        queue(&running, "me@163.test", &["x@a.test"], 1).await;
        sleep(HOUR / 4).await;
        let events = running.env.event_log.since(0).into_iter();
        let deferred = events.filter(|event| matches!(event.kind, EventKind::Deferred { .. })).map(|event| event.at);
        let waited = deferred.map(|at| at.duration_since(began).as_secs()).next();
        assert_eq!((waited, peers[0].seen().most), (Some(expected), 1), "{timeouts}");
        running.stop().await;
    }
}

/// Queues messages at mta-163 in one commit.
async fn queue(running: &RunningWorld, from: &str, to: &[&str], count: usize) {
    queue_text(running, from, to, count, b"Subject: s\r\n\r\n").await;
}

async fn queue_text(running: &RunningWorld, from: &str, to: &[&str], count: usize, text: &'static [u8]) {
    let mail = |_| QueuedMessage {
        id: JourneyId::from_random(running.env.rng.next_u64()).queue_id(1),
        envelope: Envelope {
            reverse_path: Some(from.parse().unwrap()),
            recipients: to.iter().map(|to| to.parse::<Address>().unwrap().into()).collect(),
            ..Envelope::default()
        },
        message: Message::new(Bytes::from_static(text)),
        arrived: running.env.clock.now(),
    };
    let mails: Vec<_> = (0..count).map(mail).collect();
    let _ = running.mtas["mta-163"].queue().put_all(mails[0].id, mails, vec![], || {}).await.unwrap();
}

fn deferrals(running: &RunningWorld) -> Vec<String> {
    let events = running.env.event_log.since(0).into_iter();
    let reasons = events.filter_map(|event| match event.kind {
        EventKind::Deferred { reason, .. } => Some(reason),
        _ => None,
    });
    reasons.collect()
}

#[tokio::test(start_paused = true)]
async fn destination_that_is_down_uses_one_connection_and_does_not_delay_others() {
    let (running, peers) = with_peers(&[None, Some(usize::MAX)]).await;
    queue(&running, "me@163.test", &["x@a.test"], 500).await;
    queue(&running, "me@163.test", &["x@b.test"], 20).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((peers[0].seen().connections, peers[1].seen().messages), (1, 20), "while the first still waits");
    sleep(HOUR * 12).await;
    let unreachable = peers[0].seen();
    assert!(
        unreachable.most == 1 && (60..=100).contains(&unreachable.connections),
        "{} of {}",
        unreachable.most,
        unreachable.connections
    );
    assert_eq!(running.mtas["mta-163"].queue().list(crate::mta::Selector::All, None, 1).unwrap().total, 500);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn destination_with_a_limit_of_two_connections_gets_all_mail() {
    let (running, peers) = with_peers(&[Some(2)]).await;
    queue(&running, "me@163.test", &["x@a.test"], 90).await;
    sleep(HOUR).await;
    let seen = peers[0].seen();
    assert_eq!((seen.messages, deferrals(&running)), (90, vec![]));
    assert!(seen.connections <= 10, "{} connections", seen.connections);
    running.stop().await;
}

fn waiting(running: &RunningWorld) -> Vec<crate::mta::QueueEntry> {
    running.mtas["mta-163"].queue().list(crate::mta::Selector::All, None, 9).unwrap().messages
}

/// Finished and failed recipients are settled while a slow destination is still being tried.
#[tokio::test(start_paused = true)]
async fn mta_killed_while_a_slow_destination_is_tried_does_not_repeat_finished_deliveries() {
    let (running, peers) = with_peers(&[None, Some(usize::MAX)]).await;
    queue(&running, "me@163.test", &["x@a.test", "x@b.test", "nobody@163.test"], 1).await;
    for start in 1..=3 {
        sleep(Duration::from_secs(60)).await;
        let queued = waiting(&running);
        assert_eq!((queued.len(), queued[0].state), (1, crate::mta::State::Underway), "{queued:?}");
        assert_eq!(queued[0].recipients, ["x@a.test".parse().unwrap()]);
        assert_eq!((peers[0].seen().connections, peers[1].seen().messages), (start, 1));
        assert_eq!(maildrop(&running, "me@163.test").await.len(), 1, "its bounce");
        running.kill_host("mta-163").await;
        running.turn_on("mta-163").await.unwrap();
    }
    running.stop().await;
}

/// A lone LF is refused by the MTA itself for each destination.
#[tokio::test(start_paused = true)]
async fn report_combines_failures_and_does_not_wait_for_a_slow_destination() {
    let (running, _peers) = with_peers(&[None, Some(usize::MAX)]).await;
    let recipients = ["x@a.test", "x@b.test", "me@163.test"];
    queue_text(&running, "me@163.test", &recipients, 1, b"Subject: s\n\r\n").await;
    sleep(Duration::from_secs(5)).await;
    let drop = maildrop(&running, "me@163.test").await;
    let [report] = &drop[..] else { panic!("{} messages", drop.len()) };
    let reported = DeliveryReport::read(report).unwrap().recipients;
    let mut reported: Vec<_> = reported.iter().map(|reported| reported.address.as_ref().unwrap().to_string()).collect();
    reported.sort();
    assert_eq!(reported, ["me@163.test", "x@b.test"]);
    running.stop().await;
}
