//! One mailbox in memory, shared by all who look at it. It is read from the tables once; then each commit brings what
//! it changed, in the order of commits, before anybody is told that it is durable.
//!
//! ```text
//! read whole --> View 41 --Change 42--> View 42 --Change 43--> View 43     sessions hold whichever they have seen
//!     ^                                    |
//!     '------- a number is missing --------'
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};

use rusqlite::{Connection, OptionalExtension, Row};
use tokio::sync::watch;

use super::news::{Author, Told};
use super::{Error, Inner, Mailbox, Message, Uid, View, date, lock};
use crate::imap::{Flags, SystemFlags};

/// No change has this number.
const GONE: u64 = u64::MAX;

/// What a commit did to one mailbox.
pub(super) struct Change {
    pub(super) account: i64,
    pub(super) mailbox: i64,
    /// Its number, one more than that of the change before.
    pub(super) modseq: u64,
    pub(super) what: What,
}

pub(super) enum What {
    /// Messages came, by ascending UID.
    Arrived(Vec<Message>),
    /// Messages have other flags.
    Flagged(Vec<(Uid, Flags)>),
    /// Messages went.
    Expunged(Vec<Uid>),
    /// The mailbox itself went.
    Gone,
}

pub(super) struct Shelf {
    pub(super) id: i64,
    state: Mutex<State>,
    /// The modification sequence last heard of; [`GONE`] once the mailbox is deleted.
    pub(super) modseq: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// `None` until somebody looks, and when a change was missed.
    view: Option<Arc<View>>,
    newest: u64,
}

impl Shelf {
    pub(super) fn new(id: i64) -> Self {
        Self { id, state: Mutex::default(), modseq: watch::Sender::new(0) }
    }

    /// Takes the changes of one commit, which are seen all at once.
    fn take(&self, changes: Vec<Change>) {
        let mut state = lock(&self.state);
        changes.into_iter().for_each(|change| state.take(change));
        let newest = state.newest;
        drop(state);
        self.modseq.send_if_modified(|known| std::mem::replace(known, newest) != newest);
    }
}

impl State {
    fn take(&mut self, Change { modseq, what, .. }: Change) {
        let modseq = if matches!(what, What::Gone) { GONE } else { modseq };
        // Who read the tables after the commit has seen it there.
        if modseq <= self.newest {
            return;
        }
        self.newest = modseq;
        match &mut self.view {
            Some(view) if modseq <= view.modseq => {}
            Some(view) if modseq == view.modseq + 1 => Arc::make_mut(view).take(modseq, what),
            _ => self.view = None,
        }
    }
}

impl View {
    fn take(&mut self, modseq: u64, what: What) {
        self.modseq = modseq;
        match what {
            What::Arrived(messages) => {
                for message in messages {
                    self.uidnext = self.uidnext.max(message.uid.saturating_add(1));
                    self.messages.insert(message);
                }
            }
            What::Flagged(changed) => {
                for (uid, flags) in changed {
                    self.messages.change(uid, |message| (message.flags, message.modseq) = (flags, modseq));
                }
            }
            What::Expunged(uids) => self.messages.remove(&uids),
            What::Gone => {}
        }
    }
}

impl Inner {
    /// Brings what a commit changed to those who look.
    pub(super) fn tell(&self, told: Told, by: Author) {
        self.publish(&told, by);
        let changed = told.changes.iter().map(|change| change.account);
        let changed: BTreeSet<i64> = changed.chain(told.news.iter().map(|(account, _)| *account)).collect();
        let mut by_mailbox: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
        told.changes.into_iter().for_each(|change| by_mailbox.entry(change.mailbox).or_default().push(change));
        for (mailbox, changes) in by_mailbox {
            let shelf = lock(&self.open).get(&mailbox).and_then(Weak::upgrade);
            if let Some(shelf) = shelf {
                shelf.take(changes);
            }
        }
        self.commits.send_modify(|commits| commits.note(changed));
    }
}

impl Mailbox {
    /// The mailbox as it is now, from memory once somebody has looked at it.
    ///
    /// # Errors
    /// It was deleted, or the store cannot be read.
    pub fn view(&self) -> Result<Arc<View>, Error> {
        loop {
            let gone = {
                let state = lock(&self.shelf.state);
                if let Some(view) = &state.view {
                    return Ok(view.clone());
                }
                state.newest == GONE
            };
            let loaded = match gone {
                true => None,
                false => self.mailboxes.0.store.read(|connection| load(connection, self.shelf.id))?,
            };
            let Some(loaded) = loaded else { return Err(Error::NoMailbox("here any more".to_owned())) };
            let mut state = lock(&self.shelf.state);
            // A commit may have come between; then it is read again.
            if state.newest <= loaded.modseq {
                state.view = Some(Arc::new(loaded));
            }
        }
    }
}

/// The whole mailbox as of one moment; `None` when there is no such mailbox.
pub(super) fn load(connection: &Connection, mailbox: i64) -> rusqlite::Result<Option<View>> {
    let moment = connection.unchecked_transaction()?;
    let sql = "SELECT uidvalidity, uidnext, modseq FROM mailbox WHERE id = ?1";
    let state = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let state = moment.prepare_cached(sql)?.query_row([mailbox], state).optional()?;
    let Some((uidvalidity, uidnext, modseq)) = state else { return Ok(None) };
    let sql = "SELECT uid, flags, keywords, modseq, received, saved, size, content, email FROM message
               WHERE mailbox = ?1 ORDER BY uid";
    let messages = moment.prepare_cached(sql)?.query_map([mailbox], message)?.collect::<Result<_, _>>()?;
    Ok(Some(View { uidvalidity, uidnext, modseq, messages }))
}

/// A message as a row of `uid, flags, keywords, modseq, received, saved, size, content, email`.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        uid: row.get(0)?,
        flags: flags(row.get(1)?, row.get_ref(2)?.as_str()?),
        modseq: row.get(3)?,
        received: date(row.get(4)?),
        saved: date(row.get(5)?),
        size: row.get(6)?,
        content: row.get(7)?,
        email: row.get(8)?,
    })
}

/// Flags as the tables keep them.
pub(super) fn flags(system: u8, keywords: &str) -> Flags {
    let keywords = keywords.split_ascii_whitespace().map(str::to_owned).collect();
    Flags { system: SystemFlags::from_bits(system), keywords }
}
