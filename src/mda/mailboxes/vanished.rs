//! UIDs of expunged messages, with the modification sequence of that change. RFC 7162 §3.2.
//!
//! Every expunge records the UID and its modification sequence. The oldest records are deleted when there are too many;
//! a client that asks for changes before them gets every UID that does not exist now, as RFC 7162 §3.2.5.1 allows.

use super::{Error, Mailbox, sqlite};
use crate::imap::Numbers;

impl Mailbox {
    /// Those of the `uids` that were expunged after this modification sequence. If the records of expunged messages do
    /// not go back so far, all of them below UIDNEXT that do not exist now, also those expunged earlier or that never
    /// existed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn vanished_since(&self, modseq: u64, uids: &Numbers) -> Result<Vec<u32>, Error> {
        let id = self.shared.id;
        let known = self.mailboxes.store.read(|connection| sqlite::expunged_since(connection, id, modseq))?;
        match known {
            Some(expunged) => Ok(expunged.into_iter().filter(|uid| uids.contains(*uid)).collect()),
            None => {
                let view = self.view()?;
                let missing = |uid: &u32| view.messages.find(*uid).is_none();
                // UIDs from the next one on never existed.
                Ok(uids.iter().take_while(|uid| *uid < view.uidnext).filter(missing).collect())
            }
        }
    }
}
