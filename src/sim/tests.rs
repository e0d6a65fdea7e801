use super::*;

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
        "{HEAD}[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"nobody@sina.test\"]\n[expect]\ndelivered = 1.0\nbounced = 0\n"
    );
    let report = run(&text, 1);
    assert!(!report.passed && report.violations.is_empty());
    for verdict in &report.expectations {
        assert!(
            !verdict.held && verdict.messages[0].contains("for nobody@sina.test: mx.sina.test said"),
            "{verdict:?}"
        );
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
        let at = |events: &[crate::journey::Event], is_it: fn(&crate::journey::Step) -> bool| {
            events.iter().find(|event| is_it(&event.step)).map(|event| event.at)
        };
        let waits = report.worst.iter().map(|story| {
            let delivered = at(&story.events, |step| matches!(step, crate::journey::Step::Delivered { .. })).unwrap();
            let read = at(&story.events, |step| matches!(step, crate::journey::Step::Retrieved { .. })).unwrap();
            read.duration_since(delivered).as_secs_f64()
        });
        waits.fold(0.0, f64::max)
    };
    assert!(fetched_after("imap", "") > 60.0);
    assert!(fetched_after("idle", "") < 1.0);
    let away = "[[faults]]\nfault = { kind = \"crash\", host = \"mda-sina\" }\nafter = \"3h\"\nlasts = \"5min\"\n";
    assert!(fetched_after("idle", away) < 1.0);
}
