//! `postroad bench smtp`: performance of an SMTP server, this one or another.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::interval;

use super::super::common::{Endpoint, duration};
use super::super::serve::Omitted;
use crate::bench::{ArrivalWatcher, FRONT, Figures, Load, Messages, Processes, Served};
use crate::mail::Address;
use crate::mua::{ClientContext, ImapWatch, Login, Security, Server};
use crate::net::{Interface, Net, Trust};
use crate::world::{Clock, Rng};

/// Interval between two updates of the progress bar.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Measures an SMTP server: durable acceptance of messages of each size over each number of connections. Without --target,
/// starts a server of this program in its own process with a temporary folder.
#[derive(Debug, Args)]
pub(super) struct Smtp {
    /// Message sizes, such as 4KiB; several values separated by commas.
    #[arg(long, value_name = "SIZE", value_delimiter = ',', default_value = "4KiB,100KiB", value_parser = size)]
    sizes: Vec<usize>,
    /// Concurrent connections; several values separated by commas.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,10,50",
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: Vec<u16>,
    /// The largest number of messages of each case.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    count: u64,
    /// The longest duration of each case.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    time: Duration,
    /// Measures the path through three MTAs to a mailbox instead, until the last message has arrived; and single messages.
    #[arg(long)]
    chain: bool,
    /// Send by DATA even to a server that offers CHUNKING.
    #[arg(long = "data-command")]
    by_data: bool,
    /// Send each command after the reply to the one before, even to a server that offers PIPELINING, as most clients do;
    /// the message by DATA.
    #[arg(long = "no-pipelining")]
    stepwise: bool,
    /// Measures this server instead of starting one.
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<Endpoint>,
    /// A process id of that server: reports the CPU time used by it and its children. May be repeated.
    #[arg(long, value_name = "PID", requires = "target")]
    pid: Vec<u32>,
    /// The sender.
    #[arg(long, value_name = "ADDRESS", default_value = "me@163.test")]
    from: Address,
    /// The recipient; with --chain, also the login of the mailbox.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,
    /// The IMAP server of the recipient's mailbox, with --target.
    #[arg(long, value_name = "HOST:PORT", requires_all = ["target", "chain"])]
    imap: Option<Endpoint>,
    /// The password of the mailbox.
    #[arg(long, value_name = "TEXT", default_value = "postroad")]
    password: String,
    /// The folder in which the started server's temporary data folder is created. Default: the system's folder for
    /// temporary files.
    #[arg(long, value_name = "FOLDER", conflicts_with = "target")]
    data: Option<PathBuf>,
    /// Starts the server without this: the difference is what it costs. May be repeated.
    #[arg(long, value_name = "PART", conflicts_with = "target")]
    without: Vec<Omitted>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// The results.
#[derive(Debug, Serialize)]
struct Report {
    what: &'static str,
    cases: Vec<Figures>,
    /// Messages one at a time: how long each took from MAIL to the mailbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    lone_ms: Option<SingleMessage>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct SingleMessage {
    messages: usize,
    first: f64,
    median: f64,
    longest: f64,
}

/// The server to measure.
struct Target {
    smtp: SocketAddr,
    imap: Option<SocketAddr>,
    processes: Processes,
    /// The started server and its folder, kept until the end.
    _ours: Option<(Served, TempDir)>,
}

impl Smtp {
    /// Finds or starts the server, measures acceptance, or with `--chain` arrival in the mailbox, and prints the
    /// results. The exit code is 0.
    ///
    /// # Errors
    /// The server does not start, is unreachable, or refuses the messages.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let interface = Net::sockets().interface(&[]);
        let target = self.target(&interface).await?;
        let report =
            if self.chain { self.chain(&target, interface).await? } else { self.accept(&target, interface).await? };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Resolves the servers of `--target` and `--imap`, or starts a server; without `--chain`, that is one MTA that
    /// keeps all mail in its queue. `--chain` with `--target` but no `--imap` is an error.
    async fn target(&self, interface: &Interface) -> anyhow::Result<Target> {
        let find = async |endpoint: &Endpoint| {
            let found = interface.lookup(&endpoint.host, endpoint.port).await?;
            found.first().copied().with_context(|| format!("{} has no address", endpoint.host))
        };
        if let Some(smtp) = &self.target {
            let imap = match &self.imap {
                Some(imap) => Some(find(imap).await?),
                None => None,
            };
            anyhow::ensure!(!self.chain || imap.is_some(), "--chain with --target needs --imap HOST:PORT");
            return Ok(Target {
                smtp: find(smtp).await?,
                imap,
                processes: Processes::new(self.pid.clone()),
                _ours: None,
            });
        }
        let mut folder = tempfile::Builder::new();
        folder.prefix("postroad-bench-");
        let folder = match &self.data {
            Some(data) => folder.tempdir_in(data).with_context(|| format!("cannot write to {}", data.display()))?,
            None => folder.tempdir()?,
        };
        let without = |part: &Omitted| part.to_possible_value().map(|value| format!("--without={}", value.get_name()));
        let without: Vec<_> = self.without.iter().filter_map(without).collect();
        let served = Served::start(folder.path(), (!self.chain).then_some(FRONT), &without).await?;
        let imap = if self.chain { Some(served.port("imap")?) } else { None };
        let (smtp, processes) = (served.port("smtp")?, served.processes());
        Ok(Target { smtp, imap, processes, _ours: Some((served, folder)) })
    }

