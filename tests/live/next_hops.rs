//! Scripted next hops: what is recorded on the wire is what the journey, the queue and the report to the sender say, field
//! by field.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use postroad::mail::{Action, DeliveryReport};
use serde_json::Value;
use tokio::time::Instant;

use super::{LineClient, Served, err, eventually, messages, out, postroad, sendmail};

/// Commands, by their beginning, with the reply; `greeting` and `end`, the end of the message, are among them.
type Script = &'static [(&'static str, &'static str)];

/// The lines of one connection, each after `C` or `S`, as in a transcript.
type Lines = Vec<(char, String)>;

/// No reply: the connection stays open.
const SILENCE: &str = "(silence)";
/// The connection is closed without a reply.
const CLOSE: &str = "(close)";

/// A server that replies by its script, and records what both ends send.
struct Hop {
    at: SocketAddr,
    connections: Arc<Mutex<Vec<Lines>>>,
}

impl Hop {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, connections) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Lines>>>::default());
        let recorded = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let index = {
                    let mut all = recorded.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let recorded = recorded.clone();
                thread::spawn(move || {
                    let note = |side, line: String| recorded.lock().unwrap()[index].push((side, line));
                    serve(stream.unwrap(), script, note)
                });
            }
        });
        Self { at, connections }
    }

    fn connections(&self) -> Vec<Lines> {
        self.connections.lock().unwrap().clone()
    }
}

/// The reply to a command.
fn reply(script: Script, command: &str) -> &'static str {
    let scripted = script.iter().find(|(start, _)| command.starts_with(start));
    scripted.map_or_else(
        || match command {
            "greeting" => "220 hop.test",
            "DATA" => "354 go",
            "QUIT" => "221 bye",
            _ => "250 ok",
        },
        |(_, reply)| reply,
    )
}

/// One connection; `None` when it is over.
fn serve(stream: TcpStream, script: Script, note: impl Fn(char, String)) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut command = "greeting".to_owned();
    loop {
        match reply(script, &command) {
            SILENCE => {}
            CLOSE => return None,
            text => {
                let text = text.replace("LONG", &long());
                text.lines().for_each(|line| note('S', line.to_owned()));
                write!(stream.get_mut(), "{text}\r\n").ok()?;
                if text.starts_with("354") {
                    note('C', format!("({} bytes of message data)", read_message(&mut stream)?));
                    command = "end".to_owned();
                    continue;
                }
            }
        }
        if command == "STARTTLS" && reply(script, &command).starts_with("220") {
            // The handshake is not answered.
            return None;
        }
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        command = String::from_utf8_lossy(&line).trim_end().to_owned();
        note('C', command.clone());
    }
}

/// The length of a message, without dot-stuffing and the final dot.
fn read_message(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut bytes = 0;
    loop {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).ok().filter(|read| 0 < *read)?;
        match line.strip_prefix(b".") {
            Some(b"\r\n") => return Some(bytes),
            Some(rest) => bytes += rest.len(),
            None => bytes += line.len(),
        }
    }
}

/// What is expected of a message to a scripted hop.
struct Case {
    script: Script,
    /// The step of the first event about `x`, and its reason or the reply; `{}` stands for the name of the hop.
    first: (&'static str, &'static str),
    /// Action, status, and the diagnostic with its type; none if there is no report about `x`.
    report: Option<(Action, &'static str, &'static str)>,
}

/// A reply of 1,930 bytes in one line, which stands as `LONG` in the tables.
fn long() -> String {
    format!("550 5.7.1{} it ends here", " and so it goes on".repeat(106))
}

const FAILED: Action = Action::Failed;

