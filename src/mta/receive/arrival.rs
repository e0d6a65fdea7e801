//! What a message becomes once it is whole: stamped, its aliases led on, and durable before `250`.
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

use super::Kind;
use super::conversation::Conversation;
use crate::journey::{Protocol, Step};
use crate::mail::{Address, Envelope, JourneyId, Letter, QueueId, Recipient, Stamp};
use crate::mta::expand::Expansion;
use crate::mta::report::{self, Action, RecipientStatus};
use crate::mta::{Mail, Mta, Receipt};
use crate::smtp::Reply;
use crate::store;
use crate::world::rfc5322_date;

/// A message that passed so many hosts is in a loop. RFC 5321 §6.3 asks for at least 100.
const HOPS_MAX: usize = 100;
/// Why an alias that the message came by before takes it no more.
const LOOP: &str = "the message came by this name before: it is in a loop";

/// A message that came in, and all that it becomes.
pub(in crate::mta) struct Arrival {
    /// As it came.
    whole: Mail,
    /// What is queued.
    mails: Vec<Mail>,
    /// Aliases that were followed, with the names of the messages that they became.
    expanded: Vec<(Expansion, QueueId)>,
    /// Aliases that it came by before.
    looped: Vec<Recipient>,
}

impl Arrival {
    /// What becomes of a letter with this envelope; `stamp` writes the `Received` field of each copy.
    ///
    /// # Errors
    /// It is in a loop; the text says so. RFC 5321 §6.3.
    pub(in crate::mta) fn new(
        mta: &Mta,
        envelope: Envelope,
        letter: Letter,
        journey: JourneyId,
        stamp: impl Fn(QueueId, &Envelope, Timestamp) -> String,
    ) -> Result<Self, &'static str> {
        if HOPS_MAX <= letter.hops() {
            return Err("Too many hops, this message is in a loop");
        }
        let (setup, arrived) = (mta.setup(), mta.setup().clock.now());
        let letter = Letter { content: setup.store.share(letter.content.clone()), ..letter };
        let envelope = settled(envelope, mta);
        let mail = |id: QueueId| {
            let letter = letter.stamped(&stamp(id, &envelope, arrived));
            Mail { id, envelope: envelope.clone(), letter, arrived }
        };
        let whole = mail(journey.stay(setup.dice.draw()));
        let mut arrival = Self { whole, mails: Vec::new(), expanded: Vec::new(), looped: Vec::new() };
        let mut own = Vec::new();
        for recipient in &envelope.recipients {
            match Expansion::of(mta, recipient) {
                None => own.push(recipient.clone()),
                Some(expansion) if expansion.has_passed(&letter) => arrival.looped.push(recipient.clone()),
                Some(expansion) => arrival.expanded.push((expansion, journey.stay(setup.dice.draw()))),
            }
        }
        let mut seen: BTreeSet<Address> = own.iter().map(|recipient| recipient.address.clone()).collect();
        if !own.is_empty() {
            let envelope = Envelope { recipients: own, ..envelope.clone() };
            arrival.mails.push(Mail { envelope, ..arrival.whole.clone() });
        }
        for (expansion, id) in &arrival.expanded {
            let targets = expansion.targets.iter().filter(|target| seen.insert((*target).clone()));
            let recipients = expansion.recipients(targets.cloned().collect());
            if !recipients.is_empty() {
                let mail = mail(*id);
                let letter = expansion.stamped(&mail.letter);
                arrival.mails.push(Mail { envelope: Envelope { recipients, ..envelope.clone() }, letter, ..mail });
            }
        }
        Ok(arrival)
    }

    /// The stage that takes responsibility (RFC 5321 §6.1): makes it all durable, then tells the journal. `received`
    /// says how it came.
    ///
    /// # Errors
    /// It could not be stored, and nothing of it is.
    pub(in crate::mta) async fn settle(
        self,
        mta: &Mta,
        received: impl FnOnce(&Mail) -> Step,
    ) -> Result<Receipt, store::Error> {
        let reports = self.reports(mta);
        let mails = self.mails.iter().chain(&reports).cloned().collect();
        let put = mta.queue().put_all(self.whole.id, mails).await;
        let receipt = put.inspect_err(|error| {
            tracing::error!(host = %mta.host(), %error, "a message could not be stored");
        })?;
        self.tell(mta, received(&self.whole), &reports);
        Ok(receipt)
    }

    /// What the journal hears, once all is durable.
    fn tell(&self, mta: &Mta, received: Step, reports: &[Mail]) {
        let (journey, id) = (self.whole.id.journey, Some(self.whole.id));
        let recorder = &mta.setup().recorder;
        recorder.report(journey, id, received, None);
        for (Expansion { alias, targets, is_discarded, .. }, id) in &self.expanded {
            let (recipient, targets) = (alias.address.clone(), targets.clone());
            let step = Step::Expanded { recipient, targets, discarded: *is_discarded };
            recorder.report(journey, Some(*id), step, None);
        }
        for report in reports {
            recorder.report(report.id.journey, Some(report.id), report::step(report, journey), None);
        }
        if !self.looped.is_empty() {
            let recipients = self.looped.iter().map(|recipient| recipient.address.clone()).collect();
            let report = reports.first().map(|report| report.id.journey);
            recorder.report(
                journey,
                id,
                Step::Failed { recipients, by: None, reason: LOOP.to_owned(), report, in_doubt: false },
                None,
            );
        }
    }

    /// What the sender is told at once: first what failed, then what became of aliases.
    fn reports(&self, mta: &Mta) -> Vec<Mail> {
        let failed = |recipient| {
            let told = RecipientStatus { status: (5, 4, 6), host: None, text: Some(LOOP.to_owned()) };
            (recipient, Action::Failed, told)
        };
        let led = self.expanded.iter().filter_map(|(expansion, _)| {
            let (action, told) = expansion.news()?;
            Some((&expansion.alias, action, told))
        });
        let lines: Vec<_> = self.looped.iter().map(failed).chain(led).collect();
        report::all(mta, &self.whole, &lines, self.whole.arrived)
    }
}

