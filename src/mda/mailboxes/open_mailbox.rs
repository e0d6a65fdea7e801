//! One mailbox in memory, shared by all sessions that use it, and kept after the last of them within the budget of
//! [`super::memory`]. It is read from the tables once; then each commit applies its changes, in the order of commits,
//! before its caller learns that it is durable.
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
use super::memory::{Cached, Key};
use super::{Error, Inner, Mailbox, Mailboxes, MessageMeta, Uid, View, sqlite};
use crate::catalogue;
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
    /// The modification sequence, one more than that of the previous change; the same if nothing changed.
    pub(super) modseq: u64,
    pub(super) kind: ChangeKind,
    /// What it changed in the catalogue.
    pub(super) entries: catalogue::Changes,
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
    /// Messages before this UID are recent in a session, or in none.
    recent: Uid,
}

impl OpenMailbox {
    fn new(id: i64) -> Self {
        Self { id, state: Mutex::default(), modseq: watch::Sender::new(0) }
    }

    /// Applies the changes of one commit to the view, if it is in memory, together, and wakes those that follow the
    /// mailbox. Returns about how many bytes of memory the mailbox takes now.
    fn apply(&self, changes: Vec<Change>) -> usize {
        let mut state = lock(&self.state);
        changes.into_iter().for_each(|change| state.apply(change));
        let (newest, bytes) = (state.newest, state.bytes());
        drop(state);
        self.modseq.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        bytes
    }
}

impl State {
    /// Applies one change to the view; drops the view, to be read again, if changes before it were missed or the
    /// mailbox is gone. Ignores a change that the view already has.
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

    /// About the memory that the mailbox takes with its view, in bytes.
    fn bytes(&self) -> usize {
        size_of::<OpenMailbox>() + self.view.as_ref().map_or(0, |view| size_of::<View>() + view.messages.bytes())
    }
}

impl View {
    /// Makes this the view after the change with this modification sequence, which must be the next one.
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
                for (uid, Flags { system, keywords }) in changed {
                    self.messages.change(uid, |message| {
                        (message.flags, message.keywords, message.modseq) = (system, keywords.into(), modseq);
                    });
                }
            }
            ChangeKind::Expunged(uids) => self.messages.remove(&uids),
            ChangeKind::Gone => {}
        }
    }
}

impl Inner {
    /// Applies what a commit of the session `by` changed to the mailboxes in memory, and reports it to feeds, catalogue
    /// and Maildir sync; the feeds leave it out for that session.
    pub(super) fn apply_and_publish(&self, committed: CommittedChanges, by: SessionId) {
        self.publish(&committed, by);
        self.publish_entries(&committed);
        let changed = committed.changes.iter().map(|change| change.account);
        let changed: BTreeSet<i64> = changed.chain(committed.events.iter().map(|(account, _)| *account)).collect();
        let mut by_mailbox: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
        committed.changes.into_iter().for_each(|change| by_mailbox.entry(change.mailbox).or_default().push(change));
        for (mailbox, changes) in by_mailbox {
            if let Some(shared) = self.find_open(mailbox) {
                let bytes = shared.apply(changes);
                lock(&self.memory).resize(Key::View(mailbox), bytes);
            }
        }
        self.commits.send_modify(|commits| commits.add_commit(changed));
    }

    /// The mailbox with this id, if it is in memory.
    fn find_open(&self, mailbox: i64) -> Option<Arc<OpenMailbox>> {
        lock(&self.open).get(&mailbox).and_then(Weak::upgrade)
    }
}

impl Mailboxes {
    /// A handle of the mailbox with this id of this account, both of which must exist. Shares what is in memory of the
    /// mailbox, and counts it as used; registers it as open if it was not. Nothing is read yet.
    pub(super) fn by_id(&self, account: i64, id: i64) -> Mailbox {
        let mut open = lock(&self.inner.open);
        let shared = open.get(&id).and_then(Weak::upgrade).unwrap_or_else(|| {
            // Those that are gone are forgotten from time to time.
            if open.len().is_power_of_two() {
                open.retain(|_, shared| 0 < shared.strong_count());
            }
            let shared = Arc::new(OpenMailbox::new(id));
            open.insert(id, Arc::downgrade(&shared));
            shared
        });
        drop(open);
        lock(&self.inner.memory).find(Key::View(id));
        Mailbox { mailboxes: self.clone(), account, shared }
    }

    /// Subtracts from the recent messages of a status, which was read from the tables, those that sessions have claimed
    /// since: the tables get them only when a session ends. No effect if the mailbox is not in memory.
    pub(super) fn subtract_claimed(&self, status: &mut super::Status) -> Result<(), Error> {
        let Some(shared) = self.inner.find_open(status.id as i64) else { return Ok(()) };
        let (recent, view) = {
            let state = lock(&shared.state);
            (state.recent, state.view.clone())
        };
        if recent <= status.recent_from || status.counters.recents == 0 {
            return Ok(());
        }
        status.counters.recents = match view {
            Some(view) => (view.messages.len() - view.messages.count_before(recent)) as u32,
            None => self.store.read(|connection| sqlite::count_from(connection, shared.id, recent))?,
        };
        Ok(())
    }
}

impl Inner {
    /// Reports to the catalogue, if there is one, which of its entries a commit changed.
    fn publish_entries(&self, committed: &CommittedChanges) {
        let Some(catalogue) = &self.catalogue else { return };
        let mut entries = committed.entries.clone();
        committed.changes.iter().for_each(|change| entries.extend(change.entries.clone()));
        catalogue.publish(entries);
    }
}

impl Mailbox {
    /// The mailbox as it is now; read from the tables the first time, and again after it was evicted or missed a
    /// change, else from memory.
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
            let Some((loaded, recent)) = loaded else { return Err(Error::NoMailbox("which was deleted".to_owned())) };
            let mut state = lock(&self.shared.state);
            // A commit may have happened in between; then it is read again.
            if state.newest <= loaded.modseq {
                state.view = Some(Arc::new(loaded));
                state.recent = state.recent.max(recent);
                let bytes = state.bytes();
                drop(state);
                let cached = Cached::View { _kept: self.shared.clone() };
                lock(&self.mailboxes.inner.memory).insert(Key::View(self.shared.id), cached, bytes);
            }
        }
    }

    /// Claims the recent messages of a view: those from the returned UID on are `\Recent` in this session, and in no
    /// other. RFC 3501 §2.3.2. The claim is kept in memory until [`Self::record_recent`] stores it.
    pub fn claim_recent(&self, view: &View) -> Uid {
        let mut state = lock(&self.shared.state);
        let recent = state.recent;
        state.recent = recent.max(view.uidnext);
        recent
    }

    /// The UID from which on messages are recent, for a session that claims none; 0 before the view was read.
    pub fn recent_from(&self) -> Uid {
        lock(&self.shared.state).recent
    }

    /// Stores which messages sessions have claimed, so that they are not recent after the next start.
    ///
    /// # Errors
    /// The change cannot be stored.
    pub async fn record_recent(&self) -> Result<(), Error> {
        let (id, recent) = (self.shared.id, self.recent_from());
        self.mailboxes.write(move |transaction| Ok(sqlite::record_recent(transaction, id, recent)?)).await
    }
}
