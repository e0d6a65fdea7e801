//! `postroad completions` and `postroad man`, generated from the definition of the commands.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, out};

/// Prints a completion script for a shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the completion script of the shell to standard output; the exit code is 0.
    pub(super) fn run(&self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "postroad", &mut script);
        out::raw(&script);
        ExitCode::SUCCESS
    }
}

/// Prints the manual page, or writes the pages of all commands to a folder.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Writes a page for each command to this folder.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Man {
    /// Prints the manual page of `postroad`; with `--output`, writes a page for each command to that folder instead,
    /// which is created.
    ///
    /// # Errors
    /// The folder is not writable.
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        match &self.output {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Cli::command()).render(&mut page)?;
                out::raw(&page);
            }
            Some(folder) => {
                let written =
                    std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
                written.with_context(|| format!("cannot write to {}", folder.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
