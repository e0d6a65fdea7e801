use super::*;

fn problems(change: impl Fn(String) -> String) -> Vec<String> {
    let text = change(JOURNEY.to_owned());
    let unsound = World::parse("w.toml", &text).expect_err("this world is not sound");
    unsound.to_string().lines().map(str::to_owned).collect()
}

fn line_of(text: &str) -> usize {
    1 + JOURNEY.lines().position(|line| line.contains(text)).unwrap()
}

#[test]
fn every_shipped_world_is_sound() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        World::parse(&path.display().to_string(), &text).unwrap();
    }
}

#[test]
fn the_default_world_has_three_mtas_between_the_two_users() {
    let world = World::journey();
    let way = |name: &str| world.mtas().find(|(host, _)| &*host.name == name).unwrap().1.smarthost.clone();
    assert_eq!(way("mta-163").as_deref(), Some("mta-relay"));
    assert_eq!(way("mta-relay"), None);
    assert_eq!(world.domain("sina.test").unwrap().mx[0].as_ref(), "mta-sina");
    assert_eq!(world.secret("Friend@sina.test").unwrap().1, "postroad");
    assert!(world.secret("nobody@sina.test").is_none());
    assert!(world.has_mailbox(&"anyone@gmail.com".parse().unwrap()));
    assert_eq!(world.ports[&Service::Smtp], 1025);
}

/// RFC 5890 §2.3.2.4.
#[test]
fn a_domain_is_the_same_in_u_labels_and_in_a_labels() {
    for declared in ["\u{65b0}\u{6d6a}.test", "xn--efvx5o.test"] {
        let text =
            JOURNEY.replace("\"sina.test\"", &format!("\"{declared}\"")).replace("@sina.test", &format!("@{declared}"));
        let world = World::parse("w.toml", &text).unwrap();
        for asked in ["\u{65b0}\u{6d6a}.test", "XN--efvx5o.test"] {
            assert_eq!(world.domain(asked).unwrap().mx[0].as_ref(), "mta-sina");
            assert!(world.has_mailbox(&format!("Friend+x@{asked}").parse().unwrap()));
            assert!(!world.has_mailbox(&format!("nobody@{asked}").parse().unwrap()));
        }
    }
}

#[test]
fn unknown_keys_and_wrong_values_are_named_with_their_line() {
    let found = problems(|text| text.replace("relay_from =", "relay_form ="));
    assert!(found[0].starts_with(&format!("w.toml:{}: ", line_of("relay_from"))), "{found:?}");
    assert!(found[0].contains("relay_form"), "{found:?}");
    let found = problems(|text| text.replace("192.0.2.53", "192.0.2.530"));
    assert!(found[0].starts_with(&format!("w.toml:{}: ", line_of("192.0.2.53"))), "{found:?}");
}

#[test]
fn names_that_lead_nowhere_are_refused() {
    let found = problems(|text| text.replace("mailboxes = \"mda-sina\"", "mailboxes = \"mda-sena\""));
    let line = line_of("mailboxes = \"mda-sina\"");
    let wanted = format!(
        "w.toml:{line}: there is no mda `mda-sena`; declare [mda.mda-sena], or choose one of mda-163, mda-elsewhere, mda-sina"
    );
    assert_eq!(found, [wanted]);
    let found = problems(|text| text.replace("mx = [\"mta-sina\"]", "mx = [\"mda-sina\"]"));
    assert!(found[0].contains("there is no mta `mda-sina`"), "{found:?}");
}

#[test]
fn two_things_cannot_share_a_port_an_address_or_a_name() {
    assert!(problems(|text| text.replace("= 1143", "= 1110"))[0].contains("port 1110 is given to pop3 and to imap"));
    assert!(problems(|text| text.replace("192.0.2.26", "192.0.2.25"))[0].contains("another host already"));
    assert!(problems(|text| text.replace("mx.sina.test", "mx.163.test"))[0].contains("called mx.163.test already"));
    assert!(problems(|text| text.replace("[\"friend\"]", "[\"friend\", \"Friend\"]"))[0].contains("declared twice"));
}

#[test]
fn ways_that_never_end_are_refused() {
    let found = problems(|text| text.replace("relay_from =", "smarthost = \"mta-163\"\nrelay_from ="));
    assert!(found.iter().any(|line| line.contains("mta-163 -> mta-relay -> mta-163")), "{found:?}");
    let found = problems(|text| text.replace("[\"mta-163\", \"mta-sina\"]", "[\"mta-163\"]"));
    assert!(found[0].contains("add relay_from = [\"mta-sina\"] to [mta.mta-relay]"), "{found:?}");
}

#[test]
fn several_problems_are_all_listed_in_the_order_of_the_file() {
    let found =
        problems(|text| text.replace("= 1143", "= 1110").replace("smarthost = \"mta-relay\"", "smarthost = \"mta-x\""));
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn the_map_names_every_host_and_way() {
    let map = World::journey().map();
    for name in World::journey().hosts.keys() {
        assert!(map.contains(name.as_ref()), "{map}");
    }
    assert!(map.contains("to sina.test: -> mta-sina -> mda-sina"), "{map}");
}

#[test]
fn times_are_read_as_people_write_them() {
    let with = |text: &str| {
        let retry = format!("[mta.mta-163.retry]\ngive_up = \"{text}\"\n\n[mda.mda-163]");
        World::parse("w.toml", &JOURNEY.replace("[mda.mda-163]", &retry))
    };
    let give_up = |text| with(text).unwrap().mtas().find(|(host, _)| &*host.name == "mta-163").unwrap().1.retry.give_up;
    let hour = Duration::from_secs(3600);
    assert_eq!([give_up("5 days"), give_up("2d"), give_up("1h 30min")], [hour * 120, hour * 48, hour * 3 / 2]);
    assert!(["soon", "-1h", "1 month", ""].iter().all(|text| with(text).is_err()));
}
