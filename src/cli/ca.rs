//! `postroad ca`: the root certificate to import.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::common;
use crate::host::Data;

/// Prints the root certificate of a world that was served, for clients to import.
#[derive(Debug, Args)]
pub(super) struct Ca {
    /// A world file; without it, the default world.
    world: Option<PathBuf>,
    /// The data folder of `postroad serve`.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_DATA")]
    data: Option<PathBuf>,
}

impl Ca {
    /// Does it.
    ///
    /// # Errors
    /// The world was never served with that folder.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let world = common::world(self.world.as_deref())?;
        print!("{}", Data::root_pem(&self.data.unwrap_or_else(|| common::data_folder(&world)))?);
        Ok(ExitCode::SUCCESS)
    }
}
