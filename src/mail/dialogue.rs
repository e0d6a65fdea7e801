//! What the two ends of a conversation said, line by line, for people to read.

use serde::{Deserialize, Serialize, Serializer};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Record<String>")]
pub struct Dialogue {
    /// All lines, one behind the other: there may be thousands of conversations.
    text: String,
    /// Who spoke each of them, and where it ends.
    ends: Vec<(Speaker, u32)>,
    /// How many lines came after the record was full.
    pub dropped: usize,
}

/// As others read it.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    lines: Vec<(Speaker, T)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    dropped: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Serialize for Dialogue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record { lines: self.lines().collect(), dropped: self.dropped }.serialize(serializer)
    }
}

impl From<Record<String>> for Dialogue {
    fn from(record: Record<String>) -> Self {
        let mut dialogue = Self::default();
        record.lines.iter().for_each(|(speaker, line)| dialogue.note(*speaker, line));
        dialogue.dropped += record.dropped;
        dialogue
    }
}

impl Dialogue {
    /// Who said what, in order.
    pub fn lines(&self) -> impl Iterator<Item = (Speaker, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end as usize));
        self.ends.iter().zip(starts).map(|((speaker, end), start)| (*speaker, &self.text[start..*end as usize]))
    }

    /// Whether nobody said anything.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Octets of memory that it takes, roughly.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.ends)
    }

    /// Notes one line, without its line end.
    pub fn note(&mut self, speaker: Speaker, line: &str) {
        if self.ends.len() == LINES_MAX {
            self.dropped += 1;
            return;
        }
        let line = line.trim_end_matches(['\r', '\n']);
        let cut = line.char_indices().nth(LINE_CHARS_MAX).map_or(line.len(), |(at, _)| at);
        self.text.push_str(&line[..cut]);
        if cut < line.len() {
            self.text.push('…');
        }
        self.ends.push((speaker, self.text.len() as u32));
    }

    /// Notes several lines of one speaker, as they stood on the wire.
    pub fn note_lines(&mut self, speaker: Speaker, lines: &str) {
        lines.lines().for_each(|line| self.note(speaker, line));
    }

    /// Notes that message data went by, which the record leaves out.
    pub fn note_data(&mut self, speaker: Speaker, octets: usize) {
        self.note(speaker, &format!("({octets} octets of message)"));
    }

    /// Notes what was said in another conversation.
    pub fn append(&mut self, other: &Self) {
        other.lines().for_each(|(speaker, line)| self.note(speaker, line));
        self.dropped += other.dropped;
    }
}
