//! Receives messages over LMTP and delivers them to mailboxes. RFC 2033.

use futures_util::future::join_all;

use super::{Delivered, Error, Mda};
use crate::journey::EventKind;
use crate::mail::{Address, Envelope, Message, QueueId, Recipient, ReversePath, return_path};
use crate::smtp::server::{self, Client, Origin, Policy, Resources};
use crate::smtp::{BareLineEnds, Reply};
use crate::store;

/// The decisions of the LMTP server of one MDA. Cheap to clone.
#[derive(Clone)]
pub struct LmtpPolicy(Mda);

impl LmtpPolicy {
    /// Accepts messages for the mailboxes of this host.
    pub fn new(mda: Mda) -> Self {
        Self(mda)
    }

    /// Stores the message for the recipient `to`, with a new `Received` field and above it a new `Return-Path` field,
    /// RFC 5321 §4.4; in the mailbox named by the detail of the address if there is one, else in INBOX. `Err` is the
    /// LMTP reply of the refusal. `id` is for the `Received` field.
    async fn deliver(
        &self,
        origin: &Origin<'_>,
        from: &ReversePath,
        to: &Address,
        message: &Message,
        id: QueueId,
    ) -> Result<Delivered, Reply> {
        let received = origin.received_field(self.0.fqdn(), id, Some(to), self.0.context().clock.now());
        let message = message.with_header(&received).with_header(&return_path(from));
        self.0.mailboxes().deliver(&to.key(), to.detail(), &message).await.map_err(refusal_reply)
    }

    /// Records the events of the stored copies: one `Received` for all their recipients, and one `Delivered` each;
    /// nothing if no copy was stored. The outcomes are in the order of the recipients.
    fn report(&self, origin: &Origin<'_>, envelope: &Envelope, size: usize, id: QueueId, outcomes: &[Outcome]) {
        let all = envelope.recipients.iter().zip(outcomes);
        let stored = all.filter_map(|(Recipient { address, .. }, outcome)| Some((address, outcome.as_ref().ok()?)));
        let stored: Vec<(&Address, &Delivered)> = stored.collect();
        if stored.is_empty() {
            return;
        }
        let emitter = &self.0.context().emitter;
        let recipients = stored.iter().map(|(address, _)| (*address).clone()).collect();
        emitter.report(id.journey, Some(id), origin.received_event(&envelope.reverse_path, recipients, size), None);
        for (address, Delivered { mailbox, uid, .. }) in stored {
            let (recipient, account, mailbox) = (address.clone(), address.key(), mailbox.clone());
            emitter.report(id.journey, Some(id), EventKind::Delivered { recipient, account, mailbox, uid: *uid }, None);
        }
    }
}

/// What became of the message for one recipient.
type Outcome = Result<Delivered, Reply>;

impl Policy for LmtpPolicy {
    /// The name, TLS settings, upload memory, clock and random numbers of the host.
    fn resources(&self) -> Resources<'_> {
        let context = self.0.context();
        Resources {
            fqdn: self.0.fqdn(),
            tls: &context.tls,
            uploads: &context.uploads,
            clock: context.clock,
            rng: &context.rng,
        }
    }

    /// Speaks LMTP, with the message size limit of the world file; bare line ends are stored unchanged.
    fn config(&self) -> server::Config {
        server::Config {
            protocol: server::Protocol::Lmtp,
            max_message_bytes: self.0.context().settings.size_max as u64,
            // The MTA has checked the line ends; here they are stored unchanged.
            bare_line_ends: BareLineEnds::Keep,
            ..server::Config::default()
        }
    }

    /// Replies 250 for an address whose mailbox is on this host, and for the postmaster of each of its domains
    /// (RFC 5321 §4.5.1); else 550.
    fn rcpt(&mut self, _client: Client<'_>, _from: &ReversePath, Recipient { address, .. }: &Recipient) -> Reply {
        let is_postmaster = address.local().eq_ignore_ascii_case("postmaster");
        let is_known = is_postmaster || self.0.context().world.has_mailbox(address);
        match is_known && self.0.serves(address) {
            true => Reply::new(250, (2, 1, 5), "Recipient OK"),
            false => Reply::new(550, (5, 1, 1), &format!("<{address}> has no mailbox here")),
        }
    }

    /// Stores the message for all recipients, in one commit where possible, and records the events of the stored
    /// copies. Returns one reply per recipient, in order.
    async fn message(&mut self, client: Client<'_>, envelope: Envelope, message: Message) -> Vec<Reply> {
        let context = self.0.context();
        let origin = client.origin(&context.world);
        let id = origin.journey(&message, &context.rng).queue_id(context.rng.next_u64());
        let (from, recipients) = (&envelope.reverse_path, envelope.recipients.iter());
        let outcomes = join_all(recipients.map(|to| self.deliver(&origin, from, &to.address, &message, id))).await;
        self.report(&origin, &envelope, message.len(), id, &outcomes);
        outcomes.into_iter().map(|outcome| outcome.map_or_else(|refusal| refusal, saved_reply)).collect()
    }
}

/// The reply 250 to a message for a recipient whose copy was stored, with the mailbox and the UID.
fn saved_reply(Delivered { mailbox, uid, .. }: Delivered) -> Reply {
    Reply::new(250, (2, 1, 5), &format!("Saved as {mailbox} uid {uid}"))
}

/// The reply to a message for a recipient whose copy was not stored: 452 if the quota is used up, 552 if the message is
/// larger than the quota; any other error is logged, and the reply is that of a storage failure.
fn refusal_reply(error: Error) -> Reply {
    match error {
        Error::OverQuota { ever: true } => Reply::new(452, (4, 2, 2), "The mailbox is full, try again later"),
        // RFC 3463 §3.3: it will never fit.
        Error::OverQuota { ever: false } => {
            Reply::new(552, (5, 2, 2), "The message is larger than the quota of the mailbox")
        }
        error => {
            tracing::error!(%error, "cannot deliver a message");
            server::storage_failure(matches!(error, Error::Store(store::Error::Full)))
        }
    }
}
