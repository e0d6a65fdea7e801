//! What is known of one journey, and of each copy on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::journey::Event;
use crate::mail::{Address, JourneyId};

/// What is known of one journey.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) began: Timestamp,
    /// Whether reports about it have nowhere to go.
    pub(super) null_sender: bool,
    /// The journey that it is a report about.
    pub(super) about: Option<JourneyId>,
    /// One for each recipient, in their order.
    pub(super) copies: Vec<(Address, Copy)>,
    /// Copies that have not found their end.
    pub(super) open: u32,
    /// When which host took it.
    pub(super) taken: Vec<(Arc<str>, Timestamp)>,
    /// The peer may have taken it without our reading it. RFC 1047.
    pub(super) in_doubt: bool,
    /// All that happened; none once the story is forgotten.
    story: Option<Vec<Event>>,
}

/// What is known of one recipient's copy.
#[derive(Clone, Debug, Default)]
pub(super) struct Copy {
    pub(super) delivered: Vec<Timestamp>,
    pub(super) failed: u32,
    /// Reports about it.
    pub(super) reports: u32,
    pub(super) deferred: u32,
    /// It was an alias: what became of it is told by the copies of those behind it.
    pub(super) is_led_on: bool,
    pub(super) reason: Option<String>,
}

impl Copy {
    fn is_open(&self) -> bool {
        self.delivered.is_empty() && self.failed == 0 && !self.is_led_on
    }
}

impl Course {
    pub(super) fn new(began: Timestamp) -> Self {
        Self {
            began,
            null_sender: false,
            about: None,
            copies: Vec::new(),
            open: 0,
            taken: Vec::new(),
            in_doubt: false,
            story: Some(Vec::new()),
        }
    }

    /// Whether it is no report.
    pub(super) fn is_of_people(&self) -> bool {
        self.about.is_none() && !self.null_sender
    }

    /// Every mailbox that its message may be in, by its key.
    pub(super) fn accounts(&self) -> BTreeSet<String> {
        self.copies.iter().map(|(recipient, _)| recipient.key()).collect()
    }

    /// The seconds until the last copy arrived; without end if one did not. None of a report.
    pub(super) fn took(&self) -> f64 {
        if !self.is_of_people() {
            return 0.0;
        }
        self.copies.iter().map(|(_, copy)| self.seconds(copy)).fold(0.0, f64::max)
    }

    /// The seconds until the copy arrived; without end if it did not.
    pub(super) fn seconds(&self, copy: &Copy) -> f64 {
        copy.delivered.first().map_or(f64::INFINITY, |at| at.duration_since(self.began).as_secs_f64())
    }

    /// The copy of a recipient, new if there was none.
    pub(super) fn copy(&mut self, recipient: &Address) -> &mut Copy {
        let place = match self.copies.binary_search_by(|(known, _)| known.cmp(recipient)) {
            Ok(place) => place,
            Err(place) => {
                self.open += 1;
                self.copies.insert(place, (recipient.clone(), Copy::default()));
                place
            }
        };
        &mut self.copies[place].1
    }

    /// These recipients are to get a copy.
    pub(super) fn expect(&mut self, recipients: &[Address]) {
        self.copies.reserve_exact(recipients.len());
        for recipient in recipients {
            self.copy(recipient);
        }
    }

    /// A copy finds its end, as `note` writes down; 1 if it had none before.
    pub(super) fn end(&mut self, recipient: &Address, note: impl FnOnce(&mut Copy)) -> u64 {
        let copy = self.copy(recipient);
        let was_open = copy.is_open();
        note(copy);
        let ended = was_open && !copy.is_open();
        self.open -= u32::from(ended);
        u64::from(ended)
    }

    pub(super) fn tell(&mut self, event: Event) {
        if let Some(story) = &mut self.story {
            story.push(event);
        }
    }

    pub(super) fn forget_story(&mut self) {
        self.story = None;
    }

    /// All that happened, unless it was forgotten.
    pub(super) fn story(&self) -> &[Event] {
        self.story.as_deref().unwrap_or_default()
    }
}
