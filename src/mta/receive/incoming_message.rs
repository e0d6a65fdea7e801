//! Turns a received message into queue entries: adds `Received`, expands aliases, and commits them before the reply.
//!
//! ```text
//!  envelope ─┬─ recipients of their own ─────────────────▶ one message in the queue
//!            ├─ each alias ── targets, each once ────────▶ more, each with the aliases that led to it in `Delivered-To`
//!            │             └─ |discard ──────────────────▶ nothing
//!            └─ an alias that expanded the message before ─▶ a report: it is in a loop
//! ```
//!
//! All of that is one commit, and one journey.

use std::collections::BTreeSet;

use crate::catalogue::Arrival;
use crate::journey::EventKind;
use crate::mail::{Address, Envelope, Message, QueueId, Recipient};
use crate::mta::expand::{AliasExpansion, with_delivered_to};
use crate::mta::report::{self, Action, RecipientStatus};
use crate::mta::{Mta, QueuedMessage, Receipt};
use crate::smtp::server::Origin;
use crate::store;

/// A message that passed so many hosts is in a loop. RFC 5321 §6.3 asks for at least 100.
const MAX_HOPS: usize = 100;
/// Why a recipient fails that the message was sent to before.
const LOOP_REASON: &str = "the message came by this name before: it is in a loop";

/// A received message, and the queue entries that it becomes.
pub(in crate::mta) struct IncomingMessage {
    /// As it was received.
    original: QueuedMessage,
    /// What is queued.
    messages: Vec<QueuedMessage>,
    /// Aliases that were expanded, each with the id of its first copy.
    expanded: Vec<(AliasExpansion, QueueId)>,
    /// Recipients that fail because the message was sent to them before.
    alias_loops: Vec<Recipient>,
    /// Whether it enters the world here.
    is_new: bool,
}

