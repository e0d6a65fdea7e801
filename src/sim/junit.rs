//! The report as JUnit XML, for build servers: one test case per invariant and expectation.

use std::fmt::Write;

use super::{Report, Violation};

/// The invariants of every run, as in [`Violation::promise`].
const INVARIANTS: [&str; 6] = [
    "nothing is lost",
    "nothing is misdelivered",
    "duplicates only where a reply was lost",
    "one bounce per failure",
    "no bounce for a null sender",
    "nothing leaks",
];

impl Report {
    /// Formats the report as JUnit XML: a test case for each invariant and each expectation, which fails if that did
    /// not hold.
    pub fn junit(&self) -> String {
        let invariants = INVARIANTS.iter().map(|promise| {
            let broken: Vec<_> = self.violations.iter().filter(|violation| violation.promise == *promise).collect();
            ((*promise).to_owned(), broken.into_iter().map(line).collect::<Vec<_>>())
        });
        let expected = self.expectations.iter().map(|verdict| {
            let found = (!verdict.held).then(|| format!("found {}", verdict.found));
            (verdict.expected.clone(), found.into_iter().chain(verdict.messages.iter().cloned()).collect())
        });
        let cases: Vec<(String, Vec<String>)> = invariants.chain(expected).collect();
        let failures = cases.iter().filter(|(_, lines)| !lines.is_empty()).count();
        let name = escape(&format!("{} seed {}", self.scenario, self.seed));
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" time=\"{}\">\n",
            cases.len(),
            self.seconds
        );
        for (case, lines) in &cases {
            let head = format!("  <testcase classname=\"{name}\" name=\"{}\"", escape(case));
            // Writing to a String cannot fail.
            let _ = match lines.first() {
                None => writeln!(out, "{head}/>"),
                Some(first) => writeln!(
                    out,
                    "{head}>\n    <failure message=\"{}\">{}</failure>\n  </testcase>",
                    escape(first),
                    escape(&lines.join("\n"))
                ),
            };
        }
        out + "</testsuite>\n"
    }
}

/// A violation in one line, with its journey if it has one.
fn line(violation: &Violation) -> String {
    let journey = violation.journey.map_or_else(String::new, |journey| format!("{journey}: "));
    format!("{journey}{}", violation.what)
}

/// Escapes text for XML and HTML, including attribute values; control characters become U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let escaped = text.chars().map(|char| match char {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        char if char.is_control() && !matches!(char, '\n' | '\t') => "\u{fffd}".to_owned(),
        char => char.to_string(),
    });
    escaped.collect()
}
