//! Compares what came of a scenario with what it expects.

use std::time::Duration;

use jiff::Timestamp;

use super::course::{Copy, Course};
use super::file::{Expect, QueueExpect, Range};
use super::judge::Fates;
use super::report::{Queue, Verdict, human};
use super::tally::Notes;
use crate::world::later;

/// Messages that a failed expectation names.
const NAMED_MAX: usize = 10;

/// What there is to compare with.
pub(super) struct Facts<'a> {
    pub(super) fates: Fates,
    /// The world's time at the start.
    pub(super) began: Timestamp,
    pub(super) notes: &'a Notes,
    /// Journey times in seconds, ascending.
    pub(super) took: &'a [f64],
    pub(super) queues: &'a [Queue],
}

/// The share of a sorted list.
pub(super) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

impl Facts<'_> {
    pub(super) fn compare(&self, expect: &Expect) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        if let Some(share) = expect.delivered {
            verdicts.push(self.delivered(share, expect.within));
        }
        for (percent, bound) in [(50.0, expect.p50), (95.0, expect.p95), (99.0, expect.p99)] {
            verdicts.extend(bound.map(|bound| self.percentile(percent, bound)));
        }
        let Fates { bounced, duplicates, waiting, .. } = self.fates;
        for (what, range, value) in [
            ("bounced", expect.bounced, bounced),
            ("duplicates", expect.duplicates, duplicates),
            ("waiting at the end", expect.waiting, waiting),
            ("attempts that failed for now", expect.deferred, self.notes.deferred.len() as u64),
        ] {
            verdicts.extend(range.map(|range| self.count(what, range, value)));
        }
        verdicts.extend(expect.queue.iter().map(|queue| self.queue(queue)));
        verdicts
    }

    fn delivered(&self, share: f64, within: Option<Duration>) -> Verdict {
        let bound = within.map_or(f64::INFINITY, |within| within.as_secs_f64());
        let in_time = self.took.partition_point(|took| *took <= bound) as u64;
        let Fates { delivered, bounced, waiting, lost, .. } = self.fates;
        let all = delivered + bounced + waiting + lost;
        let found = if all == 0 { 1.0 } else { in_time as f64 / all as f64 };
        let held = share <= found;
        let soon = within.map_or_else(String::new, |within| format!(" within {}", human(within.as_secs_f64())));
        Verdict {
            expected: format!("{} % delivered{soon}", share * 100.0),
            found: format!("{:.2} % ({in_time} of {all})", found * 100.0),
            held,
            messages: if held { Vec::new() } else { self.late(bound) },
        }
    }

    fn percentile(&self, percent: f64, bound: Duration) -> Verdict {
        let found = percentile(self.took, percent);
        let held = found <= bound.as_secs_f64();
        Verdict {
            expected: format!("p{percent} of the journey up to {}", human(bound.as_secs_f64())),
            found: human(found),
            held,
            messages: if held { Vec::new() } else { self.late(bound.as_secs_f64()) },
        }
    }

    fn count(&self, what: &str, range: Range, value: u64) -> Verdict {
        let held = range.holds(value);
        let messages = if held { Vec::new() } else { self.odd(what) };
        Verdict { expected: format!("{what}: {range}"), found: value.to_string(), held, messages }
    }

    fn queue(&self, expected: &QueueExpect) -> Verdict {
        let at = expected.after.as_secs_f64();
        let queue = self.queues.iter().find(|queue| queue.host == expected.host);
        let before = |queue: &Queue| queue.samples.iter().take_while(|(time, _)| *time <= at).last().copied();
        let length = queue.and_then(before).map_or(0, |(_, length)| length);
        let held = expected.length.holds(length as u64);
        Verdict {
            expected: format!("queue of {} after {}: {}", expected.host, human(at), expected.length),
            found: length.to_string(),
            held,
            messages: if held { Vec::new() } else { self.waiting(&expected.host, later(self.began, expected.after)) },
        }
    }

    /// Copies that a host had taken by then, and that arrived later or never.
    fn waiting(&self, host: &str, then: Timestamp) -> Vec<String> {
        self.name(|course, copy| {
            let is_taken = course.taken.iter().any(|(by, at)| **by == *host && *at <= then);
            is_taken && copy.delivered.first().is_none_or(|at| then < *at)
        })
    }

    /// Copies that did not arrive within so many seconds.
    fn late(&self, bound: f64) -> Vec<String> {
        self.name(|course, copy| {
            let took = course.seconds(copy);
            took.is_infinite() || bound < took
        })
    }

    /// Copies that count for an expectation.
    fn odd(&self, what: &str) -> Vec<String> {
        self.name(|_, copy| match what {
            "bounced" => copy.failed != 0,
            "duplicates" => 1 < copy.delivered.len(),
            "waiting at the end" => copy.delivered.is_empty() && copy.failed == 0,
            _ => copy.deferred != 0,
        })
    }

    fn name(&self, fits: impl Fn(&Course, &Copy) -> bool) -> Vec<String> {
        let people = self.notes.courses.iter().filter(|(_, course)| course.is_of_people());
        let copies = people
            .flat_map(|(journey, course)| course.copies.iter().map(move |(to, copy)| (journey, course, to, copy)));
        let named = copies.filter(|(_, course, _, copy)| fits(course, copy));
        let words = named.map(|(journey, _, to, copy)| {
            let why = copy.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{journey} for {to}{why}")
        });
        words.take(NAMED_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_list() {
        let list: Vec<f64> = (1..=200).map(f64::from).collect();
        let found = [0.0, 50.0, 95.0, 99.0, 100.0].map(|percent| percentile(&list, percent));
        assert_eq!(found, [1.0, 100.0, 190.0, 198.0, 200.0]);
        assert_eq!(percentile(&[], 50.0), 0.0);
    }
}
