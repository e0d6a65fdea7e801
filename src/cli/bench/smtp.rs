//! `postroad bench smtp`: how fast a mail server takes mail, ours or any other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::interval;

use super::super::common::{Endpoint, duration};
use crate::bench::{Arrivals, FRONT, Figures, Letters, Load, Processes, Served};
use crate::mail::Address;
use crate::mua::{Desk, ImapWatch, Login, Security, Server};
use crate::net::{Interface, Net, Trust};
use crate::world::{Clock, Dice};

/// Between two looks at how far it is.
const GLANCE: Duration = Duration::from_millis(100);

/// How fast a mail server takes mail: letters of each size over each number of connections, durable, nothing switched
/// off. Without --target, ours, in a process and a folder of its own.
#[derive(Debug, Args)]
pub(super) struct Smtp {
    /// Octets of a letter, such as 4KiB; several after commas.
    #[arg(long, value_name = "SIZE", value_delimiter = ',', default_value = "4KiB,100KiB", value_parser = size)]
    sizes: Vec<usize>,
    /// Connections at once; several after commas.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,10,50",
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: Vec<u16>,
    /// No more letters than these in each case.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    count: u64,
    /// No new letter after this time in each case.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    time: Duration,
    /// Whole ways instead: through three MTAs into a mailbox, until the last letter is there; and letters one at a time.
    #[arg(long)]
    chain: bool,
    /// Send by DATA even to a server that offers CHUNKING: some take that faster.
    #[arg(long = "data-command")]
    by_data: bool,
    /// Load this server instead of ours.
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<Endpoint>,
    /// A process of that server, by its number: what it and its children use is told. May be repeated.
    #[arg(long, value_name = "PID", requires = "target")]
    pid: Vec<u32>,
    /// Who sends.
    #[arg(long, value_name = "ADDRESS", default_value = "me@163.test")]
    from: Address,
    /// Who gets it; with --chain, the login at the mailbox.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,
    /// The IMAP server at the end of the chain behind --target.
    #[arg(long, value_name = "HOST:PORT", requires_all = ["target", "chain"])]
    imap: Option<Endpoint>,
    /// The password there.
    #[arg(long, value_name = "TEXT", default_value = "postroad")]
    password: String,
    /// Where our server keeps its data, in a folder that is removed at the end; without it, where temporary files go.
    #[arg(long, value_name = "FOLDER", conflicts_with = "target")]
    data: Option<PathBuf>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Report {
    what: &'static str,
    cases: Vec<Figures>,
    /// Letters one at a time: how long each took from MAIL to the mailbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    lone_ms: Option<Lone>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Lone {
    letters: usize,
    first: f64,
    median: f64,
    longest: f64,
}

/// The server under load.
struct Target {
    smtp: SocketAddr,
    imap: Option<SocketAddr>,
    processes: Processes,
    /// What goes away with it.
    _ours: Option<(Served, TempDir)>,
}

impl Smtp {
    /// Does it.
    ///
    /// # Errors
    /// The server does not start, does not answer, or does not take the letters.
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
            anyhow::ensure!(!self.chain || imap.is_some(), "--chain behind --target needs --imap HOST:PORT");
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
        let served = Served::start(folder.path(), (!self.chain).then_some(FRONT)).await?;
        let imap = if self.chain { Some(served.port("imap")?) } else { None };
        let (smtp, processes) = (served.port("smtp")?, served.processes());
        Ok(Target { smtp, imap, processes, _ours: Some((served, folder)) })
    }

    fn recipient(&self) -> anyhow::Result<Address> {
        let ours = if self.chain { "friend@sina.test" } else { "sink@away.test" };
        Ok(self.to.clone().map_or_else(|| ours.parse(), Ok)?)
    }

    /// Each case, in the order of its size and its connections.
    fn loads(&self, target: &Target) -> anyhow::Result<Vec<Load>> {
        let (to, dice) = (self.recipient()?, Dice::from_entropy());
        let case = |(octets, connections): (usize, u16)| Load {
            server: target.smtp,
            by_data: self.by_data,
            letters: Letters::new(self.from.clone(), to.clone(), octets, dice.draw()),
            connections: connections.into(),
            count: self.count,
            time: self.time,
        };
        let each = self.sizes.iter().flat_map(|size| self.connections.iter().map(|count| (*size, *count)));
        Ok(each.map(case).collect())
    }

