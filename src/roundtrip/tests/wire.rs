//! The journey of a message beside what its next hop said and read: scripted next hops outside the world, in virtual time.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::journey::RecipientStatus;
use crate::mta::Selector;
use crate::net::{self, Limits, ServerConfig, Service, Stop, Stream, serve};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// What a next hop says to a line, with its line ends: to `""` when it is connected, to `"."` after the message. It hangs
/// up after a text that ends with `(hangs up)`. What it does not know, it accepts.
type Script = &'static [(&'static str, &'static str)];

/// A next hop that follows a script.
#[derive(Clone)]
struct Peer(Script);

impl Service for Peer {
    async fn serve_connection(self, stream: Stream, _stop: Stop) -> Result<(), net::Error> {
        let Self(script) = self;
        let mut stream = BufReader::new(stream);
        let (mut line, mut is_message) = (String::new(), false);
        loop {
            let said = line.trim_end_matches("\r\n");
            if !is_message || said == "." {
                let found =
                    script.iter().find(|(start, _)| said.starts_with(start) && start.is_empty() == said.is_empty());
                let default = if said == "DATA" { "354 go on\r\n" } else { "250 2.0.0 OK\r\n" };
                let text = found.map_or(default, |(_, text)| *text);
                let words = text.trim_end_matches("(hangs up)");
                let _ = stream.write_all(words.as_bytes()).await;
                let _ = stream.flush().await;
                if words != text {
                    return Ok(());
                }
                is_message = said == "DATA" && text.starts_with("354");
            }
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return Ok(());
            }
        }
    }

    fn too_many_reply(&self) -> &'static str {
        "421 \r\n"
    }
}

/// A world whose mta-163 sends mail for a.test to a next hop with this script, with `tls` as in the world file.
async fn with_peer(script: Script, tls: &str) -> RunningWorld {
    let route = format!("routes = [{{ to = \"a.test\", via = \"{PEER}\", tls = \"{tls}\" }}]");
    let text = crate::world::JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{route}\n"));
    let text = format!("{text}\n[mua.x-hop]\naddress = \"{PEER}\"\n");
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, true).unwrap();
    let listener = env.net.interface(&[PEER]).listen(25).await.unwrap().remove(0);
    tokio::spawn(serve(ServerConfig { listener, tls: None, limits: Limits::default() }, Peer(script), Stop::new()));
    RunningWorld::start(env, PublicPorts::none()).await.unwrap()
}

/// The journey of the first message.
fn first_journey(running: &RunningWorld) -> Journey {
    let page = running.env.event_log.journeys(&JourneyFilter::default(), u64::MAX, 9).unwrap();
    running.env.event_log.journey(page.journeys.last().unwrap().journey).unwrap().unwrap()
}

/// The lines of the dialogues of the first attempt, and who said them.
fn dialogue(journey: &Journey) -> Vec<String> {
    let is_end = |kind: &EventKind| {
        matches!(kind, EventKind::Relayed { .. } | EventKind::Deferred { .. } | EventKind::Failed { .. })
    };
    let end = journey.events.iter().position(|event| is_end(&event.kind)).unwrap();
    let lines = journey.events[..=end].iter().filter_map(|event| event.transcript.as_ref());
    lines.flat_map(|said| said.lines()).map(|(side, line)| format!("{side:?}: {line}")).collect()
}

fn status(running: &RunningWorld) -> RecipientStatus {
    first_journey(running).recipients[&"ann@a.test".parse().unwrap()].clone()
}

const GREETING: (&str, &str) = ("", "220 peer.test\r\n");

