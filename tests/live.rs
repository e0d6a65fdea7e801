//! Tests of the program on real sockets.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use postroad::Postroad;
use postroad::host::{Direction, Fault};
use serde_json::Value;

#[path = "live/async_imap.rs"]
mod async_imap;
#[path = "live/binding.rs"]
mod binding;
#[path = "live/changes.rs"]
mod changes;
#[path = "live/crash.rs"]
mod crash;
#[path = "live/faults.rs"]
mod faults;
#[path = "live/http.rs"]
mod http;
#[path = "live/http_access.rs"]
mod http_access;
#[path = "live/journeys.rs"]
mod journeys;
#[path = "live/mailboxes.rs"]
mod mailboxes;
#[path = "live/maildirs.rs"]
mod maildirs;
#[cfg(feature = "mailin")]
#[path = "live/mailin.rs"]
mod mailin;
#[path = "live/mailpit.rs"]
mod mailpit;
#[path = "live/metrics.rs"]
mod metrics;
#[path = "live/next_hops.rs"]
mod next_hops;
#[path = "live/openapi.rs"]
mod openapi;
#[path = "live/output.rs"]
mod output;
#[path = "live/public_faults.rs"]
mod public_faults;
#[path = "live/reach.rs"]
mod reach;
#[path = "live/run_files.rs"]
mod run_files;
#[path = "live/sessions.rs"]
mod sessions;
#[path = "live/stream.rs"]
mod stream;

#[path = "live/terminal.rs"]
mod terminal;
#[path = "live/traces.rs"]
mod traces;

const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

fn postroad(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postroad")).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Polls until `ask` returns a value.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..TIMEOUT.as_millis() / POLL_INTERVAL.as_millis() {
        if let Some(answer) = ask() {
            return answer;
        }
        pause();
    }
    panic!("{what} did not happen within {TIMEOUT:?}");
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for, in real time")]
fn pause() {
    thread::sleep(POLL_INTERVAL);
}

/// A running `postroad serve`, killed when it goes out of scope.
struct Served {
    child: Child,
    ports: Value,
    /// For the folder of an ephemeral world, which it cannot remove when it is killed.
    _temporary: tempfile::TempDir,
}

impl Served {
    fn start(data: &Path) -> Self {
        Self::spawn(|command| {
            command.args(["--free-ports", "--data"]).arg(data);
        })
    }

    fn start_world(data: &Path, world: &Path) -> Self {
        Self::spawn(|command| {
            command.arg("--free-ports").arg(world).arg("--data").arg(data);
        })
    }

    fn ephemeral() -> Self {
        Self::spawn(|command| {
            command.arg("--ephemeral");
        })
    }

    fn spawn(with: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.args(["serve", "--ports-file"]).arg(&file).env("TMPDIR", folder.path()).stdout(Stdio::null());
        with(&mut command);
        let child = command.spawn().unwrap();
        drop(command);
        let ports = eventually("serving", || serde_json::from_str(&fs::read_to_string(&file).ok()?).ok());
        Self { child, ports, _temporary: folder }
    }

    fn at(&self, service: &str) -> &str {
        self.ports[service].as_str().unwrap()
    }

