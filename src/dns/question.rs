//! One question to a name server and what its reply means. Bytes in, bytes out.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, RecordType};

use super::answer::{ALIASES_MAX, DATAGRAM_MAX};

/// So many records of an answer are used; no sane domain has more.
const RECORDS_MAX: usize = 100;

/// What we ask, and the id under which we ask it.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Drawn anew for each question, so that nobody else can answer it. RFC 5452 §9.2.
    pub(super) id: u16,
    /// The name asked about.
    pub(super) name: Name,
    /// The type asked about.
    pub(super) kind: RecordType,
}

/// What a reply is to us.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    /// It does not answer this question: wait for the one that does.
    Foreign,
    /// It was cut: ask again over TCP. RFC 2181 §9.
    Truncated,
    /// The server could not or would not answer.
    Failed(ResponseCode),
    /// The answer.
    Answer(Outcome),
}

/// What is known about a name and a type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// There are records of that type, at the end of the aliases if there are any.
    Found {
        /// The records.
        data: Vec<RData>,
        /// How long they hold, in seconds.
        ttl: u32,
    },
    /// The name is an alias, and the reply says no more: ask about this one.
    Alias {
        /// The name behind it.
        target: Name,
        /// How long the alias holds, in seconds.
        ttl: u32,
    },
    /// The name exists without records of that type. RFC 2308 §2.2.
    NoData {
        /// How long that holds, in seconds.
        ttl: u32,
    },
    /// There is no such name. RFC 2308 §2.1.
    NoSuchName {
        /// How long that holds, in seconds.
        ttl: u32,
    },
}

impl Outcome {
    /// How long it holds, in seconds.
    pub(super) fn ttl(&self) -> u32 {
        match self {
            Self::Found { ttl, .. } | Self::Alias { ttl, .. } | Self::NoData { ttl } | Self::NoSuchName { ttl } => *ttl,
        }
    }
}

impl Question {
    /// The query, as it goes onto the wire.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut query = Message::new(self.id, MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(self.name.clone(), self.kind));
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM_MAX);
        query.set_edns(edns);
        query.to_vec().ok()
    }

    /// Reads a reply from the server that was asked.
    pub(super) fn read(&self, bytes: &[u8]) -> Reply {
        let Ok(reply) = Message::from_vec(bytes) else { return Reply::Foreign };
        let metadata = reply.metadata;
        if metadata.message_type != MessageType::Response || metadata.id != self.id {
            return Reply::Foreign;
        }
        // RFC 5452 §9.1: the question must be ours too. A server that could not read it may leave it out.
        let asked = Query::query(self.name.clone(), self.kind);
        match reply.queries.as_slice() {
            [] if metadata.response_code == ResponseCode::FormErr => {}
            [question] if *question == asked => {}
            _ => return Reply::Foreign,
        }
        match metadata.response_code {
            _ if metadata.truncation => Reply::Truncated,
            ResponseCode::NoError | ResponseCode::NXDomain => Reply::Answer(self.outcome(&reply)),
            code => Reply::Failed(code),
        }
    }

    fn outcome(&self, reply: &Message) -> Outcome {
        let (name, alias_ttl) = self.follow(reply);
        let ours = reply.answers.iter().filter(|known| known.name == name && known.record_type() == self.kind);
        let ours: Vec<_> = ours.take(RECORDS_MAX).collect();
        if let Some(ttl) = ours.iter().map(|known| known.ttl).min() {
            let data = ours.into_iter().map(|known| known.data.clone()).collect();
            return Outcome::Found { data, ttl: ttl.min(alias_ttl) };
        }
        // RFC 2308 §3, §5: without an SOA the answer is good for this once.
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

    /// The last name of the aliases in a reply, and how long the way to it holds. RFC 1034 §3.6.2.
    fn follow(&self, reply: &Message) -> (Name, u32) {
        let (mut name, mut ttl) = (self.name.clone(), u32::MAX);
        for _ in 0..ALIASES_MAX {
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
    use crate::world::Dice;

    #[test]
    fn rubbish_answers_nothing_and_does_no_harm() {
        let record = |data| Record { name: "a.test".into(), ttl: 60, data };
        let mail = record(Data::Mail { preference: 0, exchange: "a.test".into() });
        let zones = Zones::new(&["a.test"], &[mail, record(Data::Address([192, 0, 2, 1].into()))], None).unwrap();
        let question = Question { id: 7, name: zone::parse("a.test").unwrap(), kind: RecordType::MX };
        let sound = zones.answer(&question.encode().unwrap(), Transport::Udp).unwrap();
        assert!(matches!(question.read(&sound), Reply::Answer(Outcome::Found { ttl: 60, .. })));

        let dice = Dice::seeded(7);
        for _ in 0..20_000 {
            let mut bytes = sound.clone();
            bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize);
            for _ in 0..1 + dice.below(6) {
                let at = dice.below(bytes.len() as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = dice.draw() as u8;
                }
            }
            question.read(&bytes);
        }
        assert_eq!(question.read(&question.encode().unwrap()), Reply::Foreign);
    }
}
