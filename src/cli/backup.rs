//! `postroad backup`: a consistent copy of a world's data.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::find_world::ControlArgs;
use crate::control::{BACKUP, BackupRequest};
use crate::host::DataDir;

/// Copies the data of a world, while it runs, into a folder from which `serve --data` can start.
///
/// A plain copy of the data folder of a running world is no backup: its files change while they are copied.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// A folder that is empty or not there yet, on the machine of the world.
    folder: PathBuf,
    /// Copies this data folder, of a world that does not run.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["control", "ports_file"])]
    data: Option<PathBuf>,
    #[command(flatten)]
    at: ControlArgs,
}

impl Backup {
    /// Copies the data folder of `--data`, or asks the running world for a copy of its own. Returns once the copy is on
    /// stable storage, after it has printed the absolute path of the folder; the exit code is 0.
    ///
    /// # Errors
    /// No world answers there, the folder holds something, or a file cannot be read or written.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let folder = std::path::absolute(&self.folder).context("the folder has no absolute path")?;
        match &self.data {
            Some(data) => {
                anyhow::ensure!(data.join("post.db").is_file(), "{} holds no data of a world", data.display());
                DataDir::backup(&DataDir::open(data)?.store()?, &folder)?;
            }
            None => {
                let request = BackupRequest { folder: folder.clone() };
                let _: BackupRequest = self.at.client()?.post(BACKUP, &request).await?;
            }
        }
        println!("{}", folder.display());
        Ok(ExitCode::SUCCESS)
    }
}
