//! What a queue holds, as an operator and simulations see it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mail::{Address, InvalidId, JourneyId, QueueId, ReversePath};
use crate::world::HostName;

/// Selects messages of a queue.
#[derive(Clone, Copy, Debug)]
pub enum Selector {
    /// All.
    All,
    /// Those of a journey.
    Journey(JourneyId),
    /// One.
    One(QueueId),
}

impl FromStr for Selector {
    type Err = InvalidId;

    /// Parses a queue id or a journey id; never selects all.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::One).or_else(|_| text.parse().map(Self::Journey))
    }
}

impl Selector {
    /// What the ids of the selected messages are compared with: the queue id, or the journey id with which queue ids
    /// begin; `None` for all.
    pub(super) fn name(self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Journey(journey) => Some(journey.to_string()),
            Self::One(id) => Some(id.to_string()),
        }
    }
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its next attempt.
    Waiting,
    /// The operator.
    Held,
    /// The end of an attempt.
    Underway,
}

/// The place of a message in a list, oldest first. As text, it is the cursor of the messages behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePlace {
    /// Milliseconds since 1970.
    pub(super) arrived: i64,
    pub(super) row: i64,
}

impl fmt::Display for QueuePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.arrived, self.row)
    }
}

impl FromStr for QueuePlace {
    type Err = &'static str;

    /// Parses a cursor, as it is displayed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('.');
        let place =
            parts.and_then(|(arrived, row)| Some(Self { arrived: arrived.parse().ok()?, row: row.parse().ok()? }));
        place.ok_or("a cursor is `next` of the page before")
    }
}

impl Serialize for QueuePlace {
    /// Serializes as text, as it is displayed.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QueuePlace {
    /// Deserializes from text, as it is displayed.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A message as the operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueueEntry {
    /// Its number in the store.
    #[serde(skip)]
    pub row: i64,
    /// Its queue id.
    pub id: QueueId,
    /// The host of the queue.
    #[schema(value_type = String)]
    pub host: HostName,
    /// What it waits for.
    pub state: State,
    /// Its sender; also `None` if that cannot be read.
    #[schema(value_type = Option<Address>)]
    pub reverse_path: ReversePath,
    /// The recipients that are not settled; empty if they cannot be read.
    pub recipients: Vec<Address>,
    /// Bytes, with trace fields.
    pub size: usize,
    /// When it was received.
    pub arrived: Timestamp,
    /// When the next attempt is due.
    pub due: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// Why it waits, if not for its time; and why the last attempt failed, or why the message is on hold.
    pub reason: Option<String>,
    /// The attempts under way, one for each destination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_attempts: Vec<ActiveAttempt>,
}

/// An attempt under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActiveAttempt {
    /// The host that it talks to; `None` while it looks for one, or waits for a free connection.
    pub to: Option<String>,
    /// When it began.
    pub since: Timestamp,
}

impl QueueEntry {
    /// The place of the message in the list, behind which the next page begins.
    pub fn place(&self) -> QueuePlace {
        QueuePlace { arrived: self.arrived.as_millisecond(), row: self.row }
    }

    /// Puts `now`, why the message waits at present, in front of `reason`, that of its last attempt, if there is one.
    pub fn explain(&mut self, now: &str) {
        let before = self.reason.take().map_or_else(String::new, |reason| format!("; before: {reason}"));
        self.reason = Some(format!("{now}{before}"));
    }
}

/// A message of a queue, as a start finds it.
#[derive(Clone, Debug)]
pub struct WaitingMessage {
    /// Its place in the order of [`Queue::messages_after`](super::Queue::messages_after).
    pub row: i64,
    /// Its queue id; `None` if it cannot be read.
    pub id: Option<QueueId>,
    /// Who sent it.
    pub reverse_path: ReversePath,
    /// The recipients that still wait.
    pub recipients: Vec<Address>,
    /// When it came.
    pub arrived: Timestamp,
    /// When the next attempt is due.
    pub due: Timestamp,
    /// Whether it waits for the operator.
    pub is_held: bool,
    /// Why the last attempt failed, or why it is on hold.
    pub reason: Option<String>,
}

/// A part of a queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Listing {
    /// The number of messages that were selected.
    pub total: usize,
    /// `cursor` of the next page; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<QueuePlace>,
    /// The oldest of them.
    pub messages: Vec<QueueEntry>,
}

/// A message that the operator changed.
#[derive(Clone, Debug)]
pub(super) struct Affected {
    pub(super) row: i64,
    /// `None` if it cannot be read.
    pub(super) id: Option<QueueId>,
    /// None if they cannot be read.
    pub(super) recipients: Vec<Address>,
}

/// What all queues of a store hold at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Copies: host, journey, recipient.
    pub queued: Vec<(String, JourneyId, Address)>,
    /// Contents of messages with a null reverse-path.
    pub reports: Vec<i64>,
}
