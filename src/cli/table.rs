//! A journey as a table that a person enjoys reading.

use std::fmt::Write;
use std::time::Duration;

use console::{measure_text_width, pad_str, style};
use jiff::Timestamp;

use crate::journey::{Event, Fate, Step, Story};
use crate::mail::{Address, Dialogue, Speaker};
use crate::trip::{Arrival, Letter, Report};

/// The report of a trip: tables for few messages, a summary for many, and the verdict.
pub(super) fn report(report: &Report, tables_max: usize, transcript: bool) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut out, report, tables_max, transcript);
    out
}

fn write_report(out: &mut String, report: &Report, tables_max: usize, transcript: bool) -> std::fmt::Result {
    let Report { from, to, letters, .. } = report;
    writeln!(out, "{} {from} {} {to}", style("postroad").bold(), style("->").dim())?;
    if letters.len() <= tables_max || transcript {
        for letter in letters {
            write_letter(out, letter, transcript)?;
        }
        if transcript {
            for (who, dialogue) in &report.dialogues {
                writeln!(out, "\n{}", style(format!("the {who}")).bold())?;
                write_dialogue(out, dialogue)?;
            }
        }
    } else {
        write_summary(out, letters)?;
    }
    write_verdict(out, report)
}

fn write_letter(out: &mut String, letter: &Letter, transcript: bool) -> std::fmt::Result {
    let journey = letter.journey.map_or_else(|| "no journey".to_owned(), |id| format!("journey {id}"));
    writeln!(out, "\n{}  {}  {} octets", style(&letter.name).bold(), style(journey).cyan(), letter.size)?;
    if letter.mended {
        writeln!(out, "  it held a lone CR or LF, which was made a line end before it was sent")?;
    }
    if let Some(refused) = &letter.refused {
        writeln!(out, "  {} {refused}", style("refused by the provider at").red())?;
    }
    let Some(story) = &letter.story else { return Ok(()) };
    let rows: Vec<_> = story.events.iter().map(|event| Row::of(story.began, event)).collect();
    let wide = |cell: fn(&Row) -> &str| rows.iter().map(|row| measure_text_width(cell(row))).max().unwrap_or(0);
    let (host, protocol, took) = (wide(|row| &row.host), wide(|row| &row.protocol), wide(|row| &row.took));
    for (row, event) in rows.iter().zip(&story.events) {
        let pad = |text: &str, width: usize| pad_str(text, width, console::Alignment::Left, None).into_owned();
        let took = pad_str(&row.took, took, console::Alignment::Right, None).into_owned();
        writeln!(
            out,
            "  {}  {}  {}  {}  {}",
            style(format!("{:>9}", row.time)).dim(),
            style(pad(&row.host, host)).green(),
            pad(&row.protocol, protocol),
            style(took).dim(),
            row.what
        )?;
        if let (true, Some(dialogue)) = (transcript, &event.dialogue) {
            write_dialogue(out, dialogue)?;
        }
    }
    Ok(())
}

fn write_dialogue(out: &mut String, dialogue: &Dialogue) -> std::fmt::Result {
    for (speaker, line) in dialogue.lines() {
        let line = super::common::printable(line);
        match speaker {
            Speaker::Client => writeln!(out, "      {} {line}", style("C:").blue())?,
            Speaker::Server => writeln!(out, "      {} {line}", style("S:").magenta())?,
        }
    }
    if dialogue.dropped != 0 {
        writeln!(out, "      ({} more lines)", dialogue.dropped)?;
    }
    Ok(())
}

struct Row {
    time: String,
    host: String,
    protocol: String,
    took: String,
    what: String,
}

impl Row {
    fn of(began: Timestamp, event: &Event) -> Self {
        let since = Duration::try_from(event.at.duration_since(began)).unwrap_or_default();
        let (protocol, took, what) = cells(&event.step);
        let host = event.host.to_string();
        Self { time: format!("+{}", human(since)), host, protocol, took, what: super::common::printable(&what) }
    }
}