impl Conversation {
    /// What is said to a whole message.
    pub(super) async fn store(&self, envelope: Envelope, letter: Letter) -> Result<Reply, Reply> {
        let mta = self.home(envelope.reverse_path.as_ref());
        let journey = self.journey(mta, &letter);
        let stamp = |id: QueueId, envelope: &Envelope, now: Timestamp| self.received_field(mta, id, envelope, now);
        let arrival = Arrival::new(mta, envelope, letter, journey, stamp);
        let arrival = arrival.map_err(|why| Reply::new(554, (5, 4, 6), why))?;
        let settled = arrival.settle(mta, |mail| self.received(mail)).await;
        let full = |_| Reply::new(452, (4, 3, 1), "Cannot store the message now, try again later");
        let receipt = settled.map_err(full)?;
        Ok(Reply::new(250, (2, 0, 0), &format!("OK: queued as {}", receipt.id)))
    }

    fn received(&self, mail: &Mail) -> Step {
        let (session, stream) = (&self.conn.machine, self.conn.stream());
        Step::Received {
            protocol: match self.reception.kind {
                Kind::Submission => Protocol::Submission,
                Kind::Relay | Kind::Open => Protocol::Smtp,
            },
            from: format!("{} [{}]", session.hello().unwrap_or_default(), stream.peer().ip()),
            reverse_path: mail.envelope.reverse_path.clone(),
            recipients: mail.envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            size: mail.letter.len(),
            tls: stream.tls(),
            user: session.user().map(str::to_owned),
            took_ms: self.began.elapsed().as_secs_f64() * 1e3,
        }
    }

    /// The journey that a host of this world gave the message, or a new one.
    fn journey(&self, mta: &Mta, letter: &Letter) -> JourneyId {
        let setup = mta.setup();
        let trusted = setup.world.host_at(self.peer()).is_some();
        let known = if trusted { letter.journey() } else { None };
        known.unwrap_or_else(|| JourneyId::of(setup.dice.draw()))
    }

    /// RFC 5321 §4.4.
    fn received_field(&self, mta: &Mta, id: QueueId, envelope: &Envelope, now: Timestamp) -> String {
        let (session, peer) = (&self.conn.machine, self.peer());
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

/// The envelope as it is queued: the bare postmaster is that of this host's own domain, or of the first one that the
/// world has (RFC 5321 §4.5.1), and who is named twice gets one copy.
fn settled(mut envelope: Envelope, mta: &Mta) -> Envelope {
    for recipient in envelope.recipients.iter_mut().filter(|recipient| recipient.address.domain().is_empty()) {
        if let Some(postmaster) = mta.postmaster() {
            recipient.address = postmaster;
        }
    }
    let mut seen = BTreeSet::new();
    envelope.recipients.retain(|recipient| seen.insert(recipient.address.clone()));
    envelope
}