impl IncomingMessage {
    /// Works out the queue entries of a message with this envelope: adds `Received`, and expands aliases. Stores
    /// nothing: [`Self::enqueue`] does.
    ///
    /// # Errors
    /// It is in a loop; the text says so. RFC 5321 §6.3.
    pub(in crate::mta) fn new(
        mta: &Mta,
        origin: &Origin<'_>,
        envelope: Envelope,
        message: Message,
    ) -> Result<Self, &'static str> {
        if MAX_HOPS <= message.hops() {
            return Err("Too many hops, this message is in a loop");
        }
        let (context, arrived) = (mta.context(), mta.context().clock.now());
        let (journey, envelope) = (origin.journey(&message, &context.rng), normalise_recipients(envelope, mta));
        let recipient = match envelope.recipients.as_slice() {
            [one] => Some(&one.address),
            _ => None,
        };
        let copy = |id: QueueId| {
            let message = message.with_header(&origin.received_field(mta.fqdn(), id, recipient, arrived));
            QueuedMessage { id, envelope: envelope.clone(), message, arrived }
        };
        let original = copy(journey.queue_id(context.rng.next_u64()));
        let is_new = origin.host.and_then(|_| message.journey()).is_none();
        let (messages, expanded, alias_loops) = Default::default();
        let mut incoming = Self { original, messages, expanded, alias_loops, is_new };
        let mut own = Vec::new();
        for recipient in &envelope.recipients {
            match AliasExpansion::of(mta, recipient) {
                None => own.push(recipient.clone()),
                Some(mut expansion) => {
                    let looped = expansion.mark_loops(&message);
                    if !expansion.was_sent_to_all() {
                        incoming.expanded.push((expansion, journey.queue_id(context.rng.next_u64())));
                    }
                    incoming.alias_loops.extend(looped);
                }
            }
        }
        let mut seen: BTreeSet<Address> = own.iter().map(|recipient| recipient.address.clone()).collect();
        if !own.is_empty() {
            let envelope = Envelope { recipients: own, ..envelope.clone() };
            incoming.messages.push(QueuedMessage { envelope, ..incoming.original.clone() });
        }
        for (expansion, id) in &incoming.expanded {
            for (at, (recipients, names)) in expansion.copies(&mut seen).into_iter().enumerate() {
                let queued = copy(if at == 0 { *id } else { journey.queue_id(context.rng.next_u64()) });
                let message = with_delivered_to(&queued.message, names);
                let envelope = Envelope { recipients, ..envelope.clone() };
                incoming.messages.push(QueuedMessage { envelope, message, ..queued });
            }
        }
        Ok(incoming)
    }

    /// Takes responsibility for the message (RFC 5321 §6.1): makes its queue entries, the reports and the catalogue
    /// entries durable in one commit, then records the events, and then makes all due. Logs an error.
    ///
    /// # Errors
    /// It could not be stored, and nothing of it is.
    pub(in crate::mta) async fn enqueue(self, mta: &Mta, origin: &Origin<'_>) -> Result<Receipt, store::Error> {
        let reports = self.reports(mta);
        let messages = self.messages.iter().chain(&reports).cloned().collect();
        // Before it is due, so that what the next hosts do is recorded after it.
        let record = || self.record_events(mta, origin, &reports);
        let arrivals = self.arrivals(mta, origin, &reports);
        let put = mta.queue().put_all(self.original.id, messages, arrivals, record).await;
        put.inspect_err(|error| tracing::error!(host = %mta.host(), %error, "a message could not be stored"))
    }

    /// The entries for the catalogue, none without one: of the reports, and of the message if it enters the world here,
    /// listed under the addresses that it is queued for or, if it is not queued, those that it was received for.
    fn arrivals(&self, mta: &Mta, origin: &Origin<'_>, reports: &[QueuedMessage]) -> Vec<Arrival> {
        let mut arrivals = mta.queue().arrivals(reports);
        if self.is_new && mta.context().catalogue.is_some() {
            let mut addresses: BTreeSet<String> =
                self.messages.iter().flat_map(QueuedMessage::recipient_keys).collect();
            if addresses.is_empty() {
                addresses = self.original.recipient_keys();
            }
            arrivals.push(self.original.arrival(addresses, origin.user));
        }
        arrivals
    }

    /// Records the events, once all is durable: the message was received, each alias expanded, the recipients in a loop
    /// failed, and each report begins its own journey. Notes in the session that the journey was accepted.
    fn record_events(&self, mta: &Mta, origin: &Origin<'_>, reports: &[QueuedMessage]) {
        let QueuedMessage { id, envelope, message, .. } = &self.original;
        let recipients = envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        let received = origin.received_event(&envelope.reverse_path, recipients, message.len());
        let (journey, id) = (id.journey, Some(*id));
        let emitter = &mta.context().emitter;
        emitter.report(journey, id, received, None);
        if let Some(session) = origin.session {
            session.accepted(journey);
        }
        for (expansion, id) in &self.expanded {
            let (recipient, targets) = (expansion.alias.address.clone(), expansion.targets());
            let step = EventKind::Expanded { recipient, targets, discarded: expansion.is_discarded };
            emitter.report(journey, Some(*id), step, None);
        }
        if !self.alias_loops.is_empty() {
            let recipients = self.alias_loops.iter().map(|recipient| recipient.address.clone()).collect();
            let report = reports.first().map(|report| report.id.journey);
            emitter.report(
                journey,
                id,
                EventKind::Failed {
                    recipients,
                    by: None,
                    reason: LOOP_REASON.to_owned(),
                    report,
                    in_doubt: false,
                    attempt: None,
                },
                None,
            );
        }
        for report in reports {
            emitter.report(report.id.journey, Some(report.id), report::reported_event(report, journey), None);
        }
    }

    /// The reports to the sender at this stage, not stored yet: the recipients that fail for a loop, then the
    /// expansions and discards of which the sender requested a report.
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

/// Returns the envelope as it is queued: the bare postmaster is that of this host's own domain, or of the first one
/// that the world has (RFC 5321 §4.5.1), and a recipient that is named twice gets one copy.
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
