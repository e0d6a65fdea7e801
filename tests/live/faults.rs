//! Faults in a served world, by `postroad fault`: each shows in what happens to a message, and is over when it ends.

use serde_json::Value;

use super::{Served, err, eventually, messages, out, postroad, send};

fn fault(served: &Served, arguments: &[&str]) -> Value {
    let output = postroad(&[&["fault", "--json", "--control", served.at("http")], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}{}", out(&output), err(&output));
    serde_json::from_str(&out(&output)).unwrap()
}

/// The reason why the last MTA has deferred the message.
fn reason(served: &Served, fault: &str) -> String {
    eventually(&format!("an attempt that fails under {fault}"), || {
        let queue = served.json("/api/v1/queue");
        queue["messages"].as_array()?.iter().find_map(|message| Some(message["reason"].as_str()?.to_owned()))
    })
}

/// Injects a fault written in one line, with `_` for a space in a value; returns its number.
fn begin(served: &Served, line: &str) -> String {
    let words: Vec<String> = line.split(' ').map(|word| word.replace('_', " ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let begun = fault(served, &[&["begin"], &words[..]].concat());
    assert_eq!(fault(served, &["list"]).as_array().unwrap().len(), 1, "{begun}");
    begun["id"].to_string()
}

/// Waits until so many messages have found their end, while queues are told to try again.
fn settled(served: &Served, count: usize) -> Value {
    eventually("delivery", || {
        assert!(postroad(&["queue", "--control", served.at("http"), "flush", "--all"]).status.success());
        let journeys = served.json("/api/v1/journeys")["journeys"].take();
        let all = journeys.as_array().unwrap();
        (all.len() == count && all.iter().all(|journey| journey["settled"] == true)).then_some(journeys)
    })
}

fn delivered(journeys: &Value) -> usize {
    journeys.as_array().unwrap().iter().filter(|journey| journey.to_string().contains("elivered")).count()
}

/// Each in a world of its own: an open connection would be used again, and an answer of the DNS be known already.
#[test]
fn fault_defers_message_until_cleared() {
    for (line, why) in [
        ("reply host=mta-sina at=rcpt reply=450_4.2.0_not_now", "450 4.2.0 not now"),
        ("reply host=mda-sina at=data reply=421_4.3.2_busy", "421 4.3.2 busy"),
        ("reset between=mta-relay,mta-sina after=0", ""),
        ("refuse between=mta-relay,mta-sina", "refused"),
        ("disk-full host=mta-sina", "452"),
        ("greylist host=mta-sina wait=1h", "Greylisted"),
        ("dns names=server-failure about=sina.test", "sina.test"),
        ("off host=mta-sina", ""),
        ("crash host=mta-sina", ""),
    ] {
        let served = Served::ephemeral();
        let id = begin(&served, line);
        send(&served, "friend@sina.test", "a message");
        let reason = reason(&served, line);
        assert!(reason.contains(why), "{line}: {reason}");
        fault(&served, &["end", &id]);
        assert_eq!(delivered(&settled(&served, 1)), 1, "{line}");
    }
}

#[test]
fn link_fault_delays_message_until_cleared() {
    let served = Served::ephemeral();
    for (at, line) in
        ["cut between=mta-relay,mta-sina", "stall between=mta-relay,mta-sina after=100"].iter().enumerate()
    {
        let id = begin(&served, line);
        send(&served, "friend@sina.test", &format!("message {at}"));
        let waits = || {
            let queue = served.json("/api/v1/queue");
            queue["messages"].as_array()?.iter().any(|message| message["host"] == "mta-relay").then_some(())
        };
        eventually("the wait at the cut", waits);
        assert_eq!(delivered(&served.json("/api/v1/journeys")["journeys"]), at, "{line}");
        fault(&served, &["end", &id]);
        settled(&served, at + 1);
    }
    assert_eq!(delivered(&served.json("/api/v1/journeys")["journeys"]), 2);
}

#[test]
fn fault_makes_hop_slow_or_unencrypted() {
    let check = |line: &str, at_least_ms, is_encrypted| {
        let served = Served::ephemeral();
        begin(&served, line);
        send(&served, "friend@sina.test", "a message");
        let journeys = settled(&served, 1);
        let path = format!("/api/v1/journeys/{}", journeys[0]["id"].as_str().unwrap());
        // The relaying host reads the reply after the next host has stored the message.
        let hop = eventually(&format!("the hop under {line}"), || {
            served.json(&path)["events"].as_array()?.iter().find(|event| event["to"] == "mx.sina.test").cloned()
        });
        assert!(at_least_ms <= hop["took_ms"].as_f64().unwrap(), "{line}: {hop}");
        assert_eq!(hop["tls"].is_string(), is_encrypted, "{line}: {hop}");
    };
    // Each in a world of its own, since a connection that is kept open has its TLS already.
    std::thread::scope(|scope| {
        scope.spawn(|| check("slow between=mta-relay,mta-sina latency=300ms", 600.0, true));
        scope.spawn(|| check("disk-slow host=mta-sina by=500ms", 500.0, true));
        scope.spawn(|| check("tls host=mta-sina certificate=absent", 0.0, false));
        scope.spawn(|| check("tls host=mta-sina certificate=expired", 0.0, true));
    });
}

#[test]
fn fault_command_with_invalid_fault_fails_with_one_line() {
    let served = Served::ephemeral();
    for (arguments, said) in [
        (vec!["begin", "off", "host=nowhere"], "nowhere"),
        (vec!["begin", "melt", "host=mta-sina"], "melt"),
        (vec!["begin", "off", "mta-sina"], "write KEY=VALUE"),
        (vec!["end", "77"], "no such fault"),
    ] {
        let output = postroad(&[&["fault", "--control", served.at("http")], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err(&output).contains(said) && err(&output).lines().count() == 1, "{}", err(&output));
    }
}

#[test]
fn overlapping_faults_end_one_by_one_or_all_at_once() {
    let served = Served::ephemeral();
    let is_on = || {
        let hosts = served.json("/api/v1/hosts");
        hosts.as_array().unwrap().iter().find(|host| host["name"] == "mta-sina").unwrap()["on"] == true
    };
    let off = || fault(&served, &["begin", "off", "host=mta-sina"])["id"].to_string();
    let (first, second) = (off(), off());
    fault(&served, &["end", &first]);
    assert_eq!((is_on(), fault(&served, &["list"]).as_array().unwrap().len()), (false, 1));
    let refused = served.ask("POST", "/api/v1/hosts/mta-sina/on");
    assert!(refused.starts_with("HTTP/1.1 409 ") && refused.contains(&format!("faults end: {second}")), "{refused}");
    let third = off();
    assert!(first != second && second != third && third != first, "{first} {second} {third}");
    fault(&served, &["begin", "disk-full", "host=mda-sina"]);
    assert_eq!(fault(&served, &["end", "all"]).as_array().unwrap().len(), 3);
    assert_eq!((is_on(), fault(&served, &["list"])), (true, serde_json::json!([])));
    assert_eq!(fault(&served, &["end", "all"]), serde_json::json!([]));
    send(&served, "friend@sina.test", "a message");
    assert_eq!(delivered(&settled(&served, 1)), 1);
}

/// What a resolver knows of a name is from before the fault, or before its end.
#[test]
fn dns_fault_begun_live_applies_at_once_and_ends_at_once() {
    let served = Served::ephemeral();
    let faults = ["dns names=server-failure about=sina.test", "dns names=wrong about=mx.sina.test host=mua"];
    for (count, line) in (1..).step_by(2).zip(faults) {
        send(&served, "friend@sina.test", "before");
        settled(&served, count);
        // Mail goes on over a connection that is open, which takes no name; it is kept for two seconds.
        (0..150).for_each(|_| super::pause());
        let id = begin(&served, line);
        send(&served, "friend@sina.test", "under the fault");
        reason(&served, line);
        fault(&served, &["end", &id]);
        assert_eq!(delivered(&settled(&served, count + 1)), count + 1, "{line}");
    }
}

/// The answer that a name does not exist is cached, too.
#[test]
fn name_that_did_not_exist_under_a_fault_does_so_after_it() {
    let served = Served::ephemeral();
    let id = begin(&served, "dns names=no-such-name about=sina.test");
    send(&served, "friend@sina.test", "bounced");
    messages(&served, "me@163.test", 1);
    fault(&served, &["end", &id]);
    send(&served, "friend@sina.test", "delivered");
    assert!(messages(&served, "friend@sina.test", 1)[0].contains("Subject: delivered"));
}
