//! One journey: what became of a message for each recipient, worked out from its events.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, EventKind};
use crate::mail::{Address, JourneyId, ReversePath};

/// The delivery status of a message for one recipient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RecipientStatus {
    /// Still in transit.
    Underway {
        /// The last host that accepted it.
        at: String,
    },
    /// Still in transit, and waiting for the next attempt.
    Deferred {
        /// The host in whose queue it waits.
        at: String,
        /// When the next attempt is due.
        until: Timestamp,
        /// Why the last one failed.
        reason: String,
    },
    /// Held in a queue until the operator releases it.
    Held {
        /// The host in whose queue it is.
        at: String,
        /// Why, unless the operator asked for it, or why the last attempt failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Accepted by a host that reports no events: this world has it no more.
    Relayed {
        /// That host.
        to: String,
    },
    /// No longer in this host's queue; what became of it is not known, since the process was killed before that was stored.
    Gone {
        /// The host.
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

impl RecipientStatus {
    /// Whether a host of the world still has the message for the recipient.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Underway { .. } | Self::Deferred { .. } | Self::Held { .. })
    }

    /// The host in whose queue the message is, or which accepted it last; `None` once it is in transit no more.
    pub fn queue(&self) -> Option<&str> {
        match self {
            Self::Underway { at } | Self::Deferred { at, .. } | Self::Held { at, .. } => Some(at),
            _ => None,
        }
    }
}

/// What an address is to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Recipient,
    Sender,
}

/// What is known of a journey without its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyState {
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
    /// The number of its events.
    #[serde(rename = "events")]
    pub event_count: u64,
    /// The highest number of an event that this is worked out from.
    pub(super) last_seq: u64,
}

/// One journey: the way of one message through all hosts.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "ReadJourney")]
pub struct Journey {
    /// What is known of it.
    pub state: JourneyState,
    /// Its events, in the order in which they happened.
    pub events: Vec<Arc<Event>>,
}

/// A journey with its events.
#[derive(Serialize, utoipa::ToSchema)]
struct WithEvents<'a> {
    id: JourneyId,
    #[schema(value_type = Option<Address>)]
    reverse_path: &'a ReversePath,
    began: Timestamp,
    settled: bool,
    #[schema(value_type = BTreeMap<String, RecipientStatus>)]
    recipients: &'a BTreeMap<Address, RecipientStatus>,
    in_doubt: bool,
    #[schema(value_type = Vec<Event>)]
    events: &'a [Arc<Event>],
}

impl utoipa::PartialSchema for Journey {
    /// The schema of `WithEvents`, as which a journey is serialized.
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        WithEvents::schema()
    }
}

impl utoipa::ToSchema for Journey {
    /// The schemas that the schema of `WithEvents` refers to.
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        WithEvents::schemas(schemas);
    }
}

/// What is read of the serialized form; the rest follows from it.
#[derive(Deserialize)]
struct ReadJourney {
    id: JourneyId,
    reverse_path: ReversePath,
    began: Timestamp,
    recipients: BTreeMap<Address, RecipientStatus>,
    in_doubt: bool,
    events: Vec<Arc<Event>>,
}

impl From<ReadJourney> for Journey {
    /// Works out anew the number and the highest number of the events, which are not part of the serialized form.
    fn from(read: ReadJourney) -> Self {
        let ReadJourney { id, reverse_path, began, recipients, in_doubt, events } = read;
        let event_count = events.len() as u64;
        let last_seq = events.iter().map(|event| event.seq).max().unwrap_or_default();
        Self {
            state: JourneyState { journey: id, reverse_path, began, recipients, in_doubt, event_count, last_seq },
            events,
        }
    }
}

