//! The world's zones: a tree of names, built from plain records. RFC 1034 §3, §4.2.
//!
//! The world is the whole Internet: the server is authoritative for the root, so undeclared names do not exist. Each
//! mail domain is a zone of its own below the root. `elsewhere` is a wildcard MX at the root (RFC 4592): with it, any
//! domain outside the declared zones accepts mail, except below `invalid`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA};
use hickory_proto::rr::{Name, RData, Record as Resource, RecordType};

/// TTL of negative answers. RFC 2308 §4.
const NEGATIVE_TTL_SECONDS: u32 = 300;
/// TTL of the records that are added here: SOA, NS, PTR and the MX of `elsewhere`.
const ZONE_TTL_SECONDS: u32 = 3600;
/// The zones of reverse names (RFC 1035 §3.5, RFC 3596 §2.5), and `invalid`, which is always empty (RFC 6761 §6.4).
const OWN_ZONES: [&str; 3] = ["in-addr.arpa.", "ip6.arpa.", "invalid."];

/// A record that the world declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The domain or host, case-insensitive. May have Unicode labels (RFC 5890).
    pub name: String,
    /// The TTL in seconds.
    pub ttl: u32,
    /// The data.
    pub data: Data,
}

/// The data of a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA. The address then also has a PTR record that names the host.
    Address(IpAddr),
    /// MX: a host that accepts the domain's mail. RFC 5321 §5.1.
    Mail {
        /// Lower numbers are tried first.
        preference: u16,
        /// The host.
        exchange: String,
    },
    /// A null MX: the domain accepts no mail. RFC 7505.
    NoMail,
    /// CNAME: the name is an alias of this one.
    Alias(String),
    /// The name is a zone of its own, so undeclared names below it do not exist. [`Data::Mail`] and [`Data::NoMail`]
    /// imply this.
    Domain,
}

/// Why records cannot be zones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidZone {
    /// RFC 1035 §2.3.4.
    #[error("`{0}` is not a domain name: labels have 1 to 63 bytes, the whole name at most 255")]
    BadName(String),
    /// RFC 1034 §3.6.2.
    #[error("{0} is an alias, so nothing else can be declared for it")]
    AliasBesideOthers(String),
    /// RFC 7505 §3.
    #[error("{0} accepts no mail, so it cannot have an MX")]
    NoMailBesideMail(String),
    /// A required host has no address.
    #[error("{0} has no address")]
    NoAddress(String),
}

/// All names of the world and their records.
#[derive(Clone, Debug)]
pub struct Zones {
    nodes: BTreeMap<Name, Node>,
    /// The hosts of every NS record; the first is that of every SOA.
    servers: Vec<Name>,
    /// The MX of undeclared domains.
    elsewhere: Option<RData>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    resources: Vec<Resource>,
    /// Whether this is the apex of a zone.
    apex: bool,
}

/// The result of a lookup in the tree.
pub(super) enum Found {
    /// Records; their name may differ in case.
    Resources(Vec<Resource>),
    /// The name is an alias of this one.
    Alias(Box<Resource>, Name),
    /// The name exists without records of that type (NODATA, RFC 2308 §2.2).
    NoData,
    /// The name does not exist (NXDOMAIN, RFC 2308 §2.1).
    NoSuchName,
}

impl Zones {
    /// Builds the tree. `servers` are its name servers, `elsewhere` is the host that accepts mail for all undeclared
    /// domains; all of them must have an address among the records.
    ///
    /// ```
    /// use postroad::dns::{Data, Record, Zones};
    /// let record = |name: &str, data| Record { name: name.into(), ttl: 300, data };
    /// let records = [
    ///     record("163.test", Data::Mail { preference: 10, exchange: "mx.163.test".into() }),
    ///     record("mx.163.test", Data::Address([192, 0, 2, 25].into())),
    ///     record("ns.test", Data::Address([192, 0, 2, 53].into())),
    /// ];
    /// assert!(Zones::new(&["ns.test"], &records, None).is_ok());
    /// ```
    ///
    /// # Errors
    /// A name is malformed, records contradict each other, or a required host has no address.
    pub fn new(servers: &[&str], records: &[Record], elsewhere: Option<&str>) -> Result<Self, InvalidZone> {
        let names = servers.iter().map(|server| parse(server)).collect::<Result<_, _>>()?;
        let mut zones = Self { nodes: BTreeMap::new(), servers: names, elsewhere: None };
        for record in records {
            zones.declare(record)?;
        }
        for server in servers {
            zones.require_address(server)?;
        }
        if let Some(host) = elsewhere {
            zones.require_address(host)?;
            zones.elsewhere = Some(RData::MX(MX::new(0, parse(host)?)));
        }
        zones.begin_zone(Name::root());
        for zone in OWN_ZONES {
            zones.begin_zone(parse(zone)?);
        }
        zones.add_empty_nonterminals();
        zones.check()?;
        Ok(zones)
    }

