use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::senders::SentLog;
use super::timeline::FaultLog;
use super::*;
use crate::host::{Environment, PublicPorts, RunningWorld};
use crate::journey::{Event, EventKind, EventLog, JourneyFilter};
use crate::net::{Authority, Net};
use crate::world::{Clock, Rng};

const HEAD: &str = "[scenario]\nname = \"x\"\nlasts = \"2 days\"\n";

fn run(text: &str, seed: u64) -> Report {
    play(&Scenario::parse("x.toml", text).unwrap(), seed, None, |_| {}).unwrap()
}

#[test]
fn scenario_without_faults_delivers_everything_at_once() {
    let text = format!("{HEAD}[[traffic]]\nfrom = [\"*\"]\nto = [\"*\"]\ncount = 10\nevery = \"1min\"\n");
    let report = run(&text, 1);
    assert!(report.passed, "{}", report.text());
    assert_eq!((report.written, report.outcomes.delivered, report.outcomes.duplicates), (10, 10, 0));
    assert!(report.latency.max < 60.0 && report.seconds < 3600.0, "{}", report.text());
}

/// Runs the storm of a seed: every invariant must hold, and every queue must be empty at the end.
fn storm(seed: u64) -> Report {
    let report = play(&Scenario::storm(seed).unwrap(), seed, None, |_| {}).unwrap();
    assert!(report.passed, "seed {seed}: {}", report.text());
    assert_eq!((report.outcomes.waiting, report.unsent), (0, 0), "seed {seed}: {}", report.text());
    report
}

fn storms(seeds: std::ops::RangeInclusive<u64>) {
    let reports: Vec<_> = seeds.map(storm).collect();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    // Without many failures, the storms would test nothing.
    let (bounced, deferred) = (sum(|report| report.outcomes.bounced), sum(|report| report.deferred));
    assert!(100 < bounced && 500 < deferred, "{bounced} {deferred}");
}

#[test]
fn storms_1_to_50_keep_all_invariants() {
    storms(1..=50);
}

#[test]
fn storms_51_to_100_keep_all_invariants() {
    storms(51..=100);
}

/// A host is killed between the commit of reports and their events; the reports in the mailboxes count.
#[test]
fn invariants_after_kill_before_report_event_count_stored_reports() {
    storm(1410);
}

/// A host is killed after it accepted a message, before its event and before it stored that the next host accepted it;
/// so it sends the message again, and that duplicate is allowed.
#[test]
fn invariants_after_kill_before_receive_event_allow_duplicate() {
    storm(1596);
}

/// Found by storm 29: while the disk was full and the result could not be stored, the message was sent again every five
/// seconds.
#[test]
fn full_disk_after_relay_does_not_send_message_again() {
    let text = format!(
        "{HEAD}disk = \"2s\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 5\n\
         [[faults]]\nfault = {{ kind = \"disk-full\", host = \"mta-relay\" }}\nafter = \"6s\"\nlasts = \"1h\"\n"
    );
    let report = run(&text, 1);
    assert!(report.passed && report.outcomes.duplicates == 0, "{}", report.text());
    assert_eq!(report.outcomes.delivered, 5);
}

#[test]
fn lost_reply_makes_duplicates() {
    let text = format!(
        "{HEAD}[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 20\nevery = \"1min\"\n\
         [[faults]]\nfault = {{ kind = \"reply\", host = \"mta-sina\", at = \"stored\", share = 0.5 }}\nlasts = \"1h\"\n"
    );
    let report = run(&text, 1);
    assert!(report.passed && 5 < report.outcomes.duplicates, "{}", report.text());
}

