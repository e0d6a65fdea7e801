//! Formats the report of `postroad run`: a table for each journey.

use std::fmt::Write;

use console::style;

use super::journey_table::{Columns, human, status, write_dialogue, write_transcript};
use crate::journey::EventKind;
use crate::mail::Transcript;
use crate::roundtrip::{Comparison, MessageReport, Report, Transcripts};

/// Formats the report of a round trip for the terminal: a table for each message if there are at most `max_tables` or
/// `transcript` is set, else a summary; then how many arrived intact. With `transcript`, also what was said.
pub(super) fn report(report: &Report, max_tables: usize, transcript: bool) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut out, report, max_tables, transcript);
    out
}

/// Appends the formatted report: the head, the transcripts of the clients if `transcript`, a table for each message or
/// a summary of all, then the result.
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

/// Appends a message with its name, journey and size, whether it was normalized or refused, and a line for each event,
/// with its dialogue if `transcript`.
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
    let columns = Columns::of(&journey.events);
    for event in &journey.events {
        columns.write_event(out, journey.began, event)?;
        // What the recipient said is shown as a whole.
        if transcript && !matches!(event.kind, EventKind::Retrieved { .. }) {
            write_dialogue(out, event)?;
        }
    }
    Ok(())
}

/// Appends the transcript of a client under the title `who`, if it is wanted and not empty.
fn write_client(out: &mut String, who: &str, said: &Transcript, is_wanted: bool) -> std::fmt::Result {
    if !is_wanted || said.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style(who).bold())?;
    write_transcript(out, said)
}

/// Appends a line for each message that did not arrive intact, then the median and longest time from submission to
/// mailbox, and the number of messages whose line ends were normalized, if there are some.
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

/// Returns the word for how a message arrived: `intact`, `changed`, `doubled` or `missing`.
fn word(arrival: Comparison) -> &'static str {
    match arrival {
        Comparison::Intact => "intact",
        Comparison::Changed => "changed",
        Comparison::Doubled => "doubled",
        Comparison::Missing => "missing",
    }
}

/// Appends the result: why nothing was fetched, if so, and how many messages arrived intact over each protocol, with a
/// check mark if the whole report is intact, else a cross.
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
