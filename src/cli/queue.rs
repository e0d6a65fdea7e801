//! `postroad queue`: lists the queues of a running world, and holds, releases, flushes or deletes messages.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use console::style;
use jiff::Timestamp;

use super::find_world::ControlArgs;
use super::out::printable;
use crate::control::{ActionReport, QueueMessage};
use crate::mta::{Listing, QueueEntry, State};
use crate::world::Clock;

/// The path of the queues in the control interface.
const QUEUE: &str = "/api/v1/queue";

/// Lists the queues of a running world, and holds, releases, flushes or deletes messages.
#[derive(Debug, Args)]
pub(super) struct Queue {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    at: ControlArgs,
    /// Only the queue of this host.
    #[arg(long, value_name = "NAME", global = true)]
    host: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists messages, oldest first.
    List {
        /// The id of a message or of a journey.
        id: Option<String>,
        /// The largest number of messages listed.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Shows one message: its recipients, the last error and its header.
    Show {
        /// The message, or its journey.
        id: String,
    },
    /// Suspends delivery of messages until they are released.
    Hold(MessageArgs),
    /// Ends a hold and tries delivery now.
    Release(MessageArgs),
    /// Tries delivery now.
    Flush(MessageArgs),
    /// Deletes messages without a report. Messages that are being delivered are skipped.
    Delete(MessageArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct MessageArgs {
    /// The message, or its journey.
    id: Option<String>,
    /// All messages, or all of --host.
    #[arg(long)]
    all: bool,
}

impl Queue {
    /// Lists messages in queues, shows one, or holds, releases, flushes or deletes some over the control interface;
    /// prints the answer. The exit code is 1 if an action did not apply to the message that was named.
    ///
    /// # Errors
    /// The world is unreachable, or the message does not exist.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match &self.command {
            Command::List { id, limit } => {
                let query = self.query(id.as_deref(), &[("limit", &limit.to_string())]);
                let listing: Listing = self.at.client()?.get(&format!("{QUEUE}{query}")).await?;
                self.print(&listing, |listing| table(listing, Clock::wall().now()))?;
            }
            Command::Show { id } => {
                let shown: QueueMessage = self.at.client()?.get(&format!("{QUEUE}/{}", encoded(id))).await?;
                self.print(&shown, |shown| details(shown, Clock::wall().now()))?;
            }
            Command::Hold(choice) => return self.act("hold", "held", choice).await,
            Command::Release(choice) => return self.act("release", "released", choice).await,
            Command::Flush(choice) => return self.act("flush", "to be tried now", choice).await,
            Command::Delete(choice) => return self.act("delete", "deleted", choice).await,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Requests `action`, and prints the ids of the messages that it applied to, each with the word `done`. Exits with
    /// 1 if a message was named and the action did not apply to it.
    async fn act(&self, action: &str, done: &str, choice: &MessageArgs) -> anyhow::Result<ExitCode> {
        let all = choice.all.to_string();
        let query = self.query(choice.id.as_deref(), &[("all", &all)]);
        let answer: ActionReport = self.at.client()?.post(&format!("{QUEUE}/{action}{query}"), &()).await?;
        self.print(&answer, |answer| {
            let ids = answer.messages.iter().map(|id| format!("{id}  {done}\n"));
            let count = answer.messages.len();
            ids.chain([format!("{count} {}\n", if count == 1 { "message" } else { "messages" })]).collect()
        })?;
        let not_found = choice.id.is_some() && answer.messages.is_empty();
        Ok(if not_found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Prints an answer, as JSON with `--json`, else as `text` formats it.
    fn print<T: serde::Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(answer)?);
        } else {
            print!("{}", text(answer));
        }
        Ok(())
    }

    /// The query of a request, from its `?` on: the id if there is one, `--host`, and `more`.
    fn query(&self, id: Option<&str>, more: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
        query.extend_pairs(id.map(|id| ("id", id)));
        query.extend_pairs(self.host.as_ref().map(|host| ("host", host)));
        query.extend_pairs(more).finish()
    }
}

/// Returns an id, as the user wrote it, in the encoding of HTML forms, for use in the path of a URL.
fn encoded(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

/// The listing as text: a head, a line for each message with the reasons why it waits below, and the total.
fn table(listing: &Listing, now: Timestamp) -> String {
    let mut out = String::new();
    let rows: Vec<_> = listing.messages.iter().map(|message| cells(message, now)).collect();
    let head = ["message", "host", "state", "age", "tries", "bytes"].map(str::to_owned);
    let wide: [usize; 6] = std::array::from_fn(|at| {
        rows.iter().chain([&head]).map(|row| console::measure_text_width(&row[at])).max().unwrap_or(0)
    });
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", style(format!("{}  addresses", line(&head, &wide))).dim());
    for (row, message) in rows.iter().zip(&listing.messages) {
        let text = line(row, &wide);
        let text = if message.state == State::Held { style(text).yellow() } else { style(text) };
        let _ = writeln!(out, "{text}  {}", addresses(message));
        for reason in reasons(message, now) {
            let _ = writeln!(out, "    {}", style(printable(&reason)).dim());
        }
    }
    let count = listing.total;
    let shown = if rows.len() < count { format!(", the oldest {} shown", rows.len()) } else { String::new() };
    let _ = writeln!(out, "{count} {}{shown}", if count == 1 { "message" } else { "messages" });
    out
}

/// The cells of a row, padded to the widths `wide` and separated by two spaces; the first three are aligned to the
/// left, the numbers after them to the right.
fn line(row: &[String; 6], wide: &[usize; 6]) -> String {
    let is_number = |at: usize| 3 <= at;
    let cells = row.iter().zip(wide).enumerate().map(|(at, (cell, wide))| {
        let side = if is_number(at) { console::Alignment::Right } else { console::Alignment::Left };
        console::pad_str(cell, *wide, side, None).into_owned()
    });
    cells.collect::<Vec<_>>().join("  ")
}

/// The cells of a message: id, host, state, age, attempts and size in bytes.
fn cells(message: &QueueEntry, now: Timestamp) -> [String; 6] {
    let QueueEntry { id, host, attempts, size, arrived, .. } = message;
    let age = rounded(since(*arrived, now));
    [id.to_string(), host.to_string(), state(message, now), age, attempts.to_string(), size.to_string()]
}

/// The state as a word: `due`, `in 3 min`, `held` or `under way`.
fn state(message: &QueueEntry, now: Timestamp) -> String {
    match message.state {
        State::Waiting if message.due <= now => "due".to_owned(),
        State::Waiting => format!("in {}", rounded(since(now, message.due))),
        State::Held => "held".to_owned(),
        State::Underway => "under way".to_owned(),
    }
}

/// Why a message waits: a line for each attempt under way, then the error of the last one that ended. Not escaped.
fn reasons(message: &QueueEntry, now: Timestamp) -> Vec<String> {
    let active = message.active_attempts.iter().map(|attempt| {
        let time = rounded(since(attempt.since, now));
        match &attempt.to {
            Some(host) => format!("talks to {host} since {time}"),
            None => format!("looks for a host, or waits for a connection to be free, since {time}"),
        }
    });
    let before = if message.active_attempts.is_empty() { "" } else { "before: " };
    active.chain(message.reason.iter().map(|reason| format!("{before}{reason}"))).collect()
}

/// Returns the time from `from` to `to`; zero if `to` is before `from`.
fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Formats a duration as a whole number of seconds, minutes, hours or days, rounded down.
fn rounded(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Returns the addresses of a message, as in `SENDER -> FIRST RECIPIENT and N more`, with control characters escaped.
fn addresses(message: &QueueEntry) -> String {
    let from = message.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    let more = match message.recipients.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let to = message.recipients.first().map_or_else(String::new, ToString::to_string);
    printable(&format!("{from} -> {to}{more}")).into_owned()
}

/// One message as text: a line for each property and recipient, then its header. Control characters are escaped.
fn details(shown: &QueueMessage, now: Timestamp) -> String {
    let message = &shown.message;
    let mut out = String::new();
    let mut field = |name: &str, value: String| {
        let _ = writeln!(out, "{}  {}", style(format!("{name:<9}")).dim(), printable(&value));
    };
    field("message", message.id.to_string());
    field("host", message.host.to_string());
    field("state", state(message, now));
    field("arrived", format!("{:.0}, {} ago", message.arrived, rounded(since(message.arrived, now))));
    field("tries", message.attempts.to_string());
    field("bytes", message.size.to_string());
    field("from", message.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string));
    message.recipients.iter().for_each(|recipient| field("to", recipient.to_string()));
    reasons(message, now).into_iter().for_each(|reason| field("because", reason));
    let _ = write!(out, "\n{}", printable(&shown.header));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_uses_suitable_unit() {
        let texts = [0, 119, 120, 7199, 7200, 172_800].map(|seconds| rounded(Duration::from_secs(seconds)));
        assert_eq!(texts, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn table_shows_state_reason_and_total() {
        let message = QueueEntry {
            row: 1,
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
            active_attempts: Vec::new(),
        };
        let listing = Listing { total: 3, next: None, messages: vec![message] };
        let text = table(&listing, Timestamp::from_second(60).unwrap());
        let text = console::strip_ansi_codes(&text);
        let line = "3FK9Q2XW7T-04KMX  mta   in 2 min  60 s      2    620  <> -> a@x.test and 1 more\n";
        assert!(text.contains(line) && text.ends_with("3 messages, the oldest 1 shown\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "control characters are replaced");
    }
}
