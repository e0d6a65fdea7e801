//! `postroad bench simulate`: performance of simulations.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tokio::time::Instant;

use crate::sim::{self, Scenario, human};

/// Measures simulations: hops per second on one core, for different numbers of hosts and messages and virtual durations.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Also measures 50 hosts with 100,000 messages and an outage, and a million messages; this takes some minutes.
    #[arg(long)]
    long: bool,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// A scenario to measure.
struct Case {
    name: &'static str,
    hosts: usize,
    messages: usize,
    text: String,
}

/// The result of a case.
#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    hosts: usize,
    messages: usize,
    hops: u64,
    virtual_seconds: f64,
    seconds: f64,
    hops_per_second: f64,
}

impl Simulate {
    /// Runs each case in turn on a thread for blocking work, and prints its figure once it is measured, or with
    /// `--json` all at the end. The exit code is 0.
    ///
    /// # Errors
    /// A scenario fails.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let Self { long, json } = self;
        let measured = tokio::task::spawn_blocking(move || {
            let figures = cases(long).into_iter().map(|case| {
                let figure = measure(case)?;
                if !json {
                    println!("{}", figure.line());
                }
                Ok(figure)
            });
            figures.collect::<anyhow::Result<Vec<_>>>()
        });
        let figures = measured.await.context("the measurement ended early")??;
        if json {
            println!("{}", serde_json::to_string_pretty(&figures)?);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Figure {
    /// The figure as a line: the case, the hops and virtual time, and how fast they were simulated.
    fn line(&self) -> String {
        let Self { name, hosts, messages, hops, virtual_seconds, seconds, hops_per_second } = self;
        format!(
            "{name:<8} {hosts:>5} hosts {messages:>8} messages {hops:>8} hops in {:>9} of virtual time: {seconds:>7.2} s, \
             {hops_per_second:>6.0} hops/s",
            human(*virtual_seconds)
        )
    }
}

/// The scenarios to measure, the longest of them only if `long`.
fn cases(long: bool) -> Vec<Case> {
    let mut cases = vec![Case { name: "quiet", hosts: 9, messages: 1, text: chain(1, "1s", "364 days") }];
    let counts = [1_000, 10_000, 100_000, 1_000_000];
    for messages in counts.into_iter().filter(|count| long || *count <= 100_000) {
        cases.push(Case { name: "chain", hosts: 9, messages, text: chain(messages, "1s", "0s") });
    }
    for hosts in [10, 100, 1_000] {
        cases.push(Case { name: "hosts", hosts, messages: 5_000, text: providers(hosts / 2, 5_000, "60s", "") });
    }
    if long {
        let outage = "[[faults]]\nfault = { kind = \"off\", host = \"mta-0\" }\nafter = \"2 days\"\nlasts = \"6h\"\n";
        cases.push(Case { name: "outage", hosts: 50, messages: 100_000, text: providers(25, 100_000, "120s", outage) });
    }
    cases
}

/// The file of a scenario in the default world, with three MTAs and an MDA in a row. `count` messages are sent in
/// bursts of 100; `every` is the interval of these, `after` the time of the first.
fn chain(count: usize, every: &str, after: &str) -> String {
    format!(
        "[scenario]\nname = \"chain\"\nlasts = \"366 days\"\n[[traffic]]\nfrom = [\"me@163.test\"]\nto = [\"friend@sina.test\"]\n\
         count = {count}\nevery = \"{every}\"\nafter = \"{after}\"\nburst = 100\n"
    )
}

/// The file of a scenario in a world of `count` equal providers with two hosts and four users each, who send `messages`
/// messages at random intervals, set by `every`; followed by the text `more`.
fn providers(count: usize, messages: usize, every: &str, more: &str) -> String {
    format!(
        "[scenario]\nname = \"providers\"\nlasts = \"14 days\"\n[providers]\ncount = {count}\nusers = 4\n[[traffic]]\n\
         from = [\"*\"]\nto = [\"*\"]\ncount = {messages}\nevery = \"{every}\"\npattern = \"poisson\"\nburst = 20\n{more}"
    )
}

/// Plays a case with seed 1 and returns its figure. A broken invariant is an error.
fn measure(case: Case) -> anyhow::Result<Figure> {
    let Case { name, hosts, messages, text } = case;
    let scenario = Scenario::parse(name, &text)?;
    let began = Instant::now();
    let report = sim::play(&scenario, 1, None, |_| {})?;
    let seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(report.passed, "an invariant was broken:\n{}", report.text());
    let hops_per_second = report.hops as f64 / seconds;
    Ok(Figure { name, hosts, messages, hops: report.hops, virtual_seconds: report.seconds, seconds, hops_per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_valid_scenarios() {
        for case in cases(true) {
            let scenario = Scenario::parse(case.name, &case.text).unwrap();
            assert_eq!(scenario.messages(), case.messages);
        }
    }
}
