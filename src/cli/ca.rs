//! `postroad ca`: prints the root certificate of a world.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::common;
use crate::host::DataDir;

/// Prints the root certificate of a served world, for import into clients.
#[derive(Debug, Args)]
pub(super) struct Ca {
    /// A world file. Default: the built-in world.
    world: Option<PathBuf>,
    /// The data folder of `postroad serve`.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_DATA")]
    data: Option<PathBuf>,
}

impl Ca {
    /// Runs the command.
    ///
    /// # Errors
    /// No world was served with that folder.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let world = common::world(self.world.as_deref())?;
        print!("{}", DataDir::root_pem(&self.data.unwrap_or_else(|| common::data_folder(&world)))?);
        Ok(ExitCode::SUCCESS)
    }
}
