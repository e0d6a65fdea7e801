//! `postroad journey`: what became of messages of a running world, host by host.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use console::style;
use mail_parser::MessageParser;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use super::find_world::ControlArgs;
use super::journey_table::{Columns, recipient_status, write_dialogue};
use super::out::printable;
use super::trace_diff::TraceDiff;
use crate::control::Client;
use crate::journey::{Event, Journey, RecipientStatus};
use crate::mail::{Address, JourneyId, QueueId};

/// The path of the journeys in the control interface.
const JOURNEYS: &str = "/api/v1/journeys";
/// How long a request waits for the end of a journey before it is asked what happened meanwhile.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
/// Messages that are asked for at once when one is searched by its subject.
const PAGE: usize = 100;

/// Shows the journey of a message through a running world: each host, protocol, reply and delay.
///
/// It is that of the newest message, or of the newest one that the options select. `run` prints the same of its own message.
#[derive(Debug, Args)]
pub(super) struct JourneyCommand {
    /// The journey: the ID of the reply `queued as ID`.
    #[arg(value_parser = journey_id, conflicts_with_all = ["to", "from", "subject", "last"])]
    id: Option<JourneyId>,
    /// Only messages to this recipient.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,
    /// Only messages of this sender.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Address>,
    /// Only messages with this text in their subject.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// The newest N of them, the newest one last.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    last: u16,
    /// Prints each event as it comes, until nothing more will become of the message; waits for a message if there is none yet.
    #[arg(long)]
    follow: bool,
    /// Print the protocol transcript of each hop, its phases, and the answers of DNS that led to it.
    #[arg(long)]
    dialogue: bool,
    /// Print what each host added to the message, and whether its content is as it was.
    #[arg(long)]
    diff: bool,
    /// Print JSON, a line for each journey, or for each event with --follow. It has the transcripts, too.
    #[arg(long, conflicts_with_all = ["dialogue", "diff"])]
    json: bool,
    #[command(flatten)]
    at: ControlArgs,
}

/// Parses the id of a journey, or of a message in a queue.
fn journey_id(text: &str) -> Result<JourneyId, crate::mail::InvalidId> {
    text.parse().or_else(|_| text.parse::<QueueId>().map(|id| id.journey))
}

#[derive(Deserialize)]
struct ListPage {
    journeys: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(alias = "journey")]
    id: JourneyId,
}

#[derive(Deserialize)]
struct SearchPage {
    messages: Vec<Found>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(rename = "ID")]
    id: JourneyId,
}

