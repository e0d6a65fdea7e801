mod lanes;
mod quota;
mod relaying;
mod reports;
mod ways;

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders};
use tokio::time::sleep;

use super::*;
use crate::host::{Doors, Ground, Running};
use crate::journey::Step;
use crate::mail::{Action, Address, DeliveryReport, Envelope, JourneyId, Letter};
use crate::mta::Mail;
use crate::world::{JOURNEY, World};

const HOUR: Duration = Duration::from_secs(3600);

async fn world(seed: u64) -> Running {
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let ground = Ground::simulated(World::journey(), seed, start, true).unwrap();
    Running::start(ground, Doors::shut()).await.unwrap()
}

fn plan(to: &str, texts: &[&str]) -> Plan {
    let sources = texts.iter().enumerate().map(|(at, text)| Source {
        name: at.to_string(),
        message: Bytes::from(text.to_string()),
        mended: false,
    });
    let from = "me@163.test".parse().unwrap();
    Plan { from, to: to.parse().unwrap(), sources: sources.collect(), patience: HOUR * 24 * 10 }
}

async fn maildrop(running: &Running, user: &str) -> Vec<Bytes> {
    fetch::pop3(&running.ground, &user.parse().unwrap(), &|_| {}).await.unwrap().0
}

/// Submits one message and waits until nothing moves any more.
async fn send(running: &Running, to: &str, patience: Duration) {
    let plan = plan(to, &["Subject: hello\r\n\r\nHello!\r\n"]);
    let (outcomes, _) = send::all(&running.ground, &plan, &|_| {}).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    sleep(patience).await;
}

