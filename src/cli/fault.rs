//! `postroad fault`: makes something go wrong in a world that is being served.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::common::{Controlled, printable};

/// Where the control interface has them.
const FAULTS: &str = "/api/v1/faults";

/// Makes something go wrong in a served world, shows what is wrong, or mends it.
#[derive(Debug, Args)]
pub(super) struct FaultCommand {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    at: Controlled,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Begins a fault, in the words of scenario files: `begin off host=mta-sina`, `begin cut between=mta-a,mta-b`,
    /// `begin reply host=mta-sina at=rcpt "reply=450 4.2.0 try again" share=0.5`.
    Begin {
        /// off, crash, disk-full, disk-slow, cut, refuse, stall, reset, slow, reply, greylist, tls or dns.
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
        let world = self.at.client()?;
        let answer: Value = match &self.action {
            Action::Begin { kind, settings } => world.post(FAULTS, &fault(kind, settings)?).await?,
            Action::List => world.get(FAULTS).await?,
            Action::End { id } => world.delete(&format!("{FAULTS}/{id}")).await?,
        };
        if self.json {
            println!("{answer}");
            return Ok(ExitCode::SUCCESS);
        }
        let all = answer.as_array().map_or(std::slice::from_ref(&answer), Vec::as_slice);
        if all.is_empty() {
            println!("nothing is wrong");
        }
        let word = if matches!(self.action, Action::End { .. }) { "which held from" } else { "since" };
        for active in all {
            let text = |key: &str| printable(active[key].as_str().unwrap_or_default());
            println!("{:>4}  {}, {word} {}", active["id"], text("title"), text("since"));
        }
        Ok(ExitCode::SUCCESS)
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
            "dns names=moved about=x.test host=a",
            "tls host=a certificate=wrong-name",
            "slow between=a,b latency=2s jitter=1s bandwidth=9000",
            "off host=a startup=2min",
        ] {
            let mut words = line.split(' ').map(str::to_owned);
            let (kind, settings) = (words.next().unwrap(), words.collect::<Vec<_>>());
            let read = serde_json::from_value::<Fault>(fault(&kind, &settings).unwrap());
            assert!(read.is_ok(), "{line}: {read:?}");
        }
        assert!(fault("off", &["host".to_owned()]).is_err());
    }
}