#[test]
fn failed_expectation_lists_messages() {
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
fn idle_year_runs_quickly() {
    let text = HEAD.replace("2 days", "365 days") + "[[traffic]]\nfrom = [\"*\"]\nto = [\"*\"]\nafter = \"364 days\"\n";
    let report = run(&text, 1);
    assert!(report.passed && report.seconds > 364.0 * 86_400.0, "{}", report.text());
}

#[test]
fn report_depends_on_seed_only() {
    let report =
        |seed| serde_json::to_string(&play(&Scenario::storm(3).unwrap(), seed, None, |_| {}).unwrap()).unwrap();
    assert_eq!(report(3), report(3));
    assert_ne!(report(3), report(4));
}

/// A host that was turned off and on tried one message twice at once, and released its content twice.
#[test]
fn restarted_host_does_not_retry_while_earlier_attempt_runs() {
    storm(148);
}

#[test]
fn idle_reader_fetches_message_at_once_also_after_server_restart() {
    let fetched_after = |by: &str, fault: &str| {
        let text = format!(
            "[scenario]\nname = \"x\"\nlasts = \"1 day\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\n\
             count = 20\nafter = \"1h\"\nevery = \"47min\"\n[[readers]]\nwho = [\"friend@sina.test\"]\nby = \"{by}\"\n\
             every = \"10min\"\n{fault}"
        );
        let report = run(&text, 3);
        assert_eq!((report.outcomes.delivered, report.retrieved), (20, 20), "{by}: {}", report.text());
        let at = |events: &[Arc<Event>], is_it: fn(&EventKind) -> bool| {
            events.iter().find(|event| is_it(&event.kind)).map(|event| event.at)
        };
        let waits = report.worst.iter().map(|story| {
            let delivered = at(&story.journey.events, |step| matches!(step, EventKind::Delivered { .. })).unwrap();
            let read = at(&story.journey.events, |step| matches!(step, EventKind::Retrieved { .. })).unwrap();
            read.duration_since(delivered).as_secs_f64()
        });
        waits.fold(0.0, f64::max)
    };
    assert!(fetched_after("imap", "") > 60.0);
    assert!(fetched_after("idle", "") < 1.0);
    let away = "[[faults]]\nfault = { kind = \"crash\", host = \"mda-sina\" }\nafter = \"3h\"\nlasts = \"5min\"\n";
    assert!(fetched_after("idle", away) < 1.0);
}

/// All events of a scenario that is run for its whole duration.
fn events(scenario: &Scenario) -> Vec<Event> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let env = Environment::simulated(scenario.world.clone(), 9, scenario.start, false).unwrap();
        let running = Arc::new(RunningWorld::start(env, PublicPorts::none()).await.unwrap());
        runner::spawn_actors(scenario, &running, &SentLog::default(), &FaultLog::default()).unwrap();
        sleep(scenario.lasts).await;
        running.stop().await;
        running.env.event_log.since(0)
    })
}

#[test]
fn reader_with_hours_fetches_overnight_messages_in_the_morning() {
    for (by, hours, longest) in [("pop3", "[8, 22]", 10), ("imap", "[22, 6]", 16), ("idle", "[8, 22]", 10)] {
        let text = format!(
            "[scenario]\nname = \"x\"\nstart = \"2026-11-23T06:30:00Z\"\nlasts = \"2 days\"\n[[traffic]]\n\
             from = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 24\nevery = \"1h\"\n[[readers]]\n\
             who = [\"friend@sina.test\"]\nby = \"{by}\"\nevery = \"10min\"\nhours = {hours}\n"
        );
        let events = events(&Scenario::parse("x.toml", &text).unwrap());
        let at = |journey, is_it: fn(&EventKind) -> bool| {
            events.iter().find(|event| event.journey == journey && is_it(&event.kind)).map(|event| event.at)
        };
        let delivered = events.iter().filter(|event| matches!(event.kind, EventKind::Delivered { .. }));
        let waits = delivered.map(|event| {
            let read = at(event.journey, |step| matches!(step, EventKind::Retrieved { .. })).unwrap();
            read.duration_since(event.at).as_hours()
        });
        let waits: Vec<i64> = waits.collect();
        // The last message of the evening arrives half an hour after the reader's last hour.
        assert_eq!((waits.len(), waits.iter().max()), (24, Some(&(longest - 1))), "{by} {hours}: {waits:?}");
    }
}

#[test]
fn traffic_with_own_messages_sends_them_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::create_dir(folder.path().join("messages")).unwrap();
    let lines = [100, 200, 400];
    for (at, lines) in lines.iter().enumerate() {
        let message = format!("Subject: {at}\r\n\r\n{}", "The mail must get through.\r\n".repeat(*lines));
        std::fs::write(folder.path().join(format!("messages/{at}.eml")), message).unwrap();
    }
    let traffic = "[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 6\nevery = \"1min\"\n";
    std::fs::write(&file, format!("{HEAD}{traffic}mail = \"messages\"\n")).unwrap();
    let sizes = events(&Scenario::read(&file).unwrap()).into_iter().filter_map(|event| match event.kind {
        EventKind::Received { size, .. } if &*event.host == "mta-163" => Some(size),
        _ => None,
    });
    // A line has 28 bytes; the rest is the header with its trace line.
    let sizes: Vec<usize> = sizes.map(|size| size / 2800).collect();
    assert_eq!(sizes, [1, 2, 4, 1, 2, 4]);
}

