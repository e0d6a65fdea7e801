//! A common bound on the memory of uploads under way, whoever sends them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;

/// What an upload may hold without being counted, so that small messages are accepted whatever others send.
const UNCOUNTED_BYTES: usize = 16 * 1024;
/// The budget where no other is set.
const DEFAULT_BYTES: usize = 256 * 1024 * 1024;

/// So much of an upload must have arrived before more than it needs is reserved for it.
const MIN_RESERVED_FOR_BYTES: usize = 64 * 1024;
/// Up to this multiple of what has arrived is reserved then.
const MAX_RESERVED_FACTOR: usize = 64;

/// Reserves room for more bytes of an upload that will have this size at most. To grow a buffer copies it, leaves the old one
/// to the allocator, and takes a time that grows with it; so it is done twice at most. What is not filled takes no memory.
pub fn reserve_for_upload(buffer: &mut BytesMut, more: usize, expected: usize) {
    let len = buffer.len();
    if buffer.capacity() - len < more {
        let believed = if len < MIN_RESERVED_FOR_BYTES { 0 } else { len.saturating_mul(MAX_RESERVED_FACTOR) };
        buffer.reserve(more.max(expected.saturating_sub(len).min(believed)));
    }
}

/// The memory for uploads under way of all connections of a process. Clones share it.
#[derive(Clone)]
pub struct UploadBudget(Arc<AtomicUsize>);

impl UploadBudget {
    /// A budget in which several messages of the largest allowed size have room.
    pub fn for_messages_of(max_bytes: usize) -> Self {
        Self::new(DEFAULT_BYTES.max(max_bytes.saturating_mul(2)))
    }

    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Whether an upload of this size has room now.
    pub fn has_room(&self, bytes: u64) -> bool {
        bytes <= UNCOUNTED_BYTES as u64 || bytes <= self.0.load(Ordering::Relaxed) as u64
    }

    /// The share of one upload, still empty.
    pub fn share(&self) -> UploadShare {
        UploadShare { budget: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes)).is_ok()
    }
}

impl Default for UploadBudget {
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

impl fmt::Debug for UploadBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UploadBudget").field(&self.0.load(Ordering::Relaxed)).finish()
    }
}

impl PartialEq for UploadBudget {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for UploadBudget {}

/// What one upload has of the budget, until it is dropped.
#[derive(Debug, Default)]
pub struct UploadShare {
    budget: UploadBudget,
    /// The counted bytes.
    bytes: usize,
}

impl UploadShare {
    /// Makes room for an upload that holds this many bytes by now; false if there is none.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(UNCOUNTED_BYTES).saturating_sub(self.bytes);
        let has_room = more == 0 || self.budget.take(more);
        if has_room {
            self.bytes += more;
        }
        has_room
    }
}

impl Drop for UploadShare {
    fn drop(&mut self) {
        if self.bytes != 0 {
            self.budget.0.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_budget_never_exceed_it_and_return_it() {
        let budget = UploadBudget::new(100_000);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.grow_to(UNCOUNTED_BYTES + 60_000) && one.grow_to(5) && one.grow_to(UNCOUNTED_BYTES + 70_000));
        assert!(!other.grow_to(UNCOUNTED_BYTES + 30_001) && other.grow_to(UNCOUNTED_BYTES + 30_000));
        assert!(!one.grow_to(UNCOUNTED_BYTES + 70_001) && !budget.has_room(UNCOUNTED_BYTES as u64 + 1));
        assert!(budget.share().grow_to(UNCOUNTED_BYTES) && budget.has_room(100), "small messages have room");
        drop(one);
        assert!(other.grow_to(UNCOUNTED_BYTES + 100_000));
        drop(other);
        assert!(budget.has_room(100_000));
    }

    #[test]
    fn buffer_of_a_large_upload_is_moved_twice_at_most() {
        let (mut buffer, mut moves) = (BytesMut::new(), 0);
        while buffer.len() < 40 << 20 {
            let before = buffer.capacity();
            reserve_for_upload(&mut buffer, 1 << 16, 50 << 20);
            moves += usize::from(before != 0 && before != buffer.capacity());
            buffer.extend_from_slice(&[b'x'; 1 << 16]);
        }
        assert!(moves <= 2 && buffer.capacity() <= 51 << 20, "{moves} moves, {}", buffer.capacity());
    }
}
