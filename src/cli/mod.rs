//! The commands, one file each. They parse arguments, print, show progress and choose the exit code; lower modules do the
//! work.

/// Replaces the standard macro, which panics if standard output is closed. See [`out`].
macro_rules! println {
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
}

/// As `println`, without the line end.
macro_rules! print {
    ($($text:tt)*) => { $crate::cli::out::print(format!($($text)*)) };
}

/// As `println`, to standard error.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::out::error_line(format_args!($($text)*)) };
}

mod announcer;
mod backup;
mod bench;
mod ca;
mod check;
mod common;
mod fault;
mod fetch;
mod find_world;
mod get;
mod greeter;
mod host;
mod http_access;
mod journey;
mod journey_table;
mod letter;
mod mailbox;
mod mailpit;
mod manual;
mod out;
mod queue;
mod run;
mod run_file;
mod send;
mod sendmail;
mod serve;
mod simulate;
mod startup;
mod table;
mod trace_diff;
mod udp;
mod view;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use find_world::ask_if_running;

pub use startup::main;

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
    Host(host::Host),
    Simulate(simulate::Simulate),
    View(view::View),
    Fault(fault::FaultCommand),
    Bench(bench::Bench),
    Check(check::Check),
    Send(send::Send),
    Fetch(fetch::Fetch),
    Sendmail(sendmail::Sendmail),
    Journey(journey::JourneyCommand),
    Queue(queue::Queue),
    Backup(backup::Backup),
    Mailbox(mailbox::MailboxCommand),
    Ca(ca::Ca),
    Greeter(greeter::Greeter),
    Udp(udp::Udp),
    Get(get::Get),
    Completions(manual::Completions),
    Man(manual::Man),
    /// Called by the name `mailpit`.
    #[command(skip)]
    Mailpit(mailpit::StandIn),
}

impl Cli {
    /// Parses the command line. If the program is called by the name `sendmail`, as through a link, the command is
    /// `postroad sendmail`; by the name `mailpit`, it takes Mailpit's options. For help, and for an invalid command
    /// line, it prints the text and ends the process.
    fn read() -> Self {
        let mut arguments: Vec<_> = std::env::args_os().collect();
        let name = arguments.first().map(std::path::Path::new).and_then(std::path::Path::file_stem);
        let name = name.map(std::ffi::OsStr::to_owned);
        if name.as_ref().is_some_and(|name| name == "sendmail") {
            arguments.insert(1, "sendmail".into());
        }
        let is_mailpit = name.as_ref().is_some_and(|name| name == "mailpit");
        if is_mailpit && arguments.get(1).is_some_and(|word| word == "sendmail") {
            arguments.splice(2..2, mailpit::sendmail_defaults());
        } else if is_mailpit {
            let stand_in = mailpit::StandIn::read(arguments.drain(1..), std::env::vars_os());
            let command = stand_in.map(Command::Mailpit).unwrap_or_else(|error| {
                out::report_error(&error);
                std::process::exit(1)
            });
            return Self { command };
        }
        let is_sendmail = arguments.get(1).is_some_and(|argument| argument == "sendmail");
        Self::try_parse_from(arguments).unwrap_or_else(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            // The message has arguments in it, which may be names of files.
            let text = error.render();
            let text = if console::colors_enabled_stderr() { text.ansi().to_string() } else { text.to_string() };
            eprintln!("{}", text.trim_end());
            std::process::exit(if is_sendmail { sendmail::EX_USAGE.into() } else { error.exit_code() })
        })
    }

    /// Runs the command, until the reader of its output is gone; returns its exit code.
    ///
    /// # Errors
    /// The reason of the failure and what to do about it, in one line.
    async fn run(self) -> anyhow::Result<ExitCode> {
        out::until_lost(Box::pin(self.run_command())).await
    }

    /// Runs the command to its end. For most of those that use a running world, adds the question whether it runs to an
    /// error which is that a connection to this machine was refused.
    async fn run_command(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(command) => command.run().await,
            Command::Serve(command) => command.run().await,
            Command::Host(command) => command.run().await,
            Command::Simulate(command) => command.run().await,
            Command::View(command) => command.run().await,
            Command::Fault(command) => command.run().await.map_err(ask_if_running),
            Command::Bench(command) => command.run().await,
            Command::Check(command) => command.run(),
            Command::Send(command) => command.run().await.map_err(ask_if_running),
            Command::Fetch(command) => command.run().await.map_err(ask_if_running),
            Command::Sendmail(command) => command.run().await.map_err(ask_if_running),
            Command::Journey(command) => command.run().await.map_err(ask_if_running),
            Command::Queue(command) => command.run().await.map_err(ask_if_running),
            Command::Backup(command) => command.run().await.map_err(ask_if_running),
            Command::Mailbox(command) => command.run().await.map_err(ask_if_running),
            Command::Ca(command) => command.run().await.map_err(ask_if_running),
            Command::Greeter(command) => command.run().await.map_err(ask_if_running),
            Command::Udp(command) => command.run().await,
            Command::Get(command) => command.run().await,
            Command::Completions(command) => Ok(command.run()),
            Command::Man(command) => command.run(),
            Command::Mailpit(stand_in) => stand_in.run().await,
        }
    }
}
