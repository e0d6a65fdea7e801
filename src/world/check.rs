//! Converts a world file to a valid world, or to a list of problems: the line, what is wrong, and what to do.

mod alias;
mod engine;
mod policy;
mod route;
mod webhook;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::config::{Addresses, Elsewhere, LinkTable, MtaTable, UserEntry, UserTable, WorldFile};
use super::{Domain, Engine, Host, HostName, Mda, Mta, Quota, Role, Service, User, World};
use crate::mail::{Address, domain_key};

/// The default of `size_max`, in bytes.
const DEFAULT_MAX_SIZE: usize = 50 * 1024 * 1024;

/// The problems of an invalid world file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidWorld {
    path: String,
    /// Every problem found, in the order of the file.
    pub problems: Vec<Problem>,
}

/// One problem of a world file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub text: String,
}

impl fmt::Display for InvalidWorld {
    /// One line for each problem, as `PATH:LINE: TEXT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{}: {}", self.path, problem.line, problem.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidWorld {}

/// Parses and checks a world file; `path` is only used in the error. The error has all problems, sorted by line; but
/// only the first if the text is no TOML, has an unknown key, or a value of another type.
pub(super) fn world(path: &str, text: &str) -> Result<World, InvalidWorld> {
    let mut check = Check { text, problems: Vec::new(), named_hosts: Vec::new(), alias_targets: Vec::new() };
    let world = match toml::from_str::<WorldFile>(text) {
        Ok(file) => check.world(&file),
        Err(error) => {
            check.report(error.span().unwrap_or_default(), error.message().to_owned());
            None
        }
    };
    check.problems.sort();
    match world {
        Some(world) if check.problems.is_empty() => Ok(world),
        _ => Err(InvalidWorld { path: path.to_owned(), problems: check.problems }),
    }
}

/// The key of a domain that is a name: `None` for an address literal, and for text that is no domain.
fn named(domain: &str) -> Option<String> {
    domain_key(domain).filter(|key| !key.starts_with('[')).map(Cow::into_owned)
}

/// Longest name of a world or host, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// The kind of host that a name must refer to.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Any,
    Mta,
    Mda,
}

struct Check<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    /// Names of hosts that are checked once all hosts are known.
    named_hosts: Vec<(String, Range<usize>)>,
    /// Targets of aliases and, if marked, of catch-alls, which are checked once all mailboxes are known.
    alias_targets: Vec<(Address, Range<usize>, bool)>,
}

