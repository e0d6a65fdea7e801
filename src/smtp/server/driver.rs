//! The server: drives the session of each connection, and asks a [`Policy`] for what the session cannot decide.
//!
//! ```text
//!   client ◀─▶ Conn ◀─▶ Session ── event ──▶ injected fault, or else Policy
//!                          ▲                              │
//!                          └────────── reply ◀────────────┘
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Reply;
use super::super::reply_faults::{FaultContext, FaultPoint, ReplyFaults};
use super::{Config, Event, Origin, Protocol, Session, Tls};
use crate::journey::{self, Recorder};
use crate::mail::{Address, Envelope, Message, Recipient, ReversePath};
use crate::net::{Conn, Error, Service, Stop, Stream, TlsAcceptor, UploadBudget};
use crate::world::{Clock, HostName, Rng, World};

/// The decisions of a server, and what it stores. Each connection has a clone of its own.
pub trait Policy: Clone + Send + Sync + 'static {
    /// The name, TLS acceptor, upload budget, clock and random number generator of the host that greets.
    fn resources(&self) -> Resources<'_>;

    /// The configuration of a session: protocol and limits. The driver replaces host name, TLS and the budget of
    /// uploads; STARTTLS is offered if `starttls` is set and the host has a certificate.
    fn config(&self) -> Config;

    /// The recorder of the conversation with a client at this address; by default one that records nothing.
    fn record(&self, _client: IpAddr) -> Recorder {
        Recorder::default()
    }

    /// A refusal in place of the greeting; `None` accepts the client.
    fn connect(&mut self, _peer: IpAddr) -> Option<Reply> {
        None
    }

    /// A refusal of EHLO, HELO or LHLO with this name; `None` accepts it.
    fn hello(&mut self, _client: Client<'_>, _name: &str) -> Option<Reply> {
        None
    }

    /// Behind a public port: the host that takes a message from this sender, which answers from MAIL on. `None` where
    /// the host that greets answers everything.
    fn answering_host(&self, _client: Client<'_>, _from: &ReversePath) -> Option<HostName> {
        None
    }

    /// The password of a user who logs in, with which the session compares what the client sends; `None` if there is no
    /// such user.
    fn secret(&self, _user: &str) -> Option<String> {
        None
    }

    /// A refusal of MAIL; `None` accepts it.
    fn mail(&mut self, _client: Client<'_>, _from: &ReversePath) -> Option<Reply> {
        None
    }

    /// The reply to RCPT. A positive one accepts the recipient, and the session adds it to the envelope.
    fn rcpt(&mut self, client: Client<'_>, from: &ReversePath, recipient: &Recipient) -> Reply;

    /// A refusal of DATA, or of the first BDAT; `None` accepts it. The envelope has the accepted recipients.
    fn data(&mut self, _client: Client<'_>, _envelope: &Envelope) -> Option<Reply> {
        None
    }

    /// Stores a message, then replies: once, or over LMTP once for each recipient in the order of the envelope (RFC
    /// 2033 §4.2). A positive reply takes responsibility for the message (RFC 5321 §6.1).
    fn message(
        &mut self,
        client: Client<'_>,
        envelope: Envelope,
        message: Message,
    ) -> impl Future<Output = Vec<Reply>> + Send;
}

/// What the driver uses of the host that greets.
#[derive(Clone, Copy)]
pub struct Resources<'a> {
    /// The host's name in the DNS.
    pub fqdn: &'a str,
    /// Accepts TLS with its certificate.
    pub tls: &'a TlsAcceptor,
    /// The memory for messages that are being received.
    pub uploads: &'a UploadBudget,
    /// Its clock.
    pub clock: Clock,
    /// Its random number generator.
    pub rng: &'a Rng,
}

/// The client of a connection, as far as the session knows it.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    session: &'a Session,
    peer: IpAddr,
    began: Instant,
}

impl<'a> Client<'a> {
    /// The client at the other end of `conn`; `began` is when its transaction began.
    fn of(conn: &'a Conn<Session>, began: Instant) -> Self {
        Self { session: &conn.machine, peer: conn.stream().peer().ip(), began }
    }

