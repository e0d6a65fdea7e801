//! Takes messages over SMTP: who may send what to whom, and durable before `250`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Mail, Mta};
use crate::journey::{Protocol, Step};
use crate::mail::{Address, Dialogue, Envelope, JourneyId, Letter, QueueId, Recipient, Stamp};
use crate::net::{Conn, Error, Identity, Service, Stop, Stream};
use crate::smtp::server::{self, Event, Session};
use crate::smtp::whims::{Asked, Moment, Whim};
use crate::smtp::{BareLineEnds, Reply};
use crate::world::{HostName, rfc5322_date};

/// A message that passed so many hosts is in a loop. RFC 5321 §6.3 asks for at least 100.
pub(super) const HOPS_MAX: usize = 100;
/// Recipients of one message. RFC 5321 §4.5.3.1.8 asks for at least 100.
pub(super) const RECIPIENTS_MAX: usize = 1000;
/// Errors after which a peer is let go.
const ERRORS_MAX: usize = 20;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Port 25 of a host, for other hosts.
    Relay,
    /// Ports 587 and 465, for users who log in. RFC 6409.
    Submission,
    /// Port 25 for programs on this machine: no login needed. Never on an address that others can reach.
    Open,
}

/// The receiving side of one MTA, or of all of them behind one port. A [`Service`]; cheap to clone.
#[derive(Clone)]
pub struct Reception {
    kind: Kind,
    site: Site,
}

#[derive(Clone)]
enum Site {
    One(Mta),
    /// Each message starts at its sender's provider, or else at the entry.
    Any {
        mtas: Arc<BTreeMap<HostName, Mta>>,
        entry: Mta,
    },
}

impl Reception {
    /// Receives for one host.
    pub fn of(mta: Mta, kind: Kind) -> Self {
        Self { kind, site: Site::One(mta) }
    }

    /// Receives for all of these hosts: a message starts at the provider of who logged in or, without login, of its
    /// reverse-path; at `entry` if there is none.
    pub fn front(mtas: Arc<BTreeMap<HostName, Mta>>, entry: Mta, kind: Kind) -> Self {
        Self { kind, site: Site::Any { mtas, entry } }
    }

    fn face(&self) -> &Mta {
        match &self.site {
            Site::One(mta) | Site::Any { entry: mta, .. } => mta,
        }
    }

    /// The host that takes a message of this sender.
    fn home(&self, sender: Option<&Address>) -> &Mta {
        let Site::Any { mtas, entry } = &self.site else { return self.face() };
        let served = sender.and_then(|sender| entry.setup().world.domains.get(sender.domain()));
        served.and_then(|served| served.mx.iter().find_map(|host| mtas.get(host))).unwrap_or(entry)
    }

    fn config(&self, tls: Option<String>) -> server::Config {
        let setup = self.face().setup();
        server::Config {
            hostname: self.face().fqdn().to_owned(),
            protocol: match self.kind {
                Kind::Submission => server::Protocol::Submission,
                Kind::Relay | Kind::Open => server::Protocol::Smtp,
            },
            size_max: setup.settings.size_max as u64,
            recipients_max: RECIPIENTS_MAX,
            errors_max: ERRORS_MAX,
            tls: tls.map_or(server::Tls::Offered, server::Tls::Active),
            auth: match self.kind {
                Kind::Submission => server::Auth::Required,
                Kind::Open => server::Auth::Offered,
                Kind::Relay => server::Auth::Off,
            },
            // Doors of 127.0.0.1 are reached by nobody who could listen in.
            plain_login: matches!(self.site, Site::Any { .. }),
            bare_line_ends: BareLineEnds::Refuse,
            dialogue: setup.recorder.wants_dialogues(),
            ..server::Config::default()
        }
    }
}

impl Service for Reception {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        Conversation::new(self, stream, stop).run().await
    }

    fn farewell(&self) -> &'static str {
        "421 4.7.0 Too many connections from your address, try again later\r\n"
    }
}

/// One connection.
struct Conversation {
    reception: Reception,
    conn: Conn<Session>,
    /// When the transaction under way began.
    began: Instant,
}

impl Conversation {
    fn new(reception: Reception, stream: Stream, stop: Stop) -> Self {
        let (greeting, nonce) =
            (format!("{} ESMTP Postroad", reception.face().fqdn()), reception.face().setup().dice.draw());
        let config = reception.config(stream.tls());
        let session = Session::new(config, &Reply::plain(220, &greeting), format!("{nonce:016x}"));
        Self { conn: Conn::new(stream, session, stop), reception, began: Instant::now() }
    }