/// All but the newsletter, which takes longer than the others together.
mod shipped_scenario_meets_its_expectations {
    use super::*;

    fn check(name: &str) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
        let scenario = Scenario::read(&folder.join(name).with_extension("toml")).unwrap();
        let report = play(&scenario, 1, None, |_| {}).unwrap();
        assert!(report.passed && !report.expectations.is_empty(), "{}", report.text());
    }

    #[test]
    fn crashes() {
        check("crashes");
    }

    #[test]
    fn disk_full() {
        check("disk-full");
    }

    #[test]
    fn greylisting() {
        check("greylisting");
    }

    #[test]
    fn mail_loop() {
        check("loop");
    }

    #[test]
    fn outage() {
        check("outage");
    }

    #[test]
    fn partition() {
        check("partition");
    }
}

/// The protocol transcripts of the MTAs, and the outcome of each message.
async fn run_scenario(env: Environment, scenario: &Scenario) -> (Vec<String>, Vec<String>) {
    let running = Arc::new(RunningWorld::start(env, PublicPorts::none()).await.unwrap());
    let active = runner::spawn_actors(scenario, &running, &SentLog::default(), &FaultLog::default()).unwrap();
    let event_log = &running.env.event_log;
    let settled = JourneyFilter { settled: Some(true), ..JourneyFilter::default() };
    let is_settled = || event_log.journeys(&settled, u64::MAX, 0).unwrap().total == 6;
    while 0 < *active.lock().unwrap() || !is_settled() {
        sleep(Duration::from_millis(100)).await;
    }
    running.stop().await;
    let steps = |event: &Event| match &event.kind {
        EventKind::Deferred { reason, .. } => Some(format!("{} deferred: {reason}", event.host)),
        EventKind::Failed { reason, .. } => Some(format!("{} failed: {reason}", event.host)),
        EventKind::Delivered { recipient, .. } => Some(format!("{} delivered to {recipient}", event.host)),
        _ => None,
    };
    let lines = |event: &Event| {
        let lines = event.transcript.as_ref()?.lines().map(|(who, line)| format!("{who:?}: {line}"));
        Some(format!("{}\n{}", event.host, lines.collect::<Vec<_>>().join("\n")))
    };
    let events = event_log.since(0);
    // UIDVALIDITY depends on the time of creation, so only the transcripts of MTAs are equal. On real sockets, a host may
    // read the final reply before or after the next host relays the message.
    let of_mtas = events.iter().filter(|event| event.host.starts_with("mta"));
    let (mut transcripts, mut outcomes) =
        (of_mtas.filter_map(lines).collect::<Vec<_>>(), events.iter().filter_map(steps).collect::<Vec<_>>());
    transcripts.sort();
    outcomes.sort();
    (transcripts, outcomes)
}

#[test]
fn scenario_gives_same_transcripts_live_and_in_virtual_time() {
    let text = "[scenario]\nname = \"x\"\nlasts = \"1min\"\n\
        [[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\ncount = 4\nevery = \"400ms\"\n\
        [[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"nobody@sina.test\"]\nafter = \"2s\"\n\
        [[faults]]\nfault = { kind = \"reply\", host = \"mta-sina\", at = \"rcpt\", reply = \"450 4.2.0 later\" }\nlasts = \"200ms\"\n\
        [[faults]]\nfault = { kind = \"reply\", host = \"mta-relay\", at = \"mail\" }\nafter = \"700ms\"\nlasts = \"200ms\"\n";
    let scenario = Scenario::parse("x.toml", text).unwrap();
    let now = Clock::wall().now();
    let env = || Environment::simulated(scenario.world.clone(), 9, now, true).unwrap();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let simulated = builder.enable_all().start_paused(true).build().unwrap();
    let simulated = simulated.block_on(async { run_scenario(env(), &scenario).await });
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let live = builder.enable_all().build().unwrap().block_on(async {
        let (clock, env) = (Clock::wall(), env());
        let net = Net::loopback(env.world.addresses());
        let event_log = EventLog::new(clock, usize::MAX, true);
        let authority = Authority::seeded("journey", clock, Rng::seeded(9)).unwrap().into();
        run_scenario(Environment { net, clock, event_log, authority, ..env }, &scenario).await
    });
    let count = |word: &str| simulated.1.iter().filter(|line| line.contains(word)).count();
    assert_eq!((count("deferred"), count("failed"), count("delivered to friend")), (2, 1, 4), "{simulated:#?}");
    assert_eq!(simulated, live);
}
