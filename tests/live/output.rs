//! Output of the commands.

use std::fs::File;
use std::process::{Command, Output, Stdio};

use super::{Served, err, out, postroad};

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

#[cfg(target_os = "linux")]
#[test]
fn output_to_full_disk_fails_with_one_line() {
    for arguments in [&["completions", "bash"][..], &["man"], &["check"]] {
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