    async fn run(mut self) -> Result<(), Error> {
        while let Some(event) = self.conn.event().await? {
            match event {
                Event::Hello { .. } => self.conn.machine.answer(Reply::plain(250, "")),
                Event::StartTls => self.start_tls().await?,
                Event::Who(user) => self.check(&user),
                Event::Mail { .. } => {
                    self.began = Instant::now();
                    let whim = self.whim(Moment::Mail, self.sender(), None);
                    self.conn.machine.answer(obey(whim)?.unwrap_or(Reply::new(250, (2, 1, 0), "Sender OK")));
                }
                Event::Rcpt(recipient) => {
                    let whim = self.whim(Moment::Rcpt, self.sender(), Some(&recipient.address));
                    let reply = obey(whim)?.unwrap_or_else(|| self.rcpt(&recipient));
                    self.conn.machine.answer(reply);
                }
                Event::Message { envelope, data } => self.message(envelope, data).await?,
                // RFC 5321 §3.5.3: nobody is told who has a mailbox here without sending to it.
                Event::Verify(_) => {
                    self.conn.machine.answer(Reply::new(252, (2, 5, 0), "Cannot verify, but will try to deliver"));
                }
            }
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), Error> {
        let identity: Identity = self.reception.face().setup().identity.clone();
        self.conn.accept_tls(&identity).await?;
        let description = self.conn.stream().tls().unwrap_or_default();
        self.conn.machine.encrypted(description);
        Ok(())
    }

    fn check(&mut self, user: &str) {
        let world = &self.reception.face().setup().world;
        let secret = world.secret(user).map(|(_, secret)| secret.to_owned());
        self.conn.machine.secret(secret.as_deref());
    }

    /// RFC 5321 §3.3: takes mail for our own mailboxes from everybody, for others only from whom we relay for.
    fn rcpt(&self, recipient: &Recipient) -> Reply {
        let (mta, address) = (self.home(), &recipient.address);
        let world = &mta.setup().world;
        let ours = address.domain().is_empty() || mta.is_local(address.domain());
        match ours {
            true if address.domain().is_empty() => Reply::new(250, (2, 1, 5), "Postmaster OK"),
            true if world.has_mailbox(address) => Reply::new(250, (2, 1, 5), "Recipient OK"),
            true => Reply::new(550, (5, 1, 1), &format!("<{address}> has no mailbox here")),
            false if self.may_relay() => Reply::new(250, (2, 1, 5), "Recipient OK, will relay"),
            false => {
                Reply::new(550, (5, 7, 1), &format!("<{address}> is not local, and this host does not relay for you"))
            }
        }
    }

    fn home(&self) -> &Mta {
        let user = self.conn.machine.user().and_then(|user| user.parse().ok());
        let sender = self.conn.machine.envelope().and_then(|envelope| envelope.reverse_path.as_ref());
        self.reception.home(user.as_ref().or(sender))
    }

    fn may_relay(&self) -> bool {
        let (peer, setup) = (self.conn.stream().peer().ip(), self.reception.face().setup());
        match self.reception.kind {
            Kind::Submission => self.conn.machine.user().is_some(),
            Kind::Open => {
                self.conn.machine.user().is_some() || peer.is_loopback() || setup.world.host_at(peer).is_some()
            }
            Kind::Relay => setup.world.host_at(peer).is_some_and(|host| setup.settings.relay_from.contains(&host.name)),
        }
    }

    async fn message(&mut self, envelope: Envelope, data: Bytes) -> Result<(), Error> {
        let sender = envelope.reverse_path.clone();
        let reply = match obey(self.whim(Moment::Data, sender.as_ref(), None))? {
            Some(reply) => reply,
            None => match self.store(envelope, data).await {
                Ok(reply) => obey(self.whim(Moment::Stored, sender.as_ref(), None))?.unwrap_or(reply),
                Err(reply) => reply,
            },
        };
        self.conn.machine.answer(reply);
        Ok(())
    }

    fn sender(&self) -> Option<&Address> {
        self.conn.machine.envelope().and_then(|envelope| envelope.reverse_path.as_ref())
    }

    /// What a fault makes of the moment.
    fn whim(&self, moment: Moment, sender: Option<&Address>, recipient: Option<&Address>) -> Option<Whim> {
        let setup = self.reception.face().setup();
        let peer = self.conn.stream().peer().ip();
        setup.whims.strike(Asked { moment, peer, sender, recipient, now: setup.clock.now() })
    }

    /// The stage that takes responsibility: RFC 5321 §6.1.
    async fn store(&self, envelope: Envelope, data: Bytes) -> Result<Reply, Reply> {
        let user = self.conn.machine.user().and_then(|user| user.parse().ok());
        let mta = self.reception.home(user.as_ref().or(envelope.reverse_path.as_ref()));
        let letter = Letter::new(data);
        let setup = mta.setup();
        if HOPS_MAX <= letter.hops() {
            return Err(Reply::new(554, (5, 4, 6), "Too many hops, this message is in a loop"));
        }
        let letter = Letter { content: setup.store.share(letter.content.clone()), ..letter };
        let id = self.journey(mta, &letter).stay(setup.dice.draw());
        let now = setup.clock.now();
        let envelope = settled(envelope, mta);
        let letter = letter.stamped(&self.received_field(mta, id, &envelope, now));
        let size = letter.len();
        let mail = Mail { id, envelope: envelope.clone(), letter, arrived: now };
        let receipt = mta.queue().put(mail).await.map_err(|error| {
            tracing::error!(host = %mta.host(), %error, "a message could not be stored");
            Reply::new(452, (4, 3, 1), "Cannot store the message now, try again later")
        })?;
        let step = self.received(envelope, size);
        setup.recorder.report(id.journey, Some(id), step, None::<Dialogue>);
        Ok(Reply::new(250, (2, 0, 0), &format!("OK: queued as {}", receipt.id)))
    }

    /// What the journal hears, once the message is durable.
    fn received(&self, envelope: Envelope, size: usize) -> Step {
        let (session, stream) = (&self.conn.machine, self.conn.stream());
        Step::Received {
            protocol: match self.reception.kind {
                Kind::Submission => Protocol::Submission,
                Kind::Relay | Kind::Open => Protocol::Smtp,
            },
            from: format!("{} [{}]", session.hello().unwrap_or_default(), stream.peer().ip()),
            reverse_path: envelope.reverse_path,
            recipients: envelope.recipients.into_iter().map(|recipient| recipient.address).collect(),
            size,
            tls: stream.tls(),
            user: session.user().map(str::to_owned),
            took_ms: self.began.elapsed().as_secs_f64() * 1e3,
        }
    }

    /// The journey that a host of this world gave the message, or a new one.
    fn journey(&self, mta: &Mta, letter: &Letter) -> JourneyId {
        let setup = mta.setup();
        let trusted = setup.world.host_at(self.conn.stream().peer().ip()).is_some();
        let known = if trusted { letter.journey() } else { None };
        known.unwrap_or_else(|| JourneyId::of(setup.dice.draw()))
    }

    /// RFC 5321 §4.4.
    fn received_field(&self, mta: &Mta, id: QueueId, envelope: &Envelope, now: Timestamp) -> String {
        let (session, peer) = (&self.conn.machine, self.conn.stream().peer().ip());
        let stamp = Stamp {
            hello: session.hello().unwrap_or_default(),
            known: mta.setup().world.host_at(peer).map(|host| host.fqdn.as_str()),
            peer,
            by: mta.fqdn(),
            with: &session.with_protocol(),
            id,
            tls: session.tls(),
            recipient: match envelope.recipients.as_slice() {
                [one] => Some(&one.address),
                _ => None,
            },
            date: &rfc5322_date(now),
        };
        stamp.to_string()
    }
}

/// The reply of a whim; hanging up ends the conversation.
fn obey(whim: Option<Whim>) -> Result<Option<Reply>, Error> {
    match whim {
        Some(Whim::HangUp) => Err(Error::Closed),
        Some(Whim::Say(reply) | Whim::Greylist(reply, _)) => Ok(Some(reply)),
        None => Ok(None),
    }
}

/// The envelope as it is queued: the bare postmaster is that of this host's own domain, or of the first one that the
/// world has (RFC 5321 §4.5.1), and who is named twice gets one copy.
fn settled(mut envelope: Envelope, mta: &Mta) -> Envelope {
    let domains = &mta.setup().world.domains;
    let own = domains.iter().find(|(_, served)| served.mx.contains(mta.host())).or(domains.iter().next());
    if let Some((domain, _)) = own {
        for recipient in envelope.recipients.iter_mut().filter(|recipient| recipient.address.domain().is_empty()) {
            recipient.address = Address::new("postmaster", domain).unwrap_or_else(|_| recipient.address.clone());
        }
    }
    let mut seen = BTreeSet::new();
    envelope.recipients.retain(|recipient| seen.insert(recipient.address.clone()));
    envelope
}