impl Serialize for Journey {
    /// As `WithEvents`, one flat object: with `settled`, which is worked out, and without the number and the highest
    /// number of the events, which `ReadJourney` works out again.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let JourneyState { journey, reverse_path, began, recipients, in_doubt, .. } = &self.state;
        let (id, began, in_doubt, settled) = (*journey, *began, *in_doubt, self.is_settled());
        WithEvents { id, reverse_path, began, settled, recipients, in_doubt, events: &self.events }
            .serialize(serializer)
    }
}

impl Journey {
    /// A journey with these events, in the order in which they happened, from which its state is worked out. It began
    /// at `began`, or with its earliest event if that is earlier.
    pub fn of(id: JourneyId, began: Timestamp, events: Vec<Arc<Event>>) -> Self {
        let mut state = JourneyState::new(id, began);
        state.add_all(events.iter().map(Deref::deref));
        Self { state, events }
    }
}

impl Deref for Journey {
    type Target = JourneyState;

    fn deref(&self) -> &JourneyState {
        &self.state
    }
}

impl JourneyState {
    /// A journey of which nothing is known but that something happened at this time.
    pub(super) fn new(journey: JourneyId, began: Timestamp) -> Self {
        let recipients = BTreeMap::new();
        Self { journey, reverse_path: None, began, recipients, in_doubt: false, event_count: 0, last_seq: 0 }
    }

