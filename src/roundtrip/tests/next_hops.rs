//! Next hops that refuse, lack extensions or reply oddly: journey and reports quote what was on the wire, and nothing else.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::net::{self, Limits, ServerConfig, Service, Stop, Stream, serve};

const HOP: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 97));

/// A server that replies by a script: the beginning of a command, and the reply to it.
#[derive(Clone)]
struct Scripted {
    replies: Vec<(&'static str, Vec<u8>)>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn reply(&self, command: &str) -> Vec<u8> {
        let scripted = self.replies.iter().find(|(start, _)| command.starts_with(start));
        let usual = match command {
            "greeting" => "220 hop.test",
            "DATA" => "354 go",
            _ => "250 ok",
        };
        scripted.map_or_else(|| usual.into(), |(_, reply)| reply.clone())
    }
}

impl Service for Scripted {
    async fn serve_connection(self, stream: Stream, _stop: Stop) -> Result<(), net::Error> {
        let mut stream = BufReader::new(stream);
        let (mut command, mut is_message) = ("greeting".to_owned(), false);
        loop {
            is_message &= command != ".";
            if !is_message {
                is_message = command == "DATA";
                stream.write_all(&[self.reply(&command), b"\r\n".to_vec()].concat()).await?;
            }
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            command = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.commands.lock().unwrap().push(command.clone());
        }
    }

    fn too_many_reply(&self) -> &'static str {
        "421 \r\n"
    }
}

