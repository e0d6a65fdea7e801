//! An MTA whose SMTP server is the `mailin-embedded` crate (blocking, one thread per connection), in front of our queue.
//!
//! It knows 8BITMIME and no other extension, takes no null reverse-path, no quoted local part and no parameter that it
//! does not know, and answers one command at a time. It does not pass on the port of a peer, so a host of the world is
//! known by what it calls itself. It never ends: what is turned off says 421 until it is turned on again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use mailin_embedded::{Handler, Response, Server, SslConfig, response};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Mta;
use super::expand::AliasExpansion;
use super::receive::IncomingMessage;
use crate::journey::Protocol;
use crate::mail::{Address, Body, Envelope, Message, Recipient, has_bare_line_end};
use crate::net::Stop;
use crate::smtp::server::Origin;
use crate::sync::lock;
use crate::world::Host;

/// Conversations at once; each has a thread.
const THREADS: u32 = 32;

/// A running server of this kind. Cheap to clone.
#[derive(Clone)]
pub struct Mailin {
    at: SocketAddr,
    stop_switch: StopSwitch,
}

/// Open until the token in it fires.
type StopSwitch = Arc<Mutex<Stop>>;

impl Mailin {
    /// Serves at the listener in a thread of its own until the process ends, and takes mail until `stop`; after that,
    /// it answers 421. `at` is the address that [`Mailin::address`] returns.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(mta: Mta, listener: TcpListener, at: SocketAddr, stop: Stop) -> std::io::Result<Self> {
        let stop_switch = Arc::new(Mutex::new(stop));
        let handler = MailinHandler::new(mta, stop_switch.clone());
        let name = handler.mta.fqdn().to_owned();
        // A detached thread: the crate has no way to end it.
        std::thread::Builder::new().name("mailin".to_owned()).spawn(move || {
            let mut server = Server::new(handler);
            server.with_name(name).with_num_threads(THREADS).with_tcp_listener(listener);
            let ended = server.with_ssl(SslConfig::None).map(drop).and_then(|()| server.serve());
            if let Err(error) = ended {
                tracing::error!(%error, "mailin ended");
            }
        })?;
        Ok(Self { at, stop_switch })
    }

    /// Takes mail again, until `stop`, which replaces the one before.
    pub fn reopen(&self, stop: Stop) {
        *lock(&self.stop_switch) = stop;
    }

    /// The address that [`Mailin::start`] was given as `at`.
    pub fn address(&self) -> SocketAddr {
        self.at
    }
}

/// Answers for one conversation.
#[derive(Clone)]
struct MailinHandler {
    mta: Mta,
    stop_switch: StopSwitch,
    runtime: Handle,
    hello: String,
    peer: Option<IpAddr>,
    envelope: Envelope,
    data: Vec<u8>,
    /// More came than may be.
    too_large: bool,
    started_at: Instant,
}

impl MailinHandler {
    fn new(mta: Mta, stop_switch: StopSwitch) -> Self {
        Self {
            mta,
            stop_switch,
            runtime: Handle::current(),
            hello: String::new(),
            peer: None,
            envelope: Envelope::default(),
            data: Vec::new(),
            too_large: false,
            started_at: Instant::now(),
        }
    }

    /// Whether the server takes no mail now, since its `stop` has fired.
    fn is_stopped(&self) -> bool {
        lock(&self.stop_switch).is_cancelled()
    }

    /// The host of the world that the peer says it is; `None` if HELO named none.
    fn host(&self) -> Option<&Host> {
        self.mta.context().world.hosts.values().find(|host| host.fqdn.eq_ignore_ascii_case(&self.hello))
    }

    /// The reply to RCPT for this address. In a domain of this host: OK for a mailbox, an alias, or any address if
    /// there is a catch-all; 550 if it is unknown, or an alias that leads back to itself only. In any other domain: OK
    /// if this host relays for the host that HELO named, else 550. RFC 5321 §3.3.
    fn recipient_reply(&self, address: &Address) -> Response {
        let context = self.mta.context();
        let relays = || self.host().is_some_and(|host| context.settings.relay_from.hosts.contains(&host.name));
        match self.mta.is_local(address.domain()) {
            true if AliasExpansion::of(&self.mta, &address.clone().into())
                .is_some_and(|expansion| expansion.has_no_destination()) =>
            {
                Response::custom(550, "That name leads back to itself".to_owned())
            }
            true if context.world.accepts(address) => response::OK,
            true => response::NO_MAILBOX,
            false if relays() => response::OK,
            false => Response::custom(550, "Not local, and this host does not relay for you".to_owned()),
        }
    }