fn cases() -> Vec<Case> {
    let case = |script, first, report| Case { script, first, report };
    vec![
        case(
            &[("greeting", "421 4.3.2 busy")],
            ("deferred", "{} said at the greeting: 421 4.3.2 busy"),
            Some((FAILED, "5.4.7", "smtp; 421 4.3.2 busy")),
        ),
        case(
            &[("greeting", "554 no SMTP service here")],
            ("deferred", "{} said at the greeting: 554 no SMTP service here"),
            Some((FAILED, "5.4.7", "smtp; 554 no SMTP service here")),
        ),
        case(
            &[("EHLO", "502 no"), ("HELO", "502 neither")],
            ("deferred", "{} said at hello: 502 neither"),
            Some((FAILED, "5.4.7", "smtp; 502 neither")),
        ),
        case(
            &[("RCPT TO:<x@", "550 5.1.1 no x")],
            ("failed", "{} said: 550 5.1.1 no x"),
            Some((FAILED, "5.1.1", "smtp; 550 5.1.1 no x")),
        ),
        case(
            &[("RCPT TO:<x@", "450 4.2.1 not now")],
            ("deferred", "{} said: 450 4.2.1 not now"),
            Some((FAILED, "5.4.7", "smtp; 450 4.2.1 not now")),
        ),
        case(
            &[("MAIL", "550-5.7.1 not\r\n550-5.7.0 from\r\n550 you")],
            ("failed", "{} said: 550-5.7.1 not\r\n550-5.7.0 from\r\n550 you"),
            Some((FAILED, "5.7.1", "smtp; 550-5.7.1 not 550-5.7.0 from 550 you")),
        ),
        case(&[("MAIL", "LONG")], ("failed", "{} said: LONG"), Some((FAILED, "5.7.1", "smtp; LONG"))),
        case(
            &[("DATA", "554 5.6.0 not this")],
            ("failed", "{} said: 554 5.6.0 not this"),
            Some((FAILED, "5.6.0", "smtp; 554 5.6.0 not this")),
        ),
        case(
            &[("end", "552 caf\u{e9}")],
            ("failed", "{} said: 552 caf\u{e9}"),
            Some((FAILED, "5.0.0", r"smtp; 552 caf\x{E9}")),
        ),
        case(
            &[("end", CLOSE)],
            ("deferred", "{} at the end of the message: the peer closed the connection"),
            Some((FAILED, "5.4.7", "")),
        ),
        case(
            &[("EHLO", "250-hop.test\r\n250 SIZE 20")],
            ("failed", "not sent to {}: the message has"),
            Some((FAILED, "5.3.4", "X-Postroad; not sent to {}: the message has")),
        ),
        case(
            &[("EHLO", "250-hop.test\r\n250 STARTTLS"), ("STARTTLS", "454 4.7.0 no TLS now")],
            ("relayed", "250 ok"),
            None,
        ),
        case(&[("EHLO", "250-hop.test\r\n250 STARTTLS"), ("STARTTLS", "220 go on")], ("relayed", "250 ok"), None),
        case(&[("end", "250-2.0.0 taken\r\n250 2.0.0 as 77")], ("relayed", "250-2.0.0 taken\r\n250 2.0.0 as 77"), None),
    ]
}

/// The default world, with a route of mta-163 to each hop, and retries that end after seconds.
fn world(addresses: &[SocketAddr]) -> String {
    let mut text = include_str!("../../config/journey.toml").to_owned();
    let route = |at| format!("{{ to = \"hop-{at}.test\", via = \"hop-{at}\" }}");
    let routes = (0..addresses.len()).map(route).collect::<Vec<_>>().join(", ");
    text = text.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\nroutes = [{routes}]\n"));
    text.push_str("\n[mta.mta-163.retry]\nfirst = \"1s\"\nwarn = \"1h\"\ngive_up = \"4s\"\n");
    for (at, address) in addresses.iter().enumerate() {
        let _ = write!(
            text,
            "\n[mta.hop-{at}]\naddress = \"198.51.100.{}\"\nengine = \"external\"\nat = \"{address}\"\n",
            100 + at
        );
    }
    text
}

