//! What is kept in memory of all mailboxes of a process, within one budget: views of mailboxes, blocks of summaries,
//! headers and filters of texts, trace lines.
//!
//! What does not fit goes, what was put in first before the rest; but what was used since it was last looked at gets a
//! second chance. A view is changed by the commits that change its mailbox; nothing else here ever changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::header_cache::HeaderBlock;
use super::open_mailbox::OpenMailbox;
use super::summary_cache::SummaryBlock;
use super::text_filter::FilterBlock;
use super::{Mailboxes, Uid};
use crate::sync::lock;
use crate::world::DEFAULT_MAILBOX_MEMORY;

/// About the overhead of an entry, in bytes.
const ENTRY_BYTES: usize = 160;

/// What an entry is of. Mailboxes by their ids; blocks by the high bits of their UIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    View(i64),
    Summaries(i64, u32),
    Headers(i64, u32),
    Filters(i64, u32),
    Trace(i64, Uid),
}

#[derive(Clone)]
pub(super) enum Cached {
    /// A mailbox with its view, which is found by its id as long as it is kept.
    View {
        _kept: Arc<OpenMailbox>,
    },
    Summaries(Arc<SummaryBlock>),
    Headers(Arc<HeaderBlock>),
    Filters(Arc<FilterBlock>),
    /// The trace lines of a message, possibly none.
    Trace(Bytes),
}

struct Entry {
    cached: Cached,
    bytes: usize,
    /// Whether it was used since it was last looked at.
    used: bool,
}

/// All entries.
pub(super) struct MemoryCache {
    entries: BTreeMap<Key, Entry>,
    /// Every key at least once, in the order of insertion; some may be gone.
    order: VecDeque<Key>,
    bytes: usize,
    budget: usize,
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new(), bytes: 0, budget: DEFAULT_MAILBOX_MEMORY }
    }
}

impl MemoryCache {
    /// What is kept under this key, which then counts as used, so that it is evicted later; `None` if nothing is.
    pub(super) fn find(&mut self, key: Key) -> Option<&Cached> {
        let entry = self.entries.get_mut(&key)?;
        entry.used = true;
        Some(&entry.cached)
    }

    /// The trace fields of a message, possibly empty, which then count as used; `None` if they are not kept.
    pub(super) fn trace(&mut self, mailbox: i64, uid: Uid) -> Option<Bytes> {
        match self.find(Key::Trace(mailbox, uid)) {
            Some(Cached::Trace(trace)) => Some(trace.clone()),
            _ => None,
        }
    }

    /// Keeps this under the key, in place of what was there; it takes about this many bytes. Evicts entries beyond the
    /// budget, perhaps this one.
    pub(super) fn insert(&mut self, key: Key, cached: Cached, bytes: usize) {
        let bytes = bytes + ENTRY_BYTES;
        self.bytes += bytes;
        match self.entries.insert(key, Entry { cached, bytes, used: false }) {
            Some(older) => self.bytes -= older.bytes,
            None => self.order.push_back(key),
        }
        self.evict();
    }

    /// Keeps the trace fields of a message in memory, unless they are kept already.
    pub(super) fn insert_trace(&mut self, mailbox: i64, uid: Uid, trace: &Bytes) {
        let key = Key::Trace(mailbox, uid);
        if !self.entries.contains_key(&key) {
            self.insert(key, Cached::Trace(trace.clone()), trace.len());
        }
    }

    /// Notes that what is kept under this key, if anything is, takes about this many bytes now; evicts entries beyond
    /// the budget.
    pub(super) fn resize(&mut self, key: Key, bytes: usize) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        self.bytes -= std::mem::replace(&mut entry.bytes, bytes + ENTRY_BYTES);
        self.bytes += bytes + ENTRY_BYTES;
        self.evict();
    }

    /// Removes entries, in the order of insertion, until the rest is within the budget; an entry used since it was last
    /// looked at is put at the end instead.
    fn evict(&mut self) {
        while self.budget < self.bytes
            && let Some(oldest) = self.order.pop_front()
        {
            let Some(entry) = self.entries.get_mut(&oldest) else { continue };
            if std::mem::take(&mut entry.used) {
                self.order.push_back(oldest);
            } else if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
    }
}

/// What the memory of mailboxes holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// The budget, in bytes.
    pub budget: usize,
    /// About the bytes in use.
    pub bytes: usize,
    /// Mailboxes at hand.
    pub mailboxes: usize,
}

