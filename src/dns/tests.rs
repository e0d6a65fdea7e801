//! Zones, answers, sizes and random input.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::*;
use crate::net::{Machine, Next};
use crate::world::Rng;

fn record(name: &str, data: Data) -> Record {
    Record { name: name.into(), ttl: 60, data }
}

fn mail(name: &str, preference: u16, exchange: &str) -> Record {
    record(name, Data::Mail { preference, exchange: exchange.into() })
}

fn host(name: &str, address: &str) -> Record {
    record(name, Data::Address(address.parse().unwrap()))
}

fn records() -> Vec<Record> {
    let mut records = vec![
        host("ns.test", "192.0.2.53"),
        mail("163.test", 10, "mx.163.test"),
        mail("163.test", 20, "backup.163.test"),
        host("mx.163.test", "192.0.2.25"),
        host("mx.163.test", "2001:db8::25"),
        host("backup.163.test", "192.0.2.26"),
        host("deep.down.163.test", "192.0.2.27"),
        record("pop.163.test", Data::Alias("www.163.test".into())),
        record("www.163.test", Data::Alias("mx.163.test".into())),
        record("lost.163.test", Data::Alias("gone.163.test".into())),
        record("loop.163.test", Data::Alias("pool.163.test".into())),
        record("pool.163.test", Data::Alias("loop.163.test".into())),
        record("silent.test", Data::NoMail),
        record("empty.test", Data::Domain),
        host("relay.test", "192.0.2.30"),
        mail("例子.test", 0, "mx.163.test"),
        mail("broken.test", 5, "missing.163.test"),
    ];
    records.extend((0..40).map(|number| mail("many.test", number, &format!("a-rather-long-host-name-{number}.test"))));
    records
}

fn zones(elsewhere: Option<&str>) -> Zones {
    Zones::new(&["ns.test"], &records(), elsewhere).unwrap()
}

fn query(text: &str) -> Message {
    let (name, kind) = text.split_once(' ').unwrap();
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    query.add_query(Query::query(name, kind.parse().unwrap()));
    query
}

fn answer(zones: &Zones, query: &Message, transport: Transport) -> Message {
    let bytes = zones.answer(&query.to_vec().unwrap(), transport).unwrap();
    Message::from_vec(&bytes).unwrap()
}

/// Queries `NAME TYPE` and compares code and records: `=` answer, `!` authority, `+` additional.
fn check(zones: &Zones, question: &str, expected: &str) {
    let reply = answer(zones, &query(question), Transport::Udp);
    let mut lines = vec![format!("{:?}", reply.metadata.response_code)];
    for (sign, section) in [("=", &reply.answers), ("!", &reply.authorities), ("+", &reply.additionals)] {
        let line = |known: &hickory_proto::rr::Record| {
            let data = if known.record_type() == RecordType::SOA { String::new() } else { known.data.to_string() };
            format!("{sign} {} {} {} {data}", known.name.to_ascii(), known.ttl, known.record_type()).trim().to_owned()
        };
        lines.extend(section.iter().map(line));
    }
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, expected, "{question}");
    assert!(reply.metadata.authoritative && !reply.metadata.truncation, "{question}");
}

#[test]
fn mx_query_returns_exchanges_and_their_addresses() {
    let expected = "
        NoError
        = 163.test. 60 MX 10 mx.163.test.
        = 163.test. 60 MX 20 backup.163.test.
        + mx.163.test. 60 A 192.0.2.25
        + mx.163.test. 60 AAAA 2001:db8::25
        + backup.163.test. 60 A 192.0.2.26";
    check(&zones(None), "163.test MX", expected);
    check(&zones(Some("relay.test")), "163.test MX", expected);
}

