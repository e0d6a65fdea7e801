//! The summaries that FETCH and SEARCH need of many messages, cached in memory.
//!
//! ```text
//! SummaryReader --find(uid)--> block of 64 UIDs, one query --> CachedSummary: ENVELOPE, BODYSTRUCTURE, From ... Subject, Date
//! ```
//!
//! Only the flags of a message change, and they are not part of a summary; so a block stays valid until it is evicted.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::civil::Date;

use super::{Error, Mailbox, Uid, sqlite};
use crate::imap::sort::{SortKeys, thread_of};
use crate::imap::{SEARCHED_FIELDS, Summary};
use crate::sync::lock;

/// A block covers the summaries of `1 << BLOCK_BITS` UIDs.
const BLOCK_BITS: u32 = 6;
/// Most bytes of cached blocks, of all mailboxes together.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// A larger summary is in a block only if it was looked up: a block holds at most one.
const LARGE_SUMMARY_BYTES: usize = 256 * 1024;
/// Pieces of a summary: envelope, body structure, fields, sort keys.
pub(super) const PIECES: usize = 2 + SEARCHED_FIELDS.len() + 1;

/// The summary of one message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CachedSummary<'a> {
    /// See [`Summary::envelope`].
    pub envelope: &'a [u8],
    /// See [`Summary::body_structure`].
    pub body_structure: &'a [u8],
    /// See [`Summary::fields`].
    pub fields: [&'a [u8]; SEARCHED_FIELDS.len()],
    /// See [`Summary::sent`].
    pub sent: Option<Date>,
    /// [`SortKeys::to_bytes`].
    pub sort_keys: &'a [u8],
    sent_at: Option<i64>,
}

impl CachedSummary<'_> {
    /// The thread of a message with this email id. RFC 8474 §5.2.
    pub fn thread(&self, email: u64) -> u64 {
        thread_of(self.sort_keys, email)
    }

    /// See [`Summary::sort_keys`].
    pub fn sort_keys(&self) -> SortKeys {
        SortKeys::from_bytes(self.sort_keys, self.sent_at)
    }
}

/// Reads the summaries of a mailbox; fastest in the order of UIDs.
pub struct SummaryReader {
    mailbox: Mailbox,
    block: Option<Arc<Block>>,
}

/// A mailbox, and the high bits of the UIDs.
type Key = (i64, u32);

#[derive(Debug)]
struct Block {
    key: Key,
    /// By ascending UID.
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    uid: Uid,
    /// Where its pieces begin, and where the last one ends.
    bounds: [u32; PIECES + 1],
    sent: Option<Date>,
    sent_at: Option<i64>,
}

/// The cached blocks, evicted in the order of insertion.
#[derive(Default)]
pub(super) struct SummaryCache {
    by_key: BTreeMap<Key, Arc<Block>>,
    order: VecDeque<Key>,
    bytes: usize,
}

/// The summaries of a block that are to be read.
pub(super) struct SummaryQuery {
    pub(super) mailbox: i64,
    pub(super) uids: RangeInclusive<Uid>,
    /// This one however large it is, others only up to [`Self::max_bytes`].
    pub(super) wanted: Uid,
    pub(super) max_bytes: usize,
}

/// A summary as it is stored.
pub(super) struct StoredSummary<'a> {
    pub(super) pieces: [&'a [u8]; PIECES],
    /// See [`number_of_date`].
    pub(super) sent: Option<i32>,
    pub(super) sent_at: Option<i64>,
}

impl Mailbox {
    /// The summaries of the messages of this mailbox.
    pub fn summaries(&self) -> SummaryReader {
        SummaryReader { mailbox: self.clone(), block: None }
    }
}

