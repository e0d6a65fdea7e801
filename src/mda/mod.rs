//! The mail delivery agent: the mailbox store, LMTP into it, POP3 and IMAP out of it.
//!
//! ```text
//!  lmtp --deliver--> Mailboxes --view, letter--> pop3, imap
//!                       |  '----wakes----------------^  (IDLE)
//!                     store: durable before anybody is told
//! ```

mod mailboxes;

pub use mailboxes::{
    Changes, Copied, Delivered, Error, Listed, Mailbox, Mailboxes, Maildrop, Message, SCHEMA, SpecialUse, Status, Uid,
    View,
};