    async fn accept(&self, target: &Target, interface: Interface) -> anyhow::Result<Report> {
        self.head("accepted");
        let mut cases = Vec::new();
        for load in self.loads(target)? {
            let (before, sent) = (target.processes.usage(), AtomicU64::new(0));
            let outcome = shown(&sent, load.count, load.run(&interface, &sent)).await?;
            let figures = Figures::of(&load, &outcome, outcome.seconds, target.processes.cpu_since(before));
            self.line(&figures);
            cases.push(figures);
        }
        Ok(Report { what: "accepted", cases, lone_ms: None })
    }

    async fn chain(&self, target: &Target, interface: Interface) -> anyhow::Result<Report> {
        let imap = target.imap.context("the chain needs an IMAP server at its end")?;
        let desk = Desk {
            interface: interface.clone(),
            trust: Trust::anyone(Clock::wall())?,
            hello: "localhost".to_owned(),
            dialogues: false,
        };
        let server = Server { name: "localhost".to_owned(), addresses: vec![imap], security: Security::Plain };
        let login = Login { user: self.recipient()?.to_string(), password: self.password.clone() };
        let mut arrivals = Arrivals(ImapWatch::open(&desk, &server, &login).await?);
        self.head("in the mailbox");
        let (mut cases, mut lone_ms) = (Vec::new(), None);
        for load in self.loads(target)? {
            if lone_ms.is_none() {
                let one_by_one = Load { count: self.count.min(LONE), ..load.clone() };
                lone_ms = Some(Lone::of(arrivals.of_lone_letters(&one_by_one, &interface).await?));
            }
            let (before, arrived) = (target.processes.usage(), AtomicU64::new(0));
            let (sent, seconds) = shown(&arrived, load.count, arrivals.of_load(&load, &interface, &arrived)).await?;
            let figures = Figures::of(&load, &sent, seconds, target.processes.cpu_since(before));
            self.line(&figures);
            cases.push(figures);
        }
        if let (Some(Lone { letters, first, median, longest }), false) = (lone_ms, self.json) {
            println!(
                "{letters} letters one at a time: the first {first:.1} ms, median {median:.1} ms, longest {longest:.1} ms"
            );
        }
        Ok(Report { what: "in the mailbox", cases, lone_ms })
    }

    fn head(&self, what: &str) {
        if !self.json {
            println!("   octets  connections   {what:>14}   letters/s  CPU ms each  accepted p50 ms  p99 ms");
        }
    }

    fn line(&self, figures: &Figures) {
        let Figures { octets, connections, letters, per_second, cpu_ms, p50_ms, p99_ms, .. } = figures;
        let cpu = cpu_ms.map_or("-".to_owned(), |cpu| format!("{cpu:.3}"));
        if !self.json {
            println!(
                "{octets:>9}  {connections:>11}   {letters:>14}  {per_second:>10.0}  {cpu:>11}  {p50_ms:>15.2}  {p99_ms:>6.2}"
            );
        }
    }
}

/// Letters sent one at a time.
const LONE: u64 = 30;

impl Lone {
    fn of(took: Vec<f64>) -> Self {
        let mut sorted = took.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |list: &[f64], at: usize| list.get(at).copied().unwrap_or_default();
        Self {
            letters: took.len(),
            first: at(&took, 0),
            median: at(&sorted, sorted.len() / 2),
            longest: at(&sorted, sorted.len().saturating_sub(1)),
        }
    }
}

/// Runs it beside a bar, on a terminal only.
pub(super) async fn shown<T>(count: &AtomicU64, all: u64, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar:.cyan} {pos}/{len} {per_sec} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut ticks = interval(GLANCE);
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

/// Reads `4096`, `4KiB` or `1MiB`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a size such as 4KiB, 1MiB or a number of octets up to 50MiB");
    let (number, unit) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(number), _) => (number, 1 << 10),
        (_, Some(number)) => (number, 1 << 20),
        _ => (text, 1),
    };
    let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| *size <= 50 << 20).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, wanted) in [("0", 0), ("4096", 4096), ("4KiB", 4096), ("50MiB", 50 << 20)] {
            assert_eq!(size(text), Ok(wanted), "{text}");
        }
        assert!(["", "-1", "4kb", "51MiB", "99999999999999999999KiB"].iter().all(|text| size(text).is_err()));
    }

    #[test]
    fn lone_letters_have_a_first_a_median_and_a_longest() {
        let Lone { letters, first, median, longest } = Lone::of(vec![5.0, 1.0, 9.0, 2.0, 3.0]);
        assert_eq!((letters, first, median, longest), (5, 5.0, 3.0, 9.0));
    }
}
