//! What a client brings: `APPEND` and `REPLACE`. RFC 9051 §6.3.12, RFC 3502, RFC 8508.

use bytes::Bytes;
use jiff::Timestamp;

use super::command::MessageSet;
use super::value::Flags;

/// `APPEND`: messages to file, all of them or none.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// Where to.
    pub mailbox: String,
    /// At least one. RFC 3502 §6.3.11.
    pub messages: Vec<NewMessage>,
}

/// `REPLACE`: a message comes, and another one goes, at one moment. RFC 8508 §3.3.
#[derive(Clone, Debug, PartialEq)]
pub struct Replace {
    /// The one that goes.
    pub old: MessageSet,
    /// Where the new one comes to.
    pub mailbox: String,
    /// The new one.
    pub message: NewMessage,
}

/// One message to file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewMessage {
    /// With which flags.
    pub flags: Flags,
    /// When it arrived, if the client says so.
    pub internal_date: Option<Timestamp>,
    /// The message as the client sent it.
    pub message: Bytes,
    /// Whether it came as a literal8, which may hold any octets. RFC 3516 §4.4, RFC 6855 §4.
    pub is_binary: bool,
}
