//! What a running world shows in the terminal: the journeys of its messages, and lines about them.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{LineClient, Output, Served, err, eventually, messages, out, postroad, send};

/// Runs a command for this world.
fn run(served: &Served, arguments: &[&str]) -> Output {
    postroad(&[arguments, &["--control", served.at("http")]].concat())
}

/// The output of a command for this world.
fn said(served: &Served, arguments: &[&str]) -> String {
    let output = run(served, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", err(&output));
    out(&output)
}

fn until_settled(served: &Served) {
    eventually("the end of all journeys", || {
        let open = served.json("/api/v1/journeys?settled=false");
        open["journeys"].as_array().unwrap().is_empty().then_some(())
    });
}

#[test]
fn journey_shows_every_hop_and_what_became_of_the_message() {
    let served = Served::ephemeral();
    let none = run(&served, &["journey"]);
    assert!(
        !none.status.success() && err(&none).contains("no such message has entered the world yet"),
        "{}",
        err(&none)
    );
    send(&served, "friend@sina.test", "one");
    send(&served, "nobody@sina.test", "=?utf-8?q?Gr=C3=BC=C3=9Fe_zwei?=");
    until_settled(&served);

    let text = said(&served, &["journey", "--to", "friend@sina.test"]);
    assert!(text.starts_with("one  journey ") && text.contains("  me@163.test -> friend@sina.test\n"), "{text}");
    for words in [
        "  mta-163    SMTP      ",
        "accepted from program.test [127.0.0.1]",
        "relayed to relay.postroad.test: 250 2.0.0 OK: queued as ",
        "delivered to friend@sina.test in INBOX, UID 1",
        "\n  ✓ friend@sina.test: delivered\n",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains("C: ") && !text.contains("Received"), "{text}");

    let failed = said(&served, &["journey", "--subject", "Grüße zwei", "--from", "me@163.test"]);
    assert!(
        failed.starts_with("Grüße zwei  journey ")
            && failed.contains("\n  ✗ nobody@sina.test: mx.sina.test said: 550 5.1.1")
    );
    let other = run(&served, &["journey", "--subject", "zwei", "--to", "friend@sina.test"]);
    assert!(!other.status.success(), "{}", out(&other));
    let last = said(&served, &["journey", "--last", "2", "--from", "me@163.test"]);
    assert!(last.find("one  journey").unwrap() < last.find("\n\nGrüße zwei  journey").unwrap(), "{last}");

    let dialogue = said(&served, &["journey", "--to", "friend@sina.test", "--dialogue"]);
    assert!(
        dialogue.contains("      C: MAIL FROM:<me@163.test>") && dialogue.contains("      S: 220 mx.sina.test"),
        "{dialogue}"
    );
    let diff = said(&served, &["journey", "--to", "friend@sina.test", "--diff"]);
    let added: Vec<_> = diff.lines().filter_map(|line| line.strip_prefix("      + ")).collect();
    assert_eq!(added.iter().filter(|line| line.starts_with("Received: from ")).count(), 4, "{diff}");
    assert!(added.contains(&"Return-Path: <me@163.test>"), "{diff}");
    let first = diff.find("accepted from program.test").unwrap();
    assert!(diff[first..].lines().nth(1).unwrap().starts_with("      + Received: from program.test"), "{diff}");
    assert!(diff.contains("the content is as it was accepted\n"), "{diff}");

    // The id of the reply names it, too, and JSON is what the interface says.
    let list: Value = served.json("/api/v1/journeys?to=friend@sina.test");
    let id = list["journeys"][0]["id"].as_str().or(list["journeys"][0]["journey"].as_str()).unwrap();
    let json: Value = serde_json::from_str(&said(&served, &["journey", id, "--json"])).unwrap();
    assert_eq!(json, served.json(&format!("/api/v1/journeys/{id}")));
    let queue_id = json["events"][0]["id"].as_str().unwrap();
    assert_eq!(said(&served, &["journey", queue_id]), text);
    let unknown = run(&served, &["journey", "0000000000"]);
    assert!(!unknown.status.success() && err(&unknown).contains("no such journey"), "{}", err(&unknown));
}

#[test]
fn journey_follow_waits_for_a_message_and_prints_its_events_to_the_end() {
    let (served, folder) = (Served::ephemeral(), tempfile::tempdir().unwrap());
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    let file = folder.path().join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    command.args(["journey", "--follow", "--to", "friend@sina.test", "--control", served.at("http")]);
    let mut child = command.stdout(File::create(&file).unwrap()).spawn().unwrap();
    let shows = |words: &str| {
        eventually(words, || fs::read_to_string(&file).ok().filter(|text| text.contains(words)));
    };
    send(&served, "me@163.test", "another");
    send(&served, "friend@sina.test", "followed");
    shows("followed  journey ");
    shows("deferred <friend@sina.test> until ");
    assert!(child.try_wait().unwrap().is_none());
    served.ask("POST", "/api/v1/hosts/mda-sina/on");
    said(&served, &["queue", "flush", "--all"]);
    let status = eventually("the end", || child.try_wait().unwrap());
    let text = fs::read_to_string(&file).unwrap();
    assert!(status.success() && text.ends_with("  ✓ friend@sina.test: delivered\n"), "{text}");
    assert_eq!(text.matches("accepted from program.test").count(), 1, "{text}");
}

#[test]
fn serve_prints_a_line_for_each_message_its_waits_and_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |name: &str, quiet: bool| {
        let file = folder.path().join(name);
        let output = File::create(&file).unwrap();
        let served = Served::spawn(|command| {
            command.arg("--ephemeral").args(quiet.then_some("--quiet")).stdout(output);
        });
        (served, file)
    };
    let (served, file) = serve("lines", false);
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    send(&served, "friend@sina.test", "waits");
    send(&served, "nobody@elsewhere.test", "arrives");
    let text = || fs::read_to_string(&file).unwrap();
    let line = |words: &[&str]| {
        eventually(&format!("{words:?}"), || {
            text().lines().find(|line| words.iter().all(|words| line.contains(words))).map(str::to_owned)
        })
    };
    let entered = line(&[" + ", "<me@163.test> -> <friend@sina.test>", "bytes by SMTP at mta-163"]);
    let id = entered.split_whitespace().nth(2).unwrap();
    line(&[" … ", id, "friend@sina.test: waiting at mta-sina until "]);
    line(&[" ✓ ", "nobody@elsewhere.test: delivered"]);
    served.ask("POST", "/api/v1/hosts/mda-sina/on");
    said(&served, &["queue", "flush", "--all"]);
    line(&[" ✓ ", id, "friend@sina.test: delivered"]);
    send(&served, "nobody@sina.test", "bounces");
    line(&[" ✗ ", "nobody@sina.test: mx.sina.test said: 550 5.1.1"]);
    line(&[" + ", "<> -> <me@163.test>", "a report of mta-"]);
    assert_eq!(text().lines().filter(|line| line.contains(id)).count(), 3, "{}", text());
    assert_eq!(served.terminate(), Some(0));
    assert!(text().ends_with("stopping\n"), "{}", text());

    let (served, file) = serve("quiet", true);
    send(&served, "friend@sina.test", "arrives");
    messages(&served, "friend@sina.test", 1);
    assert!(!fs::read_to_string(&file).unwrap().contains(" -> "));
}

