//! The commands that add messages: `APPEND` and `REPLACE`. RFC 9051 §6.3.12, RFC 3502, RFC 8508.

use bytes::Bytes;
use jiff::Timestamp;

use super::command::MessageSet;
use super::value::Flags;

/// `APPEND`: adds messages to a mailbox, all of them or none.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The target mailbox.
    pub mailbox: String,
    /// At least one. RFC 3502 §6.3.11.
    pub messages: Vec<NewMessage>,
}

/// `REPLACE`: adds one message and removes another, atomically. RFC 8508 §3.3.
#[derive(Clone, Debug, PartialEq)]
pub struct Replace {
    /// The message to remove.
    pub old: MessageSet,
    /// The mailbox of the new message.
    pub mailbox: String,
    /// The new message.
    pub message: NewMessage,
}

/// One message to add.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewMessage {
    /// Its flags.
    pub flags: Flags,
    /// The internal date, if the client gave one.
    pub internal_date: Option<Timestamp>,
    /// The message as sent by the client.
    pub message: Bytes,
}
