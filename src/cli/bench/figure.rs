//! What was measured, and the letters it was measured with.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::world::Dice;

/// Octets of a letter, about.
const LETTER_OCTETS: usize = 4096;
/// No letter has fewer.
pub(super) const LETTER_OCTETS_MIN: usize = LETTER_OCTETS - 100;
/// So many letters from one to the next that SEARCH finds.
const RARE: u32 = 100;
/// What SEARCH looks for in subjects and in texts.
pub(super) const RARE_SUBJECT: &str = "quarterly";
pub(super) const RARE_TEXT: &str = "philatelist";

/// One case.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    pub(super) what: String,
    /// Of what.
    pub(super) unit: &'static str,
    /// More is better, or less.
    pub(super) better: &'static str,
    pub(super) value: f64,
}

impl Figure {
    pub(super) fn new(what: &str, unit: &'static str, better: &'static str, value: f64) -> Self {
        Self { what: what.to_owned(), unit, better, value }
    }

    pub(super) fn line(&self) -> String {
        let digits = if self.value < 100.0 { 2 } else { 0 };
        format!("{:<44} {:>14.digits$} {}", self.what, self.value, self.unit)
    }
}

/// Figures, each printed when it is known.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) list: Vec<Figure>,
    pub(super) quiet: bool,
    /// Only cases whose name begins like one of these are measured; without any, all.
    pub(super) only: Vec<String>,
}

impl Figures {
    /// Whether to measure this case.
    pub(super) fn wants(&self, what: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|start| what.starts_with(start.as_str()))
    }

    pub(super) fn add(&mut self, figure: Figure) {
        if !self.quiet {
            println!("{}", figure.line());
        }
        self.list.push(figure);
    }

    /// So many of something a second.
    pub(super) fn rate(&mut self, what: &str, unit: &'static str, count: f64, took: Duration) {
        self.add(Figure::new(what, unit, "more", count / took.as_secs_f64()));
    }
}

/// Does something once to warm up, and then again and again for a time: how often, and how long that took.
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

/// Whether an answer is as long as what is told of so many messages.
pub(super) fn whole(messages: usize, least: usize, octets: usize) -> anyhow::Result<()> {
    let least = messages * least;
    anyhow::ensure!(least <= octets, "{messages} messages came in {octets} octets; there are {least} at least");
    Ok(())
}

/// A letter of 4 KiB, not the same as any other.
pub(super) fn letter(number: u32, dice: &Dice) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "co", "den", "fi", "gul", "ha", "jor", "ke", "lam", "mi", "no", "per", "ra", "si", "tun", "vo"];
    let word = || {
        let drawn = dice.draw();
        let syllable = |at: u32| SYLLABLES[(drawn >> (4 * at) & 15) as usize];
        (0..2 + (drawn >> 32 & 1) as u32).map(syllable).collect::<String>()
    };
    let is_rare = number.is_multiple_of(RARE);
    let subject = if is_rare { RARE_SUBJECT.to_owned() } else { word() };
    let mut text = format!(
        "Return-Path: <ann@a.test>\r\nReceived: from a.test by b.test with ESMTP id {number}; Mon, 23 Nov 2026 08:00:00 \
         +0000\r\nFrom: \"Ann Author\" <ann@a.test>\r\nTo: Bob Reader <bob@b.test>, carol@c.test\r\nCc: dora@d.test\r\n\
         Subject: The {subject} report on {} no. {number}\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: \
         <{number}.{:x}@a.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n",
        word(),
        dice.draw()
    );
    if is_rare {
        text.push_str(&format!("A word for the {RARE_TEXT} among us.\r\n"));
    }
    let mut line = String::new();
    while text.len() + line.len() < LETTER_OCTETS {
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
    fn letters_have_4_kib_and_one_in_a_hundred_is_found() {
        let dice = Dice::seeded(1);
        let letters: Vec<String> = (0..200).map(|number| letter(number, &dice)).collect();
        assert!(letters.iter().all(|letter| letter.len().abs_diff(LETTER_OCTETS) <= LETTER_OCTETS - LETTER_OCTETS_MIN));
        let found = |text: &str| letters.iter().filter(|letter| letter.contains(text)).count();
        assert_eq!((found(RARE_SUBJECT), found(RARE_TEXT)), (2, 2));
        assert!(letters.iter().all(|letter| letter.lines().all(|line| line.len() <= 120)));
    }
}
