//! SASL (RFC 4422), both ends, without I/O: who may log in, shared by SMTP, POP3 and IMAP.
//!
//! ```text
//!   client line ──line::response──▶ Exchange::start / respond ──▶ Challenge ──line::encode──▶ client
//!                                        │
//!                                        ├─▶ Who(user) ──▶ the owner looks the secret up ──▶ Exchange::secret
//!                                        └─▶ Granted / Denied
//! ```
//!
//! The server's end is an [`Exchange`], the client's a [`Claim`]; [`mod@line`] is the base64 around both.
//! The exchange compares secrets itself, in the same time whether the user exists or not.

mod claim;
mod exchange;
pub mod line;
mod md5;
mod mechanism;
mod scram;

pub use claim::{Broken, Claim};
pub use exchange::{Exchange, Step};
pub use mechanism::{Mechanism, UnknownMechanism};
