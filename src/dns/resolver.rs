//! Asks the world's name server where mail goes: MX, then addresses. RFC 5321 §5.1, with the stub resolver of RFC 1034
//! §5.3.1, the care of RFC 5452, and a cache.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, timeout};

use super::answer::ALIASES_MAX;
use super::cache::Cache;
use super::question::{Outcome, Question, Reply};
use super::stream::Asking;
use super::zone;
use crate::net::{self, Conn, Datagrams, Interface, Stop};
use crate::world::Dice;

/// How long one datagram may stay unanswered.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many datagrams are sent before we give up.
const ATTEMPTS: usize = 3;

/// Where a domain takes its mail. RFC 5321 §5.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mx {
    /// At these hosts, the most preferred first. Hosts of equal preference stand in the order of their names; a sender
    /// shuffles them to spread the load.
    Hosts(Vec<Exchange>),
    /// At the host of the domain's own name, because it has no MX.
    Implicit,
    /// Nowhere. RFC 7505.
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

/// Why a name could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// NXDOMAIN, or not a domain name at all.
    #[error("{0} does not exist")]
    NoSuchName(String),
    /// The name exists, but has no address.
    #[error("{0} has no address")]
    NoData(String),
    /// The server answered that it cannot or will not say, or said nonsense.
    #[error("the name server cannot tell about {name}: {why}")]
    ServerFailure {
        /// The name asked about.
        name: String,
        /// What the server said.
        why: String,
    },
    /// No answer came.
    #[error("the name server did not answer about {0}")]
    Timeout(String),
}

impl LookupError {
    /// Whether it may go better later: the message waits instead of going back. RFC 5321 §5.1.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NoSuchName(_) | Self::NoData(_) => false,
            Self::ServerFailure { .. } | Self::Timeout(_) => true,
        }
    }
}

/// Asks the world's name servers and remembers the answers. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Resolver(Arc<Shared>);

struct Shared {
    interface: Interface,
    servers: Vec<SocketAddr>,
    dice: Dice,
    cache: Mutex<Cache>,
}

impl Resolver {
    /// Asks these servers in turn, from a host's place on the network; the dice draw the ids of the questions.
    pub fn new(interface: Interface, servers: Vec<SocketAddr>, dice: Dice) -> Self {
        Self(Arc::new(Shared { interface, servers, dice, cache: Mutex::default() }))
    }

    /// Where a domain takes its mail. RFC 5321 §5.1: only a domain that surely has no MX falls back to its own name.
    ///
    /// # Errors
    /// The domain does not exist, or the name server could not tell.
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
        hosts.dedup_by(|later, first| later.host == first.host);
        Ok(Mx::Hosts(hosts))
    }

    /// The addresses of a host, the nearest ones first, then those of IPv6.
    ///
    /// # Errors
    /// The host does not exist or has no address, or the name server could not tell about either family.
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
            self.0.interface.nearest_first(&mut addresses);
            return Ok(addresses);
        }
        let errors = [six.err(), four.err()].into_iter().flatten();
        // What may go better later weighs more than what is sure about one family only.
        Err(errors.max_by_key(LookupError::is_temporary).unwrap_or_else(|| LookupError::NoData(host.to_owned())))
    }

    /// The records of a type, at the end of the aliases.
    async fn lookup(&self, text: &str, kind: RecordType) -> Result<Vec<RData>, LookupError> {
        let mut name = zone::parse(text).map_err(|_| LookupError::NoSuchName(text.to_owned()))?;
        for _ in 0..=ALIASES_MAX {
            match self.recall_or_ask(&name, kind).await? {
                Outcome::Found { data, .. } => return Ok(data),
                Outcome::Alias { target, .. } => name = target,
                Outcome::NoData { .. } => return Err(LookupError::NoData(text.to_owned())),
                Outcome::NoSuchName { .. } => return Err(LookupError::NoSuchName(text.to_owned())),
            }
        }
        Err(failure(&name, "its aliases go in a circle"))
    }

    async fn recall_or_ask(&self, name: &Name, kind: RecordType) -> Result<Outcome, LookupError> {
        let known = self.cache().find(name, kind, Instant::now());
        match known {
            Some(known) => Ok(known),
            None => Box::pin(self.ask(name, kind)).await,
        }
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Outcome, LookupError> {
        let question = Question { id: self.0.dice.draw() as u16, name: name.clone(), kind };
        let query = question.encode().ok_or_else(|| failure(name, "it cannot be asked about"))?;
        let (mut reply, server) = self.ask_by_datagram(&question, &query).await?;
        if reply == Reply::Truncated {
            reply = self.ask_by_stream(&question, &query, server).await?;
        }
        match reply {
            Reply::Answer(outcome) => {
                self.cache().keep(name.clone(), kind, outcome.clone(), Instant::now());
                Ok(outcome)
            }
            Reply::Failed(code) => Err(failure(name, code)),
            Reply::Foreign | Reply::Truncated => Err(failure(name, "its answer does not fit the question")),
        }
    }

    /// Asks over UDP, again and again from the same port, so that a late answer counts too.
    async fn ask_by_datagram(&self, question: &Question, query: &[u8]) -> Result<(Reply, SocketAddr), LookupError> {
        let unreachable = |error: net::Error| failure(&question.name, error);
        let socket = self.0.interface.bind_udp(0).await.map_err(unreachable)?;
        for server in self.0.servers.iter().cycle().take(ATTEMPTS) {
            socket.send_to(query, *server).await.map_err(unreachable)?;
            if let Ok(reply) = timeout(PATIENCE, self.reply(&socket, question)).await {
                return reply.map_err(unreachable);
            }
        }
        Err(LookupError::Timeout(zone::text(&question.name)))
    }

    /// Waits for the reply, passing over what comes from elsewhere or answers something else. RFC 5452 §9.1.
    async fn reply(&self, socket: &Datagrams, question: &Question) -> Result<(Reply, SocketAddr), net::Error> {
        loop {
            let (bytes, from) = socket.recv_from().await?;
            let reply = if self.0.servers.contains(&from) { question.read(&bytes) } else { Reply::Foreign };
            if reply != Reply::Foreign {
                return Ok((reply, from));
            }
        }
    }

    /// Asks over TCP, where answers of any length fit. RFC 7766 §5.
    async fn ask_by_stream(&self, question: &Question, query: &[u8], server: SocketAddr) -> Result<Reply, LookupError> {
        let unreachable = |error: net::Error| failure(&question.name, error);
        let asking = Asking::new(query).ok_or_else(|| failure(&question.name, "the question is too long"))?;
        let stream = self.0.interface.connect(server).await.map_err(unreachable)?;
        match Conn::new(stream, asking, Stop::new()).event().await.map_err(unreachable)? {
            Some(answer) => Ok(question.read(&answer)),
            None => Err(unreachable(net::Error::Closed)),
        }
    }

    /// A panic elsewhere does not make the cache wrong: each change to it is whole.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exchange(data: &RData) -> Option<Exchange> {
    match data {
        RData::MX(mx) => Some(Exchange { preference: mx.preference, host: zone::text(&mx.exchange) }),
        _ => None,
    }
}

fn failure(name: &Name, why: impl ToString) -> LookupError {
    LookupError::ServerFailure { name: zone::text(name), why: why.to_string() }
}

#[cfg(test)]
mod tests;
