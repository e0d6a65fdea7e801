//! `postroad bench memory`: memory used by queued messages, by a large message in transit, and by mailboxes.

use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::figure::{Figure, Figures};
use super::mailbox_memory::{measure_accounts, measure_mailbox};
use super::smtp::{size, with_progress};
use crate::bench::{ArrivalWatcher, FRONT, Load, Messages, Served, Usage};
use crate::mua::{ClientContext, ImapWatch, Login, Security, Server};
use crate::net::{Net, Trust};
use crate::world::{Clock, JOURNEY, Rng};

/// Connections that fill the queue.
const CONNECTIONS: usize = 10;
/// Timeout of each load.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// Hosts on the route of the large message: three MTAs and an MDA.
const HOSTS: f64 = 4.0;
/// The size limit of the hosts, which leaves room for trace lines.
const MAX_SIZE_BYTES: usize = 60 << 20;

/// Measures memory: of messages queued for a host that is down, of a large message relayed by three MTAs to a mailbox, of a
/// mailbox after a look at it, and of many. The server is one of this program, in its own process with a temporary folder,
/// with all durability on; the mailboxes are in this process.
#[derive(Debug, Args)]
pub(super) struct Memory {
    /// Number of queued messages.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    waiting: u64,
    /// Their size, such as 1KiB.
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    size: usize,
    /// Size of the large message.
    #[arg(long, value_name = "SIZE", default_value = "50MiB", value_parser = size)]
    large: usize,
    /// Number of messages of the mailbox.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    messages: usize,
    /// Number of accounts whose mailboxes are looked at in turn.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    accounts: usize,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

impl Memory {
    /// Measures the memory of queued messages, of a large message and of mailboxes; prints each figure once it is
    /// measured, or with `--json` all at the end. The exit code is 0.
    ///
    /// # Errors
    /// The server does not start or refuses the messages, or there is no /proc.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut figures = Figures { quiet: self.json, ..Figures::default() };
        self.measure_queue(&mut figures).await?;
        self.measure_large_message(&mut figures).await?;
        let folder = tempfile::Builder::new().prefix("postroad-bench-").tempdir()?;
        measure_mailbox(&mut figures, &folder.path().join("mailbox"), self.messages).await?;
        measure_accounts(&mut figures, &folder.path().join("accounts"), self.accounts).await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&figures.list)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Fills the queue of a started server with `--waiting` messages, after one that warms it up, and adds the growth
    /// of its memory as figures, in all and for each. An error if not all are accepted in time.
    async fn measure_queue(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("postroad-bench-").tempdir()?;
        let served = Served::start(folder.path(), Some(FRONT), &[]).await?;
        let (interface, sent) = (Net::sockets().interface(&[]), AtomicU64::new(0));
        let load = |count| {
            let messages = Messages::new("me@163.test".parse()?, "sink@away.test".parse()?, self.size, random_run());
            anyhow::Ok(Load {
                server: served.port("smtp")?,
                by_data: false,
                stepwise: false,
                messages,
                connections: CONNECTIONS,
                count,
                time: LOAD_TIMEOUT,
            })
        };
        load(1)?.run(&interface, &sent).await?;
        let before = usage(&served)?;
        let load = load(self.waiting)?;
        let messages = with_progress(&sent, self.waiting, load.run(&interface, &sent)).await?.messages();
        anyhow::ensure!(messages == self.waiting, "only {messages} messages were accepted in {LOAD_TIMEOUT:?}");
        let grown = usage(&served)?.resident.saturating_sub(before.resident) as f64;
        let what = format!("{messages} messages of {} bytes in the queue", self.size);
        figures.add(Figure::new(&what, "MiB", "less", mebi(grown)));
        figures.add(Figure::new("each of them", "bytes", "less", grown / messages as f64));
        Ok(())
    }

    /// Sends a large message through three MTAs to a mailbox of a started server, after a small one. Adds the growth of
    /// its memory at the peak as figures, and as a share of the size at each host.
    async fn measure_large_message(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("postroad-bench-").tempdir()?;
        let served = Served::start(folder.path(), Some(&world()), &[]).await?;
        let interface = Net::sockets().interface(&[]);
        let context = ClientContext {
            interface: interface.clone(),
            trust: Trust::any_certificate(Clock::wall()),
            hello: "localhost".to_owned(),
            transcripts: false,
        };
        let addresses = vec![served.port("imap")?];
        let server = Server { name: "localhost".to_owned(), addresses, security: Security::Plain };
        let login = Login { user: "friend@sina.test".to_owned(), password: "postroad".to_owned() };
        let mut arrivals = ArrivalWatcher(ImapWatch::open(&context, &server, &login).await?);
        let load = |bytes| {
            let messages = Messages::new("me@163.test".parse()?, "friend@sina.test".parse()?, bytes, random_run());
            anyhow::Ok(Load {
                server: served.port("smtp")?,
                by_data: false,
                stepwise: false,
                messages,
                connections: 1,
                count: 1,
                time: LOAD_TIMEOUT,
            })
        };
        arrivals.one_by_one(&load(1000)?, &interface).await?;
        let before = usage(&served)?;
        arrivals.one_by_one(&load(self.large)?, &interface).await?;
        let grown = usage(&served)?.peak.saturating_sub(before.resident) as f64;
        let what = format!("a message of {} bytes through four hosts, at most", self.large);
        figures.add(Figure::new(&what, "MiB", "less", mebi(grown)));
        let share = grown / HOSTS / self.large.max(1) as f64 * 100.0;
        figures.add(Figure::new("at each host, of its size", "percent", "less", share));
        Ok(())
    }
}

/// Returns a random number that distinguishes the messages of one load from those of others.
fn random_run() -> u64 {
    Rng::from_entropy().next_u64()
}

/// Returns the text of the default world's file, changed so that all MTAs and MDAs accept messages up to
/// [`MAX_SIZE_BYTES`].
fn world() -> String {
    let line = |line: &str| match line.starts_with("[mta.") || line.starts_with("[mda.") {
        true => format!("{line}\nsize_max = {MAX_SIZE_BYTES}\n"),
        false => format!("{line}\n"),
    };
    JOURNEY.lines().map(line).collect()
}

/// The memory and CPU time that the server uses now; an error where this cannot be measured.
fn usage(served: &Served) -> anyhow::Result<Usage> {
    served.processes().usage().context("memory can be measured on Linux only")
}

/// Converts bytes to MiB.
fn mebi(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn world_accepts_large_message() {
        let world = crate::world::World::parse("memory.toml", &world()).unwrap();
        assert!(world.mtas().all(|(_, mta)| mta.size_max == MAX_SIZE_BYTES));
    }
}
