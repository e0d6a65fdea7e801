//! The audit: from the events of a world, where each message is and whether anything is lost or doubled.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{Event, Step};
use crate::mail::{Address, JourneyId, ReversePath};

/// What became of a message for one recipient.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// Still on its way.
    Underway {
        /// The last host that took it.
        at: String,
    },
    /// In a mailbox.
    Delivered {
        /// How often; more than once is a duplicate.
        copies: usize,
        /// When first.
        at: Timestamp,
    },
    /// Given up.
    Failed {
        /// Why.
        reason: String,
        /// The journey of the report to the sender.
        report: Option<JourneyId>,
    },
    /// It was an alias, and went on to these, of each of whom there is a fate.
    Expanded {
        /// To whom.
        to: Vec<Address>,
    },
    /// Thrown away, as the recipient is there for.
    Discarded {
        /// By which host.
        at: String,
    },
    /// Deleted by the operator.
    Deleted {
        /// From whose queue.
        at: String,
    },
}

/// All that is known of one journey.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// Its id.
    pub journey: JourneyId,
    /// `MAIL FROM` at its first host.
    pub reverse_path: ReversePath,
    /// When the first host took it.
    pub began: Timestamp,
    /// What became of it, for each recipient of the first host.
    pub recipients: BTreeMap<Address, Fate>,
    /// A host did not hear whether the next one took it, and had to send it again: that may double it.
    pub in_doubt: bool,
    /// Everything that happened, in order.
    pub events: Vec<Event>,
}

/// The stories of a world's messages.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    stories: BTreeMap<JourneyId, Story>,
    order: Vec<JourneyId>,
}

impl Audit {
    /// Takes all events into account, in the order of the world's time: those of other processes come when they come.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut events: Vec<_> = events.into_iter().collect();
        events.sort_by_key(|event| event.at);
        let mut audit = Self::default();
        events.into_iter().for_each(|event| audit.note(event));
        audit
    }

    /// Takes one more event into account. Events of one journey come in order.
    pub fn note(&mut self, event: Event) {
        let story = self.stories.entry(event.journey).or_insert_with(|| {
            self.order.push(event.journey);
            Story {
                journey: event.journey,
                reverse_path: None,
                began: event.at,
                recipients: BTreeMap::new(),
                in_doubt: false,
                events: Vec::new(),
            }
        });
        story.note(event);
    }

    /// One journey.
    pub fn story(&self, journey: JourneyId) -> Option<&Story> {
        self.stories.get(&journey)
    }

    /// All journeys, in the order in which they began.
    pub fn stories(&self) -> impl DoubleEndedIterator<Item = &Story> {
        self.order.iter().filter_map(|journey| self.stories.get(journey))
    }

    /// Journeys that still have a recipient underway.
    pub fn open(&self) -> BTreeSet<JourneyId> {
        self.stories().filter(|story| !story.is_settled()).map(|story| story.journey).collect()
    }
}

impl Story {
    fn note(&mut self, event: Event) {
        match &event.step {
            Step::Received { reverse_path, recipients, .. } => {
                if self.recipients.is_empty() {
                    self.reverse_path = reverse_path.clone();
                }
                self.note_underway(&event.host, recipients);
            }
            Step::Expanded { recipient, targets, .. } => self.note_expanded(&event.host, recipient, targets),
            Step::Reported { recipients, .. } => self.note_underway(&event.host, recipients),
            Step::Delivered { recipient, .. } => {
                let fate = self.recipients.entry(recipient.clone());
                let fate = fate.or_insert(Fate::Delivered { copies: 0, at: event.at });
                match fate {
                    Fate::Delivered { copies, .. } => *copies += 1,
                    other => *other = Fate::Delivered { copies: 1, at: event.at },
                }
            }
            Step::Failed { recipients, reason, report, in_doubt, .. } => {
                self.in_doubt |= in_doubt;
                for recipient in recipients {
                    let fate = Fate::Failed { reason: reason.clone(), report: *report };
                    self.recipients.insert(recipient.clone(), fate);
                }
            }
            Step::Deleted { recipients } => {
                for recipient in recipients {
                    self.recipients.insert(recipient.clone(), Fate::Deleted { at: event.host.to_string() });
                }
            }
            Step::Deferred { in_doubt, .. } => self.in_doubt |= in_doubt,
            Step::Relayed { .. } | Step::Retrieved { .. } => {}
        }
        self.events.push(event);
    }