    /// The recipient: the address of `--to`, or else one for which the server that this program starts accepts mail.
    fn recipient(&self) -> anyhow::Result<Address> {
        let ours = if self.chain { "friend@sina.test" } else { "sink@away.test" };
        Ok(self.to.clone().map_or_else(|| ours.parse(), Ok)?)
    }

    /// Returns the load of each case: each of `--sizes` with each of `--connections`, in the order of the options, one
    /// size after the other. Each has messages of its own, and goes to the SMTP server of the target.
    fn loads(&self, target: &Target) -> anyhow::Result<Vec<Load>> {
        let (to, rng) = (self.recipient()?, Rng::from_entropy());
        let case = |(bytes, connections): (usize, u16)| Load {
            server: target.smtp,
            by_data: self.by_data,
            stepwise: self.stepwise,
            messages: Messages::new(self.from.clone(), to.clone(), bytes, rng.next_u64()),
            connections: connections.into(),
            count: self.count,
            time: self.time,
        };
        let each = self.sizes.iter().flat_map(|size| self.connections.iter().map(|count| (*size, *count)));
        Ok(each.map(case).collect())
    }

    /// Measures each case until its last message is accepted, prints its row, and returns the results.
    async fn accept(&self, target: &Target, interface: Interface) -> anyhow::Result<Report> {
        self.head("accepted");
        let mut cases = Vec::new();
        for load in self.loads(target)? {
            let (before, sent) = (target.processes.usage(), AtomicU64::new(0));
            let outcome = with_progress(&sent, load.count, load.run(&interface, &sent)).await?;
            let figures = Figures::of(&load, &outcome, outcome.seconds, target.processes.cpu_since(before));
            self.line(&figures);
            cases.push(figures);
        }
        Ok(Report { what: "accepted", cases, lone_ms: None })
    }

    /// Measures single messages, each until it is in the mailbox, then each case until its last message is there.
    /// Prints a row for each case and the single messages last; returns the results.
    async fn chain(&self, target: &Target, interface: Interface) -> anyhow::Result<Report> {
        let imap = target.imap.context("--chain needs an IMAP server")?;
        let context = ClientContext {
            interface: interface.clone(),
            trust: Trust::any_certificate(Clock::wall()),
            hello: "localhost".to_owned(),
            transcripts: false,
        };
        let server = Server { name: "localhost".to_owned(), addresses: vec![imap], security: Security::Plain };
        let login = Login { user: self.recipient()?.to_string(), password: self.password.clone() };
        let mut arrivals = ArrivalWatcher(ImapWatch::open(&context, &server, &login).await?);
        self.head("in the mailbox");
        let (mut cases, mut lone_ms) = (Vec::new(), None);
        for load in self.loads(target)? {
            if lone_ms.is_none() {
                let one_by_one = Load { count: self.count.min(SINGLE_MESSAGES), ..load.clone() };
                lone_ms = Some(SingleMessage::of(arrivals.one_by_one(&one_by_one, &interface).await?));
            }
            let (before, arrived) = (target.processes.usage(), AtomicU64::new(0));
            let (sent, seconds) =
                with_progress(&arrived, load.count, arrivals.of_load(&load, &interface, &arrived)).await?;
            let figures = Figures::of(&load, &sent, seconds, target.processes.cpu_since(before));
            self.line(&figures);
            cases.push(figures);
        }
        if let (Some(SingleMessage { messages, first, median, longest }), false) = (lone_ms, self.json) {
            println!(
                "{messages} messages one at a time: the first {first:.1} ms, median {median:.1} ms, longest {longest:.1} ms"
            );
        }
        Ok(Report { what: "in the mailbox", cases, lone_ms })
    }

