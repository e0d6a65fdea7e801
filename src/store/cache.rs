//! The contents used last, in memory; and which are damaged on the disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use crate::mail::Content;
use crate::sync::lock;

/// The size of the cache, in bytes, up to which contents that are read fill it.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The size to which contents that are stored reduce it, unless the newest alone is larger: most leave the queue soon, and
/// those that wait, or stay in a mailbox, need no memory meanwhile.
const MAX_STORED_BYTES: usize = 16 * 1024 * 1024;
/// What an entry takes beside the bytes of its content, about.
const ENTRY_BYTES: usize = 320;
/// In a full cache, one content in this many that are read takes the place of the oldest: if all of a large mailbox
/// did that, each would be gone before it is read again.
const SCAN_ADMIT_EVERY: usize = 8;

/// Damaged contents that are remembered.
const MAX_DAMAGED: usize = 10_000;

/// Contents by id and by hash; the oldest leave first.
#[derive(Default)]
pub(super) struct Cache(Mutex<CacheState>);

#[derive(Default)]
struct CacheState {
    by_id: BTreeMap<i64, Content>,
    /// By the first half of the hash.
    by_hash: BTreeMap<u128, i64>,
    order: VecDeque<i64>,
    /// Contents whose stored bytes are damaged, by the first half of their hash.
    damaged: BTreeMap<u128, i64>,
    bytes: usize,
    reads: usize,
}

impl Cache {
    /// The content with this id, if it is cached.
    pub(super) fn find(&self, id: i64) -> Option<Content> {
        self.state().by_id.get(&id).cloned()
    }

    /// Returns a cached content that has the same bytes, and its id; `None` if there is none.
    pub(super) fn find_equal(&self, content: &Content) -> Option<(i64, Content)> {
        let state = self.state();
        let id = *state.by_hash.get(&half(content.hash().as_bytes()))?;
        let cached = state.by_id.get(&id)?;
        (cached == content).then(|| (id, cached.clone()))
    }

    /// Caches a content that was just stored, in the place of the oldest if the cache is full, and forgets that its
    /// bytes were damaged. One that is cached already, or larger than the cache, changes nothing in the cache.
    pub(super) fn insert(&self, id: i64, content: &Content) {
        let mut state = self.state();
        state.forget_damage(id);
        state.insert(id, content, MAX_STORED_BYTES);
    }

    /// Remembers that the stored bytes of the content with this id and hash are damaged, so that [`Self::find_damaged`]
    /// returns the id, in place of an earlier one with this hash. Returns `true` if that is new; `false` if this very
    /// id is known, or [`MAX_DAMAGED`] are remembered, and then it is not remembered.
    pub(super) fn note_damaged(&self, id: i64, hash: &[u8; 32]) -> bool {
        let damaged = &mut self.state().damaged;
        damaged.len() < MAX_DAMAGED && damaged.insert(half(hash), id) != Some(id)
    }

    /// Returns the id of a stored content with the hash of this one whose bytes are known to be damaged, from
    /// [`Self::note_damaged`]: its bytes can be stored anew. `None` if there is none.
    pub(super) fn find_damaged(&self, content: &Content) -> Option<i64> {
        self.state().damaged.get(&half(content.hash().as_bytes())).copied()
    }

    /// Caches a content that was just read, if there is room; in a full cache, one in eight takes the place of the
    /// oldest.
    pub(super) fn insert_if_room(&self, id: i64, content: &Content) {
        let mut state = self.state();
        state.reads += 1;
        if state.bytes + cost(content) <= MAX_BYTES || state.reads.is_multiple_of(SCAN_ADMIT_EVERY) {
            state.insert(id, content, MAX_BYTES);
        }
    }

    /// Removes a content that was deleted, and forgets that it was damaged.
    pub(super) fn remove(&self, id: i64) {
        let mut state = self.state();
        state.forget_damage(id);
        state.remove(id);
    }

    /// Removes all contents, and forgets which were damaged.
    pub(super) fn clear(&self) {
        *self.state() = CacheState::default();
    }

