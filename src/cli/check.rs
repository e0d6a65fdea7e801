//! `postroad check [WORLD]`: whether a world is sound, and its map.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::common;

/// Says whether a world file is sound, and draws the world.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// A world file; without it, the default world.
    world: Option<PathBuf>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Does it.
    ///
    /// # Errors
    /// The file cannot be read, or is not sound: every problem has a line of its own.
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