/// Sends a message to `x` and `y` of a hop; returns its journey.
fn send(served: &Served, hop: usize) -> String {
    let mut smtp = LineClient::open(served.at("smtp"));
    for command in ["HELO program.test", "MAIL FROM:<me@163.test>"] {
        assert!(smtp.command(command).starts_with("250"));
    }
    for name in ["x", "y"] {
        assert!(smtp.command(&format!("RCPT TO:<{name}@hop-{hop}.test>")).starts_with("250"));
    }
    assert!(smtp.command("DATA").starts_with("354"));
    let reply = smtp.command("Subject: s\r\n\r\n..dot\r\n.");
    let id = reply.rsplit(' ').next().unwrap();
    id.split('-').next().unwrap().to_owned()
}

/// Events of mta-163 about `x` with the results of attempts.
fn events(journey: &Value, hop: usize) -> Vec<Value> {
    let x = Value::from(format!("x@hop-{hop}.test"));
    let is_it = |event: &&Value| {
        event["host"] == "mta-163"
            && event["step"] != "received"
            && event["step"] != "tried"
            && event["recipients"].as_array().is_some_and(|all| all.contains(&x))
    };
    journey["events"].as_array().unwrap().iter().filter(is_it).cloned().collect()
}

/// The lines of a transcript as they were recorded; longer ones are cut and marked in both.
fn dialogue(event: &Value) -> Lines {
    let lines = event["dialogue"]["lines"].as_array().into_iter().flatten();
    lines
        .map(|line| (line[0].as_str().unwrap().chars().next().unwrap(), line[1].as_str().unwrap().to_owned()))
        .collect()
}

/// Without the end, which may come after the event.
fn without_quit(mut lines: Lines) -> Lines {
    while lines.last().is_some_and(|(_, line)| matches!(line.as_str(), "QUIT" | "221 bye")) {
        lines.pop();
    }
    lines
}

fn cut(lines: Lines) -> Lines {
    let cut = |line: &str| match line.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    };
    lines.into_iter().map(|(side, line)| (side, cut(&line))).collect()
}

#[test]
fn scripted_next_hop_is_told_in_journey_queue_and_report_as_recorded() {
    let cases = cases();
    let hops: Vec<_> = cases.iter().map(|case| Hop::start(case.script)).collect();
    let addresses: Vec<_> = hops.iter().map(|hop| hop.at).collect();
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("world.toml"), world(&addresses)).unwrap();
    let served = Served::start_world(data.path(), &data.path().join("world.toml"));
    let journeys: Vec<_> = (0..hops.len()).map(|hop| send(&served, hop)).collect();
    for (at, journey) in journeys.iter().enumerate() {
        if cases[at].first.0 == "deferred" {
            check_queue(&served, journey, at);
        }
    }
    let reported = cases.iter().filter(|case| case.report.is_some()).count();
    let reports = messages(&served, "me@163.test", reported);
    let reports: Vec<_> = reports
        .iter()
        .map(|text| (text, DeliveryReport::read(text.replace('\n', "\r\n").as_bytes()).unwrap()))
        .collect();
    for ((at, case), hop) in cases.iter().enumerate().zip(&hops) {
        let journey = served.json(&format!("/api/v1/journeys/{}", journeys[at]));
        check_journey(&journey, at, case, hop);
        let report =
            reports.iter().find(|(_, read)| read.journey.map(|id| id.to_string()).as_ref() == Some(&journeys[at]));
        assert_eq!(report.is_some(), case.report.is_some(), "hop {at}: {:?}", case.script);
        if let (Some((text, read)), Some(wanted)) = (report, case.report) {
            check_report(text, read, at, wanted, &journey);
        }
    }
}

