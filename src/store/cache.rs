//! The contents used last, in memory; and which are damaged on the disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use crate::mail::Content;
use crate::sync::lock;

/// The most bytes of contents that were stored, unless the newest alone has more: most leave the queue soon, and those that
/// wait, or stay in a mailbox, need no memory meanwhile.
const MAX_STORED_BYTES: usize = 16 * 1024 * 1024;
/// The most bytes of contents that were read.
const MAX_READ_BYTES: usize = 48 * 1024 * 1024;
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
    by_id: BTreeMap<i64, (Content, Origin)>,
    /// By the first half of the hash.
    by_hash: BTreeMap<u128, i64>,
    /// Of contents that were stored, and that were read: neither displaces the other.
    orders: [Order; 2],
    /// Contents whose stored bytes are damaged, by the first half of their hash.
    damaged: BTreeMap<u128, i64>,
    reads: usize,
}

/// Why a content is cached: it was stored, or it was read.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Stored,
    Read,
}

/// The contents of one origin.
#[derive(Default)]
struct Order {
    /// Their ids, the oldest first, among others that were removed since.
    ids: VecDeque<i64>,
    count: usize,
    bytes: usize,
}

impl Cache {
    /// The content with this id, if it is cached.
    pub(super) fn find(&self, id: i64) -> Option<Content> {
        self.state().by_id.get(&id).map(|(content, _)| content.clone())
    }

    /// Returns a cached content that has the same bytes, and its id; `None` if there is none.
    pub(super) fn find_equal(&self, content: &Content) -> Option<(i64, Content)> {
        let state = self.state();
        let id = *state.by_hash.get(&half(content.hash().as_bytes()))?;
        let (cached, _) = state.by_id.get(&id)?;
        (cached == content).then(|| (id, cached.clone()))
    }

    /// Caches a content that was just stored, in the place of the oldest of these if they are too many, and forgets that
    /// its bytes were damaged. One that is cached already changes nothing in the cache.
    pub(super) fn insert(&self, id: i64, content: &Content) {
        let mut state = self.state();
        state.forget_damage(id);
        state.insert(id, content, Origin::Stored);
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

    /// Caches a content that was just read, if there is room beside others that were; if not, one in eight takes the
    /// place of the oldest, unless it is larger than all of the room.
    pub(super) fn insert_if_room(&self, id: i64, content: &Content) {
        let mut state = self.state();
        state.reads += 1;
        let admitted = if state.reads.is_multiple_of(SCAN_ADMIT_EVERY) { 0 } else { state.order(Origin::Read).bytes };
        if admitted + cost(content) <= MAX_READ_BYTES {
            state.insert(id, content, Origin::Read);
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

    /// The order of the contents of one origin.
    fn order(&mut self, origin: Origin) -> &mut Order {
        &mut self.orders[origin as usize]
    }

    /// Caches a content, and removes the oldest ones of its origin beyond their number of bytes; one that has more stays
    /// alone, so that all who need it now share it. Does nothing if the id is cached already.
    fn insert(&mut self, id: i64, content: &Content, origin: Origin) {
        if self.by_id.contains_key(&id) {
            return;
        }
        self.by_hash.insert(half(content.hash().as_bytes()), id);
        self.by_id.insert(id, (content.clone(), origin));
        let order = self.order(origin);
        order.ids.push_back(id);
        order.count += 1;
        order.bytes += cost(content);
        let max_bytes = if origin == Origin::Stored { MAX_STORED_BYTES } else { MAX_READ_BYTES };
        while max_bytes < self.order(origin).bytes
            && 1 < self.order(origin).count
            && let Some(oldest) = self.order(origin).ids.pop_front()
        {
            if self.is_of(oldest, origin) {
                self.remove(oldest);
            }
        }
        // Ids of contents that were removed otherwise.
        let order = self.order(origin);
        if 2 * order.count + 1024 < order.ids.len() {
            let mut ids = std::mem::take(&mut order.ids);
            ids.retain(|id| self.is_of(*id, origin));
            self.order(origin).ids = ids;
        }
    }

    /// Whether a content with this id is cached, and of this origin.
    fn is_of(&self, id: i64, origin: Origin) -> bool {
        self.by_id.get(&id).is_some_and(|(_, found)| *found == origin)
    }

    /// Removes a content from both indexes, if it is cached; its place in the order is skipped later.
    fn remove(&mut self, id: i64) {
        let Some((content, origin)) = self.by_id.remove(&id) else { return };
        let order = self.order(origin);
        order.count -= 1;
        order.bytes -= cost(&content);
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
            assert!(cache.state().order(Origin::Read).bytes <= MAX_READ_BYTES);
        }
        // Nearly half of them fit.
        assert!(80 < found, "{found}");
    }

    #[test]
    fn cache_with_content_larger_than_itself_holds_it_until_the_next() {
        let (large, small) = (content(1, MAX_STORED_BYTES / 4), content(2, 1));
        let cache = Cache::default();
        cache.insert(1, &small);
        cache.insert(2, &large);
        assert_eq!((cache.find(1), cache.find(2)), (None, Some(large)));
        cache.insert(3, &small);
        assert_eq!((cache.find(2), cache.find(3)), (None, Some(small)));
    }

    #[test]
    fn cache_keeps_what_was_read_beside_what_is_stored() {
        let cache = Cache::default();
        (0..40).for_each(|at| cache.insert_if_room(i64::from(at), &content(at, 1 << 18)));
        (40..80).for_each(|at| cache.insert(i64::from(at), &content(at, 1 << 18)));
        let cached: Vec<_> = (0..80).filter(|id| cache.find(*id).is_some()).collect();
        assert_eq!(cached, (0..40).chain(65..80).collect::<Vec<_>>());
    }

    #[test]
    fn cache_when_contents_are_removed_does_not_grow() {
        let cache = Cache::default();
        for id in 0..10_000 {
            cache.insert(id, &content(7, 2));
            assert_eq!(cache.find_equal(&content(7, 2)).map(|(id, _)| id), Some(id));
            cache.remove(id);
        }
        let mut state = cache.state();
        assert_eq!((state.by_id.len(), state.by_hash.len()), (0, 0));
        let Order { ids, count, bytes } = state.order(Origin::Stored);
        assert_eq!((*count, *bytes), (0, 0));
        assert!(ids.len() <= 1025, "{}", ids.len());
    }
}
