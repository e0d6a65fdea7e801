//! The contents used last, at hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mail::Content;

/// Contents kept at hand, in octets.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// What each takes beside its own octets, about.
const EACH_BYTES: usize = 320;
/// A content of at least so many octets is found by its beginning, too.
const LARGE_OCTETS: usize = 256 << 10;
/// So much of it is its beginning.
const START_OCTETS: usize = 4096;
/// Of so many contents that are read in a row, one is kept once there is no more room.
const OFFERS: usize = 8;

/// The contents used last, oldest out first.
#[derive(Default)]
pub(super) struct Cache(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    by_id: BTreeMap<i64, Content>,
    /// By the first half of the hash.
    by_hash: BTreeMap<u128, i64>,
    /// Large ones by that of their beginning: the last of those that begin the same.
    by_start: BTreeMap<u128, i64>,
    order: VecDeque<i64>,
    octets: usize,
    offers: usize,
}

impl Cache {
    pub(super) fn find(&self, id: i64) -> Option<Content> {
        self.shelf().by_id.get(&id).cloned()
    }

    pub(super) fn same(&self, content: &Content) -> Option<Content> {
        let shelf = self.shelf();
        let kept = shelf.by_id.get(shelf.by_hash.get(&half(content.hash()))?)?;
        (kept == content).then(|| kept.clone())
    }

    /// A large content that may begin like this.
    pub(super) fn like(&self, start: &[u8]) -> Option<Content> {
        let start = blake3::hash(start.get(..START_OCTETS)?);
        let shelf = self.shelf();
        shelf.by_id.get(shelf.by_start.get(&half(&start))?).cloned()
    }

    pub(super) fn keep(&self, id: i64, content: &Content) {
        content.set_stored_id(id);
        let mut shelf = self.shelf();
        if CACHE_BYTES < weight(content) || shelf.by_id.contains_key(&id) {
            return;
        }
        if let Some(start) = start(content) {
            shelf.by_start.insert(start, id);
        }
        shelf.octets += weight(content);
        shelf.by_hash.insert(half(content.hash()), id);
        shelf.by_id.insert(id, content.clone());
        shelf.order.push_back(id);
        while CACHE_BYTES < shelf.octets
            && let Some(oldest) = shelf.order.pop_front()
        {
            if let Some(content) = shelf.by_id.remove(&oldest) {
                shelf.octets -= weight(&content);
                shelf.by_hash.remove(&half(content.hash()));
                if let Some(start) = start(&content).filter(|start| shelf.by_start.get(start) == Some(&oldest)) {
                    shelf.by_start.remove(&start);
                }
            }
        }
    }

    /// Keeps some of what is read in a row, such as a whole mailbox: if all were kept and there were no room for all,
    /// each would be gone when its turn comes again.
    pub(super) fn offer(&self, id: i64, content: &Content) {
        let has_room = {
            let mut shelf = self.shelf();
            shelf.offers += 1;
            shelf.octets + weight(content) <= CACHE_BYTES || shelf.offers.is_multiple_of(OFFERS)
        };
        if has_room {
            self.keep(id, content);
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(content: &Content) -> usize {
    content.bytes().len() + EACH_BYTES
}

/// By what a large content is found before all of it is there.
fn start(content: &Content) -> Option<u128> {
    let bytes = content.bytes();
    (LARGE_OCTETS <= bytes.len()).then(|| half(&blake3::hash(&bytes[..START_OCTETS])))
}

fn half(hash: &blake3::Hash) -> u128 {
    u128::from_le_bytes(std::array::from_fn(|at| hash.as_bytes()[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_content_is_found_by_its_beginning_for_as_long_as_it_is_at_hand() {
        let large = |octet: u8, octets: usize| {
            let start = [b'a'].repeat(START_OCTETS);
            Content::new([start, vec![octet; octets - START_OCTETS]].concat().into())
        };
        let (one, other) = (large(1, LARGE_OCTETS), large(2, LARGE_OCTETS));
        let cache = Cache::default();
        let start = [b'a'].repeat(START_OCTETS + 10);
        cache.keep(1, &large(0, LARGE_OCTETS - 1));
        assert_eq!(cache.like(&start), None, "not a large one");
        cache.keep(2, &one);
        assert_eq!(cache.like(&start), Some(one));
        cache.keep(3, &other);
        assert_eq!(cache.like(&start), Some(other), "the last of two");
        assert_eq!((cache.like(&start[..START_OCTETS - 1]), cache.like(&[b'b'; START_OCTETS])), (None, None));
        (4..70).for_each(|id| cache.keep(id, &Content::new(vec![id as u8; 1 << 20].into())));
        assert_eq!(cache.like(&start), None);
        assert_eq!(cache.shelf().by_start.len(), 63, "what is not at hand is not listed");
    }

    #[test]
    fn what_does_not_fit_is_found_in_part_by_who_reads_it_again_and_again() {
        let contents: Vec<_> = (0..100_u32).map(|at| Content::new(at.to_le_bytes().repeat(1 << 18).into())).collect();
        let cache = Cache::default();
        let mut found = 0;
        for _ in 0..3 {
            for (id, content) in (0..).zip(&contents) {
                match cache.find(id) {
                    Some(_) => found += 1,
                    None => cache.offer(id, content),
                }
            }
            assert!(cache.shelf().octets <= CACHE_BYTES);
        }
        // Six of ten fit.
        assert!(80 < found, "{found}");
    }
}
