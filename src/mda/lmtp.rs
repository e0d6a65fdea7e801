//! Receives messages over LMTP and delivers them to mailboxes. RFC 2033.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Delivered, Error, Mda};
use crate::journey::{EventKind, Protocol};
use crate::mail::{Address, Envelope, JourneyId, Message, QueueId, Recipient, ReversePath, Stamp, return_path};
use crate::net::{self, Conn, Service, Stop, Stream};
use crate::smtp::reply_faults::{FaultContext, FaultPoint};
use crate::smtp::server::{self, Event, Session};
use crate::smtp::{BareLineEnds, Reply};
use crate::store;
use crate::world::rfc5322_date;

/// The LMTP service of one MDA.
#[derive(Clone)]
pub struct Lmtp(Mda);

impl Lmtp {
    /// Accepts messages for the mailboxes of this host.
    pub fn new(mda: Mda) -> Self {
        Self(mda)
    }
}

impl Service for Lmtp {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), net::Error> {
        Box::new(LmtpHandler::new(self.0, stream, stop)?).run().await
    }

    fn too_many_reply(&self) -> &'static str {
        "421 4.7.0 Too many connections from your address, try again later\r\n"
    }
}

/// Handles one connection.
struct LmtpHandler {
    mda: Mda,
    conn: Conn<Session>,
    /// When the current transaction began.
    began: Instant,
}

impl LmtpHandler {
    /// # Errors
    /// An injected fault closes the connection before the greeting.
    fn new(mda: Mda, stream: Stream, stop: Stop) -> Result<Self, net::Error> {
        let (context, peer) = (mda.context(), stream.peer().ip());
        let config = server::Config {
            hostname: mda.fqdn().to_owned(),
            protocol: server::Protocol::Lmtp,
            max_message_bytes: context.settings.size_max as u64,
            tls: match stream.tls() {
                Some(tls) => server::Tls::Active(tls),
                None if context.identity.offers_tls() => server::Tls::Offered,
                None => server::Tls::Absent,
            },
            // The MTA has checked the line ends; here they are stored unchanged.
            bare_line_ends: BareLineEnds::Keep,
            uploads: context.uploads.clone(),
            ..server::Config::default()
        };
        let welcome = || Reply::plain(220, &format!("{} LMTP Postroad", mda.fqdn()));
        let asked =
            FaultContext { point: FaultPoint::Greeting, peer, sender: None, recipient: None, now: context.clock.now() };
        let greeting = context.reply_faults.reply_override(asked)?.unwrap_or_else(welcome);
        let nonce = format!("{:016x}", context.rng.next_u64());
        let session = Session::new(config, &greeting, nonce);
        Ok(Self { mda, conn: Conn::new(stream, session, stop), began: Instant::now() })
    }

    async fn run(mut self: Box<Self>) -> Result<(), net::Error> {
        while let Some(event) = self.conn.event().await? {
            match event {
                Event::Hello { .. } => {
                    let fault = self.fault(FaultPoint::Hello, &None, None)?;
                    self.conn.machine.answer(fault.unwrap_or(Reply::plain(250, "")));
                }
                Event::Data => self.conn.machine.answer(Reply::plain(250, "")),
                Event::StartTls => {
                    self.conn.accept_tls(&self.mda.context().identity).await?;
                    let description = self.conn.stream().tls().unwrap_or_default();
                    self.conn.machine.encrypted(description);
                }
                // AUTH is not offered here, so no user is known.
                Event::NeedSecret(_) => self.conn.machine.secret(None),
                Event::Mail { envelope, .. } => {
                    self.began = Instant::now();
                    let fault = self.fault(FaultPoint::Mail, &envelope.reverse_path, None)?;
                    self.conn.machine.answer(fault.unwrap_or(Reply::new(250, (2, 1, 0), "Sender OK")));
                }
                Event::Rcpt(recipient) => {
                    let from = self.conn.machine.envelope().and_then(|envelope| envelope.reverse_path.clone());
                    let fault = self.fault(FaultPoint::Rcpt, &from, Some(&recipient.address))?;
                    let reply = fault.unwrap_or_else(|| self.rcpt(&recipient.address));
                    self.conn.machine.answer(reply);
                }
                Event::Message { envelope, message } => {
                    let replies = self.deliver(&envelope, message).await?;
                    self.conn.machine.answer_each(&replies);
                }
                Event::Verify(_) => self.conn.machine.answer(Reply::new(252, (2, 5, 0), "Cannot verify")),
            }
        }
        Ok(())
    }

    /// Every domain has a postmaster, RFC 5321 §4.5.1.
    fn rcpt(&self, address: &Address) -> Reply {
        let known = self.mda.context().world.has_mailbox(address) || address.local().eq_ignore_ascii_case("postmaster");
        match known && self.mda.serves(address) {
            true => Reply::new(250, (2, 1, 5), "Recipient OK"),
            false => Reply::new(550, (5, 1, 1), &format!("<{address}> has no mailbox here")),
        }
    }

