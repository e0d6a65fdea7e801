//! What happened to each message: the log of events of all hosts, and its journeys.
//!
//! Each host has an [`EventEmitter`], which records an [`Event`] for each stage of a message. Log lines, the table of
//! `postroad run`, the control interface, simulations and the tests all read the [`EventLog`] by a [`Subscription`], or
//! look up a [`Journey`] in it.
//!
//! ```text
//! log ─▶ index ─▶ status ─▶ event          memory
//!  └─▶ journal ─▶ sqlite                   store: saving, and answers from both
//! deletion ─▶ index, sqlite               journeys go with their messages
//! fault_history                           what was made to go wrong, and until when
//! sessions ─▶ session                     the conversations at the doors, with or without a message
//! ```

mod attempt;
mod deletion;
mod event;
mod fault_history;
mod index;
mod journal;
mod log;
mod session;
mod sessions;
mod sqlite;
mod status;
mod subscription;

pub use attempt::{AttemptDetails, Lookup, LookupOutcome, milliseconds};
pub use deletion::DeletedJourneys;
pub use event::{Event, EventKind, Protocol};
pub use fault_history::FaultRecord;
pub use index::JourneyFilter;
pub use journal::JourneyPage;
pub use log::{EventEmitter, EventLog};
pub use session::{Dialogue, Outcome, Recorder, Refusal, Session, TimedTranscript};
pub use sessions::{SessionFilter, SessionPage, Sessions};
pub use sqlite::{SCHEMA, is_deleted};
pub use status::{Journey, JourneyState, RecipientStatus};
pub use subscription::{Lagged, Subscription};
