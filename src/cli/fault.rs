//! `postroad fault`: injects faults into a running world.

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::find_world::ControlArgs;
use super::out::printable;
use crate::host::Fault;

/// The path of the faults in the control interface.
const FAULTS: &str = "/api/v1/faults";

/// Injects a fault into a running world, lists the active faults, or clears them.
#[derive(Debug, Args)]
pub(super) struct FaultCommand {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    at: ControlArgs,
    /// Print the response as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Injects a fault, with the keys of scenario files: `begin off host=mta-sina`, `begin cut between=mta-a,mta-b`,
    /// `begin reply host=mta-sina at=rcpt "reply=450 4.2.0 try again" share=0.5`. Programs at the public ports are `outside`:
    /// `begin slow between=outside,mta-163 latency=2s`. A fault that would have no effect is refused.
    Begin {
        /// off, crash, disk-full, disk-failing, disk-slow, cut, refuse, stall, reset, slow, reply, greylist, tls or dns.
        kind: String,
        /// The settings of the fault.
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Lists the active faults.
    List,
    /// Clears a fault. Others still apply: a host that two faults turned off is on when both have ended.
    End {
        /// The number of the fault, or `all`.
        #[arg(value_name = "NUMBER|all")]
        which: Selection,
    },
}

/// The faults that are cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selection {
    All,
    One(u64),
}

impl FromStr for Selection {
    type Err = &'static str;

    /// Parses `all` or the number of a fault; the error says what is expected.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::One).map_err(|_| "expected the number of a fault, or `all`"),
        }
    }
}

impl FaultCommand {
    /// Injects a fault, lists the active faults, or clears one or all, over the control interface; prints the faults
    /// that the world answers with, one on each line or as JSON. The exit code is 0.
    ///
    /// # Errors
    /// The world is unreachable, or the fault is invalid.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let world = self.at.client()?;
        let answer: Value = match &self.action {
            Action::Begin { kind, settings } => {
                let fault = fault(kind, settings)?;
                let hint = "`postroad fault begin --help` has examples";
                serde_json::from_value::<Fault>(fault.clone()).map_err(|error| anyhow!("{error}; {hint}"))?;
                world.post(FAULTS, &fault).await?
            }
            Action::List => world.get(FAULTS).await?,
            Action::End { which: Selection::One(id) } => world.delete(&format!("{FAULTS}/{id}")).await?,
            Action::End { which: Selection::All } => world.delete(FAULTS).await?,
        };
        if self.json {
            println!("{answer}");
            return Ok(ExitCode::SUCCESS);
        }
        let all = answer.as_array().map_or(std::slice::from_ref(&answer), Vec::as_slice);
        if all.is_empty() {
            println!("no active faults");
        }
        let word = if matches!(self.action, Action::End { .. }) { "cleared; was active since" } else { "active since" };
        for active in all {
            let text = |key: &str| printable(active[key].as_str().unwrap_or_default());
            println!("{:>4}  {}, {word} {}", active["id"], text("title"), text("since"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the fault of this kind and these settings, `KEY=VALUE`, as JSON for the control interface, with the keys of
/// scenario files: `between=a,b` as a list, `after`, `bandwidth` and `share` as numbers if they are valid ones, all
/// else as strings. A setting without `=` is an error.
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

    #[test]
    fn settings_parse_as_fault_of_scenario_file() {
        for line in [
            "off host=a",
            "cut between=a,b direction=there",
            "stall between=a,b after=100",
            "greylist host=a wait=5min",
            "reply host=a at=rcpt share=0.5 reply=450",
            "dns names=moved about=x.test host=a",
            "tls host=a certificate=wrong-name",
            "slow between=a,b latency=2s jitter=1s bandwidth=9000",
            "slow between=outside,b latency=2s",
            "off host=a startup=2min",
        ] {
            let mut words = line.split(' ').map(str::to_owned);
            let (kind, settings) = (words.next().unwrap(), words.collect::<Vec<_>>());
            let read = serde_json::from_value::<Fault>(fault(&kind, &settings).unwrap());
            assert!(read.is_ok(), "{line}: {read:?}");
        }
        assert!(fault("off", &["host".to_owned()]).is_err());
        assert_eq!(("all".parse(), "7".parse()), (Ok(Selection::All), Ok(Selection::One(7))));
        assert!(["", "All", "-1", "x"].iter().all(|text| text.parse::<Selection>().is_err()));
    }
}
