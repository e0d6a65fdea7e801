//! The resolver against the server, on an in-process network in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::{Data, DnsFault, DnsFaults, FaultyZones, Record, Server, Zones};
use super::*;
use crate::net::{Limits, Net, ServerConfig, serve};

const SERVER: &str = "192.0.2.53:53";

fn records() -> Vec<Record> {
    let record = |name: &str, data| Record { name: name.into(), ttl: 60, data };
    let mail =
        |name: &str, preference, exchange: &str| record(name, Data::Mail { preference, exchange: exchange.into() });
    let mut records = vec![
        record("ns.test", Data::Address([192, 0, 2, 53].into())),
        mail("163.test", 20, "backup.163.test"),
        mail("163.test", 10, "MX.163.test"),
        mail("163.test", 10, "another.163.test"),
        record("mx.163.test", Data::Address([192, 0, 2, 25].into())),
        record("mx.163.test", Data::Address("2001:db8::25".parse().unwrap())),
        record("pop.163.test", Data::Alias("mx.163.test".into())),
        record("loop.163.test", Data::Alias("loop.163.test".into())),
        record("silent.test", Data::NoMail),
        record("relay.test", Data::Address([192, 0, 2, 30].into())),
        mail("\u{4f8b}\u{5b50}.test", 0, "mx.163.test"),
    ];
    records.extend((0..60).map(|number| mail("many.test", number, &format!("some-exchange-{number}.test"))));
    records
}

fn network() -> Net {
    Net::memory(Arc::new(|_, _| Duration::from_millis(10)))
}

fn resolver(net: &Net) -> Resolver {
    Resolver::new(net.interface(&[[192, 0, 2, 1].into()]), vec![SERVER.parse().unwrap()], Rng::seeded(1))
}

/// A network whose name server answers for the records above.
async fn world() -> (Net, Stop) {
    let (net, stop) = (network(), Stop::new());
    serve_at(&net, &stop).await;
    (net, stop)
}

async fn serve_at(net: &Net, stop: &Stop) -> DnsFaults {
    let faults = DnsFaults::default();
    let zones = Arc::new(Zones::new(&["ns.test"], &records(), None).unwrap());
    let server = Server::new(FaultyZones::new(zones, faults.clone()));
    let place = net.interface(&[[192, 0, 2, 53].into()]);
    for listener in place.listen(53).await.unwrap() {
        let config = ServerConfig { listener, tls: None, limits: Limits::default() };
        tokio::spawn(serve(config, server.clone(), stop.clone()));
    }
    tokio::spawn(server.serve_udp(place.listen_udp(53).await.unwrap().remove(0), stop.clone()));
    faults
}

/// Answers every datagram with what `answer` makes of it and counts them.
async fn impostor(net: &Net, answer: impl Fn(Vec<u8>) -> Option<Vec<u8>> + Send + 'static) -> Arc<AtomicUsize> {
    impostor_at(net, [192, 0, 2, 53], answer).await
}

