//! Counts every event of a run and keeps what the report needs: the state of each journey, totals and a hash of all
//! events. Events themselves are kept for the slowest and the latest journeys only.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::progress::JourneyState;
use crate::journey::{Event, EventKind, Protocol};
use crate::mail::JourneyId;

/// Number of slowest messages in the report, with their events.
pub(super) const MAX_SLOWEST: usize = 5;
/// Number of completed journeys whose events are kept because more may follow.
const MAX_RECENTLY_COMPLETED: usize = 1000;

/// Totals over all journeys.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Number of times a host accepted responsibility for a message.
    pub(super) hops: u64,
    /// Copies that have neither arrived nor failed.
    pub(super) open: u64,
    /// Copies delivered to a mailbox.
    pub(super) delivered: u64,
    /// Copies that failed for good.
    pub(super) bounced: u64,
}

/// Event statistics of a run.
#[derive(Default)]
pub(super) struct Metrics {
    pub(super) journeys: BTreeMap<JourneyId, JourneyState>,
    pub(super) events: u64,
    pub(super) counts: Totals,
    /// Times of temporary failures.
    pub(super) deferred: Vec<Timestamp>,
    pub(super) retrieved: u64,
    /// The journeys completed last, oldest first.
    recently_completed: VecDeque<JourneyId>,
    /// The slowest of those completed earlier, with their latency in seconds.
    slowest: Vec<(f64, JourneyId)>,
    hasher: blake3::Hasher,
}

impl Metrics {
    /// Adds an event to the statistics and to the hash, and writes it as a line of JSON to `trace`, if there is a
    /// trace.
    pub(super) fn note(&mut self, event: Event, trace: &Option<super::Trace>) {
        // An event consists of strings and numbers: serializing it cannot fail.
        let mut line = serde_json::to_vec(&event).unwrap_or_default();
        line.push(b'\n');
        self.hasher.update(&line);
        if let Some(trace) = trace {
            trace.write(&line);
        }
        self.count(event);
    }

    /// The hash of all events so far, as 32 hexadecimal digits.
    pub(super) fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Updates the totals and the journey of an event, which it begins if it is the first, and keeps the event. The
    /// journey is added to the completed ones if this was its last open copy.
    fn count(&mut self, event: Event) {
        self.events += 1;
        let journey = event.journey;
        let state = self.journeys.entry(journey).or_insert_with(|| JourneyState::new(event.at));
        let (is_known, was_open) = (!state.copies.is_empty(), state.open);
        // A host that was killed between the commit and its event never reported that it accepted the message.
        let has_it =
            matches!(event.kind, EventKind::Relayed { .. } | EventKind::Deferred { .. } | EventKind::Failed { .. });
        if has_it && state.taken.iter().all(|(host, _)| *host != event.host) {
            state.taken.push((event.host.clone(), state.began));
        }
        let counts = &mut self.counts;
        match &event.kind {
            EventKind::Received { reverse_path, recipients, protocol, .. } => {
                if !is_known {
                    state.null_sender = reverse_path.is_none();
                    state.expect(recipients);
                }
                if *protocol != Protocol::Lmtp {
                    state.taken.push((event.host.clone(), event.at));
                }
                counts.hops += 1;
            }
            EventKind::Expanded { recipient, targets, .. } => {
                if !targets.contains(recipient) {
                    state.end(recipient, |copy| copy.is_alias = true);
                }
                state.expect(targets);
            }
            EventKind::Reported { about, recipients } => {
                state.null_sender = true;
                state.about = Some(*about);
                state.taken.push((event.host.clone(), event.at));
                state.expect(recipients);
            }
            EventKind::Delivered { recipient, .. } => {
                counts.delivered += state.end(recipient, |copy| copy.delivered.push(event.at));
            }
            EventKind::Failed { recipients, reason, report, in_doubt, .. } => {
                state.in_doubt |= in_doubt;
                for recipient in recipients {
                    counts.bounced += state.end(recipient, |copy| {
                        copy.failed += 1;
                        copy.reports += u32::from(report.is_some());
                        copy.reason = Some(reason.clone());
                    });
                }
            }
            EventKind::Deleted { recipients } => {
                for recipient in recipients {
                    counts.bounced += state.end(recipient, |copy| {
                        copy.failed += 1;
                        copy.reason = Some("deleted by the operator".to_owned());
                    });
                }
            }
            EventKind::Deferred { recipients, reason, in_doubt, .. } => {
                self.deferred.push(event.at);
                state.in_doubt |= in_doubt;
                for recipient in recipients {
                    let copy = state.copy(recipient);
                    copy.deferred += 1;
                    copy.reason = Some(reason.clone());
                }
            }
            EventKind::Retrieved { .. } => self.retrieved += 1,
            EventKind::Tried { .. }
            | EventKind::Relayed { .. }
            | EventKind::Held { .. }
            | EventKind::Released { .. }
            | EventKind::Flushed { .. }
            | EventKind::Found { .. }
            | EventKind::Gone { .. } => {}
        }
        counts.open = (counts.open + u64::from(state.open)).saturating_sub(u64::from(was_open));
        state.push(event);
        if state.open == 0 && was_open != 0 {
            self.retain_slowest(journey);
        }
    }

    /// Adds a completed journey to the recent ones, which keep their events. Beyond [`MAX_RECENTLY_COMPLETED`], the
    /// oldest of them loses its events, unless it is among the [`MAX_SLOWEST`] slowest of those that left.
    fn retain_slowest(&mut self, journey: JourneyId) {
        self.recently_completed.push_back(journey);
        while MAX_RECENTLY_COMPLETED < self.recently_completed.len()
            && let Some(oldest) = self.recently_completed.pop_front()
        {
            let latency = self.journeys.get(&oldest).map_or(0.0, JourneyState::latency);
            self.slowest.push((latency, oldest));
            self.slowest.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
            for (_, faster) in self.slowest.drain(MAX_SLOWEST.min(self.slowest.len())..) {
                if let Some(state) = self.journeys.get_mut(&faster) {
                    state.drop_events();
                }
            }
        }
    }
}
