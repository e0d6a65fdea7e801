//! `postroad bench`: how fast this is, on this machine.

mod figure;
mod imap;
mod memory;
mod pop3;
mod simulate;
mod smtp;
mod target;
mod wire;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

/// Measures how fast Postroad is on this machine.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Simulate(simulate::Simulate),
    Smtp(Box<smtp::Smtp>),
    Imap(imap::ImapBench),
    Pop3(pop3::Pop3Bench),
    Memory(memory::Memory),
}

impl Bench {
    /// Does it.
    ///
    /// # Errors
    /// Something cannot be measured.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Simulate(simulate) => simulate.run().await,
            What::Smtp(smtp) => alone(async || smtp.run().await).await,
            What::Imap(imap) => alone(async || imap.run().await).await,
            What::Pop3(pop3) => alone(async || pop3.run().await).await,
            What::Memory(memory) => alone(async || memory.run().await).await,
        }
    }
}

/// Measures on a thread and a runtime of its own: what waits for sockets and what reads them is one thread then.
async fn alone<F>(measure: F) -> anyhow::Result<ExitCode>
where
    F: AsyncFnOnce() -> anyhow::Result<ExitCode> + Send + 'static,
{
    let measured = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure())
    });
    measured.await.context("the measurement ended early")?
}
