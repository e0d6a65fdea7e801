//! Compares the results of a run with the expectations of its scenario.

use std::time::Duration;

use jiff::Timestamp;

use super::file::{Expect, QueueExpect, Range};
use super::invariants::OutcomeCounts;
use super::metrics::Metrics;
use super::progress::{CopyState, JourneyState};
use super::report::{Queue, Verdict, human};
use crate::world::later;

/// Messages that a failed expectation lists.
const MAX_LISTED: usize = 10;

/// The results of a run.
pub(super) struct Results<'a> {
    pub(super) counts: OutcomeCounts,
    /// The world's time at the start.
    pub(super) began: Timestamp,
    pub(super) state: &'a Metrics,
    /// Latencies in seconds, ascending.
    pub(super) latencies: &'a [f64],
    pub(super) queues: &'a [Queue],
}

/// The percentile of a sorted list, by the nearest rank; 0 if the list is empty.
pub(super) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

impl Results<'_> {
    /// Compares the results with each expectation that is set.
    pub(super) fn compare(&self, expect: &Expect) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        if let Some(share) = expect.delivered {
            verdicts.push(self.delivered(share, expect.within));
        }
        for (percent, bound) in [(50.0, expect.p50), (95.0, expect.p95), (99.0, expect.p99)] {
            verdicts.extend(bound.map(|bound| self.percentile(percent, bound)));
        }
        let OutcomeCounts { bounced, duplicates, waiting, .. } = self.counts;
        for (what, range, value) in [
            ("bounced", expect.bounced, bounced),
            ("duplicates", expect.duplicates, duplicates),
            ("waiting at the end", expect.waiting, waiting),
            ("temporary failures", expect.deferred, self.state.deferred.len() as u64),
        ] {
            verdicts.extend(range.map(|range| self.count(what, range, value)));
        }
        verdicts.extend(expect.queue.iter().map(|queue| self.queue(queue)));
        verdicts
    }

    /// Compares the share of the accepted copies that arrived, within a time if there is one, with the least expected.
    /// If it is less, lists copies that did not arrive, or not in time.
    fn delivered(&self, share: f64, within: Option<Duration>) -> Verdict {
        let bound = within.map_or(f64::INFINITY, |within| within.as_secs_f64());
        let in_time = self.latencies.partition_point(|latency| *latency <= bound) as u64;
        let OutcomeCounts { delivered, bounced, waiting, lost, .. } = self.counts;
        let all = delivered + bounced + waiting + lost;
        let found = if all == 0 { 1.0 } else { in_time as f64 / all as f64 };
        let held = share <= found;
        let limit = within.map_or_else(String::new, |within| format!(" within {}", human(within.as_secs_f64())));
        Verdict {
            expected: format!("{} % delivered{limit}", share * 100.0),
            found: format!("{:.2} % ({in_time} of {all})", found * 100.0),
            held,
            messages: if held { Vec::new() } else { self.late(bound) },
        }
    }

    /// Compares a percentile of the latencies with the longest expected; if it is longer, lists the copies that took
    /// longer than that, or never arrived.
    fn percentile(&self, percent: f64, bound: Duration) -> Verdict {
        let found = percentile(self.latencies, percent);
        let held = found <= bound.as_secs_f64();
        Verdict {
            expected: format!("p{percent} of the journey up to {}", human(bound.as_secs_f64())),
            found: human(found),
            held,
            messages: if held { Vec::new() } else { self.late(bound.as_secs_f64()) },
        }
    }

    /// Compares one of the numbers that [`Self::compare`] names with its range.
    fn count(&self, what: &str, range: Range, value: u64) -> Verdict {
        let held = range.holds(value);
        let messages = if held { Vec::new() } else { self.counted(what) };
        Verdict { expected: format!("{what}: {range}"), found: value.to_string(), held, messages }
    }

    /// Compares the length of a queue at a time, as of the last sample until then or else 0, with its range.
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

    /// Lists the copies, as lines, of messages that this host had accepted at that time and that arrived later or
    /// never.
    fn waiting(&self, host: &str, then: Timestamp) -> Vec<String> {
        self.list_copies(|state, copy| {
            let is_taken = state.taken.iter().any(|(by, at)| **by == *host && *at <= then);
            is_taken && copy.delivered.first().is_none_or(|at| then < *at)
        })
    }

    /// Lists the copies, as lines, that did not arrive within `bound` seconds.
    fn late(&self, bound: f64) -> Vec<String> {
        self.list_copies(|state, copy| {
            let latency = state.seconds(copy);
            latency.is_infinite() || bound < latency
        })
    }

    /// Lists the copies, as lines, that the expectation with this name in [`Self::compare`] counts.
    fn counted(&self, what: &str) -> Vec<String> {
        self.list_copies(|_, copy| match what {
            "bounced" => copy.failed != 0,
            "duplicates" => 1 < copy.delivered.len(),
            "waiting at the end" => copy.delivered.is_empty() && copy.failed == 0,
            _ => copy.deferred != 0,
        })
    }

    /// Makes lines such as `JOURNEY for RECIPIENT: LAST ERROR` of the copies of user messages that match, of
    /// [`MAX_LISTED`] at most.
    fn list_copies(&self, fits: impl Fn(&JourneyState, &CopyState) -> bool) -> Vec<String> {
        let messages = self.state.journeys.iter().filter(|(_, state)| state.is_user_message());
        let copies = messages
            .flat_map(|(journey, state)| state.expected_copies().map(move |(to, copy)| (journey, state, to, copy)));
        let named = copies.filter(|(_, state, _, copy)| fits(state, copy));
        let lines = named.map(|(journey, _, to, copy)| {
            let why = copy.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{journey} for {to}{why}")
        });
        lines.take(MAX_LISTED).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_of_sorted_list_returns_nearest_rank() {
        let list: Vec<f64> = (1..=200).map(f64::from).collect();
        let found = [0.0, 50.0, 95.0, 99.0, 100.0].map(|percent| percentile(&list, percent));
        assert_eq!(found, [1.0, 100.0, 190.0, 198.0, 200.0]);
        assert_eq!(percentile(&[], 50.0), 0.0);
    }
}
