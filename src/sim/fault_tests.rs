//! The effect of each kind of fault on a message or two.

use super::*;

/// The report of one message in the default world with a fault of one hour.
fn run_with_fault(fault: &str, more: &str) -> Report {
    let text = format!(
        "[scenario]\nname = \"x\"\nlasts = \"2 days\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\n\
         after = \"1min\"\n{more}\n[[faults]]\nfault = {{ {fault} }}\nlasts = \"1h\"\n"
    );
    let report = play(&Scenario::parse("x.toml", &text).unwrap(), 1, None, |_| {}).unwrap();
    assert!(report.passed && report.faults.iter().any(|fault| fault.until.is_some()), "{fault}: {}", report.text());
    report
}

#[test]
fn tls_fault_stops_submission_but_not_relay() {
    for certificate in ["absent", "expired", "wrong-name"] {
        let of = |host: &str| {
            run_with_fault(&format!("kind = \"tls\", host = \"{host}\", certificate = \"{certificate}\""), "")
        };
        let report = of("mta-163");
        assert!(3600.0 < report.seconds && report.outcomes.delivered == 1, "{certificate}: {}", report.text());
        let report = of("mta-sina");
        assert_eq!((report.outcomes.delivered, report.deferred), (1, 0), "{certificate}: {}", report.text());
        let relayed = |event: &crate::journey::Event| match &event.kind {
            crate::journey::EventKind::Relayed { to, tls, .. } if to == "mx.sina.test" => Some(tls.is_some()),
            _ => None,
        };
        let encrypted = report.worst[0].journey.events.iter().find_map(|event| relayed(event));
        assert_eq!(encrypted, Some(certificate != "absent"), "{certificate}: {}", report.text());
    }
}

#[test]
fn reply_fault_at_each_stage_defers_message_at_mta_and_mda() {
    for host in ["mta-sina", "mda-sina"] {
        for at in ["greeting", "hello", "mail", "rcpt", "data"] {
            for reply in [", reply = \"421 4.3.2 not now\"", ""] {
                let report = run_with_fault(&format!("kind = \"reply\", host = \"{host}\", at = \"{at}\"{reply}"), "");
                let Report { outcomes, deferred, .. } = report;
                assert_eq!((outcomes.delivered, outcomes.duplicates), (1, 0), "{host} {at}{reply}: {}", report.text());
                assert!(0 < deferred && 3000.0 < report.latency.max, "{host} {at}{reply}: {}", report.text());
            }
        }
    }
}

#[test]
fn message_that_the_provider_refuses_for_now_for_one_recipient_is_sent_again_to_that_one() {
    let text = "[scenario]\nname = \"x\"\nlasts = \"2 days\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nafter = \"1min\"\n\
        to = [\"friend@sina.test\", \"me@163.test\"]\nrecipients = 2\n[[faults]]\nlasts = \"1h\"\n\
        fault = { kind = \"reply\", host = \"mta-163\", at = \"rcpt\", about = \"friend@sina.test\" }\n";
    let report = play(&Scenario::parse("x.toml", text).unwrap(), 1, None, |_| {}).unwrap();
    assert!(report.passed, "{}", report.text());
    assert_eq!((report.outcomes.delivered, report.outcomes.duplicates), (2, 0), "{}", report.text());
    assert!(3600.0 < report.seconds && report.refused == 0, "{}", report.text());
}

#[test]
fn reply_faults_of_mda_bounce_duplicate_and_greylist() {
    let mda = |settings: &str| run_with_fault(&format!("host = \"mda-sina\", {settings}"), "count = 5");
    let refused = mda("kind = \"reply\", at = \"rcpt\", reply = \"550 5.1.1 nobody\", about = \"@sina.test\"");
    assert_eq!((refused.outcomes.bounced, refused.outcomes.delivered), (5, 0), "{}", refused.text());
    let lost = mda("kind = \"reply\", at = \"stored\"");
    assert!(lost.outcomes.delivered == 5 && 5 <= lost.outcomes.duplicates, "{}", lost.text());
    let grey = mda("kind = \"greylist\", wait = \"5min\"");
    assert!(grey.outcomes.delivered == 5 && 300.0 < grey.latency.p50 && grey.latency.max < 3600.0, "{}", grey.text());
}

#[test]
fn slow_startup_accepts_connections_without_greeting() {
    let of = |startup: &str| {
        let text = format!(
            "[scenario]\nname = \"x\"\nlasts = \"2 days\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\n\
             after = \"2min\"\n[[faults]]\nfault = {{ kind = \"crash\", host = \"mta-sina\"{startup} }}\nlasts = \"1min\"\n"
        );
        play(&Scenario::parse("x.toml", &text).unwrap(), 1, None, |_| {}).unwrap()
    };
    let (fast, slow) = (of(""), of(", startup = \"30min\""));
    assert!(fast.latency.max < 60.0 && fast.deferred == 0, "{}", fast.text());
    // RFC 5321 §4.5.3.2.1: five minutes for the greeting.
    let why = slow.worst[0].journey.events.iter().map(|event| format!("{:?}", event.kind)).collect::<String>();
    assert!(1500.0 < slow.latency.max && why.contains("300s"), "{} {why}", slow.text());
}

#[test]
fn moved_zone_routes_to_new_host_after_caches_expire() {
    let moved = "kind = \"dns\", names = \"moved\", about = \"sina.test\", host = \"mta-elsewhere\"";
    let report = run_with_fault(moved, "");
    // The new host does not serve the domain, so it refuses the message.
    assert_eq!((report.outcomes.bounced, report.outcomes.delivered), (1, 0), "{}", report.text());
    let stale = "\n[[faults]]\nfault = { kind = \"dns\", names = \"stale\" }\n";
    let report = run_with_fault(moved, stale);
    assert_eq!(report.outcomes.delivered, 1, "{}", report.text());
}

#[test]
fn slow_link_limits_bandwidth_of_all_chunks_together() {
    let slow = "kind = \"slow\", between = [\"mta-relay\", \"mta-sina\"], latency = \"2s\", bandwidth = 1000";
    let report = run_with_fault(slow, "size = 100_000");
    // Each chunk waits for the one before: a hundred seconds in all.
    assert!((100.0..200.0).contains(&report.latency.max), "{}", report.text());
}
