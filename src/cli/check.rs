//! `postroad check [WORLD]`: validates a world file and prints its map.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::common;

/// Validates a world file and prints a map of the world.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// A world file. Default: the built-in world.
    world: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// The file cannot be read or is invalid; each problem is one line.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let checked = common::world(self.world.as_deref());
        if !self.json {
            print!("{}", checked?.map());
            return Ok(ExitCode::SUCCESS);
        }
        let (report, code) = match &checked {
            Ok(world) => {
                let hosts: Vec<_> = world.hosts.keys().collect();
                (serde_json::json!({ "sound": true, "world": world.name, "hosts": hosts }), ExitCode::SUCCESS)
            }
            Err(error) => {
                let problems: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
                (serde_json::json!({ "sound": false, "problems": problems }), ExitCode::FAILURE)
            }
        };
        println!("{report}");
        Ok(code)
    }
}