    /// The IP address of the client.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The client's name in EHLO, HELO or LHLO; `None` until one was accepted.
    pub fn hello(&self) -> Option<&'a str> {
        self.session.hello()
    }

    /// The user who logged in; `None` without a login.
    pub fn user(&self) -> Option<&'a str> {
        self.session.user()
    }

    /// The origin of a message that the client has just sent, for its journey, its `Received` field and its event.
    /// `Origin::host` is the host of `world` at the client's address.
    pub fn origin(&self, world: &'a World) -> Origin<'a> {
        Origin {
            protocol: match self.session.config.protocol {
                Protocol::Smtp => journey::Protocol::Smtp,
                Protocol::Submission => journey::Protocol::Submission,
                Protocol::Lmtp => journey::Protocol::Lmtp,
            },
            hello: self.hello().unwrap_or_default(),
            peer: self.peer,
            host: world.host_at(self.peer),
            with: self.session.with_protocol(),
            tls: self.session.tls(),
            user: self.user(),
            began: self.began,
            session: Some(&self.session.recorder),
        }
    }
}

/// A server of SMTP, submission or LMTP. A [`Service`]; cheap to clone.
#[derive(Clone)]
pub struct Server<P> {
    policy: P,
    faults: ReplyFaults,
    /// The hosts behind a public port.
    hosts: Arc<BTreeMap<HostName, PublicHost>>,
}

/// A host behind a public port, which may belong to another one.
#[derive(Clone)]
pub struct PublicHost {
    /// The address at which programs outside the world see it.
    pub address: IpAddr,
    /// The faults that override its replies.
    pub faults: ReplyFaults,
}

impl<P: Policy> Server<P> {
    /// A server with this policy, whose replies these faults override.
    pub fn new(policy: P, faults: ReplyFaults) -> Self {
        Self { policy, faults, hosts: Arc::default() }
    }

    /// The same server at a public port, behind which are these hosts: from MAIL on, the faults and the address of the
    /// one that [`Policy::answering_host`] names apply.
    #[must_use]
    pub fn public(self, hosts: BTreeMap<HostName, PublicHost>) -> Self {
        Self { hosts: Arc::new(hosts), ..self }
    }
}

impl<P: Policy> Service for Server<P> {
    /// Serves a client until the connection ends, and records the session and how it ended.
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let recorder = self.policy.record(stream.peer().ip());
        recorder.encrypted(stream.tls());
        let ended = match Connection::open(self, stream, stop, recorder.clone()) {
            Ok(connection) => Box::new(connection).run().await,
            Err(error) => Err(error),
        };
        recorder.end(ended.as_ref().copied());
        ended
    }

    /// Records a session of this client that ended with the error, after this time.
    fn handshake_failed(&self, client: IpAddr, took: Duration, error: &Error) {
        self.policy.record(client).end_after(took, error);
    }

    /// Reply 421, with its line end, to a client that has too many connections.
    fn too_many_reply(&self) -> &'static str {
        "421 4.7.0 Too many connections from your address, try again later\r\n"
    }
}

/// Handles one connection.
struct Connection<P> {
    policy: P,
    /// The faults of the host that answers.
    faults: ReplyFaults,
    /// Those of the host that greets.
    greeting_faults: ReplyFaults,
    hosts: Arc<BTreeMap<HostName, PublicHost>>,
    conn: Conn<Session>,
    /// When the current transaction began.
    began: Instant,
}

impl<P: Policy> Connection<P> {
    /// Starts the session, with the greeting or with the refusal of an injected fault or the policy.
    ///
    /// # Errors
    /// An injected fault closes the connection before the greeting.
    fn open(server: Server<P>, stream: Stream, stop: Stop, recorder: Recorder) -> Result<Self, Error> {
        let Server { mut policy, faults, hosts } = server;
        let (peer, now) = (stream.peer().ip(), policy.resources().clock.now());
        let asked = FaultContext { point: FaultPoint::Greeting, peer, sender: None, recipient: None, now };
        let injected = faults.reply_override(asked).inspect_err(|_| recorder.broken_off())?;
        let refusal = injected.or_else(|| policy.connect(peer));
        let Resources { fqdn, tls, uploads, rng, .. } = policy.resources();
        let config = policy.config();
        let tls = match stream.tls() {
            Some(active) => Tls::Active(active),
            None if config.starttls && tls.offers_tls() => Tls::Offered,
            None => Tls::Absent,
        };
        let config = Config { hostname: fqdn.to_owned(), tls, uploads: uploads.clone(), ..config };
        let protocol = if config.protocol == Protocol::Lmtp { "LMTP" } else { "ESMTP" };
        let greeting = refusal.unwrap_or_else(|| Reply::plain(220, &format!("{fqdn} {protocol} Postroad")));
        let session = Session::recorded(config, &greeting, format!("{:016x}", rng.next_u64()), recorder);
        let (conn, greeting_faults) = (Conn::new(stream, session, stop), faults.clone());
        Ok(Self { conn, policy, faults, greeting_faults, hosts, began: Instant::now() })
    }

