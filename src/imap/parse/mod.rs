//! Parses bytes to commands, in two separate steps:
//!
//! ```text
//! bytes --Reader--> RawCommand (the lines of one command, and its literals) --command()--> Command
//! ```
//!
//! The reader only interprets line ends and `{n}`, so an invalid command can still be skipped as a whole.

mod append;
mod command;
mod create;
mod fetch;
mod list;
mod metadata;
mod notify;
mod quota;
mod reader;
mod scanner;
mod search;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use command::command;
pub(crate) use reader::{Limits, RawCommand, ReadResult, Reader, Refusal};

/// Deepest nesting of lists and search keys.
const MAX_DEPTH: usize = 50;

/// Why a command is invalid; the text is sent with `BAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// A syntax error.
    Syntax(&'static str),
    /// The charset of a search is unknown: `NO [BADCHARSET]`. RFC 9051 §6.4.4.
    Charset {
        /// Whether the result was to be saved.
        saves: bool,
    },
    /// An event is unknown: `NO [BADEVENT]`. RFC 5465 §3.1.
    Event,
}

type Parsed<T> = Result<T, ParseError>;

/// Returns a syntax error with this text, as the result of a parser.
fn bad<T>(why: &'static str) -> Parsed<T> {
    Err(ParseError::Syntax(why))
}
