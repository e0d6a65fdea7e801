//! What POP3 sees of an account: its INBOX, held by one session at a time. RFC 1939 §4, §8.

use std::sync::Arc;

use super::{Error, Mailbox, Mailboxes, Uid, View, lock, name};
use crate::mail::Letter;

/// The INBOX of an account as it was when the session began. IMAP sessions use it meanwhile; dropping this lets the
/// next POP3 session in.
pub struct Maildrop {
    mailbox: Mailbox,
    view: Arc<View>,
    _hold: Hold,
}

/// The account is held as long as this lives.
struct Hold {
    mailboxes: Mailboxes,
    account: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.mailboxes.0.held).remove(&self.account);
    }
}

impl Mailboxes {
    /// Holds the maildrop of an account, which is made if it is new.
    ///
    /// # Errors
    /// Another session holds it, or the store fails.
    pub async fn maildrop(&self, account: &str) -> Result<Maildrop, Error> {
        if !lock(&self.0.held).insert(account.to_owned()) {
            return Err(Error::InUse);
        }
        let hold = Hold { mailboxes: self.clone(), account: account.to_owned() };
        self.ensure_account(account).await?;
        let mailbox = self.open(account, name::INBOX)?;
        Ok(Maildrop { view: mailbox.view()?, mailbox, _hold: hold })
    }
}

impl Maildrop {
    /// Sizes and unique names of its messages, in order. The names hold as long as the message does: RFC 1939 §7 (UIDL).
    pub fn entries(&self) -> impl Iterator<Item = (u64, String)> {
        let uidvalidity = self.view.uidvalidity;
        self.view.messages.iter().map(move |message| (message.size, format!("{uidvalidity}.{}", message.uid)))
    }

    /// The message at this place, from 0; `None` when it is gone.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn letter(&self, index: usize) -> Result<Option<Letter>, Error> {
        self.uid(index).map_or(Ok(None), |uid| self.mailbox.letter(uid))
    }

    /// Removes the messages at these places, for good; those that are gone already do not matter.
    ///
    /// # Errors
    /// It is not stored, and none is removed.
    pub async fn remove(&self, indexes: &[usize]) -> Result<(), Error> {
        let uids: Vec<Uid> = indexes.iter().filter_map(|index| self.uid(*index)).collect();
        if uids.is_empty() {
            return Ok(());
        }
        self.mailbox.remove(uids).await.map(drop)
    }

    fn uid(&self, index: usize) -> Option<Uid> {
        self.view.messages.get(index).map(|message| message.uid)
    }
}
