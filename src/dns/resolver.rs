//! A stub resolver (RFC 1034 §5.3.1) with a cache, for the MX and address lookups of RFC 5321 §5.1. It follows RFC 5452
//! against forged answers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, timeout};

use super::answer::MAX_ALIASES;
use super::cache::Cache;
use super::question::{Outcome, Question, Reply};
use super::stream::TcpClientSession;
use super::zone;
use crate::journey::{Lookup, LookupOutcome, milliseconds};
use crate::net::{self, Conn, Datagrams, Interface, Stop};
use crate::sync::lock;
use crate::world::Rng;

/// How long to wait for the answer to one datagram.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of datagrams before a lookup fails.
const MAX_ATTEMPTS: usize = 3;
/// The number of questions that are noted, and of records of each.
const MAX_NOTES: usize = 32;
const MAX_NOTED_RECORDS: usize = 16;

/// The mail hosts of a domain. RFC 5321 §5.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mx {
    /// These hosts, by preference. Hosts of equal preference are sorted by name; a sender shuffles them to spread the
    /// load.
    Hosts(Vec<Exchange>),
    /// The host with the domain's own name, since the domain has no MX.
    Implicit,
    /// None: the domain accepts no mail. RFC 7505.
    Null,
}

/// One MX record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// Lower numbers are tried first.
    pub preference: u16,
    /// The host, in lower case and ASCII.
    pub host: String,
}

/// Why a lookup failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// NXDOMAIN, or not a valid domain name.
    #[error("{0} does not exist")]
    NoSuchName(String),
    /// The name exists, but has no address.
    #[error("{0} has no address")]
    NoData(String),
    /// The server returned an error or an invalid answer.
    #[error("the name server failed for {name}: {why}")]
    ServerFailure {
        /// The queried name.
        name: String,
        /// The server's error.
        why: String,
    },
    /// The server did not answer in time.
    #[error("the name server did not answer for {0}")]
    Timeout(String),
}

impl LookupError {
    /// Whether the lookup may succeed later, so that mail is deferred instead of returned. RFC 5321 §5.1.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NoSuchName(_) | Self::NoData(_) => false,
            Self::ServerFailure { .. } | Self::Timeout(_) => true,
        }
    }
}

/// Queries the world's name servers, with a cache. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
    notes: Option<Arc<Mutex<Vec<Lookup>>>>,
}

struct Shared {
    interface: Interface,
    servers: Vec<SocketAddr>,
    rng: Rng,
    cache: Mutex<Cache>,
}

impl Resolver {
    /// Queries these servers in turn from a host's interface; `rng` generates the message ids.
    pub fn new(interface: Interface, servers: Vec<SocketAddr>, rng: Rng) -> Self {
        Self { shared: Arc::new(Shared { interface, servers, rng, cache: Mutex::default() }), notes: None }
    }

    /// Returns a resolver with the same cache, which notes each question and its answer, up to `MAX_NOTES`; its clones
    /// share the notes.
    pub fn noting(&self) -> Self {
        Self { notes: Some(Arc::default()), ..self.clone() }
    }

    /// Takes what a resolver of [`Resolver::noting`] has noted; empty for any other.
    pub fn take_notes(&self) -> Vec<Lookup> {
        self.notes.as_ref().map(|notes| std::mem::take(&mut *lock(notes))).unwrap_or_default()
    }

    /// The mail hosts of a domain, each once, by preference and then by name; [`Mx::Null`] if all records are null MX
    /// records. RFC 5321 §5.1: falls back to the domain's own name ([`Mx::Implicit`]) only if it is certain that there
    /// is no MX.
    ///
    /// # Errors
    /// The domain does not exist, or the lookup failed.
    pub async fn mx(&self, domain: &str) -> Result<Mx, LookupError> {
        let found = match self.lookup(domain, RecordType::MX).await {
            Ok(found) => found,
            Err(LookupError::NoData(_)) => return Ok(Mx::Implicit),
            Err(error) => return Err(error),
        };
        let null = |data: &RData| matches!(data, RData::MX(mx) if mx.exchange.is_root());
        if found.iter().all(null) {
            return Ok(Mx::Null);
        }
        let mut hosts: Vec<_> = found.iter().filter(|data| !null(data)).filter_map(exchange).collect();
        hosts.sort();
        let mut seen = BTreeSet::new();
        hosts.retain(|mail_host| seen.insert(mail_host.host.clone()));
        Ok(Mx::Hosts(hosts))
    }

