use std::time::Duration;

use tokio::time::sleep;

use super::outbox::Ledger;
use super::timeline::Chronicle;
use super::*;
use crate::host::{Doors, Ground, Running};
use crate::journey::{Audit, Event, Journal, Step};
use crate::net::{Authority, Net};
use crate::world::{Clock, Dice};

const HEAD: &str = "[scenario]\nname = \"x\"\nlasts = \"2 days\"\n";

fn run(text: &str, seed: u64) -> Report {
    play(&Scenario::parse("x.toml", text).unwrap(), seed, None, |_| {}).unwrap()
}

#[test]
fn a_quiet_scenario_delivers_everything_at_once() {
    let text = format!("{HEAD}[[traffic]]\nfrom = [\"*\"]\nto = [\"*\"]\ncount = 10\nevery = \"1min\"\n");
    let report = run(&text, 1);
    assert!(report.passed, "{}", report.text());
    assert_eq!((report.written, report.fates.delivered, report.fates.duplicates), (10, 10, 0));
    assert!(report.took.max < 60.0 && report.seconds < 3600.0, "{}", report.text());
}

/// What a storm leaves behind: every promise held, and every queue empty.
fn weather(seed: u64) -> Report {
    let report = play(&Scenario::storm(seed).unwrap(), seed, None, |_| {}).unwrap();
    assert!(report.passed, "seed {seed}: {}", report.text());
    assert_eq!((report.fates.waiting, report.unsent), (0, 0), "seed {seed}: {}", report.text());
    report
}

fn weathers(seeds: std::ops::RangeInclusive<u64>) {
    let reports: Vec<_> = seeds.map(weather).collect();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    // Or the storms are no storms.
    let (bounced, deferred) = (sum(|report| report.fates.bounced), sum(|report| report.deferred));
    assert!(100 < bounced && 500 < deferred, "{bounced} {deferred}");
}

#[test]
fn no_storm_loses_doubles_or_misfiles_a_message() {
    weathers(1..=50);
}

#[test]
fn nor_does_any_of_these() {
    weathers(51..=100);
}

/// A host is killed between the commit of reports and their events: that they are in mailboxes is what counts.
#[test]
fn a_report_counts_by_what_is_stored() {
    weather(1410);
}

/// And so does a message that a host had and nobody heard of: killed before it could store that the next one took it,
/// it sends it again.
#[test]
fn a_host_had_what_it_passes_on() {
    weather(1596);
}

/// Its seed of storms was 29: what the next host had taken was sent to it again every five seconds, as long as the disk
/// could not hold that it had.
#[test]
fn a_full_disk_does_not_make_a_host_send_again_what_it_has_passed_on() {
    let text = format!(
        "{HEAD}disk = \"2s\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 5\n\
         [[faults]]\nfault = {{ kind = \"disk-full\", host = \"mta-relay\" }}\nafter = \"6s\"\nlasts = \"1h\"\n"
    );
    let report = run(&text, 1);
    assert!(report.passed && report.fates.duplicates == 0, "{}", report.text());
    assert_eq!(report.fates.delivered, 5);
}

#[test]
fn only_a_lost_reply_makes_a_duplicate() {
    let text = format!(
        "{HEAD}[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 20\nevery = \"1min\"\n\
         [[faults]]\nfault = {{ kind = \"reply\", host = \"mta-sina\", at = \"stored\", share = 0.5 }}\nlasts = \"1h\"\n"
    );
    let report = run(&text, 1);
    assert!(report.passed && 5 < report.fates.duplicates, "{}", report.text());
}

#[test]
fn a_failed_expectation_names_the_messages() {
    let text = format!(
        "{HEAD}[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"nobody@sina.test\", \"friend@sina.test\"]\n\
         recipients = 2\n[[faults]]\nfault = {{ kind = \"off\", host = \"mta-sina\" }}\nlasts = \"1h\"\n\
         [expect]\ndelivered = 1.0\nbounced = 0\ndeferred = 0\np99 = \"1min\"\n\
         queue = [{{ host = \"mta-relay\", after = \"20min\", length = 0 }}]\n"
    );
    let report = run(&text, 1);
    assert!(!report.passed && report.violations.is_empty());
    assert_eq!(report.expectations.len(), 5);
    for verdict in &report.expectations {
        let is_named = |message: &String| message.contains("for nobody@sina.test: mx.sina.test said");
        assert!(!verdict.held && verdict.messages.iter().any(is_named), "{verdict:?}");
    }
}

