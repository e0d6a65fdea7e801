//! One thing that happened to one message at one host.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::mail::{Address, Dialogue, JourneyId, QueueId, ReversePath};

/// What happened, when, where, to which message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the order in which events were reported, from 1.
    pub seq: u64,
    /// The world's time.
    pub at: Timestamp,
    /// The host's short name in the world file.
    pub host: Arc<str>,
    /// The message's whole way.
    pub journey: JourneyId,
    /// Its stay in this host's queue, where the step belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<QueueId>,
    /// What happened.
    #[serde(flatten)]
    pub step: Step,
    /// What was said meanwhile, where that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialogue: Option<Arc<Dialogue>>,
}

impl Event {
    /// Roughly how many octets of memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + 256 + self.dialogue.as_ref().map_or(0, |dialogue| dialogue.weight())
    }
}

/// How a message moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A host took responsibility: the message is durable there, and `250` was said.
    Received {
        /// By which protocol.
        protocol: Protocol,
        /// Who brought it: the name it gave, and its address.
        from: String,
        /// `MAIL FROM`.
        reverse_path: ReversePath,
        /// `RCPT TO`.
        recipients: Vec<Address>,
        /// Octets, trace lines included.
        size: usize,
        /// The TLS version and cipher, if encrypted.
        tls: Option<String>,
        /// The user who logged in, if one did.
        user: Option<String>,
        /// From the first command of the transaction to the reply.
        took_ms: f64,
    },
    /// The recipient is an alias: its mail goes on to others.
    Expanded {
        /// The alias.
        recipient: Address,
        /// To whom; to nobody where all is thrown away.
        targets: Vec<Address>,
        /// Whether a copy is thrown away.
        discarded: bool,
    },
    /// A host wrote a report about another message, and took responsibility for it.
    Reported {
        /// The message it is about.
        about: JourneyId,
        /// The sender of that message.
        recipients: Vec<Address>,
    },
    /// The next host took responsibility for these recipients.
    Relayed {
        /// By which protocol.
        protocol: Protocol,
        /// The next host's name.
        to: String,
        /// For whom.
        recipients: Vec<Address>,
        /// What it replied to the final dot.
        reply: String,
        /// The TLS version and cipher, if encrypted.
        tls: Option<String>,
        /// From connecting to the reply.
        took_ms: f64,
    },
    /// An attempt failed for now; it will be repeated.
    Deferred {
        /// For whom.
        recipients: Vec<Address>,
        /// Which host did not take it, if one was reached for.
        to: Option<String>,
        /// Why.
        reason: String,
        /// When the next attempt is due.
        until: Timestamp,
        /// The whole message was out, and no reply came: the next host may have it. RFC 5321 §4.5.3.2.6, §6.1.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        in_doubt: bool,
    },
    /// A host gave up on these recipients.
    Failed {
        /// For whom.
        recipients: Vec<Address>,
        /// Which host refused it, if one was reached.
        by: Option<String>,
        /// Why.
        reason: String,
        /// The journey of the report to the sender, if one was sent (a report about a report is not).
        report: Option<JourneyId>,
        /// The whole message was out, and no reply came: the next host may have it. RFC 5321 §4.5.3.2.6, §6.1.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        in_doubt: bool,
    },
    /// The operator deleted it from the queue: these recipients do not get it, and nobody is told.
    Deleted {
        /// For whom.
        recipients: Vec<Address>,
    },
    /// The message is in a mailbox, durable.
    Delivered {
        /// For whom.
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
        /// By which protocol.
        protocol: Protocol,
        /// Whose mailbox.
        account: String,
        /// Octets.
        size: usize,
    },
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