#[tokio::test(start_paused = true)]
async fn journey_to_a_server_outside_the_world_is_settled_once_it_has_the_message() {
    let running = with_peer(&[GREETING, (".", "250 2.0.0 taken\r\n")], "none").await;
    send(&running, "ann@a.test", HOUR).await;
    assert_eq!(status(&running), RecipientStatus::Relayed { to: PEER.to_string() });
    assert!(first_journey(&running).is_settled() && running.mtas["mta-163"].queue().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn journey_of_a_message_without_an_accepted_recipient_shows_that_only_the_dot_was_sent() {
    let script: Script = &[
        GREETING,
        ("EHLO", "250-peer.test\r\n250 PIPELINING\r\n"),
        ("RCPT", "550 5.1.1 no such user\r\n"),
        (".", "554 5.5.1 no recipients\r\n"),
    ];
    let running = with_peer(script, "none").await;
    send(&running, "ann@a.test", HOUR).await;
    let said = dialogue(&first_journey(&running));
    let at = said.iter().position(|line| line.starts_with("Server: 354")).unwrap();
    assert_eq!(said[at + 1..at + 3], ["Client: .", "Server: 554 5.5.1 no recipients"], "{said:#?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn journey_over_a_broken_tls_handshake_shows_both_connections() {
    let script: Script =
        &[GREETING, ("EHLO", "250-peer.test\r\n250 STARTTLS\r\n"), ("STARTTLS", "220 go\r\n(hangs up)")];
    let running = with_peer(script, "opportunistic").await;
    send(&running, "ann@a.test", HOUR).await;
    let said = dialogue(&first_journey(&running));
    let count = |start: &str| said.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (count("Client: EHLO"), count("Client: STARTTLS"), count("Client: (TLS failed: ")),
        (2, 1, 1),
        "{said:#?}"
    );
    assert!(matches!(status(&running), RecipientStatus::Relayed { .. }));
    running.stop().await;
}

/// Where TLS is required, there is no second connection.
#[tokio::test(start_paused = true)]
async fn journey_over_a_broken_required_tls_handshake_shows_what_was_said() {
    let script: Script =
        &[GREETING, ("EHLO", "250-peer.test\r\n250 STARTTLS\r\n"), ("STARTTLS", "220 go\r\n(hangs up)")];
    let running = with_peer(script, "required").await;
    send(&running, "ann@a.test", Duration::from_secs(30)).await;
    let said = dialogue(&first_journey(&running));
    assert!(said.iter().any(|line| line.starts_with("Client: (TLS failed: ")), "{said:#?}");
    assert!(matches!(status(&running), RecipientStatus::Deferred { .. }));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn journey_shows_what_was_said_without_a_line_end_before_the_next_hop_hung_up() {
    for (script, expected) in [
        (&[("", "220 hello\n421 going\n(hangs up)")] as Script, "Server: 220 hello\n421 going"),
        (&[GREETING, ("EHLO", "250-peer.test\r\n250 SI(hangs up)")], "Server: 250 SI"),
    ] {
        let running = with_peer(script, "none").await;
        send(&running, "ann@a.test", Duration::from_secs(30)).await;
        let said = dialogue(&first_journey(&running));
        assert_eq!(said.last().map(String::as_str), Some(expected), "{said:#?}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn journey_shows_a_next_hop_that_never_finishes_its_reply() {
    let running = with_peer(&[("", "220-hello\r\n220 and")], "none").await;
    send(&running, "ann@a.test", HOUR).await;
    let said = dialogue(&first_journey(&running));
    assert_eq!(said[..2], ["Server: 220-hello", "Server: 220 and"], "{said:#?}");
    running.stop().await;
}

/// The connection was idle, and may have been closed: the message is sent again on a new one.
#[tokio::test(start_paused = true)]
async fn journey_over_a_connection_that_is_used_again_shows_why_it_ended() {
    let running = with_peer(&[GREETING, ("RCPT TO:<bob@", "421 4.3.2 going\r\n(hangs up)")], "none").await;
    send(&running, "ann@a.test", Duration::from_secs(1)).await;
    send(&running, "bob@a.test", Duration::from_secs(30)).await;
    let to = JourneyFilter { to: Some("bob@a.test".parse().unwrap()), ..JourneyFilter::default() };
    let journey = running.env.event_log.journeys(&to, u64::MAX, 1).unwrap().journeys[0].journey;
    let said = dialogue(&running.env.event_log.journey(journey).unwrap().unwrap());
    let count = |start: &str| said.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("Client: MAIL"), count("Client: EHLO"), count("Server: 421")), (2, 1, 2), "{said:#?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn journey_of_a_held_message_says_held_as_the_queue_does() {
    let running = with_peer(&[("", "421 4.3.2 later\r\n(hangs up)")], "none").await;
    send(&running, "ann@a.test", Duration::from_secs(30)).await;
    assert!(matches!(status(&running), RecipientStatus::Deferred { at, .. } if at == "mta-163"));
    let mta = &running.mtas["mta-163"];
    assert_eq!(mta.hold(Selector::All).await.unwrap().len(), 1);
    assert_eq!(status(&running), RecipientStatus::Held { at: "mta-163".to_owned(), reason: None });
    sleep(HOUR).await;
    assert!(matches!(status(&running), RecipientStatus::Held { .. }));
    assert_eq!(mta.release(Selector::All).await.unwrap().len(), 1);
    assert_eq!(status(&running), RecipientStatus::Underway { at: "mta-163".to_owned() });
    running.stop().await;
}

/// The next host takes a message before the one before says that it passed it on, and before it does something with it.
#[tokio::test(start_paused = true)]
async fn events_of_a_journey_are_in_the_order_of_their_causes() {
    let running = world(1).await;
    send(&running, "friend@sina.test", HOUR).await;
    let expected = [
        "mta-163 received",
        "mta-relay received",
        "mta-163 relayed",
        "mta-sina received",
        "mta-relay relayed",
        "mda-sina received",
        "mda-sina delivered",
        "mta-sina relayed",
    ];
    assert_eq!(steps(&running), expected);
    running.stop().await;
}

/// A failure is the cause of its report.
#[tokio::test(start_paused = true)]
async fn events_of_a_bounce_come_after_the_failure() {
    let running = world(1).await;
    send(&running, "nobody@sina.test", HOUR).await;
    let steps = steps(&running);
    let at = |step: &str| steps.iter().position(|found| found == step);
    assert!(at("mta-relay failed") < at("mta-relay reported"), "{steps:#?}");
    running.stop().await;
}