impl SummaryReader {
    /// The summary of a message; `None` if it was expunged.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&mut self, uid: Uid) -> Result<Option<CachedSummary<'_>>, Error> {
        let key = (self.mailbox.shared.id, uid >> BLOCK_BITS);
        let contains_uid = |block: &Arc<Block>| block.key == key && block.place(uid).is_some();
        if !self.block.as_ref().is_some_and(contains_uid) {
            let blocks = &self.mailbox.mailboxes.inner.summary_cache;
            let cached = lock(blocks).by_key.get(&key).filter(|block| contains_uid(block)).cloned();
            let block = match cached {
                Some(block) => block,
                None => {
                    let block = Arc::new(self.load(key, uid)?);
                    lock(blocks).insert(&block);
                    block
                }
            };
            self.block = Some(block);
        }
        Ok(self.block.as_deref().and_then(|block| block.summary(block.place(uid)?)))
    }

    /// The block with this message.
    fn load(&self, key: Key, wanted: Uid) -> Result<Block, Error> {
        let first = key.1 << BLOCK_BITS;
        let mut block = Block { key, entries: vec![], bytes: vec![] };
        let mailboxes = &self.mailbox.mailboxes;
        let mut lacking_summary = BTreeMap::new();
        let stored = |uid, content, summary: Option<StoredSummary<'_>>| match summary {
            Some(StoredSummary { pieces, sent, sent_at }) => {
                block.push(uid, pieces, sent.and_then(date_of_number), sent_at)
            }
            None => drop(lacking_summary.insert(uid, content)),
        };
        let uids = first..=first + ((1 << BLOCK_BITS) - 1);
        let query = SummaryQuery { mailbox: key.0, uids, wanted, max_bytes: LARGE_SUMMARY_BYTES };
        mailboxes.store.read(|connection| sqlite::visit_summaries(connection, &query, stored))?;
        for (uid, content) in lacking_summary {
            let summary = match mailboxes.summary_of(content) {
                // The others have theirs.
                Err(error) if error.is_damage() => None,
                summary => summary?,
            };
            if let Some(summary) = summary
                && (uid == wanted || summary_bytes(&summary) <= LARGE_SUMMARY_BYTES)
            {
                block.add(uid, &summary);
            }
        }
        block.entries.sort_unstable_by_key(|entry| entry.uid);
        Ok(block)
    }
}

impl Block {
    fn add(&mut self, uid: Uid, summary: &Summary) {
        let mut pieces: [&[u8]; PIECES] = [&[]; PIECES];
        (pieces[0], pieces[1]) = (&summary.envelope, &summary.body_structure);
        pieces[2..].iter_mut().zip(&summary.fields).for_each(|(piece, field)| *piece = field.as_bytes());
        let sort_keys = summary.sort_keys.to_bytes();
        pieces[PIECES - 1] = &sort_keys;
        self.push(uid, pieces, summary.sent, summary.sort_keys.sent);
    }

    fn push(&mut self, uid: Uid, pieces: [&[u8]; PIECES], sent: Option<Date>, sent_at: Option<i64>) {
        let mut bounds = [self.bytes.len() as u32; PIECES + 1];
        for (at, piece) in pieces.into_iter().enumerate() {
            self.bytes.extend_from_slice(piece);
            bounds[at + 1] = self.bytes.len() as u32;
        }
        self.entries.push(Entry { uid, bounds, sent, sent_at });
    }

    fn place(&self, uid: Uid) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    fn summary(&self, place: usize) -> Option<CachedSummary<'_>> {
        let Entry { bounds, sent, sent_at, .. } = self.entries.get(place)?;
        let piece = |at: usize| &self.bytes[bounds[at] as usize..bounds[at + 1] as usize];
        let fields = std::array::from_fn(|at| piece(2 + at));
        let sort_keys = piece(PIECES - 1);
        Some(CachedSummary {
            envelope: piece(0),
            body_structure: piece(1),
            fields,
            sent: *sent,
            sort_keys,
            sent_at: *sent_at,
        })
    }

    /// About the memory that it takes.
    fn cost(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>() + size_of::<Self>()
    }
}

impl SummaryCache {
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, block: &Arc<Block>) {
        self.bytes += block.cost();
        match self.by_key.insert(block.key, block.clone()) {
            Some(older) => self.bytes -= older.cost(),
            None => self.order.push_back(block.key),
        }
        while MAX_BYTES < self.bytes
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.by_key.remove(&oldest).map_or(0, |block| block.cost());
        }
    }
}

/// About the bytes of a summary in a block.
fn summary_bytes(summary: &Summary) -> usize {
    let fields: usize = summary.fields.iter().map(String::len).sum();
    summary.envelope.len() + summary.body_structure.len() + fields
}

/// A day as stored: 20261231.
pub(super) fn number_of_date(date: Date) -> i32 {
    i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day())
}

fn date_of_number(number: i32) -> Option<Date> {
    let part = |number: i32| number.unsigned_abs() as i8;
    Date::new((number / 10_000) as i16, part(number / 100 % 100), part(number % 100)).ok()
}
