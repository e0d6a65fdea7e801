//! The policy of a host, over SMTP and in virtual time.
//!
//! In a transcript, `P:` is the client that connects, a host of the world or an address; `S:` is the beginning of a reply, `W:`
//! the number of seconds to wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::*;
use crate::journey::{EventKind, EventLog};
use crate::mail::Address;
use crate::mta::{Mta, Selector, test_support};
use crate::net::{Limits, Net, ServerConfig, Stop, Stream, serve};
use crate::smtp::reply_faults::ReplyFaults;
use crate::smtp::server::Server;
use crate::world::{JOURNEY, World};

/// The MTA of sina.test, which receives and does not relay.
struct Fixture {
    world: Arc<World>,
    mta: Mta,
    event_log: EventLog,
    net: Net,
    at: std::net::SocketAddr,
    stop: Stop,
}

impl Fixture {
    /// A fixture with these keys at the host and at the domain.
    async fn new(keys: &str, domain: &str) -> Self {
        Self::of(ListenerKind::Relay, keys, domain).await
    }

    async fn of(kind: ListenerKind, keys: &str, domain: &str) -> Self {
        let text = JOURNEY.replace("users = [\"friend\"]", &format!("users = [\"friend\", \"ann\"]\n{domain}"));
        let text = text.replace("[mta.mta-sina]\n", &format!("[mta.mta-sina]\n{keys}\n"));
        let net = Net::memory(Arc::new(|_, _| Duration::from_millis(1)));
        let (mta, event_log) = test_support::mta(&text, "mta-sina", &net, vec![]);
        let (world, interface) = (mta.context().world.clone(), mta.context().interface.clone());
        let (listener, stop) = (interface.listen(25).await.unwrap().remove(0), Stop::new());
        let at = listener.address();
        let config = ServerConfig { listener, tls: None, limits: Limits::default() };
        let hosts = HostGroup::single(mta.host().clone(), mta.clone());
        let server = Server::new(SmtpPolicy::new(hosts, kind), ReplyFaults::default());
        tokio::spawn(serve(config, server, stop.clone()));
        Self { world, mta, event_log, net, at, stop }
    }

    async fn connect(&self, who: &str) -> Stream {
        let address = who.parse::<IpAddr>().unwrap_or_else(|_| self.world.hosts[who].addresses[0]);
        self.net.interface(&[address]).connect(self.at).await.unwrap()
    }