    fn get(&self, path: &str) -> String {
        let page = self.ask("GET", path);
        assert!(page.starts_with("HTTP/1.1 200 "), "{path}: {page}");
        page.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.at("http")).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let close = "Host: localhost\r\nContent-Length: 0\r\nConnection: close";
        write!(stream, "{method} {path} HTTP/1.1\r\n{close}\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    /// Sends SIGTERM and returns the exit code.
    fn terminate(mut self) -> Option<i32> {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        eventually("the end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client for line-based protocols.
struct LineClient(BufReader<TcpStream>);

impl LineClient {
    fn open(at: &str) -> Self {
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut line = Self(BufReader::new(stream));
        line.read_line();
        line
    }

    fn read_line(&mut self) -> String {
        let mut text = String::new();
        self.0.read_line(&mut text).unwrap();
        text.trim_end().to_owned()
    }

    fn command(&mut self, text: &str) -> String {
        self.0.get_mut().write_all(format!("{text}\r\n").as_bytes()).unwrap();
        self.read_line()
    }

    /// Reads lines up to the final dot.
    fn read_multiline(&mut self) -> Vec<String> {
        std::iter::repeat_with(|| self.read_line()).take_while(|line| line != ".").collect()
    }
}

fn send(served: &Served, to: &str, subject: &str) {
    let mut smtp = LineClient::open(served.at("smtp"));
    assert!(smtp.command("HELO program.test").starts_with("250"));
    assert!(smtp.command("MAIL FROM:<me@163.test>").starts_with("250"));
    assert!(smtp.command(&format!("RCPT TO:<{to}>")).starts_with("250"));
    assert!(smtp.command("DATA").starts_with("354"));
    let reply = smtp.command(&format!("Subject: {subject}\r\n\r\n..dot\r\n."));
    assert!(reply.starts_with("250"), "{reply}");
}

fn maildrop(served: &Served, user: &str) -> (LineClient, Vec<String>) {
    let mut pop3 = LineClient::open(served.at("pop3"));
    pop3.command(&format!("USER {user}"));
    let reply = pop3.command("PASS postroad");
    assert!(reply.starts_with("+OK"), "{reply}");
    assert!(pop3.command("UIDL").starts_with("+OK"));
    let uids = pop3.read_multiline();
    (pop3, uids)
}

/// Waits until a user has `count` messages, and returns them.
fn messages(served: &Served, user: &str, count: usize) -> Vec<String> {
    let there = || {
        let (mut pop3, uids) = maildrop(served, user);
        if uids.len() == count {
            return Some((pop3, uids));
        }
        // One session holds the maildrop; the next try must find it free.
        pop3.command("QUIT");
        None
    };
    let (mut pop3, uids) = eventually("delivery", there);
    let mut retrieve = |number| {
        assert!(pop3.command(&format!("RETR {number}")).starts_with("+OK"));
        pop3.read_multiline().join("\n")
    };
    let messages = (1..=uids.len()).map(&mut retrieve).collect();
    pop3.command("QUIT");
    messages
}

#[test]
fn run_of_default_world_reports_intact_message() {
    let run = postroad(&["run", "--json"]);
    let report: Value = serde_json::from_str(&out(&run)).unwrap();
    assert!(run.status.success() && report["intact"] == true, "{report:#}");
    let run = postroad(&["run", "--transcript"]);
    let text = out(&run);
    let verdict = "1 of 1 intact over POP3, 1 of 1 over IMAP";
    for words in [verdict, "C: AUTH PLAIN ****", "S: 250 2.0.0 OK: queued as", "C: LHLO mx.sina.test"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn run_with_folder_and_mbox_delivers_unchanged_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let odd = b"Subject: odd\n\nlone LF, \xff\xfe\x00 bytes\r\n.\r\n..\rlone CR\n";
    let mbox = "From a@b Thu Jan  1 00:00:00 2026\nSubject: 1\n\none\n\n\
                From a@b Thu Jan  1 00:00:00 2026\nSubject: 2\n\n>From two\n";
    fs::write(folder.path().join("odd.eml"), odd).unwrap();
    fs::write(folder.path().join("empty.eml"), "").unwrap();
    fs::write(folder.path().join("box.mbox"), mbox).unwrap();
    let run = postroad(&["run", "--json", "--mail", folder.path().to_str().unwrap()]);
    let report: Value = serde_json::from_str(&out(&run)).unwrap();
    let messages = report["report"]["messages"].as_array().unwrap();
    let names: Vec<_> = messages.iter().map(|message| message["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["box.mbox#1", "box.mbox#2", "empty.eml", "odd.eml"]);
    assert!(run.status.success(), "{report:#}");
    assert!(messages.iter().all(|message| message["pop3"] == "intact" && message["imap"] == "intact"));
    assert_eq!(messages[3]["normalized"], true);
}

#[test]
fn mailbox_after_restart_keeps_messages_and_uids() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    send(&served, "friend@sina.test", "kept");
    let message = messages(&served, "friend@sina.test", 1).remove(0);
    assert!(message.starts_with("Return-Path: <me@163.test>\n"), "{message}");
    assert!(message.ends_with("Subject: kept\n\n..dot"), "{message}");
    let uids = |served: &Served| {
        let (mut pop3, uids) = maildrop(served, "friend@sina.test");
        pop3.command("QUIT");
        uids
    };
    let before = uids(&served);
    assert_eq!(served.terminate(), Some(0));
    assert_eq!(uids(&Served::start(data.path())), before);
}

/// A kill after the next host accepted the message, before that is stored, causes a duplicate, which SMTP cannot avoid.
/// `crash` checks that there are no others.
#[test]
fn acknowledged_message_survives_kill_9() {
    let data = tempfile::tempdir().unwrap();
    for count in 1..=5 {
        let mut served = Served::start(data.path());
        send(&served, "friend@sina.test", &format!("kill {count}"));
        served.child.kill().unwrap();
        served.child.wait().unwrap();
    }
    let served = Served::start(data.path());
    eventually("delivery", || (served.json("/api/v1/queue")["total"] == 0).then_some(()));
    let (mut pop3, uids) = maildrop(&served, "friend@sina.test");
    let mut subjects = std::collections::BTreeSet::new();
    for number in 1..=uids.len() {
        pop3.command(&format!("RETR {number}"));
        subjects.extend(pop3.read_multiline().into_iter().filter(|line| line.starts_with("Subject: ")));
    }
    assert_eq!(subjects.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5].map(|count| format!("Subject: kill {count}")));
}

#[test]
fn mail_to_unknown_user_bounces_and_to_other_domain_is_delivered() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    send(&served, "nobody@sina.test", "lost");
    let bounce = messages(&served, "me@163.test", 1).remove(0);
    for words in ["Return-Path: <>", "report-type=delivery-status", "Status: 5.1.1", "Subject: lost"] {
        assert!(bounce.contains(words), "{words}\n{bounce}");
    }
    send(&served, "anybody@example.org", "elsewhere");
    eventually("delivery elsewhere", || {
        let journeys = served.json("/api/v1/journeys?limit=1")["journeys"].take();
        (journeys[0]["recipients"]["anybody@example.org"]["status"] == "delivered").then_some(())
    });
    assert!(messages(&served, "anybody@example.org", 1)[0].contains("mail.elsewhere.test"));
    let journeys = served.json("/api/v1/journeys?limit=10")["journeys"].take();
    assert_eq!(journeys.as_array().unwrap().len(), 3);
    let story = served.json(&format!("/api/v1/journeys/{}", journeys[0]["id"].as_str().unwrap()));
    assert!(story["events"].as_array().unwrap().iter().any(|event| event["dialogue"]["lines"].is_array()));
    assert_eq!(served.json("/api/v1/hosts").as_array().unwrap().len(), 9);
    assert_eq!((served.get("/livez"), served.get("/readyz")), ("ok\n".to_owned(), "ok\n".to_owned()));
}

#[test]
fn host_turned_off_queues_mail_until_turned_on() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let turn = |what: &str| served.ask("POST", &format!("/api/v1/hosts/{what}"));
    assert!(turn("mta-sina/off").contains("\"on\":false"));
    send(&served, "friend@sina.test", "while it was off");
    eventually("waiting", || {
        let hosts = served.json("/api/v1/hosts");
        let waits = |host: &Value| host["queued"].as_u64().unwrap_or(0) == 1;
        hosts.as_array().unwrap().iter().any(waits).then_some(())
    });
    assert!(turn("mta-sina/on").contains("\"on\":true"));
    for (wrong, status) in [("nobody/on", "404"), ("mta-sina/up", "400")] {
        assert!(turn(wrong).starts_with(&format!("HTTP/1.1 {status} ")), "{wrong}");
    }
}

#[test]
fn queue_command_lists_holds_releases_flushes_and_deletes() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let queue = |served: &Served, arguments: &[&str]| {
        let output = postroad(&[&["queue", "--control", served.at("http")], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}{}", out(&output), err(&output));
        out(&output)
    };
    let list = |served: &Served| serde_json::from_str::<Value>(&queue(served, &["list", "--json"])).unwrap();
    // A host is on or off until the world ends, a message is held for longer.
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    for subject in ["one", "two", "three"] {
        send(&served, "friend@sina.test", subject);
    }
    let tried = |served: &Served| {
        let listing = list(served);
        let messages = listing["messages"].as_array().unwrap();
        let tried = messages.iter().filter(|message| message["host"] == "mta-sina" && message["attempts"] != 0);
        (tried.count() == 3 && messages.len() == 3).then(|| listing.clone())
    };
    let flushed = || {
        queue(&served, &["flush", "--all"]);
        tried(&served)
    };
    let listing = eventually("a first attempt", flushed);
    let id = |at: usize| listing["messages"][at]["id"].as_str().unwrap();
    assert!(queue(&served, &["show", id(0)]).contains("Subject: "));
    assert!(queue(&served, &["list"]).contains("3 messages"));
    queue(&served, &["hold", "--all", "--host", "mta-sina"]);
    let is_held = |message: &Value| message["state"] == "held";
    let held = || list(&served)["messages"].as_array().unwrap().iter().all(is_held).then_some(());
    eventually("the end of attempts under way", held);
    let deleted = queue(&served, &["delete", id(0)]);
    assert!(deleted.contains(&format!("{}  deleted", id(0))), "{deleted}");
    let journey = served.json(&format!("/api/v1/journeys/{}", &id(0)[..10]));
    assert_eq!(journey["recipients"]["friend@sina.test"]["status"], "deleted", "{journey:#}");
    let twice = postroad(&["queue", "delete", id(0), "--control", served.at("http")]);
    assert_eq!(twice.status.code(), Some(1));
    assert_eq!(served.terminate(), Some(0));
    let served = Served::start(data.path());
    let listing = list(&served);
    let states: Vec<_> = listing["messages"].as_array().unwrap().iter().map(|message| &message["state"]).collect();
    assert_eq!(states, ["held", "held"]);
    queue(&served, &["release", id(1)]);
    messages(&served, "friend@sina.test", 1);
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    let attempts = |served: &Served| list(served)["messages"][0]["attempts"].as_u64();
    let before = attempts(&served);
    queue(&served, &["release", id(2)]);
    eventually("one more attempt", || (before < attempts(&served)).then_some(()));
    served.ask("POST", "/api/v1/hosts/mda-sina/on");
    queue(&served, &["flush", "--all"]);
    messages(&served, "friend@sina.test", 2);
    eventually("an empty queue", || (list(&served)["total"] == 0).then_some(()));
}

#[test]
fn send_and_fetch_over_tls_accept_certificate_of_world() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let (ca, folder) = (data.path().join("root.pem"), data.path().join("out"));
    fs::write(&ca, postroad(&["ca", "--data", data.path().to_str().unwrap()]).stdout).unwrap();
    // The certificate names localhost, too.
    let at = |service: &str| served.at(service).replace("127.0.0.1", "localhost");
    let ca = ca.to_str().unwrap();
    for (security, service) in [("upgrade", "submission"), ("tls", "submissions")] {
        let server = ["send", "--security", security, "--server", &at(service)];
        let message = ["--from", "me@163.test", "--to", "friend@sina.test", "--ca", ca];
        let sent = postroad(&[&server[..], &message].concat());
        assert!(sent.status.success(), "{}{}", out(&sent), err(&sent));
    }
    messages(&served, "friend@sina.test", 2);
    for (protocol, security, service) in [
        ("--imap", "upgrade", "imap"),
        ("--imap", "tls", "imaps"),
        ("--pop3", "upgrade", "pop3"),
        ("--pop3", "tls", "pop3s"),
    ] {
        let _ = fs::remove_dir_all(&folder);
        let server = ["fetch", protocol, "--security", security, "--server", &at(service)];
        let user = ["--user", "friend@sina.test", "--ca", ca, "-o", folder.to_str().unwrap()];
        let fetched = postroad(&[&server[..], &user].concat());
        assert!(fetched.status.success(), "{service}: {}", err(&fetched));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "{service}");
    }
    let wrong = ["fetch", "--user", "friend@sina.test", "--password", "x", "--server", served.at("imap")];
    let wrong = postroad(&wrong);
    assert!(wrong.status.code() == Some(1), "{}", out(&wrong));
    assert!(err(&wrong).contains("refused the login of friend@sina.test"), "{}", err(&wrong));
}

#[test]
fn errors_are_one_line() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let one_line = |output: Output, words: &[&str]| {
        let text = err(&output);
        assert!(output.status.code() == Some(1) && text.lines().count() == 1, "{text}");
        assert!(words.iter().all(|words| text.contains(words)), "{text}");
    };
    let twice = postroad(&["serve", "--free-ports", "--data", data.path().to_str().unwrap()]);
    one_line(twice, &["another postroad uses it"]);
    let port: SocketAddr = served.at("imap").parse().unwrap();
    let world = include_str!("../config/journey.toml").rsplit_once("[ports]").unwrap().0;
    let world = format!("{world}[ports]\nimap = {}\n", port.port());
    let (taken, invalid) = (data.path().join("taken.toml"), data.path().join("invalid.toml"));
    fs::write(&taken, world).unwrap();
    let other = tempfile::tempdir().unwrap();
    let taken = postroad(&["serve", taken.to_str().unwrap(), "--data", other.path().to_str().unwrap()]);
    one_line(taken, &["imap port", "is taken by another program"]);
    fs::write(&invalid, "[world]\nname = \"x\"\npassword = \"y\"\ncolour = 1\n").unwrap();
    for command in ["check", "run", "serve"] {
        one_line(postroad(&[command, invalid.to_str().unwrap()]), &["invalid.toml:4: ", "colour"]);
    }
    one_line(postroad(&["run", "--mail", "/nowhere/at/all"]), &["cannot read /nowhere/at/all"]);
}

