mod aliases;
mod attempts;
mod destinations;
mod next_hops;
mod quota;
mod relaying;
mod reports;
mod routes;
mod wire;

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders};
use tokio::time::sleep;

use super::*;
use crate::host::{Environment, PublicPorts, RunningWorld};
use crate::journey::{EventKind, JourneyFilter};
use crate::mail::{Action, Address, DeliveryReport, Envelope, JourneyId, Message};
use crate::mta::QueuedMessage;
use crate::world::{JOURNEY, World};

const HOUR: Duration = Duration::from_secs(3600);

async fn world(seed: u64) -> RunningWorld {
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::journey(), seed, start, true).unwrap();
    RunningWorld::start(env, PublicPorts::none()).await.unwrap()
}

fn plan(to: &str, texts: &[&str]) -> Plan {
    let sources = texts.iter().enumerate().map(|(at, text)| Source {
        name: at.to_string(),
        message: Bytes::from(text.to_string()),
        normalized: false,
    });
    let from = "me@163.test".parse().unwrap();
    Plan { from, to: to.parse().unwrap(), sources: sources.collect(), timeout: HOUR * 24 * 10 }
}

async fn maildrop(running: &RunningWorld, user: &str) -> Vec<Bytes> {
    fetch::pop3(&running.env, &user.parse().unwrap(), &|_| {}).await.unwrap().0
}

/// Submits one message and waits.
async fn send(running: &RunningWorld, to: &str, wait: Duration) {
    let plan = plan(to, &["Subject: hello\r\n\r\nHello!\r\n"]);
    let (outcomes, _) = send::all(&running.env, &plan, &|_| {}).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    sleep(wait).await;
}

