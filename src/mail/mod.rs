//! Values of the field: what is written on a letter and what is inside. No I/O, no clock, no randomness.
//!
//! [`Address`] and [`Envelope`] say where a message goes, [`Letter`] is its bytes, [`QueueId`] its name in
//! logs and trace headers.

mod address;
mod dialogue;
mod domain;
mod dsn;
mod envelope;
mod id;
mod letter;
mod stamp;
mod transfer_encoding;

pub use address::{Address, InvalidAddress};
pub use dialogue::{Dialogue, Speaker};
pub use domain::domain_key;
pub use dsn::{Action, DeliveryReport, RecipientReport};
pub use envelope::{Body, Envelope, Notify, Recipient, Return, ReversePath};
pub use id::{InvalidId, JourneyId, QueueId};
pub(crate) use letter::trace_len;
pub use letter::{BareLineEnds, Content, Letter, has_bare_line_end, normalize, with_line_feeds};
pub use stamp::{Stamp, delivered_to, return_path};
pub use transfer_encoding::{decode_base64, decode_quoted_printable};
