//! A message of a queue, and what is stored after an attempt to relay it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::catalogue::Arrival;
use crate::mail::{Envelope, Message, QueueId};

/// A message to be queued.
#[derive(Clone, Debug)]
pub struct QueuedMessage {
    /// Its id in this queue.
    pub id: QueueId,
    /// Its sender and recipients.
    pub envelope: Envelope,
    /// Its bytes.
    pub message: Message,
    /// When it was received.
    pub arrived: Timestamp,
}

impl QueuedMessage {
    /// The message as a new entry for the catalogue: listed under these addresses (keys of mailboxes), and sent by the
    /// user `login`, if one logged in.
    pub(super) fn arrival(&self, addresses: BTreeSet<String>, login: Option<&str>) -> Arrival {
        let Envelope { reverse_path, recipients, .. } = &self.envelope;
        Arrival {
            journey: self.id.journey,
            reverse_path: reverse_path.clone(),
            recipients: recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            addresses,
            login: login.map(str::to_owned),
            message: self.message.clone(),
            arrived: self.arrived,
        }
    }

    /// The mailbox keys of the recipients: addresses in lower case, without `+detail`.
    pub(super) fn recipient_keys(&self) -> BTreeSet<String> {
        self.envelope.recipients.iter().map(|recipient| recipient.address.key()).collect()
    }
}

/// A message in the queue.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) row: i64,
    pub(super) content: i64,
    /// The message, with the recipients that are not settled yet.
    pub queued: QueuedMessage,
    /// When this attempt was due.
    pub(super) due: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether a report has warned the sender that it is late.
    pub warned: bool,
}

/// The result of an attempt, stored in one commit.
#[derive(Clone, Debug, Default)]
pub struct Settlement {
    /// The recipients that are left.
    pub remaining: Remaining,
    /// New messages: the reports to the sender.
    pub reports: Vec<QueuedMessage>,
}

/// The recipients that are left after an attempt, or during it.
#[derive(Clone, Debug, Default)]
pub enum Remaining {
    /// None: the message is deleted.
    #[default]
    None,
    /// These, which are still being tried.
    InFlight(Envelope),
    /// These, which are tried again later.
    RetryAt {
        /// The message's envelope with these recipients.
        envelope: Envelope,
        /// When the next attempt is due.
        due: Timestamp,
        /// Whether a report has warned the sender, now or before, that the message is late.
        warned: bool,
        /// Why it was not relayed, for the operator.
        reason: Option<String>,
    },
}