fn steps(running: &RunningWorld) -> Vec<String> {
    let events = running.env.event_log.since(0).into_iter();
    events
        .map(|event| format!("{} {}", event.host, serde_json::to_value(&event.kind).unwrap()["step"].as_str().unwrap()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn round_trip_through_three_mtas_keeps_messages_intact() {
    let running = world(1).await;
    let texts =
        ["Subject: one\r\n\r\n.dot\r\n..\r\n", "Subject: two\r\n\r\n\r\n", "no header", "Received: old\r\n\r\n"];
    let texts: Vec<_> = texts.iter().map(|text| format!("{}\r\n", text.trim_end_matches("\r\n"))).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let report = run(&running.env, plan("friend@sina.test", &texts), |_| {}).await.unwrap();
    assert!(report.is_intact(), "{:#?}", report.messages);
    let history = report.messages[0].history.as_ref().unwrap();
    let way: Vec<_> = history.events.iter().filter(|event| matches!(event.kind, EventKind::Received { .. })).collect();
    let way: Vec<_> = way.iter().map(|event| event.host.as_ref()).collect();
    assert_eq!(way, ["mta-163", "mta-relay", "mta-sina", "mda-sina"]);
    running.stop().await;
}

/// RFC 3030 §3: by BDAT through three MTAs and over LMTP; the mailbox stores its bytes in base64.
#[tokio::test(start_paused = true)]
async fn round_trip_of_a_binary_message_keeps_every_byte() {
    let running = world(1).await;
    let text = "Content-Transfer-Encoding: binary\r\n\r\na\nb\rc\0\r\r\n\n.\n\r\n";
    let report = run(&running.env, plan("friend@sina.test", &[text]), |_| {}).await.unwrap();
    assert!(report.is_intact(), "{:#?}", report.messages);
    running.stop().await;
}

/// RFC 6531 §3.2.
#[tokio::test(start_paused = true)]
async fn mail_to_a_domain_in_u_labels_or_a_labels_arrives() {
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let text = crate::world::JOURNEY.replace("\"sina.test\"", "\"\u{65b0}\u{6d6a}.test\"");
    let declared = World::parse("w.toml", &text.replace("@sina.test", "@\u{65b0}\u{6d6a}.test")).unwrap();
    let running = RunningWorld::start(Environment::simulated(declared, 8, start, true).unwrap(), PublicPorts::none())
        .await
        .unwrap();
    for (at, to) in ["friend@\u{65b0}\u{6d6a}.test", "friend@xn--efvx5o.test"].iter().enumerate() {
        send(&running, to, HOUR).await;
        assert_eq!(maildrop(&running, to).await.len(), at + 1);
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_to_an_unknown_user_returns_one_bounce() {
    let running = world(2).await;
    send(&running, "nobody@sina.test", HOUR).await;
    let drop = maildrop(&running, "me@163.test").await;
    let [bounce] = drop.as_slice() else { panic!("{} messages", drop.len()) };
    assert!(bounce.starts_with(b"Return-Path: <>\r\n"));
    let report = DeliveryReport::read(bounce).unwrap();
    let [reported] = report.recipients.as_slice() else { panic!("{report:?}") };
    assert_eq!(
        (reported.action, reported.status, reported.remote_mta.as_deref()),
        (Action::Failed, (5, 1, 1), Some("mx.sina.test"))
    );
    assert_eq!(reported.address, Some("nobody@sina.test".parse().unwrap()));
    let bounce = MessageParser::new().parse(bounce).unwrap();
    assert!(bounce.content_type().unwrap().attribute("report-type") == Some("delivery-status"));
    assert!(std::str::from_utf8(bounce.parts[3].contents()).unwrap().contains("Subject: hello\r\n"));
    let newest_first = running.env.event_log.journeys(&JourneyFilter::default(), u64::MAX, 9).unwrap().journeys;
    let all: Vec<_> = newest_first.iter().rev().collect();
    let bounced = all.iter().find(|history| history.reverse_path.is_some()).unwrap();
    assert_eq!(report.journey, Some(bounced.journey), "the bounce names the journey that it is about");
    let journeys: Vec<_> = all.iter().map(|history| (history.reverse_path.is_some(), history.is_settled())).collect();
    assert_eq!(journeys, [(true, true), (false, true)], "the message and its bounce, and no third journey");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn next_hop_that_is_down_gets_the_mail_once_when_it_is_up() {
    for host in ["mta-relay", "mta-sina", "mda-sina"] {
        let running = world(3).await;
        running.turn_off(host).await;
        send(&running, "friend@sina.test", HOUR * 3).await;
        assert!(running.mtas.values().any(|mta| mta.queue().len() == 1), "{host}");
        running.turn_on(host).await.unwrap();
        sleep(HOUR * 2).await;
        assert!(running.mtas.values().all(|mta| mta.queue().is_empty()), "{host}");
        assert_eq!(maildrop(&running, "friend@sina.test").await.len(), 1, "{host}");
        assert_eq!(maildrop(&running, "me@163.test").await.len(), 0, "{host}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn delayed_mail_is_reported_after_four_hours_and_returned_after_five_days() {
    let running = world(4).await;
    running.turn_off("mta-sina").await;
    send(&running, "friend@sina.test", HOUR * 24 * 6).await;
    let drop = maildrop(&running, "me@163.test").await;
    let reported = drop.iter().map(|message| {
        let message = MessageParser::new().parse(message).unwrap();
        let status = std::str::from_utf8(message.parts[2].contents()).unwrap();
        ["delayed", "failed"].into_iter().find(|action| status.contains(&format!("Action: {action}"))).unwrap()
    });
    assert_eq!(reported.collect::<Vec<_>>(), ["delayed", "failed"]);
    assert!(running.mtas.values().all(|mta| mta.queue().is_empty()));
    running.stop().await;
}

/// RFC 5321 §6.1: a report to an unknown sender fails, and is sent to the postmaster; a report that the postmaster
/// cannot get is dropped.
#[tokio::test(start_paused = true)]
async fn undeliverable_report_goes_to_the_postmaster_only() {
    let running = world(9).await;
    let put = async |from: &str, to: &str| {
        let message = Message::new(Bytes::from_static(b"Subject: s\r\n\r\n"));
        let recipients = vec![to.parse::<Address>().unwrap().into()];
        let envelope = Envelope { reverse_path: from.parse().ok(), recipients, ..Envelope::default() };
        let id = JourneyId::from_random(running.env.rng.next_u64()).queue_id(1);
        let mta = &running.mtas["mta-163"];
        let _ =
            mta.queue().put(QueuedMessage { id, envelope, message, arrived: running.env.clock.now() }).await.unwrap();
        sleep(HOUR).await;
    };
    put("nobody@163.test", "nobody@sina.test").await;
    let postmaster = maildrop(&running, "postmaster@163.test").await;
    let report = DeliveryReport::read(&postmaster[0]).unwrap();
    assert_eq!(report.recipients[0].address, Some("nobody@163.test".parse().unwrap()));
    put("", "postmaster@no.such.sina.test").await;
    assert_eq!(maildrop(&running, "postmaster@163.test").await.len(), 1);
    assert!(running.mtas.values().all(|mta| mta.queue().is_empty()));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_to_other_domains_ends_elsewhere_and_below_own_domains_bounces() {
    let running = world(5).await;
    send(&running, "user@example.com", HOUR).await;
    assert_eq!(maildrop(&running, "user@example.com").await.len(), 1);
    send(&running, "user@no.such.sina.test", HOUR).await;
    let steps = steps(&running);
    assert!(steps.contains(&"mta-relay failed".to_owned()), "{steps:?}");
    assert_eq!(maildrop(&running, "me@163.test").await.len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_to_unknown_domains_without_elsewhere_bounces() {
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let mut declared = World::journey();
    declared.elsewhere = None;
    let running = RunningWorld::start(Environment::simulated(declared, 6, start, false).unwrap(), PublicPorts::none())
        .await
        .unwrap();
    send(&running, "user@example.com", HOUR).await;
    let drop = maildrop(&running, "me@163.test").await;
    let bounce = std::str::from_utf8(&drop[0]).unwrap();
    assert!(bounce.contains("Status: 5.1.2\r\n") && bounce.contains("example.com does not exist"), "{bounce}");
    running.stop().await;
}

/// RFC 7505 §4.
#[tokio::test(start_paused = true)]
async fn mail_to_a_null_mx_domain_bounces_at_once() {
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let text = JOURNEY.replace("[world]", "[world]\nno_mail = [\"Quiet.test\"]");
    let declared = World::parse("w.toml", &text).unwrap();
    let running = RunningWorld::start(Environment::simulated(declared, 6, start, false).unwrap(), PublicPorts::none())
        .await
        .unwrap();
    send(&running, "user@quiet.test", HOUR).await;
    let drop = maildrop(&running, "me@163.test").await;
    let bounce = std::str::from_utf8(&drop[0]).unwrap();
    assert!(bounce.contains("Status: 5.1.10\r\n") && bounce.contains("quiet.test takes no mail"), "{bounce}");
    // Nor does anything below it go elsewhere.
    send(&running, "user@below.quiet.test", HOUR).await;
    assert_eq!(maildrop(&running, "me@163.test").await.len(), 2);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn simulation_with_the_same_seed_repeats_its_events() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let running = world(7).await;
        running.turn_off("mta-sina").await;
        send(&running, "friend@sina.test", HOUR).await;
        running.turn_on("mta-sina").await.unwrap();
        sleep(HOUR * 2).await;
        runs.push(serde_json::to_string(&running.env.event_log.since(0)).unwrap());
        running.stop().await;
    }
    assert!(runs[0].len() > 1000);
    assert_eq!(runs[0], runs[1]);
}

/// The transcripts of all hops of one message.
async fn transcripts(env: Environment) -> Vec<String> {
    let running = RunningWorld::start(env, PublicPorts::none()).await.unwrap();
    let report =
        run(&running.env, plan("friend@sina.test", &["Subject: hello\r\n\r\nHello!\r\n"]), |_| {}).await.unwrap();
    assert!(report.is_intact());
    running.stop().await;
    let events = running.env.event_log.since(0).into_iter();
    // Mailbox ids depend on the time of creation, so only the transcripts of MTAs are equal.
    let transcripts = events.filter(|event| event.host.starts_with("mta")).filter_map(|event| {
        let lines = event.transcript?.lines().map(|(side, line)| format!("{side:?}: {line}")).collect::<Vec<_>>();
        Some(format!("{}\n{}", event.host, lines.join("\n")))
    });
    let mut transcripts: Vec<_> = transcripts.collect();
    // On real sockets the order of events of different hosts varies.
    transcripts.sort();
    transcripts
}

#[test]
fn transcripts_live_and_in_virtual_time_are_equal() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let now = crate::world::Clock::wall().now();
    let simulated = builder.enable_all().start_paused(true).build().unwrap();
    let simulated = simulated
        .block_on(async { transcripts(Environment::simulated(World::journey(), 9, now, true).unwrap()).await });
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let live = builder.enable_all().build().unwrap().block_on(async {
        let clock = crate::world::Clock::wall();
        let env = Environment::simulated(World::journey(), 9, now, true).unwrap();
        let net = crate::net::Net::loopback(env.world.addresses());
        let event_log = crate::journey::EventLog::new(clock, usize::MAX, true);
        let authority = crate::net::Authority::seeded("journey", clock, crate::world::Rng::seeded(9)).unwrap().into();
        transcripts(Environment { net, clock, event_log, authority, ..env }).await
    });
    assert!(simulated.len() == 3 && simulated[0].contains("Client: MAIL FROM:<me@163.test>"), "{simulated:#?}");
    assert_eq!(simulated, live);
}