#[test]
fn a_quiet_year_costs_nothing() {
    let text = HEAD.replace("2 days", "365 days") + "[[traffic]]\nfrom = [\"*\"]\nto = [\"*\"]\nafter = \"364 days\"\n";
    let report = run(&text, 1);
    assert!(report.passed && report.seconds > 364.0 * 86_400.0, "{}", report.text());
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another() {
    let report =
        |seed| serde_json::to_string(&play(&Scenario::storm(3).unwrap(), seed, None, |_| {}).unwrap()).unwrap();
    assert_eq!(report(3), report(3));
    assert_ne!(report(3), report(4));
}

/// A host that was turned off and on tried one message twice at once, and counted its content down twice.
#[test]
fn a_host_that_is_turned_on_again_does_not_try_a_message_beside_an_attempt_of_before() {
    weather(148);
}

#[test]
fn who_sits_in_idle_reads_a_letter_at_once_also_after_the_server_was_away() {
    let fetched_after = |by: &str, fault: &str| {
        let text = format!(
            "[scenario]\nname = \"x\"\nlasts = \"1 day\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\n\
             count = 20\nafter = \"1h\"\nevery = \"47min\"\n[[readers]]\nwho = [\"friend@sina.test\"]\nby = \"{by}\"\n\
             every = \"10min\"\n{fault}"
        );
        let report = run(&text, 3);
        assert_eq!((report.fates.delivered, report.retrieved), (20, 20), "{by}: {}", report.text());
        let at = |events: &[Event], is_it: fn(&Step) -> bool| {
            events.iter().find(|event| is_it(&event.step)).map(|event| event.at)
        };
        let waits = report.worst.iter().map(|story| {
            let delivered = at(&story.events, |step| matches!(step, Step::Delivered { .. })).unwrap();
            let read = at(&story.events, |step| matches!(step, Step::Retrieved { .. })).unwrap();
            read.duration_since(delivered).as_secs_f64()
        });
        waits.fold(0.0, f64::max)
    };
    assert!(fetched_after("imap", "") > 60.0);
    assert!(fetched_after("idle", "") < 1.0);
    let away = "[[faults]]\nfault = { kind = \"crash\", host = \"mda-sina\" }\nafter = \"3h\"\nlasts = \"5min\"\n";
    assert!(fetched_after("idle", away) < 1.0);
}

/// Everything that happened while it was played for its whole time.
fn events(scenario: &Scenario) -> Vec<Event> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let ground = Ground::simulated(scenario.world.clone(), 9, scenario.start, false).unwrap();
        let running = Arc::new(Running::start(ground, Doors::shut()).await.unwrap());
        stage::unleash(scenario, &running, &Ledger::default(), &Chronicle::default()).unwrap();
        sleep(scenario.lasts).await;
        running.stop().await;
        running.ground.journal.since(0)
    })
}

#[test]
fn a_machine_that_is_off_at_night_reads_in_the_morning_what_came_meanwhile() {
    for (by, hours, longest) in [("pop3", "[8, 22]", 10), ("imap", "[22, 6]", 16), ("idle", "[8, 22]", 10)] {
        let text = format!(
            "[scenario]\nname = \"x\"\nstart = \"2026-11-23T06:30:00Z\"\nlasts = \"2 days\"\n[[traffic]]\n\
             from = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 24\nevery = \"1h\"\n[[readers]]\n\
             who = [\"friend@sina.test\"]\nby = \"{by}\"\nevery = \"10min\"\nhours = {hours}\n"
        );
        let events = events(&Scenario::parse("x.toml", &text).unwrap());
        let at = |journey, is_it: fn(&Step) -> bool| {
            events.iter().find(|event| event.journey == journey && is_it(&event.step)).map(|event| event.at)
        };
        let delivered = events.iter().filter(|event| matches!(event.step, Step::Delivered { .. }));
        let waits = delivered.map(|event| {
            let read = at(event.journey, |step| matches!(step, Step::Retrieved { .. })).unwrap();
            read.duration_since(event.at).as_hours()
        });
        let waits: Vec<i64> = waits.collect();
        // The last letter of the evening comes half an hour after the machine went off.
        assert_eq!((waits.len(), waits.iter().max()), (24, Some(&(longest - 1))), "{by} {hours}: {waits:?}");
    }
}

