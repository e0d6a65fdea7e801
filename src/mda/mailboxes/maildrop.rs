//! The POP3 view of an account: its INBOX, locked by one session at a time. RFC 1939 §4, §8.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Error, Mailbox, Mailboxes, Uid, View, name};
use crate::mail::Message;
use crate::sync::lock;

/// The INBOX of an account as it was when the session began. IMAP sessions may use it meanwhile; dropping this releases
/// the lock.
pub struct Maildrop {
    mailbox: Mailbox,
    view: Arc<View>,
    /// Messages read ahead, with their places, ascending.
    read_ahead: VecDeque<(usize, Message)>,
    /// The place that a client which reads in order asks for next.
    next: usize,
    _lock: MaildropLock,
}

/// How many messages, and about how many bytes, are read ahead for a client that reads in order.
const MAX_READ_AHEAD: usize = 32;
const MAX_READ_AHEAD_BYTES: u64 = 256 * 1024;

/// Locks the maildrop of an account as long as it lives.
struct MaildropLock {
    mailboxes: Mailboxes,
    account: String,
}

impl Drop for MaildropLock {
    fn drop(&mut self) {
        lock(&self.mailboxes.inner.held).remove(&self.account);
    }
}

impl Mailboxes {
    /// Locks the maildrop of the account with this key, which is created if it does not exist, until the result is
    /// dropped.
    ///
    /// # Errors
    /// Another session has locked it, or the store fails.
    pub async fn maildrop(&self, account: &str) -> Result<Maildrop, Error> {
        if !lock(&self.inner.held).insert(account.to_owned()) {
            return Err(Error::InUse);
        }
        let maildrop_lock = MaildropLock { mailboxes: self.clone(), account: account.to_owned() };
        self.ensure_account(account).await?;
        let mailbox = self.open(account, name::INBOX)?;
        Ok(Maildrop {
            view: mailbox.view()?,
            mailbox,
            read_ahead: VecDeque::new(),
            next: usize::MAX,
            _lock: maildrop_lock,
        })
    }
}

impl Maildrop {
    /// Sizes in bytes and unique ids of the messages, in order. An id is `UIDVALIDITY.UID` in decimal and stays valid
    /// as long as its message: RFC 1939 §7 (UIDL).
    pub fn entries(&self) -> impl Iterator<Item = (u64, String)> {
        let uidvalidity = self.view.uidvalidity;
        self.view.messages.iter().map(move |message| (message.size, format!("{uidvalidity}.{}", message.uid)))
    }

    /// The message at this place, from 0; `None` if it was removed. If places are asked for in order, the next messages
    /// are read ahead.
    ///
    /// # Errors
    /// The message is damaged, or the store cannot be read.
    pub fn message(&mut self, index: usize) -> Result<Option<Message>, Error> {
        if self.read_ahead.front().is_none_or(|(place, _)| *place != index) {
            self.read_ahead.clear();
            let last = if index == self.next { self.last_of_run(index) } else { index };
            let messages = &self.view.messages;
            let run = (index..=last).filter_map(|place| messages.get(place));
            let place = |(uid, message): (Uid, Message)| messages.place(uid).map(|place| (place, message));
            self.read_ahead = self.mailbox.messages_of(run)?.into_iter().filter_map(place).collect();
        }
        self.next = index.saturating_add(1);
        let found = self.read_ahead.front().is_some_and(|(place, _)| *place == index);
        Ok(if found { self.read_ahead.pop_front().map(|(_, message)| message) } else { None })
    }

    /// The last place to read in one go from `index` on, from 0: at most 32 messages and about 256 KiB, but at least
    /// the one at `index`.
    fn last_of_run(&self, index: usize) -> usize {
        let sizes = self.view.messages.iter_from(index).take(MAX_READ_AHEAD).scan(0, |bytes, message| {
            *bytes += message.size;
            Some(*bytes)
        });
        index + sizes.take_while(|bytes| *bytes <= MAX_READ_AHEAD_BYTES).count().saturating_sub(1)
    }

    /// Removes the messages at these places, from 0; those already removed and places without a message are ignored.
    ///
    /// # Errors
    /// The change cannot be stored; then none is removed.
    pub async fn remove(&self, indexes: &[usize]) -> Result<(), Error> {
        let uids: Vec<Uid> = indexes.iter().filter_map(|index| self.uid(*index)).collect();
        if uids.is_empty() {
            return Ok(());
        }
        self.mailbox.remove(uids).await.map(drop)
    }

    /// The UID of the message at this place, from 0; `None` if there is none.
    fn uid(&self, index: usize) -> Option<Uid> {
        self.view.messages.get(index).map(|message| message.uid)
    }
}
