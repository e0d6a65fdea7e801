//! Server-sent events, read through the real HTTP port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::Smtp;
use super::{Served, TIMEOUT};

/// A client of the event stream, which comes again when it was cut, as browsers do.
struct Client<'a> {
    served: &'a Served,
    query: &'static str,
    last_id: Option<String>,
    lines: Box<dyn Iterator<Item = String>>,
}

#[derive(Debug)]
struct Sent {
    name: String,
    id: Option<u64>,
    data: Value,
}

impl<'a> Client<'a> {
    fn new(served: &'a Served, query: &'static str) -> Self {
        let mut client = Self { served, query, last_id: None, lines: Box::new(std::iter::empty()) };
        client.connect(None);
        client
    }

    /// Connects again; the connection breaks after so many bytes.
    fn connect(&mut self, bytes: Option<u64>) {
        let mut stream = TcpStream::connect(self.served.at("http")).unwrap();
        // A cut also comes while nothing happens.
        stream.set_read_timeout(Some(if bytes.is_some() { Duration::from_millis(50) } else { TIMEOUT })).unwrap();
        let resume = self.last_id.as_ref().map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let query = self.query;
        write!(stream, "GET /api/v1/events/stream{query} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n").unwrap();
        let whole = BufReader::new(stream.take(bytes.unwrap_or(u64::MAX)));
        // A line that is not whole is not seen, as after a cut.
        let mut lines = whole.split(b'\n').map_while(Result::ok).map(|line| String::from_utf8(line).unwrap());
        if bytes.is_none() {
            assert_eq!(lines.next().as_deref(), Some("HTTP/1.1 200 OK\r"));
            let kind = lines.by_ref().take_while(|line| line != "\r").any(|line| line.contains("text/event-stream"));
            assert!(kind);
        }
        // Chunked: sizes are lines of hexadecimal digits, which no line of an event is.
        self.lines = Box::new(lines.filter(|line| !line.ends_with('\r')));
    }

    /// The next event; `None` at the end of the connection.
    fn next(&mut self) -> Option<Sent> {
        let (mut name, mut id, mut data) = (String::new(), None, String::new());
        loop {
            let line = self.lines.next()?;
            match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("data", value)) => data.push_str(value),
                // Also the header of the response, which has no such fields before the first empty line.
                _ if line.is_empty() && !data.is_empty() => break,
                _ => {}
            }
        }
        let data = serde_json::from_str(&data).ok()?;
        self.last_id = id.clone().or(self.last_id.take());
        Some(Sent { name, id: id.map(|id| id.parse().unwrap()), data })
    }
}

#[test]
fn event_stream_that_is_cut_a_hundred_times_misses_and_repeats_nothing() {
    let served = Served::ephemeral();
    let mut client = Client::new(&served, "?since=0");
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut smtp = Smtp::connect(&served);
            for number in 0..60 {
                smtp.send(&["friend@sina.test"], &format!("message {number}"));
            }
        });
        let (mut seen, mut random) = (Vec::new(), 7_u64);
        let read = |client: &mut Client<'_>, seen: &mut Vec<Value>, last: u64| {
            while seen.last().is_none_or(|event| event["seq"] != last)
                && let Some(event) = client.next()
            {
                assert_ne!(event.name, "reset");
                if event.name == "journey" {
                    assert_eq!(event.id, event.data["seq"].as_u64());
                    seen.push(event.data);
                }
            }
        };
        for _ in 0..100 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            client.connect(Some(300 + (random >> 33) % 6000));
            read(&mut client, &mut seen, 0);
        }
        sending.join().unwrap();
        super::eventually("all settled", || {
            Some(()).filter(|()| served.json("/api/v1/journeys?settled=false")["total"] == 0)
        });
        let last = served.json("/api/v1/events?since=18446744073709551615")["last"].as_u64().unwrap();
        client.connect(None);
        read(&mut client, &mut seen, last);
        let (mut all, mut since) = (Vec::new(), 0);
        loop {
            let page = served.json(&format!("/api/v1/events?since={since}"));
            let Some(events) = page["events"].as_array().filter(|events| !events.is_empty()) else { break };
            all.extend(events.iter().cloned());
            since = page["last"].as_u64().unwrap();
        }
        assert!(60 * 5 <= seen.len(), "{}", seen.len());
        assert_eq!(seen, all);
    });
}

#[test]
fn event_stream_tells_changes_of_messages_and_faults_and_ends_with_the_world() {
    let served = Served::ephemeral();
    let mut client = Client::new(&served, "?dialogue=false");
    let start = client.next().unwrap();
    assert_eq!((start.name.as_str(), start.id), ("start", start.data["last"].as_u64()));
    let mut smtp = Smtp::connect(&served);
    let id = smtp.send(&["friend@sina.test"], "live");
    let mut names = Vec::new();
    let mut next = |wanted: &str| {
        loop {
            let event = client.next().unwrap();
            assert!(event.data.get("dialogue").is_none());
            names.push(event.name.clone());
            if event.name == wanted {
                return event;
            }
        }
    };
    let added = next("message-added").data;
    assert_eq!((added["ID"].as_str(), added["Subject"].as_str()), (Some(&*id), Some("live")));
    while next("sessions").data["open"] != 1 {}
    drop(smtp);
    while next("sessions").data["open"] != 0 {}
    served.get(&format!("/api/v1/journeys/{id}?wait=30s"));
    served.get(&format!("/api/v1/message/{id}"));
    // The delivery has changed it before, too.
    while next("message-changed").data["Read"] != true {}
    served.ask("DELETE", "/api/v1/messages");
    assert_eq!(next("message-deleted").data, json!({ "ID": id }));
    assert!(served.ask("DELETE", "/api/v1/faults").starts_with("HTTP/1.1 200"));
    let begin = ["fault", "--control", served.at("http"), "begin", "disk-full", "host=mta-sina"];
    let fault = super::postroad(&begin);
    assert!(fault.status.success(), "{}", super::err(&fault));
    while next("faults").data[0]["fault"]["host"] != "mta-sina" {}
    assert!(names.iter().any(|name| name == "journey"), "{names:?}");
    // A number of another world's stream.
    let mut other = Client { last_id: Some(u64::MAX.to_string()), ..Client::new(&served, "") };
    other.connect(None);
    assert_eq!([other.next().unwrap().name, other.next().unwrap().name], ["start", "reset"]);
    let mut rest = String::new();
    let mut open = TcpStream::connect(served.at("http")).unwrap();
    open.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(open, "GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(served.terminate(), Some(0));
    open.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "the answer ends in order: {rest}");
}
