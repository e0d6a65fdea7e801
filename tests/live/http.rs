//! Messages over HTTP: the catalogue, and what mail clients and HTTP clients see of each other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Served, TIMEOUT};

/// A keep-alive connection to the HTTP port.
pub(super) struct Http(BufReader<TcpStream>);

impl Http {
    pub(super) fn connect(served: &Served) -> Self {
        let stream = TcpStream::connect(served.at("http")).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(super) fn ask_with(&mut self, header: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        for line in self.0.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
            if let Some(code) = line.strip_prefix("HTTP/1.1 ") {
                status = code[..3].parse().unwrap();
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.ask_with("Host: localhost", method, path, body)
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn change(&mut self, method: &str, path: &str, body: &Value) {
        assert_eq!(self.ask(method, path, &body.to_string()), (200, "ok".to_owned()), "{method} {path}");
    }
}

/// A connection to the SMTP port.
pub(super) struct Smtp(BufReader<TcpStream>);

impl Smtp {
    pub(super) fn connect(served: &Served) -> Self {
        Self::at(served, "smtp")
    }

    pub(super) fn at(served: &Served, service: &str) -> Self {
        let stream = TcpStream::connect(served.at(service)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut smtp = Self(BufReader::new(stream));
        smtp.reply();
        smtp.say("HELO test");
        smtp
    }

    pub(super) fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// Sends a message; returns its id.
    pub(super) fn send(&mut self, to: &[&str], subject: &str) -> String {
        self.say("MAIL FROM:<me@163.test>");
        to.iter().for_each(|to| assert!(self.say(&format!("RCPT TO:<{to}>")).starts_with("250")));
        self.say("DATA");
        let text = format!("From: me@163.test\r\nTo: {}\r\nSubject: {subject}\r\n\r\nYour code is 246810.\r\n.", to[0]);
        let reply = self.say(&text);
        let id = reply.split_once("queued as ").unwrap_or_else(|| panic!("{reply}")).1;
        id.split_once('-').unwrap().0.to_owned()
    }
}

/// The number of messages in the INBOX of an account, and of those that are unseen.
fn unseen(http: &mut Http, account: &str) -> Option<(u64, u64)> {
    let (status, body) = http.ask("GET", &format!("/api/v1/mailboxes?account={account}"), "");
    let boxes: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    let inbox = boxes.as_array()?.iter().find(|report| report["mailbox"] == "INBOX")?;
    Some((inbox["messages"].as_u64()?, inbox["unseen"].as_u64()?))
}

/// Polls a list until it has what is wanted.
fn eventually(http: &mut Http, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    super::eventually(path, || Some(http.get(path)).filter(&wanted))
}

#[test]
fn http_lists_each_message_in_the_statement_after_its_acceptance() {
    let served = Served::ephemeral();
    let (mut http, mut smtp) = (Http::connect(&served), Smtp::connect(&served));
    for number in 1..=1000 {
        let id = smtp.send(&["friend@sina.test"], &format!("message {number}"));
        let page = http.get("/api/v1/messages?limit=1");
        assert_eq!((&page["total"], &page["messages"][0]["ID"]), (&json!(number), &json!(id)));
        if number % 50 == 0 {
            let found = http.get(&format!("/api/v1/search?query=subject:%22message%20{number}%22"));
            assert_eq!(found["messages"][0]["ID"], json!(id));
        }
    }
}

#[test]
fn http_and_mailboxes_show_each_others_changes() {
    let served = Served::ephemeral();
    let (mut http, mut smtp) = (Http::connect(&served), Smtp::connect(&served));
    let id = smtp.send(&["friend@sina.test", "me@163.test"], "two copies");
    for account in ["friend@sina.test", "me@163.test"] {
        super::eventually("delivery", || unseen(&mut http, account).filter(|counts| *counts == (1, 1)));
    }
    let journey = http.get(&format!("/api/v1/journeys/{id}?wait=30s"));
    assert_eq!(journey["recipients"]["me@163.test"]["status"], "delivered");
    // One entry, under two mailboxes.
    assert_eq!(http.get("/api/v1/messages")["total"], 1);
    assert_eq!(http.get("/api/v1/messages?mailbox=friend@sina.test")["total"], 1);
    assert_eq!(http.get("/api/v1/messages?mailbox=who@sina.test")["total"], 0);

    for body in [json!({ "IDs": [id], "Read": true }), json!({ "Read": true })] {
        http.change("PUT", "/api/v1/messages?mailbox=me@163.test&folder=INBOX", &body);
        assert_eq!(unseen(&mut http, "me@163.test"), Some((1, 0)));
        assert_eq!(unseen(&mut http, "friend@sina.test"), Some((1, 1)), "another mailbox");
        http.change("PUT", "/api/v1/messages?mailbox=me@163.test", &json!({ "IDs": [id], "Read": false }));
        assert_eq!(unseen(&mut http, "me@163.test"), Some((1, 1)));
    }
    http.change("PUT", "/api/v1/messages", &json!({ "IDs": [id], "Read": true }));
    assert_eq!(unseen(&mut http, "me@163.test"), Some((1, 0)));
    assert_eq!(unseen(&mut http, "friend@sina.test"), Some((1, 0)));
    http.change("PUT", "/api/v1/tags", &json!({ "ids": [id], "tags": ["big one", "b"] }));
    let flags = http.get("/api/v1/mailboxes/messages?account=friend@sina.test&mailbox=INBOX").to_string();
    assert!(flags.contains("big+one") && flags.contains("Seen"), "{flags}");
    assert_eq!(http.get("/api/v1/search?query=tag:%22Big%20one%22%20is:read")["messages_count"], 1);

    // A client of IMAP takes the flag back, and the keyword.
    let mut imap = BufReader::new(TcpStream::connect(served.at("imap")).unwrap());
    imap.get_ref().set_read_timeout(Some(TIMEOUT)).unwrap();
    let say = |imap: &mut BufReader<TcpStream>, command: &str| {
        imap.get_mut().write_all(format!("a {command}\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        while !said.contains("\r\na ") && !said.starts_with("a ") {
            let mut line = String::new();
            assert_ne!(imap.read_line(&mut line).unwrap(), 0, "{said}");
            said += &line;
        }
        said
    };
    assert!(say(&mut imap, "LOGIN friend@sina.test postroad").contains("a OK"));
    assert!(say(&mut imap, "SELECT INBOX").contains("1 EXISTS"));
    assert!(say(&mut imap, "STORE 1 -FLAGS (\\Seen b)").contains("a OK"));
    let page = http.get("/api/v1/messages");
    assert_eq!((&page["unread"], &page["messages"][0]["Read"]), (&json!(1), &json!(false)));
    assert_eq!(page["messages"][0]["Tags"], json!(["b", "big one"]), "the other copy has both");

    // What is appended is a message of the list, and read as its flags say.
    let text = "Subject: appended\r\n\r\nx\r\n";
    assert!(say(&mut imap, &format!("APPEND INBOX (\\Seen) {{{}+}}\r\n{text}", text.len())).contains("a OK"));
    let page = http.get("/api/v1/messages");
    assert_eq!(page["total"], 2);
    assert_eq!((&page["messages"][0]["Subject"], &page["messages"][0]["Read"]), (&json!("appended"), &json!(true)));

    // Deleted over HTTP, the copies are expunged.
    http.change("DELETE", "/api/v1/messages", &json!({ "IDs": [id] }));
    assert!(say(&mut imap, "NOOP").contains("1 EXPUNGE"));
    assert_eq!(unseen(&mut http, "me@163.test"), Some((0, 0)));
    // Deleted by its only owner, the message is gone from the list.
    assert!(say(&mut imap, "STORE 1 +FLAGS (\\Deleted)").contains("a OK"));
    assert!(say(&mut imap, "EXPUNGE").contains("a OK"));
    assert_eq!(http.get("/api/v1/messages")["total"], 0);
}

#[test]
fn http_search_waits_for_a_message_and_ends_without_one() {
    let served = Served::ephemeral();
    let (mut http, mut smtp) = (Http::connect(&served), Smtp::connect(&served));
    let began = Instant::now();
    let none = http.get("/api/v1/search?query=subject:later&wait=300ms");
    assert!((Duration::from_millis(290)..Duration::from_secs(10)).contains(&began.elapsed()));
    assert_eq!(none["messages_count"], 0);
    assert_eq!(http.ask("GET", "/api/v1/message/latest?wait=10ms", ""), (404, "Message not found".to_owned()));

    let waiting = thread::spawn(move || {
        let found = http.get("/api/v1/message/latest?query=subject:later&wait=30s&mailbox=friend@sina.test");
        (found, Instant::now())
    });
    smtp.send(&["friend@sina.test"], "sooner");
    let id = smtp.send(&["friend@sina.test"], "later");
    let accepted = Instant::now();
    let (found, at) = waiting.join().unwrap();
    assert_eq!((&found["ID"], &found["Codes"]), (&json!(id), &json!(["246810"])));
    assert!(at.saturating_duration_since(accepted) < Duration::from_secs(5));
}

/// Prints how long after its acceptance a message is known to who waits for it, and bounds that generously.
#[test]
fn http_wait_ends_soon_after_the_acceptance() {
    let served = Served::ephemeral();
    let mut smtp = Smtp::connect(&served);
    let mut times: Vec<Duration> = (0..20)
        .map(|number| {
            let mut http = Http::connect(&served);
            let waiting = thread::spawn(move || {
                http.get(&format!("/api/v1/message/latest?query=subject:number{number}&wait=30s"));
                Instant::now()
            });
            // Without this, it may be there before anybody waits.
            super::pause();
            smtp.send(&["friend@sina.test"], &format!("number{number}"));
            let accepted = Instant::now();
            waiting.join().unwrap().saturating_duration_since(accepted)
        })
        .collect();
    times.sort_unstable();
    println!("a message is known {:?} after its acceptance, {:?} at most", times[10], times[19]);
    assert!(times[10] < Duration::from_secs(2), "{times:?}");
}

#[test]
fn http_message_routes_refuse_foreign_pages_and_unreadable_deletions() {
    let served = Served::ephemeral();
    let mut http = Http::connect(&served);
    let id = Smtp::connect(&served).send(&["friend@sina.test"], "kept");
    for path in ["/api/v1/messages", "/api/v1/message/latest", "/view/latest.txt", "/api/events"] {
        assert_eq!(http.ask_with("Host: evil.example", "GET", path, "").0, 403, "{path}");
        let origin = "Host: localhost\r\nOrigin: http://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(http.ask_with(origin, "GET", path, "").0, 403, "{path}");
    }
    assert_eq!(http.ask("DELETE", "/api/v1/messages", "ids=x").0, 400);
    // What cannot be read must not delete all.
    assert_eq!(http.ask("DELETE", "/api/v1/messages?before=soon", "").0, 400);
    assert_eq!(http.ask("DELETE", "/api/v1/search?query=before:soon", "").0, 400);
    assert_eq!(http.get("/api/v1/messages?limit=1")["next"], Value::Null, "it is the last page");
    assert_eq!(http.ask("GET", "/api/v1/search", ""), (400, "Error: no search query".to_owned()));
    assert_eq!(http.ask("GET", "/api/v1/message/nothing", ""), (404, "404 page not found".to_owned()));
    assert_eq!(http.get("/api/v1/messages")["messages"][0]["ID"], json!(id));
    assert_eq!(http.ask("GET", &format!("//view/{id}.txt"), "").0, 301);
}

/// What a kill leaves is what was acknowledged; what waits is delivered then, under its entry.
#[test]
fn http_list_after_kill_9_agrees_with_the_mailboxes() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(folder.path());
    let mut smtp = Smtp::connect(&served);
    let mut ids: Vec<String> = (0..40).map(|number| smtp.send(&["friend@sina.test"], &number.to_string())).collect();
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    drop(served);
    ids.reverse();

    let served = Served::start(folder.path());
    let mut http = Http::connect(&served);
    let page = http.get("/api/v1/messages?limit=0");
    let listed: Vec<&str> = page["messages"].as_array().unwrap().iter().map(|it| it["ID"].as_str().unwrap()).collect();
    assert_eq!(listed, ids);
    let inbox = "/api/v1/mailboxes/messages?account=friend@sina.test&mailbox=INBOX&limit=1000";
    super::eventually("delivery", || {
        let (status, body) = http.ask("GET", inbox, "");
        (status == 200 && serde_json::from_str::<Value>(&body).unwrap()["total"].as_u64().unwrap() >= 40).then_some(())
    });
    assert_eq!(http.get("/api/v1/search?query=code&limit=1")["messages_count"], 40);
    http.change("DELETE", "/api/v1/messages", &json!({}));
    super::eventually("deletion", || unseen(&mut http, "friend@sina.test").filter(|counts| counts.0 == 0));
}

#[test]
fn http_list_keeps_as_many_messages_as_the_world_says() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world.toml");
    let text = include_str!("../../config/journey.toml").replacen("[world]\n", "[world]\nkeep = { messages = 3 }\n", 1);
    std::fs::write(&world, text).unwrap();
    let served = Served::spawn(|command| {
        command.arg("--ephemeral").arg(&world);
    });
    let (mut http, mut smtp) = (Http::connect(&served), Smtp::connect(&served));
    let ids: Vec<String> = (0..8).map(|number| smtp.send(&["friend@sina.test"], &number.to_string())).collect();
    let page = eventually(&mut http, "/api/v1/messages", |page| page["total"] == 3);
    assert_eq!((&page["messages"][2]["ID"], &page["messages"][0]["ID"]), (&json!(ids[5]), &json!(ids[7])));
    super::eventually("deletion", || unseen(&mut http, "friend@sina.test").filter(|counts| counts.0 == 3));
    let page = eventually(&mut http, "/api/v1/journeys", |page| page["total"] == 3);
    assert_eq!((&page["journeys"][2]["id"], &page["journeys"][0]["id"]), (&json!(ids[5]), &json!(ids[7])));
    // Of what mail clients expunge, the journeys stay as long as there are no more than that.
    let (mut pop3, _) = super::maildrop(&served, "friend@sina.test");
    (1..=3).for_each(|number| assert!(pop3.command(&format!("DELE {number}")).starts_with("+OK")));
    pop3.command("QUIT");
    eventually(&mut http, "/api/v1/messages", |page| page["total"] == 0);
    assert_eq!(http.get("/api/v1/journeys")["total"], 3);
    let newest = smtp.send(&["friend@sina.test"], "newest");
    let page = eventually(&mut http, "/api/v1/journeys", |page| {
        page["total"] == 3 && page["journeys"][0]["id"] == json!(newest)
    });
    assert_eq!(page["journeys"][2]["id"], json!(ids[6]));
}

#[test]
fn http_deletion_takes_the_journeys_of_messages_and_all_of_an_empty_world() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path());
    let (mut http, mut smtp) = (Http::connect(&served), Smtp::connect(&served));
    let ids: Vec<String> = (0..4).map(|number| smtp.send(&["friend@sina.test"], &number.to_string())).collect();
    eventually(&mut http, "/api/v1/journeys?settled=true", |page| page["total"] == 4);
    let bounced = smtp.send(&["nobody@sina.test"], "bounces");
    // The report is a message with a journey of its own.
    let page = eventually(&mut http, "/api/v1/journeys?settled=true", |page| page["total"] == 6);
    let report = page["journeys"][0]["id"].clone();
    http.change("DELETE", "/api/v1/messages", &json!({ "IDs": [ids[0], bounced] }));
    assert_eq!(http.get("/api/v1/journeys")["total"], 4);
    for gone in [&ids[0], &bounced] {
        assert_eq!(http.ask("GET", &format!("/api/v1/journeys/{gone}"), "").0, 404);
    }
    let story = http.get(&format!("/api/v1/journeys/{}", report.as_str().unwrap()));
    assert_eq!(story["events"][0]["about"], json!(bounced), "it names one that is gone");
    let (mut pop3, _) = super::maildrop(&served, "friend@sina.test");
    assert!(pop3.command("DELE 1").starts_with("+OK"));
    pop3.command("QUIT");
    eventually(&mut http, "/api/v1/messages", |page| page["total"] == 3);
    assert_eq!(http.get(&format!("/api/v1/journeys/{}", ids[1]))["id"], json!(ids[1]), "a client expunged the message");
    // One that waits in a queue is deleted there.
    served.ask("POST", "/api/v1/hosts/mda-sina/off");
    let waits = format!("/api/v1/journeys/{}", smtp.send(&["friend@sina.test"], "waits"));
    eventually(&mut http, &waits, |story| story["recipients"]["friend@sina.test"]["status"] == "deferred");
    http.change("DELETE", "/api/v1/messages", &json!({}));
    let page = eventually(&mut http, "/api/v1/journeys", |page| page["total"] == 0);
    assert_eq!(page["journeys"], json!([]));
    let last = http.get(&format!("/api/v1/events?since={}", u64::MAX))["last"].as_u64().unwrap();
    drop(http);
    assert_eq!(served.terminate(), Some(0));
    let served = Served::start(folder.path());
    assert_eq!(served.json("/api/v1/journeys")["total"], 0);
    let now = served.json(&format!("/api/v1/events?since={}", u64::MAX))["last"].as_u64().unwrap();
    assert!(last <= now, "numbers of events come once");
}