#[test]
fn messages_of_ones_own_are_sent_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::create_dir(folder.path().join("letters")).unwrap();
    let lines = [100, 200, 400];
    for (at, lines) in lines.iter().enumerate() {
        let letter = format!("Subject: {at}\r\n\r\n{}", "The mail must get through.\r\n".repeat(*lines));
        std::fs::write(folder.path().join(format!("letters/{at}.eml")), letter).unwrap();
    }
    let traffic = "[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 6\nevery = \"1min\"\n";
    std::fs::write(&file, format!("{HEAD}{traffic}mail = \"letters\"\n")).unwrap();
    let sizes = events(&Scenario::read(&file).unwrap()).into_iter().filter_map(|event| match event.step {
        Step::Received { size, .. } if &*event.host == "mta-163" => Some(size),
        _ => None,
    });
    // A line of them has 28 octets; what is above that is the header, a stamp among it.
    let sizes: Vec<usize> = sizes.map(|size| size / 2800).collect();
    assert_eq!(sizes, [1, 2, 4, 1, 2, 4]);
}

/// The newsletter, which is larger than all the others together, is left to `postroad simulate`.
#[test]
fn shipped_scenarios_do_what_they_promise() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
    for name in ["crashes", "disk-full", "greylisting", "loop", "outage", "partition"] {
        let scenario = Scenario::read(&folder.join(name).with_extension("toml")).unwrap();
        let report = play(&scenario, 1, None, |_| {}).unwrap();
        assert!(report.passed && !report.expectations.is_empty(), "{name}: {}", report.text());
    }
}

/// What the hosts said while it was played, and what came of each letter.
async fn said(ground: Ground, scenario: &Scenario) -> (Vec<String>, Vec<String>) {
    let running = Arc::new(Running::start(ground, Doors::shut()).await.unwrap());
    let busy = stage::unleash(scenario, &running, &Ledger::default(), &Chronicle::default()).unwrap();
    let journal = &running.ground.journal;
    let is_settled = || Audit::of(journal.since(0)).stories().filter(|story| story.is_settled()).count() == 6;
    while 0 < *busy.lock().unwrap() || !is_settled() {
        sleep(Duration::from_millis(100)).await;
    }
    running.stop().await;
    let steps = |event: &Event| match &event.step {
        Step::Deferred { reason, .. } => Some(format!("{} put it off: {reason}", event.host)),
        Step::Failed { reason, .. } => Some(format!("{} gave it up: {reason}", event.host)),
        Step::Delivered { recipient, .. } => Some(format!("{} has it for {recipient}", event.host)),
        _ => None,
    };
    let lines = |event: &Event| {
        let lines = event.dialogue.as_ref()?.lines().map(|(who, line)| format!("{who:?}: {line}"));
        Some(format!("{}\n{}", event.host, lines.collect::<Vec<_>>().join("\n")))
    };
    let events = journal.since(0);
    // Mailboxes are numbered by the time at which they were made, so only what MTAs said is the same. On real sockets a
    // host may hear of its success before or after the next one goes on.
    let of_mtas = events.iter().filter(|event| event.host.starts_with("mta"));
    let (mut said, mut came) =
        (of_mtas.filter_map(lines).collect::<Vec<_>>(), events.iter().filter_map(steps).collect::<Vec<_>>());
    said.sort();
    came.sort();
    (said, came)
}

#[test]
fn the_same_scenario_makes_the_same_dialogues_live_and_in_virtual_time() {
    let text = "[scenario]\nname = \"x\"\nlasts = \"1min\"\n\
        [[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 4\nevery = \"400ms\"\n\
        [[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"nobody@sina.test\"]\nafter = \"2s\"\n\
        [[faults]]\nfault = { kind = \"reply\", host = \"mta-sina\", at = \"rcpt\", reply = \"450 4.2.0 later\" }\nlasts = \"200ms\"\n\
        [[faults]]\nfault = { kind = \"reply\", host = \"mta-relay\", at = \"mail\" }\nafter = \"700ms\"\nlasts = \"200ms\"\n";
    let scenario = Scenario::parse("x.toml", text).unwrap();
    let now = Clock::wall().now();
    let ground = || Ground::simulated(scenario.world.clone(), 9, now, true).unwrap();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let simulated = builder.enable_all().start_paused(true).build().unwrap();
    let simulated = simulated.block_on(async { said(ground(), &scenario).await });
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let live = builder.enable_all().build().unwrap().block_on(async {
        let (clock, ground) = (Clock::wall(), ground());
        let net = Net::loopback(ground.world.addresses());
        let journal = Journal::new(clock, usize::MAX, true);
        let authority = Authority::seeded("journey", clock, Dice::seeded(9)).unwrap().into();
        said(Ground { net, clock, journal, authority, ..ground }, &scenario).await
    });
    let count = |word: &str| simulated.1.iter().filter(|line| line.contains(word)).count();
    assert_eq!((count("put it off"), count("gave it up"), count("has it for friend")), (2, 1, 4), "{simulated:#?}");
    assert_eq!(simulated, live);
}
