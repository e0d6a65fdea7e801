//! `postroad simulate`: runs a scenario in virtual time.

use std::fs::File;
use std::io::BufWriter;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::run_file::RunFile;
use crate::sim::{self, Progress, Report, Scenario, Trace, human};
use crate::sync::{ignore_poison, lock};

/// Runs a scenario in virtual time: traffic, faults and the outcome of every message.
///
/// The same scenario and seed give the same report. Exits with 1 if an invariant or an expectation of the scenario does
/// not hold.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// A scenario file, such as config/scenarios/outage.toml; or `storm`, a random scenario chosen by the seed.
    scenario: PathBuf,
    /// The seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Runs the scenario with each of these seeds on all cores, and reports the worst run.
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with_all = ["seed", "trace"])]
    seeds: Option<RangeInclusive<u64>>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Write the report to this file as a page for browsers, which needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report to this file as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write every event to this file as a line of JSON.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// A file for the report, if it is wanted, and its format.
type ReportFile = (Option<RunFile>, fn(&Report) -> String);

impl Simulate {
    /// Removes the report and trace files of an earlier run, reads the scenario, and runs it on a thread for blocking
    /// work, without log. The exit code is 1 if the run, or with `--seeds` the worst one, failed.
    ///
    /// # Errors
    /// The scenario is invalid, or a file cannot be written.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let files = [&self.html, &self.junit, &self.trace].map(|path| path.as_deref().map(RunFile::fresh).transpose());
        let [html, junit, trace] = files;
        trace?;
        let reports: [ReportFile; 2] = [(html?, Report::html), (junit?, Report::junit)];
        let scenario = if self.is_storm() { None } else { Some(Scenario::read(&self.scenario)?) };
        // A nested runtime must not be started on a worker thread of this one.
        let played =
            tokio::task::spawn_blocking(move || without_log(|| self.run_and_report(scenario.as_ref(), &reports))).await;
        played.context("the simulation ended early")?
    }

    /// Whether the argument is the word `storm`: a random scenario chosen by the seed.
    fn is_storm(&self) -> bool {
        self.scenario.as_os_str() == "storm"
    }

    /// Runs the scenario with the seed, or with all of `--seeds`; writes the report, that of the worst run, to the
    /// files `reports`, and prints it, as JSON with `--json`. If that run failed, prints to standard error how to
    /// reproduce it, and returns the exit code 1.
    fn run_and_report(self, scenario: Option<&Scenario>, reports: &[ReportFile]) -> anyhow::Result<ExitCode> {
        let report = match &self.seeds {
            Some(seeds) => self.run_many(scenario, seeds.clone())?,
            None => self.run_one(scenario)?,
        };
        for (file, text) in reports {
            if let Some(file) = file {
                file.write(&text(&report))?;
            }
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{}", report.text());
        }
        if report.passed {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("\nto reproduce: postroad simulate {} --seed {}", self.scenario.display(), report.seed);
        Ok(ExitCode::FAILURE)
    }

    /// Runs `--seed` with a progress line, and writes its events to the file of `--trace`, if any; without a scenario,
    /// runs the storm of the seed. Returns the report.
    fn run_one(&self, scenario: Option<&Scenario>) -> anyhow::Result<Report> {
        let open = |path: &PathBuf| {
            File::create(path)
                .map(|file| Trace::to(BufWriter::new(file)))
                .with_context(|| format!("cannot write {}", path.display()))
        };
        let trace = self.trace.as_ref().map(open).transpose()?;
        let (bar, began) = (progress_bar("{wide_msg}", 0), Instant::now());
        let report = play(scenario, self.seed, trace, |progress| bar.set_message(line(progress, began)))?;
        bar.finish_and_clear();
        Ok(report)
    }

    /// Runs the scenario, or the storms, with many seeds on all cores, and prints how many failed to standard error.
    /// Returns the worst report: one that failed, with the most violations, else the slowest. A run that ended with an
    /// error is worse than any report, and is the error.
    fn run_many(&self, scenario: Option<&Scenario>, seeds: RangeInclusive<u64>) -> anyhow::Result<Report> {
        let (first, last) = seeds.into_inner();
        let count = last.checked_sub(first).map_or(0, |more| more.saturating_add(1));
        let bar = progress_bar("{wide_bar:.cyan} {pos}/{len} seeds {elapsed}", count);
        let (begun, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        let worst: Mutex<Option<(u64, anyhow::Result<Report>)>> = Mutex::new(None);
        let work = || {
            loop {
                let at = begun.fetch_add(1, Ordering::Relaxed);
                if count <= at {
                    return;
                }
                let seed = first + at;
                let report = play(scenario, seed, None, |_| {});
                failed.fetch_add(u64::from(!report.as_ref().is_ok_and(|report| report.passed)), Ordering::Relaxed);
                bar.inc(1);
                let mut worst = lock(&worst);
                if worst.as_ref().is_none_or(|(known, ended)| severity(*known, ended) < severity(seed, &report)) {
                    *worst = Some((seed, report));
                }
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(|| without_log(work)))));
        bar.finish_and_clear();
        let failed = failed.into_inner();
        eprintln!("{count} seeds, {failed} failed; the worst run:\n");
        let worst = ignore_poison(worst.into_inner());
        let (seed, report) = worst.context("the range has no seeds")?;
        report.with_context(|| format!("seed {seed}"))
    }
}

