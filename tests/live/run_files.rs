//! Files that tell of one run: nobody finds those of an earlier one.

use std::fs;
use std::process::{Command, Stdio};

use super::{Served, err, eventually, postroad};

/// A ports file that a killed process has left behind would lead clients to closed ports.
#[test]
fn ports_file_of_an_earlier_run_is_removed_at_the_start_and_this_one_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ports.json");
    let path = file.to_str().unwrap();
    // A start that fails removes it, too.
    for arguments in [&["no-such-world.toml"][..], &["--data", "/dev/null/x"], &["--bind", "192.0.2.1"]] {
        fs::write(&file, r#"{"http":"127.0.0.1:1"}"#).unwrap();
        let failed = postroad(&[&["serve", "--free-ports", "--ports-file", path], arguments].concat());
        assert_eq!((failed.status.code(), file.exists()), (Some(1), false), "{arguments:?}: {}", err(&failed));
    }
    fs::write(&file, "an earlier run").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    command.args(["serve", "--ephemeral", "--ports-file", path]).stdout(Stdio::null());
    let child = command.spawn().unwrap();
    let ports = eventually("serving", || serde_json::from_str(&fs::read_to_string(&file).ok()?).ok());
    let served = Served { child, ports, _temporary: tempfile::tempdir().unwrap() };
    assert_eq!(served.json("/api/v1/faults"), serde_json::json!([]));
    assert_eq!(served.terminate(), Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let queue = postroad(&["queue", "list", "--ports-file", path]);
    assert!(err(&queue).contains("which is there while `postroad serve --ports-file` runs"), "{}", err(&queue));
}

/// A CI job would take the report of the run before for this one's.
#[test]
fn reports_of_an_earlier_simulation_are_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["html", "junit", "trace"].map(|name| folder.path().join(name));
    files.iter().for_each(|file| fs::write(file, "an earlier run").unwrap());
    let [html, junit, trace] = files.each_ref().map(|file| file.to_str().unwrap());
    let failed = postroad(&["simulate", "no-such.toml", "--html", html, "--junit", junit, "--trace", trace]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let ran = postroad(&["simulate", "storm", "--seed", "3", "--html", html, "--junit", junit, "--trace", trace]);
    assert!(ran.status.success(), "{}", err(&ran));
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() > 100));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
