//! Injected DNS faults: delay, no answer, NXDOMAIN, server failure, forged data, stale data. [`FaultyZones`] has them
//! between the server and its zones.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, MX};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::time::sleep;

use super::server::{Answer, Answers};
use super::world_zones::WORLD_TTL_SECONDS;
use super::zone::parse;
use super::{Transport, Zones};
use crate::sync::SharedTable;

/// TTL of a forged address.
const FORGED_TTL_SECONDS: u32 = 60;

/// What a name server does with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsFault {
    /// Does not answer.
    Silent,
    /// Answers that the name does not exist: NXDOMAIN. RFC 1035 §4.1.1.
    NoSuchName,
    /// Answers with a server failure: SERVFAIL. RFC 1035 §4.1.1.
    ServerFailure,
    /// Answers after this delay.
    Slow(Duration),
    /// Answers with this address.
    Wrong(IpAddr),
    /// Answers with this host as the MX: the zone has changed.
    Moved(String),
    /// Still answers from the zone before the change.
    Stale,
}

/// The DNS faults of a world. Cheap to clone.
#[derive(Clone, Default)]
pub struct DnsFaults(SharedTable<(String, DnsFault)>);

impl DnsFaults {
    /// Injects a fault for this domain and the names below it (all if it is empty); of several, the first one injected
    /// applies. The returned id clears it.
    pub fn inject(&self, names: &str, fault: DnsFault) -> u64 {
        self.0.insert((names.trim_end_matches('.').to_ascii_lowercase(), fault))
    }

    /// Clears the fault with this id; does nothing if there is none.
    pub fn clear(&self, id: u64) {
        self.0.remove(id);
    }

    /// The fault that was injected first of those that apply to a query; while [`DnsFault::Stale`] applies,
    /// [`DnsFault::Moved`] does not. `None` if none applies, or the query cannot be parsed.
    fn for_query(&self, query: &[u8]) -> Option<DnsFault> {
        if self.0.with(|rules| rules.is_empty()) {
            return None;
        }
        let query = Message::from_vec(query).ok()?;
        let name = query.queries.first()?.name().to_ascii().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        let is_below =
            |rule: &str| name.strip_suffix(rule).is_some_and(|front| front.is_empty() || front.ends_with('.'));
        self.0.with(|rules| {
            let mut faults =
                rules.values().filter(|(rule, _)| rule.is_empty() || is_below(rule)).map(|(_, fault)| fault);
            let is_stale = faults.clone().any(|fault| *fault == DnsFault::Stale);
            faults.find(|fault| !(is_stale && matches!(fault, DnsFault::Moved(_)))).cloned()
        })
    }
}

/// Zones whose answers are subject to injected faults. Cheap to clone.
#[derive(Clone)]
pub struct FaultyZones {
    zones: Arc<Zones>,
    faults: DnsFaults,
}

impl FaultyZones {
    /// These zones with these faults.
    pub fn new(zones: Arc<Zones>, faults: DnsFaults) -> Self {
        Self { zones, faults }
    }
}

impl Answers for FaultyZones {
    /// Answers as the fault of the query says; from the zones if there is none, after the delay of a slow one, and
    /// where an answer cannot be forged.
    async fn answer(&self, query: Vec<u8>, transport: Transport) -> Answer {
        let forged = match self.faults.for_query(&query) {
            None | Some(DnsFault::Stale) => None,
            Some(DnsFault::Slow(by)) => {
                sleep(by).await;
                None
            }
            Some(DnsFault::Silent) => return Answer::Silence,
            Some(DnsFault::NoSuchName) => error_response(&query, ResponseCode::NXDomain),
            Some(DnsFault::ServerFailure) => error_response(&query, ResponseCode::ServFail),
            Some(DnsFault::Wrong(address)) => forged_address(&query, address),
            Some(DnsFault::Moved(host)) => forged_mx(&query, &host),
        };
        match forged {
            Some(answer) => Answer::Message(answer),
            None => self.zones.answer(query, transport).await,
        }
    }
}

/// An authoritative answer with this address, or without records for types other than that of the address; `None` if
/// the query cannot be parsed.
fn forged_address(query: &[u8], address: IpAddr) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.authoritative = true;
    response.add_queries(query.queries);
    let data = match (question.query_type(), address) {
        (RecordType::A, IpAddr::V4(ip)) => Some(RData::A(A(ip))),
        (RecordType::AAAA, IpAddr::V6(ip)) => Some(RData::AAAA(AAAA(ip))),
        _ => None,
    };
    response.add_answers(data.map(|data| Record::from_rdata(question.name().clone(), FORGED_TTL_SECONDS, data)));
    response.to_vec().ok()
}

/// An authoritative answer with this host as the only MX; `None` for queries of other types, a query that cannot be
/// parsed, and an invalid host name.
fn forged_mx(query: &[u8], host: &str) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first().filter(|question| question.query_type() == RecordType::MX)?.clone();
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.authoritative = true;
    response.add_queries(query.queries);
    let data = RData::MX(MX::new(10, parse(host).ok()?));
    response.add_answers([Record::from_rdata(question.name().clone(), WORLD_TTL_SECONDS, data)]);
    response.to_vec().ok()
}

/// An answer with this response code and no records, authoritative if that is NXDOMAIN; `None` if the query cannot be
/// parsed.
fn error_response(query: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.response_code = code;
    response.metadata.authoritative = code == ResponseCode::NXDomain;
    response.add_queries(query.queries);
    response.to_vec().ok()
}
