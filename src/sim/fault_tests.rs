//! Each kind of fault, and what it does to a letter or two.

use super::*;

/// What came of a letter in the default world while this goes wrong.
fn under(fault: &str, more: &str) -> Report {
    let text = format!(
        "[scenario]\nname = \"x\"\nlasts = \"2 days\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\n\
         after = \"1min\"\n{more}\n[[faults]]\nfault = {{ {fault} }}\nlasts = \"1h\"\n"
    );
    let report = play(&Scenario::parse("x.toml", &text).unwrap(), 1, None, |_| {}).unwrap();
    assert!(
        report.passed && report.faults.iter().any(|happened| happened.until.is_some()),
        "{fault}: {}",
        report.text()
    );
    report
}

#[test]
fn a_sender_does_not_submit_to_a_server_with_bad_tls_and_hosts_relay_to_it_all_the_same() {
    for certificate in ["absent", "expired", "wrong-name"] {
        let of = |host: &str| under(&format!("kind = \"tls\", host = \"{host}\", certificate = \"{certificate}\""), "");
        let report = of("mta-163");
        assert!(3600.0 < report.seconds && report.fates.delivered == 1, "{certificate}: {}", report.text());
        let report = of("mta-sina");
        assert_eq!((report.fates.delivered, report.deferred), (1, 0), "{certificate}: {}", report.text());
        let crossed = |event: &crate::journey::Event| match &event.step {
            crate::journey::Step::Relayed { to, tls, .. } if to == "mx.sina.test" => Some(tls.is_some()),
            _ => None,
        };
        let encrypted = report.worst[0].events.iter().find_map(crossed);
        assert_eq!(encrypted, Some(certificate != "absent"), "{certificate}: {}", report.text());
    }
}

#[test]
fn replies_of_every_moment_put_a_message_off_at_an_mta_and_at_an_mda() {
    for host in ["mta-sina", "mda-sina"] {
        for at in ["greeting", "hello", "mail", "rcpt", "data"] {
            for reply in [", reply = \"421 4.3.2 not now\"", ""] {
                let report = under(&format!("kind = \"reply\", host = \"{host}\", at = \"{at}\"{reply}"), "");
                let Report { fates, deferred, .. } = report;
                assert_eq!((fates.delivered, fates.duplicates), (1, 0), "{host} {at}{reply}: {}", report.text());
                assert!(0 < deferred && 3000.0 < report.took.max, "{host} {at}{reply}: {}", report.text());
            }
        }
    }
}

#[test]
fn an_mda_refuses_for_good_loses_its_last_reply_and_greylists() {
    let mda = |settings: &str| under(&format!("host = \"mda-sina\", {settings}"), "count = 5");
    let refused = mda("kind = \"reply\", at = \"rcpt\", reply = \"550 5.1.1 nobody\", about = \"@sina.test\"");
    assert_eq!((refused.fates.bounced, refused.fates.delivered), (5, 0), "{}", refused.text());
    let lost = mda("kind = \"reply\", at = \"stored\"");
    assert!(lost.fates.delivered == 5 && 5 <= lost.fates.duplicates, "{}", lost.text());
    let grey = mda("kind = \"greylist\", wait = \"5min\"");
    assert!(grey.fates.delivered == 5 && 300.0 < grey.took.p50 && grey.took.max < 3600.0, "{}", grey.text());
}

#[test]
fn a_host_that_starts_slowly_takes_connections_and_says_nothing() {
    let of = |startup: &str| {
        let text = format!(
            "[scenario]\nname = \"x\"\nlasts = \"2 days\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\n\
             after = \"2min\"\n[[faults]]\nfault = {{ kind = \"crash\", host = \"mta-sina\"{startup} }}\nlasts = \"1min\"\n"
        );
        play(&Scenario::parse("x.toml", &text).unwrap(), 1, None, |_| {}).unwrap()
    };
    let (fast, slow) = (of(""), of(", startup = \"30min\""));
    assert!(fast.took.max < 60.0 && fast.deferred == 0, "{}", fast.text());
    // RFC 5321 §4.5.3.2.1: five minutes for the greeting.
    let why = slow.worst[0].events.iter().map(|event| format!("{:?}", event.step)).collect::<String>();
    assert!(1500.0 < slow.took.max && why.contains("300s"), "{} {why}", slow.text());
}

#[test]
fn mail_goes_where_the_zone_has_moved_once_servers_and_caches_know() {
    let moved = "kind = \"dns\", names = \"moved\", about = \"sina.test\", host = \"mta-elsewhere\"";
    let report = under(moved, "");
    // Whoever is not told that the domain moved to them does not take its mail.
    assert_eq!((report.fates.bounced, report.fates.delivered), (1, 0), "{}", report.text());
    let stale = "\n[[faults]]\nfault = { kind = \"dns\", names = \"stale\" }\n";
    let report = under(moved, stale);
    assert_eq!(report.fates.delivered, 1, "{}", report.text());
}

#[test]
fn octets_on_a_slow_link_go_one_after_the_other() {
    let slow = "kind = \"slow\", between = [\"mta-relay\", \"mta-sina\"], latency = \"2s\", bandwidth = 1000";
    let report = under(slow, "size = 100_000");
    // Each of the chunks waits for the one before: a hundred seconds for all of them.
    assert!((100.0..200.0).contains(&report.took.max), "{}", report.text());
}