impl Mailboxes {
    /// Sets the budget of memory for what is kept of mailboxes, in bytes, and evicts what is beyond it. The view of a
    /// mailbox that a session has selected stays as long as the session has it, whatever the budget.
    pub fn limit_memory(&self, budget: usize) {
        let mut memory = lock(&self.inner.memory);
        memory.budget = budget;
        memory.evict();
    }

    /// The budget of memory, about how much of it is in use, and how many mailboxes are kept.
    pub fn memory_use(&self) -> MemoryUse {
        let memory = lock(&self.inner.memory);
        let mailboxes = memory.entries.range(Key::View(i64::MIN)..=Key::View(i64::MAX)).count();
        MemoryUse { budget: memory.budget, bytes: memory.bytes, mailboxes }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ANN, deliver, message, on_disk};
    use super::*;
    use crate::imap::{Flags, StoreMode, SystemFlags};

    #[tokio::test]
    async fn mailbox_after_its_last_session_is_at_hand_and_kept_right() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one", "two"]).await;
        let inbox = || mailboxes.open(ANN, "INBOX").unwrap();
        let before = inbox().view().unwrap();
        assert!(Arc::ptr_eq(&before, &inbox().view().unwrap()), "it is not read again");
        deliver(&mailboxes, &["three"]).await;
        let seen = Flags { system: SystemFlags::SEEN, keywords: vec!["work".to_owned()] };
        inbox().store(vec![1], StoreMode::Add, seen).await.unwrap();
        inbox().remove(vec![2]).await.unwrap();
        let changed = inbox().view().unwrap();
        let bytes = mailboxes.memory_use().bytes;
        mailboxes.limit_memory(0);
        assert_eq!(mailboxes.memory_use(), MemoryUse { budget: 0, bytes: 0, mailboxes: 0 });
        let read = inbox().view().unwrap();
        assert!(!Arc::ptr_eq(&changed, &read) && changed == read && read.messages.len() == 2);
        assert!(0 < bytes && bytes < 10_000, "{bytes}");
    }

    #[tokio::test]
    async fn mailboxes_looked_at_in_turn_stay_within_the_budget() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        let account = |number: usize| format!("user{number}@a.test");
        let deliveries = (0..400).map(|number| {
            let mailboxes = mailboxes.clone();
            async move { mailboxes.deliver(&account(number), None, &message("x")).await.unwrap() }
        });
        futures_util::future::join_all(deliveries).await;
        mailboxes.limit_memory(100_000);
        for number in (0..400).chain(0..400) {
            let inbox = mailboxes.open(&account(number), "INBOX").unwrap();
            let view = inbox.view().unwrap();
            assert_eq!(view.messages.len(), 1);
            assert!(inbox.summaries().find(&view.messages[0]).unwrap().is_some());
            let MemoryUse { budget, bytes, .. } = mailboxes.memory_use();
            assert!(bytes <= budget, "{bytes}");
        }
        let MemoryUse { bytes, mailboxes, .. } = mailboxes.memory_use();
        assert!(50_000 < bytes && 10 < mailboxes && mailboxes < 400, "{bytes} bytes, {mailboxes} mailboxes");
    }

    #[test]
    fn metadata_of_a_message_is_small() {
        assert_eq!(size_of::<crate::mda::MessageMeta>(), 64);
    }

    #[test]
    fn memory_when_full_evicts_the_oldest_that_was_not_used() {
        let mut memory = MemoryCache { budget: 4_000, ..MemoryCache::default() };
        let trace = Bytes::from(vec![b'x'; 1_000 - ENTRY_BYTES]);
        for uid in 1..=10 {
            memory.insert_trace(1, uid, &trace);
            memory.insert_trace(1, uid, &trace);
            assert!(memory.trace(1, 1).is_some(), "it is used all the time");
            assert!(memory.bytes <= memory.budget);
        }
        let found: Vec<Uid> = (1..=10).filter(|uid| memory.trace(1, *uid).is_some()).collect();
        assert_eq!(found, [1, 8, 9, 10]);
        memory.resize(Key::Trace(1, 1), 3_500);
        assert!(memory.bytes <= memory.budget);
        memory.insert_trace(1, 11, &Bytes::from(vec![b'x'; 10_000]));
        assert_eq!((memory.bytes, memory.entries.len(), memory.order.len()), (0, 0, 0), "more than the budget");
    }
}