    /// Answers the events of the session until the connection ends: with the reply of an injected fault, else with the
    /// decision of the policy.
    async fn run(mut self: Box<Self>) -> Result<(), Error> {
        while let Some(event) = self.conn.event().await? {
            self.follow_client(&event);
            match self.intercept(&event)? {
                Some(reply) => self.conn.machine.answer(reply),
                None => self.decide(event).await?,
            }
        }
        Ok(())
    }

    /// Records the client's name and user. At a public port of several hosts it also selects the host that answers:
    /// from MAIL on, the faults and the link of the host that takes the message apply; from EHLO on, the faults of the
    /// host that greets.
    fn follow_client(&mut self, event: &Event) {
        match event {
            Event::Hello { name, .. } => {
                self.conn.machine.recorder.hello(name);
                self.faults = self.greeting_faults.clone();
            }
            Event::NeedSecret(user) => self.conn.machine.recorder.login(user),
            Event::Mail { envelope, .. } => {
                let client = Client::of(&self.conn, self.began);
                let host = self.policy.answering_host(client, &envelope.reverse_path);
                if let Some(host) = host.and_then(|host| self.hosts.get(&host)) {
                    self.faults = host.faults.clone();
                    self.conn.answer_from(host.address);
                }
            }
            _ => {}
        }
    }

    /// The injected reply that replaces the policy's decision, if any. Always `None` for DATA, STARTTLS and VRFY, which
    /// have no faults, and for a message, whose faults are applied when it is stored.
    ///
    /// # Errors
    /// An injected fault closes the connection.
    fn intercept(&self, event: &Event) -> Result<Option<Reply>, Error> {
        match event {
            Event::Hello { .. } => self.fault(FaultPoint::Hello, None, None),
            Event::Mail { envelope, .. } => self.fault(FaultPoint::Mail, envelope.reverse_path.as_ref(), None),
            Event::Rcpt(recipient) => {
                let sender = self.conn.machine.envelope().and_then(|envelope| envelope.reverse_path.as_ref());
                self.fault(FaultPoint::Rcpt, sender, Some(&recipient.address))
            }
            Event::NeedSecret(_) => self.fault(FaultPoint::Auth, None, None),
            // A message has a reply for each recipient, or one for all: `message` asks for the faults.
            Event::Message { .. } | Event::Data | Event::StartTls | Event::Verify(_) => Ok(None),
        }
    }

    /// The injected reply of the answering host at this point of the session, for this sender and recipient as far as
    /// they are known; `None` if no fault applies.
    ///
    /// # Errors
    /// An injected fault closes the connection, which is recorded.
    fn fault(
        &self,
        point: FaultPoint,
        sender: Option<&Address>,
        recipient: Option<&Address>,
    ) -> Result<Option<Reply>, Error> {
        let (peer, now) = (self.conn.stream().peer().ip(), self.policy.resources().clock.now());
        let injected = self.faults.reply_override(FaultContext { point, peer, sender, recipient, now });
        injected.inspect_err(|_| self.conn.machine.recorder.broken_off())
    }

