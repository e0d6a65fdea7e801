//! Receives messages over SMTP: which clients may send what to whom. A message is durable before `250`.
//!
//! [`SmtpPolicy`] decides at each command; [`IncomingMessage`] turns a received message into queue entries.

mod door;
mod incoming_message;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use door::accept;
pub(super) use incoming_message::IncomingMessage;

use super::Mta;
use super::expand::AliasExpansion;
use super::policy::PolicyContext;
use crate::journey::{Protocol, Recorder};
use crate::mail::{Envelope, Message, Recipient, ReversePath};
use crate::smtp::Reply;
use crate::smtp::server::{self, Client, Policy, Resources};
use crate::store;
use crate::world::{HostGroup, HostName, Logins, Stage, UnknownRecipients};

/// Protocol errors after which a connection is closed.
const MAX_ERRORS: usize = 20;

/// The kinds of listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Port 25 of a host, for other hosts.
    Relay,
    /// Ports 587 and 465, for users who log in. RFC 6409.
    Submission,
    /// Port 25 for programs on this machine: no login needed, and no STARTTLS unless the world asks for it, since libraries use
    /// it where it is offered, and do not trust the authority of a world. Never on an address that others can reach.
    Unauthenticated,
}

/// The decisions of an SMTP server of one MTA, or of all MTAs behind one port. Cheap to clone.
#[derive(Clone)]
pub struct SmtpPolicy {
    kind: ListenerKind,
    hosts: HostGroup<Mta>,
    /// The host that takes the message of the transaction; without one, the host that greets.
    mta: Mta,
}

impl SmtpPolicy {
    /// Receives for these hosts: a message starts at the provider of the user who logged in or, without login, of its
    /// reverse-path; if that is none of them, at the one that greets.
    pub fn new(hosts: HostGroup<Mta>, kind: ListenerKind) -> Self {
        Self { kind, mta: hosts.greeting().clone(), hosts }
    }

    /// The host behind this port that serves the domain of the user who logged in or, without login, of the
    /// reverse-path; else the one that greets.
    fn owner(&self, client: Client<'_>, from: &ReversePath) -> &Mta {
        let user = client.user().and_then(|user| user.parse().ok());
        let sender = user.as_ref().or(from.as_ref());
        let domain = sender.and_then(|sender| self.mta.context().world.domains.get(sender.domain()));
        domain.and_then(|domain| self.hosts.find(&domain.mx)).unwrap_or(self.hosts.greeting())
    }

    /// The refusal (451 4.3.2) at a public port if the host that takes the message is off; `None` if that host is on,
    /// and at all other ports. RFC 3463 §3.4, X.3.2.
    fn refusal_when_off(&self) -> Option<Reply> {
        let is_off = self.hosts.is_public() && !self.mta.is_on();
        is_off.then(|| Reply::new(451, (4, 3, 2), &format!("{} is not running, try again later", self.mta.fqdn())))
    }

    /// The reply of the first rule of this stage that matches and triggers at the host that takes the message; counts
    /// that the rule applied. `None` if there is none.
    fn rule(&self, input: PolicyContext<'_>) -> Option<Reply> {
        self.mta.policy().rule(self.mta.context(), input)
    }

    /// The reply of the first rule of this stage of a transaction that matches and triggers at the host that takes the
    /// message; counts that the rule applied. `None` if there is none. `to` is the recipient in question at RCPT, later
    /// all that were accepted.
    fn rule_of(&self, stage: Stage, client: Client<'_>, from: &ReversePath, to: &[Recipient]) -> Option<Reply> {
        self.rule(PolicyContext { stage, peer: client.peer(), helo: client.hello(), from: Some(from), to })
    }

