//! A common bound on the memory of uploads under way, whoever sends them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;

/// What an upload may hold without being counted, so that small messages are accepted whatever others send.
const UNCOUNTED_BYTES: usize = 16 * 1024;
/// The budget where no other is set.
const DEFAULT_BYTES: usize = 256 * 1024 * 1024;

/// The size of an upload that was not declared is expected to be the largest once so much of it has arrived.
const MIN_LARGE_BYTES: usize = 64 * 1024;
/// Up to this multiple of what has arrived is reserved.
const MAX_RESERVED_FACTOR: usize = 32;

/// The memory for uploads under way of all connections of a process. Clones share it.
#[derive(Clone)]
pub struct UploadBudget(Arc<AtomicUsize>);

impl UploadBudget {
    /// A budget of twice `max_bytes`, the size of the largest allowed message, and of 256 MiB at least.
    pub fn for_messages_of(max_bytes: usize) -> Self {
        Self::new(DEFAULT_BYTES.max(max_bytes.saturating_mul(2)))
    }

    /// A budget of this many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Whether an upload of this size has room now, as one up to 16 KiB always has. Reserves nothing.
    pub fn has_room(&self, bytes: u64) -> bool {
        bytes <= UNCOUNTED_BYTES as u64 || bytes <= self.0.load(Ordering::Relaxed) as u64
    }

    /// The share of one upload, still empty.
    pub fn share(&self) -> UploadShare {
        UploadShare { budget: self.clone(), bytes: 0 }
    }

    /// Takes bytes out of the budget; `false`, and nothing is taken, if it has fewer.
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes)).is_ok()
    }
}

impl Default for UploadBudget {
    /// A budget of 256 MiB.
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
    /// Whether both are clones of one budget; two budgets of the same size are different.
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
    /// Makes room for an upload that holds this many bytes in all by now; false, and nothing changes, if there is none.
    /// The first 16 KiB are not counted, and a share never shrinks.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(UNCOUNTED_BYTES).saturating_sub(self.bytes);
        let has_room = more == 0 || self.budget.take(more);
        if has_room {
            self.bytes += more;
        }
        has_room
    }
}

impl UploadShare {
    /// Makes room in the buffer of an upload for `more` bytes, beside the `others` that it holds elsewhere, and takes
    /// that room from the budget; returns false, and changes nothing, if there is none. Returns true at once if the
    /// capacity suffices. `declared` is the length that the buffer is to have in the end, if that is known; `max` is
    /// the largest.
    ///
    /// To grow a buffer copies it, takes a time that grows with it, and leaves the old one to the allocator, which
    /// gives it back late. So it grows at once to its declared size, or to the largest, as far as what has arrived
    /// makes that likely.
    pub fn reserve(
        &mut self,
        buffer: &mut BytesMut,
        others: usize,
        more: usize,
        (declared, max): (Option<usize>, usize),
    ) -> bool {
        let (len, needed) = (buffer.len(), buffer.len() + more);
        if needed <= buffer.capacity() {
            return true;
        }
        // Who sends more than was declared is believed no more.
        let declared = declared.filter(|declared| needed <= *declared);
        let is_likely = declared.is_some() || MIN_LARGE_BYTES <= len;
        let likely = if is_likely { needed.saturating_mul(MAX_RESERVED_FACTOR) } else { 2 * len };
        // Chunks that are declared one by one must not copy it each time.
        let least = needed + len / 8;
        let wanted = likely.min(declared.unwrap_or(max)).max(least);
        let found = [wanted, least].into_iter().find(|bytes| self.grow_to(others + bytes));
        let Some(capacity) = found else { return false };
        let mut larger = BytesMut::with_capacity(capacity);
        larger.extend_from_slice(buffer);
        *buffer = larger;
        true
    }
}

impl Drop for UploadShare {
    /// Gives the bytes of the share back to the budget.
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
    fn buffer_of_a_large_upload_is_moved_twice_at_most_and_counted() {
        for declared in [None, Some(40 << 20)] {
            let budget = UploadBudget::new(60 << 20);
            let (mut share, mut buffer, mut moves) = (budget.share(), BytesMut::new(), 0);
            while buffer.len() < 40 << 20 {
                let before = buffer.capacity();
                assert!(share.reserve(&mut buffer, 0, 1 << 16, (declared, 50 << 20)));
                moves += usize::from(before != 0 && before != buffer.capacity());
                buffer.extend_from_slice(&[b'x'; 1 << 16]);
                assert!(buffer.capacity() <= share.bytes + UNCOUNTED_BYTES);
            }
            assert!(moves <= 2 && buffer.capacity() <= 50 << 20, "{moves} moves, {}", buffer.capacity());
        }
    }

    #[test]
    fn buffer_of_chunks_that_are_declared_one_by_one_is_moved_seldom() {
        let budget = UploadBudget::new(60 << 20);
        let (mut share, mut buffer, mut moves) = (budget.share(), BytesMut::new(), 0);
        while buffer.len() < 4 << 20 {
            let before = buffer.capacity();
            let declared = Some(buffer.len() + 1_000);
            assert!(share.reserve(&mut buffer, 0, 1_000, (declared, 50 << 20)));
            moves += usize::from(before != buffer.capacity());
            buffer.extend_from_slice(&[b'x'; 1_000]);
        }
        assert!(moves < 100, "{moves}");
    }

    #[test]
    fn buffer_without_room_for_what_is_expected_grows_as_far_as_there_is_room() {
        let budget = UploadBudget::new(1 << 20);
        let (mut share, mut buffer, mut moves) = (budget.share(), BytesMut::new(), 0);
        while share.reserve(&mut buffer, 0, 10_000, (None, 50 << 20)) {
            moves += 1;
            buffer.extend_from_slice(&[b'x'; 10_000]);
        }
        assert!(900_000 < buffer.len() && buffer.capacity() <= (1 << 20) + UNCOUNTED_BYTES, "{}", buffer.len());
        assert!(moves < 200);
    }
}
