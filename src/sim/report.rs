//! What a run showed. Nothing in it depends on the machine or on how long the run took, so that the same scenario and
//! seed give the same report, byte for byte.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::judge::{Fates, Violation};
use super::timeline::Happened;
use crate::journey::Event;
use crate::mail::{Address, JourneyId};

/// The outcome of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// What it shows.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// Whether all promises and expectations held.
    pub passed: bool,
    /// The world's time at the start.
    pub began: Timestamp,
    /// How much virtual time passed, in seconds.
    pub seconds: f64,
    /// Messages written.
    pub written: u64,
    /// Messages that a provider refused.
    pub refused: u64,
    /// Messages that no provider has taken yet.
    pub unsent: u64,
    /// What became of the copies.
    pub fates: Fates,
    /// Times that a host took responsibility for a message.
    pub hops: u64,
    /// Attempts that failed for now.
    pub deferred: u64,
    /// Messages fetched by readers.
    pub retrieved: u64,
    /// How long journeys took, from the first host to the mailbox.
    pub took: Took,
    /// Expectations of the scenario, in its order.
    pub expectations: Vec<Verdict>,
    /// Promises that were broken.
    pub violations: Vec<Violation>,
    /// What went wrong, and when.
    pub faults: Vec<Happened>,
    /// The longest queues, the longest first.
    pub queues: Vec<Queue>,
    /// The messages that took longest or never arrived, the worst first.
    pub worst: Vec<Worst>,
    /// Journey times of all copies, in buckets.
    pub distribution: Vec<Bucket>,
    /// Copies delivered and attempts that failed, by time.
    pub pace: Vec<Pace>,
    /// Events, and a hash of all of them.
    pub events: u64,
    /// The same hash means the same events.
    pub trace: String,
}

/// Journey times, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Took {
    /// Of a hundred, 50 are no longer.
    pub p50: f64,
    /// 95.
    pub p95: f64,
    /// 99.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// Whether an expectation held.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether it held.
    pub held: bool,
    /// Journeys that tell why not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
}

/// One queue over time.
#[derive(Clone, Debug, Serialize)]
pub struct Queue {
    /// Whose.
    pub host: String,
    /// The most that waited.
    pub longest: usize,
    /// Seconds since the start, and how many waited; only changes.
    pub samples: Vec<(f64, usize)>,
}

/// Journeys that took up to so long.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bucket {
    /// In seconds.
    pub up_to: f64,
    /// How many.
    pub count: u64,
}

/// What happened in a stretch of time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Pace {
    /// Its beginning, in seconds since the start.
    pub at: f64,
    /// Copies delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub deferred: u64,
}

/// A message that took long.
#[derive(Clone, Debug, Serialize)]
pub struct Worst {
    /// Its journey.
    pub journey: JourneyId,
    /// For whom.
    pub recipient: Address,
    /// What became of it.
    pub fate: String,
    /// Everything that happened to it, as far as it was kept.
    pub events: Vec<Event>,
}

/// `6h 4min`, `3.2s`, `15ms`: for people, two units at most.
pub fn human(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds <= 0.0 => "0".to_owned(),
        (0, 0, 0) if seconds < 1.0 => format!("{:.0}ms", seconds * 1e3),
        (0, 0, 0) => format!("{seconds:.1}s"),
        (0, 0, _) => format!("{minutes}min {rest}s"),
        (0, ..) => format!("{hours}h {minutes}min"),
        _ => format!("{days}d {hours}h"),
    }
}

impl Report {
    /// How much virtual time passed.
    pub fn passed_time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.max(0.0))
    }

    /// For people, on a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_text(&mut out);
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let Fates { delivered, bounced, waiting, lost, duplicates } = self.fates;
        writeln!(out, "{}, seed {}: {} of virtual time", self.scenario, self.seed, human(self.seconds))?;
        if !self.about.is_empty() {
            writeln!(out, "{}", self.about)?;
        }
        writeln!(
            out,
            "\n  written    {:>9}   refused {}, not yet with a provider {}",
            self.written, self.refused, self.unsent
        )?;
        writeln!(out, "  delivered  {delivered:>9}   {duplicates} of them more than once")?;
        writeln!(out, "  bounced    {bounced:>9}\n  waiting    {waiting:>9}\n  lost       {lost:>9}")?;
        writeln!(
            out,
            "  hops       {:>9}   attempts that failed for now {}, fetched {}",
            self.hops, self.deferred, self.retrieved
        )?;
        let Took { p50, p95, p99, max } = self.took;
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(human);
        writeln!(out, "  journey    p50 {p50}, p95 {p95}, p99 {p99}, longest {max}")?;
        for queue in self.queues.iter().take(5) {
            writeln!(out, "  queue      {:<16} longest {}", queue.host, queue.longest)?;
        }
        self.write_faults(out)?;
        if !self.expectations.is_empty() || !self.violations.is_empty() {
            writeln!(out)?;
        }
        for Verdict { expected, found, held, messages } in &self.expectations {
            writeln!(out, "  {} {expected}: {found}", if *held { "✓" } else { "✗" })?;
            messages.iter().try_for_each(|message| writeln!(out, "      {message}"))?;
        }
        for Violation { promise, journey, what } in &self.violations {
            let journey = journey.map_or_else(String::new, |journey| format!(" {journey}"));
            writeln!(out, "  ✗ {promise}:{journey} {what}")?;
        }
        writeln!(out, "\n  {} events, trace {}", self.events, self.trace)
    }

    fn write_faults(&self, out: &mut String) -> std::fmt::Result {
        const SHOWN: usize = 10;
        for Happened { what, from, until, .. } in self.faults.iter().take(SHOWN) {
            let at = |time: &Timestamp| human(time.duration_since(self.began).as_secs_f64());
            let until = until.as_ref().map_or_else(|| "the end".to_owned(), at);
            writeln!(out, "  fault      {what}, from {} to {until}", at(from))?;
        }
        match self.faults.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(out, "  fault      and {more} more"),
        }
    }
}