    /// The reply to RCPT by the address. In a domain of this host: 250 for a mailbox, an alias, or any address if there
    /// is a catch-all, and for the bare postmaster; 550 for an alias that leads back to itself only, and for an unknown
    /// mailbox, unless the policy takes those. In any other domain: 250 if the client [may relay](Self::may_relay),
    /// else 550. RFC 5321 §3.3.
    fn relay_decision(&self, client: Client<'_>, recipient: &Recipient) -> Reply {
        let (mta, address) = (&self.mta, &recipient.address);
        let context = mta.context();
        let is_ours = address.domain().is_empty() || mta.is_local(address.domain());
        let takes_unknown = context.settings.policy.unknown_recipients == UnknownRecipients::Accept;
        match is_ours {
            true if address.domain().is_empty() => Reply::new(250, (2, 1, 5), "Postmaster OK"),
            true if AliasExpansion::of(mta, recipient).is_some_and(|expansion| expansion.has_no_destination()) => {
                Reply::new(550, (5, 4, 6), &format!("<{address}> leads back to itself"))
            }
            true if context.world.accepts(address) || takes_unknown => Reply::new(250, (2, 1, 5), "Recipient OK"),
            true => Reply::new(550, (5, 1, 1), &format!("<{address}> has no mailbox here")),
            false if self.may_relay(client) => Reply::new(250, (2, 1, 5), "Recipient OK, will relay"),
            false => {
                Reply::new(550, (5, 7, 1), &format!("<{address}> is not local, and this host does not relay for you"))
            }
        }
    }

    /// Whether this kind of listener accepts mail for other domains than those of this host from the client: on
    /// submission if it has logged in, on port 25 if the host [trusts](Self::is_trusted) it; unauthenticated, if it has
    /// logged in, is on this machine, or is a host of the world.
    fn may_relay(&self, client: Client<'_>) -> bool {
        let peer = client.peer();
        let is_known = || peer.is_loopback() || self.mta.context().world.host_at(peer).is_some();
        match self.kind {
            ListenerKind::Submission => client.user().is_some(),
            ListenerKind::Unauthenticated => client.user().is_some() || is_known(),
            ListenerKind::Relay => self.is_trusted(client),
        }
    }

    /// Whether the client has logged in, or its address is among those that the settings of the host relay from. RFC
    /// 6647 §5: such clients are not greylisted.
    fn is_trusted(&self, client: Client<'_>) -> bool {
        let context = self.mta.context();
        client.user().is_some() || context.settings.relay_from.contains(&context.world, client.peer())
    }

    /// Makes a message durable in the queue of the host and returns the 250 reply with its queue id; the error is the
    /// refusal: 554 for a loop, or that of a store that fails.
    async fn enqueue(&self, client: Client<'_>, envelope: Envelope, message: Message) -> Result<Reply, Reply> {
        let origin = client.origin(&self.mta.context().world);
        let incoming = IncomingMessage::new(&self.mta, &origin, envelope, message);
        let incoming = incoming.map_err(|why| Reply::new(554, (5, 4, 6), why))?;
        let refusal = |error| server::storage_failure(matches!(error, store::Error::Full));
        let receipt = incoming.enqueue(&self.mta, &origin).await.map_err(refusal)?;
        Ok(Reply::new(250, (2, 0, 0), &format!("OK: queued as {}", receipt.id)))
    }
}