fn steps(running: &Running) -> Vec<String> {
    let events = running.ground.journal.since(0).into_iter();
    events
        .map(|event| format!("{} {}", event.host, serde_json::to_value(&event.step).unwrap()["step"].as_str().unwrap()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn letters_travel_through_three_mtas_and_come_out_intact_both_ways() {
    let running = world(1).await;
    let texts =
        ["Subject: one\r\n\r\n.dot\r\n..\r\n", "Subject: two\r\n\r\n\r\n", "no header", "Received: old\r\n\r\n"];
    let texts: Vec<_> = texts.iter().map(|text| format!("{}\r\n", text.trim_end_matches("\r\n"))).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let report = travel(&running.ground, plan("friend@sina.test", &texts), |_| {}).await.unwrap();
    assert!(report.is_intact(), "{:#?}", report.letters);
    let story = report.letters[0].story.as_ref().unwrap();
    let way: Vec<_> = story.events.iter().filter(|event| matches!(event.step, Step::Received { .. })).collect();
    let way: Vec<_> = way.iter().map(|event| event.host.as_ref()).collect();
    assert_eq!(way, ["mta-163", "mta-relay", "mta-sina", "mda-sina"]);
    running.stop().await;
}

/// RFC 3030 §3: by BDAT through three MTAs and over LMTP.
#[tokio::test(start_paused = true)]
async fn binary_letters_arrive_octet_for_octet() {
    let running = world(1).await;
    let text = "Content-Transfer-Encoding: binary\r\n\r\na\nb\rc\0\r\r\n\n.\n\r\n";
    let report = travel(&running.ground, plan("friend@sina.test", &[text]), |_| {}).await.unwrap();
    assert!(report.is_intact(), "{:#?}", report.letters);
    running.stop().await;
}

/// RFC 6531 §3.2.
#[tokio::test(start_paused = true)]
async fn mail_finds_a_domain_by_both_of_its_names() {
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let text = crate::world::JOURNEY.replace("\"sina.test\"", "\"\u{65b0}\u{6d6a}.test\"");
    let declared = World::parse("w.toml", &text.replace("@sina.test", "@\u{65b0}\u{6d6a}.test")).unwrap();
    let running = Running::start(Ground::simulated(declared, 8, start, true).unwrap(), Doors::shut()).await.unwrap();
    for (at, to) in ["friend@\u{65b0}\u{6d6a}.test", "friend@xn--efvx5o.test"].iter().enumerate() {
        send(&running, to, HOUR).await;
        assert_eq!(maildrop(&running, to).await.len(), at + 1);
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_for_nobody_comes_back_to_the_sender_as_one_bounce() {
    let running = world(2).await;
    send(&running, "nobody@sina.test", HOUR).await;
    let drop = maildrop(&running, "me@163.test").await;
    let [bounce] = drop.as_slice() else { panic!("{} messages", drop.len()) };
    assert!(bounce.starts_with(b"Return-Path: <>\r\n"));
    let report = DeliveryReport::read(bounce).unwrap();
    let [told] = report.recipients.as_slice() else { panic!("{report:?}") };
    assert_eq!(
        (told.action, told.status, told.remote_mta.as_deref()),
        (Action::Failed, (5, 1, 1), Some("mx.sina.test"))
    );
    assert_eq!(told.address, Some("nobody@sina.test".parse().unwrap()));
    let bounce = MessageParser::new().parse(bounce).unwrap();
    assert!(bounce.content_type().unwrap().attribute("report-type") == Some("delivery-status"));
    assert!(std::str::from_utf8(bounce.parts[3].contents()).unwrap().contains("Subject: hello\r\n"));
    let audit = Audit::of(running.ground.journal.since(0));
    let letter = audit.stories().find(|story| story.reverse_path.is_some()).unwrap();
    assert_eq!(report.journey, Some(letter.journey), "the bounce names the journey that it is about");
    let stories: Vec<_> = audit.stories().map(|story| (story.reverse_path.is_some(), story.is_settled())).collect();
    assert_eq!(stories, [(true, true), (false, true)], "the letter and its bounce, and no third journey");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_next_hop_that_is_down_is_tried_until_it_is_up_and_nothing_is_lost_or_doubled() {
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
async fn the_sender_is_warned_after_four_hours_and_gets_the_mail_back_after_five_days() {
    let running = world(4).await;
    running.turn_off("mta-sina").await;
    send(&running, "friend@sina.test", HOUR * 24 * 6).await;
    let drop = maildrop(&running, "me@163.test").await;
    let told = drop.iter().map(|message| {
        let message = MessageParser::new().parse(message).unwrap();
        let status = std::str::from_utf8(message.parts[2].contents()).unwrap();
        ["delayed", "failed"].into_iter().find(|action| status.contains(&format!("Action: {action}"))).unwrap()
    });
    assert_eq!(told.collect::<Vec<_>>(), ["delayed", "failed"]);
    assert!(running.mtas.values().all(|mta| mta.queue().is_empty()));
    running.stop().await;
}

/// RFC 5321 §6.1: a report comes back from a sender who does not exist, and the postmaster hears of it; of a report that
/// the postmaster cannot get, nobody does.
#[tokio::test(start_paused = true)]
async fn a_report_that_cannot_be_delivered_goes_to_the_postmaster_and_no_further() {
    let running = world(9).await;
    let put = async |from: &str, to: &str| {
        let letter = Letter::new(Bytes::from_static(b"Subject: s\r\n\r\n"));
        let recipients = vec![to.parse::<Address>().unwrap().into()];
        let envelope = Envelope { reverse_path: from.parse().ok(), recipients, ..Envelope::default() };
        let id = JourneyId::of(running.ground.dice.draw()).stay(1);
        let mta = &running.mtas["mta-163"];
        let _ = mta.queue().put(Mail { id, envelope, letter, arrived: running.ground.clock.now() }).await.unwrap();
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
async fn mail_to_any_other_domain_ends_elsewhere_and_mail_below_our_own_domains_bounces() {
    let running = world(5).await;
    send(&running, "anybody@example.com", HOUR).await;
    assert_eq!(maildrop(&running, "anybody@example.com").await.len(), 1);
    send(&running, "anybody@no.such.sina.test", HOUR).await;
    let steps = steps(&running);
    assert!(steps.contains(&"mta-relay failed".to_owned()), "{steps:?}");
    assert_eq!(maildrop(&running, "me@163.test").await.len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_world_without_elsewhere_bounces_mail_to_unknown_domains() {
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let mut declared = World::journey();
    declared.elsewhere = None;
    let running = Running::start(Ground::simulated(declared, 6, start, false).unwrap(), Doors::shut()).await.unwrap();
    send(&running, "anybody@example.com", HOUR).await;
    let drop = maildrop(&running, "me@163.test").await;
    let bounce = std::str::from_utf8(&drop[0]).unwrap();
    assert!(bounce.contains("Status: 5.1.2\r\n") && bounce.contains("example.com does not exist"), "{bounce}");
    running.stop().await;
}

/// RFC 7505 §4.
#[tokio::test(start_paused = true)]
async fn mail_to_a_domain_that_takes_none_comes_back_at_once() {
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let text = JOURNEY.replace("[world]", "[world]\nno_mail = [\"Quiet.test\"]");
    let declared = World::parse("w.toml", &text).unwrap();
    let running = Running::start(Ground::simulated(declared, 6, start, false).unwrap(), Doors::shut()).await.unwrap();
    send(&running, "anybody@quiet.test", HOUR).await;
    let drop = maildrop(&running, "me@163.test").await;
    let bounce = std::str::from_utf8(&drop[0]).unwrap();
    assert!(bounce.contains("Status: 5.1.10\r\n") && bounce.contains("quiet.test takes no mail"), "{bounce}");
    // Nor does anything below it go elsewhere.
    send(&running, "anybody@below.quiet.test", HOUR).await;
    assert_eq!(maildrop(&running, "me@163.test").await.len(), 2);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_events() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let running = world(7).await;
        running.turn_off("mta-sina").await;
        send(&running, "friend@sina.test", HOUR).await;
        running.turn_on("mta-sina").await.unwrap();
        sleep(HOUR * 2).await;
        runs.push(serde_json::to_string(&running.ground.journal.since(0)).unwrap());
        running.stop().await;
    }
    assert!(runs[0].len() > 1000);
    assert_eq!(runs[0], runs[1]);
}

/// What was said on each hop of one letter.
async fn dialogues(ground: Ground) -> Vec<String> {
    let running = Running::start(ground, Doors::shut()).await.unwrap();
    let report =
        travel(&running.ground, plan("friend@sina.test", &["Subject: hello\r\n\r\nHello!\r\n"]), |_| {}).await.unwrap();
    assert!(report.is_intact());
    running.stop().await;
    let events = running.ground.journal.since(0).into_iter();
    // Mailboxes are numbered by the time at which they were made, so only what MTAs said is the same.
    let said = events.filter(|event| event.host.starts_with("mta")).filter_map(|event| {
        let lines = event.dialogue?.lines().map(|(who, line)| format!("{who:?}: {line}")).collect::<Vec<_>>();
        Some(format!("{}\n{}", event.host, lines.join("\n")))
    });
    let mut said: Vec<_> = said.collect();
    // On real sockets a host may hear of its success before or after the next one goes on.
    said.sort();
    said
}

#[test]
fn the_same_letter_makes_the_same_dialogues_live_and_in_virtual_time() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let now = crate::world::Clock::wall().now();
    let simulated = builder.enable_all().start_paused(true).build().unwrap();
    let simulated =
        simulated.block_on(async { dialogues(Ground::simulated(World::journey(), 9, now, true).unwrap()).await });
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let live = builder.enable_all().build().unwrap().block_on(async {
        let clock = crate::world::Clock::wall();
        let ground = Ground::simulated(World::journey(), 9, now, true).unwrap();
        let net = crate::net::Net::loopback(ground.world.addresses());
        let journal = crate::journey::Journal::new(clock, usize::MAX, true);
        let authority = crate::net::Authority::seeded("journey", clock, crate::world::Dice::seeded(9)).unwrap().into();
        dialogues(Ground { net, clock, journal, authority, ..ground }).await
    });
    assert!(simulated.len() == 3 && simulated[0].contains("Client: MAIL FROM:<me@163.test>"), "{simulated:#?}");
    assert_eq!(simulated, live);
}
