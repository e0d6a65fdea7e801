//! What happened to each message: events from every actor, and the audit over them.
//!
//! Every actor holds a [`Recorder`] and reports one [`Event`] a step. Log lines, the table of `postroad run`, the control
//! interface and the tests read this same stream; nothing is worked out twice.

mod audit;
mod event;
mod recorder;

pub use audit::{Audit, Fate, Story};
pub use event::{Event, Protocol, Step};
pub use recorder::{Journal, Recorder};