impl Check<'_> {
    /// Adds a problem at the line in which `span` starts, counted from 1.
    fn report(&mut self, span: Range<usize>, text: String) {
        let line = 1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count();
        self.problems.push(Problem { line, text });
    }

    /// Reports a name of the world, which is that of the data folder, too, unless it has 1 to 128 bytes, all of them
    /// letters, digits, - and _.
    fn world_name(&mut self, name: &Spanned<String>) {
        let is_plain = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_');
        let text = name.get_ref();
        if text.is_empty() || MAX_NAME_BYTES < text.len() || !text.chars().all(is_plain) {
            let text = text.escape_debug();
            self.report(name.span(), format!("`{text}` cannot be the name of a world; use letters, digits, - and _"));
        }
    }

    /// Builds the world and reports all problems of the file. `None` only if there is no entry, which is reported, too;
    /// otherwise the world is returned even if problems were reported.
    fn world(&mut self, file: &WorldFile) -> Option<World> {
        self.world_name(&file.world.name);
        let hosts = self.hosts(file);
        let domains = self.domains(file, &hosts);
        let no_mail = self.no_mail(file, &domains);
        let elsewhere = file.elsewhere.as_ref().map(|elsewhere| self.elsewhere(elsewhere, &hosts));
        let users = self.users(file);
        let aliases = self.aliases(file, &users);
        self.check_alias_targets(&aliases, &users, &domains);
        let message = self.sample_message(file, &users);
        let links = self.links(&file.links, &hosts);
        let places = hosts.values().flat_map(|host| host.addresses.iter().map(|ip| (*ip, host.name.clone())));
        let places = places.collect();
        let ports = self.ports(file);
        let webhooks = self.webhooks(&file.webhooks);
        let entry = self.entry(file, &hosts);
        if let Some(entry) = &entry {
            self.check_starttls(file, entry);
        }
        self.check_routes(file, &hosts);
        self.check_external_mtas(file, &hosts);
        self.check_named_hosts(&hosts);
        Some(World {
            name: file.world.name.get_ref().clone(),
            password: file.world.password.clone(),
            entry: entry?,
            hosts,
            domains,
            no_mail,
            elsewhere,
            users,
            aliases,
            ports,
            latency: file.world.latency,
            mailbox_memory: file.world.mailbox_memory,
            keep: file.world.keep,
            message,
            webhooks,
            links,
            places,
        })
    }

    /// All hosts by their short name. Reports names and addresses that are invalid or used twice.
    fn hosts(&mut self, file: &WorldFile) -> BTreeMap<HostName, Host> {
        let mut all = CollectedHosts::default();
        for (name, table) in &file.dns {
            self.host(&mut all, name, &table.name, &table.address, Role::Dns);
        }
        for (name, table) in &file.mua {
            self.host(&mut all, name, &table.name, &table.address, Role::Mua);
        }
        for (name, table) in &file.mta {
            let role = Role::Mta(Box::new(self.mta(table)));
            self.host(&mut all, name, &table.name, &table.address, role);
        }
        for (name, table) in &file.mda {
            let role =
                Role::Mda(Mda { size_max: table.size_max.unwrap_or(DEFAULT_MAX_SIZE), mailboxes: table.mailboxes });
            self.host(&mut all, name, &table.name, &table.address, role);
        }
        all.hosts
    }

    /// The settings of an MTA, with defaults; reports invalid ones. The hosts named in them are checked once all hosts
    /// are known.
    fn mta(&mut self, table: &MtaTable) -> Mta {
        Mta {
            smarthost: table.smarthost.as_ref().map(|name| Arc::from(name.get_ref().as_str())),
            relay_from: self.relay_from(table),
            size_max: table.size_max.as_ref().map_or(DEFAULT_MAX_SIZE, |size_max| *size_max.get_ref()),
            policy: self.policy(table),
            starttls: table.starttls.as_ref().is_some_and(|starttls| *starttls.get_ref()),
            engine: engine::engine(table),
            retry: self.retry(table),
            timeouts: self.timeouts(table),
            routes: self.static_routes(table),
            tls: table.tls.unwrap_or_default(),
            connections_max: table
                .connections_max
                .as_ref()
                .map_or(route::DEFAULT_MAX_CONNECTIONS, |limit| self.limit(limit)),
        }
    }

    /// Adds a host to `all` in any case, in place of one with this name, and reports an invalid or used name or address,
    /// and a host without an address. Its default name in the DNS is `NAME.test`.
    fn host(
        &mut self,
        all: &mut CollectedHosts,
        name: &Spanned<String>,
        fqdn: &Option<Spanned<String>>,
        addresses: &Spanned<Addresses>,
        role: Role,
    ) {
        for address in addresses.get_ref().list() {
            if !all.addresses.insert(*address) {
                self.report(
                    addresses.span(),
                    format!("{} is already the address of another host; give each host its own address", address),
                );
            }
        }
        if addresses.get_ref().list().is_empty() {
            self.report(
                name.span(),
                format!("host `{}` has no address; give it one such as 192.0.2.77", name.get_ref()),
            );
        }
        let span = fqdn.as_ref().map_or(name.span(), Spanned::span);
        let fqdn =
            fqdn.as_ref().map_or_else(|| format!("{}.test", name.get_ref()), |name| name.get_ref().to_lowercase());
        if Address::new("x", &fqdn).is_err() {
            self.report(span.clone(), format!("`{fqdn}` is not a host name; write one such as mx.163.test"));
        }
        if !all.names.insert(fqdn.clone()) {
            self.report(span, format!("another host is already called {fqdn}; give each host its own name"));
        }
        let is_plain = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_' | '.');
        let text = name.get_ref();
        if text.is_empty() || MAX_NAME_BYTES < text.len() || text.starts_with('.') || !text.chars().all(is_plain) {
            let text = text.escape_debug();
            self.report(name.span(), format!("`{text}` cannot be the name of a host; use letters, digits, -, _ and ."));
        }
        if text == "outside" {
            self.report(
                name.span(),
                "`outside` is what faults call programs outside the world; choose another name".to_owned(),
            );
        }
        let host_name: HostName = Arc::from(name.get_ref().as_str());
        let host = Host { name: host_name.clone(), fqdn, addresses: addresses.get_ref().list().to_vec(), role };
        if all.hosts.insert(host_name, host).is_some() {
            self.report(name.span(), format!("there are two hosts `{}`; rename one", name.get_ref()));
        }
    }

    /// Returns this name of a host as it is, and reports it if it is not that of a host of this kind.
    fn name(&mut self, name: &Spanned<String>, kind: Kind, hosts: &BTreeMap<HostName, Host>) -> HostName {
        let fits = |host: &Host| match kind {
            Kind::Any => true,
            Kind::Mta => matches!(host.role, Role::Mta(_)),
            Kind::Mda => matches!(host.role, Role::Mda(_)),
        };
        if !hosts.get(name.get_ref().as_str()).is_some_and(fits) {
            let (what, table) = match kind {
                Kind::Any => ("host", "mta"),
                Kind::Mta => ("mta", "mta"),
                Kind::Mda => ("mda", "mda"),
            };
            let known: Vec<_> = hosts.values().filter(|host| fits(host)).map(|host| host.name.as_ref()).collect();
            let known =
                if known.is_empty() { String::new() } else { format!(", or choose one of {}", known.join(", ")) };
            let name_ = name.get_ref();
            self.report(name.span(), format!("there is no {what} `{name_}`; declare [{table}.{name_}]{known}"));
        }
        Arc::from(name.get_ref().as_str())
    }

    /// The declared domains by their key. The preferences of their MX are 10, 20, ...; those in one inner list have the
    /// same. Reports, but does not leave out, invalid domains (their key is empty), those declared twice (the last one
    /// counts) and those without MX, whose MX is no MTA or whose mailboxes are on no MDA. Reports an invalid catch-all,
    /// and leaves it out.
    fn domains(&mut self, file: &WorldFile, hosts: &BTreeMap<HostName, Host>) -> BTreeMap<String, Domain> {
        let mut domains = BTreeMap::new();
        for (domain, table) in &file.domains {
            let name = named(domain.get_ref()).unwrap_or_default();
            if name.is_empty() {
                let text = domain.get_ref();
                self.report(domain.span(), format!("`{text}` is not a domain; write one such as \"163.test\""));
            }
            let (mut mx, mut mx_preferences) = (Vec::new(), Vec::new());
            for (preference, group) in (10..).step_by(10).zip(&table.mx) {
                for host in group.get_ref().list() {
                    mx.push(self.name(&Spanned::new(group.span(), host.clone()), Kind::Mta, hosts));
                    mx_preferences.push(preference);
                }
            }
            if mx.is_empty() {
                self.report(domain.span(), format!("{name} has no mx; name the mta that accepts its mail"));
            }
            let mailboxes = self.name(&table.mailboxes, Kind::Mda, hosts);
            let catch_all = self.catch_all(domain, table);
            if domains.insert(name.clone(), Domain { mx, mx_preferences, mailboxes, catch_all }).is_some() {
                self.report(domain.span(), format!("{name} is declared twice; put both into one table"));
            }
        }
        domains
    }

    /// The keys of the domains without mail. Reports those that are invalid or have an MX, and leaves them out.
    fn no_mail(&mut self, file: &WorldFile, domains: &BTreeMap<String, Domain>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for domain in &file.world.no_mail {
            match named(domain.get_ref()) {
                Some(name) if domains.contains_key(&name) => {
                    self.report(
                        domain.span(),
                        format!("{name} has an mx; leave it out of no_mail, or out of [domains]"),
                    );
                }
                Some(name) => drop(all.insert(name)),
                None => {
                    let text = domain.get_ref();
                    self.report(domain.span(), format!("`{text}` is not a domain; write one such as \"quiet.test\""));
                }
            }
        }
        all
    }

    /// The hosts for mail to undeclared domains: one MX with preference 10, and no catch-all. Reports hosts that do not
    /// exist.
    fn elsewhere(&mut self, elsewhere: &Elsewhere, hosts: &BTreeMap<HostName, Host>) -> Domain {
        Domain {
            mx: vec![self.name(&elsewhere.mx, Kind::Mta, hosts)],
            mx_preferences: vec![10],
            mailboxes: self.name(&elsewhere.mailboxes, Kind::Mda, hosts),
            catch_all: None,
        }
    }

    /// All users by [`Address::key`], and a `postmaster` with the password of the world in each domain that declares
    /// none. Reports names that are invalid, have a `+`, or are declared twice.
    fn users(&mut self, file: &WorldFile) -> BTreeMap<String, User> {
        let mut users = BTreeMap::new();
        for (domain, table) in &file.domains {
            for entry in &table.users {
                let UserEntry(UserTable { name, password, quota }) = entry.get_ref();
                let password = password.as_ref().unwrap_or(&file.world.password).clone();
                let quota = quota.as_ref().map(|quota| self.quota(quota));
                let Ok(address) = Address::new(name, domain.get_ref()) else {
                    self.report(
                        entry.span(),
                        format!("`{name}` cannot be the local part of an address; choose another name"),
                    );
                    continue;
                };
                let key = address.key();
                if address.detail().is_some() {
                    self.report(
                        entry.span(),
                        format!("`{name}` contains a +, which marks a folder of {key}; leave it out"),
                    );
                }
                if users.insert(key.clone(), User { address, password, quota }).is_some() {
                    self.report(entry.span(), format!("{key} is declared twice; leave one out"));
                }
            }
        }
        for domain in file.domains.keys() {
            // RFC 5321 §4.5.1: every domain has a postmaster.
            if let Ok(address) = Address::new("postmaster", domain.get_ref()) {
                let password = file.world.password.clone();
                users.entry(address.key()).or_insert(User { address, password, quota: None });
            }
        }
        users
    }

    /// Returns the quota as it is, and reports one without any limit.
    fn quota(&mut self, quota: &Spanned<Quota>) -> Quota {
        if *quota.get_ref() == Quota::default() {
            let text = "a quota limits `storage`, in bytes, or `messages`, or both; set one, or leave the quota out";
            self.report(quota.span(), text.to_owned());
        }
        *quota.get_ref()
    }

    /// Sender and recipient of the declared message, or the first two users by key that are not postmasters; a single
    /// one is both. `None` without any, or if a declared one is not a user, which is reported.
    fn sample_message(&mut self, file: &WorldFile, users: &BTreeMap<String, User>) -> Option<(Address, Address)> {
        let Some(message) = &file.message else {
            let mut senders = users.values().filter(|user| user.address.local() != "postmaster");
            let from = senders.next()?.address.clone();
            let to = senders.next().map_or_else(|| from.clone(), |user| user.address.clone());
            return Some((from, to));
        };
        let mut user = |name: &Spanned<String>| {
            let address: Option<Address> = name.get_ref().parse().ok();
            let found = address.and_then(|address| users.get(&address.key()));
            if found.is_none() {
                self.report(name.span(), format!("there is no user `{}`; name one of [domains]", name.get_ref()));
            }
            found.map(|user| user.address.clone())
        };
        let (from, to) = (user(&message.from), user(&message.to));
        Some((from?, to?))
    }

    /// The latency from each address of a linked host to each of the other, in both directions. The last link of two
    /// hosts applies. Reports hosts that do not exist.
    fn links(
        &mut self,
        links: &[LinkTable],
        hosts: &BTreeMap<HostName, Host>,
    ) -> BTreeMap<(IpAddr, IpAddr), std::time::Duration> {
        let mut all = BTreeMap::new();
        for link in links {
            let ends = link.between.each_ref().map(|name| self.name(name, Kind::Any, hosts));
            let [here, there] = ends.map(|name| hosts.get(&name).map_or(Vec::new(), |host| host.addresses.clone()));
            for here in &here {
                for there in &there {
                    all.insert((*here, *there), link.latency);
                    all.insert((*there, *here), link.latency);
                }
            }
        }
        all
    }

    /// The public ports as declared. Reports a port other than 0 that two services have.
    fn ports(&mut self, file: &WorldFile) -> BTreeMap<Service, u16> {
        let mut taken: BTreeMap<u16, Service> = BTreeMap::new();
        for (service, port) in &file.ports {
            let number = *port.get_ref();
            if number != 0
                && let Some(other) = taken.insert(number, *service)
            {
                self.report(
                    port.span(),
                    format!("port {number} is given to {other} and to {service}; choose another for one of them"),
                );
            }
        }
        file.ports.iter().map(|(service, port)| (*service, *port.get_ref())).collect()
    }

    /// The declared entry, or the first MTA by name with our own engine. Reports a declared one that is no MTA or has
    /// another engine; `None` if none is declared and there is no such MTA, which is reported, too.
    fn entry(&mut self, file: &WorldFile, hosts: &BTreeMap<HostName, Host>) -> Option<HostName> {
        let ours = |host: &&Host| matches!(&host.role, Role::Mta(mta) if matches!(mta.engine, Engine::Postroad));
        if let Some(entry) = &file.world.entry {
            let name = self.name(entry, Kind::Mta, hosts);
            if hosts.get(&name).is_some_and(|host| matches!(host.role, Role::Mta(_)) && !ours(&host)) {
                let text = format!(
                    "`{name}` cannot be the entry, since it has another engine; choose an mta without `engine`"
                );
                self.report(entry.span(), text);
            }
            return Some(name);
        }
        let first = hosts.values().find(ours);
        if first.is_none() {
            self.report(0..0, "there is no MTA, so mail cannot be sent; declare one as [mta.NAME]".to_owned());
        }
        first.map(|host| host.name.clone())
    }
}

/// The hosts collected so far, with their names and addresses.
#[derive(Default)]
struct CollectedHosts {
    hosts: BTreeMap<HostName, Host>,
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}
