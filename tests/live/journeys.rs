//! Journeys and events over HTTP: many of them, other mail that waits, and restarts.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const ANN: &str = "ann@customer.example";

/// Sends many messages on one connection.
fn send_many(served: &Served, to: &str, count: usize) {
    let mut smtp = LineClient::open(served.at("smtp"));
    assert!(smtp.command("HELO program.test").starts_with("250"));
    for number in 0..count {
        assert!(smtp.command("MAIL FROM:<app@example.com>").starts_with("250"));
        assert!(smtp.command(&format!("RCPT TO:<{to}>")).starts_with("250"));
        assert!(smtp.command("DATA").starts_with("354"));
        assert!(smtp.command(&format!("Subject: {number}\r\n\r\nHello!\r\n.")).starts_with("250"));
    }
}

/// All journeys of a list, newest first, page by page.
fn listed(served: &Served, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.json(&format!("/api/v1/journeys?limit=70{query}{cursor}"));
        all.extend(page["journeys"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_u64() else {
            assert_eq!(page["total"], all.len(), "{query}");
            return all;
        };
        cursor = format!("&cursor={next}");
    }
}

/// All events, page by page: their numbers and journeys.
fn events(served: &Served) -> Vec<(u64, String)> {
    let (mut all, mut since) = (Vec::new(), 0);
    loop {
        let page = served.json(&format!("/api/v1/events?since={since}"));
        let events = page["events"].as_array().unwrap();
        let Some(last) = events.last() else { return all };
        assert_eq!(page["last"], last["seq"]);
        since = page["last"].as_u64().unwrap();
        all.extend(events.iter().map(|event| (event["seq"].as_u64().unwrap(), event["journey"].to_string())));
    }
}

fn ids(journeys: &[Value]) -> BTreeSet<String> {
    journeys.iter().map(|journey| journey["id"].to_string()).collect()
}

#[test]
fn journeys_of_300_messages_are_listed_beside_one_that_waits_and_after_a_kill() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let open = format!("/api/v1/journeys?to={ANN}&settled=false");
    assert!(readme.contains(&open), "README.md waits with this list");
    let data = tempfile::tempdir().unwrap();
    let mut served = Served::start(data.path());
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    send(&served, "friend@sina.test", "waits");
    send_many(&served, ANN, 1);
    let is_done = |served: &Served| served.json(&open)["journeys"].as_array().unwrap().is_empty().then_some(());
    eventually("the arrival of a message", || is_done(&served));
    let id = listed(&served, &format!("&to={ANN}"))[0]["id"].as_str().unwrap().to_owned();
    let events_of =
        |served: &Served| served.json(&format!("/api/v1/journeys/{id}"))["events"].as_array().unwrap().clone();
    let stored = events_of(&served);
    assert!(Value::from(stored.clone()).to_string().contains("dialogue"));
    eventually("storing of events", || {
        served.ask("GET", "/metrics").contains("\npostroad_events_unsaved 0\n").then_some(())
    });
    // The events of the others may be lost when the process is killed, but not their journeys.
    send_many(&served, ANN, 299);
    eventually("the arrival of 300 messages", || is_done(&served));
    let before = listed(&served, "");
    assert_eq!((before.len(), ids(&before).len()), (301, 301));
    assert_eq!(listed(&served, "&settled=false").len(), 1);
    assert_eq!(listed(&served, &format!("&to={ANN}&settled=true")).len(), 300);
    assert_eq!(listed(&served, "&from=me@163.test").len(), 1);
    let seen = events(&served);
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "an event comes twice");
    let mut counts = BTreeMap::<String, u64>::new();
    seen.into_iter().for_each(|(_, journey)| *counts.entry(journey).or_default() += 1);
    for journey in &before {
        assert!(journey["events"].as_u64() <= counts.get(&journey["id"].to_string()).copied(), "{journey:#}");
    }
    let waits = |served: &Served| {
        let open = listed(served, "&settled=false");
        let status = &open.first()?["recipients"]["friend@sina.test"];
        let statuses = ["underway", "deferred"];
        assert!(open[0]["reverse_path"] == "me@163.test" && open.len() == 1, "{open:#?}");
        statuses.contains(&status["status"].as_str()?).then(|| open[0].clone())
    };
    let waiting = waits(&served).unwrap();
    served.child.kill().unwrap();
    drop(served);
    let served = Served::start(data.path());
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    eventually("the list after a restart", || is_done(&served));
    let after = listed(&served, "");
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(after.last().unwrap()["id"], before.last().unwrap()["id"], "the order is kept");
    let now = waits(&served).expect("the message still waits");
    assert_eq!((&now["began"], &now["id"]), (&waiting["began"], &waiting["id"]));
    assert!(events_of(&served).starts_with(&stored));
    served.ask("POST", "/api/v1/hosts/mda-sina/on");
    eventually("the last message", || {
        postroad(&["queue", "--control", served.at("http"), "flush", "--all"]);
        listed(&served, "&settled=false").is_empty().then_some(())
    });
}

#[test]
fn journey_of_a_held_message_says_held() {
    let served = Served::ephemeral();
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    send(&served, "friend@sina.test", "held");
    let has_status = |expected: &str| {
        eventually(expected, || {
            let page = served.json("/api/v1/journeys?to=friend@sina.test");
            (page["journeys"][0]["recipients"]["friend@sina.test"]["status"] == expected).then_some(())
        });
    };
    has_status("deferred");
    let run =
        |action: &str| assert!(postroad(&["queue", "--control", served.at("http"), action, "--all"]).status.success());
    run("hold");
    has_status("held");
    run("release");
    has_status("deferred");
}

/// What was said stands there as it was said, and once.
#[test]
fn run_with_transcript_shows_each_conversation_once_and_the_sender_first() {
    let text = out(&postroad(&["run", "--transcript"]));
    assert!(text.contains(concat!("S: IMPLEMENTATION Postroad-", env!("CARGO_PKG_VERSION"))), "{text}");
    let count = |words: &str| text.matches(words).count();
    assert_eq!((count("C: RETR 1"), count("C: CAPA"), count("BODY.PEEK[]")), (1, 2, 1), "{text}");
    assert_eq!((count("LOGOUT"), count("C: AUTH PLAIN ***")), (2, 2), "{text}");
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}\n{text}"));
    let order = ["the sender", "accepted from", "relayed to", "the recipient over POP3", "the recipient over IMAP"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{text}");
}
