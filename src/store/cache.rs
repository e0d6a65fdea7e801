//! The contents used last, at hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mail::Content;

/// Contents kept at hand, in octets.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// What each takes beside its own octets, about.
const EACH_BYTES: usize = 320;

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
