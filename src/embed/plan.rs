//! Generates the world file for a list of users, with an MTA and an MDA for each of their domains.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::Error;
use crate::mail::Address;
use crate::world::Service;

/// Returns the text of a world file for these users, who all have this password: an MTA and an MDA for each of their
/// domains, and for `elsewhere`, whose MTA is the entry. An error if a user is no address with a domain.
pub(super) fn world(users: &[String], password: &str) -> Result<String, Error> {
    let mut domains: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for user in users {
        let address: Address = user.parse().map_err(|_| Error::NoAddress(user.clone()))?;
        if address.domain().is_empty() {
            return Err(Error::NoAddress(user.clone()));
        }
        domains.entry(address.domain().to_owned()).or_default().push(address.local().into());
    }
    let mut hosts = Hosts::default();
    let mut declared = Table::new();
    for (domain, users) in domains {
        let (mx, mailboxes) = hosts.pair(&domain.replace('.', "-"));
        let mut table = Table::from_iter([("users".to_owned(), Value::Array(users))]);
        table.insert("mx".to_owned(), Value::Array(vec![mx.into()]));
        table.insert("mailboxes".to_owned(), mailboxes.into());
        declared.insert(domain, table.into());
    }
    let (mx, mailboxes) = hosts.pair("elsewhere");
    let text = |pairs: &[(&str, &str)]| -> Value {
        Table::from_iter(pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value)))).into()
    };
    let dns = Table::from_iter([("dns".to_owned(), text(&[("address", "10.0.0.53")]))]);
    let mua = Table::from_iter([("mua".to_owned(), text(&[("address", "10.0.0.10")]))]);
    let world = Table::from_iter([
        ("world".to_owned(), text(&[("name", "test"), ("password", password), ("entry", &mx)])),
        ("elsewhere".to_owned(), text(&[("mx", &mx), ("mailboxes", &mailboxes)])),
        ("domains".to_owned(), declared.into()),
        ("dns".to_owned(), dns.into()),
        ("mua".to_owned(), mua.into()),
        ("mta".to_owned(), hosts.mtas.into()),
        ("mda".to_owned(), hosts.mdas.into()),
    ]);
    Ok(world.to_string())
}

/// Returns the services of a test world, each with port 0, that is, an ephemeral one: all but the greeter.
pub(super) fn ports() -> BTreeMap<Service, u16> {
    use Service::{Dns, Http, Imap, Imaps, Pop3, Pop3s, Smtp, Smtps, Submission, Submissions};
    [Smtp, Smtps, Submission, Submissions, Pop3, Pop3s, Imap, Imaps, Http, Dns].map(|service| (service, 0)).into()
}

#[derive(Default)]
struct Hosts {
    mtas: Table,
    mdas: Table,
}

impl Hosts {
    /// Adds an MTA and an MDA, each with the next address, and returns their names: `mta-NAME` and `mda-NAME`, with the
    /// same number behind both if `mta-NAME` exists already, as for `a.b.test` and `a-b.test`.
    fn pair(&mut self, name: &str) -> (String, String) {
        let number = self.mtas.len();
        let (high, low) = (number / 250, number % 250 + 1);
        let host = |net: u8| -> Value {
            Table::from_iter([("address".to_owned(), format!("10.{net}.{high}.{low}").into())]).into()
        };
        let is_taken = self.mtas.contains_key(&format!("mta-{name}"));
        let name = if is_taken { format!("{name}-{number}") } else { name.to_owned() };
        let (mta, mda) = (format!("mta-{name}"), format!("mda-{name}"));
        self.mtas.insert(mta.clone(), host(1));
        self.mdas.insert(mda.clone(), host(2));
        (mta, mda)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn plan_for_a_few_users_is_a_valid_world() {
        let users = ["ann@shop.test", "bob@home.test", "\"two words\"@home.test"].map(str::to_owned);
        let world = World::parse("test", &world(&users, "se\"cret").unwrap()).unwrap();
        assert!(users.iter().all(|user| world.has_mailbox(&user.parse().unwrap())));
        assert!(world.hosts.contains_key("mta-home-test") && world.elsewhere.is_some());
        assert_eq!(world.secret("ann@shop.test").unwrap().1, "se\"cret");
    }

    #[test]
    fn plan_for_domains_that_differ_in_a_dot_only_has_hosts_for_each() {
        let users = ["ann@a.b.test", "bob@a-b.test", "cid@elsewhere"].map(str::to_owned);
        let world = World::parse("test", &world(&users, "x").unwrap()).unwrap();
        assert_eq!(world.mtas().count(), 4);
        assert!(users.iter().all(|user| world.has_mailbox(&user.parse().unwrap())));
    }

    #[test]
    fn plan_for_an_invalid_address_is_refused() {
        assert!(matches!(world(&["ann".to_owned()], "x"), Err(Error::NoAddress(user)) if user == "ann"));
    }
}
