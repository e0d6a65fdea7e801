//! IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051), the server end, without I/O.

mod value;

pub use value::{Flags, StoreMode, SystemFlags};