#[test]
fn run_to_a_mailbox_beyond_the_world_ends_once_the_message_has_left() {
    let hop = Hop::start(&[]);
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("world.toml");
    // Without mailboxes for all other domains.
    let text = world(&[hop.at]).replace("[elsewhere]\nmx = \"mta-elsewhere\"\nmailboxes = \"mda-elsewhere\"\n", "");
    assert!(!text.contains("[elsewhere]"));
    fs::write(&file, text).unwrap();
    let began = Instant::now();
    let ran = postroad(&["run", file.to_str().unwrap(), "--to", "x@hop-0.test", "--timeout", "10min"]);
    assert!(began.elapsed() < Duration::from_secs(300), "it waited for its timeout");
    assert_eq!(ran.status.code(), Some(1), "{}", err(&ran));
    assert!(out(&ran).contains("relayed to hop-0.test: 250 ok"), "{}", out(&ran));
}

/// What the queue says of a deferred message is what its newest event says.
fn check_queue(served: &Served, journey: &str, at: usize) {
    let agrees = || {
        let queue = served.json("/api/v1/queue");
        let entry =
            queue["messages"].as_array()?.iter().find(|entry| entry["id"].as_str().unwrap().starts_with(journey))?;
        let events = events(&served.json(&format!("/api/v1/journeys/{journey}")), at);
        let event = events.last()?;
        (entry["state"] == "waiting"
            && entry["reason"] == event["reason"]
            && milliseconds(&entry["due"]) == milliseconds(&event["until"])
            && entry["attempts"] == events.len()
            && entry["recipients"].as_array()?.contains(&format!("x@hop-{at}.test").into()))
        .then_some(())
    };
    eventually(&format!("the queue entry of hop {at}"), agrees);
}

