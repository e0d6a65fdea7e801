//! `postroad view`: shows the report of a simulation.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::common::stop_at_signal;
use crate::control;
use crate::net::Net;
use crate::page;

/// Shows the report of a simulation in the browser.
///
/// The page is served until you press Ctrl-C. `simulate --html` writes the same page to a file.
#[derive(Debug, Args)]
pub(super) struct View {
    /// The report: what `simulate --json` printed.
    report: PathBuf,
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

impl View {
    /// Reads a report of `simulate --json` and serves it as a page at `--listen`, whose address it prints, until Ctrl-C
    /// or SIGTERM. The exit code is 0.
    ///
    /// # Errors
    /// The file is no report, or the port is taken.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let file = self.report.display();
        let text = std::fs::read_to_string(&self.report).with_context(|| format!("cannot read {file}"))?;
        let not_a_report = || format!("{file} is no report; `postroad simulate SCENARIO --json` prints one");
        let report: serde_json::Value = serde_json::from_str(&text).with_context(not_a_report)?;
        let (Some(scenario), Some(_), Some(_)) =
            (report["scenario"].as_str(), report["worst"].as_array(), report["hosts"].as_array())
        else {
            bail!(not_a_report());
        };
        let html = page::report(&format!("{scenario}, seed {}", report["seed"]), &report.to_string());
        let listener = Net::sockets().interface(&[]).bind_public(self.listen).await?;
        println!("The report is at http://{}/ until you press Ctrl-C.", listener.address());
        control::serve_document(listener, html, stop_at_signal()).await;
        Ok(ExitCode::SUCCESS)
    }
}