    async fn play(&self, transcript: &str) {
        let mut stream = None;
        for line in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            let (mark, text) = line.split_once(": ").unwrap();
            match (mark, &mut stream) {
                ("P", stream) => *stream = Some(self.connect(text).await),
                ("W", _) => sleep(Duration::from_secs(text.parse().unwrap())).await,
                ("C", Some(stream)) => stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap(),
                ("S", Some(stream)) => {
                    let reply = reply(stream).await;
                    assert!(reply.starts_with(text), "{reply:?} does not begin with {text:?}");
                }
                _ => panic!("{line}"),
            }
        }
    }

    /// The recipients of each queued message.
    fn queued(&self) -> Vec<Vec<String>> {
        let listing = self.mta.queue().list(Selector::All, None, 100).unwrap();
        let names = |recipients: &[Address]| recipients.iter().map(ToString::to_string).collect();
        let mut all: Vec<_> = listing.messages.iter().map(|waiting| names(&waiting.recipients)).collect();
        all.sort();
        all
    }

    fn steps(&self) -> Vec<EventKind> {
        self.event_log.since(0).into_iter().map(|event| event.kind.clone()).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The last line of a reply, or `closed`.
async fn reply(stream: &mut Stream) -> String {
    let (mut reply, mut byte) = (Vec::new(), [0]);
    while let Ok(1) = stream.read(&mut byte).await {
        reply.push(byte[0]);
        let line = reply.rsplit(|byte| *byte == b'\n').nth(1).unwrap_or_default();
        if reply.ends_with(b"\r\n") && line.get(3) == Some(&b' ') {
            return String::from_utf8_lossy(line).into_owned();
        }
    }
    "closed".to_owned()
}

const HELLO: &str = "P: mta-relay\nS: 220\nC: EHLO relay.postroad.test\nS: 250\n";

/// The commands before the recipients.
fn hello(rest: &str) -> String {
    format!("{HELLO}C: MAIL FROM:<me@163.test>\nS: 250 2.1.0\n{rest}")
}

#[tokio::test(start_paused = true)]
async fn rule_replies_at_its_stage_to_matching_clients_only() {
    for (rule, transcript) in [
        ("stage = \"connect\", reply = \"554 5.7.1 go away\"", "P: mta-relay\nS: 554 5.7.1 go away"),
        (
            "stage = \"connect\", client = \"203.0.113.0/24\", reply = \"421 4.3.2 later\"",
            "P: 203.0.113.99\nS: 421 4.3.2 later\nP: mta-relay\nS: 220",
        ),
        (
            "stage = \"ehlo\", helo = \"*.bad.test\", reply = \"550 5.7.1 no\"",
            "P: mta-relay\nS: 220\nC: EHLO a.bad.test\nS: 550 5.7.1 no\nC: EHLO good.test\nS: 250",
        ),
        (
            "stage = \"mail\", from = \"*@spam.test\", reply = \"553 5.1.8 not you\"",
            "P: mta-relay\nS: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<x@spam.test>\nS: 553 5.1.8 not you\nC: MAIL FROM:<x@ham.test>\nS: 250",
        ),
        (
            "stage = \"mail\", from = \"<>\", reply = \"550 no reports\"",
            "P: mta-relay\nS: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<>\nS: 550 no reports\nC: MAIL FROM:<x@ham.test>\nS: 250",
        ),
        (
            "stage = \"rcpt\", to = \"ann@*\", client = [\"mta-relay\"], reply = \"452 4.2.2 full\"",
            "P: mta-relay\nS: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<>\nS: 250\nC: RCPT TO:<ann@sina.test>\nS: 452 4.2.2 full\nC: RCPT TO:<friend@sina.test>\nS: 250",
        ),
        (
            "stage = \"data\", from = \"me@*\", reply = \"451 4.3.0 AUTH not allowed now\"",
            "P: mta-relay\nS: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<me@163.test>\nS: 250\nC: RCPT TO:<ann@sina.test>\nS: 250\nC: DATA\nS: 451 4.3.0 AUTH not allowed now\nC: BDAT 3 LAST\nC: x\nS: 451 4.3.0 AUTH not allowed now",
        ),
        (
            "stage = \"end\", to = \"ann@sina.test\", reply = \"554 5.6.0 virus\"",
            "P: mta-relay\nS: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<me@163.test>\nS: 250\nC: RCPT TO:<ann@sina.test>\nS: 250\nC: DATA\nS: 354\nC: x\nC: .\nS: 554 5.6.0 virus",
        ),
        (
            "stage = \"rcpt\", times = 2, reply = \"451 wait\"",
            "P: mta-relay\nS: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<>\nS: 250\nC: RCPT TO:<ann@sina.test>\nS: 451 wait\nC: RCPT TO:<ann@sina.test>\nS: 451\nC: RCPT TO:<ann@sina.test>\nS: 250",
        ),
    ] {
        let fixture = Fixture::new(&format!("rules = [{{ {rule} }}]"), "").await;
        fixture.play(transcript).await;
        assert_eq!(fixture.queued(), [[""; 0]; 0], "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_with_a_probability_applies_as_often_and_depends_on_the_seed() {
    let mut all = vec![];
    for _ in 0..2 {
        let fixture =
            Fixture::new("rules = [{ stage = \"mail\", probability = 0.3, reply = \"451 4.7.1 dice\" }]", "").await;
        let mut stream = fixture.connect("mta-relay").await;
        stream.write_all(b"EHLO a\r\n").await.unwrap();
        let _greeting = (reply(&mut stream).await, reply(&mut stream).await);
        let mut struck = vec![];
        for _ in 0..200 {
            stream.write_all(b"MAIL FROM:<me@163.test>\r\nRSET\r\n").await.unwrap();
            struck.push(reply(&mut stream).await.starts_with("451"));
            assert!(reply(&mut stream).await.starts_with("250"));
            if struck.len() % 10 == 0 {
                // Errors count, and end a connection.
                stream = fixture.connect("mta-relay").await;
                stream.write_all(b"EHLO a\r\n").await.unwrap();
                let _greeting = (reply(&mut stream).await, reply(&mut stream).await);
            }
        }
        let share = struck.iter().filter(|is| **is).count();
        assert!((40..80).contains(&share), "{share} of 200");
        all.push(struck);
    }
    assert_eq!(all[0], all[1]);
}

#[tokio::test(start_paused = true)]
async fn relaying_is_refused_but_for_declared_clients() {
    let outside = "C: RCPT TO:<x@163.test>\n";
    for (keys, who, wanted) in [
        ("", "mta-relay", "550 5.7.1 <x@163.test> is not local"),
        ("relay_from = [\"mta-relay\"]", "mta-relay", "250"),
        ("relay_from = [\"mta-relay\"]", "mta-163", "550 5.7.1"),
        ("relay_from = [\"198.51.100.0/24\"]", "198.51.100.7", "250"),
        ("relay_from = [\"198.51.100.0/24\"]", "198.51.101.7", "550 5.7.1"),
    ] {
        let fixture = Fixture::new(keys, "").await;
        let talk = format!("P: {who}\nS: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<friend@sina.test>\nS: 250\n");
        fixture.play(&format!("{talk}{outside}S: {wanted}\nC: RCPT TO:<x%163.test@sina.test>\nS: 550")).await;
    }
}

/// Where no login is needed, that is for programs on this machine and for hosts of the world; where one is, for nobody
/// else. RFC 6409 §4.3.
#[tokio::test(start_paused = true)]
async fn unauthenticated_port_does_not_relay_for_outside_clients() {
    for (kind, who, queued, rcpt) in [
        (ListenerKind::Unauthenticated, "mta-163", "250", "250"),
        (ListenerKind::Unauthenticated, "127.0.0.1", "250", "250"),
        (ListenerKind::Unauthenticated, "203.0.113.250", "250", "550 5.7.1"),
        (ListenerKind::Submission, "127.0.0.1", "530 5.7.0", "503"),
        (ListenerKind::Submission, "mta-163", "530 5.7.0", "503"),
    ] {
        let fixture = Fixture::of(kind, "relay_from = [\"mta-163\"]", "").await;
        let talk = format!("C: MAIL FROM:<friend@sina.test>\nS: {queued}\nC: RCPT TO:<x@163.test>\nS: {rcpt}");
        fixture.play(&format!("P: {who}\nS: 220\nC: EHLO a\nS: 250\n{talk}")).await;
    }
}

/// RFC 5321 §6.3: so many trace fields are a loop, whoever wrote them.
#[tokio::test(start_paused = true)]
async fn message_that_passed_a_hundred_hosts_is_refused_as_a_loop() {
    for (hops, wanted) in [(99, "250 2.0.0"), (100, "554 5.4.6 Too many hops")] {
        let fixture = Fixture::new("", "").await;
        let trace = "C: Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\n".repeat(hops);
        let rest = format!("C: RCPT TO:<ann@sina.test>\nS: 250\nC: DATA\nS: 354\n{trace}C: Subject: s\nC: \nC: .");
        fixture.play(&hello(&format!("{rest}\nS: {wanted}"))).await;
        assert_eq!(fixture.queued().len(), usize::from(wanted.starts_with('2')));
    }
}

/// RFC 6647 §2.1, §5.
#[tokio::test(start_paused = true)]
async fn greylisting_defers_unknown_clients_once_and_relay_clients_never() {
    let fixture = Fixture::new("greylisting = { delay = \"5min\" }\nrelay_from = [\"mta-163\"]", "").await;
    let knock = |reply: &str| hello(&format!("C: RCPT TO:<ann@sina.test>\nS: {reply}\n"));
    fixture.play(&knock("450 4.7.1 Greylisted, try again in 300 s")).await;
    fixture.play(&format!("W: 200\n{}", knock("450 4.7.1 Greylisted, try again in"))).await;
    fixture.play(&format!("W: 200\n{}", knock("250 2.1.5"))).await;
    fixture.play(&hello("C: RCPT TO:<friend@sina.test>\nS: 450 4.7.1 Greylisted")).await;
    fixture.play("P: mta-163\nS: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<x@163.test>\nS: 250\nC: RCPT TO:<friend@sina.test>\nS: 250").await;
}

#[tokio::test(start_paused = true)]
async fn client_over_its_rate_limit_is_deferred_to_the_next_period() {
    let fixture = Fixture::new("rate_limit = { per = \"1min\", messages = 2, recipients = 3 }", "").await;
    let one = "C: RCPT TO:<ann@sina.test>\nS: 250\nC: RSET\nS: 250\n";
    let over = "C: MAIL FROM:<a@163.test>\nS: 450 4.7.1 Too many messages from your address, try again in\n";
    let again = "C: MAIL FROM:<a@163.test>\nS: 250\n";
    fixture.play(&hello(&format!("{one}{again}{one}{over}W: 61\n{again}{one}"))).await;
    let fixture = Fixture::new("rate_limit = { per = \"1min\", recipients = 2, exempt = [\"mta-163\"] }", "").await;
    fixture.play(&hello("C: RCPT TO:<ann@sina.test>\nS: 250\nC: RCPT TO:<friend@sina.test>\nS: 250\nC: RCPT TO:<ann@sina.test>\nS: 450 4.7.1")).await;
}

#[tokio::test(start_paused = true)]
async fn limits_are_announced_and_enforced() {
    let keys = "recipients_max = 1\ntransactions_max = 2\nrecipient_domains_max = 1\nsize_max = 1000";
    let fixture = Fixture::new(keys, "").await;
    fixture.play(&hello("C: RCPT TO:<ann@sina.test>\nS: 250\nC: RCPT TO:<friend@sina.test>\nS: 452 4.5.3\nC: RSET\nS: 250\nC: MAIL FROM:<> SIZE=1001\nS: 552 5.3.4\nC: MAIL FROM:<>\nS: 250\nC: RSET\nS: 250\nC: MAIL FROM:<>\nS: 421 4.7.0\nS: closed")).await;
}

#[tokio::test(start_paused = true)]
async fn unknown_recipients_are_refused_accepted_or_caught_as_configured() {
    for (keys, domain, wanted, queued) in [
        ("", "", "550 5.1.1 <who@sina.test> has no mailbox here", vec![]),
        ("unknown_recipients = \"accept\"", "", "250 2.1.5", vec![vec!["who@sina.test"]]),
        ("", "catch_all = \"ann\"", "250 2.1.5", vec![vec!["ann@sina.test"]]),
        ("", "catch_all = \"|discard\"", "250 2.1.5", vec![]),
    ] {
        let fixture = Fixture::new(keys, domain).await;
        let rest =
            if wanted.starts_with('2') { "C: DATA\nS: 354\nC: x\nC: .\nS: 250 2.0.0 OK" } else { "C: RSET\nS: 250" };
        fixture.play(&hello(&format!("C: RCPT TO:<who@sina.test>\nS: {wanted}\n{rest}"))).await;
        assert_eq!(fixture.queued(), queued, "{keys}{domain}");
    }
}

#[tokio::test(start_paused = true)]
async fn bare_line_ends_are_treated_as_configured() {
    for (keys, wanted) in
        [("", "554 5.6.0"), ("bare_line_ends = \"normalize\"", "250 2.0.0"), ("bare_line_ends = \"keep\"", "250 2.0.0")]
    {
        let fixture = Fixture::new(keys, "").await;
        let mut stream = fixture.connect("mta-relay").await;
        let talk = b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<ann@sina.test>\r\nDATA\r\n";
        stream.write_all(talk).await.unwrap();
        for _ in 0..5 {
            reply(&mut stream).await;
        }
        stream.write_all(b"one\ntwo\r\n.\r\n").await.unwrap();
        let reply = reply(&mut stream).await;
        assert!(reply.starts_with(wanted), "{keys}: {reply}");
    }
}

/// RFC 5321 §3.9; each recipient gets one copy, even if several aliases lead there.
#[tokio::test(start_paused = true)]
async fn aliases_are_expanded_to_each_target_once_with_an_event() {
    let domain = "aliases = { info = [\"ann\", \"sales\"], sales = [\"friend\", \"x@away.test\"], void = \"|discard\", ann = [\"ann\", \"|discard\"] }";
    for (recipients, queued, expanded) in [
        (vec!["info"], vec![vec!["ann@sina.test"], vec!["friend@sina.test", "x@away.test"]], 1),
        (vec!["void"], vec![], 1),
        (vec!["ann"], vec![vec!["ann@sina.test"]], 1),
        (vec!["friend", "sales"], vec![vec!["friend@sina.test"], vec!["x@away.test"]], 1),
        (vec!["sales", "info"], vec![vec!["ann@sina.test"], vec!["friend@sina.test", "x@away.test"]], 2),
        (vec!["abuse"], vec![vec!["postmaster@sina.test"]], 1),
    ] {
        let fixture = Fixture::new("", domain).await;
        let named = recipients.iter().map(|name| format!("C: RCPT TO:<{name}@sina.test>\nS: 250\n"));
        fixture.play(&hello(&format!("{}C: DATA\nS: 354\nC: x\nC: .\nS: 250", named.collect::<String>()))).await;
        assert_eq!(fixture.queued(), queued, "{recipients:?}");
        let steps = fixture.steps();
        assert!(matches!(&steps[0], EventKind::Received { recipients: named, .. } if named.len() == recipients.len()));
        let led = steps.iter().filter(|step| matches!(step, EventKind::Expanded { .. })).count();
        assert_eq!(led, expanded, "{recipients:?}");
    }
}

/// RFC 9228 §4: a message that comes back to an alias which expanded it.
#[tokio::test(start_paused = true)]
async fn message_expanded_by_the_same_alias_before_fails_with_one_report() {
    let fixture = Fixture::new("", "aliases = { out = \"x@away.test\" }").await;
    let send = "C: RCPT TO:<out@sina.test>\nS: 250\nC: DATA\nS: 354\nC: Delivered-To: out@sina.test\nC: Subject: round\nC: \nC: x\nC: .\nS: 250";
    fixture.play(&hello(send)).await;
    assert_eq!(fixture.queued(), [["me@163.test"]], "the report");
    assert!(fixture.steps().iter().any(|step| matches!(step, EventKind::Failed { .. })));
}

/// RFC 3461 §5.2.7: an alias of one target passes all requests on; one of several reports the expansion itself.
#[tokio::test(start_paused = true)]
async fn alias_expansion_keeps_the_notify_parameter() {
    let domain = "aliases = { one = \"x@away.test\", two = [\"x@away.test\", \"y@away.test\"], void = \"|discard\" }";
    for (name, told, success) in [("one", 0, true), ("two", 1, false), ("void", 1, false)] {
        let fixture = Fixture::new("", domain).await;
        let rcpt =
            format!("C: RCPT TO:<{name}@sina.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{name}@sina.test\nS: 250\n");
        fixture.play(&hello(&format!("{rcpt}C: DATA\nS: 354\nC: x\nC: .\nS: 250"))).await;
        let reports = fixture.queued().iter().filter(|to| to[..] == ["me@163.test"]).count();
        assert_eq!(reports, told, "{name}");
        let entries = (1..5).filter_map(|row| fixture.mta.queue().load(row).unwrap());
        for entry in entries.filter(|entry| entry.queued.envelope.reverse_path.is_some()) {
            for recipient in &entry.queued.envelope.recipients {
                assert_eq!(recipient.notify.unwrap().success, success, "{name}");
                assert_eq!(recipient.orcpt.as_deref(), Some(&*format!("rfc822;{name}@sina.test")));
            }
        }
    }
}
