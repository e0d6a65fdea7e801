//! Answers a query from the world's zones: the algorithm of RFC 1034 §4.3.2, with negative answers after RFC 2308 and
//! the sizes of RFC 6891. Bytes in, bytes out.

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record as Resource, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::Zones;
use super::zone::Found;

/// The largest datagram without EDNS. RFC 1035 §4.2.1.
const MAX_UDP_BYTES_WITHOUT_EDNS: u16 = 512;
/// The largest datagram that we send or request; it fits into an unfragmented IPv6 packet.
pub(super) const MAX_UDP_BYTES: u16 = 1232;
/// The largest message over TCP. RFC 1035 §4.2.2.
const MAX_TCP_BYTES: u16 = u16::MAX;
/// The longest chain of aliases that is followed; a longer one is regarded as a loop.
pub(super) const MAX_ALIASES: usize = 8;

/// The transport of a query, which limits the size of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: 512 bytes, or what EDNS allows; a longer answer is truncated and marked TC.
    Udp,
    /// A stream: up to 65,535 bytes.
    Tcp,
}

impl Zones {
    /// Answers one query in wire format. One that cannot be parsed, or does not have one question, gets FORMERR, or
    /// NOTIMP if its operation is not QUERY; for others see `respond`. `None`, for no answer, if the message
    /// has no valid header or is a response, or the answer cannot be encoded.
    pub fn answer(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let header = Header::read(&mut BinDecoder::new(query)).ok()?;
        if header.message_type == MessageType::Response {
            return None;
        }
        let mut response = Message::response(header.id, header.op_code);
        response.metadata = Metadata::response_from_request(&header);
        // RFC 9619: at most one question. Checked before parsing, so that a false count costs nothing.
        let query = if header.counts.queries <= 1 { Message::from_vec(query).ok() } else { None };
        let Some(query) = query else {
            response.metadata.response_code = match header.op_code {
                OpCode::Query => ResponseCode::FormErr,
                _ => ResponseCode::NotImp,
            };
            return encode(response, MAX_UDP_BYTES_WITHOUT_EDNS, transport);
        };
        let size = begin_response(&query, &mut response);
        response.metadata.response_code = self.respond(&query, &mut response);
        encode(response, size, transport)
    }

    /// Fills in the sections of the response to a parsed query and returns the response code: FORMERR without exactly
    /// one question, NOTIMP for another operation, BADVERS for another EDNS version, REFUSED for another class or a
    /// zone transfer.
    fn respond(&self, query: &Message, response: &mut Message) -> ResponseCode {
        let [question] = query.queries.as_slice() else { return ResponseCode::FormErr };
        match question.query_type() {
            _ if query.metadata.op_code != OpCode::Query => ResponseCode::NotImp,
            // RFC 6891 §6.1.3.
            _ if query.version() != 0 => ResponseCode::BADVERS,
            // The zones are in the Internet class, and there are no secondary servers for transfers (RFC 5936 §2.2.1).
            _ if !matches!(question.query_class(), DNSClass::IN | DNSClass::ANY) => ResponseCode::Refused,
            RecordType::AXFR | RecordType::IXFR => ResponseCode::Refused,
            _ => self.resolve(question, response),
        }
    }

    /// Adds to the response the records that the question asks for, the aliases that lead to them, or the SOA of a
    /// negative answer, and returns the code; SERVFAIL after more than `MAX_ALIASES` aliases. RFC 1034 §4.3.2 step 3.
    fn resolve(&self, question: &Query, response: &mut Message) -> ResponseCode {
        response.metadata.authoritative = true;
        let mut name = question.name().clone();
        for _ in 0..=MAX_ALIASES {
            match self.find(&name, question.query_type()) {
                Found::Resources(found) => {
                    self.add_addresses(&found, response);
                    response.add_answers(found.into_iter().map(|resource| with_queried_name(&name, resource)));
                    return ResponseCode::NoError;
                }
                Found::Alias(alias, target) => {
                    response.add_answer(with_queried_name(&name, *alias));
                    name = target;
                }
                Found::NoData => {
                    response.add_authorities(self.authority(&name));
                    return ResponseCode::NoError;
                }
                // RFC 6604 §3: the code is that of the last name of a chain.
                Found::NoSuchName => {
                    response.add_authorities(self.authority(&name));
                    return ResponseCode::NXDomain;
                }
            }
        }
        ResponseCode::ServFail
    }

    /// Adds to the additional section the addresses of the hosts of MX and NS records in an answer, which the client
    /// needs next; those of each host once. RFC 1035 §3.3.9, §3.3.11.
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

/// Copies the question into the response, and adds EDNS if the query has it (RFC 6891 §6.1.1). Returns the maximum size
/// of a datagram to the client: 512 bytes without EDNS, else what it allows, from 512 to `MAX_UDP_BYTES`.
fn begin_response(query: &Message, response: &mut Message) -> u16 {
    response.add_queries(query.queries.iter().cloned());
    let Some(edns) = &query.edns else { return MAX_UDP_BYTES_WITHOUT_EDNS };
    let mut ours = Edns::new();
    ours.set_max_payload(MAX_UDP_BYTES);
    response.set_edns(ours);
    edns.max_payload().clamp(MAX_UDP_BYTES_WITHOUT_EDNS, MAX_UDP_BYTES)
}

/// The record with `name`, as the query spells it, in place of its own: some clients check the case
/// (draft-vixie-dnsext-dns0x20).
fn with_queried_name(name: &Name, mut resource: Resource) -> Resource {
    resource.name = name.clone();
    resource
}

/// Encodes the response within the size limit, `datagram_max` over UDP. Additional records are dropped first, without
/// setting TC (RFC 2181 §9), then all records, with TC. `None` if it cannot be encoded.
fn encode(mut response: Message, datagram_max: u16, transport: Transport) -> Option<Vec<u8>> {
    let limit = usize::from(if transport == Transport::Udp { datagram_max } else { MAX_TCP_BYTES });
    let complete = response.to_vec().ok()?;
    if complete.len() <= limit {
        return Some(complete);
    }
    response.additionals.clear();
    let reduced = response.to_vec().ok()?;
    if reduced.len() <= limit { Some(reduced) } else { response.truncate().to_vec().ok() }
}