    /// The addresses of a host, each once. On real sockets, those first that share the longest prefix with an address
    /// of this host; among equals, and in a world, those of IPv6 first.
    ///
    /// # Errors
    /// The host does not exist or has no address, or none was found and a lookup failed.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let six = self.lookup(host, RecordType::AAAA);
        let four = self.lookup(host, RecordType::A);
        let (six, four) = futures_util::future::join(six, four).await;
        let found = [&six, &four].into_iter().flatten().flatten();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.filter_map(RData::ip_addr) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if !addresses.is_empty() {
            self.shared.interface.nearest_first(&mut addresses);
            return Ok(addresses);
        }
        let errors = [six.err(), four.err()].into_iter().flatten();
        // A temporary error takes precedence over a definite answer about the other family.
        Err(errors.max_by_key(LookupError::is_temporary).unwrap_or_else(|| LookupError::NoData(host.to_owned())))
    }

    /// Forgets the answers that are cached about `domain` and the names below it; all of them if `domain` is empty.
    pub fn forget(&self, domain: &str) {
        self.cache().forget(domain);
    }

    /// The records of this type that the name `text` has, following up to `MAX_ALIASES` aliases by further queries; a
    /// loop of them is a server failure. An invalid name does not exist.
    async fn lookup(&self, text: &str, kind: RecordType) -> Result<Vec<RData>, LookupError> {
        let mut name = zone::parse(text).map_err(|_| LookupError::NoSuchName(text.to_owned()))?;
        for _ in 0..=MAX_ALIASES {
            match self.cached_or_query(&name, kind).await? {
                Outcome::Found { data, .. } => return Ok(data),
                Outcome::Alias { target, .. } => name = target,
                Outcome::NoData { .. } => return Err(LookupError::NoData(text.to_owned())),
                Outcome::NoSuchName { .. } => return Err(LookupError::NoSuchName(text.to_owned())),
            }
        }
        Err(failure(&name, "its aliases form a loop"))
    }

    /// The answer from the cache or, without one, from a server. Notes it, and an error, if this resolver notes and has
    /// fewer than `MAX_NOTES`.
    async fn cached_or_query(&self, name: &Name, kind: RecordType) -> Result<Outcome, LookupError> {
        let began = Instant::now();
        let known = self.cache().get(name, kind, began);
        let is_cached = known.is_some();
        let found = match known {
            Some(known) => Ok(known),
            None => Box::pin(self.query(name, kind)).await,
        };
        if let Some(notes) = &self.notes {
            let mut notes = lock(notes);
            if notes.len() < MAX_NOTES {
                notes.push(note((name, kind), &found, is_cached, began.elapsed()));
            }
        }
        found
    }

    /// Asks a server, over TCP if its answer over UDP is truncated, and caches the answer for its TTL, unless something
    /// was forgotten meanwhile. An error code, and a TCP reply that is truncated or of another question, is a server
    /// failure; neither is cached.
    async fn query(&self, name: &Name, kind: RecordType) -> Result<Outcome, LookupError> {
        let question = Question { id: self.shared.rng.next_u64() as u16, name: name.clone(), kind };
        let query = question.encode().ok_or_else(|| failure(name, "it cannot be encoded in a query"))?;
        let generation = self.cache().generation();
        let (mut reply, server) = self.query_udp(&question, &query).await?;
        if reply == Reply::Truncated {
            reply = self.query_tcp(&question, &query, server).await?;
        }
        match reply {
            Reply::Answer(outcome) => {
                self.cache().insert_unless_forgotten(generation, name.clone(), kind, outcome.clone(), Instant::now());
                Ok(outcome)
            }
            Reply::Failed(code) => Err(failure(name, code)),
            Reply::Foreign | Reply::Truncated => Err(failure(name, "its answer does not match the question")),
        }
    }

    /// Queries the servers in turn over UDP until one answers, with up to `MAX_ATTEMPTS` datagrams from the same port,
    /// so that a late answer is accepted. A server that returns an error is not asked again, and its error is the reply
    /// if no other one answers (RFC 1035 §7.2). Returns the reply and its server; a timeout without any.
    async fn query_udp(&self, question: &Question, query: &[u8]) -> Result<(Reply, SocketAddr), LookupError> {
        let unreachable = |error: net::Error| failure(&question.name, error);
        let socket = self.shared.interface.bind_udp().await.map_err(unreachable)?;
        let mut failures: Vec<(Reply, SocketAddr)> = Vec::new();
        for server in self.shared.servers.iter().cycle().take(MAX_ATTEMPTS) {
            if failures.iter().any(|(_, failed)| failed == server) {
                continue;
            }
            if let Err(error) = socket.send_to(query, *server).await {
                tracing::debug!(%error, %server, "a DNS server cannot be reached; asking the next");
                continue;
            }
            match timeout(QUERY_TIMEOUT, self.reply(&socket, question)).await {
                Ok(Ok(failure @ (Reply::Failed(_), _))) => failures.push(failure),
                Ok(reply) => return reply.map_err(unreachable),
                Err(_) => {}
            }
        }
        failures.into_iter().next().ok_or_else(|| LookupError::Timeout(zone::text(&question.name)))
    }

    /// Waits, without a limit, for the reply of any of the servers, and returns it with its server; ignores datagrams
    /// from other senders or for other questions. RFC 5452 §9.1.
    async fn reply(&self, socket: &Datagrams, question: &Question) -> Result<(Reply, SocketAddr), net::Error> {
        loop {
            let (bytes, from) = socket.recv_from().await?;
            let reply = if self.shared.servers.contains(&from) { question.read(&bytes) } else { Reply::Foreign };
            if reply != Reply::Foreign {
                return Ok((reply, from));
            }
        }
    }

    /// Asks one server over TCP, which has no limit for answers; the reply may not match the question. RFC 7766 §5.
    async fn query_tcp(&self, question: &Question, query: &[u8], server: SocketAddr) -> Result<Reply, LookupError> {
        let unreachable = |error: net::Error| failure(&question.name, error);
        let session =
            TcpClientSession::new(query).ok_or_else(|| failure(&question.name, "the question is too long"))?;
        let stream = self.shared.interface.connect(server).await.map_err(unreachable)?;
        match Conn::new(stream, session, Stop::new()).event().await.map_err(unreachable)? {
            Some(answer) => Ok(question.read(&answer)),
            None => Err(unreachable(net::Error::Closed)),
        }
    }

    /// Locks the cache.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        lock(&self.shared.cache)
    }
}

