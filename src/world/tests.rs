use super::*;

fn problems(change: impl Fn(String) -> String) -> Vec<String> {
    let text = change(JOURNEY.to_owned());
    let invalid = World::parse("w.toml", &text).expect_err("this world is invalid");
    invalid.to_string().lines().map(str::to_owned).collect()
}

fn line_of(text: &str) -> usize {
    1 + JOURNEY.lines().position(|line| line.contains(text)).unwrap()
}

#[test]
fn shipped_world_files_are_valid() {
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
fn default_world_has_three_mtas_between_the_two_users() {
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
fn domain_in_u_labels_equals_a_labels() {
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
fn world_file_with_unknown_key_or_wrong_value_reports_its_line() {
    let found = problems(|text| text.replace("relay_from =", "relay_form ="));
    assert!(found[0].starts_with(&format!("w.toml:{}: ", line_of("relay_from"))), "{found:?}");
    assert!(found[0].contains("relay_form"), "{found:?}");
    let found = problems(|text| text.replace("192.0.2.53", "192.0.2.530"));
    assert!(found[0].starts_with(&format!("w.toml:{}: ", line_of("192.0.2.53"))), "{found:?}");
}

#[test]
fn world_keeps_all_messages_unless_it_says_so() {
    assert_eq!(World::journey().keep, Keep::default());
    let with = |keep: &str| World::parse("w.toml", &JOURNEY.replace("entry = ", &format!("keep = {keep}\nentry = ")));
    let keep = with("{ messages = 5, age = \"2 days\" }").unwrap().keep;
    assert_eq!((keep.messages.map(Into::into), keep.age), (Some(5), Some(std::time::Duration::from_secs(172_800))));
    assert!(with("{ messages = 0 }").is_err() && with("{ days = 1 }").is_err());
}

#[test]
fn world_file_with_unknown_names_is_refused() {
    let found = problems(|text| text.replace("mailboxes = \"mda-sina\"", "mailboxes = \"mda-sena\""));
    let line = line_of("mailboxes = \"mda-sina\"");
    let wanted = format!(
        "w.toml:{line}: there is no mda `mda-sena`; declare [mda.mda-sena], or choose one of mda-163, mda-elsewhere, mda-sina"
    );
    assert_eq!(found, [wanted]);
    let no_mail = |domain| problems(|text| text.replace("entry = ", &format!("no_mail = [\"{domain}\"]\nentry = ")));
    let line = line_of("entry = ");
    let wanted = format!("w.toml:{line}: sina.test has an mx; leave it out of no_mail, or out of [domains]");
    assert_eq!(no_mail("Sina.test"), [wanted]);
    for invalid in ["no domain", "[192.0.2.1]"] {
        assert!(no_mail(invalid)[0].contains("is not a domain"), "{:?}", no_mail(invalid));
        let found = problems(|text| text.replace("[domains.\"sina.test\"]", &format!("[domains.\"{invalid}\"]")));
        assert!(found.iter().any(|text| text.contains(&format!("`{invalid}` is not a domain"))), "{found:?}");
    }
    let found = problems(|text| text.replace("mx = [\"mta-sina\"]", "mx = [\"mda-sina\"]"));
    assert!(found[0].contains("there is no mta `mda-sina`"), "{found:?}");
}

#[test]
fn world_file_with_duplicate_port_address_or_name_is_refused() {
    assert!(problems(|text| text.replace("= 1143", "= 1110"))[0].contains("port 1110 is given to pop3 and to imap"));
    assert!(
        problems(|text| text.replace("192.0.2.26", "192.0.2.25"))[0].contains("already the address of another host")
    );
    assert!(problems(|text| text.replace("mx.sina.test", "mx.163.test"))[0].contains("already called mx.163.test"));
    assert!(problems(|text| text.replace("[\"friend\"]", "[\"friend\", \"Friend\"]"))[0].contains("declared twice"));
}

#[test]
fn world_file_with_a_smarthost_loop_is_refused() {
    let found = problems(|text| text.replace("relay_from =", "smarthost = \"mta-163\"\nrelay_from ="));
    assert!(found.iter().any(|line| line.contains("mta-163 -> mta-relay -> mta-163")), "{found:?}");
    let found = problems(|text| text.replace("[\"mta-163\", \"mta-sina\"]", "[\"mta-163\"]"));
    assert!(found[0].contains("add relay_from = [\"mta-sina\"] to [mta.mta-relay]"), "{found:?}");
}

#[test]
fn world_file_with_several_problems_lists_all_in_order() {
    let found =
        problems(|text| text.replace("= 1143", "= 1110").replace("smarthost = \"mta-relay\"", "smarthost = \"mta-x\""));
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn map_shows_every_host_and_route() {
    let map = World::journey().map();
    for name in World::journey().hosts.keys() {
        assert!(map.contains(name.as_ref()), "{map}");
    }
    assert!(map.contains("to sina.test: -> mta-sina -> mda-sina"), "{map}");
}

#[test]
fn map_shows_static_routes() {
    let routes = "routes = [{ to = \"sina.test\", via = \"mta-sina\" }, { to = \"*.test\", via = \"198.51.100.80:2525\", \
                  tls = \"required\" }]";
    let text = JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{routes}\n"));
    let map = World::parse("w.toml", &text).unwrap().map();
    for words in [
        "sends mail for sina.test to mta-sina; sends mail for *.test to 198.51.100.80:2525, with tls = \"required\"; \
         sends the rest to mta-relay",
        "to sina.test: -> mta-sina -> mda-sina\n      from mta-163 -> mta-sina\n",
        "to any other domain: -> mta-elsewhere -> mda-elsewhere\n      from mta-163 -> mta-relay -> mta-elsewhere\n",
    ] {
        assert!(map.contains(words), "{words}\n{map}");
    }
}

#[test]
fn retry_durations_are_parsed() {
    let with = |text: &str| {
        let retry = format!("[mta.mta-163.retry]\ngive_up = \"{text}\"\n\n[mda.mda-163]");
        World::parse("w.toml", &JOURNEY.replace("[mda.mda-163]", &retry))
    };
    let give_up = |text| with(text).unwrap().mtas().find(|(host, _)| &*host.name == "mta-163").unwrap().1.retry.give_up;
    let hour = Duration::from_secs(3600);
    assert_eq!([give_up("5 days"), give_up("2d"), give_up("1h 30min")], [hour * 120, hour * 48, hour * 3 / 2]);
    assert!(["soon", "-1h", "1 month", ""].iter().all(|text| with(text).is_err()));
}

/// The problems of a world whose host mta-sina has `keys`, and its domain has `domain`.
fn problems_of(keys: &str, domain: &str) -> String {
    let found = problems(|text| {
        let text = text.replace("users = [\"friend\"]", &format!("users = [\"friend\"]\n{domain}"));
        text.replace("[mta.mta-sina]", &format!("[mta.mta-sina]\n{keys}"))
    });
    found.join("; ")
}

#[test]
fn world_file_with_contradicting_policy_is_refused_with_advice() {
    for (keys, wanted) in [
        ("relay_from = [\"0.0.0.0/0\"]", "open relay"),
        ("relay_from = [\"10.0.0.0/40\"]", "is not a network; write one such as 192.0.2.0/24"),
        ("relay_from = [\"mta-nowhere\"]", "neither a host of this world nor a network"),
        ("starttls = true", "is for the public port `smtp`, which is that of the entry, `mta-163`"),
        ("size_max = 0", "would refuse all messages"),
        ("recipients_max = 0", "0 is not a valid limit; choose one from 1 to 999999"),
        ("greylisting = { delay = \"2h\", retry_within = \"1h\" }", "no client is ever accepted"),
        ("rate_limit = { per = \"1min\" }", "needs a period and a limit"),
        ("rules = [{ stage = \"end\", reply = \"250 yes\" }]", "is not an error reply"),
        ("rules = [{ stage = \"mail\", to = \"*\", reply = \"550 no\" }]", "`to` is not known yet at this stage"),
        ("rules = [{ stage = \"end\", reply = \"550 no\", probability = 2.0 }]", "2 is not a probability"),
        ("rules = [{ stage = \"lunch\", reply = \"550 no\" }]", "lunch"),
        ("unknown_recipients = \"maybe\"", "maybe"),
        ("retry = { factor = 0.5 }", "retried without end"),
        ("retry = { jitter = 1.0 }", "retried without end"),
        ("retry = { first = \"0s\" }", "retried without end"),
        ("connections_max = 0", "0 is not a valid limit"),
        ("tls = \"maybe\"", "maybe"),
        ("routes = [{ to = \"*\", via = \"mta-nowhere\" }]", "there is no mta `mta-nowhere`"),
        ("routes = [{ to = \"*\", via = \"127.0.0.1:26225\" }]", "127.0.0.1 is no host of this world"),
        ("routes = [{ to = \"*\", via = \"[2001:db8::9]:25\" }]", "2001:db8::9 is no host of this world"),
        (
            "routes = [{ to = \"*\", via = \"mx.example.com\" }]",
            "declare the server as an mta with engine = \"external\"",
        ),
        ("routes = [{ to = \"*@163.test\", via = \"mta-163\" }]", "`*@163.test` matches no mail"),
        ("routes = [{ to = \"*\" }]", "has neither `via` nor `tls`"),
        ("engine = \"mailin\"\nrules = [{ stage = \"end\", reply = \"550 no\" }]", "\"mailin\" has no `rules`"),
        ("engine = \"external\"\nat = \"127.0.0.1:2525\"\ngreylisting = {}", "\"external\" has no `greylisting`"),
        ("engine = \"external\"\nat = \"127.0.0.1:2525\"\ntls = \"required\"", "own configuration for `tls`"),
        ("engine = \"external\"\nat = \"127.0.0.1:2525\"\nstarttls = false", "own configuration for this"),
        ("engine = \"external\"\nat = \"127.0.0.1:2525\"\nsize_max = 1000", "own configuration for this"),
    ] {
        let found = problems_of(keys, "");
        assert!(found.contains(wanted), "{keys}: {found}");
    }
}

#[test]
fn world_file_user_may_have_a_password_and_a_quota() {
    let with = |users: &str| JOURNEY.replace("users = [\"friend\"]", &format!("users = [{users}]"));
    let text = with("\"friend\", { name = \"ann\", quota = { storage = 1048576, messages = 100 } }");
    let world = World::parse("w.toml", &text).unwrap();
    let quota = Quota { storage: Some(1_048_576), messages: Some(100) };
    assert_eq!(world.users["ann@sina.test"].quota, Some(quota));
    assert_eq!((&*world.users["ann@sina.test"].password, world.users["friend@sina.test"].quota), ("postroad", None));
    assert!(world.map().contains("ann@sina.test, at most 1048576 bytes and 100 messages\n"), "{}", world.map());
    for (users, wanted) in [
        ("{ name = \"friend\", quota = {} }", "a quota limits `storage`, in bytes, or `messages`, or both"),
        ("{ name = \"friend\", quota = { storage = -1 } }", "-1 is not a valid limit; write 0"),
        ("{ name = \"friend\", quota = { octets = 1 } }", "unknown field `octets`, expected `storage` or `messages`"),
        ("{ name = \"friend\", quota = 5 }", "a table such as { storage = "),
        ("{ name = \"friend\", pasword = \"x\" }", "unknown field `pasword`"),
        ("{ password = \"x\" }", "missing field `name`"),
        ("5", "a name, or { name ="),
    ] {
        let found = World::parse("w.toml", &with(users)).unwrap_err().to_string();
        assert!(found.contains(wanted), "{users}: {found}");
        let line = line_of("users = [\"friend\"]");
        assert!(found.starts_with(&format!("w.toml:{line}: ")), "{users}: {found}");
    }
}

#[test]
fn world_file_with_alias_without_target_is_refused() {
    for (domain, wanted) in [
        ("aliases = { info = \"nobody\" }", "there is no mailbox and no alias nobody@sina.test"),
        ("aliases = { info = \"info\" }", "is a loop"),
        ("aliases = { a = \"b\", b = [\"a\"] }", "is a loop"),
        ("aliases = { info = \"|vacation\" }", "is not a target; write a name, an address, or \"|discard\""),
        ("aliases = { \"in+fo\" = \"friend\" }", "cannot be an alias"),
        ("aliases = { \"*\" = \"friend\" }", "the alias `*` has a `*`, which matches nothing; `catch_all`"),
        ("aliases = { info = \"*@163.test\" }", "`*@163.test` has a `*`, which matches nothing here"),
        ("catch_all = \"*@int.acme.test\"", "`*@int.acme.test` has a `*`, which matches nothing here"),
        ("aliases = { Info = \"friend\", info = \"friend\" }", "declared twice"),
        ("catch_all = \"nobody\"", "there is no mailbox and no alias nobody@sina.test"),
    ] {
        let found = problems_of("", domain);
        assert!(found.contains(wanted), "{domain}: {found}");
    }
    let found = problems_of("engine = \"external\"\nat = \"127.0.0.1:2525\"", "aliases = { info = \"friend\" }");
    assert!(found.contains("does not know the aliases of sina.test"), "{found}");
}

/// The keys of a table of the world file, from the error message for an unknown key.
fn keys_of(table: &str) -> Vec<String> {
    let text = format!("[world]\nname = \"w\"\npassword = \"p\"\n{table}\nno_such_key = 1\n");
    let error = World::parse("w.toml", &text).unwrap_err().to_string();
    let keys = error.split("expected").nth(1).unwrap_or_else(|| panic!("{table}: {error}"));
    keys.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn world_file_guide_names_every_key_and_has_valid_examples() {
    let guide = include_str!("../../docs/world-file.md");
    for table in [
        "",
        "[elsewhere]",
        "[message]",
        "[[links]]",
        "[domains.x]",
        "[[domains.x.users]]",
        "[dns.x]",
        "[mua.x]",
        "[mda.x]",
        "[mta.x]",
        "[mta.x.retry]",
        "[mta.x.greylisting]",
        "[mta.x.rate_limit]",
        "[[mta.x.rules]]",
    ] {
        let keys = keys_of(table);
        assert!(!keys.is_empty());
        for key in keys {
            let named = [format!("`{key}`"), format!("{key} = "), format!(".{key}]")];
            assert!(named.iter().any(|word| guide.contains(word)), "docs/world-file.md: explain {key} of {table}");
        }
    }
    let examples = guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    for example in examples {
        let text = format!(
            "[world]\nname = \"w\"\npassword = \"p\"\n{}",
            example.replace("[world]\nname = \"journey\"\npassword = \"postroad\"", "")
        );
        toml::from_str::<config::WorldFile>(&text).unwrap_or_else(|error| panic!("{error}\nin {example}"));
    }
}

#[test]
fn world_file_with_a_name_that_is_a_path_is_refused() {
    let named = |name: &str| problems(|text| text.replacen("name = \"journey\"", &format!("name = {name}"), 1));
    for name in [
        "\"../../x\"",
        "\"/etc\"",
        "\"\"",
        "\".\"",
        "\"..\"",
        "\"a b\"",
        "\"a/b\"",
        "\"a\\\\b\"",
        "\"\\u001b[2J\"",
        "\"\\u202e\"",
    ] {
        let found = named(name);
        assert!(
            matches!(found.as_slice(), [one] if one.contains("cannot be the name of a world")),
            "{name}: {found:?}"
        );
        assert!(!found[0].contains(char::is_control));
    }
    for name in ["journey-2_a", "\u{65c5}"] {
        let text = JOURNEY.replacen("\"journey\"", &format!("\"{name}\""), 1);
        assert_eq!(World::parse("world.toml", &text).unwrap().name, name);
    }
    for name in ["\"../x\"", "\"a/b\"", "\".a\"", "\"a\\u001b[2J\"", "\"\""] {
        let found = problems(|text| format!("{text}\n[mua.{name}]\nname = \"other.test\"\naddress = \"192.0.2.99\"\n"));
        assert!(found.iter().any(|one| one.contains("cannot be the name of a host")), "{name}: {found:?}");
    }
}

#[test]
fn webhook_with_an_unknown_event_a_short_secret_or_another_scheme_is_invalid() {
    let with = |url: &str, events: &str, secret: &str| {
        let table = format!("\n[[webhooks]]\nurl = \"{url}\"\nevents = [{events}]\nsecret = \"{secret}\"\n");
        World::parse("w.toml", &format!("{JOURNEY}{table}")).map_err(|invalid| invalid.to_string())
    };
    let (url, secret) = ("http://127.0.0.1:9000/mail", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let webhook = &with(url, "\"delivered\"", secret).unwrap().webhooks[0];
    assert_eq!((webhook.url.as_str(), webhook.secret.len(), webhook.events.len()), (url, 24, 1));
    for (invalid, text) in [
        (with(url, "\"sent\"", secret), "`sent` is no event"),
        (with(url, "", "whsec_c2hvcnQ="), "24 to 64 random bytes"),
        (with(url, "", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "24 to 64 random bytes"),
        (with("https://127.0.0.1/mail", "", secret), "a webhook needs a URL"),
    ] {
        assert!(invalid.as_ref().is_err_and(|error| error.contains(text)), "{invalid:?}");
    }
}

#[test]
fn logins_of_an_mta_are_any_or_names_with_passwords() {
    let logins = |value: &str| {
        let text = JOURNEY.replace("[mta.mta-163]", &format!("[mta.mta-163]\nlogins = {value}"));
        let world = World::parse("w.toml", &text).map_err(|invalid| invalid.to_string())?;
        Ok::<_, String>(world.mtas().find(|(host, _)| &*host.name == "mta-163").unwrap().1.policy.logins.clone())
    };
    assert_eq!(logins("\"any\""), Ok(Logins::Any));
    assert_eq!(logins("{ app = \"x\" }"), Ok(Logins::Named([("app".to_owned(), "x".to_owned())].into())));
    assert!(logins("\"all\"").unwrap_err().contains("expected \"any\", or names with their passwords"));
}
