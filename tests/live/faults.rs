//! Faults in a served world, by `postroad fault`: each shows in what happens to a letter, and is over when it ends.

use serde_json::Value;

use super::{Served, err, eventually, out, postroad, send};

fn fault(served: &Served, arguments: &[&str]) -> Value {
    let output = postroad(&[&["fault", "--json", "--control", served.at("http")], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}{}", out(&output), err(&output));
    serde_json::from_str(&out(&output)).unwrap()
}

/// Why the last MTA still has the message.
fn reason(served: &Served, fault: &str) -> String {
    eventually(&format!("an attempt that fails under {fault}"), || {
        let queue = served.json("/api/v1/queue");
        queue["messages"].as_array()?.iter().find_map(|message| Some(message["reason"].as_str()?.to_owned()))
    })
}

#[test]
fn a_fault_holds_mail_up_until_it_ends() {
    let served = Served::ephemeral();
    for (at, (fault_line, why)) in [
        ("reply host=mta-sina at=rcpt reply=450_4.2.0_not_now", "450 4.2.0 not now"),
        ("reply host=mda-sina at=data reply=421_4.3.2_busy", "421 4.3.2 busy"),
        ("reset between=mta-relay,mta-sina after=0", ""),
        ("disk-full host=mta-sina", "452"),
        ("off host=mta-sina", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let words: Vec<String> = fault_line.split(' ').map(|word| word.replace('_', " ")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let begun = fault(&served, &[&["begin"], &words[..]].concat());
        assert_eq!(fault(&served, &["list"]).as_array().unwrap().len(), 1, "{begun}");
        send(&served, "friend@sina.test", &format!("letter {at}"));
        let reason = reason(&served, fault_line);
        assert!(reason.contains(why), "{fault_line}: {reason}");
        fault(&served, &["end", &begun["id"].to_string()]);
        let flush = |served: &Served| postroad(&["queue", "--control", served.at("http"), "flush", "--all"]);
        eventually("delivery", || {
            assert!(flush(&served).status.success());
            let settled = served.json("/api/v1/journeys");
            let all = settled.as_array().unwrap();
            (all.len() == at + 1 && all.iter().all(|journey| journey["settled"] == true)).then_some(())
        });
    }
    let stories = served.json("/api/v1/journeys");
    let delivered = |journey: &&Value| journey.to_string().contains("elivered");
    assert_eq!(stories.as_array().unwrap().iter().filter(delivered).count(), 5, "{stories}");
}

#[test]
fn a_fault_that_makes_no_sense_is_one_line() {
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
