//! Name servers in a bad mood: slow, silent, sure that a name does not exist, behind the times.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, MX};
use hickory_proto::rr::{RData, Record, RecordType};

use super::declared::TTL;
use super::zone::parse;

/// How long a wrong address may be kept, in seconds.
const WRONG_TTL: u32 = 60;

/// What a name server does to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Says nothing.
    Silent,
    /// Says that there is no such name: NXDOMAIN. RFC 1035 §4.1.1.
    NoSuchName,
    /// Says that it cannot tell: SERVFAIL. RFC 1035 §4.1.1.
    ServerFailure,
    /// Answers as always, this much later.
    Slow(Duration),
    /// Says that the name's address is this one.
    Wrong(IpAddr),
    /// Says that this host takes the name's mail: the zone has changed.
    Moved(String),
    /// Has not heard that a zone has changed.
    Stale,
}

/// The moods of all name servers of a world. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Moods(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    drawn: u64,
    rules: BTreeMap<u64, (String, Mood)>,
}

impl Moods {
    /// From now on this mood holds for the names that end like this (empty: all); the answer lifts it.
    pub fn inflict(&self, names: &str, mood: Mood) -> u64 {
        let mut table = self.table();
        table.drawn += 1;
        let id = table.drawn;
        table.rules.insert(id, (names.trim_end_matches('.').to_ascii_lowercase(), mood));
        id
    }

    /// The mood is gone.
    pub fn lift(&self, id: u64) {
        self.table().rules.remove(&id);
    }

    /// The first mood that holds for the question.
    pub(super) fn about(&self, query: &[u8]) -> Option<Mood> {
        if self.table().rules.is_empty() {
            return None;
        }
        let query = Message::from_vec(query).ok()?;
        let name = query.queries.first()?.name().to_ascii().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        let of = |rule: &str| name.strip_suffix(rule).is_some_and(|front| front.is_empty() || front.ends_with('.'));
        let table = self.table();
        let mut moods = table.rules.values().filter(|(rule, _)| rule.is_empty() || of(rule)).map(|(_, mood)| mood);
        let is_stale = moods.clone().any(|mood| *mood == Mood::Stale);
        moods.find(|mood| !(is_stale && matches!(mood, Mood::Moved(_)))).cloned()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that gives this address, and none of the other family.
pub(super) fn wrong(query: &[u8], address: IpAddr) -> Option<Vec<u8>> {
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
    response.add_answers(data.map(|data| Record::from_rdata(question.name().clone(), WRONG_TTL, data)));
    response.to_vec().ok()
}

/// An answer that names this host as the only one for mail; `None` if something else was asked.
pub(super) fn moved(query: &[u8], host: &str) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first().filter(|question| question.query_type() == RecordType::MX)?.clone();
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.authoritative = true;
    response.add_queries(query.queries);
    let data = RData::MX(MX::new(10, parse(host).ok()?));
    response.add_answers([Record::from_rdata(question.name().clone(), TTL, data)]);
    response.to_vec().ok()
}

/// An answer that says only this.
pub(super) fn answer(query: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.response_code = code;
    response.metadata.authoritative = code == ResponseCode::NXDomain;
    response.add_queries(query.queries);
    response.to_vec().ok()
}
