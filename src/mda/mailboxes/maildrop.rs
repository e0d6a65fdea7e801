//! What POP3 sees of an account: its INBOX, held by one session at a time. RFC 1939 §4, §8.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Error, Mailbox, Mailboxes, Uid, View, lock, name};
use crate::mail::Letter;

/// The INBOX of an account as it was when the session began. IMAP sessions use it meanwhile; dropping this lets the
/// next POP3 session in.
pub struct Maildrop {
    mailbox: Mailbox,
    view: Arc<View>,
    /// Messages that were read with the one before them, by place.
    ahead: VecDeque<(usize, Letter)>,
    /// The place that will be asked for next if all are.
    next: usize,
    _hold: Hold,
}

/// So many messages, and about so many octets, are read ahead for a client that takes one after the other.
const AHEAD_MAX: usize = 32;
const AHEAD_OCTETS_MAX: u64 = 256 * 1024;

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
        Ok(Maildrop { view: mailbox.view()?, mailbox, ahead: VecDeque::new(), next: usize::MAX, _hold: hold })
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
    pub fn letter(&mut self, index: usize) -> Result<Option<Letter>, Error> {
        if self.ahead.front().is_none_or(|(place, _)| *place != index) {
            self.ahead.clear();
            let last = if index == self.next { self.last_of_run(index) } else { index };
            let messages = &self.view.messages;
            let run = (index..=last).filter_map(|place| messages.get(place));
            let place = |(uid, letter): (Uid, Letter)| messages.place(uid).map(|place| (place, letter));
            self.ahead = self.mailbox.letters_of(run)?.into_iter().filter_map(place).collect();
        }
        self.next = index.saturating_add(1);
        let found = self.ahead.front().is_some_and(|(place, _)| *place == index);
        Ok(if found { self.ahead.pop_front().map(|(_, letter)| letter) } else { None })
    }

    /// The place up to which to read.
    fn last_of_run(&self, index: usize) -> usize {
        let sizes = self.view.messages.iter_from(index).take(AHEAD_MAX).scan(0, |octets, message| {
            *octets += message.size;
            Some(*octets)
        });
        index + sizes.take_while(|octets| *octets <= AHEAD_OCTETS_MAX).count().saturating_sub(1)
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
