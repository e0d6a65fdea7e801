//! Faults as programs at the public ports see them: Python's smtplib, imaplib and poplib.

use std::process::Command;

use super::{Served, err, out};

#[test]
fn faults_of_hosts_and_links_reach_programs_at_the_public_ports() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has python3");
        return;
    }
    let served = Served::ephemeral();
    let output = Command::new("python3").args(["tests/clients/faults.py", served.at("http")]).output().unwrap();
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
}
