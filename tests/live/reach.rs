//! How programs and commands reach a world: with default settings, and without naming its ports.

use std::fs;

use super::{LineClient, Output, Served, err, fed, messages, out, postroad};

/// The keywords that a server announces.
fn keywords(at: &str) -> Vec<String> {
    let mut client = LineClient::open(at);
    let mut lines = vec![client.command("EHLO program.test")];
    while lines.last().unwrap().starts_with("250-") {
        let line = client.read_line();
        lines.push(line);
    }
    lines
}

/// Libraries use STARTTLS where it is offered, and then do not trust the world's authority.
#[test]
fn smtp_port_offers_starttls_only_if_the_world_asks_for_it() {
    let offers =
        |served: &Served, service: &str| keywords(served.at(service)).iter().any(|line| line.ends_with("STARTTLS"));
    let served = Served::ephemeral();
    assert_eq!((offers(&served, "smtp"), offers(&served, "submission")), (false, true));
    let sent = |more: &[&str]| {
        let message = ["send", "--server", served.at("smtp"), "--from", "me@163.test", "--to", "friend@sina.test"];
        postroad(&[&message, more].concat())
    };
    assert!(sent(&[]).status.success());
    assert!(err(&sent(&["--security", "upgrade"])).contains("does not offer STARTTLS"));
    let refused = LineClient::open(served.at("smtp")).command("STARTTLS");
    assert!(refused.starts_with("502 5.5.1"), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world.toml");
    let text = include_str!("../../config/journey.toml").replace("[mta.mta-163]", "[mta.mta-163]\nstarttls = true");
    fs::write(&world, text).unwrap();
    let served = Served::start_world(&folder.path().join("data"), &world);
    assert_eq!((offers(&served, "smtp"), offers(&served, "submission")), (true, true));
}

/// The commands that talk to a world, as they are called without saying where it is.
const COMMANDS: &[&[&str]] = &[
    &["send", "--from", "me@163.test", "--to", "friend@sina.test"],
    &["fetch", "--user", "friend@sina.test"],
    &["fetch", "--pop3", "--user", "friend@sina.test"],
    &["sendmail", "-f", "me@163.test", "friend@sina.test"],
    &["greeter", "call", "Ann"],
    &["queue", "list"],
    &["fault", "list"],
    &["mailbox", "list"],
    &["ca"],
];

fn run(arguments: &[&str], ports_file: &str) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_postroad"));
    command.args(arguments).env("POSTROAD_PORTS_FILE", ports_file);
    match arguments[0] {
        "sendmail" => fed(command, "Subject: found\n\nhello\n"),
        _ => command.output().unwrap(),
    }
}

#[test]
fn commands_find_a_world_by_its_ports_file_in_the_environment_and_as_option() {
    let (served, folder) = (Served::ephemeral(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ports.json");
    fs::write(&file, served.ports.to_string()).unwrap();
    let file = file.to_str().unwrap();
    for arguments in COMMANDS {
        let found = run(arguments, file);
        assert!(found.status.success(), "{arguments:?}: {}{}", out(&found), err(&found));
    }
    assert_eq!(messages(&served, "friend@sina.test", 2).len(), 2);
    let listed = postroad(&["fetch", "--user", "friend@sina.test", "--ports-file", file]);
    assert_eq!(out(&listed).lines().count(), 2, "{}", err(&listed));
    // The authority of a world whose folder nobody knows.
    let pem = out(&postroad(&["ca", "--ports-file", file]));
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && pem == served.get("/api/v1/ca"), "{pem}");
}

#[test]
fn commands_ask_whether_a_world_runs_where_nothing_listens() {
    let folder = tempfile::tempdir().unwrap();
    let (stale, none) = (folder.path().join("stale.json"), folder.path().join("none.json"));
    let services = ["smtp", "submission", "imap", "pop3", "http", "greeter"];
    let ports: serde_json::Map<_, _> =
        services.map(|name| (name.to_owned(), "127.0.0.1:1".into())).into_iter().collect();
    fs::write(&stale, serde_json::Value::from(ports).to_string()).unwrap();
    for arguments in COMMANDS {
        for (file, question) in [(&stale, "is `postroad serve` running?\n"), (&none, "is it running?\n")] {
            let lost = run(arguments, file.to_str().unwrap());
            let code = if arguments[0] == "sendmail" { 75 } else { 1 };
            let text = err(&lost);
            assert_eq!((lost.status.code(), text.lines().count()), (Some(code), 1), "{arguments:?}: {text}");
            assert!(text.ends_with(question), "{arguments:?}: {text}");
        }
    }
}
