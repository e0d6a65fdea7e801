//! Import and export of messages in each format.

use std::fs;

use serde_json::Value;

use super::{Served, err, out, postroad};

/// Runs `postroad mailbox` with a world; returns its output.
fn mailbox(served: &Served, arguments: &[&str]) -> String {
    let output = postroad(&[&["mailbox", "--control", served.at("http")], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}{}", out(&output), err(&output));
    out(&output)
}

#[test]
fn mailbox_import_and_export_keep_messages_unchanged() {
    let served = Served::ephemeral();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mbox = "From ann@a.test Sat Feb  3 04:05:06 2024\nStatus: RO\nSubject: one\n\n>From here on\n\n\
        From ann@a.test Sun Feb  4 04:05:06 2024\nSubject: two\n\ntwo\n\n";
    fs::write(path("old.mbox"), mbox).unwrap();
    for name in ["dir/cur", "dir/new", "dir/tmp"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    fs::write(path("dir/cur/1.x:2,FS"), "Subject: three\n\nthree\n").unwrap();
    fs::write(path("dir/new/2.x"), "Subject: four\n\nfour\n").unwrap();

    let into = ["import", "friend@sina.test", "--mailbox", "Old/Box"];
    let said = mailbox(&served, &[&into[..], &[&path("old.mbox"), &path("dir")]].concat());
    assert_eq!(said, "4 messages imported into Old/Box of friend@sina.test\n");
    let list: Value = serde_json::from_str(&mailbox(&served, &["list", "friend@sina.test", "--json"])).unwrap();
    let filled = list.as_array().unwrap().iter().find(|report| report["mailbox"] == "Old/Box").unwrap();
    assert_eq!((&filled["messages"], &filled["unseen"]), (&Value::from(4), &Value::from(2)), "{filled}");
    assert!(mailbox(&served, &["list"]).contains("  Old/Box"));

    // Out as a Maildir with flags, from that as an mbox, and from that as files: nothing is lost on the way.
    mailbox(&served, &["export", "friend@sina.test", &path("out"), "--mailbox", "Old/Box", "--form", "maildir"]);
    mailbox(&served, &["import", "me@163.test", &path("out")]);
    mailbox(&served, &["export", "me@163.test", &path("out.mbox")]);
    mailbox(&served, &["import", "me@163.test", "--mailbox", "Again", &path("out.mbox")]);
    let said = mailbox(&served, &["export", "me@163.test", &path("eml"), "--mailbox", "Again"]);
    assert!(said.starts_with("4 messages exported from Again of me@163.test to "), "{said}");
    let texts: Vec<String> =
        (1..=4).map(|number| fs::read_to_string(path(&format!("eml/{number:06}.eml"))).unwrap()).collect();
    let wanted = [
        "Status: RO\r\nSubject: one\r\n\r\nFrom here on\r\n",
        "Subject: three\r\n\r\nthree\r\n",
        "Subject: two\r\n\r\ntwo\r\n",
        "Subject: four\r\n\r\nfour\r\n",
    ];
    let sorted = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    assert_eq!(sorted(texts), sorted(wanted.map(str::to_owned).to_vec()));
    let query = "/api/v1/mailboxes/messages?account=me@163.test&mailbox=INBOX";
    let kept = served.json(query);
    let about = |flag: &str| {
        kept["messages"].as_array().unwrap().iter().filter(|one| one["flags"].to_string().contains(flag)).count()
    };
    assert_eq!((about("Seen"), about("Flagged")), (2, 1), "{kept}");
    assert!(kept.to_string().contains("2024-02-03T04:05:06Z"), "{kept}");
}

#[test]
fn mailbox_import_reports_invalid_messages_and_imports_the_others() {
    let served = Served::ephemeral();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.eml"), "Subject: a\n\n").unwrap();
    fs::write(folder.path().join("b.eml"), "").unwrap();
    let path = folder.path().to_str().unwrap();
    let run = |arguments: &[&str]| postroad(&[&["mailbox", "--control", served.at("http")], arguments].concat());
    let output = run(&["import", "friend@sina.test", path]);
    assert_eq!((output.status.code(), out(&output).starts_with("1 message imported")), (Some(1), true));
    assert!(err(&output).contains("b.eml is empty") && err(&output).lines().count() == 1, "{}", err(&output));
    let wrong = [
        (vec!["import", "nobody", path], "`nobody` is not an address"),
        (vec!["import", "nobody@sina.test", path], "`nobody@sina.test` has no mailboxes in this world"),
        (vec!["export", "friend@sina.test", path, "--mailbox", "None"], "mailbox None does not exist"),
        (vec!["import", "friend@sina.test", "/none"], "cannot read /none"),
    ];
    for (arguments, said) in wrong {
        let output = run(&arguments);
        assert!(
            err(&output).contains(said) && err(&output).lines().all(|line| line.starts_with("postroad: ")),
            "{}",
            err(&output)
        );
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn check_of_data_compares_counters_with_messages() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("one.eml");
    fs::write(&file, "Subject: one\n\none\n").unwrap();
    let served = Served::start(data.path());
    mailbox(&served, &["import", "friend@sina.test", file.to_str().unwrap()]);
    assert_eq!(served.terminate(), Some(0));
    let check = |more: &[&str]| postroad(&[&["check", "--data", data.path().to_str().unwrap()], more].concat());
    let sound = check(&[]);
    assert!(sound.status.success() && out(&sound) == "the data is sound\n", "{}{}", out(&sound), err(&sound));
    let database = rusqlite::Connection::open(data.path().join("post.db")).unwrap();
    database.execute("UPDATE mailbox SET messages = 7 WHERE messages = 1", []).unwrap();
    drop(database);
    let unsound = check(&["--json"]);
    let report: Value = serde_json::from_slice(&unsound.stdout).unwrap();
    let problem = "INBOX of friend@sina.test is counted wrongly: 7 messages instead of 1";
    assert_eq!((unsound.status.success(), &report["problems"][0]), (false, &Value::from(problem)), "{report}");
    let none = postroad(&["check", "--data", folder.path().to_str().unwrap()]);
    assert!(!none.status.success() && err(&none).contains("holds no data of a world"), "{}", err(&none));
}
