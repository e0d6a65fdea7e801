//! Hears every event of a run, and keeps what the report needs: not the events themselves, but what became of each
//! message, and a hash of all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::course::Course;
use crate::journey::{Event, Protocol, Step};
use crate::mail::JourneyId;

/// Messages whose story is told.
pub(super) const WORST_MAX: usize = 5;
/// Messages that have found their end, and of which one more word may come.
const LINGERING_MAX: usize = 1000;

/// How much is under way, and how much is done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Times that a host took responsibility for a message.
    pub(super) hops: u64,
    /// Copies on their way.
    pub(super) open: u64,
    /// Copies that arrived.
    pub(super) delivered: u64,
    /// Copies that were given up.
    pub(super) bounced: u64,
}

/// All of it. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Notes>>);

#[derive(Default)]
pub(super) struct Notes {
    pub(super) courses: BTreeMap<JourneyId, Course>,
    pub(super) events: u64,
    pub(super) counts: Counts,
    /// When attempts failed for now.
    pub(super) deferred: Vec<Timestamp>,
    pub(super) retrieved: u64,
    /// The last that found their end, the oldest first.
    lingering: VecDeque<JourneyId>,
    /// Of those before, the worst, with their stories: seconds, and which.
    worst: Vec<(f64, JourneyId)>,
    hasher: blake3::Hasher,
}

impl Tally {
    /// Takes one more event into account; `trace` gets it as a line.
    pub(super) fn note(&self, event: Event, trace: &Option<super::Trace>) {
        let mut notes = self.notes();
        // An event is made of strings and numbers: writing it cannot fail.
        let mut line = serde_json::to_vec(&event).unwrap_or_default();
        line.push(b'\n');
        notes.hasher.update(&line);
        if let Some(trace) = trace {
            trace.write(&line);
        }
        notes.note(event);
    }

    /// How much is underway, and how much is done.
    pub(super) fn counts(&self) -> Counts {
        self.notes().counts
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

    fn note(&mut self, event: Event) {
        self.events += 1;
        let journey = event.journey;
        let course = self.courses.entry(journey).or_insert_with(|| Course::new(event.at));
        let (was_known, was_open) = (!course.copies.is_empty(), course.open);
        // A host that was killed between the commit and the event has told nobody that it took it, and yet passes it on.
        let has_it = matches!(event.step, Step::Relayed { .. } | Step::Deferred { .. } | Step::Failed { .. });
        if has_it && course.taken.iter().all(|(host, _)| *host != event.host) {
            course.taken.push((event.host.clone(), course.began));
        }
        let counts = &mut self.counts;
        match &event.step {
            Step::Received { reverse_path, recipients, protocol, .. } => {
                if !was_known {
                    course.null_sender = reverse_path.is_none();
                    course.expect(recipients);
                }
                if *protocol != Protocol::Lmtp {
                    course.taken.push((event.host.clone(), event.at));
                }
                counts.hops += 1;
            }
            Step::Expanded { recipient, targets, .. } => {
                if !targets.contains(recipient) {
                    course.end(recipient, |copy| copy.is_led_on = true);
                }
                course.expect(targets);
            }
            Step::Reported { about, recipients } => {
                course.null_sender = true;
                course.about = Some(*about);
                course.taken.push((event.host.clone(), event.at));
                course.expect(recipients);
            }
            Step::Delivered { recipient, .. } => {
                counts.delivered += course.end(recipient, |copy| copy.delivered.push(event.at));
            }
            Step::Failed { recipients, reason, report, in_doubt, .. } => {
                course.in_doubt |= in_doubt;
                for recipient in recipients {
                    counts.bounced += course.end(recipient, |copy| {
                        copy.failed += 1;
                        copy.reports += u32::from(report.is_some());
                        copy.reason = Some(reason.clone());
                    });
                }
            }
            Step::Deleted { recipients } => {
                for recipient in recipients {
                    counts.bounced += course.end(recipient, |copy| {
                        copy.failed += 1;
                        copy.reason = Some("deleted by the operator".to_owned());
                    });
                }
            }
            Step::Deferred { recipients, reason, in_doubt, .. } => {
                self.deferred.push(event.at);
                course.in_doubt |= in_doubt;
                for recipient in recipients {
                    let copy = course.copy(recipient);
                    copy.deferred += 1;
                    copy.reason = Some(reason.clone());
                }
            }
            Step::Retrieved { .. } => self.retrieved += 1,
            Step::Relayed { .. } => {}
        }
        counts.open = (counts.open + u64::from(course.open)).saturating_sub(u64::from(was_open));
        course.tell(event);
        if course.open == 0 && was_open != 0 {
            self.linger(journey);
        }
    }

    /// The story of a message that has found its end is only kept if it is one of the worst.
    fn linger(&mut self, journey: JourneyId) {
        self.lingering.push_back(journey);
        while LINGERING_MAX < self.lingering.len()
            && let Some(oldest) = self.lingering.pop_front()
        {
            let took = self.courses.get(&oldest).map_or(0.0, Course::took);
            self.worst.push((took, oldest));
            self.worst.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
            for (_, better) in self.worst.drain(WORST_MAX.min(self.worst.len())..) {
                if let Some(course) = self.courses.get_mut(&better) {
                    course.forget_story();
                }
            }
        }
    }
}