/// A world whose mta-163 has a route to the scripted server for `hop.test` and the domains below it.
async fn world_with(replies: &[(&'static str, &[u8])]) -> (RunningWorld, Scripted) {
    let route = |to| format!("{{ to = \"{to}\", via = \"{HOP}\", tls = \"none\" }}");
    let routes = format!("routes = [{}, {}]", route("hop.test"), route("*.hop.test"));
    let text = crate::world::JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{routes}\n"));
    let text = format!("{text}\n[mua.x-hop]\naddress = \"{HOP}\"\n");
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, true).unwrap();
    let replies = replies.iter().map(|(start, reply)| (*start, reply.to_vec())).collect();
    let hop = Scripted { replies, commands: Arc::default() };
    let listener = env.net.interface(&[HOP]).listen(25).await.unwrap().remove(0);
    tokio::spawn(serve(ServerConfig { listener, tls: None, limits: Limits::default() }, hop.clone(), Stop::new()));
    (RunningWorld::start(env, PublicPorts::none()).await.unwrap(), hop)
}

/// What the journey and the sender get to know about a message.
struct Known {
    /// Events of mta-163 after it was queued.
    events: Vec<EventKind>,
    reports: Vec<String>,
}

/// Queues a message at mta-163 for the scripted server, and waits until it is over.
async fn tried(replies: &[(&'static str, &[u8])], to: &str, smtputf8: bool, text: &'static str) -> Known {
    let (running, _) = world_with(replies).await;
    let id = JourneyId::from_random(1).queue_id(1);
    let recipients = vec![to.parse::<Address>().unwrap().into()];
    let envelope = Envelope { reverse_path: "me@163.test".parse().ok(), recipients, smtputf8, ..Envelope::default() };
    let arrived = running.env.clock.now();
    let queued = QueuedMessage { id, envelope, message: Message::new(text.into()), arrived };
    let _ = running.mtas["mta-163"].queue().put(queued).await.unwrap();
    sleep(HOUR * 24 * 7).await;
    let events = running.env.event_log.since(0).into_iter().filter(|event| event.journey == id.journey);
    let events = events.map(|event| event.kind.clone()).collect();
    let reports = maildrop(&running, "me@163.test").await;
    let reports = reports.iter().map(|report| String::from_utf8(report.to_vec()).unwrap()).collect();
    running.stop().await;
    Known { events, reports }
}

/// The lines of the `message/delivery-status` part, unfolded.
fn status_fields(report: &str) -> String {
    let part = report.split("delivery-status\r\n\r\n").nth(1).unwrap().split("\r\n--").next().unwrap();
    assert!(part.lines().all(|line| line.len() <= 998), "{part}");
    part.replace("\r\n ", " ")
}

/// RFC 3464 §2.3.5, §2.3.6: what this host decided has no Remote-MTA, and no diagnostic of type `smtp`.
#[tokio::test(start_paused = true)]
async fn next_hop_is_not_quoted_for_what_this_host_decided() {
    for (ehlo, to, text, status, reason) in [
        (
            "250-hop.test\r\n250 SIZE 10",
            "x@hop.test",
            "Subject: s\r\n\r\n",
            "5.3.4",
            "has 14 bytes, and the next host accepts 10",
        ),
        ("250 hop.test", "x@hop.test", "Subject: s\r\n\r\n\u{e9}\r\n", "5.6.3", "does not support 8BITMIME"),
        ("250 hop.test", "x@hop.test", "Subject: s\n\r\n", "5.6.0", "a lone CR or LF"),
        ("250 hop.test", "\u{e9}@hop.test", "Subject: s\r\n\r\n", "5.6.7", "does not support SMTPUTF8"),
    ] {
        let known = tried(&[("EHLO", ehlo.as_bytes())], to, true, text).await;
        let [EventKind::Failed { by: None, reason: told, .. }] = &known.events[..] else {
            panic!("{:?}", known.events)
        };
        assert!(told.starts_with(&format!("not sent to {HOP}: ")) && told.contains(reason), "{told}");
        let fields = status_fields(&known.reports[0]);
        assert!(
            fields.contains(&format!("\r\nStatus: {status}\r\nDiagnostic-Code: X-Postroad; {told}\r\n")),
            "{fields}"
        );
        assert!(!fields.contains("Remote-MTA") && !fields.contains("smtp;"), "{fields}");
    }
}

/// RFC 5321 §3.1, §3.8: a refused session is tried again, and quoted as it was refused.
#[tokio::test(start_paused = true)]
async fn next_hop_that_refuses_the_session_is_quoted_with_its_code() {
    for (replies, stage, quote) in [
        (&[("greeting", "554 no SMTP service here")][..], "the greeting", "554 no SMTP service here"),
        (&[("greeting", "421 4.3.2 busy")], "the greeting", "421 4.3.2 busy"),
        (&[("EHLO", "502 what?"), ("HELO", "502 5.5.1 never")], "hello", "502 5.5.1 never"),
        (&[("MAIL", "421-4.7.0 not\r\n421 4.7.0 now")], "MAIL", "421-4.7.0 not\r\n421 4.7.0 now"),
        (&[("RCPT", "421 bye")], "RCPT", "421 bye"),
    ] {
        let replies: Vec<_> = replies.iter().map(|(start, reply)| (*start, reply.as_bytes())).collect();
        let known = tried(&replies, "x@hop.test", false, "Subject: s\r\n\r\n").await;
        let deferred = known.events.iter().find(|kind| matches!(kind, EventKind::Deferred { .. }));
        let Some(EventKind::Deferred { to, reason, .. }) = deferred else { panic!("{:?}", known.events.first()) };
        assert_eq!(reason, &format!("{HOP} said at {stage}: {quote}"));
        assert_eq!(to.as_deref(), Some("198.51.100.97"));
        let [delayed, failed] = &known.reports[..] else { panic!("{} reports", known.reports.len()) };
        let quoted = format!("Remote-MTA: dns; {HOP}\r\nDiagnostic-Code: smtp; {}\r\n", quote.replace("\r\n", " "));
        for (report, status) in [(delayed, "4."), (failed, "5.4.7")] {
            let fields = status_fields(report);
            assert!(fields.contains(&quoted) && fields.contains(&format!("\r\nStatus: {status}")), "{fields}");
        }
        // RFC 3464 §2.3.9.
        assert!(
            status_fields(delayed).contains("\r\nWill-Retry-Until: Fri, 6 Nov 2026 08:00:00 +0000\r\n"),
            "{delayed}"
        );
        assert!(!status_fields(failed).contains("Will-Retry-Until"));
    }
}

#[tokio::test(start_paused = true)]
async fn next_hop_with_an_odd_reply_is_quoted_whole_and_reports_stay_ascii() {
    let long = format!("550 5.7.1 {}end", "some words ".repeat(175));
    for (reply, told, diagnostic, status) in [
        (long.as_bytes(), long.as_str(), long.as_str(), "5.7.1"),
        (
            b"550-5.1.1 a\r\n550-5.7.1 b\r\n550 c",
            "550-5.1.1 a\r\n550-5.7.1 b\r\n550 c",
            "550-5.1.1 a 550-5.7.1 b 550 c",
            "5.1.1",
        ),
        ("550 5.1.1 \u{4f8b}".as_bytes(), "550 5.1.1 \u{4f8b}", r"550 5.1.1 \x{4F8B}", "5.1.1"),
        (b"550 5.1.1 caf\xe9", "550 5.1.1 caf\u{fffd}", r"550 5.1.1 caf\x{FFFD}", "5.1.1"),
    ] {
        let known = tried(&[("RCPT", reply)], "x@hop.test", false, "Subject: s\r\n\r\n").await;
        let [EventKind::Failed { by, reason, .. }] = &known.events[..] else { panic!("{:?}", known.events) };
        assert_eq!((by.as_deref(), reason), (Some("198.51.100.97"), &format!("{HOP} said: {told}")));
        let fields = status_fields(&known.reports[0]);
        let wanted =
            format!("\r\nStatus: {status}\r\nRemote-MTA: dns; {HOP}\r\nDiagnostic-Code: smtp; {diagnostic}\r\n");
        assert!(fields.contains(&wanted) && fields.is_ascii(), "{fields}");
        assert!(known.reports[0].lines().all(|line| line.len() <= 100), "{}", known.reports[0]);
    }
}

/// RFC 6531 §3.2: only the domain is not ASCII, so that the message can pass a host without SMTPUTF8.
#[tokio::test(start_paused = true)]
async fn next_hop_without_smtputf8_gets_domains_in_a_labels() {
    let (running, hop) = world_with(&[]).await;
    send(&running, "x@b\u{fc}cher.hop.test", HOUR).await;
    let commands = hop.commands.lock().unwrap().join("\n");
    assert!(commands.contains("\nRCPT TO:<x@xn--bcher-kva.hop.test>\n") && commands.is_ascii(), "{commands}");
    assert!(steps(&running).contains(&"mta-163 relayed".to_owned()), "{:?}", steps(&running));
    running.stop().await;
}
