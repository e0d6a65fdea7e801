//! The value types of mail: addresses, envelopes, messages and ids. No I/O, no clock, no randomness.
//!
//! [`Address`] and [`Envelope`] say where a message goes, [`Message`] holds its bytes, [`QueueId`] identifies it in
//! logs and trace fields.

mod address;
mod domain;
mod dsn;
mod envelope;
mod id;
mod message;
mod stamp;
mod subject;
mod transcript;
mod transfer_encoding;

pub use address::{Address, InvalidAddress};
pub use domain::domain_key;
pub use dsn::{Action, DeliveryReport, RecipientReport};
pub use envelope::{Body, Envelope, Notify, Recipient, Return, ReversePath};
pub use id::{InvalidId, JourneyId, QueueId};
pub use message::{BareLineEnds, Content, Message, has_bare_line_end, has_long_header, normalize, with_line_feeds};
pub use stamp::{Stamp, delivered_to, return_path};
pub use subject::base_subject;
pub use transcript::{Side, Transcript};
pub use transfer_encoding::{decode_base64, decode_quoted_printable};
