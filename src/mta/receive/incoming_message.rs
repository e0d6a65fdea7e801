//! Turns a received message into queue entries: adds `Received`, expands aliases, and commits them before the reply.
//!
//! ```text
//!  envelope ─┬─ recipients of their own ─────────────────▶ one message in the queue
//!            ├─ each alias ── targets, each once ────────▶ one more, with `Delivered-To`
//!            │             └─ |discard ──────────────────▶ nothing
//!            └─ an alias that the message came by before ─▶ a report: it is in a loop
//! ```
//!
//! All of that is one commit, and one journey.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::ListenerKind;
use super::handler::SmtpHandler;
use crate::journey::{EventKind, Protocol};
use crate::mail::{Address, Envelope, JourneyId, Message, QueueId, Recipient, Stamp};
use crate::mta::expand::AliasExpansion;
use crate::mta::report::{self, Action, RecipientStatus};
use crate::mta::{Mta, QueuedMessage, Receipt};
use crate::smtp::Reply;
use crate::store;
use crate::world::rfc5322_date;

/// A message that passed so many hosts is in a loop. RFC 5321 §6.3 asks for at least 100.
const MAX_HOPS: usize = 100;
/// Why an alias that the message came by before takes it no more.
const LOOP_REASON: &str = "the message came by this name before: it is in a loop";

/// A message that came in, and all that it becomes.
pub(in crate::mta) struct IncomingMessage {
    /// As it came.
    original: QueuedMessage,
    /// What is queued.
    messages: Vec<QueuedMessage>,
    /// Aliases that were followed, with the names of the messages that they became.
    expanded: Vec<(AliasExpansion, QueueId)>,
    /// Aliases that it came by before.
    alias_loops: Vec<Recipient>,
}

impl IncomingMessage {
    /// What becomes of a message with this envelope; `stamp` writes the `Received` field of each copy.
    ///
    /// # Errors
    /// It is in a loop; the text says so. RFC 5321 §6.3.
    pub(in crate::mta) fn new(
        mta: &Mta,
        envelope: Envelope,
        message: Message,
        journey: JourneyId,
        stamp: impl Fn(QueueId, &Envelope, Timestamp) -> String,
    ) -> Result<Self, &'static str> {
        if MAX_HOPS <= message.hops() {
            return Err("Too many hops, this message is in a loop");
        }
        let (context, arrived) = (mta.context(), mta.context().clock.now());
        let envelope = normalise_recipients(envelope, mta);
        let copy = |id: QueueId| {
            let message = message.with_header(&stamp(id, &envelope, arrived));
            QueuedMessage { id, envelope: envelope.clone(), message, arrived }
        };
        let original = copy(journey.queue_id(context.rng.next_u64()));
        let mut incoming = Self { original, messages: Vec::new(), expanded: Vec::new(), alias_loops: Vec::new() };
        let mut own = Vec::new();
        for recipient in &envelope.recipients {
            match AliasExpansion::of(mta, recipient) {
                None => own.push(recipient.clone()),
                Some(expansion) if expansion.already_expanded(&message) => incoming.alias_loops.push(recipient.clone()),
                Some(expansion) => incoming.expanded.push((expansion, journey.queue_id(context.rng.next_u64()))),
            }
        }
        let mut seen: BTreeSet<Address> = own.iter().map(|recipient| recipient.address.clone()).collect();
        if !own.is_empty() {
            let envelope = Envelope { recipients: own, ..envelope.clone() };
            incoming.messages.push(QueuedMessage { envelope, ..incoming.original.clone() });
        }
        for (expansion, id) in &incoming.expanded {
            let targets = expansion.targets.iter().filter(|target| seen.insert((*target).clone()));
            let recipients = expansion.recipients(targets.cloned().collect());
            if !recipients.is_empty() {
                let queued = copy(*id);
                let message = expansion.with_delivered_to(&queued.message);
                incoming.messages.push(QueuedMessage {
                    envelope: Envelope { recipients, ..envelope.clone() },
                    message,
                    ..queued
                });
            }
        }
        Ok(incoming)
    }

    /// The stage that takes responsibility (RFC 5321 §6.1): makes it all durable, then tells the event log. `received`
    /// says how it came.
    ///
    /// # Errors
    /// It could not be stored, and nothing of it is.
    pub(in crate::mta) async fn enqueue(
        self,
        mta: &Mta,
        received: impl FnOnce(&QueuedMessage) -> EventKind,
    ) -> Result<Receipt, store::Error> {
        let reports = self.reports(mta);
        let messages = self.messages.iter().chain(&reports).cloned().collect();
        let put = mta.queue().put_all(self.original.id, messages).await;
        let receipt = put.inspect_err(|error| {
            tracing::error!(host = %mta.host(), %error, "a message could not be stored");
        })?;
        self.record_events(mta, received(&self.original), &reports);
        Ok(receipt)
    }

    /// What the event log hears, once all is durable.
    fn record_events(&self, mta: &Mta, received: EventKind, reports: &[QueuedMessage]) {
        let (journey, id) = (self.original.id.journey, Some(self.original.id));
        let emitter = &mta.context().emitter;
        emitter.report(journey, id, received, None);
        for (AliasExpansion { alias, targets, is_discarded, .. }, id) in &self.expanded {
            let (recipient, targets) = (alias.address.clone(), targets.clone());
            let step = EventKind::Expanded { recipient, targets, discarded: *is_discarded };
            emitter.report(journey, Some(*id), step, None);
        }
        for report in reports {
            emitter.report(report.id.journey, Some(report.id), report::step(report, journey), None);
        }
        if !self.alias_loops.is_empty() {
            let recipients = self.alias_loops.iter().map(|recipient| recipient.address.clone()).collect();
            let report = reports.first().map(|report| report.id.journey);
            emitter.report(
                journey,
                id,
                EventKind::Failed { recipients, by: None, reason: LOOP_REASON.to_owned(), report, in_doubt: false },
                None,
            );
        }
    }

    /// What the sender is told at once: first what failed, then what became of aliases.
    fn reports(&self, mta: &Mta) -> Vec<QueuedMessage> {
        let failed = |recipient| {
            let status = RecipientStatus { status: (5, 4, 6), host: None, text: Some(LOOP_REASON.to_owned()) };
            (recipient, Action::Failed, status)
        };
        let led = self.expanded.iter().filter_map(|(expansion, _)| {
            let (action, told) = expansion.sender_notice()?;
            Some((&expansion.alias, action, told))
        });
        let lines: Vec<_> = self.alias_loops.iter().map(failed).chain(led).collect();
        report::all(mta, &self.original, &lines, self.original.arrived)
    }
}

