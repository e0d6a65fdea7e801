//! Answers a query from the world's zones: the algorithm of RFC 1034 §4.3.2, with negative answers after RFC 2308 and
//! the sizes of RFC 6891. Bytes in, bytes out.

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record as Resource, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::Zones;
use super::zone::Found;

/// The largest datagram without EDNS. RFC 1035 §4.2.1.
const PLAIN_MAX: u16 = 512;
/// The largest datagram that we send or ask for; it passes IPv6 networks unfragmented.
pub(super) const DATAGRAM_MAX: u16 = 1232;
/// The largest message over TCP. RFC 1035 §4.2.2.
const STREAM_MAX: u16 = u16::MAX;
/// So many aliases are followed; a longer chain is a loop.
pub(super) const ALIASES_MAX: usize = 8;

/// What carried the query, which decides how long the answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: 512 octets, or what EDNS allows; a longer answer is cut and marked TC.
    Udp,
    /// A stream: up to 65,535 octets.
    Tcp,
}

impl Zones {
    /// Answers one query; `None` when silence is the answer: to a response, and to what has no header.
    pub fn answer(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let header = Header::read(&mut BinDecoder::new(query)).ok()?;
        if header.message_type == MessageType::Response {
            return None;
        }
        let mut response = Message::response(header.id, header.op_code);
        response.metadata = Metadata::response_from_request(&header);
        // RFC 9619: one question, no more. Looked at first, so that a false count costs nothing.
        let query = if header.counts.queries <= 1 { Message::from_vec(query).ok() } else { None };
        let Some(query) = query else {
            response.metadata.response_code = match header.op_code {
                OpCode::Query => ResponseCode::FormErr,
                _ => ResponseCode::NotImp,
            };
            return encode(response, PLAIN_MAX, transport);
        };
        let size = introduce(&query, &mut response);
        response.metadata.response_code = self.respond(&query, &mut response);
        encode(response, size, transport)
    }

    /// Fills in the sections and says how it went.
    fn respond(&self, query: &Message, response: &mut Message) -> ResponseCode {
        let [question] = query.queries.as_slice() else { return ResponseCode::FormErr };
        match question.query_type() {
            _ if query.metadata.op_code != OpCode::Query => ResponseCode::NotImp,
            // RFC 6891 §6.1.3.
            _ if query.version() != 0 => ResponseCode::BADVERS,
            // The world is in the Internet class, and has no secondary servers to copy it (RFC 5936 §2.2.1).
            _ if !matches!(question.query_class(), DNSClass::IN | DNSClass::ANY) => ResponseCode::Refused,
            RecordType::AXFR | RecordType::IXFR => ResponseCode::Refused,
            _ => self.resolve(question, response),
        }
    }

    /// Finds the answer, from alias to alias. RFC 1034 §4.3.2 step 3.
    fn resolve(&self, question: &Query, response: &mut Message) -> ResponseCode {
        response.metadata.authoritative = true;
        let mut name = question.name().clone();
        for _ in 0..=ALIASES_MAX {
            match self.find(&name, question.query_type()) {
                Found::Resources(found) => {
                    self.add_addresses(&found, response);
                    response.add_answers(found.into_iter().map(|resource| spelled(&name, resource)));
                    return ResponseCode::NoError;
                }
                Found::Alias(alias, target) => {
                    response.add_answer(spelled(&name, *alias));
                    name = target;
                }
                Found::NoData => {
                    response.add_authorities(self.authority(&name));
                    return ResponseCode::NoError;
                }
                // RFC 6604 §3: the code speaks of the last name of a chain.
                Found::NoSuchName => {
                    response.add_authorities(self.authority(&name));
                    return ResponseCode::NXDomain;
                }
            }
        }
        ResponseCode::ServFail
    }

    /// The addresses of the hosts that an answer names, which the asker will want next. RFC 1035 §3.3.9, §3.3.11.
    fn add_addresses(&self, found: &[Resource], response: &mut Message) {
        for resource in found {
            let host = match &resource.data {
                RData::MX(mx) => &mx.exchange,
                RData::NS(ns) => &ns.0,
                _ => continue,
            };
            let addresses = self.addresses(host);
            if !response.additionals.iter().any(|known| known.name == *host) {
                response.add_additionals(addresses);
            }
        }
    }
}

/// Repeats the question and answers EDNS with EDNS (RFC 6891 §6.1.1); gives the size that the asker takes in a datagram.
fn introduce(query: &Message, response: &mut Message) -> u16 {
    response.add_queries(query.queries.iter().cloned());
    let Some(edns) = &query.edns else { return PLAIN_MAX };
    let mut ours = Edns::new();
    ours.set_max_payload(DATAGRAM_MAX);
    response.set_edns(ours);
    edns.max_payload().clamp(PLAIN_MAX, DATAGRAM_MAX)
}

/// The record under the name as it was asked for, whose case some askers check (draft-vixie-dnsext-dns0x20).
fn spelled(name: &Name, mut resource: Resource) -> Resource {
    resource.name = name.clone();
    resource
}

/// Writes the response so that it fits. Additional records go first, and nobody needs to know (RFC 2181 §9).
fn encode(mut response: Message, datagram_max: u16, transport: Transport) -> Option<Vec<u8>> {
    let limit = usize::from(if transport == Transport::Udp { datagram_max } else { STREAM_MAX });
    let whole = response.to_vec().ok()?;
    if whole.len() <= limit {
        return Some(whole);
    }
    response.additionals.clear();
    let lean = response.to_vec().ok()?;
    if lean.len() <= limit { Some(lean) } else { response.truncate().to_vec().ok() }
}
