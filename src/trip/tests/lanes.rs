//! Many messages on few ways: who waits for whom, and what a next hop costs that does not answer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::net::{self, Conn, Door, Limits, Service, Stop, Stream, serve};
use crate::smtp::Reply;
use crate::smtp::server::{Config, Event, Session};

/// A next hop that is no host of the world.
#[derive(Clone)]
struct Peer {
    /// How many connections it takes at once; `None`: any number, and it never says a word.
    room: Option<usize>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Default)]
struct Seen {
    open: usize,
    most: usize,
    connections: usize,
    /// Messages that came.
    messages: usize,
}

impl Peer {
    fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    async fn converse_within(&self, mut stream: Stream, open: usize, stop: Stop) -> Result<(), net::Error> {
        let Some(room) = self.room else {
            while stream.read(&mut [0; 64]).await.is_ok_and(|read| 0 < read) {}
            return Ok(());
        };
        if room < open {
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
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), net::Error> {
        let open = {
            let seen = &mut *self.seen.lock().unwrap();
            seen.open += 1;
            seen.connections += 1;
            seen.most = seen.most.max(seen.open);
            seen.open
        };
        let end = self.converse_within(stream, open, stop).await;
        self.seen.lock().unwrap().open -= 1;
        end
    }

    fn farewell(&self) -> &'static str {
        "421 \r\n"
    }
}

/// A world whose mta-163 has a route to each of these peers: a.test, b.test, …
async fn with_peers(rooms: &[Option<usize>]) -> (Running, Vec<Peer>) {
    let names = ["a.test", "b.test"].into_iter().zip((1..).map(|last| IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))));
    let places: Vec<_> = rooms.iter().zip(names).collect();
    let routes = places.iter().map(|(_, (name, ip))| format!("{{ to = \"{name}\", via = \"{ip}\", tls = \"none\" }}"));
    let routes = format!("routes = [{}]", routes.collect::<Vec<_>>().join(", "));
    let text = crate::world::JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{routes}\n"));
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let ground = Ground::simulated(World::parse("w.toml", &text).unwrap(), 1, start, false).unwrap();
    let mut peers = Vec::new();
    for (room, (_, ip)) in places {
        let peer = Peer { room: *room, seen: Arc::default() };
        let listener = ground.net.interface(&[ip]).listen(25).await.unwrap().remove(0);
        tokio::spawn(serve(Door { listener, tls: None, limits: Limits::default() }, peer.clone(), Stop::new()));
        peers.push(peer);
    }
    (Running::start(ground, Doors::shut()).await.unwrap(), peers)
}

/// Queues so many messages at mta-163, in one commit.
async fn queue(running: &Running, from: &str, to: &[&str], count: usize) {
    queue_text(running, from, to, count, b"Subject: s\r\n\r\n").await;
}

async fn queue_text(running: &Running, from: &str, to: &[&str], count: usize, text: &'static [u8]) {
    let mail = |_| Mail {
        id: JourneyId::of(running.ground.dice.draw()).stay(1),
        envelope: Envelope {
            reverse_path: Some(from.parse().unwrap()),
            recipients: to.iter().map(|to| to.parse::<Address>().unwrap().into()).collect(),
            ..Envelope::default()
        },
        letter: Letter::new(Bytes::from_static(text)),
        arrived: running.ground.clock.now(),
    };
    let mails: Vec<_> = (0..count).map(mail).collect();
    let _ = running.mtas["mta-163"].queue().put_all(mails[0].id, mails).await.unwrap();
}

fn deferrals(running: &Running) -> Vec<String> {
    let events = running.ground.journal.since(0).into_iter();
    let reasons = events.filter_map(|event| match event.step {
        Step::Deferred { reason, .. } => Some(reason),
        _ => None,
    });
    reasons.collect()
}

#[tokio::test(start_paused = true)]
async fn a_dead_hop_costs_one_connection_at_a_time_and_holds_up_nobody_else() {
    let (running, peers) = with_peers(&[None, Some(usize::MAX)]).await;
    queue(&running, "me@163.test", &["x@a.test"], 500).await;
    queue(&running, "me@163.test", &["x@b.test"], 20).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((peers[0].seen().connections, peers[1].seen().messages), (1, 20), "while the first still waits");
    sleep(HOUR * 12).await;
    let dead = peers[0].seen();
    assert!(dead.most == 1 && (60..=100).contains(&dead.connections), "{} of {}", dead.most, dead.connections);
    assert_eq!(running.mtas["mta-163"].queue().list(crate::mta::Which::All, 1).unwrap().total, 500);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hop_that_takes_two_connections_gets_no_more_and_all_mail() {
    let (running, peers) = with_peers(&[Some(2)]).await;
    queue(&running, "me@163.test", &["x@a.test"], 90).await;
    sleep(HOUR).await;
    let seen = peers[0].seen();
    assert_eq!((seen.messages, deferrals(&running)), (90, vec![]));
    assert!(seen.connections <= 10, "{} connections", seen.connections);
    running.stop().await;
}

fn waiting(running: &Running) -> Vec<crate::mta::Waiting> {
    running.mtas["mta-163"].queue().list(crate::mta::Which::All, 9).unwrap().messages
}

/// What a quick hop took, and what failed for good, is settled while a slow hop is still tried.
#[tokio::test(start_paused = true)]
async fn a_host_that_is_killed_while_a_slow_hop_is_tried_does_not_send_again_to_a_quick_one() {
    let (running, peers) = with_peers(&[None, Some(usize::MAX)]).await;
    queue(&running, "me@163.test", &["x@a.test", "x@b.test", "nobody@163.test"], 1).await;
    for start in 1..=3 {
        sleep(Duration::from_secs(60)).await;
        let queued = waiting(&running);
        assert_eq!((queued.len(), queued[0].state), (1, crate::mta::State::Underway), "{queued:?}");
        assert_eq!(queued[0].recipients, ["x@a.test".parse().unwrap()]);
        assert_eq!((peers[0].seen().connections, peers[1].seen().messages), (start, 1));
        assert_eq!(maildrop(&running, "me@163.test").await.len(), 1, "its bounce");
        running.crash("mta-163").await;
        running.turn_on("mta-163").await.unwrap();
    }
    running.stop().await;
}

/// A lone LF is refused by ourselves, at each hop for itself.
#[tokio::test(start_paused = true)]
async fn what_fails_together_comes_back_in_one_report_that_does_not_wait_for_a_slow_hop() {
    let (running, _peers) = with_peers(&[None, Some(usize::MAX)]).await;
    let recipients = ["x@a.test", "x@b.test", "me@163.test"];
    queue_text(&running, "me@163.test", &recipients, 1, b"Subject: s\n\r\n").await;
    sleep(Duration::from_secs(5)).await;
    let drop = maildrop(&running, "me@163.test").await;
    let [report] = &drop[..] else { panic!("{} messages", drop.len()) };
    let told = DeliveryReport::read(report).unwrap().recipients;
    let mut told: Vec<_> = told.iter().map(|told| told.address.as_ref().unwrap().to_string()).collect();
    told.sort();
    assert_eq!(told, ["me@163.test", "x@b.test"]);
    running.stop().await;
}
