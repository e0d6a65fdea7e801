//! What the events of an attempt say: the hosts that were tried, the answers of DNS that led to them, and the phases.

use super::*;
use crate::host::{DnsFaultKind, Fault};
use crate::journey::{AttemptDetails, Event, LookupOutcome};
use crate::net::{self, Limits, ServerConfig, Service, Stop, Stream, serve};

/// A host that accepts connections and says this, or nothing.
#[derive(Clone)]
struct Peer(&'static str);

impl Service for Peer {
    async fn serve_connection(self, mut stream: Stream, stop: Stop) -> Result<(), net::Error> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.write_all(self.0.as_bytes()).await;
        let _ = stream.flush().await;
        while stop
            .run_until_cancelled(stream.read(&mut [0; 64]))
            .await
            .is_some_and(|read| read.is_ok_and(|read| 0 < read))
        {}
        Ok(())
    }

    fn too_many_reply(&self) -> &'static str {
        "421 \r\n"
    }
}

/// A world in which sina.test has the MX mta-sina at 10, which is off, and mta-elsewhere at 20.
async fn with_two_exchanges() -> RunningWorld {
    let text = crate::world::JOURNEY.replace("mx = [\"mta-sina\"]", "mx = [\"mta-sina\", \"mta-elsewhere\"]");
    let keys = "[mta.mta-relay]\ntimeouts = { greeting = \"7s\" }\nretry = { first = \"30s\" }\n";
    let text = text.replace("[mta.mta-relay]\n", keys).replace("[world]\n", "[world]\nlatency = \"10ms\"\n");
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, true).unwrap();
    let running = RunningWorld::start(env, PublicPorts::none()).await.unwrap();
    running.turn_off("mta-sina").await;
    running
}

/// A host in the place of mta-sina.
async fn answer_as_sina(running: &RunningWorld, text: &'static str) {
    let listener = running.env.net.interface(&[[203, 0, 113, 25].into()]).listen(25).await.unwrap().remove(0);
    let config = ServerConfig { listener, tls: None, limits: Limits::default() };
    tokio::spawn(serve(config, Peer(text), Stop::new()));
}

/// The events of attempts at a host.
fn attempts(running: &RunningWorld, host: &str) -> Vec<Event> {
    let events = running.env.event_log.since(0).into_iter();
    let is_attempt = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::Tried { .. } | EventKind::Relayed { .. } | EventKind::Deferred { .. } | EventKind::Failed { .. }
        )
    };
    events.filter(|event| &*event.host == host && is_attempt(&event.kind)).collect()
}

fn lookups(attempt: &AttemptDetails) -> Vec<String> {
    let text = |lookup: &crate::journey::Lookup| {
        let cached = if lookup.cached { " cached" } else { "" };
        format!("{} {} {:?} {}{cached}", lookup.name, lookup.kind, lookup.outcome, lookup.answers.join(", "))
    };
    attempt.lookups.iter().map(text).collect()
}

/// What an event says of the host, and why it was not used.
fn host(event: &Event) -> (String, String, Option<u16>, String) {
    let attempt = event.kind.attempt().unwrap();
    let (name, reason) = match &event.kind {
        EventKind::Tried { to, reason, .. } => (to.clone(), reason.clone()),
        EventKind::Relayed { to, .. } => (to.clone(), String::new()),
        other => panic!("{other:?}"),
    };
    (name, attempt.address.unwrap().to_string(), attempt.preference, reason)
}

const LOOKUPS: [&str; 5] = [
    "sina.test MX Found 10 mx.sina.test, 20 mx.elsewhere.test",
    "mx.sina.test AAAA NoData ",
    "mx.sina.test A Found 203.0.113.25",
    "mx.elsewhere.test AAAA NoData ",
    "mx.elsewhere.test A Found 198.51.100.80",
];