#[test]
fn demos_serve_and_call_over_tcp_udp_and_http() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let mut greeter = TcpStream::connect(served.at("greeter")).unwrap();
    let mut chunk = [0; 1024];
    let mut read = |greeter: &mut TcpStream| {
        let len = greeter.read(&mut chunk).unwrap();
        String::from_utf8_lossy(&chunk[..len]).into_owned()
    };
    assert_eq!(read(&mut greeter), "Welcome!");
    greeter.write_all(b"Michael").unwrap();
    assert_eq!(read(&mut greeter), "Hello, Michael!");
    greeter.write_all(b"exit").unwrap();
    assert_eq!(read(&mut greeter), "");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(TIMEOUT)).unwrap();
    udp.send_to(b"Tracy", served.at("greeter")).unwrap();
    let mut datagram = [0; 64];
    let len = udp.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..len], b"Hello, Tracy!");
    let called = postroad(&["greeter", "call", "Sarah", "--to", served.at("greeter")]);
    assert!(out(&called).contains("Welcome!") && out(&called).contains("Hello, Sarah!"), "{}", err(&called));
    let called = postroad(&["udp", "call", "Michael", "Tracy", "--to", served.at("greeter")]);
    assert!(out(&called).contains("Hello, Tracy!"), "{}", err(&called));
    let page = data.path().join("page");
    let url = format!("http://{}/livez", served.at("http"));
    let got = postroad(&["get", &url, "-o", page.to_str().unwrap()]);
    assert!(got.status.success() && out(&got).contains("200 OK"), "{}", err(&got));
    assert_eq!(fs::read_to_string(page).unwrap(), "ok\n");
}

