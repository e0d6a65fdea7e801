//! One connection: each command is judged by the host's faults, its rules, and what it relays for whom.

use tokio::time::Instant;

use super::{ListenerKind, SmtpService};
use crate::mail::{Address, Envelope, Message, Recipient, ReversePath};
use crate::mta::Mta;
use crate::mta::expand::AliasExpansion;
use crate::mta::policy::PolicyContext;
use crate::net::{Conn, Error, Identity, Stop, Stream};
use crate::smtp::Reply;
use crate::smtp::reply_faults::{self, FaultContext};
use crate::smtp::server::{Event, Session};
use crate::world::{Stage, UnknownRecipients};

/// One connection.
pub(super) struct SmtpHandler {
    pub(super) service: SmtpService,
    pub(super) conn: Conn<Session>,
    /// When the transaction under way began.
    pub(super) began: Instant,
}

impl SmtpHandler {
    /// # Errors
    /// A fault hangs up before the first word.
    pub(super) fn new(service: SmtpService, stream: Stream, stop: Stop) -> Result<Self, Error> {
        let (mta, peer) = (service.greeting_mta(), stream.peer().ip());
        let policy_context = PolicyContext { stage: Stage::Connect, peer, helo: None, from: None, to: &[] };
        let welcome = || Reply::plain(220, &format!("{} ESMTP Postroad", mta.fqdn()));
        let context = mta.context();
        let fault_context = FaultContext {
            point: reply_faults::FaultPoint::Greeting,
            peer,
            sender: None,
            recipient: None,
            now: context.clock.now(),
        };
        let greeting = context
            .reply_faults
            .reply_override(fault_context)?
            .or_else(|| mta.policy().rule(context, policy_context))
            .unwrap_or_else(welcome);
        let nonce = mta.context().rng.next_u64();
        let config = service.config(stream.tls());
        let session = Session::new(config, &greeting, format!("{nonce:016x}"));
        Ok(Self { conn: Conn::new(stream, session, stop), service, began: Instant::now() })
    }

