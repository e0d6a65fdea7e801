//! The server side of IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051), without I/O.
//!
//! ```text
//!   bytes --parse--> Command --session--> Event::Request --owner, from its mailboxes--.
//!                       |                                                              |
//!                       '-- CAPABILITY, LOGIN, AUTHENTICATE, IDLE, ...                  v
//!   bytes <----------------------------------------------------- write: Session::out, Session::done
//! ```
//!
//! [`Structure`] is the MIME structure of a message, computed once; [`search`] evaluates search keys. A new extension
//! is a variant of [`Request`], [`fetch::Item`], [`search::Key`] or [`Code`], with its line in the parser's table.

mod append;
mod command;
mod comments;
pub mod fetch;
pub mod fuzzing;
mod listed_fields;
mod metadata;
mod notify;
mod parse;
mod quota;
pub mod search;
mod session;
pub mod sort;
mod structure;
mod summary;
mod sync;
pub mod thread;
mod value;
mod write;

pub use append::{Append, NewMessage, Replace};
pub use command::{Body, Command, List, ListReturn, MessageSet, Request, StatusItem, Store};
pub use listed_fields::{KeptHeader, is_listed_field};
pub use metadata::{Depth, GetMetadata, MAX_METADATA_BYTES, MetadataRequest};
pub use notify::{EventGroup, Events, Filter, Notify, SelectedEvents};
pub use quota::{QuotaRequest, Resource};
pub use session::{Event, Reply, Session, SessionConfig};
pub(crate) use structure::entries as address_entries;
pub use structure::{
    AddressList, Disposition, Envelope, EnvelopeAddress, Field, Part, PartContent, Span, Structure, decode_body,
    fields, has_binary, header_section, message_section, partial, pick_fields, unfold, without_binary,
};
pub use summary::{SEARCHED_FIELDS, Summary};
pub use sync::{ChangedSince, Enabled, Resync};
pub(crate) use value::SentDate;
pub use value::{
    Flags, Number, Numbers, SequenceSet, StoreMode, SystemFlags, Window, day_of, format_date_time, parse_date,
    parse_date_time, pattern_matches, utf7_decode, utf7_encode,
};
pub use write::{Attribute, Code, FetchReply, ListEntry, Outcome, ResponseBuffer, SearchReply};