    /// Adds a record of the world: with an address, its PTR record, too; with an MX, the name is a zone; for
    /// [`Data::Domain`], only the zone. Fails if a name is malformed.
    fn declare(&mut self, record: &Record) -> Result<(), InvalidZone> {
        let name = parse(&record.name)?;
        let rdata = match &record.data {
            Data::Address(ip) => {
                let mut reverse = Name::from(*ip);
                reverse.set_fqdn(true);
                self.add(reverse, ZONE_TTL_SECONDS, RData::PTR(PTR(name.clone())));
                address(*ip)
            }
            Data::Mail { preference, exchange } => RData::MX(MX::new(*preference, parse(exchange)?)),
            Data::NoMail => RData::MX(MX::new(0, Name::root())),
            Data::Alias(target) => RData::CNAME(CNAME(parse(target)?)),
            Data::Domain => {
                self.begin_zone(name);
                return Ok(());
            }
        };
        if matches!(rdata, RData::MX(_)) {
            self.begin_zone(name.clone());
        }
        self.add(name, record.ttl, rdata);
        Ok(())
    }

    /// Starts a zone with its SOA and NS records; does nothing if the name is the apex of one. RFC 1034 §4.2.1.
    fn begin_zone(&mut self, apex: Name) {
        if self.nodes.get(&apex).is_some_and(|node| node.apex) {
            return;
        }
        let primary = self.servers.first().cloned().unwrap_or_else(Name::root);
        let contact = primary.prepend_label("postmaster").unwrap_or_else(|_| primary.clone());
        // The times are for secondary servers, which the world does not have; RFC 1912 §2.2 has their usual values.
        let soa = SOA::new(primary, contact, 1, 1200, 180, 1_209_600, NEGATIVE_TTL_SECONDS);
        self.add(apex.clone(), ZONE_TTL_SECONDS, RData::SOA(soa));
        for server in self.servers.clone() {
            self.add(apex.clone(), ZONE_TTL_SECONDS, RData::NS(NS(server)));
        }
        self.nodes.entry(apex).or_default().apex = true;
    }

    /// Adds a record, unless the name has one with the same data; then the TTL stays as it was.
    fn add(&mut self, name: Name, ttl: u32, rdata: RData) {
        let node = self.nodes.entry(name.clone()).or_default();
        if node.resources.iter().all(|known| known.data != rdata) {
            node.resources.push(Resource::from_rdata(name, ttl, rdata));
        }
    }

    /// Adds the names above existing names, which exist as well (RFC 8020 §2). With `elsewhere`, those in the root zone
    /// are not added, since they would hide it.
    fn add_empty_nonterminals(&mut self) {
        let names: Vec<_> = self.nodes.keys().cloned().collect();
        for mut name in names {
            while !name.is_root() {
                name = name.base_name();
                if self.elsewhere.is_none() || !self.zone_of(&name).is_root() {
                    self.nodes.entry(name.clone()).or_default();
                }
            }
        }
    }

    /// Fails if a name has an alias and other records, or a null MX and other MX records.
    fn check(&self) -> Result<(), InvalidZone> {
        for (name, node) in &self.nodes {
            let count = |kind| node.resources.iter().filter(|known| known.record_type() == kind).count();
            if 0 < count(RecordType::CNAME) && 1 < node.resources.len() {
                return Err(InvalidZone::AliasBesideOthers(text(name)));
            }
            let null = |known: &Resource| matches!(&known.data, RData::MX(mx) if mx.exchange.is_root());
            if node.resources.iter().any(null) && 1 < count(RecordType::MX) {
                return Err(InvalidZone::NoMailBesideMail(text(name)));
            }
        }
        Ok(())
    }

