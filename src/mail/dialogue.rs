//! What the two ends of a conversation said, line by line, for people to read.

use serde::{Deserialize, Serialize};

/// A dialogue keeps this many lines; what follows is only counted.
const LINES_MAX: usize = 400;
/// Longer lines are cut to this many characters.
const LINE_CHARS_MAX: usize = 300;

/// Which end spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaker {
    /// The end that connected.
    #[serde(rename = "C")]
    Client,
    /// The end that listened.
    #[serde(rename = "S")]
    Server,
}

/// A bounded record of a conversation. Secrets and message data never enter it; a note stands in their place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// Who said what, in order.
    pub lines: Vec<(Speaker, String)>,
    /// How many lines came after the record was full.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Dialogue {
    /// Notes one line, without its line end.
    pub fn note(&mut self, speaker: Speaker, line: &str) {
        if self.lines.len() == LINES_MAX {
            self.dropped += 1;
            return;
        }
        let line = line.trim_end_matches(['\r', '\n']);
        let cut = line.char_indices().nth(LINE_CHARS_MAX).map_or(line.len(), |(at, _)| at);
        let more = if cut < line.len() { "…" } else { "" };
        self.lines.push((speaker, format!("{}{more}", &line[..cut])));
    }

    /// Notes several lines of one speaker, as they stood on the wire.
    pub fn note_lines(&mut self, speaker: Speaker, lines: &str) {
        lines.lines().for_each(|line| self.note(speaker, line));
    }

    /// Notes that message data went by, which the record leaves out.
    pub fn note_data(&mut self, speaker: Speaker, octets: usize) {
        self.note(speaker, &format!("({octets} octets of message)"));
    }
}