/// Plays a scenario with this seed in virtual time and returns its report; without a scenario, plays the storm that the
/// seed makes. Events are written to `trace`, if any, and `progress` is called as it goes on.
fn play(
    scenario: Option<&Scenario>,
    seed: u64,
    trace: Option<Trace>,
    progress: impl Fn(Progress) + Send + Sync,
) -> anyhow::Result<Report> {
    Ok(match scenario {
        Some(scenario) => sim::play(scenario, seed, trace, progress)?,
        None => sim::play(&Scenario::storm(seed)?, seed, trace, progress)?,
    })
}

/// Runs `work` without log output, because injected faults would fill the log; `POSTROAD_LOG` enables it.
fn without_log<T>(work: impl FnOnce() -> T) -> T {
    if std::env::var_os("POSTROAD_LOG").is_some() {
        return work();
    }
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::new(), work)
}

/// A sort key: larger is worse. An error comes first, then a failed run, violations before unmet expectations, the
/// longest latency, and the lower seed.
fn severity(seed: u64, report: &anyhow::Result<Report>) -> (u8, usize, u64, u64) {
    match report {
        Err(_) => (2, 0, 0, u64::MAX - seed),
        Ok(report) => {
            let missed = report.expectations.iter().filter(|verdict| !verdict.held).count();
            let longest = (report.latency.max * 1e3) as u64;
            (u8::from(!report.passed), report.violations.len() * 1000 + missed, longest, u64::MAX - seed)
        }
    }
}

/// Returns a new progress bar on standard error with this template and length, shown on a terminal only.
fn progress_bar(template: &str, len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
    bar.set_style(style);
    bar
}

/// The progress as a line: virtual time, its speed compared with the real time since `began`, and counts of messages.
fn line(progress: Progress, began: Instant) -> String {
    let Progress { passed, written, open, queued, delivered, bounced, hops } = progress;
    let real = began.elapsed().max(Duration::from_millis(1));
    let speed = passed.as_secs_f64() / real.as_secs_f64();
    let passed = human(passed.as_secs_f64());
    format!(
        "{passed} at {speed:.0}x: written {written}, underway {open}, queued {queued}, delivered {delivered}, \
         bounced {bounced}, hops {hops}"
    )
}

/// Parses a range such as `1..1000`; both ends are included. An empty one, or one of 2³² seeds or more, is an error.
fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let invalid = || format!("`{text}` is not a range of seeds such as 1..1000");
    let (from, to) = text.split_once("..").ok_or_else(invalid)?;
    let (from, to) = (from.parse().map_err(|_| invalid())?, to.parse().map_err(|_| invalid())?);
    if from <= to && to - from < u64::from(u32::MAX) { Ok(from..=to) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_include_both_ends() {
        assert_eq!(seeds("1..3"), Ok(1..=3));
        assert!(["", "1", "3..1", "a..b", "0..18446744073709551615"].iter().all(|text| seeds(text).is_err()));
    }
}