fn milliseconds(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn check_journey(journey: &Value, at: usize, case: &Case, hop: &Hop) {
    let (name, all) = (format!("hop-{at}.test"), events(journey, at));
    let first = all.first().unwrap_or_else(|| panic!("{name}: {journey:#}"));
    let (step, words) = case.first;
    let words = words.replace("{}", &name).replace("LONG", &long());
    let told = if step == "relayed" { &first["reply"] } else { &first["reason"] };
    assert_eq!(first["step"], step, "{first:#}");
    assert!(told.as_str().unwrap().starts_with(&words), "{told} is not {words}");
    // Only the host that answered is named.
    let host = if step == "failed" { &first["by"] } else { &first["to"] };
    assert_eq!(host.is_null(), words.starts_with("not sent"), "{first:#}");
    // Each host that was tried has its own dialogue, also one whose TLS broke. The events of one attempt share that of its end.
    let recorded: Vec<_> = hop.connections().into_iter().map(|lines| without_quit(cut(lines))).collect();
    let dialogues = journey["events"].as_array().unwrap().iter().filter(|event| event["host"] == "mta-163");
    let dialogues: Vec<_> = dialogues.map(|event| without_quit(dialogue(event))).collect();
    let is_recorded = |dialogue: &Lines| recorded.iter().any(|lines| !lines.is_empty() && dialogue.ends_with(lines));
    assert!(dialogues.iter().any(is_recorded), "{name}: {dialogues:#?} were recorded as {recorded:#?}");
}

fn check_report(text: &str, report: &DeliveryReport, at: usize, wanted: (Action, &str, &str), journey: &Value) {
    let (x, (action, status, diagnostic)) = (format!("x@hop-{at}.test"), wanted);
    let about = report.recipients.iter().find(|about| about.address.as_ref().is_some_and(|it| it.to_string() == x));
    let about = about.unwrap_or_else(|| panic!("no report about {x}:\n{text}"));
    let (class, subject, detail) = about.status;
    assert_eq!((about.action, format!("{class}.{subject}.{detail}").as_str()), (action, status), "{text}");
    assert_eq!(report.reporting_mta.as_deref(), Some("mx.163.test"));
    let diagnostic = diagnostic.replace("{}", &format!("hop-{at}.test")).replace("LONG", &long());
    let unfolded = text.replace("\n ", " ");
    assert!(unfolded.contains(&format!("\nDiagnostic-Code: {diagnostic}")), "{diagnostic}: {text}");
    let quotes = diagnostic.starts_with("smtp;");
    assert_eq!(about.remote_mta.as_deref(), quotes.then_some(format!("hop-{at}.test")).as_deref(), "{text}");
    let status_part = text.split("delivery-status\n\n").nth(1).unwrap().split("\n--").next().unwrap();
    assert!(status_part.is_ascii() && status_part.lines().all(|line| line.len() <= 998), "{status_part}");
    // The journey ends as the report says.
    let last = events(journey, at).pop().unwrap();
    assert_eq!((&last["step"], last["report"].is_string()), (&Value::from("failed"), true), "{last:#}");
}

#[test]
fn silent_or_closed_next_hop_keeps_the_message_in_the_queue() {
    let silent = Hop::start(&[("greeting", SILENCE)]);
    // A port that is taken and does not listen, so that no other test gets it.
    let refused = tokio::net::TcpSocket::new_v4().unwrap();
    refused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let data = tempfile::tempdir().unwrap();
    fs::write(
        data.path().join("world.toml"),
        world(&[silent.at, refused.local_addr().unwrap()]).replace("\"4s\"", "\"1h\""),
    )
    .unwrap();
    let served = Served::start_world(data.path(), &data.path().join("world.toml"));
    let journeys = [send(&served, 0), send(&served, 1)];
    let entry = |journey: &str| {
        let queue = served.json("/api/v1/queue");
        queue["messages"].as_array()?.iter().find(|entry| entry["id"].as_str().unwrap().starts_with(journey)).cloned()
    };
    eventually("the connection", || (silent.connections().len() == 1).then_some(()));
    assert_eq!(entry(&journeys[0]).unwrap()["state"], "underway");
    let journey = |at: usize| served.json(&format!("/api/v1/journeys/{}", journeys[at]));
    assert!(events(&journey(0), 0).is_empty());
    check_queue(&served, &journeys[1], 1);
    let event = events(&journey(1), 1).remove(0);
    assert_eq!((&event["step"], dialogue(&event).len()), (&Value::from("deferred"), 0), "{event:#}");
    let tried =
        journey(1)["events"].as_array().unwrap().iter().find(|event| event["step"] == "tried").cloned().unwrap();
    assert_eq!(
        (&tried["reason"], &tried["attempt"]["address"]),
        (&event["reason"], &"198.51.100.101:25".into()),
        "{tried:#}"
    );
    assert!(tried["attempt"]["began"].is_string() && tried["took_ms"].is_number(), "{tried:#}");
    assert!(event["reason"].as_str().unwrap().contains("refused"), "{event:#}");
    assert!(silent.connections()[0].is_empty(), "nothing is sent before the greeting");
}

/// Clients quote servers only with their replies, too.
#[test]
fn client_that_does_not_send_or_log_in_quotes_no_reply() {
    let small = Hop::start(&[("EHLO", "250-hop.test\r\n250 SIZE 20")]);
    let at = small.at.to_string();
    let sent = sendmail(&at, &["-f", "me@163.test", "x@hop.test"], "Subject: s\n\nmore than twenty bytes\n");
    let told = err(&sent);
    assert!(told.contains("x@hop.test: not sent: the message has ") && told.contains(" accepts 20"), "{told}");
    assert_eq!(sent.status.code(), Some(69), "EX_UNAVAILABLE");
    assert!(!small.connections().concat().iter().any(|(_, line)| line.starts_with("MAIL")));
    let odd = Hop::start(&[("EHLO", "250-hop.test\r\n250 AUTH GSSAPI")]);
    let at = odd.at.to_string();
    let sent =
        postroad(&["send", "--server", &at, "--security", "plain", "--from", "me@163.test", "--to", "x@hop.test"]);
    assert!(err(&sent).contains("it offers no login mechanism that this client supports"), "{}", err(&sent));
    assert!(!err(&sent).contains("504") && sent.status.code() == Some(1), "{}", err(&sent));
}