async fn impostor_at(
    net: &Net,
    address: [u8; 4],
    answer: impl Fn(Vec<u8>) -> Option<Vec<u8>> + Send + 'static,
) -> Arc<AtomicUsize> {
    let socket = net.interface(&[address.into()]).listen_udp(53).await.unwrap().remove(0);
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((query, from)) = socket.recv_from().await {
            counter.fetch_add(1, Ordering::Relaxed);
            if let Some(answer) = answer(query) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    count
}

fn hosts(list: &[(u16, &str)]) -> Mx {
    Mx::Hosts(
        list.iter().map(|(preference, host)| Exchange { preference: *preference, host: (*host).into() }).collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn resolver_mx_returns_hosts_implicit_or_null() {
    let (net, _stop) = world().await;
    let resolver = resolver(&net);
    let listed = hosts(&[(10, "another.163.test"), (10, "mx.163.test"), (20, "backup.163.test")]);
    assert_eq!(resolver.mx("163.Test").await, Ok(listed));
    assert_eq!(resolver.mx("relay.test").await, Ok(Mx::Implicit));
    assert_eq!(resolver.mx("pop.163.test").await, Ok(Mx::Implicit));
    assert_eq!(resolver.mx("silent.test").await, Ok(Mx::Null));
    assert_eq!(resolver.mx("\u{4f8b}\u{5b50}.test").await, Ok(hosts(&[(0, "mx.163.test")])));
    assert_eq!(resolver.mx("gone.test").await, Err(LookupError::NoSuchName("gone.test".into())));
    assert_eq!(resolver.mx("no..name").await, Err(LookupError::NoSuchName("no..name".into())));
}

#[tokio::test(start_paused = true)]
async fn resolver_addresses_returns_both_families() {
    let (net, _stop) = world().await;
    let resolver = resolver(&net);
    let both: Vec<IpAddr> = vec!["2001:db8::25".parse().unwrap(), [192, 0, 2, 25].into()];
    assert_eq!(resolver.addresses("mx.163.test").await.as_ref(), Ok(&both));
    assert_eq!(resolver.addresses("pop.163.test").await.as_ref(), Ok(&both));
    assert_eq!(resolver.addresses("relay.test").await, Ok(vec![[192, 0, 2, 30].into()]));
    assert_eq!(resolver.addresses("163.test").await, Err(LookupError::NoData("163.test".into())));
    assert_eq!(resolver.addresses("gone.163.test").await, Err(LookupError::NoSuchName("gone.163.test".into())));
    assert!(resolver.addresses("loop.163.test").await.unwrap_err().is_temporary());
}

#[tokio::test(start_paused = true)]
async fn resolver_with_truncated_answer_retries_over_tcp() {
    let (net, _stop) = world().await;
    let Ok(Mx::Hosts(hosts)) = resolver(&net).mx("many.test").await else { panic!("no hosts") };
    assert_eq!((hosts.len(), hosts[59].preference), (60, 59));
}

/// What a question about MX gets over TCP, and how long that took; nothing if nothing came.
async fn ask_by_tcp(net: &Net, name: &str) -> (Option<Reply>, Duration) {
    let began = Instant::now();
    let question = Question { id: 7, name: zone::parse(name).unwrap(), kind: RecordType::MX };
    let stream = net.interface(&[[192, 0, 2, 1].into()]).connect(SERVER.parse().unwrap()).await.unwrap();
    let session = TcpClientSession::new(&question.encode().unwrap()).unwrap();
    let answer = Conn::new(stream, session, Stop::new()).event().await.ok().flatten();
    (answer.map(|answer| question.read(&answer)), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn dns_faults_apply_to_tcp() {
    let (net, stop) = (network(), Stop::new());
    let faults = serve_at(&net, &stop).await;
    let late = Duration::from_secs(3);
    for (fault, expected) in [
        (DnsFault::Silent, None),
        (DnsFault::NoSuchName, Some("NoSuchName")),
        (DnsFault::ServerFailure, Some("Failed")),
        (DnsFault::Slow(late), Some("mx.163.test")),
        (DnsFault::Moved("relay.test".to_owned()), Some("relay.test")),
    ] {
        let id = faults.inject("163.test", fault.clone());
        let (reply, took) = ask_by_tcp(&net, "163.test").await;
        match (&reply, expected) {
            (None, None) => {}
            (Some(reply), Some(expected)) => assert!(format!("{reply:?}").contains(expected), "{fault:?}: {reply:?}"),
            _ => panic!("{fault:?}: {reply:?}"),
        }
        assert_eq!(
            fault == DnsFault::Slow(late),
            (late..late * 2).contains(&took) && reply.is_some(),
            "{fault:?}: {took:?}"
        );
        faults.clear(id);
    }
    assert!(format!("{:?}", ask_by_tcp(&net, "163.test").await).contains("backup.163.test"));
}

#[tokio::test(start_paused = true)]
async fn resolver_after_a_zone_change_sees_it_once_cache_and_stale_fault_expire() {
    let (net, stop) = (network(), Stop::new());
    let faults = serve_at(&net, &stop).await;
    let (resolver, relay) = (resolver(&net), hosts(&[(10, "relay.test")]));
    let before = resolver.mx("163.test").await.unwrap();
    let stale = faults.inject("163.test", DnsFault::Stale);
    faults.inject("163.test", DnsFault::Moved("relay.test".to_owned()));
    for _ in 0..2 {
        assert_eq!(resolver.mx("163.test").await.as_ref(), Ok(&before));
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
    resolver.mx("163.test").await.unwrap();
    faults.clear(stale);
    assert_eq!(resolver.mx("163.test").await.as_ref(), Ok(&before), "it is still in the cache");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(resolver.mx("163.test").await, Ok(relay));
}

#[tokio::test(start_paused = true)]
async fn resolver_within_the_ttl_does_not_query_again() {
    let net = network();
    let zones = Zones::new(&["ns.test"], &records(), None).unwrap();
    let count = impostor(&net, move |query| zones.answer(&query, super::super::Transport::Udp)).await;
    let resolver = resolver(&net);
    for (wait, queries) in [(0, 1), (59, 1), (2, 2), (0, 2)] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        resolver.mx("silent.test").await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), queries);
    }
    for queries in [3, 3] {
        assert!(resolver.mx("gone.test").await.is_err());
        assert_eq!(count.load(Ordering::Relaxed), queries);
    }
}

#[tokio::test(start_paused = true)]
async fn resolver_without_an_answer_gives_up_after_three_attempts() {
    let net = network();
    let count = impostor(&net, |_| None).await;
    let started = Instant::now();
    let error = resolver(&net).mx("163.test").await.unwrap_err();
    assert_eq!(error, LookupError::Timeout("163.test".into()));
    assert!(error.is_temporary());
    assert_eq!((count.load(Ordering::Relaxed), started.elapsed()), (3, QUERY_TIMEOUT * 3));
}

#[tokio::test(start_paused = true)]
async fn resolver_ignores_answers_to_other_questions() {
    let net = network();
    impostor(&net, |mut query| {
        query[0] ^= 1;
        query[2] |= 0x80;
        Some(query)
    })
    .await;
    assert_eq!(resolver(&net).mx("163.test").await, Err(LookupError::Timeout("163.test".into())));
}

#[tokio::test(start_paused = true)]
async fn resolver_server_failure_is_temporary() {
    let net = network();
    let count = impostor(&net, server_failure).await;
    let error = resolver(&net).mx("163.test").await.unwrap_err();
    assert!(matches!(error, LookupError::ServerFailure { .. }) && error.is_temporary(), "{error}");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

fn server_failure(mut query: Vec<u8>) -> Option<Vec<u8>> {
    (query[2], query[3]) = (query[2] | 0x80, 2);
    Some(query)
}

#[tokio::test(start_paused = true)]
async fn resolver_when_first_server_fails_queries_the_second_and_reports_the_failure_if_that_is_silent() {
    let (net, _stop) = world().await;
    let count = impostor_at(&net, [192, 0, 2, 99], server_failure).await;
    let resolve = |second: &str| {
        let servers = vec!["192.0.2.99:53".parse().unwrap(), second.parse().unwrap()];
        Resolver::new(net.interface(&[[192, 0, 2, 1].into()]), servers, Rng::seeded(1))
    };
    assert_eq!(resolve(SERVER).mx("silent.test").await, Ok(Mx::Null));
    let started = Instant::now();
    let error = resolve("192.0.2.98:53").mx("silent.test").await.unwrap_err();
    assert!(matches!(error, LookupError::ServerFailure { .. }), "{error}");
    assert_eq!(count.load(Ordering::Relaxed), 2, "it is asked once each time");
    assert!(started.elapsed() < QUERY_TIMEOUT * 2, "the silent one is asked once, too");
}

#[tokio::test(start_paused = true)]
async fn resolver_when_first_server_is_silent_queries_the_second() {
    let (net, _stop) = world().await;
    let servers = vec!["192.0.2.99:53".parse().unwrap(), SERVER.parse().unwrap()];
    let resolver = Resolver::new(net.interface(&[[192, 0, 2, 1].into()]), servers, Rng::seeded(1));
    assert_eq!(resolver.mx("silent.test").await, Ok(Mx::Null));
}

#[tokio::test]
async fn resolver_works_over_real_sockets() {
    let addresses = [[192, 0, 2, 1], [192, 0, 2, 53]].map(IpAddr::from);
    let (net, stop) = (Net::loopback(addresses.into()), Stop::new());
    serve_at(&net, &stop).await;
    let resolver = resolver(&net);
    assert_eq!(resolver.mx("silent.test").await, Ok(Mx::Null));
    let Ok(Mx::Hosts(hosts)) = resolver.mx("many.test").await else { panic!("no hosts") };
    assert_eq!(hosts.len(), 60);
    stop.cancel();
}