    /// Locks the cached contents.
    fn state(&self) -> MutexGuard<'_, CacheState> {
        lock(&self.0)
    }
}

impl CacheState {
    /// Forgets that the content with this id is damaged.
    fn forget_damage(&mut self, id: i64) {
        if !self.damaged.is_empty() {
            self.damaged.retain(|_, damaged| *damaged != id);
        }
    }

    /// Caches a content, and removes the oldest ones beyond this size; one that is larger stays alone, so that all who need
    /// it now share it. Does nothing if the id is cached already.
    fn insert(&mut self, id: i64, content: &Content, max_bytes: usize) {
        if self.by_id.contains_key(&id) {
            return;
        }
        self.bytes += cost(content);
        self.by_hash.insert(half(content.hash().as_bytes()), id);
        self.by_id.insert(id, content.clone());
        self.order.push_back(id);
        while max_bytes < self.bytes
            && 1 < self.by_id.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.remove(oldest);
        }
        // Ids of contents that were removed otherwise.
        if 2 * self.by_id.len() + 1024 < self.order.len() {
            self.order.retain(|id| self.by_id.contains_key(id));
        }
    }

    /// Removes a content from both indexes, if it is cached; its place in the order is skipped later.
    fn remove(&mut self, id: i64) {
        let Some(content) = self.by_id.remove(&id) else { return };
        self.bytes -= cost(&content);
        let hash = half(content.hash().as_bytes());
        if self.by_hash.get(&hash) == Some(&id) {
            self.by_hash.remove(&hash);
        }
    }
}

/// About how much memory a cached content takes, in bytes.
fn cost(content: &Content) -> usize {
    content.bytes().len() + ENTRY_BYTES
}

/// The first half of a hash, which is the key of the indexes by hash.
fn half(hash: &[u8; 32]) -> u128 {
    u128::from_le_bytes(std::array::from_fn(|at| hash[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(number: u32, repeats: usize) -> Content {
        Content::new(number.to_le_bytes().repeat(repeats).into())
    }

    #[test]
    fn cache_when_contents_do_not_fit_keeps_part_of_them_for_the_next_scan() {
        let contents: Vec<_> = (0..100_u32).map(|at| content(at, 1 << 18)).collect();
        let cache = Cache::default();
        let mut found = 0;
        for _ in 0..3 {
            for (id, content) in (0..).zip(&contents) {
                match cache.find(id) {
                    Some(_) => found += 1,
                    None => cache.insert_if_room(id, content),
                }
            }
            assert!(cache.state().bytes <= MAX_BYTES);
        }
        // Six of ten fit.
        assert!(80 < found, "{found}");
    }

    #[test]
    fn cache_with_content_larger_than_itself_holds_it_until_the_next() {
        let (large, small) = (content(1, MAX_BYTES / 4), content(2, 1));
        let cache = Cache::default();
        cache.insert(1, &small);
        cache.insert(2, &large);
        assert_eq!((cache.find(1), cache.find(2)), (None, Some(large)));
        cache.insert(3, &small);
        assert_eq!((cache.find(2), cache.find(3)), (None, Some(small)));
    }

    #[test]
    fn cache_that_reads_filled_is_reduced_by_what_is_stored() {
        let cache = Cache::default();
        (0..40).for_each(|at| cache.insert_if_room(i64::from(at), &content(at, 1 << 18)));
        assert!((0..40).all(|id| cache.find(id).is_some()));
        cache.insert(40, &content(40, 1 << 18));
        assert!((0..26).all(|id| cache.find(id).is_none()) && (26..41).all(|id| cache.find(id).is_some()));
    }

    #[test]
    fn cache_when_contents_are_removed_does_not_grow() {
        let cache = Cache::default();
        for id in 0..10_000 {
            cache.insert(id, &content(7, 2));
            assert_eq!(cache.find_equal(&content(7, 2)).map(|(id, _)| id), Some(id));
            cache.remove(id);
        }
        let state = cache.state();
        assert_eq!((state.bytes, state.by_id.len(), state.by_hash.len()), (0, 0, 0));
        assert!(state.order.len() <= 1025, "{}", state.order.len());
    }
}