/// A test suite that reads the first line of a pipe, and no more.
#[test]
fn serve_with_a_full_pipe_goes_on_and_ends_in_time() {
    let (reader, writer) = std::io::pipe().unwrap();
    let served = Served::spawn(|command| {
        command.arg("--ephemeral").stdout(writer);
    });
    let mut smtp = LineClient::open(served.at("smtp"));
    assert!(smtp.command("HELO program.test").starts_with("250"));
    for number in 0..600 {
        for command in ["MAIL FROM:<me@163.test>", "RCPT TO:<me@163.test>", "DATA"] {
            smtp.command(command);
        }
        assert!(smtp.command(&format!("Subject: {number}\r\n\r\nHello!\r\n.")).starts_with("250"));
    }
    until_settled(&served);
    let began = tokio::time::Instant::now();
    assert_eq!(served.terminate(), Some(0));
    assert!(began.elapsed().as_secs() < 5);
    drop(reader);
}

#[test]
fn queue_list_says_why_each_message_waits_also_while_it_is_under_way() {
    let served = Served::ephemeral();
    said(&served, &["fault", "begin", "stall", "between=mta-sina,mda-sina"]);
    send(&served, "friend@sina.test", "waits");
    let shows =
        |words: &str| eventually(words, || Some(said(&served, &["queue", "list"])).filter(|text| text.contains(words)));
    shows("talks to mail.sina.test since ");
    let list = eventually("one message", || {
        let list: Value = serde_json::from_str(&said(&served, &["queue", "list", "--json"])).unwrap();
        (list["total"] == 1).then_some(list)
    });
    let message = &list["messages"][0];
    let talk = &message["active_attempts"][0];
    assert!(message["state"] == "underway" && message["host"] == "mta-sina", "{list}");
    assert!(talk["to"] == "mail.sina.test" && talk["since"].is_string(), "{list}");
    let id = message["id"].as_str().unwrap();
    assert!(said(&served, &["queue", "show", id]).contains("because    talks to mail.sina.test since "));
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    said(&served, &["fault", "end", "all"]);
    shows("refused the connection");
    served.ask("POST", "/api/v1/hosts/mta-sina/off");
    shows("    mta-sina is off; before: ");
}

#[test]
fn fetch_waits_for_a_message_and_shows_it_as_a_letter() {
    let served = Served::ephemeral();
    let fetch = |user: &str, more: &[&str]| {
        postroad(&[&["fetch", "--user", user, "--server", served.at("imap")], more].concat())
    };
    let none = fetch("friend@sina.test", &["--wait", "200ms"]);
    let said_none = "postroad: no message for friend@sina.test within 200ms\n";
    assert_eq!((none.status.code(), err(&none).as_str()), (Some(1), said_none));
    assert_eq!(fetch("friend@sina.test", &[]).status.code(), Some(0));
    for (protocol, service) in [("--imap", "imap"), ("--pop3", "pop3")] {
        let user = format!("ann{protocol}@customer.example");
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.args(["fetch", protocol, "--server", served.at(service), "--user", &user, "--wait", "30s", "--show"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        send(&served, &user, "=?utf-8?q?Gr=C3=BC=C3=9Fe_=1B[2J?=");
        let shown = child.wait_with_output().unwrap();
        let text = out(&shown);
        assert!(shown.status.success() && text.starts_with("message 1, "), "{text}{}", err(&shown));
        assert!(text.contains("\nSubject   Grüße \\u001b[2J\n\n.dot\n") && !text.contains("Received"), "{text}");
    }
}
