//! Index of events by journey: where each message is, and whether it was lost or duplicated.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{Event, EventKind};
use crate::mail::{Address, JourneyId, ReversePath};

/// The delivery status of a message for one recipient.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum RecipientStatus {
    /// Still in transit.
    Underway {
        /// The last host that accepted it.
        at: String,
    },
    /// In a mailbox.
    Delivered {
        /// The number of copies; more than one is a duplicate.
        copies: usize,
        /// When the first copy was delivered.
        at: Timestamp,
    },
    /// Delivery failed permanently.
    Failed {
        /// The reason.
        reason: String,
        /// The journey of the report to the sender.
        report: Option<JourneyId>,
    },
    /// An alias that was expanded. Each target has a status of its own.
    Expanded {
        /// The targets.
        to: Vec<Address>,
    },
    /// Discarded, as the alias says.
    Discarded {
        /// The host.
        at: String,
    },
    /// Deleted by the operator.
    Deleted {
        /// The host from whose queue it was deleted.
        at: String,
    },
}

/// One journey: the way of one message through all hosts.
#[derive(Clone, Debug, Serialize)]
pub struct Journey {
    /// Its id.
    pub journey: JourneyId,
    /// `MAIL FROM` at its first host.
    pub reverse_path: ReversePath,
    /// When the first host accepted it.
    pub began: Timestamp,
    /// The status of each recipient.
    pub recipients: BTreeMap<Address, RecipientStatus>,
    /// A host got no reply to the message and sends it again, which may duplicate it.
    pub in_doubt: bool,
    /// All events, in order.
    pub events: Vec<Event>,
}

/// The journeys of all messages in an event log.
#[derive(Clone, Debug, Default)]
pub struct JourneyIndex {
    journeys: BTreeMap<JourneyId, Journey>,
    order: Vec<JourneyId>,
}

impl JourneyIndex {
    /// Builds the index from events, sorted by time, since events of other processes are imported late.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut events: Vec<_> = events.into_iter().collect();
        events.sort_by_key(|event| event.at);
        let mut index = Self::default();
        events.into_iter().for_each(|event| index.add(event));
        index
    }

    /// Adds an event. The events of one journey must be added in order.
    pub fn add(&mut self, event: Event) {
        let journey = self.journeys.entry(event.journey).or_insert_with(|| {
            self.order.push(event.journey);
            Journey {
                journey: event.journey,
                reverse_path: None,
                began: event.at,
                recipients: BTreeMap::new(),
                in_doubt: false,
                events: Vec::new(),
            }
        });
        journey.add(event);
    }

    /// One journey.
    pub fn journey(&self, journey: JourneyId) -> Option<&Journey> {
        self.journeys.get(&journey)
    }

    /// All journeys, in the order in which they began.
    pub fn journeys(&self) -> impl DoubleEndedIterator<Item = &Journey> {
        self.order.iter().filter_map(|journey| self.journeys.get(journey))
    }

    /// Journeys that are not settled yet.
    pub fn open(&self) -> BTreeSet<JourneyId> {
        self.journeys().filter(|journey| !journey.is_settled()).map(|journey| journey.journey).collect()
    }
}

impl Journey {
    fn add(&mut self, event: Event) {
        match &event.kind {
            EventKind::Received { reverse_path, recipients, .. } => {
                if self.recipients.is_empty() {
                    self.reverse_path = reverse_path.clone();
                }
                self.set_underway(&event.host, recipients);
            }
            EventKind::Expanded { recipient, targets, .. } => self.set_expanded(&event.host, recipient, targets),
            EventKind::Reported { recipients, .. } => self.set_underway(&event.host, recipients),
            EventKind::Delivered { recipient, .. } => {
                let status = self.recipients.entry(recipient.clone());
                let status = status.or_insert(RecipientStatus::Delivered { copies: 0, at: event.at });
                match status {
                    RecipientStatus::Delivered { copies, .. } => *copies += 1,
                    other => *other = RecipientStatus::Delivered { copies: 1, at: event.at },
                }
            }
            EventKind::Failed { recipients, reason, report, in_doubt, .. } => {
                self.in_doubt |= in_doubt;
                for recipient in recipients {
                    let status = RecipientStatus::Failed { reason: reason.clone(), report: *report };
                    self.recipients.insert(recipient.clone(), status);
                }
            }
            EventKind::Deleted { recipients } => {
                for recipient in recipients {
                    self.recipients.insert(recipient.clone(), RecipientStatus::Deleted { at: event.host.to_string() });
                }
            }
            EventKind::Deferred { in_doubt, .. } => self.in_doubt |= in_doubt,
            EventKind::Relayed { .. } | EventKind::Retrieved { .. } => {}
        }
        self.events.push(event);
    }