    /// Fails with [`InvalidZone::NoAddress`] if the host has neither an A nor an AAAA record, or `BadName` if its name
    /// is malformed.
    fn require_address(&self, host: &str) -> Result<(), InvalidZone> {
        if self.addresses(&parse(host)?).is_empty() {
            return Err(InvalidZone::NoAddress(host.to_owned()));
        }
        Ok(())
    }

    /// Looks up a name and a type; `ANY` finds all records of the name. An alias is not followed, but returned, unless
    /// CNAME or `ANY` is wanted. A name that is not in the tree has the MX of `elsewhere`, if it is outside the
    /// declared zones.
    pub(super) fn find(&self, name: &Name, kind: RecordType) -> Found {
        let Some(node) = self.nodes.get(name) else { return self.find_elsewhere(name, kind) };
        let wanted = |known: &&Resource| kind == RecordType::ANY || known.record_type() == kind;
        let found: Vec<_> = node.resources.iter().filter(wanted).cloned().collect();
        if !found.is_empty() {
            return Found::Resources(found);
        }
        match node.resources.first().map(|first| (first, &first.data)) {
            Some((alias, RData::CNAME(CNAME(target)))) => Found::Alias(Box::new(alias.clone()), target.clone()),
            _ => Found::NoData,
        }
    }

    /// Looks up a name that is not in the tree: outside the declared zones it has the MX of `elsewhere`, if there is
    /// one, and no data of other types; else it does not exist.
    fn find_elsewhere(&self, name: &Name, kind: RecordType) -> Found {
        match &self.elsewhere {
            Some(mx) if self.zone_of(name).is_root() => match kind {
                RecordType::MX | RecordType::ANY => {
                    Found::Resources(vec![Resource::from_rdata(name.clone(), ZONE_TTL_SECONDS, mx.clone())])
                }
                _ => Found::NoData,
            },
            _ => Found::NoSuchName,
        }
    }

    /// The A and AAAA records of this name, without following aliases; empty if it has none or is not in the tree.
    pub(super) fn addresses(&self, name: &Name) -> Vec<Resource> {
        let is_address = |known: &&Resource| matches!(known.data, RData::A(_) | RData::AAAA(_));
        self.nodes.get(name).map_or(Vec::new(), |node| node.resources.iter().filter(is_address).cloned().collect())
    }

    /// The SOA record of the zone in which the name is, to be put into a negative answer; its TTL is at most
    /// `NEGATIVE_TTL_SECONDS`. RFC 2308 §3.
    pub(super) fn authority(&self, name: &Name) -> Option<Resource> {
        let apex = self.nodes.get(&self.zone_of(name))?;
        let soa = apex.resources.iter().find(|known| known.record_type() == RecordType::SOA)?;
        Some(Resource::from_rdata(soa.name.clone(), soa.ttl.min(NEGATIVE_TTL_SECONDS), soa.data.clone()))
    }

    /// The apex of the zone in which a name is: the nearest apex at or above the name, at last the root.
    fn zone_of(&self, name: &Name) -> Name {
        let mut apex = name.clone();
        while !apex.is_root() && !self.nodes.get(&apex).is_some_and(|node| node.apex) {
            apex = apex.base_name();
        }
        apex
    }
}

/// The A or AAAA record data of an address.
fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

/// Parses a name with or without its final dot, as fully qualified; Unicode labels become A-labels (RFC 5890 §2.3.2.1).
/// Fails with [`InvalidZone::BadName`] for a malformed name and for the root.
pub(super) fn parse(text: &str) -> Result<Name, InvalidZone> {
    let mut name = Name::from_utf8(text).map_err(|_| InvalidZone::BadName(text.to_owned()))?;
    name.set_fqdn(true);
    if name.is_root() { Err(InvalidZone::BadName(text.to_owned())) } else { Ok(name) }
}

/// Formats a name as host names are written elsewhere: lower case, without the final dot.
pub(super) fn text(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}
