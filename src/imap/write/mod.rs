//! From values to the bytes of replies. RFC 9051 §7, §9 (response).
//!
//! Everything is pushed straight into one growing buffer; message parts of some size go out as slices of the shared
//! message instead.

mod body;
mod envelope;
mod fetch;
mod out;
mod reply;
#[cfg(test)]
mod tests;

pub use fetch::FetchReply;
pub use out::Out;
pub use reply::{Attribute, Code, ListEntry, Outcome, SearchReply};