    /// Prints the head of the table, unless `--json`; `what` is the title of the number of messages.
    fn head(&self, what: &str) {
        if !self.json {
            println!("    bytes  connections   {what:>14}   messages/s  CPU ms each  accepted p50 ms  p99 ms");
        }
    }

    /// Prints the row of a case, unless `--json`.
    fn line(&self, figures: &Figures) {
        let Figures { message_bytes, connections, messages, per_second, cpu_ms, p50_ms, p99_ms, .. } = figures;
        let cpu = cpu_ms.map_or("-".to_owned(), |cpu| format!("{cpu:.3}"));
        if !self.json {
            println!(
                "{message_bytes:>9}  {connections:>11}   {messages:>14}  {per_second:>10.0}  {cpu:>11}  {p50_ms:>15.2}  {p99_ms:>6.2}"
            );
        }
    }
}

/// Messages sent one at a time.
const SINGLE_MESSAGES: u64 = 30;

impl SingleMessage {
    /// The number, first, median and longest of these times in milliseconds, which are in the order of sending; 0 for
    /// all if there are none.
    fn of(latencies: Vec<f64>) -> Self {
        let mut sorted = latencies.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |list: &[f64], at: usize| list.get(at).copied().unwrap_or_default();
        Self {
            messages: latencies.len(),
            first: at(&latencies, 0),
            median: at(&sorted, sorted.len() / 2),
            longest: at(&sorted, sorted.len().saturating_sub(1)),
        }
    }
}

/// Runs `work` and returns its output. Meanwhile shows `count`, which `work` raises up to `all`, in a progress bar on
/// standard error, on a terminal only.
pub(super) async fn with_progress<T>(count: &AtomicU64, all: u64, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar:.cyan} {pos}/{len} {per_sec} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut ticks = interval(PROGRESS_INTERVAL);
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            outcome = &mut work => {
                bar.finish_and_clear();
                return outcome;
            }
            _ = ticks.tick() => bar.set_position(count.load(Ordering::Relaxed)),
        }
    }
}

/// Parses `4096`, `4KiB` or `1MiB` to a number of bytes, at most 50 MiB.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let invalid = || format!("`{text}` is not a size such as 4KiB, 1MiB or a number of bytes, up to 50MiB");
    let (number, unit) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(number), _) => (number, 1 << 10),
        (_, Some(number)) => (number, 1 << 20),
        _ => (text, 1),
    };
    let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| *size <= 50 << 20).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_accepts_bytes_kib_and_mib() {
        for (text, wanted) in [("0", 0), ("4096", 4096), ("4KiB", 4096), ("50MiB", 50 << 20)] {
            assert_eq!(size(text), Ok(wanted), "{text}");
        }
        assert!(["", "-1", "4kb", "51MiB", "99999999999999999999KiB"].iter().all(|text| size(text).is_err()));
    }

    #[test]
    fn single_message_times_give_first_median_and_longest() {
        let SingleMessage { messages, first, median, longest } = SingleMessage::of(vec![5.0, 1.0, 9.0, 2.0, 3.0]);
        assert_eq!((messages, first, median, longest), (5, 5.0, 3.0, 9.0));
    }
}
