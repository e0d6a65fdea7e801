//! The report as a self-contained HTML page: inline plots, no script, no external resources.

use std::fmt::Write;

use super::junit::escape;
use super::plot::{self, COLOURS, Series, Shade};
use super::{FaultInterval, Report, SlowestMessage, Verdict, Violation, human};
use crate::journey::{Event, EventKind};

/// Events shown of each of the slowest messages.
const MAX_EVENTS: usize = 40;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222;\
background:#fff}h1{margin-bottom:0}h2{margin-top:1.6em;font-size:1.15em}svg{width:100%;height:auto}svg text{font-size:11px;\
fill:#555}.grid{stroke:#ddd}.fault{fill:#d55e00;opacity:.13}table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;\
text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}td.n,td.h{white-space:nowrap}\
details{margin:.5em 0}.good{color:#00664b}.bad{color:#b00020}\
.legend,.dim{color:#666;font-size:.9em}summary{cursor:pointer}code{font-size:.92em}\
@media(prefers-color-scheme:dark){body{background:#16181b;color:#ddd}svg text{fill:#aaa}.grid{stroke:#333}\
.good{color:#4cc9a0}.bad{color:#ff7a85}.legend,.dim{color:#999}}";

impl Report {
    /// Formats the report as a self-contained HTML page.
    pub fn html(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_html(&mut out);
        out
    }

    fn write_html(&self, out: &mut String) -> std::fmt::Result {
        let title = escape(&format!("{}, seed {}", self.scenario, self.seed));
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        )?;
        let (class, word) = if self.passed { ("good", "passed") } else { ("bad", "failed") };
        writeln!(
            out,
            "<p>{} <b class=\"{class}\">{word}</b> <span class=\"dim\">{} of virtual time from {}</span></p>",
            escape(&self.about),
            human(self.seconds),
            self.began
        )?;
        self.write_numbers(out)?;
        self.write_verdicts(out)?;
        self.write_plots(out)?;
        self.write_worst(out)?;
        writeln!(out, "<p class=\"dim\">{} events, trace <code>{}</code></p>\n</body></html>", self.events, self.trace)
    }

    fn write_numbers(&self, out: &mut String) -> std::fmt::Result {
        let counts = self.outcomes;
        out.push_str("<h2>Messages</h2>\n<table>");
        for (name, value) in [
            ("written", self.written),
            ("copies delivered", counts.delivered),
            ("duplicates", counts.duplicates),
            ("bounced", counts.bounced),
            ("waiting in a queue", counts.waiting),
            ("lost", counts.lost),
            ("refused by the provider", self.refused),
            ("hops", self.hops),
            ("temporary failures", self.deferred),
        ] {
            write!(out, "<tr><td>{name}</td><td class=\"n\">{value}</td></tr>")?;
        }
        let latency = self.latency;
        let [p50, p95, p99, max] = [latency.p50, latency.p95, latency.p99, latency.max].map(human);
        writeln!(out, "</table>\n<p>Latency: p50 {p50}, p95 {p95}, p99 {p99}, longest {max}.</p>")
    }

    fn write_verdicts(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("<h2>Invariants and expectations</h2>\n<ul>");
        if self.violations.is_empty() {
            out.push_str("<li class=\"good\">\u{2713} every invariant held: no message lost, misdelivered or duplicated without cause</li>");
        }
        for Violation { promise, journey, what } in &self.violations {
            let journey = journey.map_or_else(String::new, |journey| journey.to_string());
            write!(
                out,
                "<li class=\"bad\">\u{2717} {}: <code>{journey}</code> {}</li>",
                escape(promise),
                escape(what)
            )?;
        }
        for Verdict { expected, found, held, messages } in &self.expectations {
            let (class, mark) = if *held { ("good", '\u{2713}') } else { ("bad", '\u{2717}') };
            write!(out, "<li class=\"{class}\">{mark} {}: {}", escape(expected), escape(found))?;
            messages.iter().try_for_each(|message| write!(out, "<br><code>{}</code>", escape(message)))?;
            out.push_str("</li>");
        }
        writeln!(out, "</ul>")
    }

    /// The intervals of the faults, in seconds since the start.
    fn shades(&self) -> Vec<Shade> {
        let since = |time: jiff::Timestamp| time.duration_since(self.began).as_secs_f64();
        let shade =
            |fault: &FaultInterval| (since(fault.from), fault.until.map_or(self.seconds, since), fault.what.clone());
        self.faults.iter().map(shade).collect()
    }

    fn write_plots(&self, out: &mut String) -> std::fmt::Result {
        let shades = self.shades();
        let buckets = self.distribution.iter().map(|bucket| (human(bucket.up_to), bucket.count as f64));
        writeln!(out, "<h2>Latency, up to</h2>\n{}", plot::bars(&buckets.collect::<Vec<_>>()))?;
        let queues = self.queues.iter().take(COLOURS.len()).map(|queue| Series {
            name: &queue.host,
            points: queue.samples.iter().map(|(at, length)| (*at, *length as f64)).collect(),
            steps: true,
        });
        let queues: Vec<_> = queues.collect();
        writeln!(out, "<h2>Queues</h2>\n{}", plot::lines(&queues, self.seconds, &shades))?;
        let interval = |name, of: fn(&super::Throughput) -> u64| Series {
            name,
            points: self.pace.iter().map(|interval| (interval.at, of(interval) as f64)).collect(),
            steps: true,
        };
        let throughput = [
            interval("copies delivered", |interval| interval.delivered),
            interval("temporary failures", |interval| interval.deferred),
        ];
        writeln!(
            out,
            "<h2>Deliveries and temporary failures</h2>\n{}",
            plot::lines(&throughput, self.seconds, &shades)
        )?;
        if !shades.is_empty() {
            writeln!(out, "<h2>Faults</h2>\n{}", plot::timeline(&shades, self.seconds))?;
        }
        Ok(())
    }

    fn write_worst(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("<h2>Slowest messages</h2>\n");
        for SlowestMessage { journey, recipient, outcome, events } in &self.worst {
            write!(
                out,
                "<details><summary><code>{journey}</code> for {}: {}</summary><table>",
                escape(&recipient.to_string()),
                escape(outcome)
            )?;
            let Some(first) = events.first() else {
                out.push_str("</table></details>");
                continue;
            };
            for event in events.iter().take(MAX_EVENTS) {
                let at = human(event.at.duration_since(first.at).as_secs_f64());
                write!(
                    out,
                    "<tr><td class=\"n\">+{at}</td><td class=\"h\">{}</td><td>{}</td></tr>",
                    escape(&event.host),
                    escape(&describe(event))
                )?;
            }
            if MAX_EVENTS < events.len() {
                write!(out, "<tr><td></td><td></td><td>and {} more</td></tr>", events.len() - MAX_EVENTS)?;
            }
            writeln!(out, "</table></details>")?;
        }
        Ok(())
    }
}

/// Describes an event.
fn describe(event: &Event) -> String {
    match &event.kind {
        EventKind::Received { protocol, from, .. } => format!("accepted from {from} by {protocol}"),
        EventKind::Expanded { recipient, targets, .. } => {
            format!("expanded {recipient} to {} addresses", targets.len())
        }
        EventKind::Reported { about, .. } => format!("sent a report about {about}"),
        EventKind::Relayed { to, reply, .. } => format!("relayed to {to}: {reply}"),
        EventKind::Deferred { reason, until, .. } => {
            let wait = human(until.duration_since(event.at).as_secs_f64());
            format!("deferred: {reason}; next attempt after {wait}")
        }
        EventKind::Failed { reason, .. } => format!("failed: {reason}"),
        EventKind::Held { .. } => "held".to_owned(),
        EventKind::Released { .. } => "released by the operator".to_owned(),
        EventKind::Deleted { .. } => "deleted by the operator".to_owned(),
        EventKind::Found { .. } => "found at a start".to_owned(),
        EventKind::Gone { .. } => "not found at a start".to_owned(),
        EventKind::Delivered { recipient, mailbox, uid, .. } => {
            format!("delivered to {recipient} in {mailbox}, UID {uid}")
        }
        EventKind::Retrieved { protocol, account, .. } => format!("retrieved by {account} over {protocol}"),
    }
}
