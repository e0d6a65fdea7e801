//! One open mailbox in memory, shared by all sessions that use it. It is read from the tables once; then each commit
//! applies its changes, in the order of commits, before its caller learns that it is durable.
//!
//! ```text
//! read whole --> View 41 --Change 42--> View 42 --Change 43--> View 43     sessions keep the view they have reported
//!     ^                                    |
//!     '------- a number is missing --------'
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use super::account_feed::{CommittedChanges, SessionId};
use super::{Error, Inner, Mailbox, MessageMeta, Uid, View, sqlite};
use crate::imap::Flags;
use crate::sync::{beside_others, lock};

/// A mailbox takes so many bytes, or less: how many messages there are is not known before it is read.
const UNKNOWN_BYTES: usize = 1024 * 1024;
/// The modification sequence of a deleted mailbox; no change has it.
const GONE: u64 = u64::MAX;

/// What a commit changed in one mailbox.
pub(super) struct Change {
    pub(super) account: i64,
    pub(super) mailbox: i64,
    /// The modification sequence, one more than that of the previous change.
    pub(super) modseq: u64,
    pub(super) kind: ChangeKind,
}

pub(super) enum ChangeKind {
    /// Messages were added, by ascending UID.
    Added(Vec<MessageMeta>),
    /// Messages have new flags.
    Flagged(Vec<(Uid, Flags)>),
    /// Messages were expunged.
    Expunged(Vec<Uid>),
    /// The mailbox was deleted.
    Gone,
}

pub(super) struct OpenMailbox {
    pub(super) id: i64,
    state: Mutex<State>,
    /// The last known modification sequence; [`GONE`] once the mailbox is deleted.
    pub(super) modseq: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// `None` until the first read, and after a missed change.
    view: Option<Arc<View>>,
    newest: u64,
}

impl OpenMailbox {
    pub(super) fn new(id: i64) -> Self {
        Self { id, state: Mutex::default(), modseq: watch::Sender::new(0) }
    }

    /// Applies the changes of one commit, which become visible together.
    fn apply(&self, changes: Vec<Change>) {
        let mut state = lock(&self.state);
        changes.into_iter().for_each(|change| state.apply(change));
        let newest = state.newest;
        drop(state);
        self.modseq.send_if_modified(|known| std::mem::replace(known, newest) != newest);
    }
}

impl State {
    fn apply(&mut self, Change { modseq, kind, .. }: Change) {
        let modseq = if matches!(kind, ChangeKind::Gone) { GONE } else { modseq };
        // A view read after the commit already contains the change.
        if modseq <= self.newest {
            return;
        }
        self.newest = modseq;
        match &mut self.view {
            Some(view) if modseq <= view.modseq => {}
            Some(view) if modseq == view.modseq + 1 => Arc::make_mut(view).apply(modseq, kind),
            _ => self.view = None,
        }
    }
}

impl View {
    fn apply(&mut self, modseq: u64, kind: ChangeKind) {
        self.modseq = modseq;
        match kind {
            ChangeKind::Added(messages) => {
                for message in messages {
                    self.uidnext = self.uidnext.max(message.uid.saturating_add(1));
                    self.messages.insert(message);
                }
            }
            ChangeKind::Flagged(changed) => {
                for (uid, flags) in changed {
                    self.messages.change(uid, |message| (message.flags, message.modseq) = (flags, modseq));
                }
            }
            ChangeKind::Expunged(uids) => self.messages.remove(&uids),
            ChangeKind::Gone => {}
        }
    }
}

impl Inner {
    /// Applies what a commit changed to the open mailboxes and feeds.
    pub(super) fn apply_and_publish(&self, committed: CommittedChanges, by: SessionId) {
        self.publish(&committed, by);
        let changed = committed.changes.iter().map(|change| change.account);
        let changed: BTreeSet<i64> = changed.chain(committed.events.iter().map(|(account, _)| *account)).collect();
        let mut by_mailbox: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
        committed.changes.into_iter().for_each(|change| by_mailbox.entry(change.mailbox).or_default().push(change));
        for (mailbox, changes) in by_mailbox {
            let shared = lock(&self.open).get(&mailbox).and_then(Weak::upgrade);
            if let Some(shared) = shared {
                shared.apply(changes);
            }
        }
        self.commits.send_modify(|commits| commits.add_commit(changed));
    }
}

impl Mailbox {
    /// The mailbox as it is now; read from the tables once, then from memory.
    ///
    /// # Errors
    /// The mailbox was deleted, or the store cannot be read.
    pub fn view(&self) -> Result<Arc<View>, Error> {
        loop {
            let gone = {
                let state = lock(&self.shared.state);
                if let Some(view) = &state.view {
                    return Ok(view.clone());
                }
                state.newest == GONE
            };
            let load = || self.mailboxes.store.read(|connection| sqlite::view(connection, self.shared.id));
            let loaded = if gone { None } else { beside_others(UNKNOWN_BYTES, load)? };
            let Some(loaded) = loaded else { return Err(Error::NoMailbox("which was deleted".to_owned())) };
            let mut state = lock(&self.shared.state);
            // A commit may have happened in between; then it is read again.
            if state.newest <= loaded.modseq {
                state.view = Some(Arc::new(loaded));
            }
        }
    }
}
