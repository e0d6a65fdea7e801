//! Formats the report of `postroad run`: a table for each journey.

use std::fmt::Write;
use std::time::Duration;

use console::{measure_text_width, pad_str, style};
use jiff::Timestamp;

use crate::journey::{Event, EventKind, Journey, RecipientStatus};
use crate::mail::{Address, Side, Transcript};
use crate::roundtrip::{Comparison, MessageReport, Report, Transcripts};

/// Formats a report: a table per message for up to `max_tables` messages, else a summary; then the result.
pub(super) fn report(report: &Report, max_tables: usize, transcript: bool) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut out, report, max_tables, transcript);
    out
}

fn write_report(out: &mut String, report: &Report, max_tables: usize, transcript: bool) -> std::fmt::Result {
    let Report { from, to, messages, .. } = report;
    writeln!(out, "{} {from} {} {to}", style("postroad").bold(), style("->").dim())?;
    let Transcripts { sender, pop3, imap } = &report.transcripts;
    if messages.len() <= max_tables || transcript {
        write_client(out, "the sender", sender, transcript)?;
        for message in messages {
            write_message(out, message, transcript)?;
        }
        write_client(out, "the recipient over POP3", pop3, transcript)?;
        write_client(out, "the recipient over IMAP", imap, transcript)?;
    } else {
        write_summary(out, messages)?;
    }
    write_verdict(out, report)
}

fn write_message(out: &mut String, message: &MessageReport, transcript: bool) -> std::fmt::Result {
    let journey = message.journey.map_or_else(|| "no journey".to_owned(), |id| format!("journey {id}"));
    writeln!(out, "\n{}  {}  {} bytes", style(&message.name).bold(), style(journey).cyan(), message.size)?;
    if message.normalized {
        writeln!(out, "  a lone CR or LF was replaced by a line end before submission")?;
    }
    if let Some(refused) = &message.refused {
        writeln!(out, "  {} {refused}", style("refused by the provider at").red())?;
    }
    let Some(journey) = &message.history else { return Ok(()) };
    let rows: Vec<_> = journey.events.iter().map(|event| Row::of(journey.began, event)).collect();
    let wide = |cell: fn(&Row) -> &str| rows.iter().map(|row| measure_text_width(cell(row))).max().unwrap_or(0);
    let (host, protocol, duration) = (wide(|row| &row.host), wide(|row| &row.protocol), wide(|row| &row.duration));
    for (row, event) in rows.iter().zip(&journey.events) {
        let pad = |text: &str, width: usize| pad_str(text, width, console::Alignment::Left, None).into_owned();
        let duration = pad_str(&row.duration, duration, console::Alignment::Right, None).into_owned();
        writeln!(
            out,
            "  {}  {}  {}  {}  {}",
            style(format!("{:>9}", row.time)).dim(),
            style(pad(&row.host, host)).green(),
            pad(&row.protocol, protocol),
            style(duration).dim(),
            row.what
        )?;
        // What the recipient said is shown as a whole.
        let is_shown = transcript && !matches!(event.kind, EventKind::Retrieved { .. });
        if let (true, Some(transcript)) = (is_shown, &event.transcript) {
            write_transcript(out, transcript)?;
        }
    }
    Ok(())
}

fn write_client(out: &mut String, who: &str, said: &Transcript, is_wanted: bool) -> std::fmt::Result {
    if !is_wanted || said.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style(who).bold())?;
    write_transcript(out, said)
}

fn write_transcript(out: &mut String, transcript: &Transcript) -> std::fmt::Result {
    for (speaker, line) in transcript.lines() {
        let line = super::out::printable(line);
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
    fn of(began: Timestamp, event: &Event) -> Self {
        let since = Duration::try_from(event.at.duration_since(began)).unwrap_or_default();
        let (protocol, duration, what) = cells(&event.kind);
        let host = event.host.to_string();
        Self {
            time: format!("+{}", human(since)),
            host,
            protocol,
            duration,
            what: super::out::printable(&what).into_owned(),
        }
    }
}

/// Protocol, duration and description.
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

fn list(recipients: &[Address]) -> String {
    recipients.iter().map(|recipient| format!("<{recipient}>")).collect::<Vec<_>>().join(", ")
}

fn write_summary(out: &mut String, messages: &[MessageReport]) -> std::fmt::Result {
    for message in messages.iter().filter(|message| !message.is_intact()) {
        let what = match (&message.refused, &message.history) {
            (Some(refused), _) => format!("refused at {refused}"),
            (None, Some(journey)) => status(journey),
            (None, None) => "no events".to_owned(),
        };
        let (pop3, imap) = (message.pop3, message.imap);
        writeln!(out, "  {} {}: {what}; POP3 {}, IMAP {}", style("✗").red(), message.name, word(pop3), word(imap))?;
    }
    let mut times: Vec<_> = messages.iter().filter_map(MessageReport::took).collect();
    times.sort_unstable();
    if let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) {
        writeln!(out, "  from submission to mailbox: median {}, longest {}", human(*median), human(*longest))?;
    }
    let normalized = messages.iter().filter(|message| message.normalized).count();
    if normalized != 0 {
        writeln!(out, "  in {normalized} messages, a lone CR or LF was replaced by a line end before submission")?;
    }
    Ok(())
}

fn status(journey: &Journey) -> String {
    let all = journey.recipients.iter().map(|(recipient, status)| match status {
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
    });
    all.collect::<Vec<_>>().join("; ")
}

fn word(arrival: Comparison) -> &'static str {
    match arrival {
        Comparison::Intact => "intact",
        Comparison::Changed => "changed",
        Comparison::Doubled => "doubled",
        Comparison::Missing => "missing",
    }
}

fn write_verdict(out: &mut String, report: &Report) -> std::fmt::Result {
    let all = report.messages.len();
    let count = |which: fn(&MessageReport) -> Comparison| {
        report.messages.iter().filter(|message| which(message) == Comparison::Intact).count()
    };
    let (pop3, imap) = (count(|message| message.pop3), count(|message| message.imap));
    if let Some(why) = &report.unfetched {
        writeln!(out, "\n{} {why}", style("nothing was fetched:").red())?;
    }
    let verdict = format!("{pop3} of {all} intact over POP3, {imap} of {all} over IMAP");
    if report.is_intact() {
        writeln!(out, "\n{} {verdict}", style("✓").green().bold())
    } else {
        let doubled =
            if pop3 == all && imap == all { "; but some were delivered twice or to other recipients" } else { "" };
        writeln!(out, "\n{} {verdict}{doubled}", style("✗").red().bold())
    }
}

/// Formats a duration with a suitable unit.
fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 10.0 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