    /// Asks the policy about the event and answers the session with its decision, by default an acceptance; a message
    /// is stored, and MAIL begins the time of a transaction. VRFY is always answered with 252, and STARTTLS by the
    /// handshake.
    ///
    /// # Errors
    /// The TLS handshake fails, or an injected fault closes the connection.
    async fn decide(&mut self, event: Event) -> Result<(), Error> {
        let (client, envelope) = (Client::of(&self.conn, self.began), self.conn.machine.envelope());
        let (policy, accepted) = (&mut self.policy, Reply::plain(250, ""));
        let reply = match event {
            Event::Hello { name, .. } => policy.hello(client, &name).unwrap_or(accepted),
            Event::Mail { envelope, .. } => {
                let refusal = policy.mail(client, &envelope.reverse_path);
                self.began = Instant::now();
                refusal.unwrap_or(Reply::new(250, (2, 1, 0), "Sender OK"))
            }
            Event::Rcpt(recipient) => {
                let from = envelope.map(|envelope| &envelope.reverse_path);
                policy.rcpt(client, from.unwrap_or(&None), &recipient)
            }
            Event::Data => envelope.and_then(|envelope| policy.data(client, envelope)).unwrap_or(accepted),
            // RFC 5321 §3.5.3: whether a mailbox exists is not disclosed without a message to it.
            Event::Verify(_) => Reply::new(252, (2, 5, 0), "Cannot verify, but will try to deliver"),
            Event::NeedSecret(user) => {
                self.conn.machine.secret(policy.secret(&user).as_deref());
                return Ok(());
            }
            Event::StartTls => return self.start_tls().await,
            Event::Message { envelope, message } => {
                let replies = self.message(envelope, message).await?;
                self.conn.machine.answer_each(&replies);
                return Ok(());
            }
        };
        self.conn.machine.answer(reply);
        Ok(())
    }

    /// Does the TLS handshake, records its version and cipher, and continues the session encrypted.
    ///
    /// # Errors
    /// The handshake fails.
    async fn start_tls(&mut self) -> Result<(), Error> {
        self.conn.accept_tls(self.policy.resources().tls).await?;
        let description = self.conn.stream().tls().unwrap_or_default();
        self.conn.machine.recorder.encrypted(Some(description.clone()));
        self.conn.machine.encrypted(description);
        Ok(())
    }

    /// Stores a message by the policy; returns one reply, or over LMTP one for each recipient. Recipients that a fault
    /// refuses are not passed to the policy, which is not asked if all are refused; another fault may replace a
    /// positive reply once the message is stored.
    ///
    /// # Errors
    /// An injected fault closes the connection.
    async fn message(&mut self, mut envelope: Envelope, message: Message) -> Result<Vec<Reply>, Error> {
        let sender = envelope.reverse_path.clone();
        // Who a reply is for: a recipient, or all of them.
        let subjects: Vec<Option<Address>> = match self.conn.machine.config.protocol {
            Protocol::Lmtp => envelope.recipients.iter().map(|recipient| Some(recipient.address.clone())).collect(),
            Protocol::Smtp | Protocol::Submission => vec![None],
        };
        let mut refusals = Vec::new();
        for subject in &subjects {
            refusals.push(self.fault(FaultPoint::Data, sender.as_ref(), subject.as_ref())?);
        }
        if refusals.iter().all(Option::is_some) {
            return Ok(refusals.into_iter().flatten().collect());
        }
        if subjects.len() == envelope.recipients.len() {
            let mut refused = refusals.iter().map(Option::is_some);
            envelope.recipients.retain(|_| refused.next() == Some(false));
        }
        let client = Client::of(&self.conn, self.began);
        let mut stored = self.policy.message(client, envelope, message).await.into_iter();
        let mut replies = Vec::new();
        for (subject, refusal) in subjects.iter().zip(refusals) {
            let reply = match refusal {
                Some(refusal) => refusal,
                None => stored.next().expect("the policy replies for each recipient"),
            };
            let fault = match reply.is_positive() {
                true => self.fault(FaultPoint::Stored, sender.as_ref(), subject.as_ref())?,
                false => None,
            };
            replies.push(fault.unwrap_or(reply));
        }
        Ok(replies)
    }
}

/// The transient refusal of a message that could not be stored: 452 because the disk is full, or 451 for another
/// reason. RFC 3463 §3.4.
pub fn storage_failure(is_disk_full: bool) -> Reply {
    match is_disk_full {
        true => Reply::new(452, (4, 3, 1), "The disk is full, try again later"),
        false => Reply::new(451, (4, 3, 0), "Cannot store the message now, try again later"),
    }
}