impl SmtpHandler {
    /// What is said to a whole message.
    pub(super) async fn store(&self, envelope: Envelope, message: Message) -> Result<Reply, Reply> {
        let mta = self.owning_mta(envelope.reverse_path.as_ref());
        let journey = self.journey(mta, &message);
        let stamp = |id: QueueId, envelope: &Envelope, now: Timestamp| self.received_field(mta, id, envelope, now);
        let incoming = IncomingMessage::new(mta, envelope, message, journey, stamp);
        let incoming = incoming.map_err(|why| Reply::new(554, (5, 4, 6), why))?;
        let settled = incoming.enqueue(mta, |queued| self.received(queued)).await;
        let full = |_| Reply::new(452, (4, 3, 1), "Cannot store the message now, try again later");
        let receipt = settled.map_err(full)?;
        Ok(Reply::new(250, (2, 0, 0), &format!("OK: queued as {}", receipt.id)))
    }

    fn received(&self, queued: &QueuedMessage) -> EventKind {
        let (session, stream) = (&self.conn.machine, self.conn.stream());
        EventKind::Received {
            protocol: match self.service.kind {
                ListenerKind::Submission => Protocol::Submission,
                ListenerKind::Relay | ListenerKind::Unauthenticated => Protocol::Smtp,
            },
            from: format!("{} [{}]", session.hello().unwrap_or_default(), stream.peer().ip()),
            reverse_path: queued.envelope.reverse_path.clone(),
            recipients: queued.envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            size: queued.message.len(),
            tls: stream.tls(),
            user: session.user().map(str::to_owned),
            took_ms: self.began.elapsed().as_secs_f64() * 1e3,
        }
    }

    /// The journey that a host of this world gave the message, or a new one.
    fn journey(&self, mta: &Mta, message: &Message) -> JourneyId {
        let context = mta.context();
        let trusted = context.world.host_at(self.peer()).is_some();
        let known = if trusted { message.journey() } else { None };
        known.unwrap_or_else(|| JourneyId::from_random(context.rng.next_u64()))
    }

    /// RFC 5321 §4.4.
    fn received_field(&self, mta: &Mta, id: QueueId, envelope: &Envelope, now: Timestamp) -> String {
        let (session, peer) = (&self.conn.machine, self.peer());
        let stamp = Stamp {
            hello: session.hello().unwrap_or_default(),
            known: mta.context().world.host_at(peer).map(|host| host.fqdn.as_str()),
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

/// The envelope as it is queued: the bare postmaster is that of this host's own domain, or of the first one that the
/// world has (RFC 5321 §4.5.1), and who is named twice gets one copy.
fn normalise_recipients(mut envelope: Envelope, mta: &Mta) -> Envelope {
    for recipient in envelope.recipients.iter_mut().filter(|recipient| recipient.address.domain().is_empty()) {
        if let Some(postmaster) = mta.postmaster() {
            recipient.address = postmaster;
        }
    }
    let mut seen = BTreeSet::new();
    envelope.recipients.retain(|recipient| seen.insert(recipient.address.clone()));
    envelope
}