impl Policy for SmtpPolicy {
    /// The resources of the host that greets.
    fn resources(&self) -> Resources<'_> {
        let mta = self.hosts.greeting();
        let context = mta.context();
        Resources {
            fqdn: mta.fqdn(),
            tls: &context.tls,
            uploads: &context.uploads,
            clock: context.clock,
            rng: &context.rng,
        }
    }

    /// The limits are those of the host that greets; the listener's kind decides on protocol, AUTH and STARTTLS.
    fn config(&self) -> server::Config {
        let settings = &self.hosts.greeting().context().settings;
        let policy = &settings.policy;
        server::Config {
            protocol: match self.kind {
                ListenerKind::Submission => server::Protocol::Submission,
                ListenerKind::Relay | ListenerKind::Unauthenticated => server::Protocol::Smtp,
            },
            max_message_bytes: settings.size_max as u64,
            max_recipients: policy.recipients_max,
            max_transactions: policy.transactions_max,
            max_recipient_domains: policy.recipient_domains_max,
            max_errors: MAX_ERRORS,
            auth: match self.kind {
                ListenerKind::Submission => server::Auth::Required,
                ListenerKind::Unauthenticated => server::Auth::Offered,
                ListenerKind::Relay => server::Auth::Off,
            },
            any_login: matches!(policy.logins, Logins::Any),
            plain_login: self.hosts.is_public(),
            starttls: self.kind != ListenerKind::Unauthenticated || settings.starttls,
            bare_line_ends: policy.bare_line_ends,
            ..server::Config::default()
        }
    }

    /// Begins a recorded session with the client, at the host that greets.
    fn record(&self, client: IpAddr) -> Recorder {
        let context = self.hosts.greeting().context();
        let protocol = match self.kind {
            ListenerKind::Submission => Protocol::Submission,
            ListenerKind::Relay | ListenerKind::Unauthenticated => Protocol::Smtp,
        };
        context.emitter.sessions().begin(&context.world, protocol, &context.host, client)
    }

    /// Returns the reply of the first rule of the stage `Connect` that applies; `None` accepts the client.
    fn connect(&mut self, peer: IpAddr) -> Option<Reply> {
        self.rule(PolicyContext { stage: Stage::Connect, peer, helo: None, from: None, to: &[] })
    }

    /// Makes the host that greets the one that decides again, and returns the reply of its first rule of the stage
    /// `Ehlo` that applies; `None` accepts the name.
    fn hello(&mut self, client: Client<'_>, name: &str) -> Option<Reply> {
        self.mta = self.hosts.greeting().clone();
        self.rule(PolicyContext { stage: Stage::Ehlo, peer: client.peer(), helo: Some(name), from: None, to: &[] })
    }

    /// The host that serves the domain of the user or, without login, of the reverse-path, or else the one that greets;
    /// `None` at a port that is not public.
    fn answering_host(&self, client: Client<'_>, from: &ReversePath) -> Option<HostName> {
        self.hosts.is_public().then(|| self.owner(client, from).host().clone())
    }

    /// The password that the settings of the host name for the user, or else that of the user of the world; `None` if
    /// both have no such user.
    fn secret(&self, user: &str) -> Option<String> {
        let context = self.mta.context();
        let named = match &context.settings.policy.logins {
            Logins::Named(secrets) => secrets.get(user).map(String::as_str),
            Logins::Users | Logins::Any => None,
        };
        named.or_else(|| context.world.secret(user).map(|(_, secret)| secret)).map(str::to_owned)
    }

    /// Chooses the host that takes the message, by the user or else by the reverse-path. Returns 451 if that host is
    /// off, or else the reply of a rule, or the refusal if the rate limit of messages is reached. `None` accepts the
    /// sender; only then, the message is counted.
    fn mail(&mut self, client: Client<'_>, from: &ReversePath) -> Option<Reply> {
        self.mta = self.owner(client, from).clone();
        let counted = || self.mta.policy().message(self.mta.context(), client.peer());
        self.refusal_when_off().or_else(|| self.rule_of(Stage::Mail, client, from, &[])).or_else(counted)
    }

    /// The reply is that of a rule, if one applies; else a refusal by the address, by the rate limit of recipients, or
    /// by greylisting, in this order; else 250. What comes after a refusal is not counted or registered. Clients that
    /// the host knows are not greylisted.
    fn rcpt(&mut self, client: Client<'_>, from: &ReversePath, recipient: &Recipient) -> Reply {
        if let Some(refusal) = self.rule_of(Stage::Rcpt, client, from, std::slice::from_ref(recipient)) {
            return refusal;
        }
        let reply = self.relay_decision(client, recipient);
        if !reply.is_positive() {
            return reply;
        }
        let (policy, context, peer) = (self.mta.policy(), self.mta.context(), client.peer());
        let greylisted = || match self.is_trusted(client) {
            true => None,
            false => policy.greylist(context, peer, from, &recipient.address),
        };
        policy.recipient(context, peer).or_else(greylisted).unwrap_or(reply)
    }

    /// Returns the reply of the first rule of the stage `Data` that applies; `None` accepts the command.
    fn data(&mut self, client: Client<'_>, envelope: &Envelope) -> Option<Reply> {
        self.rule_of(Stage::Data, client, &envelope.reverse_path, &envelope.recipients)
    }

    /// Queues the message; always returns one reply: 451 if the host is off, or that of a rule of the stage `End`, and
    /// then the message is not queued; else 250 or the refusal of the queue.
    async fn message(&mut self, client: Client<'_>, envelope: Envelope, message: Message) -> Vec<Reply> {
        let rule = || self.rule_of(Stage::End, client, &envelope.reverse_path, &envelope.recipients);
        let reply = match self.refusal_when_off().or_else(rule) {
            Some(refusal) => refusal,
            None => self.enqueue(client, envelope, message).await.unwrap_or_else(|refusal| refusal),
        };
        vec![reply]
    }
}