#[test]
fn cname_within_the_zones_is_followed() {
    let zones = zones(None);
    check(
        &zones,
        "pop.163.test A",
        "
        NoError
        = pop.163.test. 60 CNAME www.163.test.
        = www.163.test. 60 CNAME mx.163.test.
        = mx.163.test. 60 A 192.0.2.25",
    );
    check(&zones, "pop.163.test CNAME", "NoError\n= pop.163.test. 60 CNAME www.163.test.");
    let lost = "NXDomain\n= lost.163.test. 60 CNAME gone.163.test.\n! 163.test. 300 SOA";
    check(&zones, "lost.163.test A", lost);
    let reply = answer(&zones, &query("loop.163.test A"), Transport::Udp);
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn query_for_a_missing_type_is_nodata_and_for_a_missing_name_is_nxdomain() {
    for (question, expected) in [
        ("mx.163.test MX", "NoError\n! 163.test. 300 SOA"),
        ("163.test A", "NoError\n! 163.test. 300 SOA"),
        ("empty.test MX", "NoError\n! empty.test. 300 SOA"),
        ("down.163.test A", "NoError\n! 163.test. 300 SOA"),
        ("gone.163.test A", "NXDomain\n! 163.test. 300 SOA"),
        ("gone.test A", "NXDomain\n! . 300 SOA"),
        ("relay.test MX", "NoError\n! . 300 SOA"),
    ] {
        check(&zones(None), question, expected);
    }
}

#[test]
fn elsewhere_answers_mx_for_undeclared_domains() {
    let zones = zones(Some("relay.test"));
    let taken = "= 3600 MX 0 relay.test.\n+ relay.test. 60 A 192.0.2.30";
    for name in ["gmail.com", "a.b.example.org", "test", "163.test.com"] {
        let expected = format!("NoError\n= {name}. {}", &taken[2..]);
        check(&zones, &format!("{name} MX"), &expected);
    }
    check(&zones, "gmail.com A", "NoError\n! . 300 SOA");
    check(&zones, "gone.163.test MX", "NXDomain\n! 163.test. 300 SOA");
    check(&zones, "relay.test A", "NoError\n= relay.test. 60 A 192.0.2.30");
    check(&zones, "some.invalid MX", "NXDomain\n! invalid. 300 SOA");
}

#[test]
fn no_mail_domain_has_a_null_mx() {
    check(&zones(None), "silent.test MX", "NoError\n= silent.test. 60 MX 0 .");
}

#[test]
fn ptr_query_returns_the_host_of_an_address() {
    let zones = zones(None);
    check(&zones, "25.2.0.192.in-addr.arpa PTR", "NoError\n= 25.2.0.192.in-addr.arpa. 3600 PTR mx.163.test.");
    let six = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    check(&zones, &format!("{six} PTR"), &format!("NoError\n= {six}. 3600 PTR mx.163.test."));
    check(&zones, "9.9.9.9.in-addr.arpa PTR", "NXDomain\n! in-addr.arpa. 300 SOA");
}

#[test]
fn zone_has_soa_and_ns_records() {
    let zones = zones(None);
    let server = "NoError\n= silent.test. 3600 NS ns.test.\n+ ns.test. 60 A 192.0.2.53";
    check(&zones, "silent.test NS", server);
    check(&zones, "silent.test SOA", "NoError\n= silent.test. 3600 SOA");
    check(&zones, "mx.163.test NS", "NoError\n! 163.test. 300 SOA");
    check(&zones, ". NS", "NoError\n= . 3600 NS ns.test.\n+ ns.test. 60 A 192.0.2.53");
}

#[test]
fn answer_keeps_the_case_of_the_question() {
    let question = query("mX.163.tEST A");
    let bytes = zones(None).answer(&question.to_vec().unwrap(), Transport::Udp).unwrap();
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!(reply.queries[0].name().to_ascii(), "mX.163.tEST.");
    assert_eq!(reply.answers[0].name.to_ascii(), "mX.163.tEST.");
    assert_eq!((reply.metadata.id, reply.answers.len()), (7, 1));
}

#[test]
fn udp_answer_over_the_size_limit_is_truncated() {
    let zones = zones(None);
    let size = |query: &Message, transport| zones.answer(&query.to_vec().unwrap(), transport).unwrap().len();
    let plain = query("many.test MX");
    let cut = answer(&zones, &plain, Transport::Udp);
    assert!(cut.metadata.truncation && cut.answers.is_empty() && cut.queries == plain.queries);
    assert!(size(&plain, Transport::Udp) <= 512);
    assert_eq!(answer(&zones, &plain, Transport::Tcp).answers.len(), 40);

    let mut extended = plain.clone();
    extended.set_edns({
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        edns
    });
    let reply = answer(&zones, &extended, Transport::Udp);
    assert!(reply.metadata.truncation && reply.edns.is_some());
    assert!(answer(&zones, &extended, Transport::Tcp).edns.is_some());
}

#[test]
fn udp_answer_over_the_size_limit_drops_additional_records_first() {
    let mut records = vec![host("ns.test", "192.0.2.53")];
    for number in 0..8 {
        let name = format!("exchange-number-{number}.a.test");
        records.push(mail("a.test", number, &name));
        records.extend((0..8).map(|last| host(&name, &format!("2001:db8::{number}{last}"))));
    }
    let zones = Zones::new(&["ns.test"], &records, None).unwrap();
    let reply = answer(&zones, &query("a.test MX"), Transport::Udp);
    assert!(!reply.metadata.truncation && reply.additionals.is_empty());
    assert_eq!(reply.answers.len(), 8);
}

#[test]
fn unsupported_query_gets_the_matching_response_code() {
    let zones = zones(None);
    let code = |query: &Message| answer(&zones, query, Transport::Udp).metadata.response_code;
    let mut chaos = query("163.test MX");
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(&chaos), ResponseCode::Refused);
    assert_eq!(code(&query("163.test AXFR")), ResponseCode::Refused);
    let mut update = query("163.test MX");
    update.metadata.op_code = OpCode::Update;
    assert_eq!(code(&update), ResponseCode::NotImp);
    let mut doubled = query("163.test MX");
    doubled.queries.push(doubled.queries[0].clone());
    assert_eq!(code(&doubled), ResponseCode::FormErr);
    let mut future = query("163.test MX");
    future.set_edns({
        let mut edns = Edns::new();
        edns.set_version(1);
        edns
    });
    // BADVERS; TSIG's BADSIG has the same number.
    assert_eq!(u16::from(code(&future)), 16);
    let mut cut = query("163.test MX").to_vec().unwrap();
    cut.truncate(15);
    let reply = Message::from_vec(&zones.answer(&cut, Transport::Udp).unwrap()).unwrap();
    assert_eq!((reply.metadata.id, reply.metadata.response_code), (7, ResponseCode::FormErr));
}

