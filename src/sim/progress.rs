//! State of one journey and of each recipient's copy, as far as the events show it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::journey::Event;
use crate::mail::{Address, JourneyId};

/// State of one journey.
#[derive(Clone, Debug)]
pub(super) struct JourneyState {
    pub(super) began: Timestamp,
    /// Whether the reverse-path is null, so that no report about the message can be sent.
    pub(super) null_sender: bool,
    /// The journey that this message is a report about.
    pub(super) about: Option<JourneyId>,
    /// One copy per recipient, sorted by address.
    pub(super) copies: Vec<(Address, CopyState)>,
    /// Number of copies that have neither arrived nor failed.
    pub(super) open: u32,
    /// The hosts that accepted the message, with the time.
    pub(super) taken: Vec<(Arc<str>, Timestamp)>,
    /// Whether a reply was lost, so that the peer may have accepted the message. RFC 1047.
    pub(super) in_doubt: bool,
    /// The events of the journey; `None` once they are dropped.
    events: Option<Vec<Event>>,
}

/// State of one recipient's copy.
#[derive(Clone, Debug, Default)]
pub(super) struct CopyState {
    pub(super) delivered: Vec<Timestamp>,
    pub(super) failed: u32,
    /// Number of reports about its failure.
    pub(super) reports: u32,
    pub(super) deferred: u32,
    /// Whether the recipient was an alias, replaced by copies for its targets.
    pub(super) is_alias: bool,
    pub(super) reason: Option<String>,
}

impl CopyState {
    /// Whether the copy has neither arrived nor failed, and was not replaced by those of an alias.
    fn is_open(&self) -> bool {
        self.delivered.is_empty() && self.failed == 0 && !self.is_alias
    }
}

impl JourneyState {
    pub(super) fn new(began: Timestamp) -> Self {
        Self {
            began,
            null_sender: false,
            about: None,
            copies: Vec::new(),
            open: 0,
            taken: Vec::new(),
            in_doubt: false,
            events: Some(Vec::new()),
        }
    }

    /// Whether this is a user message, not a DSN.
    pub(super) fn is_user_message(&self) -> bool {
        self.about.is_none() && !self.null_sender
    }

    /// The accounts that may hold the message, by key.
    pub(super) fn accounts(&self) -> BTreeSet<String> {
        self.copies.iter().map(|(recipient, _)| recipient.key()).collect()
    }

    /// The copies that are to arrive: all but those of aliases, which their targets get instead.
    pub(super) fn expected_copies(&self) -> impl Iterator<Item = &(Address, CopyState)> {
        self.copies.iter().filter(|(_, copy)| !copy.is_alias)
    }

    /// Seconds until the last copy arrived; infinite if one did not arrive, 0 for a report.
    pub(super) fn latency(&self) -> f64 {
        if !self.is_user_message() {
            return 0.0;
        }
        self.expected_copies().map(|(_, copy)| self.seconds(copy)).fold(0.0, f64::max)
    }

    /// Seconds from the start of the journey until the copy arrived first; infinite if it did not.
    pub(super) fn seconds(&self, copy: &CopyState) -> f64 {
        copy.delivered.first().map_or(f64::INFINITY, |at| at.duration_since(self.began).as_secs_f64())
    }

    /// Returns the copy of a recipient, and creates it if there is none.
    pub(super) fn copy(&mut self, recipient: &Address) -> &mut CopyState {
        let place = match self.copies.binary_search_by(|(known, _)| known.cmp(recipient)) {
            Ok(place) => place,
            Err(place) => {
                self.open += 1;
                self.copies.insert(place, (recipient.clone(), CopyState::default()));
                place
            }
        };
        &mut self.copies[place].1
    }

    /// Creates a copy for each of these recipients that has none.
    pub(super) fn expect(&mut self, recipients: &[Address]) {
        self.copies.reserve_exact(recipients.len());
        for recipient in recipients {
            self.copy(recipient);
        }
    }

    /// Updates a copy with `note`; returns 1 if that completes a copy that was open, else 0.
    pub(super) fn end(&mut self, recipient: &Address, note: impl FnOnce(&mut CopyState)) -> u64 {
        let copy = self.copy(recipient);
        let was_open = copy.is_open();
        note(copy);
        let ended = was_open && !copy.is_open();
        self.open -= u32::from(ended);
        u64::from(ended)
    }

    /// Appends an event, unless events were dropped.
    pub(super) fn push(&mut self, event: Event) {
        if let Some(events) = &mut self.events {
            events.push(event);
        }
    }

    /// Drops the events of the journey to save memory.
    pub(super) fn drop_events(&mut self) {
        self.events = None;
    }

    /// The events of the journey; empty if they were dropped.
    pub(super) fn events(&self) -> &[Event] {
        self.events.as_deref().unwrap_or_default()
    }
}
