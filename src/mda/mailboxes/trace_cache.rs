//! Caches the trace lines of recently read messages. Together with the contents that the store caches, they make whole
//! messages without a query.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::Uid;

/// Most bytes of cached trace lines, of all mailboxes together.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// About the overhead of an entry, in bytes.
const ENTRY_BYTES: usize = 128;

/// A mailbox and a UID, which is never reused.
type Key = (i64, Uid);

/// Trace lines, evicted in the order of insertion. They never change, so an entry stays valid.
#[derive(Default)]
pub(super) struct TraceCache {
    by_key: BTreeMap<Key, Bytes>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl TraceCache {
    /// The trace lines of a message, possibly empty; `None` if they are not cached.
    pub(super) fn find(&self, mailbox: i64, uid: Uid) -> Option<Bytes> {
        self.by_key.get(&(mailbox, uid)).cloned()
    }

    pub(super) fn insert(&mut self, mailbox: i64, uid: Uid, trace: &Bytes) {
        let key = (mailbox, uid);
        if MAX_BYTES < trace.len() || self.by_key.contains_key(&key) {
            return;
        }
        self.bytes += trace.len() + ENTRY_BYTES;
        self.by_key.insert(key, trace.clone());
        self.order.push_back(key);
        while MAX_BYTES < self.bytes
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.by_key.remove(&oldest).map_or(0, |trace| trace.len() + ENTRY_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_cache_when_full_evicts_the_oldest() {
        let (mut cache, trace) = (TraceCache::default(), Bytes::from(vec![b'x'; MAX_BYTES / 4]));
        for uid in 1..=10 {
            cache.insert(1, uid, &trace);
            cache.insert(1, uid, &trace);
            assert!(cache.bytes <= MAX_BYTES && cache.by_key.len() == cache.order.len());
        }
        let found: Vec<Uid> = (1..=10).filter(|uid| cache.find(1, *uid).is_some()).collect();
        assert_eq!(found, [8, 9, 10]);
        assert_eq!(cache.find(2, 10), None);
    }
}
