//! The status line of a reply. RFC 1939 §3.

use super::{Failure, Line, Lines, Side, Transcript};

/// `+OK` or `-ERR`, with the text behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Ok(String),
    Err(String),
}

impl Reply {
    /// Takes the next status line and records it in the transcript, if there is one; `None` until it has come whole.
    /// Fails if it is too long, or begins neither with `+OK` nor with `-ERR`.
    pub(super) fn read(lines: &mut Lines, transcript: &mut Option<Transcript>) -> Result<Option<Self>, Failure> {
        let line = match lines.next() {
            None => return Ok(None),
            Some(Line::TooLong) => return Err(Failure::Violation("a status line without end")),
            Some(Line::Http) => return Err(Failure::Violation("a reply is neither +OK nor -ERR")),
            Some(Line::Whole(line)) => line,
        };
        if let Some(transcript) = transcript {
            transcript.note(Side::Server, &line);
        }
        let (status, text) = line.split_once(' ').unwrap_or((&line, ""));
        match status {
            "+OK" => Ok(Some(Self::Ok(text.to_owned()))),
            "-ERR" => Ok(Some(Self::Err(text.to_owned()))),
            _ => Err(Failure::Violation("a reply is neither +OK nor -ERR")),
        }
    }
}