    pub(super) async fn run(mut self: Box<Self>) -> Result<(), Error> {
        while let Some(event) = self.conn.event().await? {
            match event {
                Event::Hello { name, .. } => {
                    let fault = self.fault(reply_faults::FaultPoint::Hello, None, None)?;
                    let reply = fault.or_else(|| self.rule(Stage::Ehlo, Some(&name), None, &[]));
                    self.conn.machine.answer(reply.unwrap_or(Reply::plain(250, "")));
                }
                Event::StartTls => self.start_tls().await?,
                Event::NeedSecret(user) => self.lookup_secret(&user),
                Event::Mail { envelope, .. } => {
                    self.began = Instant::now();
                    let reply = self.mail(&envelope.reverse_path)?;
                    self.conn.machine.answer(reply);
                }
                Event::Rcpt(recipient) => {
                    let reply = self.rcpt(&recipient)?;
                    self.conn.machine.answer(reply);
                }
                Event::Data => {
                    let reply = self.rule_of_envelope(Stage::Data, self.conn.machine.envelope());
                    self.conn.machine.answer(reply.unwrap_or(Reply::plain(250, "")));
                }
                Event::Message { envelope, message } => {
                    let reply = self.message(envelope, message).await?;
                    self.conn.machine.answer(reply);
                }
                // RFC 5321 §3.5.3: nobody is told who has a mailbox here without sending to it.
                Event::Verify(_) => {
                    self.conn.machine.answer(Reply::new(252, (2, 5, 0), "Cannot verify, but will try to deliver"));
                }
            }
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), Error> {
        let identity: Identity = self.service.greeting_mta().context().identity.clone();
        self.conn.accept_tls(&identity).await?;
        let description = self.conn.stream().tls().unwrap_or_default();
        self.conn.machine.encrypted(description);
        Ok(())
    }

    fn lookup_secret(&mut self, user: &str) {
        let world = &self.service.greeting_mta().context().world;
        let secret = world.secret(user).map(|(_, secret)| secret.to_owned());
        self.conn.machine.secret(secret.as_deref());
    }

    fn mail(&self, from: &ReversePath) -> Result<Reply, Error> {
        if let Some(reply) = self.fault(reply_faults::FaultPoint::Mail, from.as_ref(), None)? {
            return Ok(reply);
        }
        let mta = self.owning_mta(from.as_ref());
        let refusal = self.rule(Stage::Mail, None, Some(from), &[]);
        let refusal = refusal.or_else(|| mta.policy().message(mta.context(), self.peer()));
        Ok(refusal.unwrap_or(Reply::new(250, (2, 1, 0), "Sender OK")))
    }

    fn rcpt(&self, recipient: &Recipient) -> Result<Reply, Error> {
        if let Some(reply) = self.fault(reply_faults::FaultPoint::Rcpt, self.sender(), Some(&recipient.address))? {
            return Ok(reply);
        }
        let from = self.conn.machine.envelope().map(|envelope| &envelope.reverse_path);
        if let Some(reply) = self.rule(Stage::Rcpt, None, from, std::slice::from_ref(recipient)) {
            return Ok(reply);
        }
        let reply = self.relay_decision(recipient);
        if !reply.is_positive() {
            return Ok(reply);
        }
        let (mta, peer) = (self.owning_mta(self.sender()), self.peer());
        let refusal = mta.policy().recipient(mta.context(), peer);
        let refusal = refusal.or_else(|| {
            let from = from.filter(|_| !self.is_trusted(mta))?;
            mta.policy().greylist(mta.context(), peer, from, &recipient.address)
        });
        Ok(refusal.unwrap_or(reply))
    }

    /// RFC 5321 §3.3: takes mail for our own mailboxes from everybody, for others only from whom we relay for.
    fn relay_decision(&self, recipient: &Recipient) -> Reply {
        let (mta, address) = (self.owning_mta(self.sender()), &recipient.address);
        let context = mta.context();
        let ours = address.domain().is_empty() || mta.is_local(address.domain());
        let takes_unknown = context.settings.policy.unknown_recipients == UnknownRecipients::Accept;
        match ours {
            true if address.domain().is_empty() => Reply::new(250, (2, 1, 5), "Postmaster OK"),
            true if AliasExpansion::of(mta, recipient).is_some_and(|expansion| expansion.is_cyclic()) => {
                Reply::new(550, (5, 4, 6), &format!("<{address}> leads back to itself"))
            }
            true if context.world.accepts(address) || takes_unknown => Reply::new(250, (2, 1, 5), "Recipient OK"),
            true => Reply::new(550, (5, 1, 1), &format!("<{address}> has no mailbox here")),
            false if self.may_relay() => Reply::new(250, (2, 1, 5), "Recipient OK, will relay"),
            false => {
                Reply::new(550, (5, 7, 1), &format!("<{address}> is not local, and this host does not relay for you"))
            }
        }
    }

    /// The host that takes messages of who logged in, or else of this sender.
    pub(super) fn owning_mta(&self, sender: Option<&Address>) -> &Mta {
        let user = self.conn.machine.user().and_then(|user| user.parse().ok());
        self.service.owning_mta(user.as_ref().or(sender))
    }

    fn may_relay(&self) -> bool {
        let (peer, mta) = (self.peer(), self.service.greeting_mta());
        let is_known = || peer.is_loopback() || mta.context().world.host_at(peer).is_some();
        match self.service.kind {
            ListenerKind::Submission => self.conn.machine.user().is_some(),
            ListenerKind::Unauthenticated => self.conn.machine.user().is_some() || is_known(),
            ListenerKind::Relay => self.is_trusted(mta),
        }
    }

    /// Whether the host knows who this is. RFC 6647 §5: such clients are not greylisted.
    fn is_trusted(&self, mta: &Mta) -> bool {
        let context = mta.context();
        self.conn.machine.user().is_some() || context.settings.relay_from.contains(&context.world, self.peer())
    }

    async fn message(&self, envelope: Envelope, message: Message) -> Result<Reply, Error> {
        let sender = envelope.reverse_path.clone();
        if let Some(reply) = self.fault(reply_faults::FaultPoint::Data, sender.as_ref(), None)? {
            return Ok(reply);
        }
        if let Some(reply) = self.rule_of_envelope(Stage::End, Some(&envelope)) {
            return Ok(reply);
        }
        match self.store(envelope, message).await {
            Ok(reply) => Ok(self.fault(reply_faults::FaultPoint::Stored, sender.as_ref(), None)?.unwrap_or(reply)),
            Err(reply) => Ok(reply),
        }
    }

    pub(super) fn peer(&self) -> std::net::IpAddr {
        self.conn.stream().peer().ip()
    }

    fn sender(&self) -> Option<&Address> {
        self.conn.machine.envelope().and_then(|envelope| envelope.reverse_path.as_ref())
    }

    /// What a rule of the host says at this stage. Before MAIL it is that of the host which greets.
    fn rule(&self, stage: Stage, helo: Option<&str>, from: Option<&ReversePath>, to: &[Recipient]) -> Option<Reply> {
        let mta = match from {
            Some(path) => self.owning_mta(path.as_ref()),
            None => self.service.greeting_mta(),
        };
        let helo = helo.or(self.conn.machine.hello());
        mta.policy().rule(mta.context(), PolicyContext { stage, peer: self.peer(), helo, from, to })
    }

    fn rule_of_envelope(&self, stage: Stage, envelope: Option<&Envelope>) -> Option<Reply> {
        let envelope = envelope?;
        self.rule(stage, None, Some(&envelope.reverse_path), &envelope.recipients)
    }

    /// What a fault makes of the moment; the error ends the conversation.
    fn fault(
        &self,
        point: reply_faults::FaultPoint,
        sender: Option<&Address>,
        recipient: Option<&Address>,
    ) -> Result<Option<Reply>, Error> {
        let context = self.service.greeting_mta().context();
        context.reply_faults.reply_override(FaultContext {
            point,
            peer: self.peer(),
            sender,
            recipient,
            now: context.clock.now(),
        })
    }
}
