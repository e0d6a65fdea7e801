//! Measured figures, and the messages they are measured with.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::world::Rng;

/// The approximate size of a message.
const MESSAGE_BYTES: usize = 4096;
/// The smallest size of a message.
pub(super) const MIN_MESSAGE_BYTES: usize = MESSAGE_BYTES - 100;
/// One in this many messages matches SEARCH.
const RARE_INTERVAL: u32 = 100;
/// The words that SEARCH looks for in subjects and in texts.
pub(super) const RARE_SUBJECT: &str = "quarterly";
pub(super) const RARE_TEXT: &str = "philatelist";

/// One measured value.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    pub(super) what: String,
    /// The unit.
    pub(super) unit: &'static str,
    /// Whether `more` or `less` is better.
    pub(super) better: &'static str,
    pub(super) value: f64,
}

impl Figure {
    pub(super) fn new(what: &str, unit: &'static str, better: &'static str, value: f64) -> Self {
        Self { what: what.to_owned(), unit, better, value }
    }

    /// The figure as a line: name, value and unit; values below 100 have two decimals, others none.
    pub(super) fn line(&self) -> String {
        let digits = if self.value < 100.0 { 2 } else { 0 };
        format!("{:<44} {:>14.digits$} {}", self.what, self.value, self.unit)
    }
}

/// Figures, each printed as soon as it is measured.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) list: Vec<Figure>,
    pub(super) quiet: bool,
    /// Measures only cases whose name begins with one of these; all if empty.
    pub(super) only: Vec<String>,
}

impl Figures {
    /// Whether the user wants this case measured: its name, `what`, begins with one of `only`, or `only` is empty.
    pub(super) fn wants(&self, what: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|start| what.starts_with(start.as_str()))
    }

    /// Adds a figure to the list, and prints its line unless `quiet`.
    pub(super) fn add(&mut self, figure: Figure) {
        if !self.quiet {
            println!("{}", figure.line());
        }
        self.list.push(figure);
    }

    /// Adds the figure `count` per second of `elapsed`, of which more is better; prints it unless `quiet`.
    pub(super) fn rate(&mut self, what: &str, unit: &'static str, count: f64, elapsed: Duration) {
        self.add(Figure::new(what, unit, "more", count / elapsed.as_secs_f64()));
    }
}

/// Runs `round` once to warm up, then at least once and until `time` has passed. Returns the number of rounds and the
/// time that they took, both without the first; stops at the first error.
pub(super) async fn repeat(
    time: Duration,
    mut round: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<(u32, Duration)> {
    round().await?;
    let (began, mut rounds) = (Instant::now(), 0);
    while rounds == 0 || began.elapsed() < time {
        round().await?;
        rounds += 1;
    }
    Ok((rounds, began.elapsed()))
}

/// Returns an error if a response of `bytes` bytes about `messages` messages has less than `least` bytes for each.
pub(super) fn check_length(messages: usize, least: usize, bytes: usize) -> anyhow::Result<()> {
    let least = messages * least;
    anyhow::ensure!(
        least <= bytes,
        "the response about {messages} messages has {bytes} bytes, but at least {least} were expected"
    );
    Ok(())
}

/// A message of about 4 KiB with its header, of random words; `number` makes it unique. Every hundredth number, from 0,
/// has the words that SEARCH looks for in its subject and its text.
pub(super) fn message(number: u32, rng: &Rng) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "co", "den", "fi", "gul", "ha", "jor", "ke", "lam", "mi", "no", "per", "ra", "si", "tun", "vo"];
    let word = || {
        let drawn = rng.next_u64();
        let syllable = |at: u32| SYLLABLES[(drawn >> (4 * at) & 15) as usize];
        (0..2 + (drawn >> 32 & 1) as u32).map(syllable).collect::<String>()
    };
    let is_rare = number.is_multiple_of(RARE_INTERVAL);
    let subject = if is_rare { RARE_SUBJECT.to_owned() } else { word() };
    let mut text = format!(
        "Return-Path: <ann@a.test>\r\nReceived: from a.test by b.test with ESMTP id {number}; Mon, 23 Nov 2026 08:00:00 \
         +0000\r\nFrom: \"Ann Author\" <ann@a.test>\r\nTo: Bob Reader <bob@b.test>, carol@c.test\r\nCc: dora@d.test\r\n\
         Subject: The {subject} report on {} no. {number}\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: \
         <{number}.{:x}@a.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n",
        word(),
        rng.next_u64()
    );
    if is_rare {
        text.push_str(&format!("A word for the {RARE_TEXT} among us.\r\n"));
    }
    let mut line = String::new();
    while text.len() + line.len() < MESSAGE_BYTES {
        line.push_str(&word());
        line.push(' ');
        if 70 < line.len() {
            text.push_str(line.trim_end());
            text.push_str("\r\n");
            line.clear();
        }
    }
    text.push_str(line.trim_end());
    text.push_str("\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_4_kib_and_one_in_a_hundred_matches_search() {
        let rng = Rng::seeded(1);
        let messages: Vec<String> = (0..200).map(|number| message(number, &rng)).collect();
        assert!(
            messages.iter().all(|message| message.len().abs_diff(MESSAGE_BYTES) <= MESSAGE_BYTES - MIN_MESSAGE_BYTES)
        );
        let found = |text: &str| messages.iter().filter(|message| message.contains(text)).count();
        assert_eq!((found(RARE_SUBJECT), found(RARE_TEXT)), (2, 2));
        assert!(messages.iter().all(|message| message.lines().all(|line| line.len() <= 120)));
    }
}
