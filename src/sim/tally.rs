//! Hears every event of a run, and keeps what the report needs: not the events themselves, but what became of each
//! message, and a hash of all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::journey::{Event, Protocol, Step};
use crate::mail::{Address, JourneyId};

/// Events that are kept for the stories of the worst messages, the first so many.
const KEPT_MAX: usize = 200_000;

/// What is known of one journey.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) began: Timestamp,
    /// Whether reports about it have nowhere to go.
    pub(super) null_sender: bool,
    /// The journey that it is a report about.
    pub(super) about: Option<JourneyId>,
    pub(super) copies: BTreeMap<Address, Copy>,
    /// When which host took it.
    pub(super) taken: Vec<(Arc<str>, Timestamp)>,
    /// The peer may have taken it without our reading it. RFC 1047.
    pub(super) in_doubt: bool,
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

/// All of it. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Notes>>);

#[derive(Default)]
pub(super) struct Notes {
    pub(super) courses: BTreeMap<JourneyId, Course>,
    pub(super) events: u64,
    /// Times that a host took responsibility for a message.
    pub(super) hops: u64,
    pub(super) deferred: u64,
    pub(super) retrieved: u64,
    /// Copies on their way.
    pub(super) open: u64,
    pub(super) kept: Vec<Event>,
    hasher: blake3::Hasher,
}

impl Tally {
    /// Takes one more event into account; `trace` gets it as a line.
    pub(super) fn note(&self, event: &Event, trace: &Option<super::Trace>) {
        let mut notes = self.notes();
        // An event is made of strings and numbers: writing it cannot fail.
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        notes.hasher.update(&line);
        if let Some(trace) = trace {
            trace.write(&line);
        }
        notes.note(event);
    }

    /// How much is underway, and how much is done.
    pub(super) fn counts(&self) -> (u64, u64) {
        let notes = self.notes();
        (notes.open, notes.hops)
    }

    pub(super) fn take(&self) -> Notes {
        std::mem::take(&mut *self.notes())
    }

    /// A panic elsewhere does not make the notes wrong: each change to them is whole.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// Of all events, in hexadecimal.
    pub(super) fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..32].to_owned()
    }

    fn note(&mut self, event: &Event) {
        self.events += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(event.clone());
        }
        let is_known = self.courses.contains_key(&event.journey);
        let course = self.courses.entry(event.journey).or_insert_with(|| Course {
            began: event.at,
            null_sender: false,
            about: None,
            copies: BTreeMap::new(),
            taken: Vec::new(),
            in_doubt: false,
        });
        // A host that was killed between the commit and the event has told nobody that it took it, and yet passes it on.
        let has_it = matches!(event.step, Step::Relayed { .. } | Step::Deferred { .. } | Step::Failed { .. });
        if has_it && course.taken.iter().all(|(host, _)| *host != event.host) {
            course.taken.push((event.host.clone(), course.began));
        }
        match &event.step {
            Step::Received { reverse_path, recipients, protocol, .. } => {
                if !is_known {
                    course.null_sender = reverse_path.is_none();
                    self.open += course.expect(recipients);
                }
                if *protocol != Protocol::Lmtp {
                    course.taken.push((event.host.clone(), event.at));
                }
                self.hops += 1;
            }
            Step::Expanded { recipient, targets, .. } => {
                if !targets.contains(recipient) {
                    let copy = course.copies.entry(recipient.clone()).or_default();
                    self.open -= u64::from(copy.is_open()).min(self.open);
                    copy.is_led_on = true;
                }
                self.open += course.expect(targets);
            }
            Step::Reported { about, recipients } => {
                course.null_sender = true;
                course.about = Some(*about);
                course.taken.push((event.host.clone(), event.at));
                self.open += course.expect(recipients);
            }
            Step::Delivered { recipient, .. } => {
                let copy = course.copies.entry(recipient.clone()).or_default();
                self.open -= u64::from(copy.is_open()).min(self.open);
                copy.delivered.push(event.at);
            }
            Step::Failed { recipients, reason, report, in_doubt, .. } => {
                course.in_doubt |= in_doubt;
                for recipient in recipients {
                    let copy = course.copies.entry(recipient.clone()).or_default();
                    self.open -= u64::from(copy.is_open()).min(self.open);
                    copy.failed += 1;
                    copy.reports += u32::from(report.is_some());
                    copy.reason = Some(reason.clone());
                }
            }
            Step::Deleted { recipients } => {
                for recipient in recipients {
                    let copy = course.copies.entry(recipient.clone()).or_default();
                    self.open -= u64::from(copy.is_open()).min(self.open);
                    copy.failed += 1;
                    copy.reason = Some("deleted by the operator".to_owned());
                }
            }
            Step::Deferred { recipients, reason, in_doubt, .. } => {
                self.deferred += 1;
                course.in_doubt |= in_doubt;
                for recipient in recipients {
                    let copy = course.copies.entry(recipient.clone()).or_default();
                    copy.deferred += 1;
                    copy.reason = Some(reason.clone());
                }
            }
            Step::Retrieved { .. } => self.retrieved += 1,
            Step::Relayed { .. } => {}
        }
    }

    /// Every mailbox that a journey's message may be in, by its key.
    pub(super) fn accounts(course: &Course) -> BTreeSet<String> {
        course.copies.keys().map(Address::key).collect()
    }
}

impl Course {
    /// Whether it is no report.
    pub(super) fn is_of_people(&self) -> bool {
        self.about.is_none() && !self.null_sender
    }

    /// Copies that are new.
    fn expect(&mut self, recipients: &[Address]) -> u64 {
        let before = self.copies.len();
        for recipient in recipients {
            self.copies.entry(recipient.clone()).or_default();
        }
        (self.copies.len() - before) as u64
    }
}
