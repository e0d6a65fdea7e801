//! Formats journeys: a line for each event, and what became of the message for each recipient.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use console::{measure_text_width, pad_str, style};
use jiff::Timestamp;

use super::out::printable;
use crate::journey::{Event, EventKind, JourneyState, RecipientStatus};
use crate::mail::{Address, Side, Transcript};

/// The widths of the columns that differ between journeys.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    host: usize,
    protocol: usize,
    duration: usize,
}

impl Columns {
    /// Returns columns as wide as the lines of these events need.
    pub(super) fn of(events: &[Arc<Event>]) -> Self {
        let mut columns = Self::default();
        columns.widen(events);
        columns
    }

    /// Widens the columns, where they are narrower, to what these events need.
    pub(super) fn widen(&mut self, events: &[Arc<Event>]) {
        for event in events {
            let row = Row::of(event.at, event);
            self.host = self.host.max(measure_text_width(&row.host));
            self.protocol = self.protocol.max(measure_text_width(&row.protocol));
            self.duration = self.duration.max(measure_text_width(&row.duration));
        }
    }

    /// Appends the line of an event, with its time since `began`, the start of its journey.
    pub(super) fn write_event(&self, out: &mut String, began: Timestamp, event: &Event) -> std::fmt::Result {
        let row = Row::of(began, event);
        let pad = |text: &str, width: usize| pad_str(text, width, console::Alignment::Left, None).into_owned();
        let duration = pad_str(&row.duration, self.duration, console::Alignment::Right, None).into_owned();
        writeln!(
            out,
            "  {}  {}  {}  {}  {}",
            style(format!("{:>9}", row.time)).dim(),
            style(pad(&row.host, self.host)).green(),
            pad(&row.protocol, self.protocol),
            style(duration).dim(),
            row.what
        )
    }
}

/// Appends what led to an event, indented: the phases of its attempt and the questions to DNS with their answers, if it
/// has an attempt, and the protocol transcript, if it has one.
pub(super) fn write_dialogue(out: &mut String, event: &Event) -> std::fmt::Result {
    if let Some(attempt) = event.kind.attempt() {
        let all = [("wait", attempt.wait_ms)].into_iter().chain(attempt.phases()).filter(|(_, ms)| 0.0 < *ms);
        let all: Vec<_> =
            all.map(|(name, ms)| format!("{name} {}", human(Duration::from_secs_f64(ms / 1e3)))).collect();
        writeln!(out, "      {} {}", style("time:").yellow(), all.join(", "))?;
        for lookup in &attempt.lookups {
            writeln!(out, "      {} {}", style("DNS:").yellow(), printable(&lookup.to_string()))?;
        }
    }
    event.transcript.iter().try_for_each(|transcript| write_transcript(out, transcript))
}

/// Appends the lines of a transcript, each with `C:` or `S:` and control characters escaped, then the number of lines
/// that the transcript dropped.
pub(super) fn write_transcript(out: &mut String, transcript: &Transcript) -> std::fmt::Result {
    for (speaker, line) in transcript.lines() {
        let line = printable(line);
        match speaker {
            Side::Client => writeln!(out, "      {} {line}", style("C:").blue())?,
            Side::Server => writeln!(out, "      {} {line}", style("S:").magenta())?,
        }
    }
    if transcript.dropped != 0 {
        writeln!(out, "      ({} more lines)", transcript.dropped)?;
    }
    Ok(())
}

struct Row {
    time: String,
    host: String,
    protocol: String,
    duration: String,
    what: String,
}

impl Row {
    /// Returns the cells of an event of a journey that began at `began`, from which its time counts. Control characters
    /// in the description are escaped.
    fn of(began: Timestamp, event: &Event) -> Self {
        let since = Duration::try_from(event.at.duration_since(began)).unwrap_or_default();
        let (protocol, duration, what) = cells(&event.kind);
        let host = event.host.to_string();
        Self { time: format!("+{}", human(since)), host, protocol, duration, what: printable(&what).into_owned() }
    }
}

