//! Events: what happened to one message at one host.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AttemptDetails;
use crate::mail::{Address, JourneyId, QueueId, ReversePath, Transcript};

/// An event of one message at one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// The number of the event in its log, from 1.
    pub seq: u64,
    /// The world's time.
    pub at: Timestamp,
    /// The host's short name in the world file.
    #[schema(value_type = String)]
    pub host: Arc<str>,
    /// The journey of the message, which is the same at all hosts.
    pub journey: JourneyId,
    /// Its id in this host's queue, for events of a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<QueueId>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// The protocol transcript, if it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "dialogue")]
    #[schema(value_type = Option<Transcript>)]
    pub transcript: Option<Arc<Transcript>>,
}

/// About what the index takes for a journey with one recipient, in bytes.
const INDEX_BYTES: usize = 2048;

impl Event {
    /// Approximate memory use in a log, in bytes: that of the event and, if it begins a journey, that of the journey in
    /// the index.
    pub(super) fn retained_bytes(&self) -> usize {
        self.memory_bytes() + if self.kind.begins() { INDEX_BYTES } else { 0 }
    }

    /// Approximate memory use in bytes, with its transcript.
    pub(super) fn memory_bytes(&self) -> usize {
        let attempt = self.kind.attempt().map_or(0, AttemptDetails::memory_bytes);
        size_of::<Self>() + 256 + attempt + self.transcript.as_ref().map_or(0, |transcript| transcript.memory_bytes())
    }
}

/// The protocol by which a message was transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 6409.
    Submission,
    /// RFC 2033.
    Lmtp,
    /// RFC 1939.
    Pop3,
    /// RFC 3501, RFC 9051.
    Imap,
}