    /// Updates the state by those of the events whose numbers are above all that it knows; skips the others. They are
    /// in the order in which they happened, which need not be that of their numbers: other processes report late.
    pub(super) fn add_all<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        let known = self.last_seq;
        events.into_iter().filter(|event| known < event.seq).for_each(|event| self.add(event));
    }

    /// Updates the state by one event, which it does not know yet: counts it, moves the beginning back to its time if
    /// that is earlier, and sets the status of its recipients. A delivery or expansion replaces any status, and a further
    /// delivery counts as one more copy; a failure or deletion replaces any but a delivery; the others change only what
    /// is in transit, relayed or gone. A host that was only tried, and fetching, change none.
    fn add(&mut self, event: &Event) {
        self.event_count += 1;
        self.last_seq = self.last_seq.max(event.seq);
        self.began = self.began.min(event.at);
        match &event.kind {
            EventKind::Received { reverse_path, recipients, .. } | EventKind::Found { reverse_path, recipients } => {
                if self.reverse_path.is_none() {
                    self.reverse_path.clone_from(reverse_path);
                }
                self.set_underway(&event.host, recipients);
            }
            EventKind::Expanded { recipient, targets, .. } => self.set_expanded(&event.host, recipient, targets),
            EventKind::Reported { recipients, .. } => self.set_underway(&event.host, recipients),
            EventKind::Delivered { recipient, .. } => {
                let status = self.recipients.entry(recipient.clone());
                match status.or_insert(RecipientStatus::Delivered { copies: 0, at: event.at }) {
                    RecipientStatus::Delivered { copies, .. } => *copies += 1,
                    other => *other = RecipientStatus::Delivered { copies: 1, at: event.at },
                }
            }
            EventKind::Failed { recipients, reason, report, in_doubt, .. } => {
                self.in_doubt |= in_doubt;
                self.give_up(recipients, RecipientStatus::Failed { reason: reason.clone(), report: *report });
            }
            EventKind::Deleted { recipients } => {
                self.give_up(recipients, RecipientStatus::Deleted { at: event.host.to_string() });
            }
            EventKind::Deferred { recipients, reason, until, in_doubt, .. } => {
                self.in_doubt |= in_doubt;
                let at = event.host.to_string();
                self.update(recipients, |status| match status {
                    // Nothing is tried at `until`.
                    RecipientStatus::Held { at: held, .. } if *held == at => {
                        RecipientStatus::Held { at: at.clone(), reason: Some(reason.clone()) }
                    }
                    _ => RecipientStatus::Deferred { at: at.clone(), until: *until, reason: reason.clone() },
                });
            }
            EventKind::Held { recipients, reason } => {
                let held = RecipientStatus::Held { at: event.host.to_string(), reason: reason.clone() };
                self.update(recipients, |_| held.clone());
            }
            EventKind::Released { recipients } => self.set_underway(&event.host, recipients),
            EventKind::Gone { recipients } => {
                self.update(recipients, |status| match status {
                    status if status.queue() == Some(&*event.host) => {
                        RecipientStatus::Gone { at: event.host.to_string() }
                    }
                    status => status.clone(),
                });
            }
            EventKind::Relayed { recipients, to, leaves, .. } => {
                self.update(recipients, |status| match status {
                    _ if *leaves => RecipientStatus::Relayed { to: to.clone() },
                    // The next host is an external MTA: ours have accepted it before they said so.
                    status if status.queue() == Some(&*event.host) => RecipientStatus::Underway { at: to.clone() },
                    status => status.clone(),
                });
            }
            EventKind::Flushed { recipients } => {
                self.update(recipients, |status| match status {
                    RecipientStatus::Deferred { at, .. } if **at == *event.host => {
                        RecipientStatus::Underway { at: at.clone() }
                    }
                    status => status.clone(),
                });
            }
            EventKind::Tried { .. } | EventKind::Retrieved { .. } => {}
        }
    }

    /// Changes the status of those of the recipients that are still in transit. One that is not known yet is added
    /// first, as in transit at an unknown host.
    fn update(&mut self, recipients: &[Address], change: impl Fn(&RecipientStatus) -> RecipientStatus) {
        for recipient in recipients {
            let status = self.recipients.entry(recipient.clone());
            let status = status.or_insert(RecipientStatus::Underway { at: String::new() });
            if status.is_open() {
                *status = change(status);
            }
        }
    }

    /// Sets the status of recipients, failed or deleted, that a host has given up. Those that have the message keep
    /// theirs: after an attempt in doubt, the host did not know.
    fn give_up(&mut self, recipients: &[Address], given_up: RecipientStatus) {
        for recipient in recipients {
            let status = self.recipients.entry(recipient.clone()).or_insert_with(|| given_up.clone());
            if !matches!(status, RecipientStatus::Delivered { .. }) {
                *status = given_up.clone();
            }
        }
    }

    /// Notes that a host has the message for these recipients, and adds those that are not known. Recipients that are
    /// delivered, failed, expanded, discarded or deleted stay so; what was relayed out of the world or is gone is open
    /// again.
    fn set_underway(&mut self, host: &str, recipients: &[Address]) {
        for recipient in recipients {
            let underway = RecipientStatus::Underway { at: host.to_owned() };
            let status = self.recipients.entry(recipient.clone()).or_insert_with(|| underway.clone());
            // What left the world may come back.
            if status.is_open() || matches!(status, RecipientStatus::Relayed { .. } | RecipientStatus::Gone { .. }) {
                *status = underway;
            }
        }
    }

    /// Notes that `alias` was expanded to `targets`, which are in transit at the host from now on; without targets,
    /// that it was discarded there. An alias that is one of its own targets stays in transit itself.
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

    /// The keys of the recipients and of the sender, by which the index and the store find the journey: their addresses
    /// in lower case, without `+detail`.
    pub(super) fn keys(&self) -> impl Iterator<Item = (String, Part)> {
        let recipients = self.recipients.keys().map(|recipient| (recipient.key(), Part::Recipient));
        recipients.chain(self.reverse_path.iter().map(|sender| (sender.key(), Part::Sender)))
    }

    /// How many recipients and senders the journey has: if it grows, [`JourneyState::keys`] may have more.
    pub(super) fn address_count(&self) -> usize {
        self.recipients.len() + usize::from(self.reverse_path.is_some())
    }

    /// The highest number of its events; 0 if there are none.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Whether no host of the world has a copy in transit any more. `true` also if it has no recipients.
    pub fn is_settled(&self) -> bool {
        !self.recipients.values().any(RecipientStatus::is_open)
    }

    /// Whether the message has ended for each recipient within the world: delivered, failed, expanded, discarded,
    /// deleted, or gone for unknown reasons. `false` if it was relayed out of the world for one, or there are no
    /// recipients.
    pub fn has_ended(&self) -> bool {
        let has_ended =
            |status: &RecipientStatus| !status.is_open() && !matches!(status, RecipientStatus::Relayed { .. });
        !self.recipients.is_empty() && self.recipients.values().all(has_ended)
    }

    /// Whether each recipient got exactly one copy; for an alias, whether each target did. `false` while any is open,
    /// and if there are no recipients.
    pub fn arrived_once(&self) -> bool {
        let arrived = |status: &RecipientStatus| {
            matches!(status, RecipientStatus::Delivered { copies: 1, .. } | RecipientStatus::Expanded { .. })
        };
        !self.recipients.is_empty() && self.recipients.values().all(arrived)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::journey::Protocol;

    /// A state after these events of one journey at the host `mta`.
    fn state(kinds: impl IntoIterator<Item = EventKind>) -> JourneyState {
        let events: Vec<_> = (1..).zip(kinds).map(|(seq, kind)| event(seq, kind)).collect();
        let mut state = JourneyState::new(JourneyId::from_random(1), Timestamp::UNIX_EPOCH);
        state.add_all(&events);
        state
    }

    pub(in crate::journey) fn event(seq: u64, kind: EventKind) -> Event {
        let (journey, at) = (JourneyId::from_random(1), Timestamp::UNIX_EPOCH);
        Event { seq, at, host: "mta".into(), journey, id: None, kind, transcript: None }
    }

    pub(in crate::journey) fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    pub(in crate::journey) fn received(recipients: &[&str]) -> EventKind {
        EventKind::Received {
            protocol: Protocol::Smtp,
            from: "mua".to_owned(),
            reverse_path: Some(address("me@x.test")),
            recipients: recipients.iter().map(|text| address(text)).collect(),
            size: 1,
            tls: None,
            user: None,
            took_ms: 0.0,
            session: None,
        }
    }

    pub(in crate::journey) fn delivered(recipient: &str) -> EventKind {
        let recipient = address(recipient);
        EventKind::Delivered { account: recipient.key(), recipient, mailbox: "INBOX".to_owned(), uid: 1 }
    }

    fn deferred(recipient: &str) -> EventKind {
        let (recipients, until) = (vec![address(recipient)], Timestamp::UNIX_EPOCH);
        EventKind::Deferred { recipients, to: None, reason: "busy".to_owned(), until, in_doubt: false, attempt: None }
    }

    fn relayed(recipient: &str, leaves: bool) -> EventKind {
        EventKind::Relayed {
            protocol: Protocol::Smtp,
            to: "mx.ext.test".to_owned(),
            recipients: vec![address(recipient)],
            reply: "250 OK".to_owned(),
            tls: None,
            took_ms: 0.0,
            leaves,
            attempt: None,
        }
    }

    #[test]
    fn journey_is_settled_when_every_recipient_is() {
        let kinds = [received(&["a@x.test", "b@x.test"]), delivered("a@x.test"), delivered("b@x.test")];
        assert!(!state(kinds[..2].to_vec()).is_settled());
        let all = state(kinds);
        assert!(all.is_settled() && all.arrived_once());
    }

    #[test]
    fn journey_to_an_alias_has_arrived_when_all_targets_have_it() {
        let targets = vec![address("info@x.test"), address("b@y.test")];
        let expanded = EventKind::Expanded { recipient: address("info@x.test"), targets, discarded: false };
        let kinds = [received(&["info@x.test"]), expanded, delivered("b@y.test"), delivered("info@x.test")];
        assert!(!state(kinds[..3].to_vec()).is_settled(), "info keeps a copy");
        let all = state(kinds);
        assert!(all.is_settled() && all.arrived_once());
        let discarded = EventKind::Expanded { recipient: address("a@x.test"), targets: vec![], discarded: true };
        let state = state([received(&["a@x.test"]), discarded]);
        assert!(state.is_settled() && !state.arrived_once());
    }

    #[test]
    fn journey_deleted_by_the_operator_or_delivered_twice_is_settled_and_has_not_arrived_once() {
        let deleted = EventKind::Deleted { recipients: vec![address("a@x.test")] };
        let twice = [received(&["a@x.test"]), delivered("a@x.test"), delivered("a@x.test")];
        for state in [state([received(&["a@x.test"]), deleted]), state(twice)] {
            assert!(state.is_settled() && !state.arrived_once());
        }
    }

    #[test]
    fn journey_that_failed_or_was_deleted_after_it_was_delivered_stays_delivered() {
        let recipients = vec![address("a@x.test")];
        let failed = EventKind::Failed {
            recipients: recipients.clone(),
            by: None,
            reason: "no reply".to_owned(),
            report: None,
            in_doubt: true,
            attempt: None,
        };
        for given_up in [failed, EventKind::Deleted { recipients }] {
            let before = state([received(&["a@x.test"]), given_up.clone()]);
            assert!(before.is_settled() && !before.arrived_once(), "{given_up:?}");
            let after = state([received(&["a@x.test"]), delivered("a@x.test"), given_up.clone()]);
            assert!(after.arrived_once(), "{given_up:?}");
        }
    }

    #[test]
    fn journey_of_a_held_message_says_held_until_it_is_released() {
        let (recipients, to) = (vec![address("a@x.test")], address("a@x.test"));
        let held = EventKind::Held { recipients: recipients.clone(), reason: None };
        let kinds = [
            received(&["a@x.test"]),
            deferred("a@x.test"),
            held,
            deferred("a@x.test"),
            EventKind::Released { recipients },
        ];
        let after = |count: usize| state(kinds[..count].to_vec()).recipients[&to].clone();
        let until = Timestamp::UNIX_EPOCH;
        assert_eq!(after(2), RecipientStatus::Deferred { at: "mta".to_owned(), until, reason: "busy".to_owned() });
        assert_eq!(after(3), RecipientStatus::Held { at: "mta".to_owned(), reason: None });
        // The attempt that was under way ends.
        assert_eq!(after(4), RecipientStatus::Held { at: "mta".to_owned(), reason: Some("busy".to_owned()) });
        assert_eq!(after(5), RecipientStatus::Underway { at: "mta".to_owned() });
    }

    #[test]
    fn journey_that_leaves_the_world_is_settled_until_it_comes_back() {
        let (to, kinds) =
            (address("a@y.test"), [received(&["a@y.test"]), relayed("a@y.test", true), received(&["a@y.test"])]);
        let left = state(kinds[..2].to_vec());
        assert_eq!(left.recipients[&to], RecipientStatus::Relayed { to: "mx.ext.test".to_owned() });
        assert!(left.is_settled() && !left.has_ended());
        assert!(!state(kinds).is_settled());
        let external = state([received(&["a@y.test"]), relayed("a@y.test", false)]);
        assert_eq!(external.recipients[&to], RecipientStatus::Underway { at: "mx.ext.test".to_owned() });
    }

    /// What is read long after its journey was removed.
    #[test]
    fn journey_without_recipients_is_settled() {
        let state = state([EventKind::Retrieved { protocol: Protocol::Imap, account: "a@x.test".to_owned(), size: 1 }]);
        assert!(state.is_settled() && !state.has_ended() && !state.arrived_once());
    }

    #[test]
    fn journey_state_adds_no_event_twice() {
        let events = [event(1, received(&["a@x.test"])), event(2, delivered("a@x.test"))];
        let mut state = JourneyState::new(JourneyId::from_random(1), Timestamp::UNIX_EPOCH);
        state.add_all(&events[..1]);
        state.add_all(&events);
        assert!(state.arrived_once() && state.event_count == 2);
    }
}
