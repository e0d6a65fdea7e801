//! A world with an MTA of the `mailin` engine: what it relays and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{LineClient, Served, eventually, messages};

const WORLD: &str = include_str!("../../config/mailin-in-the-middle.toml");

/// The shipped world, but the mailboxes of sina.test take small messages only.
fn world(folder: &Path) -> PathBuf {
    let path = folder.join("world.toml");
    let mailboxes = "[mda.mda-sina]\n";
    assert!(WORLD.contains(mailboxes));
    fs::write(&path, WORLD.replace(mailboxes, &format!("{mailboxes}size_max = 20000\n"))).unwrap();
    path
}

fn submit(served: &Served, recipients: &[&str], text: &str) {
    let mut smtp = LineClient::open(served.at("smtp"));
    let mut line = smtp.command("EHLO program.test");
    while line.starts_with("250-") {
        line = smtp.read_line();
    }
    assert!(smtp.command("MAIL FROM:<me@163.test> BODY=8BITMIME").starts_with("250"));
    for recipient in recipients {
        assert!(smtp.command(&format!("RCPT TO:<{recipient}>")).starts_with("250"), "{recipient}");
    }
    assert!(smtp.command("DATA").starts_with("354"));
    let reply = smtp.command(&format!("{text}\r\n."));
    assert!(reply.starts_with("250"), "{reply}");
}

/// Waits for the first journey that matches.
fn journey(served: &Served, is_it: impl Fn(&Value) -> bool) -> Value {
    let find = || {
        let page = served.json("/api/v1/journeys");
        page["journeys"].as_array().unwrap().iter().find(|journey| is_it(journey)).cloned()
    };
    eventually("that journey", find)
}

#[test]
fn mailin_relays_8_bit_text_dots_and_several_recipients() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start_world(data.path(), &world(data.path()));
    let recipients = ["friend@sina.test", "anybody@example.org", "other@example.org"];
    submit(&served, &recipients, "Subject: odd\r\n\r\n..\r\n...\r\n..dot\r\nFrom here on, 你好\r\n\r\nend");
    for recipient in recipients {
        let message = messages(&served, recipient, 1).remove(0);
        assert!(message.ends_with("Subject: odd\n\n..\n...\n..dot\nFrom here on, 你好\n\nend"), "{message}");
        assert!(message.contains("by relay.postroad.test (Postroad) with SMTP id "), "{message}");
    }
    eventually("empty queues", || (served.json("/api/v1/queue")["total"] == 0).then_some(()));
}

#[test]
fn mailin_bounces_failed_message_but_refuses_bounces() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start_world(data.path(), &world(data.path()));
    submit(&served, &["nobody@sina.test"], "Subject: lost\r\n\r\n");
    let bounce = messages(&served, "me@163.test", 1).remove(0);
    assert!(bounce.contains("Reporting-MTA: dns; relay.postroad.test") && bounce.contains("Status: 5.1.1"), "{bounce}");
    // Too large for the mailbox: the last MTA has to tell the sender, by way of one that takes no null reverse-path.
    submit(&served, &["friend@sina.test"], &format!("Subject: large\r\n\r\n{}", "0123456789\r\n".repeat(4000)));
    let refused = journey(&served, |journey| {
        journey["reverse_path"].is_null() && journey["recipients"]["me@163.test"]["status"] == "failed"
    });
    let reason = refused["recipients"]["me@163.test"]["reason"].as_str().unwrap();
    assert!(reason.contains("500"), "{reason}");
    messages(&served, "me@163.test", 1);
    eventually("empty queues", || (served.json("/api/v1/queue")["total"] == 0).then_some(()));
}

#[test]
fn mailin_host_turned_off_queues_mail_until_turned_on() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start_world(data.path(), &world(data.path()));
    for round in 1..=2 {
        served.ask("POST", "/api/v1/hosts/mta-relay/off");
        submit(&served, &["friend@sina.test"], "Subject: while it was off\r\n\r\n");
        eventually("a first attempt", || {
            (served.json("/api/v1/queue")["messages"][0]["attempts"].as_u64()? != 0).then_some(())
        });
        served.ask("POST", "/api/v1/hosts/mta-relay/on");
        served.ask("POST", "/api/v1/queue/flush?all=true");
        messages(&served, "friend@sina.test", round);
    }
}

#[test]
fn mailin_serves_domain_and_expands_aliases() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("world.toml");
    let text = WORLD.replace("mx = [\"mta-sina\"]", "mx = [\"mta-relay\"]");
    fs::write(&path, text.replace("[\"friend\"]", "[\"friend\"]\naliases = { info = [\"friend\", \"me@163.test\"] }"))
        .unwrap();
    let served = Served::start_world(data.path(), &path);
    submit(&served, &["info@sina.test"], "Subject: to all\r\n\r\n");
    for recipient in ["friend@sina.test", "me@163.test"] {
        let message = messages(&served, recipient, 1).remove(0);
        assert!(message.contains("Delivered-To: info@sina.test\n"), "{message}");
    }
}
