//! `postroad bench memory`: what mail costs in memory, while it waits and on its way.

use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::figure::{Figure, Figures};
use super::smtp::{shown, size};
use crate::bench::{Arrivals, FRONT, Letters, Load, Served, Usage};
use crate::mua::{Desk, ImapWatch, Login, Security, Server};
use crate::net::{Net, Trust};
use crate::world::{Clock, Dice, JOURNEY};

/// Connections that fill the queue.
const CONNECTIONS: usize = 10;
/// Nothing here takes longer.
const TIME: Duration = Duration::from_secs(600);
/// Hosts on the way of the large letter: three MTAs and an MDA.
const HOSTS: f64 = 4.0;
/// Trace lines come on top of the largest letter.
const SIZE_MAX: usize = 60 << 20;

/// What mail costs in memory: letters that wait for a host that is away, and a large one on its way through three MTAs into
/// a mailbox. The server is ours, in a process and a folder of its own, and nothing is switched off.
#[derive(Debug, Args)]
pub(super) struct Memory {
    /// So many letters wait.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    waiting: u64,
    /// Octets of each, such as 1KiB.
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    size: usize,
    /// Octets of the large one.
    #[arg(long, value_name = "SIZE", default_value = "50MiB", value_parser = size)]
    large: usize,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

impl Memory {
    /// Does it.
    ///
    /// # Errors
    /// The server does not start, or does not take the letters; or there is no /proc to read.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut figures = Figures { quiet: self.json, ..Figures::default() };
        self.wait(&mut figures).await?;
        self.carry(&mut figures).await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&figures.list)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Letters that wait, beside one that has woken the server up.
    async fn wait(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("postroad-bench-").tempdir()?;
        let served = Served::start(folder.path(), Some(FRONT)).await?;
        let (interface, sent) = (Net::sockets().interface(&[]), AtomicU64::new(0));
        let load = |count| {
            let letters = Letters::new("me@163.test".parse()?, "sink@away.test".parse()?, self.size, drawn());
            anyhow::Ok(Load {
                server: served.port("smtp")?,
                by_data: false,
                letters,
                connections: CONNECTIONS,
                count,
                time: TIME,
            })
        };
        load(1)?.run(&interface, &sent).await?;
        let before = usage(&served)?;
        let load = load(self.waiting)?;
        let letters = shown(&sent, self.waiting, load.run(&interface, &sent)).await?.letters();
        anyhow::ensure!(letters == self.waiting, "only {letters} letters were accepted in {TIME:?}");
        let grown = usage(&served)?.resident.saturating_sub(before.resident) as f64;
        let what = format!("{letters} letters of {} octets wait", self.size);
        figures.add(Figure::new(&what, "MiB", "less", mebi(grown)));
        figures.add(Figure::new("each of them", "octets", "less", grown / letters as f64));
        Ok(())
    }

    /// A large letter through three MTAs into a mailbox, behind a small one.
    async fn carry(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("postroad-bench-").tempdir()?;
        let served = Served::start(folder.path(), Some(&world())).await?;
        let interface = Net::sockets().interface(&[]);
        let desk = Desk {
            interface: interface.clone(),
            trust: Trust::anyone(Clock::wall())?,
            hello: "localhost".to_owned(),
            dialogues: false,
        };
        let addresses = vec![served.port("imap")?];
        let server = Server { name: "localhost".to_owned(), addresses, security: Security::Plain };
        let login = Login { user: "friend@sina.test".to_owned(), password: "postroad".to_owned() };
        let mut arrivals = Arrivals(ImapWatch::open(&desk, &server, &login).await?);
        let load = |octets| {
            let letters = Letters::new("me@163.test".parse()?, "friend@sina.test".parse()?, octets, drawn());
            anyhow::Ok(Load {
                server: served.port("smtp")?,
                by_data: false,
                letters,
                connections: 1,
                count: 1,
                time: TIME,
            })
        };
        arrivals.of_lone_letters(&load(1000)?, &interface).await?;
        let before = usage(&served)?;
        arrivals.of_lone_letters(&load(self.large)?, &interface).await?;
        let grown = usage(&served)?.peak.saturating_sub(before.resident) as f64;
        let what = format!("a letter of {} octets through four hosts, at most", self.large);
        figures.add(Figure::new(&what, "MiB", "less", mebi(grown)));
        let share = grown / HOSTS / self.large.max(1) as f64 * 100.0;
        figures.add(Figure::new("at each host, of its size", "percent", "less", share));
        Ok(())
    }
}

/// Distinguishes the letters of one load from those of others.
fn drawn() -> u64 {
    Dice::from_entropy().draw()
}

/// The default world, where the largest letter leaves room for its trace lines.
fn world() -> String {
    let line = |line: &str| match line.starts_with("[mta.") || line.starts_with("[mda.") {
        true => format!("{line}\nsize_max = {SIZE_MAX}\n"),
        false => format!("{line}\n"),
    };
    JOURNEY.lines().map(line).collect()
}

fn usage(served: &Served) -> anyhow::Result<Usage> {
    served.processes().usage().context("memory can be measured on Linux only")
}

fn mebi(octets: f64) -> f64 {
    octets / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_of_the_large_letter_is_sound() {
        let world = crate::world::World::parse("memory.toml", &world()).unwrap();
        assert!(world.mtas().all(|(_, mta)| mta.size_max == SIZE_MAX));
    }
}
