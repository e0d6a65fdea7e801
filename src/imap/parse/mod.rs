//! From bytes to commands, in two steps that are never mixed:
//!
//! ```text
//! bytes --Reader--> Frame (the lines of one command, its literals aside) --command()--> Command
//! ```
//!
//! The reader knows only line ends and `{n}`, so a command that makes no sense is still skipped whole.

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
pub(crate) use reader::{Frame, Limits, Read, Reader, Refusal};

/// How deep lists and search keys may nest.
const DEPTH_MAX: usize = 50;

/// Why a command makes no sense; the text goes out with `BAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It is not what the grammar wants here.
    Syntax(&'static str),
    /// The charset of a search is not known: `NO [BADCHARSET]`. RFC 9051 §6.4.4.
    Charset {
        /// Whether what it finds was to be saved.
        saves: bool,
    },
    /// An event is not known: `NO [BADEVENT]`. RFC 5465 §3.1.
    Event,
}

type Parsed<T> = Result<T, Bad>;

/// What is wrong where the scanner stands.
fn bad<T>(why: &'static str) -> Parsed<T> {
    Err(Bad::Syntax(why))
}
