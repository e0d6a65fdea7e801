//! `postroad bench`: performance measurements on this machine.

mod figure;
mod http;
mod imap;
mod mailbox_memory;
mod memory;
mod pop3;
mod simulate;
mod smtp;
mod target;
mod wire;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

/// Measures the performance of Postroad, or of another mail server, on this machine.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    Simulate(simulate::Simulate),
    Smtp(Box<smtp::Smtp>),
    Imap(imap::ImapBench),
    Pop3(pop3::Pop3Bench),
    Http(http::HttpBench),
    Memory(memory::Memory),
}

impl Bench {
    /// Runs the measurement that the subcommand names and returns its exit code, which is 0; all but that of
    /// simulations run on a thread of their own.
    ///
    /// # Errors
    /// A measurement failed.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            BenchCommand::Simulate(simulate) => simulate.run().await,
            BenchCommand::Smtp(smtp) => run_on_own_thread(async || smtp.run().await).await,
            BenchCommand::Imap(imap) => run_on_own_thread(async || imap.run().await).await,
            BenchCommand::Pop3(pop3) => run_on_own_thread(async || pop3.run().await).await,
            BenchCommand::Http(http) => run_on_own_thread(async || http.run().await).await,
            BenchCommand::Memory(memory) => run_on_own_thread(async || memory.run().await).await,
        }
    }
}

/// Runs a measurement on a thread and single-threaded runtime of its own, so that waiting for sockets and reading them
/// is one thread. Returns its exit code; an error if it panics.
async fn run_on_own_thread<F>(measure: F) -> anyhow::Result<ExitCode>
where
    F: AsyncFnOnce() -> anyhow::Result<ExitCode> + Send + 'static,
{
    let measured = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure())
    });
    measured.await.context("the measurement ended early")?
}
