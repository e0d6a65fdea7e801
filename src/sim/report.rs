//! The report of a run. It does not depend on the machine or on real time: the same scenario and seed give the same
//! report, byte for byte.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::invariants::{OutcomeCounts, Violation};
use super::timeline::FaultInterval;
use crate::journey::Journey;
use crate::mail::Address;
use crate::page;
use crate::world::Host;

/// The results of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// Description of the scenario.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// Whether all invariants and expectations held.
    pub passed: bool,
    /// The world's time at the start.
    pub began: Timestamp,
    /// Virtual duration in seconds.
    pub seconds: f64,
    /// Messages generated.
    pub written: u64,
    /// Messages that a provider refused.
    pub refused: u64,
    /// Messages that no provider has accepted or refused.
    pub unsent: u64,
    /// Copies by outcome.
    pub outcomes: OutcomeCounts,
    /// Number of times a host accepted responsibility for a message.
    pub hops: u64,
    /// Temporary failures.
    pub deferred: u64,
    /// Messages that readers fetched.
    pub retrieved: u64,
    /// Latency from the first host to the mailbox.
    pub latency: Latency,
    /// Expectations of the scenario, in its order.
    pub expectations: Vec<Verdict>,
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// The faults and their times.
    pub faults: Vec<FaultInterval>,
    /// The longest queues, longest first.
    pub queues: Vec<Queue>,
    /// The slowest messages: those that never arrived, then by latency.
    pub worst: Vec<SlowestMessage>,
    /// Histogram of the latencies of all copies.
    pub distribution: Vec<Bucket>,
    /// Deliveries and temporary failures over time.
    pub pace: Vec<Throughput>,
    /// The hosts of the world.
    pub hosts: Vec<SimulatedHost>,
    /// Number of events.
    pub events: u64,
    /// Hash of all events.
    pub trace: String,
}

/// Latency percentiles in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
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
    /// Journeys of the messages that did not meet it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
}

/// The length of one queue over time.
#[derive(Clone, Debug, Serialize)]
pub struct Queue {
    /// The host.
    pub host: String,
    /// The largest length.
    pub longest: usize,
    /// Seconds since the start and length; only changes.
    pub samples: Vec<(f64, usize)>,
}

/// A histogram bucket of latencies.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bucket {
    /// Its upper bound in seconds.
    pub up_to: f64,
    /// Number of copies.
    pub count: u64,
}

/// Deliveries and temporary failures in one time interval.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Throughput {
    /// Start of the interval, in seconds since the start of the run.
    pub at: f64,
    /// Copies delivered.
    pub delivered: u64,
    /// Temporary failures.
    pub deferred: u64,
}

/// A slow or undelivered copy of a message.
#[derive(Clone, Debug, Serialize)]
pub struct SlowestMessage {
    /// Its recipient.
    pub recipient: Address,
    /// Its outcome in words.
    pub outcome: String,
    /// Its journey, with the events as far as they were kept.
    #[serde(flatten)]
    pub journey: Journey,
}

/// A host, as readers of a journey need it.
#[derive(Clone, Debug, Serialize)]
pub struct SimulatedHost {
    /// Its name in the world file.
    pub name: String,
    /// Its name in the DNS.
    pub fqdn: String,
    /// Its role.
    pub role: &'static str,
}

impl SimulatedHost {
    /// What the report shows of a host.
    pub(super) fn of(host: &Host) -> Self {
        Self { name: host.name.to_string(), fqdn: host.fqdn.clone(), role: host.role.name() }
    }
}

/// Formats a duration with at most two units: `6h 4min`, `3.2s`, `15ms`.
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
    /// Virtual duration of the run.
    pub fn passed_time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.max(0.0))
    }

    /// The report as a page in one file, drawn as the page of a running world draws it.
    pub fn html(&self) -> String {
        // A report consists of strings and numbers: serializing it cannot fail.
        let json = serde_json::to_string(self).unwrap_or_default();
        page::report(&format!("{}, seed {}", self.scenario, self.seed), &json)
    }

    /// A summary of the report for a terminal: without the slowest messages, and what is drawn as charts only.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_text(&mut out);
        out
    }

    /// Writes what [`Report::text`] returns.
    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let OutcomeCounts { delivered, bounced, waiting, lost, duplicates } = self.outcomes;
        writeln!(out, "{}, seed {}: {} of virtual time", self.scenario, self.seed, human(self.seconds))?;
        if !self.about.is_empty() {
            writeln!(out, "{}", self.about)?;
        }
        writeln!(
            out,
            "\n  written    {:>9}   refused {}, not yet submitted {}",
            self.written, self.refused, self.unsent
        )?;
        writeln!(out, "  delivered  {delivered:>9}   duplicates {duplicates}")?;
        writeln!(out, "  bounced    {bounced:>9}\n  waiting    {waiting:>9}\n  lost       {lost:>9}")?;
        writeln!(
            out,
            "  hops       {:>9}   temporary failures {}, fetched {}",
            self.hops, self.deferred, self.retrieved
        )?;
        let Latency { p50, p95, p99, max } = self.latency;
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(human);
        writeln!(out, "  latency    p50 {p50}, p95 {p95}, p99 {p99}, longest {max}")?;
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

    /// Writes a line for each of the first 10 faults, and one with the number of the others.
    fn write_faults(&self, out: &mut String) -> std::fmt::Result {
        const SHOWN: usize = 10;
        for FaultInterval { what, from, until, .. } in self.faults.iter().take(SHOWN) {
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
