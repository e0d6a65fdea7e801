//! `postroad queue`: what waits in the queues of a running world, and what an operator does about it.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use console::style;
use jiff::Timestamp;

use super::common::{Controlled, printable};
use crate::control::{Done, Shown};
use crate::mta::{Listing, State, Waiting};
use crate::world::Clock;

/// Where the control interface has it.
const QUEUE: &str = "/api/v1/queue";

/// Lists what waits in the queues of a running world; holds, releases, flushes or deletes it.
#[derive(Debug, Args)]
pub(super) struct Queue {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    at: Controlled,
    /// Only the queue of this host.
    #[arg(long, value_name = "NAME", global = true)]
    host: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What waits, oldest first.
    List {
        /// A message, or a journey.
        id: Option<String>,
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// One message: its recipients, why it waits, its header.
    Show {
        /// The message, or its journey.
        id: String,
    },
    /// Keeps messages from being tried until they are released.
    Hold(Choice),
    /// Lets held messages be tried again, now.
    Release(Choice),
    /// Tries messages now.
    Flush(Choice),
    /// Deletes messages for good; nobody is told. Those under way just now are left alone.
    Delete(Choice),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// The message, or its journey.
    id: Option<String>,
    /// Every message, or every one of --host.
    #[arg(long)]
    all: bool,
}

impl Queue {
    /// Does it.
    ///
    /// # Errors
    /// The world cannot be reached, or does not have what was named.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match &self.command {
            Command::List { id, limit } => {
                let query = self.query(id.as_deref(), &[("limit", &limit.to_string())]);
                let listing: Listing = self.at.client()?.get(&format!("{QUEUE}{query}")).await?;
                self.print(&listing, |listing| table(listing, Clock::wall().now()))?;
            }
            Command::Show { id } => {
                let shown: Shown = self.at.client()?.get(&format!("{QUEUE}/{}", encoded(id))).await?;
                self.print(&shown, |shown| details(shown, Clock::wall().now()))?;
            }
            Command::Hold(choice) => return self.act("hold", "held", choice).await,
            Command::Release(choice) => return self.act("release", "released", choice).await,
            Command::Flush(choice) => return self.act("flush", "to be tried now", choice).await,
            Command::Delete(choice) => return self.act("delete", "deleted", choice).await,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Exits with 1 if the one that was named is not among those to which something was done.
    async fn act(&self, action: &str, done: &str, choice: &Choice) -> anyhow::Result<ExitCode> {
        let all = choice.all.to_string();
        let query = self.query(choice.id.as_deref(), &[("all", &all)]);
        let answer: Done = self.at.client()?.post(&format!("{QUEUE}/{action}{query}"), &()).await?;
        self.print(&answer, |answer| {
            let ids = answer.messages.iter().map(|id| format!("{id}  {done}\n"));
            let count = answer.messages.len();
            ids.chain([format!("{count} {}\n", if count == 1 { "message" } else { "messages" })]).collect()
        })?;
        let is_missed = choice.id.is_some() && answer.messages.is_empty();
        Ok(if is_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn print<T: serde::Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(answer)?);
        } else {
            print!("{}", text(answer));
        }
        Ok(())
    }

    fn query(&self, id: Option<&str>, more: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
        query.extend_pairs(id.map(|id| ("id", id)));
        query.extend_pairs(self.host.as_ref().map(|host| ("host", host)));
        query.extend_pairs(more).finish()
    }
}