    /// Queues the message that was received, whose data and envelope it takes, and returns the reply; 250 takes
    /// responsibility (RFC 5321 §6.1). 552 if the message is too large, 554 for a bare CR or LF or a loop, 452 if it
    /// cannot be stored. Blocks the thread until the message is durable.
    fn store(&mut self) -> Response {
        let (data, envelope) = (std::mem::take(&mut self.data), std::mem::take(&mut self.envelope));
        if self.too_large {
            return response::NO_STORAGE;
        }
        // RFC 5321 §2.3.8: the next host might take it for a line end.
        if has_bare_line_end(&data) {
            return Response::custom(554, "A lone CR or LF is no line end".to_owned());
        }
        let origin = self.origin();
        let incoming = match IncomingMessage::new(&self.mta, &origin, envelope, Message::new(data.into())) {
            Ok(incoming) => incoming,
            Err(why) => return Response::custom(554, why.to_owned()),
        };
        match self.runtime.block_on(incoming.enqueue(&self.mta, &origin)) {
            Ok(receipt) => Response::custom(250, format!("OK: queued as {}", receipt.id)),
            Err(_) => response::OUT_OF_SPACE,
        }
    }

    /// Where the message comes from, for its trace field and its journey: the peer is at the first address of the host
    /// that HELO named, or else where its connection came from.
    fn origin(&self) -> Origin<'_> {
        let host = self.host();
        let address = host.and_then(|host| host.addresses.first().copied());
        Origin {
            protocol: Protocol::Smtp,
            hello: &self.hello,
            peer: address.or(self.peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            host,
            with: "SMTP".to_owned(),
            tls: None,
            user: None,
            began: self.started_at,
            session: None,
        }
    }
}

impl Handler for MailinHandler {
    /// Notes name and address of the peer and accepts them; 421 while stopped.
    fn helo(&mut self, ip: IpAddr, domain: &str) -> Response {
        if self.is_stopped() {
            return response::NO_SERVICE;
        }
        (self.hello, self.peer) = (domain.to_owned(), Some(ip));
        response::OK
    }

    /// Begins a new envelope with this sender; 421 while stopped, 553 for an invalid address.
    fn mail(&mut self, _ip: IpAddr, _domain: &str, from: &str) -> Response {
        if self.is_stopped() {
            return response::NO_SERVICE;
        }
        let Ok(from) = from.parse() else { return response::BAD_MAILBOX };
        (self.envelope, self.started_at) =
            (Envelope { reverse_path: Some(from), ..Envelope::default() }, Instant::now());
        response::OK
    }

    /// Adds the recipient to the envelope, once, if this host takes mail for it; 553 for an invalid address, 452 if
    /// there are too many, else the refusal.
    fn rcpt(&mut self, to: &str) -> Response {
        let Ok(address) = to.parse::<Address>() else { return response::BAD_MAILBOX };
        if self.mta.context().settings.policy.recipients_max <= self.envelope.recipients.len() {
            return Response::custom(452, "Too many recipients".to_owned());
        }
        let reply = self.recipient_reply(&address);
        let recipient = Recipient::from(address);
        if !reply.is_error && !self.envelope.recipients.contains(&recipient) {
            self.envelope.recipients.push(recipient);
        }
        reply
    }

    /// Accepts and clears the data; notes in the envelope whether the body is 8-bit.
    fn data_start(&mut self, _domain: &str, _from: &str, is8bit: bool, _to: &[String]) -> Response {
        if is8bit {
            self.envelope.body = Body::EightBit;
        }
        (self.data, self.too_large) = (Vec::new(), false);
        response::OK
    }

    /// Appends a line, given with its line end, to the data, unless that exceeds the maximum size; then the message is
    /// too large, and no further line is kept. Never fails.
    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.too_large |= self.mta.context().settings.size_max < self.data.len() + line.len();
        if !self.too_large {
            self.data.extend_from_slice(line);
        }
        Ok(())
    }

    /// Queues the message and returns the reply; 421 while stopped.
    fn data_end(&mut self) -> Response {
        if self.is_stopped() { response::NO_SERVICE } else { self.store() }
    }
}