#[test]
fn demos_work_with_programs_of_python_tutorial() {
    let Ok(python) = Command::new("python3").arg("--version").output() else {
        println!("skipped: python3 is not there");
        return;
    };
    assert!(python.status.success(), "{}", err(&python));
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path());
    let port = |service: &str| served.at(service).parse::<SocketAddr>().unwrap().port().to_string();
    let mut tutorial = Command::new("python3");
    tutorial.arg("tests/clients/tutorial.py").args([port("greeter"), port("http")]);
    let tutorial = tutorial.arg(env!("CARGO_BIN_EXE_postroad")).output().unwrap();
    assert!(tutorial.status.success(), "{}", err(&tutorial));
}

/// Runs a command with something on its standard input.
fn fed(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn sendmail(at: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    command.arg("sendmail").args(arguments).env("POSTROAD_SMTP", at);
    fed(command, input)
}

#[test]
fn sendmail_submits_message_and_returns_sysexits_codes() {
    let served = Served::ephemeral();
    let smtp = served.at("smtp");
    let text = "To: ann@shop.example\nBcc: bob@shop.example\nSubject: by sendmail\n\nhello\n.\nnot this\n";
    let sent = sendmail(smtp, &["-t", "-oem", "-fapp@web.example"], text);
    assert_eq!(sent.status.code(), Some(0), "{}", err(&sent));
    for user in ["ann@shop.example", "bob@shop.example"] {
        let folder = tempfile::tempdir().unwrap();
        let message = eventually("the message", || {
            let saved = folder.path().to_str().unwrap();
            postroad(&["fetch", "--server", served.at("imap"), "--user", user, "-o", saved]);
            fs::read_to_string(folder.path().join("1.eml")).ok()
        });
        assert!(message.contains("hello") && !message.contains("not this") && !message.contains("Bcc"), "{message}");
        assert!(message.contains("From: <app@web.example>") && message.contains("Message-ID: "), "{message}");
    }
    let unknown = sendmail(smtp, &["-i", "-f", "<>", "nobody@sina.test"], "hello\n");
    assert_eq!(unknown.status.code(), Some(0), "the relay takes it; the bounce would go to the null sender");
    assert_eq!(sendmail(smtp, &["-t"], "Subject: for nobody\n\n").status.code(), Some(65));
    assert_eq!(sendmail(smtp, &["nobody@163.test"], "").status.code(), Some(67));
    assert_eq!(sendmail("127.0.0.1:1", &["ann@shop.example"], "").status.code(), Some(75));
    let spoken = sendmail(smtp, &["-bs"], "EHLO me\r\nQUIT\r\n");
    assert!(out(&spoken).starts_with("220 ") && out(&spoken).contains("\r\n221 "), "{}", out(&spoken));
}

#[test]
fn sendmail_called_as_by_cron_mutt_and_others_sends_to_all() {
    let served = Served::ephemeral();
    let smtp = served.at("smtp");
    let twice = "From me@x.example Thu Jan  1 00:00:00 2026\nTo: to1@x.example\nBcc : bcc1@x.example\nTo: to2@x.example\n\
                 Bcc: bcc2@x.example\nSubject: twice\n\nhello\n. \nend\n";
    for (arguments, text, users) in [
        (&["-t"][..], twice, &["to1@x.example", "to2@x.example", "bcc1@x.example", "bcc2@x.example"][..]),
        (&["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"], "Subject: cron\n\nend\n", &["root@localhost"]),
        (&["-fwww-data", "www@x.example"], "Subject: www\n\nend\n", &["www@x.example"]),
        (&["-N", "failure,delay", "-R", "hdrs", "-V", "id", "--", "mutt@x.example"], "end\n", &["mutt@x.example"]),
        (
            &["-em", "-G", "-Am", "-L", "tag", "-n", "-U", "-m", "-O", "x=y", "-X", "f", "-h", "5", "old@x.example"],
            "Subject: old\n\nend\n",
            &["old@x.example"],
        ),
        (&["a1@x.example, A <a2@x.example>"], "Subject: list\n\nend\n", &["a1@x.example", "a2@x.example"]),
    ] {
        let sent = sendmail(smtp, arguments, text);
        assert_eq!(sent.status.code(), Some(0), "{arguments:?} {}", err(&sent));
        for user in users {
            let folder = tempfile::tempdir().unwrap();
            let message = eventually("the message", || {
                let saved = folder.path().to_str().unwrap();
                postroad(&["fetch", "--server", served.at("imap"), "--user", user, "-o", saved]);
                fs::read_to_string(folder.path().join("1.eml")).ok()
            });
            assert!(message.ends_with("end\r\n") && !message.contains("Bcc"), "{user} {message}");
            // An id may hold the letters bcc.
            assert!(
                user.starts_with("bcc") || !["bcc1@", "bcc2@"].iter().any(|other| message.contains(other)),
                "{user} {message}"
            );
        }
    }
    let partly = sendmail(smtp, &["a3@x.example", "John Smith"], "hello\n");
    assert_eq!(partly.status.code(), Some(65), "one of them is not an address");
    for wrong in [&["-z", "a@x.example"][..], &["-bd"], &["-f", "a b", "a@x.example"], &["-XV", "a@x.example"]] {
        assert_eq!(sendmail(smtp, wrong, "hello\n").status.code(), Some(64), "{wrong:?}");
    }
    assert_eq!(sendmail("127.0.0.1:1", &["-bi"], "").status.code(), Some(0), "there is nothing to do");
}

#[test]
fn ephemeral_world_removes_its_folder_at_exit() {
    let temporary = tempfile::tempdir().unwrap();
    let served = Served::spawn(|command| {
        command.arg("--ephemeral").env("TMPDIR", temporary.path());
    });
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    assert_eq!(served.terminate(), Some(0));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn completions_and_man_pages_cover_commands() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&postroad(&["completions", shell])).contains("sendmail"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(postroad(&["man", "-o", folder.path().to_str().unwrap()]).status.success());
    assert!(fs::read_to_string(folder.path().join("postroad-serve.1")).unwrap().contains("ephemeral"));
    assert!(out(&postroad(&["man"])).contains(".TH postroad"));
}

#[test]
fn host_with_unknown_name_fails_with_one_line() {
    let refused = postroad(&["host", "mta-nowhere", "--data", "."]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).starts_with("postroad: there is no host mta-nowhere in world journey; choose one of dns, "));
    assert_eq!(err(&refused).lines().count(), 1);
}

