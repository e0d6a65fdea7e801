//! `postroad bench`: how fast this is, on this machine.

mod figure;
mod imap;
mod pop3;
mod simulate;
mod smtp;
mod target;
mod wire;

use std::process::ExitCode;

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
}

impl Bench {
    /// Does it.
    ///
    /// # Errors
    /// Something cannot be measured.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Simulate(simulate) => simulate.run().await,
            What::Smtp(smtp) => smtp.run().await,
            What::Imap(imap) => imap.run().await,
            What::Pop3(pop3) => pop3.run().await,
        }
    }
}
