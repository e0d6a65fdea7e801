//! What happened to each message: the log of events of all hosts, and an index of it by journey.
//!
//! Each host has an [`EventEmitter`], which records an [`Event`] for each stage of a message. Log lines, the table of
//! `postroad run`, the control interface and the tests all read the [`EventLog`].

mod event;
mod index;
mod log;

pub use event::{Event, EventKind, Protocol};
pub use index::{Journey, JourneyIndex, RecipientStatus};
pub use log::{EventEmitter, EventLog};
