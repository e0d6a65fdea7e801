//! New entries of a queue, kept in memory until their first attempt.

use std::collections::BTreeMap;

use crate::mta::entry::Entry;

/// Maximum number of entries, and of the bytes of their messages.
const MAX_ENTRIES: usize = 4096;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Entries as they are in the store, by row.
#[derive(Default)]
pub(super) struct EntryCache {
    entries: BTreeMap<i64, Entry>,
    bytes: usize,
}

impl EntryCache {
    /// Whether no entry is cached.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.bytes == 0
    }

    /// Inserts an entry that was never tried; drops one that was tried, or that exceeds a limit of the cache.
    pub(super) fn insert(&mut self, entry: Entry) {
        let bytes = self.bytes + entry.queued.message.len();
        if self.entries.len() < MAX_ENTRIES && bytes <= MAX_BYTES && entry.attempts == 0 {
            self.bytes = bytes;
            self.entries.insert(entry.row, entry);
        }
    }

    /// Removes and returns an entry; `None` if it is not cached.
    pub(super) fn take(&mut self, row: i64) -> Option<Entry> {
        let entry = self.entries.remove(&row)?;
        self.bytes -= entry.queued.message.len();
        Some(entry)
    }
}
