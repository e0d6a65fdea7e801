//! The commands: one file each. They print, show progress and choose the exit code; the rooms below do the work.

mod ca;
mod check;
mod common;
mod fetch;
mod get;
mod greeter;
mod queue;
mod run;
mod send;
mod serve;
mod table;
mod udp;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A mail world on one machine: real SMTP, LMTP, POP3, IMAP and DNS, from sender to recipient.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Serve(serve::Serve),
    Check(check::Check),
    Send(send::Send),
    Fetch(fetch::Fetch),
    Queue(queue::Queue),
    Ca(ca::Ca),
    Greeter(greeter::Greeter),
    Udp(udp::Udp),
    Get(get::Get),
}

impl Cli {
    /// Runs the command; the exit code says whether it went well.
    ///
    /// # Errors
    /// What could not be done, and what to do about it, in one line.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(command) => command.run().await,
            Command::Serve(command) => command.run().await,
            Command::Check(command) => command.run(),
            Command::Send(command) => command.run().await,
            Command::Fetch(command) => command.run().await,
            Command::Queue(command) => command.run().await,
            Command::Ca(command) => command.run(),
            Command::Greeter(command) => command.run().await,
            Command::Udp(command) => command.run().await,
            Command::Get(command) => command.run().await,
        }
    }
}
