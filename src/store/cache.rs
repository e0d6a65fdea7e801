//! The contents used last, at hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mail::Content;

/// Contents kept at hand, in octets.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// What each takes beside its own octets, about.
const EACH_BYTES: usize = 320;
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
        let kept = shelf.by_id.get(shelf.by_hash.get(&half(content))?)?;
        (kept == content).then(|| kept.clone())
    }

    pub(super) fn keep(&self, id: i64, content: &Content) {
        content.set_place(id);
        let mut shelf = self.shelf();
        if CACHE_BYTES < weight(content) || shelf.by_id.contains_key(&id) {
            return;
        }
        shelf.octets += weight(content);
        shelf.by_hash.insert(half(content), id);
        shelf.by_id.insert(id, content.clone());
        shelf.order.push_back(id);
        while CACHE_BYTES < shelf.octets
            && let Some(oldest) = shelf.order.pop_front()
        {
            if let Some(content) = shelf.by_id.remove(&oldest) {
                shelf.octets -= weight(&content);
                shelf.by_hash.remove(&half(&content));
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

fn half(content: &Content) -> u128 {
    let bytes = content.hash().as_bytes();
    u128::from_le_bytes(std::array::from_fn(|at| bytes[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

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