/// RFC 5321 §5.1.
#[tokio::test(start_paused = true)]
async fn exchange_that_is_tried_in_vain_is_an_event_with_its_address_time_and_reason() {
    for (text, reason, took) in [
        (None, "mx.sina.test: 203.0.113.25:25 refused the connection: nothing listens there", 1.0..100.0),
        (Some(""), "mx.sina.test: the peer was silent for 7s", 7000.0..7100.0),
        (Some("421 4.3.2 busy\r\n"), "mx.sina.test said at the greeting: 421 4.3.2 busy", 0.0..200.0),
        (Some("554 5.3.2 no mail here\r\n"), "mx.sina.test said at the greeting: 554 5.3.2 no mail here", 0.0..200.0),
    ] {
        let running = with_two_exchanges().await;
        if let Some(text) = text {
            answer_as_sina(&running, text).await;
        }
        send(&running, "friend@sina.test", Duration::from_secs(60)).await;
        let events = attempts(&running, "mta-relay");
        let [tried, relayed] = events.as_slice() else { panic!("{events:#?}") };
        assert_eq!(host(tried), ("mx.sina.test".into(), "203.0.113.25:25".into(), Some(10), reason.into()));
        assert_eq!(host(relayed), ("mx.elsewhere.test".into(), "198.51.100.80:25".into(), Some(20), String::new()));
        let EventKind::Tried { attempt, took_ms, recipients, .. } = &tried.kind else { unreachable!() };
        assert_eq!(recipients, &["friend@sina.test".parse().unwrap()]);
        assert!(took.contains(took_ms), "{took_ms} ms: {tried:?}");
        assert_eq!(lookups(attempt), LOOKUPS);
        // In virtual time, nothing but the phases takes time.
        let (phases, end) =
            (attempt.phases().iter().map(|(_, ms)| ms).sum::<f64>(), tried.at.duration_since(attempt.began));
        assert!((phases - took_ms).abs() < 0.01 && (end.as_secs_f64() * 1e3 - took_ms).abs() < 0.01, "{tried:?}");
        assert!(0.0 < attempt.dns_ms && (attempt.greeting_ms == 7000.0) == (text == Some("")), "{tried:?}");
        // What was said is in the event of the host that said it.
        let said = tried.transcript.iter().flat_map(|said| said.lines()).next().map(|(_, line)| line.to_owned());
        assert_eq!(said.as_deref(), text.map(str::trim_end).filter(|text| !text.is_empty()));
        let EventKind::Relayed { attempt, took_ms, .. } = &relayed.kind else { unreachable!() };
        assert_eq!((attempt.as_ref().unwrap().began, attempt.as_ref().unwrap().lookups.len()), (tried.at, 0));
        let phases = attempt.as_ref().unwrap().phases();
        let all = phases.iter().map(|(_, ms)| ms).sum::<f64>()
            + tried.kind.attempt().unwrap().phases().iter().map(|(_, ms)| ms).sum::<f64>();
        assert!((all - took_ms).abs() < 0.01, "{took_ms}: {events:#?}");
        for (name, ms) in phases {
            // The replies to a short message may come together.
            let expected = !matches!(name, "dns" | "content");
            assert!((0.0 < ms) == expected || name == "envelope", "{name} took {ms} ms");
        }
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn message_of_which_no_exchange_answers_has_all_of_them_and_waits() {
    let running = with_two_exchanges().await;
    running.turn_off("mta-elsewhere").await;
    send(&running, "friend@sina.test", Duration::from_secs(5)).await;
    let events = attempts(&running, "mta-relay");
    let [first, second, deferred] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!([host(first).2, host(second).2], [Some(10), Some(20)]);
    assert_eq!([first, second].map(|event| event.kind.attempt().unwrap().lookups.len()), [5, 0]);
    let EventKind::Deferred { to, reason, attempt, .. } = &deferred.kind else { panic!("{deferred:?}") };
    assert_eq!((to.as_deref(), reason, attempt), (Some("mx.elsewhere.test"), &host(second).3, &None));
    // The next attempt knows the names, and waited for its time.
    running.turn_on("mta-elsewhere").await.unwrap();
    let EventKind::Deferred { until, .. } = deferred.kind else { unreachable!() };
    sleep(HOUR).await;
    let tried = attempts(&running, "mta-relay").remove(3);
    let attempt = tried.kind.attempt().unwrap();
    assert_eq!(lookups(attempt), LOOKUPS.map(|line| format!("{line} cached")));
    assert!(until <= attempt.began && attempt.wait_ms < 1.0 && attempt.dns_ms == 0.0, "{tried:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_that_wait_for_the_same_connection_each_have_the_hosts_that_were_tried() {
    let running = with_two_exchanges().await;
    answer_as_sina(&running, "").await;
    running.turn_off("mta-elsewhere").await;
    send(&running, "friend@sina.test", Duration::from_secs(2)).await;
    send(&running, "friend@sina.test", Duration::from_secs(20)).await;
    let events = attempts(&running, "mta-relay");
    let mut journeys: Vec<_> = events.iter().map(|event| event.journey).collect();
    journeys.sort();
    journeys.dedup();
    assert_eq!(journeys.len(), 2);
    for journey in journeys {
        let own: Vec<_> = events.iter().filter(|event| event.journey == journey).collect();
        let times = own.iter().map(|event| event.at).collect::<Vec<_>>();
        assert!(times.is_sorted(), "{own:#?}");
        assert_eq!([host(own[0]).2, host(own[1]).2], [Some(10), Some(20)]);
        assert!(matches!(own[2].kind, EventKind::Deferred { .. }) && own.len() == 3, "{own:#?}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn name_server_that_fails_is_in_the_event_of_the_attempt() {
    for (fault, outcome, error) in [
        (DnsFaultKind::ServerFailure, LookupOutcome::Failed, Some("Server Failure")),
        (DnsFaultKind::Silent, LookupOutcome::Timeout, None),
        (DnsFaultKind::NoSuchName, LookupOutcome::NxDomain, None),
    ] {
        let running = with_two_exchanges().await;
        let dns = Fault::Dns { names: fault, about: "sina.test".to_owned(), by: Duration::ZERO, host: None };
        let _ = running.inject(&dns).await;
        send(&running, "friend@sina.test", Duration::from_secs(20)).await;
        let events = attempts(&running, "mta-relay");
        let attempt = events[0].kind.attempt().unwrap();
        let [lookup] = attempt.lookups.as_slice() else { panic!("{attempt:?}") };
        assert_eq!((lookup.name.as_str(), lookup.kind.as_str(), lookup.outcome), ("sina.test", "MX", outcome));
        assert_eq!(lookup.error.as_deref(), error);
        assert!(!lookup.cached && (lookup.took_ms - attempt.dns_ms).abs() < 0.01, "{attempt:?}");
        let own = events.iter().filter(|event| event.journey == events[0].journey).count();
        assert_eq!((attempt.address, own), (None, 1));
        let is_final = matches!(events[0].kind, EventKind::Failed { .. });
        assert_eq!(is_final, fault == DnsFaultKind::NoSuchName, "{events:?}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn connection_that_is_used_again_has_only_the_phases_of_its_message() {
    let running = with_two_exchanges().await;
    running.turn_on("mta-sina").await.unwrap();
    send(&running, "friend@sina.test", Duration::from_secs(1)).await;
    send(&running, "friend@sina.test", Duration::from_secs(10)).await;
    let events = attempts(&running, "mta-relay");
    let [first, second] = events.as_slice() else { panic!("{events:#?}") };
    for (event, is_first) in [(first, true), (second, false)] {
        let EventKind::Relayed { took_ms, attempt: Some(attempt), .. } = &event.kind else { panic!("{event:?}") };
        let phases = attempt.phases();
        let taken: Vec<_> = phases.iter().filter(|(_, ms)| 0.0 < *ms).map(|(name, _)| *name).collect();
        let is_set_up = |name: &&str| ["dns", "connect", "greeting", "tls"].contains(name);
        assert_eq!(taken.iter().filter(|name| is_set_up(name)).count(), if is_first { 4 } else { 0 }, "{taken:?}");
        assert!(taken.contains(&"reply") && (is_first || taken.contains(&"envelope")), "{taken:?}");
        assert!((phases.iter().map(|(_, ms)| ms).sum::<f64>() - took_ms).abs() < 0.01, "{event:?}");
    }
    running.stop().await;
}

/// The operator makes a message due.
#[tokio::test(start_paused = true)]
async fn flush_is_an_event_after_which_the_message_is_in_transit() {
    let running = with_two_exchanges().await;
    running.turn_off("mta-elsewhere").await;
    send(&running, "friend@sina.test", Duration::from_secs(5)).await;
    running.turn_on("mta-sina").await.unwrap();
    let event_log = &running.env.event_log;
    let before = event_log.last_seq();
    assert_eq!(running.mtas["mta-relay"].flush(crate::mta::Selector::All).await.unwrap().len(), 1);
    let event = event_log.since(before + 1).remove(0);
    assert!(matches!(&event.kind, EventKind::Flushed { recipients } if recipients.len() == 1), "{event:?}");
    let journey = event_log.journey(event.journey).unwrap().unwrap();
    let status = journey.recipients.values().next().unwrap();
    assert_eq!(*status, crate::journey::RecipientStatus::Underway { at: "mta-relay".to_owned() });
    sleep(HOUR).await;
    assert_eq!(maildrop(&running, "friend@sina.test").await.len(), 1);
    running.stop().await;
}