    /// Delivers the message to each recipient, in one commit where possible, with one reply each, RFC 2033 §4.2.
    async fn deliver(&self, envelope: &Envelope, message: Message) -> Result<Vec<Reply>, net::Error> {
        let refusals = self.reply_faults(FaultPoint::Data, envelope)?;
        let id = self.journey(&message).queue_id(self.mda.context().rng.next_u64());
        let filing = envelope.recipients.iter().zip(refusals).map(|(recipient, refusal)| async {
            match refusal {
                Some(reply) => Err(reply),
                None => self.file(envelope, &recipient.address, &message, id).await.map_err(refusal_for),
            }
        });
        let outcomes = join_all(filing).await;
        self.report(envelope, message.len(), id, &outcomes);
        let faults = self.reply_faults(FaultPoint::Stored, envelope)?;
        Ok(outcomes
            .into_iter()
            .zip(faults)
            .map(|(outcome, fault)| {
                outcome.map_or_else(|refusal| refusal, |delivered| fault.unwrap_or(saved(&delivered)))
            })
            .collect())
    }

    /// The injected reply for this stage, if any; an error closes the connection.
    fn fault(
        &self,
        point: FaultPoint,
        sender: &ReversePath,
        recipient: Option<&Address>,
    ) -> Result<Option<Reply>, net::Error> {
        let (context, peer) = (self.mda.context(), self.conn.stream().peer().ip());
        context.reply_faults.reply_override(FaultContext {
            point,
            peer,
            sender: sender.as_ref(),
            recipient,
            now: context.clock.now(),
        })
    }

    /// The injected replies for this stage, one per recipient.
    fn reply_faults(&self, point: FaultPoint, envelope: &Envelope) -> Result<Vec<Option<Reply>>, net::Error> {
        let recipients = envelope.recipients.iter();
        recipients.map(|recipient| self.fault(point, &envelope.reverse_path, Some(&recipient.address))).collect()
    }

    async fn file(
        &self,
        envelope: &Envelope,
        recipient: &Address,
        message: &Message,
        id: QueueId,
    ) -> Result<Delivered, Error> {
        let message = self.stamped(envelope, recipient, message, id);
        self.mda.mailboxes().deliver(&recipient.key(), recipient.detail(), &message).await
    }

    /// The message with the last trace fields on top, RFC 5321 §4.4.
    fn stamped(&self, envelope: &Envelope, recipient: &Address, message: &Message, id: QueueId) -> Message {
        let (session, stream, context) = (&self.conn.machine, self.conn.stream(), self.mda.context());
        let peer = stream.peer().ip();
        let stamp = Stamp {
            hello: session.hello().unwrap_or_default(),
            known: context.world.host_at(peer).map(|host| host.fqdn.as_str()),
            peer,
            by: self.mda.fqdn(),
            with: &session.with_protocol(),
            id,
            tls: session.tls(),
            recipient: Some(recipient),
            date: &rfc5322_date(context.clock.now()),
        };
        message.with_header(&stamp.to_string()).with_header(&return_path(&envelope.reverse_path))
    }

    /// The journey that a host of this world gave to the message, or a new one.
    fn journey(&self, message: &Message) -> JourneyId {
        let context = self.mda.context();
        let trusted = context.world.host_at(self.conn.stream().peer().ip()).is_some();
        let known = if trusted { message.journey() } else { None };
        known.unwrap_or_else(|| JourneyId::from_random(context.rng.next_u64()))
    }

    fn report(&self, envelope: &Envelope, size: usize, id: QueueId, outcomes: &[Result<Delivered, Reply>]) {
        let emitter = &self.mda.context().emitter;
        let filed = envelope.recipients.iter().zip(outcomes).filter_map(|(recipient, outcome)| {
            let Recipient { address, .. } = recipient;
            outcome.as_ref().ok().map(|delivered| (address, delivered))
        });
        let filed: Vec<(&Address, &Delivered)> = filed.collect();
        if filed.is_empty() {
            return;
        }
        let received = EventKind::Received {
            protocol: Protocol::Lmtp,
            from: format!("{} [{}]", self.conn.machine.hello().unwrap_or_default(), self.conn.stream().peer().ip()),
            reverse_path: envelope.reverse_path.clone(),
            recipients: filed.iter().map(|(address, _)| (*address).clone()).collect(),
            size,
            tls: self.conn.machine.tls().map(str::to_owned),
            user: None,
            took_ms: self.began.elapsed().as_secs_f64() * 1e3,
        };
        emitter.report(id.journey, Some(id), received, None);
        for (address, Delivered { mailbox, uid, .. }) in filed {
            let (recipient, account, mailbox) = (address.clone(), address.key(), mailbox.clone());
            emitter.report(id.journey, Some(id), EventKind::Delivered { recipient, account, mailbox, uid: *uid }, None);
        }
    }
}

fn saved(Delivered { mailbox, uid, .. }: &Delivered) -> Reply {
    Reply::new(250, (2, 1, 5), &format!("Saved as {mailbox} uid {uid}"))
}

/// The reply for a recipient whose copy was not stored; the cause of a failure is logged.
fn refusal_for(error: Error) -> Reply {
    match error {
        Error::OverQuota { ever: true } => Reply::new(452, (4, 2, 2), "The mailbox is full, try again later"),
        // RFC 3463 §3.3: it will never fit.
        Error::OverQuota { ever: false } => {
            Reply::new(552, (5, 2, 2), "The message is larger than the quota of the mailbox")
        }
        error => {
            tracing::error!(%error, "cannot deliver a message");
            match error {
                Error::Store(store::Error::Full) => Reply::new(452, (4, 3, 1), "The disk is full, try again later"),
                _ => Reply::new(451, (4, 3, 0), "Cannot store the message now, try again later"),
            }
        }
    }
}
