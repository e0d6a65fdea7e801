//! `postroad get URL [-o FILE]`: fetches a page over HTTP.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::common::duration;
use super::out::printable;
use crate::demo::fetch::{Download, Target};
use crate::net::{Net, Trust};
use crate::world::Clock;

/// Fetches a page: prints the header and saves the body. Exits with 1 unless the status is 2xx.
#[derive(Debug, Args)]
pub(super) struct Get {
    /// The URL, with http or https.
    url: Target,
    /// The file for the body. Default: the last part of the URL's path, if any; an existing file is not overwritten.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Trust this certificate authority (PEM) instead of the public ones.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust any certificate.
    #[arg(long)]
    insecure: bool,
    /// Timeout for each wait for the server.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Get {
    /// Fetches the URL, prints the header of the response and saves the body; with `--json`, prints one object at the
    /// end instead. The body is read but not saved without a file name, or without `-o` if the status is not 2xx. The
    /// exit code is 1 unless the status is 2xx.
    ///
    /// # Errors
    /// The server is unreachable or not trusted, the response is incomplete, or the file cannot be written.
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
        // An error page is saved only to a file that was named explicitly.
        let file = file.filter(|_| is_success || self.output.is_some());
        let length = match &file {
            Some(file) => save(&mut download, file).await?,
            None => copy(&mut download, std::io::sink()).await?,
        };
        match &file {
            _ if self.json => {
                let (status, fields) = (download.header.status, &download.header.fields);
                println!("{}", json!({ "status": status, "fields": fields, "bytes": length, "file": file }));
            }
            Some(file) => println!("saved {length} bytes to {}", file.display()),
            None => println!("{length} bytes, not saved; use -o FILE"),
        }
        Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What is trusted: the certificate authority of `--ca`, any certificate with `--insecure`, else the public
    /// authorities.
    fn trust(&self) -> anyhow::Result<Trust> {
        match &self.ca {
            Some(file) => {
                let root = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                Ok(Trust::pem(&root, Clock::wall())?)
            }
            None if self.insecure => Ok(Trust::any_certificate(Clock::wall())),
            None => Ok(Trust::public(Clock::wall())),
        }
    }

    /// Returns the path of the file for the body: that of `-o`, which may exist; without `-o`, the name at the end of
    /// the URL, which is an error if that file exists; `None` without either.
    fn file(&self) -> anyhow::Result<Option<PathBuf>> {
        match (&self.output, &self.url.file_name) {
            (Some(file), _) => Ok(Some(file.clone())),
            (None, Some(name)) if Path::new(name).exists() => bail!("{name} exists; choose a file with -o FILE"),
            (None, name) => Ok(name.as_ref().map(PathBuf::from)),
        }
    }
}

/// Saves the body to `file` by way of a `.part` file beside it, which is renamed at the end, or removed after an error.
/// Returns the number of bytes.
async fn save(download: &mut Download, file: &Path) -> anyhow::Result<u64> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let draft = File::create(part).with_context(|| format!("cannot write {}", part.display()))?;
    let outcome = match copy(download, draft).await {
        Ok(length) => {
            fs::rename(part, file).map(|()| length).with_context(|| format!("cannot write {}", file.display()))
        }
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // The first error is reported; a failure to remove the file adds nothing.
        let _ = fs::remove_file(part);
    }
    outcome
}

/// Reads the rest of the body, writes it to `to` and flushes that. Returns the number of bytes.
async fn copy(download: &mut Download, mut to: impl Write) -> anyhow::Result<u64> {
    let mut length = 0;
    while let Some(bytes) = download.read().await? {
        to.write_all(&bytes).context("cannot save the body")?;
        length += bytes.len() as u64;
    }
    to.flush()?;
    Ok(length)
}