/// The note of a question: its outcome, up to `MAX_NOTED_RECORDS` records as text, whether the answer was cached, and
/// the time it took.
fn note(
    (name, kind): (&Name, RecordType),
    found: &Result<Outcome, LookupError>,
    cached: bool,
    took: Duration,
) -> Lookup {
    let (outcome, answers, error) = match found {
        Ok(Outcome::Found { data, .. }) => {
            (LookupOutcome::Found, data.iter().take(MAX_NOTED_RECORDS).map(record_text).collect(), None)
        }
        Ok(Outcome::Alias { target, .. }) => (LookupOutcome::Alias, vec![zone::text(target)], None),
        Ok(Outcome::NoData { .. }) | Err(LookupError::NoData(_)) => (LookupOutcome::NoData, Vec::new(), None),
        Ok(Outcome::NoSuchName { .. }) | Err(LookupError::NoSuchName(_)) => (LookupOutcome::NxDomain, Vec::new(), None),
        Err(LookupError::ServerFailure { why, .. }) => (LookupOutcome::Failed, Vec::new(), Some(why.clone())),
        Err(LookupError::Timeout(_)) => (LookupOutcome::Timeout, Vec::new(), None),
    };
    let (name, kind) = (zone::text(name), kind.to_string());
    Lookup { name, kind, outcome, answers, cached, took_ms: milliseconds(took), error }
}

/// The data of a record as text: of an MX record, the preference and the host in lower case without the final dot;
/// others as in a zone file.
fn record_text(data: &RData) -> String {
    match data {
        RData::MX(mx) => format!("{} {}", mx.preference, zone::text(&mx.exchange)),
        data => data.to_string(),
    }
}

/// The exchange of an MX record; `None` for other types.
fn exchange(data: &RData) -> Option<Exchange> {
    match data {
        RData::MX(mx) => Some(Exchange { preference: mx.preference, host: zone::text(&mx.exchange) }),
        _ => None,
    }
}

/// A [`LookupError::ServerFailure`] for this name, with the reason.
fn failure(name: &Name, why: impl ToString) -> LookupError {
    LookupError::ServerFailure { name: zone::text(name), why: why.to_string() }
}

#[cfg(test)]
mod tests;
