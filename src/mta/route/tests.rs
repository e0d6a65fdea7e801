//! The order of exchanges, and the targets that the DNS gives. RFC 5321 §5.1.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::dns::{Data, DnsFault, DnsFaults, FaultyZones, Record, Server, Zones};
use crate::mta::test_support;
use crate::net::{Net, Stop};
use crate::world::JOURNEY;

fn exchanges(list: &[(u16, &str)]) -> Vec<Exchange> {
    list.iter().map(|(preference, host)| Exchange { preference: *preference, host: (*host).to_owned() }).collect()
}

fn names(hosts: &[Exchange]) -> Vec<&str> {
    hosts.iter().map(|exchange| exchange.host.as_str()).collect()
}

#[test]
fn exchanges_are_ordered_by_preference_and_equal_ones_by_seed() {
    let hosts = exchanges(&[(20, "c"), (10, "a"), (10, "b"), (5, "first")]);
    let orders = |seed| {
        let rng = Rng::seeded(seed);
        (0..100).map(|_| names(&in_order(hosts.clone(), &rng)).join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(orders(1), orders(1));
    let seen: BTreeSet<_> = orders(1).into_iter().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["first a b c", "first b a c"]);
}

#[test]
fn exchanges_without_a_better_preference_than_this_host_are_dropped() {
    let hosts = exchanges(&[(5, "a"), (10, "b"), (10, "mx"), (20, "c")]);
    assert_eq!(names(&nearer(hosts.clone(), "mx")), ["a"]);
    assert_eq!(names(&nearer(hosts.clone(), "other")), ["a", "b", "mx", "c"]);
    assert!(nearer(hosts, "a").is_empty());
}

/// The records of a name server.
fn zones() -> Zones {
    let record = |name: &str, data| Record { name: name.to_owned(), ttl: 60, data };
    let mut records = vec![
        record("ns.test", Data::Address([192, 0, 2, 53].into())),
        record("six.test", Data::Address([192, 0, 2, 1].into())),
        record("six.test", Data::Address("2001:db8::1".parse().unwrap())),
        record("old.test", Data::Address([192, 0, 2, 2].into())),
        record("alias.test", Data::Alias("both.test".to_owned())),
        record("quiet.test", Data::NoMail),
        record("empty.test", Data::Domain),
        record("shaky.test", Data::Address([192, 0, 2, 4].into())),
    ];
    for (domain, hosts) in [
        ("both.test", &["six.test", "old.test"][..]),
        ("half.test", &["gone.test", "old.test"]),
        ("lost.test", &["gone.test"]),
        ("numb.test", &["empty.test"]),
        ("later.test", &["gone.test", "shaky.test"]),
        ("backup.test", &["old.test", "mx.sina.test", "six.test"]),
        ("round.test", &["mx.sina.test", "six.test"]),
    ] {
        let exchange = |(at, host): (usize, &&str)| Data::Mail { preference: at as u16, exchange: (*host).to_owned() };
        records.extend(hosts.iter().enumerate().map(|host| record(domain, exchange(host))));
    }
    Zones::new(&["ns.test"], &records, None).unwrap()
}

/// RFC 5321 §5.1: MX by preference, else the addresses of the domain, of both families. A name that does not exist is a
/// permanent failure, one that cannot be looked up a temporary one. RFC 7505 for domains that accept no mail.
#[tokio::test(start_paused = true)]
async fn targets_follow_the_dns_and_fail_for_good_or_for_now_as_it_answers() {
    let (net, dns_faults) = (Net::memory(Arc::new(|_, _| Duration::from_millis(1))), DnsFaults::default());
    let place = net.interface(&[[192, 0, 2, 53].into()]);
    let server = Server::new(FaultyZones::new(Arc::new(zones()), dns_faults.clone()));
    tokio::spawn(server.serve_udp(place.listen_udp(53).await.unwrap().remove(0), Stop::new()));
    dns_faults.inject("shaky.test", DnsFault::ServerFailure);
    dns_faults.inject("mute.test", DnsFault::Silent);
    let text = JOURNEY.replace("smarthost = \"mta-relay\"", "");
    let (mta, _) = test_support::mta(&text, "mta-sina", &net, vec!["192.0.2.53:53".parse().unwrap()]);
    let both = "six.test 2001:db8::1 192.0.2.1, old.test 192.0.2.2";
    for (domain, wanted) in [
        ("both.test", both),
        ("alias.test", both),
        ("six.test", "six.test 2001:db8::1 192.0.2.1"),
        ("half.test", "old.test 192.0.2.2"),
        ("backup.test", "old.test 192.0.2.2"),
        ("[198.51.100.25]", "[198.51.100.25] 198.51.100.25"),
        ("[203.0.113.25]", "back 5.4.6"),
        ("[203.0.113.26]", "back 5.1.2"),
        ("[203.0.113.7]", "back 5.1.2"),
        ("[IPv6:2001:db8::7]", "back 5.1.2"),
        ("[IPv6:::ffff:203.0.113.7]", "back 5.1.2"),
        ("quiet.test", "back 5.1.10"),
        ("nowhere.test", "back 5.1.2"),
        ("empty.test", "back 5.1.2"),
        ("lost.test", "back 5.1.2"),
        ("numb.test", "back 5.1.2"),
        ("round.test", "back 5.4.6"),
        ("later.test", "wait 4.4.3"),
        ("shaky.test", "wait 4.4.3"),
        ("mute.test", "wait 4.4.3"),
    ] {
        let recipient = format!("x@{domain}").parse().unwrap();
        let hop = NextHop::of(&mta, &recipient, TlsPreference::AsConfigured);
        let found = hop.targets(&mta, &mta.context().resolver).await;
        let shown = match found {
            Ok(targets) => {
                let target = |Target { name, addresses, .. }: &Target| {
                    let addresses = addresses.iter().map(|address| format!(" {}", address.ip()));
                    format!("{name}{}", addresses.collect::<String>())
                };
                targets.iter().map(target).collect::<Vec<_>>().join(", ")
            }
            Err(failure) => {
                let (class, subject, detail) = failure.status();
                format!("{} {class}.{subject}.{detail}", if failure.is_permanent() { "back" } else { "wait" })
            }
        };
        assert_eq!(shown, wanted, "{domain}");
    }
}
