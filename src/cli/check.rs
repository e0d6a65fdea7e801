//! `postroad check [WORLD]`: validates a world file and prints its map. `postroad check --data FOLDER`: compares what a
//! world has stored.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::common;
use crate::host::DataDir;
use crate::mda::Mailboxes;
use crate::world::Clock;

/// Validates a world file and prints a map of the world.
///
/// With --data, checks the data of a world that does not run instead: whether the counters of each mailbox agree with its
/// messages, and whether each content is there as often as messages refer to it.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// A world file. Default: the built-in world.
    world: Option<PathBuf>,
    /// Checks this data folder, of a world that does not run.
    #[arg(long, value_name = "FOLDER", conflicts_with = "world")]
    data: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// With `--data`, prints what is wrong with the stored data. Otherwise checks the world file and prints its map, or
    /// with `--json` whether it is valid and its hosts or problems. The exit code is 1 if there are problems; without
    /// `--json`, an invalid world file is an error.
    ///
    /// # Errors
    /// The file or the folder cannot be read; or the file is invalid, and each problem is one line.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(folder) = &self.data {
            return self.report_data(&problems(folder)?);
        }
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

    /// Prints the problems of the data, one on each line, or that it is sound; with `--json`, one object. The exit code
    /// is 1 if there are problems.
    fn report_data(&self, problems: &[String]) -> anyhow::Result<ExitCode> {
        match (self.json, problems) {
            (true, _) => println!("{}", serde_json::json!({ "sound": problems.is_empty(), "problems": problems })),
            (false, []) => println!("the data is sound"),
            (false, problems) => problems.iter().for_each(|problem| println!("{problem}")),
        }
        Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Opens the data folder and returns what is wrong with it, one line each: mailboxes whose counters differ from their
/// messages, and wrong use counts of contents. A folder without the database of a world is an error.
fn problems(folder: &Path) -> anyhow::Result<Vec<String>> {
    anyhow::ensure!(folder.join("post.db").is_file(), "{} holds no data of a world", folder.display());
    let store = DataDir::open(folder)?.store()?;
    let wrong_counts = store.refcount_errors()?;
    let miscounts = Mailboxes::new(store, Clock::wall()).miscounts()?;
    let mut problems: Vec<String> = miscounts.iter().map(ToString::to_string).collect();
    if wrong_counts != 0 {
        problems.push(format!("{wrong_counts} contents are counted as used more or less often than they are"));
    }
    Ok(problems)
}
