//! `/metrics`, read by the rules of OpenMetrics 1.0, after a known run, and in the older text format.

use std::collections::BTreeMap;

use super::http::{Http, Smtp};
use super::{Served, postroad};

/// The samples of a text, by name and labels as they are written; checks the form.
fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let (mut family, mut kind, mut kinds, mut samples) =
        (String::new(), String::new(), BTreeMap::new(), BTreeMap::new());
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let [about, name, rest] = [(); 3].map(|()| words.next().unwrap());
            match about {
                "HELP" | "UNIT" => assert!(about == "HELP" || name.ends_with(&format!("_{rest}")), "{line}"),
                "TYPE" => assert_eq!(kinds.insert(name.to_owned(), rest.to_owned()), None, "{line}"),
                _ => panic!("{line}"),
            }
            family = name.to_owned();
            kind = kinds.get(name).cloned().unwrap_or_default();
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} after {family}"));
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => panic!("{kind}: {line}"),
        };
        assert!(allowed.contains(&suffix) && labels.ends_with('}'), "{line}");
        assert_eq!(samples.insert(sample.to_owned(), value.parse().unwrap()), None, "{line} comes twice");
    }
    samples
}

#[test]
fn metrics_count_what_happened_in_a_known_run() {
    let served = Served::ephemeral();
    let mut smtp = Smtp::connect(&served);
    let ids: Vec<_> = (0..3).map(|number| smtp.send(&["friend@sina.test"], &format!("number {number}"))).collect();
    let lost = smtp.send(&["nobody@sina.test"], "lost");
    smtp.say("QUIT");
    for id in ids.iter().chain([&lost]) {
        served.get(&format!("/api/v1/journeys/{id}?wait=30s"));
    }
    let begin = ["fault", "--control", served.at("http"), "begin", "disk-full", "host=mta-163"];
    assert!(postroad(&begin).status.success());
    served.get("/api/v1/sessions?open=false&wait=30s");
    let (mut http, accept) = (Http::connect(&served), "Host: localhost\r\nAccept: application/openmetrics-text");
    let text = super::eventually("the bounce", || {
        let text = http.ask_with(accept, "GET", "/metrics", "").1;
        Some(text).filter(|text| text.contains("outcome=\"delivered\"} 4\n") && text.contains("_unsaved 0\n"))
    });
    let samples = parse(&text);
    for (sample, expected) in [
        // Four from the client, and the bounce.
        ("postroad_messages_received_total{host=\"mta-163\",protocol=\"smtp\"}", 5.0),
        ("postroad_recipients_total{outcome=\"delivered\"}", 4.0),
        ("postroad_recipients_total{outcome=\"failed\"}", 1.0),
        ("postroad_bounces_total{host=\"mta-relay\"}", 1.0),
        ("postroad_journey_duration_seconds_count", 4.0),
        ("postroad_journey_duration_seconds_bucket{le=\"+Inf\"}", 4.0),
        ("postroad_queue_messages{host=\"mta-163\"}", 0.0),
        ("postroad_sessions_total{protocol=\"smtp\",outcome=\"accepted\"}", 1.0),
        ("postroad_sessions_total{protocol=\"smtp\",outcome=\"all\"}", 1.0),
        ("postroad_sessions_open", 0.0),
        ("postroad_faults", 1.0),
        ("postroad_host_up{host=\"mta-163\"}", 1.0),
        ("postroad_events_missed_total", 0.0),
    ] {
        assert_eq!(samples.get(sample), Some(&expected), "{sample}\n{text}");
    }
    let hops = samples["postroad_hop_duration_seconds_count{host=\"mta-163\"}"];
    assert_eq!(hops, 5.0, "four to the next host, and the bounce to the mailbox");
    let (commits, jobs) = (samples["postroad_store_commits_total"], samples["postroad_store_jobs_total"]);
    assert!(0.0 < commits && commits <= jobs, "{commits} {jobs}");
    assert!(1e6 < samples["process_resident_memory_bytes"] && 1.7e9 < samples["process_start_time_seconds"]);

    // Who does not ask for it gets what everything reads.
    let older = served.ask("GET", "/metrics");
    let (head, body) = older.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    for line in [
        "# TYPE postroad_build_info gauge",
        "# HELP postroad_recipients_total What became of messages, for each recipient.",
        "# TYPE postroad_recipients_total counter",
        "postroad_recipients_total{outcome=\"delivered\"} 4",
        "# TYPE postroad_journey_duration_seconds histogram",
    ] {
        assert!(body.lines().any(|one| one == line), "{line}\n{body}");
    }
    assert!(!body.contains("# UNIT") && !body.contains("# EOF") && !body.contains(" info\n"), "{body}");
}
