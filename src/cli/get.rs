//! `postroad get URL [-o FILE]`: one page over HTTP, by hand.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::common::{duration, printable};
use crate::demo::fetch::{Download, Target};
use crate::net::{Net, Trust};
use crate::world::Clock;

/// Fetches a page: prints the header, saves the body. Exits with 1 unless the status is 2xx.
#[derive(Debug, Args)]
pub(super) struct Get {
    /// What to fetch, with http or https.
    url: Target,
    /// Where to save the body; without it, under the last part of the URL, if it has one and no such file exists.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Trust this certificate authority (PEM) instead of those that browsers trust.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust any certificate.
    #[arg(long)]
    insecure: bool,
    /// How long the server may be silent.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Get {
    /// Does it.
    ///
    /// # Errors
    /// The server is not reachable or not trusted, the response is not whole, or the file cannot be written.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let trust = self.trust()?;
        let place = Net::sockets().interface(&[]);
        let file = self.file()?;
        let begun = Download::begin(&place, &trust, &self.url, self.timeout).await;
        let mut download = begun.with_context(|| format!("cannot fetch from {}", self.url.host))?;
        if !self.json {
            println!("{}", printable(&download.header.text));
        }
        let is_success = download.header.status / 100 == 2;
        // A name that was not chosen for this page is no place for a page that says something went wrong.
        let file = file.filter(|_| is_success || self.output.is_some());
        let octets = match &file {
            Some(file) => save(&mut download, file).await?,
            None => copy(&mut download, std::io::sink()).await?,
        };
        match &file {
            _ if self.json => {
                let (status, fields) = (download.header.status, &download.header.fields);
                println!("{}", json!({ "status": status, "fields": fields, "octets": octets, "file": file }));
            }
            Some(file) => println!("saved {octets} octets to {}", file.display()),
            None => println!("{octets} octets, not saved (-o FILE saves them)"),
        }
        Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn trust(&self) -> anyhow::Result<Trust> {
        match &self.ca {
            Some(file) => {
                let root = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                Ok(Trust::pem(&root, Clock::wall())?)
            }
            None if self.insecure => Ok(Trust::anyone(Clock::wall())?),
            None => Ok(Trust::public(Clock::wall())?),
        }
    }

    /// Where the body goes. A name that comes from the URL is used only if it is new.
    fn file(&self) -> anyhow::Result<Option<PathBuf>> {
        match (&self.output, &self.url.file_name) {
            (Some(file), _) => Ok(Some(file.clone())),
            (None, Some(name)) if Path::new(name).exists() => bail!("{name} exists; say where to save with -o FILE"),
            (None, name) => Ok(name.as_ref().map(PathBuf::from)),
        }
    }
}

/// Saves the body beside its place first, so that what has the name is whole.
async fn save(download: &mut Download, file: &Path) -> anyhow::Result<u64> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let draft = File::create(part).with_context(|| format!("cannot write {}", part.display()))?;
    let outcome = match copy(download, draft).await {
        Ok(octets) => {
            fs::rename(part, file).map(|()| octets).with_context(|| format!("cannot write {}", file.display()))
        }
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // Nothing to add if even this fails: the error says already what went wrong.
        let _ = fs::remove_file(part);
    }
    outcome
}

async fn copy(download: &mut Download, mut to: impl Write) -> anyhow::Result<u64> {
    let mut octets = 0;
    while let Some(bytes) = download.read().await? {
        to.write_all(&bytes).context("cannot save the body")?;
        octets += bytes.len() as u64;
    }
    to.flush()?;
    Ok(octets)
}
