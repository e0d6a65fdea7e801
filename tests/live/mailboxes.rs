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

#[test]
fn mailbox_clear_deletes_the_messages_of_an_account_or_of_all() {
    let (served, folder) = (Served::ephemeral(), tempfile::tempdir().unwrap());
    let file = folder.path().join("one.eml");
    fs::write(&file, "Subject: one\n\none\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["friend@sina.test"][..], &["friend@sina.test", "--mailbox", "Old"], &["me@163.test"]] {
        mailbox(&served, &[&["import"], arguments, &[file]].concat());
    }
    let count = |account: &str| -> u64 {
        let list: Value = serde_json::from_str(&mailbox(&served, &["list", account, "--json"])).unwrap();
        list.as_array().unwrap().iter().map(|report| report["messages"].as_u64().unwrap()).sum()
    };
    let none = postroad(&["mailbox", "clear", "--control", served.at("http")]);
    assert_eq!((none.status.code(), count("friend@sina.test")), (Some(2), 2), "{}", err(&none));
    let said = mailbox(&served, &["clear", "friend@sina.test"]);
    assert_eq!(said, "2 messages deleted of friend@sina.test\n");
    assert_eq!((count("friend@sina.test"), count("me@163.test")), (0, 1));
    let unknown = postroad(&["mailbox", "clear", "nobody@sina.test", "--control", served.at("http")]);
    assert!(!unknown.status.success() && err(&unknown).contains("has no mailboxes in this world"), "{}", err(&unknown));
    // Without a terminal, nothing is asked.
    assert_eq!(mailbox(&served, &["clear", "--all", "--json"]), "{\"deleted\":1}\n");
    assert_eq!((count("me@163.test"), served.json("/api/v1/messages")["total"].as_u64()), (0, Some(0)));
}

#[test]
fn serve_imports_mail_before_it_is_ready_and_only_once_into_its_data() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| {
        let path = folder.path().join("mail").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("friend@sina.test/1.eml", "Subject: one\n\none\n");
    write("friend@sina.test/same.eml", "Subject: one\n\none\n");
    write("friend@sina.test/old.mbox", "From a@a.test Sat Feb  3 04:05:06 2024\nSubject: two\n\ntwo\n\n");
    write("friend@sina.test/Archive/cur/1.x:2,S", "Subject: three\n\nthree\n");
    write("friend@sina.test/Archive/new/2.x", "Subject: four\n\nfour\n");
    write("Ann@customer.example/new/1.x", "Subject: five\n\nfive\n");
    write("Ann@customer.example/cur/2.x:2,F", "Subject: six\n\nsix\n");
    let mail = folder.path().join("mail");
    let start = |data: &std::path::Path| {
        Served::spawn(|command| {
            command.args(["--free-ports", "--data"]).arg(data).arg("--import").arg(&mail);
        })
    };
    let boxes = |served: &Served| {
        let counts = served.json("/api/v1/mailboxes");
        let counts = counts.as_array().unwrap().iter().filter(|report| report["messages"] != 0);
        let count = |report: &Value| format!("{} {} {}", report["account"], report["mailbox"], report["messages"]);
        let mut counts: Vec<_> = counts.map(count).collect();
        counts.sort();
        counts
    };
    let all = [
        "\"ann@customer.example\" \"INBOX\" 2",
        "\"friend@sina.test\" \"Archive\" 2",
        "\"friend@sina.test\" \"INBOX\" 3",
    ];
    // It is there as soon as the ports are.
    let served = start(data.path());
    assert_eq!(boxes(&served), all);
    assert_eq!(served.json("/api/v1/messages")["total"], 7);
    assert_eq!(served.json("/api/v1/search?query=subject:three%20is:read")["messages_count"], 1);
    mailbox(&served, &["clear", "Ann@customer.example"]);
    served.terminate();
    // What was deleted does not come back, what is there is not doubled, what is new is added.
    write("friend@sina.test/Archive/new/3.x", "Subject: seven\n\nseven\n");
    let served = start(data.path());
    assert_eq!(boxes(&served), ["\"friend@sina.test\" \"Archive\" 3", all[2]]);
    served.terminate();
    // A start that was killed before it noted what it had imported.
    fs::remove_file(data.path().join("imported")).unwrap();
    let served = start(data.path());
    assert_eq!(boxes(&served), [all[0], "\"friend@sina.test\" \"Archive\" 3", all[2]]);
    served.terminate();

    write("nobody@sina.test/1.eml", "Subject: x\n\n");
    let refused = postroad(&["serve", "--ephemeral", "--import", mail.to_str().unwrap()]);
    let text = err(&refused);
    assert!(text.contains("nobody@sina.test: its name is no address with a mailbox in this world"), "{text}");
    assert_eq!((refused.status.code(), text.lines().count()), (Some(1), 1), "{text}");
}
