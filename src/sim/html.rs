//! The report as one page that needs nothing else: plots inline, no script, nothing from outside.

use std::fmt::Write;

use super::junit::escape;
use super::plot::{self, COLOURS, Series, Shade};
use super::{Happened, Report, Verdict, Violation, Worst, human};
use crate::journey::{Event, Step};

/// Events shown of each of the worst messages.
const EVENTS_MAX: usize = 40;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222;\
background:#fff}h1{margin-bottom:0}h2{margin-top:1.6em;font-size:1.15em}svg{width:100%;height:auto}svg text{font-size:11px;\
fill:#555}.grid{stroke:#ddd}.fault{fill:#d55e00;opacity:.13}table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;\
text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}td.n,td.h{white-space:nowrap}\
details{margin:.5em 0}.good{color:#00664b}.bad{color:#b00020}\
.legend,.dim{color:#666;font-size:.9em}summary{cursor:pointer}code{font-size:.92em}\
@media(prefers-color-scheme:dark){body{background:#16181b;color:#ddd}svg text{fill:#aaa}.grid{stroke:#333}\
.good{color:#4cc9a0}.bad{color:#ff7a85}.legend,.dim{color:#999}}";

impl Report {
    /// As one self-contained page.
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
        let fates = self.fates;
        out.push_str("<h2>Messages</h2>\n<table>");
        for (name, value) in [
            ("written", self.written),
            ("copies delivered", fates.delivered),
            ("of them more than once", fates.duplicates),
            ("bounced", fates.bounced),
            ("waiting in a queue", fates.waiting),
            ("lost", fates.lost),
            ("refused by the provider", self.refused),
            ("hops", self.hops),
            ("attempts that failed for now", self.deferred),
        ] {
            write!(out, "<tr><td>{name}</td><td class=\"n\">{value}</td></tr>")?;
        }
        let took = self.took;
        let [p50, p95, p99, max] = [took.p50, took.p95, took.p99, took.max].map(human);
        writeln!(out, "</table>\n<p>Journey: p50 {p50}, p95 {p95}, p99 {p99}, longest {max}.</p>")
    }

    fn write_verdicts(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("<h2>Promises and expectations</h2>\n<ul>");
        if self.violations.is_empty() {
            out.push_str("<li class=\"good\">\u{2713} every promise held: nothing lost, misfiled or sent twice without need</li>");
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

    /// Stretches of time in which something was wrong, in seconds since the start.
    fn shades(&self) -> Vec<Shade> {
        let since = |time: jiff::Timestamp| time.duration_since(self.began).as_secs_f64();
        let shade = |happened: &Happened| {
            (since(happened.from), happened.until.map_or(self.seconds, since), happened.what.clone())
        };
        self.faults.iter().map(shade).collect()
    }

    fn write_plots(&self, out: &mut String) -> std::fmt::Result {
        let shades = self.shades();
        let buckets = self.distribution.iter().map(|bucket| (human(bucket.up_to), bucket.count as f64));
        writeln!(out, "<h2>How long journeys took, up to</h2>\n{}", plot::bars(&buckets.collect::<Vec<_>>()))?;
        let queues = self.queues.iter().take(COLOURS.len()).map(|queue| Series {
            name: &queue.host,
            points: queue.samples.iter().map(|(at, length)| (*at, *length as f64)).collect(),
            steps: true,
        });
        let queues: Vec<_> = queues.collect();
        writeln!(out, "<h2>Queues</h2>\n{}", plot::lines(&queues, self.seconds, &shades))?;
        let pace = |name, of: fn(&super::Pace) -> u64| Series {
            name,
            points: self.pace.iter().map(|pace| (pace.at, of(pace) as f64)).collect(),
            steps: true,
        };
        let paces = [
            pace("copies delivered", |pace| pace.delivered),
            pace("attempts that failed for now", |pace| pace.deferred),
        ];
        writeln!(out, "<h2>Deliveries and attempts</h2>\n{}", plot::lines(&paces, self.seconds, &shades))?;
        if !shades.is_empty() {
            writeln!(out, "<h2>What went wrong</h2>\n{}", plot::timeline(&shades, self.seconds))?;
        }
        Ok(())
    }

    fn write_worst(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("<h2>The worst messages</h2>\n");
        for Worst { journey, recipient, fate, events } in &self.worst {
            write!(
                out,
                "<details><summary><code>{journey}</code> for {}: {}</summary><table>",
                escape(&recipient.to_string()),
                escape(fate)
            )?;
            let Some(first) = events.first() else {
                out.push_str("</table></details>");
                continue;
            };
            for event in events.iter().take(EVENTS_MAX) {
                let at = human(event.at.duration_since(first.at).as_secs_f64());
                write!(
                    out,
                    "<tr><td class=\"n\">+{at}</td><td class=\"h\">{}</td><td>{}</td></tr>",
                    escape(&event.host),
                    escape(&words(event))
                )?;
            }
            if EVENTS_MAX < events.len() {
                write!(out, "<tr><td></td><td></td><td>and {} more</td></tr>", events.len() - EVENTS_MAX)?;
            }
            writeln!(out, "</table></details>")?;
        }
        Ok(())
    }
}

/// An event in a sentence.
fn words(event: &Event) -> String {
    match &event.step {
        Step::Received { protocol, from, .. } => format!("took it from {from} by {protocol}"),
        Step::Expanded { recipient, targets, .. } => format!("led it on from {recipient} to {} others", targets.len()),
        Step::Reported { about, .. } => format!("wrote a report about {about}"),
        Step::Relayed { to, reply, .. } => format!("passed it to {to}: {reply}"),
        Step::Deferred { reason, until, .. } => {
            let wait = human(until.duration_since(event.at).as_secs_f64());
            format!("could not pass it on: {reason}; next attempt {wait} later")
        }
        Step::Failed { reason, .. } => format!("gave up: {reason}"),
        Step::Deleted { .. } => "deleted it, as the operator asked".to_owned(),
        Step::Delivered { recipient, mailbox, uid, .. } => format!("filed it for {recipient} in {mailbox}, uid {uid}"),
        Step::Retrieved { protocol, account, .. } => format!("handed it to {account} by {protocol}"),
    }
}