fn encoded(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

fn table(listing: &Listing, now: Timestamp) -> String {
    let mut out = String::new();
    let rows: Vec<_> = listing.messages.iter().map(|message| cells(message, now)).collect();
    let head = ["message", "host", "state", "age", "tries", "octets"].map(str::to_owned);
    let wide: [usize; 6] = std::array::from_fn(|at| {
        rows.iter().chain([&head]).map(|row| console::measure_text_width(&row[at])).max().unwrap_or(0)
    });
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", style(format!("{}  who", line(&head, &wide))).dim());
    for (row, message) in rows.iter().zip(&listing.messages) {
        let text = line(row, &wide);
        let text = if message.state == State::Held { style(text).yellow() } else { style(text) };
        let _ = writeln!(out, "{text}  {}", who(message));
        if let Some(reason) = &message.reason {
            let _ = writeln!(out, "    {}", style(printable(reason)).dim());
        }
    }
    let count = listing.total;
    let shown = if rows.len() < count { format!(", the oldest {} shown", rows.len()) } else { String::new() };
    let _ = writeln!(out, "{count} {}{shown}", if count == 1 { "message" } else { "messages" });
    out
}

fn line(row: &[String; 6], wide: &[usize; 6]) -> String {
    let is_number = |at: usize| 3 <= at;
    let cells = row.iter().zip(wide).enumerate().map(|(at, (cell, wide))| {
        let side = if is_number(at) { console::Alignment::Right } else { console::Alignment::Left };
        console::pad_str(cell, *wide, side, None).into_owned()
    });
    cells.collect::<Vec<_>>().join("  ")
}

fn cells(message: &Waiting, now: Timestamp) -> [String; 6] {
    let Waiting { id, host, attempts, size, arrived, .. } = message;
    let age = about(since(*arrived, now));
    [id.to_string(), host.to_string(), state(message, now), age, attempts.to_string(), size.to_string()]
}

fn state(message: &Waiting, now: Timestamp) -> String {
    match message.state {
        State::Waiting if message.due <= now => "due".to_owned(),
        State::Waiting => format!("in {}", about(since(now, message.due))),
        State::Held => "held".to_owned(),
        State::Underway => "under way".to_owned(),
    }
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Of whole seconds only: a queue is watched by people.
fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn who(message: &Waiting) -> String {
    let from = message.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    let more = match message.recipients.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let to = message.recipients.first().map_or_else(String::new, ToString::to_string);
    printable(&format!("{from} -> {to}{more}"))
}

fn details(shown: &Shown, now: Timestamp) -> String {
    let message = &shown.message;
    let mut out = String::new();
    let mut tell = |what: &str, value: String| {
        let _ = writeln!(out, "{}  {}", style(format!("{what:<9}")).dim(), printable(&value));
    };
    tell("message", message.id.to_string());
    tell("host", message.host.to_string());
    tell("state", state(message, now));
    tell("arrived", format!("{:.0}, {} ago", message.arrived, about(since(message.arrived, now))));
    tell("tries", message.attempts.to_string());
    tell("octets", message.size.to_string());
    tell("from", message.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string));
    message.recipients.iter().for_each(|recipient| tell("to", recipient.to_string()));
    message.reason.iter().for_each(|reason| tell("because", reason.clone()));
    let _ = write!(out, "\n{}", printable(&shown.header));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_suits() {
        let told = [0, 119, 120, 7199, 7200, 172_800].map(|seconds| about(Duration::from_secs(seconds)));
        assert_eq!(told, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn a_list_tells_state_and_reason_and_how_many_more_there_are() {
        let message = Waiting {
            id: "3FK9Q2XW7T-04KMX".parse().unwrap(),
            host: "mta".into(),
            state: State::Waiting,
            reverse_path: None,
            recipients: vec!["a@x.test".parse().unwrap(), "b@x.test".parse().unwrap()],
            size: 620,
            arrived: Timestamp::UNIX_EPOCH,
            due: Timestamp::from_second(180).unwrap(),
            attempts: 2,
            reason: Some("busy\u{1b}[2J".to_owned()),
        };
        let listing = Listing { total: 3, messages: vec![message] };
        let text = table(&listing, Timestamp::from_second(60).unwrap());
        let text = console::strip_ansi_codes(&text);
        let line = "3FK9Q2XW7T-04KMX  mta   in 2 min  60 s      2     620  <> -> a@x.test and 1 more\n";
        assert!(text.contains(line) && text.ends_with("3 messages, the oldest 1 shown\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "a peer cannot steer the terminal");
    }
}