    fn set_underway(&mut self, host: &str, recipients: &[Address]) {
        for recipient in recipients {
            let underway = RecipientStatus::Underway { at: host.to_owned() };
            let status = self.recipients.entry(recipient.clone()).or_insert_with(|| underway.clone());
            if matches!(status, RecipientStatus::Underway { .. }) {
                *status = underway;
            }
        }
    }

    fn set_expanded(&mut self, host: &str, alias: &Address, targets: &[Address]) {
        let status = match targets {
            [] => RecipientStatus::Discarded { at: host.to_owned() },
            targets => RecipientStatus::Expanded { to: targets.to_vec() },
        };
        // An alias that is its own target keeps a copy, which is still in transit.
        if !targets.contains(alias) {
            self.recipients.insert(alias.clone(), status);
        }
        self.set_underway(host, targets);
    }

    /// Whether no recipient's copy is in transit any more.
    pub fn is_settled(&self) -> bool {
        !self.recipients.is_empty()
            && self.recipients.values().all(|status| !matches!(status, RecipientStatus::Underway { .. }))
    }

    /// Whether each recipient got exactly one copy; for an alias, whether each target did.
    pub fn arrived_once(&self) -> bool {
        let arrived = |status: &RecipientStatus| {
            matches!(status, RecipientStatus::Delivered { copies: 1, .. } | RecipientStatus::Expanded { .. })
        };
        !self.recipients.is_empty() && self.recipients.values().all(arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::Protocol;

    fn event(kind: EventKind) -> Event {
        let journey = JourneyId::from_random(1);
        Event { seq: 0, at: Timestamp::UNIX_EPOCH, host: "mta".into(), journey, id: None, kind, transcript: None }
    }

    fn received(recipients: &[&str]) -> Event {
        event(EventKind::Received {
            protocol: Protocol::Smtp,
            from: "mua".to_owned(),
            reverse_path: None,
            recipients: recipients.iter().map(|text| text.parse().unwrap()).collect(),
            size: 1,
            tls: None,
            user: None,
            took_ms: 0.0,
        })
    }

    fn delivered(recipient: &str) -> Event {
        let recipient: Address = recipient.parse().unwrap();
        event(EventKind::Delivered { account: recipient.key(), recipient, mailbox: "INBOX".to_owned(), uid: 1 })
    }

    #[test]
    fn journey_is_settled_when_every_recipient_is() {
        let mut index = JourneyIndex::of([received(&["a@x.test", "b@x.test"]), delivered("a@x.test")]);
        assert_eq!(index.open().len(), 1);
        index.add(delivered("b@x.test"));
        assert!(index.open().is_empty() && index.journeys().all(Journey::arrived_once));
    }

    #[test]
    fn journey_to_an_alias_has_arrived_when_all_targets_have_it() {
        let address = |text: &str| -> Address { text.parse().unwrap() };
        let targets = vec![address("info@x.test"), address("b@y.test")];
        let expanded = event(EventKind::Expanded { recipient: address("info@x.test"), targets, discarded: false });
        let mut index = JourneyIndex::of([received(&["info@x.test"]), expanded, delivered("b@y.test")]);
        assert_eq!(index.open().len(), 1, "info keeps a copy");
        index.add(delivered("info@x.test"));
        assert!(index.open().is_empty() && index.journeys().all(Journey::arrived_once));
        let discarded = event(EventKind::Expanded { recipient: address("a@x.test"), targets: vec![], discarded: true });
        let index = JourneyIndex::of([received(&["a@x.test"]), discarded]);
        assert!(index.journeys().all(|journey| journey.is_settled() && !journey.arrived_once()));
    }

    #[test]
    fn journey_deleted_by_the_operator_is_settled() {
        let deleted = event(EventKind::Deleted { recipients: vec!["a@x.test".parse().unwrap()] });
        let index = JourneyIndex::of([received(&["a@x.test"]), deleted]);
        assert!(index.journeys().all(|journey| journey.is_settled() && !journey.arrived_once()));
    }

    #[test]
    fn journey_with_a_second_copy_has_not_arrived_once() {
        let index = JourneyIndex::of([received(&["a@x.test"]), delivered("a@x.test"), delivered("a@x.test")]);
        assert!(index.journeys().all(|journey| journey.is_settled() && !journey.arrived_once()));
    }
}
