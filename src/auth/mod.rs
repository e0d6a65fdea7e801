//! SASL (RFC 4422), client and server, without I/O; shared by SMTP, POP3 and IMAP.
//!
//! ```text
//!   client line ──line::response──▶ SaslServer::start / respond ──▶ Challenge ──line::encode──▶ client
//!                                        │
//!                                        ├─▶ NeedSecret(user) ──▶ the owner looks up the secret ──▶ SaslServer::secret
//!                                        └─▶ Granted / Denied
//! ```
//!
//! The server's end is an [`SaslServer`], the client's a [`SaslClient`]; [`mod@line`] is the base64 around both.
//! The server compares secrets itself, in a time that does not depend on whether the user exists.

mod client;
pub mod line;
mod md5;
mod mechanism;
mod scram;
mod server;

pub use client::{SaslClient, SaslError};
pub use md5::hex as md5_hex;
pub use mechanism::{Mechanism, UnknownMechanism};
pub use server::{SaslServer, Step};