#[test]
fn response_message_is_not_answered() {
    let mut response = query("163.test MX");
    response.metadata.message_type = MessageType::Response;
    assert_eq!(zones(None).answer(&response.to_vec().unwrap(), Transport::Udp), None);
    assert_eq!(zones(None).answer(&[0; 11], Transport::Tcp), None);
}

#[test]
fn answer_to_random_bytes_stays_within_its_size() {
    let (zones, rng) = (zones(Some("relay.test")), Rng::seeded(53));
    let valid = query("pop.163.test A").to_vec().unwrap();
    for _ in 0..20_000 {
        let mut bytes = valid.clone();
        bytes.extend((0..rng.below(40)).map(|_| rng.next_u64() as u8));
        bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
        for _ in 0..rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.next_u64() as u8;
            }
        }
        if let Some(answer) = zones.answer(&bytes, Transport::Udp) {
            assert!((12..=1232).contains(&answer.len()));
        }
    }
}

#[test]
fn zones_with_contradicting_records_are_refused() {
    let with =
        |more: &[Record]| Zones::new(&["ns.test"], &[&records(), more].concat(), Some("relay.test")).err().unwrap();
    let alias = record("mx.163.test", Data::Alias("a.test".into()));
    assert_eq!(with(&[alias]), InvalidZone::AliasBesideOthers("mx.163.test".into()));
    assert_eq!(with(&[mail("silent.test", 1, "a.test")]), InvalidZone::NoMailBesideMail("silent.test".into()));
    for bad in ["", "a..test", ".", "white space.test"] {
        assert_eq!(with(&[record(bad, Data::Domain)]), InvalidZone::BadName(bad.into()));
    }
    let error = Zones::new(&["ns.test"], &records(), Some("nowhere.test")).err().unwrap();
    assert_eq!(error, InvalidZone::NoAddress("nowhere.test".into()));
}

#[test]
fn tcp_session_with_any_chunk_size_answers_all_queries() {
    let questions = ["163.test MX", "gone.163.test A", "many.test MX"];
    let framed = |message: Vec<u8>| [&(message.len() as u16).to_be_bytes(), message.as_slice()].concat();
    let sent: Vec<u8> = questions.iter().flat_map(|text| framed(query(text).to_vec().unwrap())).collect();
    let zones = zones(None);
    let answers =
        questions.iter().flat_map(|text| framed(zones.answer(&query(text).to_vec().unwrap(), Transport::Tcp).unwrap()));
    let expected: Vec<u8> = answers.collect();
    for chunk in [1, 2, 7, sent.len()] {
        let (mut machine, mut replies) = (stream::TcpServerSession::default(), Vec::new());
        let mut chunks = sent.chunks(chunk);
        loop {
            match machine.next() {
                Next::Send(bytes) => replies.extend_from_slice(&bytes),
                Next::Event(query) => machine.answer(zones.answer(&query, Transport::Tcp)),
                Next::Read => machine.receive(chunks.next().unwrap_or_default()),
                Next::Close => break,
                Next::AwaitOwner => panic!("nothing was asked"),
            }
        }
        assert_eq!(replies, expected, "in chunks of {chunk}");
    }
}

#[test]
fn tcp_session_with_invalid_queries_is_closed() {
    let mut machine = stream::TcpServerSession::default();
    machine.receive(b"\0\x03abcGET / HTTP/1.1\r\n\r\n");
    let Next::Event(query) = machine.next() else { panic!("no query") };
    machine.answer(zones(None).answer(&query, Transport::Tcp));
    assert!(matches!(machine.next(), Next::Close));
}

#[test]
fn world_zones_have_its_hosts_and_domains() {
    let zones = Zones::of_world(&crate::world::World::journey()).unwrap();
    for (question, expected) in [
        ("163.test MX", "NoError\n= 163.test. 300 MX 10 mx.163.test.\n+ mx.163.test. 300 A 192.0.2.25"),
        (
            "gmail.com MX",
            "NoError\n= gmail.com. 3600 MX 0 mx.elsewhere.test.\n+ mx.elsewhere.test. 300 A 198.51.100.80",
        ),
        ("80.100.51.198.in-addr.arpa PTR", "NoError\n= 80.100.51.198.in-addr.arpa. 3600 PTR mx.elsewhere.test."),
    ] {
        check(&zones, question, expected);
    }
}