/// The kinds of events, in the order in which a message meets them. Durations are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum EventKind {
    /// A host accepted the message: it is durable there, and `250` was sent.
    Received {
        /// The protocol.
        protocol: Protocol,
        /// The client: its name and address.
        from: String,
        /// `MAIL FROM`.
        #[schema(value_type = Option<Address>)]
        reverse_path: ReversePath,
        /// `RCPT TO`.
        recipients: Vec<Address>,
        /// Bytes, including trace lines.
        size: usize,
        /// The TLS version and cipher, if encrypted.
        tls: Option<String>,
        /// The user who logged in, if one did.
        user: Option<String>,
        /// Time from the first command of the transaction to the reply.
        took_ms: f64,
        /// The number of the conversation at a door by which it came in; see [`Sessions`](super::Sessions).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
    },
    /// The recipient is an alias, which was expanded.
    Expanded {
        /// The alias.
        recipient: Address,
        /// Its targets; empty if all mail to it is discarded.
        targets: Vec<Address>,
        /// Whether a copy is discarded.
        discarded: bool,
    },
    /// A host created a delivery report (DSN) about another message.
    Reported {
        /// The journey of the reported message.
        about: JourneyId,
        /// The sender of that message, to whom the report goes.
        recipients: Vec<Address>,
    },
    /// A host was tried and cannot be used: no connection, no TLS, no session. The next host or address is tried, or the attempt
    /// fails.
    Tried {
        /// The protocol.
        protocol: Protocol,
        /// The host's name.
        to: String,
        /// The recipients.
        recipients: Vec<Address>,
        /// Why it cannot be used.
        reason: String,
        /// Time from the beginning of the attempt, or from the end of the host that was tried before.
        took_ms: f64,
        /// How it went, with the address.
        #[schema(value_type = AttemptDetails)]
        attempt: Box<AttemptDetails>,
    },
    /// The next host accepted the message for these recipients.
    Relayed {
        /// The protocol.
        protocol: Protocol,
        /// The next host's name.
        to: String,
        /// The recipients.
        recipients: Vec<Address>,
        /// Its reply to the message.
        reply: String,
        /// The TLS version and cipher, if encrypted.
        tls: Option<String>,
        /// Time from connecting to the reply.
        took_ms: f64,
        /// No host of the world reports what becomes of the message: the next one is a server outside of it, or an
        /// external MTA that is an exchange of the recipient's domain.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        leaves: bool,
        /// How the attempt went; of the events of one attempt, the first has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<AttemptDetails>)]
        attempt: Option<Box<AttemptDetails>>,
    },
    /// An attempt failed temporarily and will be repeated.
    Deferred {
        /// The recipients.
        recipients: Vec<Address>,
        /// The host that did not accept it, if one was contacted.
        to: Option<String>,
        /// The reason.
        reason: String,
        /// When the next attempt is due.
        until: Timestamp,
        /// The message was sent completely, but no reply came, so the next host may have accepted it. RFC 5321
        /// §4.5.3.2.6, §6.1.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        in_doubt: bool,
        /// How the attempt went; of the events of one attempt, the first has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<AttemptDetails>)]
        attempt: Option<Box<AttemptDetails>>,
    },
    /// A host gave up on these recipients.
    Failed {
        /// The recipients.
        recipients: Vec<Address>,
        /// The host that refused it, if one was contacted.
        by: Option<String>,
        /// The reason.
        reason: String,
        /// The journey of the report to the sender, if one was sent; there are none about reports.
        report: Option<JourneyId>,
        /// The message was sent completely, but no reply came, so the next host may have accepted it. RFC 5321
        /// §4.5.3.2.6, §6.1.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        in_doubt: bool,
        /// How the attempt went; of the events of one attempt, the first has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<AttemptDetails>)]
        attempt: Option<Box<AttemptDetails>>,
    },
    /// The message is held in the queue: it is not tried until it is released.
    Held {
        /// The recipients.
        recipients: Vec<Address>,
        /// Why, unless the operator asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The operator released the message, which is tried again.
    Released {
        /// The recipients.
        recipients: Vec<Address>,
    },
    /// The operator made the message due at once.
    Flushed {
        /// The recipients.
        recipients: Vec<Address>,
    },
    /// The operator deleted the message from the queue. These recipients do not get it, and no report is sent.
    Deleted {
        /// The recipients.
        recipients: Vec<Address>,
    },
    /// A start found the message in the host's queue or mailboxes, but not the events that led there: the process was
    /// killed before they were stored, or an older build ran.
    Found {
        /// `MAIL FROM`.
        #[schema(value_type = Option<Address>)]
        reverse_path: ReversePath,
        /// The recipients.
        recipients: Vec<Address>,
    },
    /// A start found that the message has left the host's queue for these recipients; what became of it is not known, since
    /// the process was killed before that was stored.
    Gone {
        /// The recipients.
        recipients: Vec<Address>,
    },
    /// The message is in a mailbox, durable.
    Delivered {
        /// The recipient.
        recipient: Address,
        /// The mailbox's account.
        account: String,
        /// The mailbox in the account.
        mailbox: String,
        /// Its unique id there.
        uid: u32,
    },
    /// A client fetched the whole message.
    Retrieved {
        /// The protocol.
        protocol: Protocol,
        /// The mailbox's account.
        account: String,
        /// Bytes.
        size: usize,
    },
}

impl EventKind {
    /// Whether the event says by itself that a host has the message from then on: it was received, created as a report,
    /// or found at a start.
    pub(super) fn begins(&self) -> bool {
        matches!(self, Self::Received { .. } | Self::Reported { .. } | Self::Found { .. })
    }

    /// The details of the attempt that the event is about; `None` if it is about none, or another event of the attempt
    /// has them.
    pub fn attempt(&self) -> Option<&AttemptDetails> {
        match self {
            Self::Tried { attempt, .. } => Some(attempt),
            Self::Relayed { attempt, .. } | Self::Deferred { attempt, .. } | Self::Failed { attempt, .. } => {
                attempt.as_deref()
            }
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "SMTP",
            Self::Submission => "submission",
            Self::Lmtp => "LMTP",
            Self::Pop3 => "POP3",
            Self::Imap => "IMAP",
        })
    }
}
