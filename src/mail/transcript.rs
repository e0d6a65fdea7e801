//! A readable transcript of one protocol connection, line by line.

use serde::{Deserialize, Serialize, Serializer};

/// Maximum number of lines in a transcript; further lines are only counted.
const MAX_LINES: usize = 400;
/// Longer lines are truncated to this many characters.
const MAX_LINE_CHARS: usize = 300;

/// The end of a connection that sent a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Side {
    /// The end that connected.
    #[serde(rename = "C")]
    Client,
    /// The end that listened.
    #[serde(rename = "S")]
    Server,
}

/// The bounded transcript of a connection. Secrets and message data are replaced by a short note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Lines<String>")]
pub struct Transcript {
    /// All lines without separators: one allocation, since there may be thousands of transcripts.
    text: String,
    /// For each line its sender and its end in `text`.
    ends: Vec<(Side, u32)>,
    /// Number of lines that were dropped because the transcript was full.
    pub dropped: usize,
}

/// The serialized form: pairs of a side and a line.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Transcript)]
struct Lines<T> {
    #[schema(value_type = Vec<(Side, String)>)]
    lines: Vec<(Side, T)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    dropped: usize,
}

/// Whether the count of dropped lines is 0, and is left out when serialized.
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl utoipa::PartialSchema for Transcript {
    /// The schema of the serialized form, `Lines`.
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        Lines::<String>::schema()
    }
}

impl utoipa::ToSchema for Transcript {
    /// Adds the schemas that the serialized form, `Lines`, refers to.
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        Lines::<String>::schemas(schemas);
    }
}

impl Serialize for Transcript {
    /// Serializes as `Lines`: pairs of a side and a line, and the number of dropped lines.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Lines { lines: self.lines().collect(), dropped: self.dropped }.serialize(serializer)
    }
}

impl From<Lines<String>> for Transcript {
    /// Notes each line of the serialized form; those beyond the limit are added to its dropped ones.
    fn from(lines: Lines<String>) -> Self {
        let mut transcript = Self::default();
        lines.lines.iter().for_each(|(side, line)| transcript.note(*side, line));
        transcript.dropped += lines.dropped;
        transcript
    }
}

impl Transcript {
    /// The lines in order, each with the side that sent it.
    pub fn lines(&self) -> impl Iterator<Item = (Side, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end as usize));
        self.ends.iter().zip(starts).map(|((side, end), start)| (*side, &self.text[start..*end as usize]))
    }

    /// The number of lines that are kept; dropped ones do not count.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no lines are kept.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Approximate memory use in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.ends)
    }

    /// Adds one line, without its line end; one of more than 300 characters is cut there, and `…` added. A transcript
    /// of 400 lines only counts it as dropped.
    pub fn note(&mut self, side: Side, line: &str) {
        if self.ends.len() == MAX_LINES {
            self.dropped += 1;
            return;
        }
        let line = line.trim_end_matches(['\r', '\n']);
        let cut = line.char_indices().nth(MAX_LINE_CHARS).map_or(line.len(), |(at, _)| at);
        self.text.push_str(&line[..cut]);
        if cut < line.len() {
            self.text.push('…');
        }
        self.ends.push((side, self.text.len() as u32));
    }

    /// Adds each line of a text of one side, as it was on the wire.
    pub fn note_lines(&mut self, side: Side, lines: &str) {
        lines.lines().for_each(|line| self.note(side, line));
    }

    /// Adds the line `(N bytes of message data)`, in place of that data. A full transcript only counts it as dropped.
    pub fn note_data(&mut self, side: Side, bytes: usize) {
        match self.ends.len() == MAX_LINES {
            true => self.dropped += 1,
            false => self.note(side, &format!("({bytes} bytes of message data)")),
        }
    }

    /// Adds the lines of another transcript, as far as the limit of lines allows, and its count of dropped lines.
    pub fn append(&mut self, other: &Self) {
        other.lines().for_each(|(side, line)| self.note(side, line));
        self.dropped += other.dropped;
    }
}