    fn note_underway(&mut self, host: &str, recipients: &[Address]) {
        for recipient in recipients {
            let here = Fate::Underway { at: host.to_owned() };
            let fate = self.recipients.entry(recipient.clone()).or_insert_with(|| here.clone());
            if matches!(fate, Fate::Underway { .. }) {
                *fate = here;
            }
        }
    }

    fn note_expanded(&mut self, host: &str, alias: &Address, targets: &[Address]) {
        let fate = match targets {
            [] => Fate::Discarded { at: host.to_owned() },
            targets => Fate::Expanded { to: targets.to_vec() },
        };
        // Who keeps a copy is still underway.
        if !targets.contains(alias) {
            self.recipients.insert(alias.clone(), fate);
        }
        self.note_underway(host, targets);
    }

    /// Whether every recipient's copy is in a mailbox, given up, deleted, or thrown away.
    pub fn is_settled(&self) -> bool {
        !self.recipients.is_empty() && self.recipients.values().all(|fate| !matches!(fate, Fate::Underway { .. }))
    }

    /// Whether every recipient has it, once; an alias has it where all do who are behind it.
    pub fn arrived_once(&self) -> bool {
        let arrived = |fate: &Fate| matches!(fate, Fate::Delivered { copies: 1, .. } | Fate::Expanded { .. });
        !self.recipients.is_empty() && self.recipients.values().all(arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::Protocol;

    fn event(step: Step) -> Event {
        let journey = JourneyId::of(1);
        Event { seq: 0, at: Timestamp::UNIX_EPOCH, host: "mta".into(), journey, id: None, step, dialogue: None }
    }

    fn received(recipients: &[&str]) -> Event {
        event(Step::Received {
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
        event(Step::Delivered { account: recipient.key(), recipient, mailbox: "INBOX".to_owned(), uid: 1 })
    }

    #[test]
    fn a_story_is_settled_when_every_recipient_has_a_fate() {
        let mut audit = Audit::of([received(&["a@x.test", "b@x.test"]), delivered("a@x.test")]);
        assert_eq!(audit.open().len(), 1);
        audit.note(delivered("b@x.test"));
        assert!(audit.open().is_empty() && audit.stories().all(Story::arrived_once));
    }

    #[test]
    fn an_alias_has_arrived_when_all_have_it_who_are_behind_it() {
        let address = |text: &str| -> Address { text.parse().unwrap() };
        let targets = vec![address("info@x.test"), address("b@y.test")];
        let expanded = event(Step::Expanded { recipient: address("info@x.test"), targets, discarded: false });
        let mut audit = Audit::of([received(&["info@x.test"]), expanded, delivered("b@y.test")]);
        assert_eq!(audit.open().len(), 1, "info keeps a copy");
        audit.note(delivered("info@x.test"));
        assert!(audit.open().is_empty() && audit.stories().all(Story::arrived_once));
        let discarded = event(Step::Expanded { recipient: address("a@x.test"), targets: vec![], discarded: true });
        let audit = Audit::of([received(&["a@x.test"]), discarded]);
        assert!(audit.stories().all(|story| story.is_settled() && !story.arrived_once()));
    }

    #[test]
    fn what_the_operator_deleted_is_accounted_for() {
        let deleted = event(Step::Deleted { recipients: vec!["a@x.test".parse().unwrap()] });
        let audit = Audit::of([received(&["a@x.test"]), deleted]);
        assert!(audit.stories().all(|story| story.is_settled() && !story.arrived_once()));
    }

    #[test]
    fn a_second_copy_is_a_duplicate() {
        let audit = Audit::of([received(&["a@x.test"]), delivered("a@x.test"), delivered("a@x.test")]);
        assert!(audit.stories().all(|story| story.is_settled() && !story.arrived_once()));
    }
}