/// A world in the process of the test, with one host down for a while.
#[tokio::test]
async fn embedded_world_provides_mailboxes_faults_and_journeys() {
    let post = Postroad::builder().user("ann@shop.test").user("bob@home.test").start().await.unwrap();
    post.turn_off("mta-home-test").await;
    let smtp = post.smtp().to_string();
    let sent = tokio::task::spawn_blocking(move || {
        sendmail(&smtp, &["-f", "ann@shop.test", "bob@home.test", "eve@any.example"], "Subject: later\n\n")
    });
    assert_eq!(sent.await.unwrap().status.code(), Some(0));
    let elsewhere = post.mailbox("eve@any.example").wait_for(|message| message.subject() == "later").await.unwrap();
    assert!(elsewhere.parsed().unwrap().from().is_some());
    let missing = post.mailbox("bob@home.test").timeout(POLL_INTERVAL).wait_for(|_| true).await.unwrap_err();
    assert!(
        missing.to_string().starts_with("the expected message did not arrive in INBOX of bob@home.test"),
        "{missing}"
    );
    post.turn_on("mta-home-test").await.unwrap();
    post.mailbox("bob@home.test").wait_for(|message| message.subject() == "later").await.unwrap();
    let cut =
        Fault::Cut { between: ["mta-home-test".to_owned(), "mda-home-test".to_owned()], direction: Direction::Both };
    let cut = post.begin(cut).await.unwrap();
    post.end(cut).await.unwrap();
    let nowhere = post.begin(Fault::Off { host: "nowhere".to_owned(), startup: Duration::ZERO }).await.unwrap_err();
    assert!(nowhere.to_string().contains("nowhere"), "{nowhere}");
    // The message is in the mailbox before the relaying host has read the reply.
    let is_told = || post.journeys().iter().all(|story| story.arrived_once());
    for _ in 0..100 {
        if is_told() {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let stories = post.journeys();
    assert!(stories.len() == 1 && is_told(), "{stories:#?}");
    post.stop().await;
}

#[test]
fn simulate_in_two_processes_with_same_seed_gives_same_report_and_trace() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, seed: &str| {
        let trace = folder.path().join(name);
        let arguments = ["simulate", "storm", "--json", "--seed", seed, "--trace", trace.to_str().unwrap()];
        let output = postroad(&arguments);
        assert!(output.status.success(), "{}", out(&output));
        (output.stdout, fs::read(trace).unwrap())
    };
    let (one, again, other) = (run("one", "7"), run("again", "7"), run("other", "8"));
    assert!(10_000 < one.1.len());
    assert!(one == again && one.0 != other.0 && one.1 != other.1);
}

#[test]
fn simulate_with_failed_expectation_or_invalid_scenario_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    let text = "[scenario]\nname = \"x\"\nlasts = \"1h\"\n[[traffic]]\nfrom = [\"*\"]\nto = [\"nobody@sina.test\"]\n";
    fs::write(&path, format!("{text}[expect]\nbounced = 0\n")).unwrap();
    let output = postroad(&["simulate", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("\u{2717} bounced: 0: 1\n"), "{}", out(&output));
    assert!(err(&output).contains("--seed 1"), "{}", err(&output));
    fs::write(&path, format!("{text}sise = 3\n")).unwrap();
    let output = postroad(&["simulate", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("x.toml:7: unknown field `sise`") && err(&output).lines().count() == 1);
}