/// Protocol, how long it took, and what happened.
fn cells(step: &Step) -> (String, String, String) {
    let ms = |ms: &f64| human(Duration::from_secs_f64(ms.max(0.0) / 1e3));
    match step {
        Step::Received { protocol, from, tls, user, took_ms, .. } => {
            let lock = if tls.is_some() { "+TLS" } else { "" };
            let user = user.as_ref().map_or_else(String::new, |user| format!(", logged in as {user}"));
            (format!("{protocol}{lock}"), ms(took_ms), format!("took it from {from}{user}"))
        }
        Step::Expanded { recipient, targets, .. } => {
            let to =
                if targets.is_empty() { "threw it away".to_owned() } else { format!("sent it to {}", list(targets)) };
            (String::new(), String::new(), format!("<{recipient}> is an alias: {to}"))
        }
        Step::Reported { about, recipients } => {
            (String::new(), String::new(), format!("wrote to {} about {about}", list(recipients)))
        }
        Step::Relayed { protocol, to, reply, tls, took_ms, .. } => {
            let lock = if tls.is_some() { "+TLS" } else { "" };
            (format!("{protocol}{lock}"), ms(took_ms), format!("passed it to {to}: {reply}"))
        }
        Step::Deferred { reason, until, recipients, .. } => {
            (String::new(), String::new(), format!("will try again for {} at {until:.0}: {reason}", list(recipients)))
        }
        Step::Failed { reason, report, recipients, .. } => {
            let report = report.map_or_else(String::new, |id| format!("; the sender is told by {id}"));
            (String::new(), String::new(), format!("gave up on {}: {reason}{report}", list(recipients)))
        }
        Step::Deleted { recipients } => {
            (String::new(), String::new(), format!("the operator deleted it for {}", list(recipients)))
        }
        Step::Delivered { recipient, mailbox, uid, .. } => {
            (String::new(), String::new(), format!("filed it for {recipient} in {mailbox}, uid {uid}"))
        }
        Step::Retrieved { protocol, account, size } => {
            (protocol.to_string(), String::new(), format!("handed it to {account}, {size} octets"))
        }
    }
}

fn list(recipients: &[Address]) -> String {
    recipients.iter().map(|recipient| format!("<{recipient}>")).collect::<Vec<_>>().join(", ")
}

fn write_summary(out: &mut String, letters: &[Letter]) -> std::fmt::Result {
    for letter in letters.iter().filter(|letter| !letter.is_intact()) {
        let what = match (&letter.refused, &letter.story) {
            (Some(refused), _) => format!("refused at {refused}"),
            (None, Some(story)) => fate(story),
            (None, None) => "nothing is known of it".to_owned(),
        };
        let (pop3, imap) = (letter.pop3, letter.imap);
        writeln!(out, "  {} {}: {what}; POP3 {}, IMAP {}", style("✗").red(), letter.name, word(pop3), word(imap))?;
    }
    let mut times: Vec<_> = letters.iter().filter_map(Letter::took).collect();
    times.sort_unstable();
    if let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) {
        writeln!(out, "  from submission to mailbox: {} in the middle, {} at most", human(*median), human(*longest))?;
    }
    let mended = letters.iter().filter(|letter| letter.mended).count();
    if mended != 0 {
        writeln!(out, "  {mended} held a lone CR or LF, which was made a line end before they were sent")?;
    }
    Ok(())
}

fn fate(story: &Story) -> String {
    let fates = story.recipients.iter().map(|(recipient, fate)| match fate {
        Fate::Underway { at } => format!("{recipient}: still at {at}"),
        Fate::Delivered { copies: 1, .. } => format!("{recipient}: delivered"),
        Fate::Delivered { copies, .. } if story.in_doubt => {
            format!("{recipient}: delivered {copies} times, since the reply to it was lost")
        }
        Fate::Delivered { copies, .. } => format!("{recipient}: delivered {copies} times"),
        Fate::Failed { reason, .. } => format!("{recipient}: {reason}"),
        Fate::Expanded { to } => format!("{recipient}: an alias of {}", list(to)),
        Fate::Discarded { at } => format!("{recipient}: thrown away at {at}, as it is there for"),
        Fate::Deleted { at } => format!("{recipient}: deleted from the queue of {at}"),
    });
    fates.collect::<Vec<_>>().join("; ")
}

fn word(arrival: Arrival) -> &'static str {
    match arrival {
        Arrival::Intact => "intact",
        Arrival::Changed => "changed",
        Arrival::Doubled => "doubled",
        Arrival::Missing => "missing",
    }
}

fn write_verdict(out: &mut String, report: &Report) -> std::fmt::Result {
    let all = report.letters.len();
    let count =
        |which: fn(&Letter) -> Arrival| report.letters.iter().filter(|letter| which(letter) == Arrival::Intact).count();
    let (pop3, imap) = (count(|letter| letter.pop3), count(|letter| letter.imap));
    let verdict = format!("{pop3} of {all} intact over POP3, {imap} of {all} over IMAP");
    if report.is_intact() {
        writeln!(out, "\n{} {verdict}", style("✓").green().bold())
    } else {
        let doubled = if pop3 == all && imap == all { "; but some were delivered twice, or to others" } else { "" };
        writeln!(out, "\n{} {verdict}{doubled}", style("✗").red().bold())
    }
}

/// Three digits that matter, with the unit that suits.
fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 10.0 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
