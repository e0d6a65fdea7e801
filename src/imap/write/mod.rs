//! Writes responses. RFC 9051 §7, §9 (response).
//!
//! Everything is appended to one growing buffer, except large parts of messages, which are sent as slices of the shared
//! message.

mod body;
mod buffer;
mod envelope;
mod fetch;
mod reply;
#[cfg(test)]
mod tests;

pub use buffer::ResponseBuffer;
pub use fetch::FetchReply;
pub use reply::{Attribute, Code, ListEntry, Outcome, SearchReply};
