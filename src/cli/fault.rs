//! `postroad fault`: makes something go wrong in a world that is being served.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::common::{Endpoint, printable};
use crate::net::Net;

/// How long the served world may take to answer; a host that is turned off lets its conversations end.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer is read no further.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// Makes something go wrong in a served world, shows what is wrong, or mends it.
#[derive(Debug, Args)]
pub(super) struct FaultCommand {
    #[command(subcommand)]
    action: Action,
    /// Where the world's control interface is.
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:8025")]
    at: Endpoint,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Begins a fault, in the words of scenario files: `begin off host=mta-sina`, `begin cut between=mta-a,mta-b`,
    /// `begin reply host=mta-sina at=rcpt "reply=450 4.2.0 try again" share=0.5`.
    Begin {
        /// off, crash, disk-full, disk-slow, cut, refuse, stall, reset, reply, greylist or dns.
        kind: String,
        /// What it needs to know, each as KEY=VALUE.
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Shows the faults that hold.
    List,
    /// Ends a fault.
    End {
        /// Its number.
        id: u64,
    },
}

impl FaultCommand {
    /// Does it.
    ///
    /// # Errors
    /// No world answers there, or it does not know the fault.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let answer = match &self.action {
            Action::Begin { kind, settings } => {
                let fault = fault(kind, settings)?;
                self.ask("POST", "/api/v1/faults", &fault.to_string()).await?
            }
            Action::List => self.ask("GET", "/api/v1/faults", "").await?,
            Action::End { id } => self.ask("DELETE", &format!("/api/v1/faults/{id}"), "").await?,
        };
        if self.json {
            println!("{answer}");
            return Ok(ExitCode::SUCCESS);
        }
        let all = answer.as_array().map_or(std::slice::from_ref(&answer), Vec::as_slice);
        let word = if matches!(self.action, Action::End { .. }) { "ended" } else { "since" };
        for active in all {
            let text = |key: &str| printable(active[key].as_str().unwrap_or_default());
            println!("{:>4}  {}, {word} {}", active["id"], text("title"), text("since"));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One request; the connection ends with its answer, as HTTP/1.0 has it.
    async fn ask(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let Endpoint { host, port } = &self.at;
        let interface = Net::sockets().interface(&[]);
        let addresses = interface.lookup(host, *port).await?;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let talk = async {
            let mut stream = interface.connect_any(host, &addresses).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
            anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = timeout(PATIENCE, talk).await.context("the world did not answer in time")?;
        let answer = answer.with_context(|| format!("no world is served at {host}:{port}; name another with --at"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
        let value: Value = serde_json::from_str(body).context("the answer is no JSON; is that a served world?")?;
        if !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
            bail!("{}", printable(value["error"].as_str().unwrap_or(head)));
        }
        Ok(value)
    }
}

/// The fault as JSON. Numbers are numbers, and `between=a,b` is a list.
fn fault(kind: &str, settings: &[String]) -> anyhow::Result<Value> {
    let mut table = Map::from_iter([("kind".to_owned(), Value::from(kind))]);
    for setting in settings {
        let (key, text) =
            setting.split_once('=').with_context(|| format!("`{setting}`: write KEY=VALUE, such as host=mta-sina"))?;
        let value = match (key, text.parse::<u64>(), text.parse::<f64>()) {
            ("between", ..) => text.split(',').map(str::trim).collect(),
            ("after" | "bandwidth", Ok(number), _) => Value::from(number),
            ("share", _, Ok(number)) => Value::from(number),
            _ => Value::from(text),
        };
        table.insert(key.to_owned(), value);
    }
    Ok(table.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Fault;

    #[test]
    fn settings_become_the_fault_that_a_scenario_file_would_name() {
        for line in [
            "off host=a",
            "cut between=a,b way=there",
            "stall between=a,b after=100",
            "greylist host=a wait=5min",
            "reply host=a at=rcpt share=0.5 reply=450",
            "dns names=silent about=x.test",
        ] {
            let mut words = line.split(' ').map(str::to_owned);
            let (kind, settings) = (words.next().unwrap(), words.collect::<Vec<_>>());
            let read = serde_json::from_value::<Fault>(fault(&kind, &settings).unwrap());
            assert!(read.is_ok(), "{line}: {read:?}");
        }
        assert!(fault("off", &["host".to_owned()]).is_err());
    }
}
