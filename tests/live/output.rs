//! Output of the commands.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::{Served, err, eventually, messages, out, postroad};

fn printing_to(out: Stdio, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    command.args(arguments).stdout(out).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn output_to_closed_pipe_is_not_an_error() {
    for arguments in [&["completions", "bash"][..], &["man"], &["check"], &["check", "--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = printing_to(writer.into(), arguments);
        assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()), "{arguments:?}");
    }
}

/// What `2>&1 >/dev/null | head -1` does to the log. Shells report 141 of a program that was ended so.
#[test]
fn log_to_closed_pipe_ends_the_command() {
    for (arguments, code) in [
        (&["simulate", "config/scenarios/outage.toml"][..], 141),
        (&["simulate", "storm", "--seeds", "1..1000000"], 141),
        (&["run"], 141),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.env("POSTROAD_LOG", "trace").env("TMPDIR", folder.path()).args(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
        let status = eventually(&format!("the end of {arguments:?}"), || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(code), "{arguments:?}");
        // A process that was dropped has removed its temporary folder, or never had one.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

#[test]
fn serve_whose_output_nobody_reads_stops_in_order() {
    for stream in ["stdout", "stderr"] {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        let ports = folder.path().join("ports.json");
        command.env("POSTROAD_LOG", "debug").env("TMPDIR", folder.path());
        command.args(["serve", "--ephemeral", "--ports-file"]).arg(&ports);
        let mut child = match stream {
            "stdout" => command.stdout(writer).spawn().unwrap(),
            _ => command.stdout(Stdio::null()).stderr(writer).spawn().unwrap(),
        };
        let status = eventually(stream, || {
            // The log says that this is no TLS.
            if let Ok(ports) = std::fs::read_to_string(&ports)
                && let Ok(ports) = serde_json::from_str::<serde_json::Value>(&ports)
                && let Ok(mut client) = std::net::TcpStream::connect(ports["imaps"].as_str().unwrap())
            {
                let _ = client.write_all(b"a LOGIN me@163.test postroad\r\n");
            }
            child.try_wait().unwrap()
        });
        assert_eq!(status.code(), Some(0), "{stream}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{stream}");
    }
}

/// A mail that was given to `sendmail` is not lost because nobody reads its log.
#[test]
fn sendmail_with_a_closed_log_hands_the_message_over() {
    let served = Served::ephemeral();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    command.env("POSTROAD_LOG", "trace").env("POSTROAD_SMTP", served.at("smtp"));
    command.args(["sendmail", "-v", "-f", "me@163.test", "friend@sina.test"]);
    let mut child = command.stdin(Stdio::piped()).stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Subject: kept\n\nhello\n").unwrap();
    assert_eq!(eventually("the end", || child.try_wait().unwrap()).code(), Some(0));
    assert_eq!(messages(&served, "friend@sina.test", 1).len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn output_to_full_disk_fails_with_one_line() {
    for arguments in [&["completions", "bash"][..], &["man"], &["check"], &["serve", "--ephemeral"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = printing_to(full.into(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err(&output).starts_with("postroad: cannot write to standard output: No space left on device"));
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
    }
}

#[test]
fn refused_login_reports_reply_of_server() {
    let served = Served::ephemeral();
    for (service, words) in
        [("imap", "[AUTHENTICATIONFAILED] Authentication failed"), ("pop3", "[AUTH] Invalid user name or password")]
    {
        let flag = format!("--{service}");
        let server = ["--server", served.at(service), &flag];
        let output = postroad(&[&["fetch", "--user", "me@163.test", "--password", "no"], &server[..]].concat());
        let told = format!("postroad: 127.0.0.1 refused the login of me@163.test: {words}\n");
        assert_eq!((output.status.code(), err(&output)), (Some(1), told), "{service}");
    }
    let faults = postroad(&["fault", "list", "--control", served.at("http")]);
    assert_eq!(out(&faults), "no active faults\n");
}

/// Each of these printed the numbers of octets, an empty name, or the refusal of a login that nobody had asked for.
#[test]
fn run_to_an_address_without_a_mailbox_shows_its_journey() {
    let unknown = postroad(&["run", "--to", "nobody@sina.test"]);
    let text = out(&unknown);
    assert_eq!((unknown.status.code(), err(&unknown)), (Some(1), String::new()), "{text}");
    for words in ["5.1.1", "nothing was fetched: nobody@sina.test has no mailbox in this world", "0 of 1 intact"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let nowhere = postroad(&["run", "--to", "a@nowhere.invalid", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out(&nowhere)).unwrap();
    assert_eq!(report["report"]["unfetched"], "a@nowhere.invalid has no mailbox in this world");
    assert!(report.to_string().contains("nowhere.invalid does not exist"), "{report:#}");
}

#[test]
fn command_that_cannot_do_what_it_was_asked_for_says_so() {
    let imap = postroad(&["fetch", "--user", "friend@sina.test", "--imap", "--delete"]);
    assert!(imap.status.code() == Some(2) && err(&imap).contains("cannot be used with"), "{}", err(&imap));
    let served = Served::ephemeral();
    for (kind, words) in
        [("off", "missing field `host`; `postroad fault begin --help`"), ("flood", "unknown variant `flood`")]
    {
        let refused = postroad(&["fault", "begin", "--control", served.at("http"), kind]);
        assert!(err(&refused).contains(words), "{}", err(&refused));
        assert_eq!((refused.status.code(), err(&refused).lines().count()), (Some(1), 1));
    }
}

#[test]
fn fetch_at_the_port_of_another_protocol_fails_with_one_line() {
    let served = Served::ephemeral();
    for (at, flag, words) in [
        ("smtp", "--imap", "127.0.0.1: does not speak IMAP; it began with `220 mx.163.test ESMTP Postroad`"),
        ("pop3", "--imap", "127.0.0.1: does not speak IMAP; it began with `+OK"),
        ("smtp", "--pop3", "127.0.0.1: the POP3 server violated the protocol: a reply is neither +OK nor -ERR"),
        ("imap", "--pop3", "a reply is neither +OK nor -ERR"),
    ] {
        let server = ["--server", served.at(at), flag];
        let output = postroad(&[&["fetch", "--user", "me@163.test"], &server[..]].concat());
        assert!(err(&output).contains(words) && err(&output).lines().count() == 1, "{at} {flag}: {}", err(&output));
    }
    let queue = postroad(&["queue", "list", "--control", served.at("smtp")]);
    assert!(err(&queue).contains("does not answer as the control interface of postroad does"), "{}", err(&queue));
}
