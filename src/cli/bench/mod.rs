//! `postroad bench`: how fast this is, on this machine.

mod simulate;
mod smtp;

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
        }
    }
}
