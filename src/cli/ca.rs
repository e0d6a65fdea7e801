//! `postroad ca`: prints the root certificate of a world.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyper::StatusCode;

use super::common;
use super::find_world::ControlArgs;
use crate::control::{CA, ClientError};
use crate::host::DataDir;

/// Prints the root certificate of a served world, for import into clients.
///
/// It is that of the running world; without one, that of the last world with this data folder. WORLD or --data asks for the
/// latter.
#[derive(Debug, Args)]
pub(super) struct Ca {
    /// A world file. Default: the built-in world.
    world: Option<PathBuf>,
    /// The data folder of `postroad serve`.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_DATA")]
    data: Option<PathBuf>,
    #[command(flatten)]
    at: ControlArgs,
}

impl Ca {
    /// Prints the root certificate (PEM): the stored one if a world file or `--data` was given, else that of the
    /// running world, or if none answers at the default address, the stored one. The exit code is 0.
    ///
    /// # Errors
    /// No world runs there, and none was served with that folder.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let is_stored = self.world.is_some() || self.data.is_some();
        let pem = if is_stored { self.stored_root()? } else { self.running_root().await? };
        print!("{pem}");
        Ok(ExitCode::SUCCESS)
    }

    /// Requests the root certificate (PEM) of the running world and returns it. If the request fails, other than by
    /// status 401, and the options do not say which world it is, returns the stored certificate, or the error of the
    /// request if none is stored.
    async fn running_root(&self) -> anyhow::Result<String> {
        match self.at.client()?.bytes(CA).await {
            Ok(pem) => Ok(String::from_utf8(pem.into())?),
            // That is a world which wants other credentials: the stored certificate may be of another one.
            Err(error @ ClientError::Refused { status: StatusCode::UNAUTHORIZED, .. }) => Err(error.into()),
            // None runs at the default port, or another program has it.
            Err(error) if !self.at.is_given() => self.stored_root().map_err(|_| error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the root certificate (PEM) in the folder of `--data`, or else in the default data folder of the world.
    fn stored_root(&self) -> anyhow::Result<String> {
        let folder = match &self.data {
            Some(data) => data.clone(),
            None => common::data_folder(&common::world(self.world.as_deref())?),
        };
        Ok(DataDir::root_pem(&folder)?)
    }
}
