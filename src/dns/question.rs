//! Encodes one question to a name server and parses the reply, without I/O.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, RecordType};

use super::answer::{MAX_ALIASES, MAX_UDP_BYTES};

/// The number of records of an answer that are used.
const MAX_RECORDS: usize = 100;

/// A question and its message id.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Random for each question, so that an attacker cannot forge an answer. RFC 5452 §9.2.
    pub(super) id: u16,
    /// The queried name.
    pub(super) name: Name,
    /// The queried type.
    pub(super) kind: RecordType,
}

/// A parsed reply.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    /// It does not belong to this question and is ignored.
    Foreign,
    /// It was truncated, so the query is repeated over TCP. RFC 2181 §9.
    Truncated,
    /// The server returned an error.
    Failed(ResponseCode),
    /// The answer.
    Answer(Outcome),
}

/// The answer for a name and a type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// Records of that type, found by following aliases if there are any.
    Found {
        /// The records.
        data: Vec<RData>,
        /// Their TTL in seconds.
        ttl: u32,
    },
    /// The name is an alias, and the reply does not contain its target's records.
    Alias {
        /// The name to query next.
        target: Name,
        /// The TTL of the alias in seconds.
        ttl: u32,
    },
    /// The name exists without records of that type. RFC 2308 §2.2.
    NoData {
        /// The TTL of this answer in seconds.
        ttl: u32,
    },
    /// The name does not exist. RFC 2308 §2.1.
    NoSuchName {
        /// The TTL of this answer in seconds.
        ttl: u32,
    },
}

impl Outcome {
    /// The TTL of the answer in seconds, for which it may be cached.
    pub(super) fn ttl(&self) -> u32 {
        match self {
            Self::Found { ttl, .. } | Self::Alias { ttl, .. } | Self::NoData { ttl } | Self::NoSuchName { ttl } => *ttl,
        }
    }
}

impl Question {
    /// The query in wire format, with EDNS; `None` if it cannot be encoded.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut query = Message::new(self.id, MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(self.name.clone(), self.kind));
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP_BYTES);
        query.set_edns(edns);
        query.to_vec().ok()
    }

    /// Parses a reply from the queried server. [`Reply::Foreign`] if it is malformed, no response, or of another id or
    /// question; [`Reply::Truncated`] before all else if TC is set; [`Reply::Failed`] for codes other than NOERROR and
    /// NXDOMAIN.
    pub(super) fn read(&self, bytes: &[u8]) -> Reply {
        let Ok(reply) = Message::from_vec(bytes) else { return Reply::Foreign };
        let metadata = reply.metadata;
        if metadata.message_type != MessageType::Response || metadata.id != self.id {
            return Reply::Foreign;
        }
        // RFC 5452 §9.1: the question must match. A server that could not parse it may omit it.
        let expected = Query::query(self.name.clone(), self.kind);
        match reply.queries.as_slice() {
            [] if metadata.response_code == ResponseCode::FormErr => {}
            [question] if *question == expected => {}
            _ => return Reply::Foreign,
        }
        match metadata.response_code {
            _ if metadata.truncation => Reply::Truncated,
            ResponseCode::NoError | ResponseCode::NXDomain => Reply::Answer(self.outcome(&reply)),
            code => Reply::Failed(code),
        }
    }

    /// What a reply with NOERROR or NXDOMAIN says of the name at the end of its aliases: up to `MAX_RECORDS` records,
    /// with their smallest TTL. Without records, a negative answer with the TTL of the SOA; without an SOA, with
    /// NOERROR after an alias, the alias whose target is to be queried next, or else a negative answer with the TTL 0.
    fn outcome(&self, reply: &Message) -> Outcome {
        let (name, alias_ttl) = self.follow(reply);
        let ours = reply.answers.iter().filter(|known| known.name == name && known.record_type() == self.kind);
        let ours: Vec<_> = ours.take(MAX_RECORDS).collect();
        if let Some(ttl) = ours.iter().map(|known| known.ttl).min() {
            let data = ours.into_iter().map(|known| known.data.clone()).collect();
            return Outcome::Found { data, ttl: ttl.min(alias_ttl) };
        }
        // RFC 2308 §3, §5: without an SOA the answer is not cached.
        let ttl = reply.authorities.iter().find_map(|known| match &known.data {
            RData::SOA(soa) => Some(soa.minimum.min(known.ttl).min(alias_ttl)),
            _ => None,
        });
        match (reply.metadata.response_code, ttl) {
            (ResponseCode::NXDomain, ttl) => Outcome::NoSuchName { ttl: ttl.unwrap_or(0) },
            (_, None) if name != self.name => Outcome::Alias { target: name, ttl: alias_ttl },
            (_, ttl) => Outcome::NoData { ttl: ttl.unwrap_or(0) },
        }
    }

    /// The last name of the alias chain in a reply, and the smallest TTL of the chain, [`u32::MAX`] without aliases.
    /// RFC 1034 §3.6.2.
    fn follow(&self, reply: &Message) -> (Name, u32) {
        let (mut name, mut ttl) = (self.name.clone(), u32::MAX);
        for _ in 0..MAX_ALIASES {
            let step = reply.answers.iter().find_map(|known| match &known.data {
                RData::CNAME(CNAME(target)) if known.name == name => Some((target.clone(), known.ttl)),
                _ => None,
            });
            let Some((target, alias_ttl)) = step else { break };
            (name, ttl) = (target, ttl.min(alias_ttl));
        }
        (name, ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Data, Record, Transport, Zones, zone};
    use super::*;
    use crate::world::Rng;

    #[test]
    fn reply_parser_with_random_bytes_does_not_panic() {
        let record = |data| Record { name: "a.test".into(), ttl: 60, data };
        let mail = record(Data::Mail { preference: 0, exchange: "a.test".into() });
        let zones = Zones::new(&["a.test"], &[mail, record(Data::Address([192, 0, 2, 1].into()))], None).unwrap();
        let question = Question { id: 7, name: zone::parse("a.test").unwrap(), kind: RecordType::MX };
        let valid = zones.answer(&question.encode().unwrap(), Transport::Udp).unwrap();
        assert!(matches!(question.read(&valid), Reply::Answer(Outcome::Found { ttl: 60, .. })));

        let rng = Rng::seeded(7);
        for _ in 0..20_000 {
            let mut bytes = valid.clone();
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            for _ in 0..1 + rng.below(6) {
                let at = rng.below(bytes.len() as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = rng.next_u64() as u8;
                }
            }
            question.read(&bytes);
        }
        assert_eq!(question.read(&question.encode().unwrap()), Reply::Foreign);
    }
}
