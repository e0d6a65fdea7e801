//! What `postroad serve` prints of messages: a line when one enters the world, one when it has to wait, and one for its end.
//!
//! The lines are written by a thread of their own, so that a terminal or pipe that is not read blocks nothing else; lines that
//! do not fit into its memory are left out, and counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use console::style;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::journey_table::{human, list, recipient_status};
use super::out::printable;
use crate::journey::{Event, EventKind, EventLog, JourneyState, Subscription};
use crate::mail::JourneyId;

/// Lines that wait for the terminal.
const MAX_LINES: usize = 4096;
/// How long the last lines may take at the end.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// The interval at which their end is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Prints lines without making its caller wait.
pub(super) struct Lines {
    sender: SyncSender<String>,
    printer: JoinHandle<()>,
}

impl Lines {
    /// Starts the thread that prints lines to standard output, in the order of [`Lines::print`].
    ///
    /// # Errors
    /// There is no room for one more thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, lines) = sync_channel::<String>(MAX_LINES);
        let print = move || lines.into_iter().for_each(|line| println!("{line}"));
        Ok(Self { sender, printer: std::thread::Builder::new().name("lines".to_owned()).spawn(print)? })
    }

    /// Queues a line for standard output without waiting. Drops it if [`MAX_LINES`] lines wait already.
    pub(super) fn print(&self, line: &str) {
        let _ = self.sender.try_send(line.to_owned());
    }

    /// Closes the queue of lines and waits until all of them are printed, for up to [`END_TIMEOUT`]. The future of
    /// [`Lines::announce`] must be dropped before, since it holds the queue open.
    pub(super) async fn end(self) {
        let Self { sender, printer } = self;
        drop(sender);
        for _ in 0..END_TIMEOUT.as_millis() / POLL_INTERVAL.as_millis() {
            if printer.is_finished() {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Subscribes to the events from now on, and returns a future that prints a line for each message that enters the
    /// world, has to wait, or has ended, until it is dropped. Messages that entered before `now` have no line for their
    /// entry, but those for their waits and their end.
    pub(super) fn announce(&self, event_log: EventLog, now: Timestamp) -> impl Future<Output = ()> + use<> {
        let (events, messages) = (event_log.subscribe_from_now(), BTreeMap::new());
        Announcer { sender: self.sender.clone(), left_out: 0, event_log, events, started: now, messages }.run()
    }
}

/// The last line that was printed about a message.
#[derive(Debug, PartialEq, Eq)]
enum Announced {
    Entered,
    Waits(String),
    Ended,
}

struct Announcer {
    sender: SyncSender<String>,
    left_out: u64,
    event_log: EventLog,
    events: Subscription,
    started: Timestamp,
    /// The messages that have not ended, and those that had entered before this began.
    messages: BTreeMap<JourneyId, Announced>,
}

impl Announcer {
    /// Handles all events of the subscription, each batch once it is stored; never returns. If some events were missed,
    /// prints a line about that and forgets all messages.
    async fn run(mut self) {
        loop {
            match self.events.next().await {
                Ok(batch) => {
                    self.event_log.saved_so_far().await;
                    self.handle(&batch);
                }
                Err(lagged) => {
                    self.print(style(lagged.to_string()).yellow().to_string());
                    self.messages.clear();
                }
            }
        }
    }

    /// Prints what is new about the messages of these events: for each message at most a line for its entry, and one
    /// for its state after the last of its events in the batch. Ignores retrievals, and messages whose state the event
    /// log does not give.
    fn handle(&mut self, batch: &[Arc<Event>]) {
        let changes = || batch.iter().filter(|event| is_change(event));
        let last: BTreeMap<_, _> = changes().map(|event| (event.journey, event.seq)).collect();
        for event in changes() {
            let is_last = last.get(&event.journey) == Some(&event.seq);
            let is_entry =
                matches!(event.kind, EventKind::Received { .. } | EventKind::Reported { .. } | EventKind::Found { .. });
            if !is_last && (!is_entry || self.messages.contains_key(&event.journey)) {
                continue;
            }
            // If the store fails, the world stops, and says so.
            let Ok(Some(state)) = self.event_log.journey_state(event.journey) else { continue };
            self.begin(event, &state, is_entry);
            if !is_last {
                continue;
            }
            // An end that is not in the batch: it has its own event.
            let newer = match state.is_settled() && event.seq < state.last_seq() {
                true => self.event_log.journey(event.journey).ok().flatten(),
                false => None,
            };
            match newer {
                Some(journey) => {
                    let newest = journey.events.iter().rfind(|event| is_change(event)).unwrap_or(event);
                    self.update(newest, &journey.state);
                }
                None => self.update(event, &state),
            }
        }
    }

    /// Prints the line of an entry if the event is an entry (`is_entry`), is the first of its journey, and the message
    /// has no line yet. Otherwise, if its journey began before this announcer, notes the message as entered, so that
    /// its waits and its end are printed.
    fn begin(&mut self, event: &Event, state: &JourneyState, is_entry: bool) {
        if is_entry && state.began == event.at && !self.messages.contains_key(&event.journey) {
            self.print(entry_line(event, state));
            self.messages.insert(event.journey, Announced::Entered);
        } else if state.began < self.started {
            self.messages.entry(event.journey).or_insert(Announced::Entered);
        }
    }

    /// Prints the line of a message that has ended with this event, or that waits, as this event says, for another
    /// reason than its last line said. Forgets a message that has ended, but marks one that entered before this
    /// announcer began as ended. Does nothing about a message that is unknown or marked as ended.
    fn update(&mut self, event: &Event, state: &JourneyState) {
        let Some(announced) = self.messages.get_mut(&event.journey).filter(|announced| **announced != Announced::Ended)
        else {
            return;
        };
        if state.is_settled() {
            match state.began < self.started {
                true => *announced = Announced::Ended,
                false => _ = self.messages.remove(&event.journey),
            }
            self.print(status_line(event, state, true));
        } else if let EventKind::Deferred { reason, .. } | EventKind::Held { reason: Some(reason), .. } = &event.kind
            && *announced != Announced::Waits(reason.clone())
        {
            *announced = Announced::Waits(reason.clone());
            self.print(status_line(event, state, false));
        }
    }

    /// Sends a line to the thread that prints, without waiting, after one with the number of lines left out before it,
    /// if any. If the queue is full, drops the line and counts it as left out.
    fn print(&mut self, line: String) {
        if self.left_out != 0 {
            let text = format!("{} lines were left out, because the output was not read", self.left_out);
            if self.sender.try_send(style(text).yellow().to_string()).is_ok() {
                self.left_out = 0;
            }
        }
        self.left_out += u64::from(self.sender.try_send(line).is_err());
    }
}

/// Whether the event changes what became of a message; a retrieval does not.
fn is_change(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Retrieved { .. })
}

/// Returns the start of a line about a message, indented: the event's local time of day, the sign `mark` and the id of
/// the journey.
fn head(event: &Event, mark: &console::StyledObject<&'static str>) -> String {
    let time = event.at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string();
    format!("  {}  {mark} {}", style(time).dim(), style(event.journey).cyan())
}

/// Returns the line about a message that enters the world with this event: sender, recipients, then size, protocol and
/// host, or that it is a report or was found in a queue. Empty if the event is no entry.
fn entry_line(event: &Event, state: &JourneyState) -> String {
    let from = state.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    let (to, what) = match &event.kind {
        EventKind::Received { recipients, size, protocol, .. } => {
            (recipients, format!("{size} bytes by {protocol} at {}", event.host))
        }
        EventKind::Reported { about, recipients } => (recipients, format!("a report of {} about {about}", event.host)),
        EventKind::Found { recipients, .. } => (recipients, format!("found at {}", event.host)),
        _ => return String::new(),
    };
    let addresses = format!("<{from}> -> {}", list(to)).replace("<<>>", "<>");
    format!("{}  {}  {}", head(event, &style("+").bold()), printable(&addresses), style(what).dim())
}

/// Returns the line about a message after an event: if `is_end`, of its end, with the outcome for all recipients; else
/// of its wait, with the status of the recipients that are still open. The sign is that of the worst status of all
/// recipients; the time since the start of the journey is last.
fn status_line(event: &Event, state: &JourneyState, is_end: bool) -> String {
    let shown = state.recipients.iter().filter(|(_, status)| is_end || status.is_open());
    let all: Vec<_> = shown.map(|(recipient, status)| recipient_status(state, recipient, status)).collect();
    let worst = state.recipients.values().min_by_key(|status| super::journey::rank(status));
    let mark = worst.map_or_else(|| style("✓").green(), super::journey::mark);
    let took = Duration::try_from(event.at.duration_since(state.began)).unwrap_or_default();
    let text = all.join("; ");
    format!("{}  {}  {}", head(event, &mark), printable(&text), style(human(took)).dim())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use serde_json::{Value, json};

    use super::*;
    use crate::world::Clock;

    fn announcer() -> (Announcer, Receiver<String>) {
        let (sender, lines) = sync_channel(100);
        let event_log = EventLog::new(Clock::starting_at(Timestamp::UNIX_EPOCH), 100, false);
        let events = event_log.subscribe_from_now();
        let messages = BTreeMap::new();
        (Announcer { sender, left_out: 0, event_log, events, started: Timestamp::UNIX_EPOCH, messages }, lines)
    }

    fn event(at_ms: i64, mut kind: Value) -> Event {
        let id = JourneyId::from_random(7);
        kind["seq"] = json!(at_ms);
        kind["at"] = json!(Timestamp::from_millisecond(at_ms).unwrap());
        kind["host"] = json!("mta");
        kind["journey"] = json!(id);
        serde_json::from_value(kind).unwrap()
    }

    #[test]
    fn message_that_enters_waits_and_arrives_in_one_batch_has_a_line_for_its_entry_and_one_for_its_end() {
        let (mut announcer, lines) = announcer();
        let to = json!(["a@x.test"]);
        let entry = json!({"step": "received", "protocol": "smtp", "from": "c", "reverse_path": "me@x.test", "recipients": to,
            "size": 7, "tls": null, "user": null, "took_ms": 1.0});
        let deferred = json!({"step": "deferred", "recipients": to, "to": null, "reason": "busy", "until": "1970-01-02T00:00:00Z"});
        let delivered =
            json!({"step": "delivered", "recipient": "a@x.test", "account": "a@x.test", "mailbox": "INBOX", "uid": 1});
        let retrieved = json!({"step": "retrieved", "protocol": "pop3", "account": "a@x.test", "size": 7});
        let events = [event(10, entry), event(20, deferred), event(900, delivered), event(5_000, retrieved)];
        announcer.event_log.import("other", 1, events);
        let batch = announcer.events.try_next().unwrap();
        announcer.handle(&batch);
        let lines: Vec<_> = lines.try_iter().collect();
        assert!(lines.len() == 2 && lines[0].contains("<me@x.test> -> <a@x.test>"), "{lines:?}");
        assert!(lines[1].contains("delivered") && lines[1].contains("890.0 ms"), "{lines:?}");
        assert!(announcer.messages.is_empty());
    }

    #[test]
    fn wait_of_one_recipient_is_announced_though_another_has_been_relayed_since() {
        let (mut announcer, lines) = announcer();
        let entry = json!({"step": "received", "protocol": "smtp", "from": "c", "reverse_path": "me@x.test",
            "recipients": ["a@x.test", "b@x.test"], "size": 7, "tls": null, "user": null, "took_ms": 1.0});
        let deferred = json!({"step": "deferred", "recipients": ["a@x.test"], "to": null, "reason": "busy",
            "until": "1970-01-02T00:00:00Z"});
        let delivered =
            json!({"step": "delivered", "recipient": "b@x.test", "account": "b@x.test", "mailbox": "INBOX", "uid": 1});
        announcer.event_log.import("other", 1, [event(10, entry), event(20, deferred)]);
        let first = announcer.events.try_next().unwrap();
        announcer.event_log.import("other", 2, [event(30, delivered)]);
        announcer.handle(&first);
        let lines: Vec<_> = lines.try_iter().collect();
        assert!(lines.len() == 2 && lines[1].contains("busy"), "{lines:?}");
    }

    #[test]
    fn message_that_arrives_before_its_entry_was_announced_has_the_time_of_its_arrival() {
        let (mut announcer, lines) = announcer();
        let entry = json!({"step": "received", "protocol": "smtp", "from": "c", "reverse_path": "me@x.test",
            "recipients": ["a@x.test"], "size": 7, "tls": null, "user": null, "took_ms": 1.0});
        let delivered =
            json!({"step": "delivered", "recipient": "a@x.test", "account": "a@x.test", "mailbox": "INBOX", "uid": 1});
        announcer.event_log.import("other", 1, [event(10, entry)]);
        let first = announcer.events.try_next().unwrap();
        announcer.event_log.import("other", 2, [event(900, delivered)]);
        announcer.handle(&first);
        let second = announcer.events.try_next().unwrap();
        announcer.handle(&second);
        let lines: Vec<_> = lines.try_iter().collect();
        assert!(lines.len() == 2 && lines[1].contains("890.0 ms"), "{lines:?}");
    }
}