/// Returns the three cells of an event that depend on its kind: protocol (with `+TLS` if encrypted), duration and
/// description, not escaped. The first two are empty if the event has none.
fn cells(step: &EventKind) -> (String, String, String) {
    let ms = |ms: &f64| human(Duration::from_secs_f64(ms.max(0.0) / 1e3));
    match step {
        EventKind::Received { protocol, from, tls, user, took_ms, .. } => {
            let lock = if tls.is_some() { "+TLS" } else { "" };
            let user = user.as_ref().map_or_else(String::new, |user| format!(", logged in as {user}"));
            (format!("{protocol}{lock}"), ms(took_ms), format!("accepted from {from}{user}"))
        }
        EventKind::Expanded { recipient, targets, .. } => {
            let to = if targets.is_empty() { "discarded".to_owned() } else { format!("sent it to {}", list(targets)) };
            (String::new(), String::new(), format!("<{recipient}> is an alias: {to}"))
        }
        EventKind::Reported { about, recipients } => {
            (String::new(), String::new(), format!("sent a report about {about} to {}", list(recipients)))
        }
        EventKind::Tried { protocol, reason, took_ms, attempt, .. } => {
            let address = attempt.address.map_or_else(String::new, |address| format!(" {address}"));
            let preference = attempt.preference.map_or_else(String::new, |number| format!(" (MX {number})"));
            (protocol.to_string(), ms(took_ms), format!("tried{address}{preference}: {reason}"))
        }
        EventKind::Relayed { protocol, to, reply, tls, took_ms, .. } => {
            let lock = if tls.is_some() { "+TLS" } else { "" };
            (format!("{protocol}{lock}"), ms(took_ms), format!("relayed to {to}: {reply}"))
        }
        EventKind::Deferred { reason, until, recipients, .. } => {
            (String::new(), String::new(), format!("deferred {} until {until:.0}: {reason}", list(recipients)))
        }
        EventKind::Failed { reason, report, recipients, .. } => {
            let report = report.map_or_else(String::new, |id| format!("; reported by {id}"));
            (String::new(), String::new(), format!("failed for {}: {reason}{report}", list(recipients)))
        }
        EventKind::Held { recipients, reason } => {
            let reason = reason.as_ref().map_or_else(|| " by the operator".to_owned(), |reason| format!(": {reason}"));
            (String::new(), String::new(), format!("held for {}{reason}", list(recipients)))
        }
        EventKind::Released { recipients } => {
            (String::new(), String::new(), format!("released by the operator for {}", list(recipients)))
        }
        EventKind::Flushed { recipients } => {
            (String::new(), String::new(), format!("made due by the operator for {}", list(recipients)))
        }
        EventKind::Found { recipients, .. } => {
            (String::new(), String::new(), format!("found at a start for {}", list(recipients)))
        }
        EventKind::Gone { recipients } => {
            (String::new(), String::new(), format!("not found at a start for {}", list(recipients)))
        }
        EventKind::Deleted { recipients } => {
            (String::new(), String::new(), format!("deleted by the operator for {}", list(recipients)))
        }
        EventKind::Delivered { recipient, mailbox, uid, .. } => {
            (String::new(), String::new(), format!("delivered to {recipient} in {mailbox}, UID {uid}"))
        }
        EventKind::Retrieved { protocol, account, size } => {
            (protocol.to_string(), String::new(), format!("retrieved by {account}, {size} bytes"))
        }
    }
}

/// The addresses as in `<ann@a.test>, <bob@b.test>`.
pub(super) fn list(recipients: &[Address]) -> String {
    recipients.iter().map(|recipient| format!("<{recipient}>")).collect::<Vec<_>>().join(", ")
}

/// What became of a message for all recipients, in one line, separated by `; `. Not escaped for the terminal.
pub(super) fn status(journey: &JourneyState) -> String {
    let all = journey.recipients.iter().map(|(recipient, status)| recipient_status(journey, recipient, status));
    all.collect::<Vec<_>>().join("; ")
}

/// What became of a message for a recipient, as `ADDRESS: OUTCOME`. Not escaped for the terminal.
pub(super) fn recipient_status(journey: &JourneyState, recipient: &Address, status: &RecipientStatus) -> String {
    match status {
        RecipientStatus::Underway { at } => format!("{recipient}: in transit at {at}"),
        RecipientStatus::Deferred { at, until, reason } => {
            format!("{recipient}: waiting at {at} until {until:.0}: {reason}")
        }
        RecipientStatus::Held { at, .. } => format!("{recipient}: held at {at}"),
        RecipientStatus::Gone { at } => format!("{recipient}: no longer in the queue of {at}"),
        RecipientStatus::Relayed { to } => format!("{recipient}: relayed to {to}, out of this world"),
        RecipientStatus::Delivered { copies: 1, .. } => format!("{recipient}: delivered"),
        RecipientStatus::Delivered { copies, .. } if journey.in_doubt => {
            format!("{recipient}: delivered {copies} times, because a reply was lost")
        }
        RecipientStatus::Delivered { copies, .. } => format!("{recipient}: delivered {copies} times"),
        RecipientStatus::Failed { reason, .. } => format!("{recipient}: {reason}"),
        RecipientStatus::Expanded { to } => format!("{recipient}: an alias of {}", list(to)),
        RecipientStatus::Discarded { at } => format!("{recipient}: discarded at {at}, as configured"),
        RecipientStatus::Deleted { at } => format!("{recipient}: deleted from the queue of {at}"),
    }
}

/// Formats a duration: in milliseconds below 10 s, then in seconds, minutes or hours.
pub(super) fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 10.0 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