impl JourneyCommand {
    /// Prints the selected journeys, the newest one last, each followed to its end with `--follow`. Without any, waits
    /// for one with `--follow`, else fails. The exit code is 0, whatever became of the messages.
    ///
    /// # Errors
    /// The world is unreachable, or has no such message.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.at.client()?;
        let mut ids = self.selected_ids(&client).await?;
        while ids.is_empty() && self.follow {
            sleep(FOLLOW_INTERVAL).await;
            ids = self.selected_ids(&client).await?;
        }
        if ids.is_empty() {
            bail!("no such message has entered the world yet; --follow waits for one");
        }
        ids.reverse();
        for (number, id) in ids.into_iter().enumerate() {
            if 0 < number && !self.json {
                print!("\n");
            }
            self.show(&client, id).await?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The ids of the journeys that the options select, newest first, up to `--last`; none if there is none yet. An id
    /// that was given is returned as it is, without a request, whether or not there is such a journey.
    async fn selected_ids(&self, client: &Client) -> anyhow::Result<Vec<JourneyId>> {
        if let Some(id) = self.id {
            return Ok(vec![id]);
        }
        if let Some(words) = &self.subject {
            return self.ids_with_subject(client, words).await;
        }
        let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
        query.append_pair("limit", &self.last.to_string());
        query.extend_pairs(self.to.iter().map(|to| ("to", to.to_string())));
        query.extend_pairs(self.from.iter().map(|from| ("from", from.to_string())));
        let page: ListPage = client.get(&format!("{JOURNEYS}{}", query.finish())).await?;
        Ok(page.journeys.into_iter().map(|listed| listed.id).collect())
    }

    /// Searches the world, page by page, for the journeys that have these words in their subject and the sender and
    /// recipient that are asked for. Returns the ids of up to `--last` of them, newest first.
    async fn ids_with_subject(&self, client: &Client, words: &str) -> anyhow::Result<Vec<JourneyId>> {
        let (words, mut cursor, mut ids) = (format!("subject:\"{}\"", words.replace('"', " ")), None, Vec::new());
        loop {
            let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
            query.append_pair("query", &words).append_pair("limit", &PAGE.to_string());
            query.extend_pairs(cursor.iter().map(|cursor| ("cursor", cursor)));
            let page: SearchPage = client.get(&format!("/api/v1/search{}", query.finish())).await?;
            for Found { id } in page.messages {
                if self.is_between(client, id).await? {
                    ids.push(id);
                }
                if ids.len() == usize::from(self.last) {
                    return Ok(ids);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(ids);
            }
        }
    }

    /// Whether the message of a journey has the sender `--from` and, among its recipients, `--to`; compares them in any
    /// case of letters and with any `+detail`. An option that is not given matches any; without both, returns `true`
    /// and requests nothing.
    async fn is_between(&self, client: &Client, id: JourneyId) -> anyhow::Result<bool> {
        if self.to.is_none() && self.from.is_none() {
            return Ok(true);
        }
        let journey: Journey = client.get(&format!("{JOURNEYS}/{id}")).await?;
        let is = |wanted: &Option<Address>, mut of: Box<dyn Iterator<Item = &Address> + '_>| {
            wanted.as_ref().is_none_or(|wanted| of.any(|address| address.key() == wanted.key()))
        };
        Ok(is(&self.from, Box::new(journey.reverse_path.iter())) && is(&self.to, Box::new(journey.recipients.keys())))
    }

    /// Prints a journey: its title, the lines of its events and what became of the message, or JSON with `--json`. With
    /// `--follow`, prints further events as they come, and returns once no host has the message in transit.
    async fn show(&self, client: &Client, id: JourneyId) -> anyhow::Result<()> {
        let path = format!("{JOURNEYS}/{id}");
        let mut answer: Value = client.get(&path).await?;
        let (mut shown, mut columns) = (BTreeSet::new(), Columns::default());
        if !self.json {
            let journey = Journey::deserialize(&answer)?;
            print!("{}", title(&journey, subject(client, id).await.as_deref()));
        }
        loop {
            let journey = Journey::deserialize(&answer)?;
            let new: Vec<_> = journey.events.iter().filter(|event| shown.insert(event.seq)).cloned().collect();
            if !self.json {
                columns.widen(&new);
                print!("{}", self.event_lines(client, &journey, &new, columns).await?);
            } else if self.follow {
                let events = answer["events"].as_array().into_iter().flatten();
                let is_new = |event: &&Value| new.iter().any(|new| event["seq"] == new.seq);
                events.filter(is_new).for_each(|event| println!("{event}"));
            } else {
                println!("{answer}");
            }
            if journey.is_settled() || !self.follow {
                if !self.json {
                    print!("{}", self.end_lines(client, &journey).await?);
                }
                return Ok(());
            }
            answer = client.get(&format!("{path}?wait={}ms", FOLLOW_INTERVAL.as_millis())).await?;
        }
    }

    /// The lines of events, with their dialogue (`--dialogue`) and the fields that their host added (`--diff`) below
    /// each.
    async fn event_lines(
        &self,
        client: &Client,
        journey: &Journey,
        events: &[Arc<Event>],
        columns: Columns,
    ) -> anyhow::Result<String> {
        let mut out = String::new();
        let diff = if self.diff && !events.is_empty() {
            TraceDiff::read(client, journey).await?
        } else {
            TraceDiff::default()
        };
        for event in events {
            columns.write_event(&mut out, journey.began, event)?;
            if self.dialogue {
                write_dialogue(&mut out, event)?;
            }
            for line in diff.added_by(event) {
                writeln!(out, "      {} {}", style("+").green(), style(printable(line)).dim())?;
            }
        }
        Ok(out)
    }

    /// The last lines of a journey: with `--diff`, whether the content was changed; then what became of the message for
    /// each recipient.
    async fn end_lines(&self, client: &Client, journey: &Journey) -> anyhow::Result<String> {
        let mut out = String::new();
        if self.diff
            && let Some(is_same) = TraceDiff::read(client, journey).await?.keeps_content
        {
            let text = if is_same { "the content is as it was accepted" } else { "the content was changed on its way" };
            writeln!(out, "      {text}")?;
        }
        for (recipient, status) in &journey.recipients {
            let text = recipient_status(journey, recipient, status);
            writeln!(out, "  {} {}", mark(status), printable(&text))?;
        }
        Ok(out)
    }
}

/// The first line of a journey: subject, id, sender and recipients, with control characters escaped.
fn title(journey: &Journey, subject: Option<&str>) -> String {
    let from = journey.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    let to: Vec<_> = journey.recipients.keys().map(ToString::to_string).collect();
    let id = style(format!("journey {}", journey.journey)).cyan();
    let subject = printable(subject.filter(|subject| !subject.is_empty()).unwrap_or("(no subject)")).into_owned();
    let (from, to) = (printable(&from).into_owned(), printable(&to.join(", ")).into_owned());
    format!("{}  {id}  {from} {} {to}\n", style(subject).bold(), style("->").dim())
}

/// Requests the header of a message and returns the decoded subject; `None` if there is no subject, or the request
/// fails. The message is not marked as read.
async fn subject(client: &Client, id: JourneyId) -> Option<String> {
    let headers: Value = client.get(&format!("/api/v1/message/{id}/headers")).await.ok()?;
    let field = format!("Subject: {}\r\n\r\n", headers["Subject"][0].as_str()?);
    Some(MessageParser::new().parse_headers(field.as_bytes())?.subject()?.to_owned())
}

/// How good the status of a recipient is: 0 if the message failed, was deleted or is gone, 1 if its delivery is still
/// open, 2 for all others, such as delivered or relayed.
pub(super) fn rank(status: &RecipientStatus) -> u8 {
    match status {
        RecipientStatus::Failed { .. } | RecipientStatus::Deleted { .. } | RecipientStatus::Gone { .. } => 0,
        status if status.is_open() => 1,
        _ => 2,
    }
}

/// Returns the coloured sign for the [`rank`] of a status: a cross for 0, dots for 1, a check mark for 2.
pub(super) fn mark(status: &RecipientStatus) -> console::StyledObject<&'static str> {
    match rank(status) {
        0 => style("✗").red(),
        1 => style("…").yellow(),
        _ => style("✓").green(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journey_id_is_also_that_of_a_message_in_a_queue() {
        let id: JourneyId = "3FK9Q2XW7T".parse().unwrap();
        assert_eq!((journey_id("3FK9Q2XW7T"), journey_id("3FK9Q2XW7T-04KMX")), (Ok(id), Ok(id)));
        assert!(journey_id("nothing").is_err());
    }
}
