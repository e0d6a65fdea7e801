//! The summaries that FETCH and SEARCH need of many messages, cached in memory.
//!
//! ```text
//! SummaryReader --find(message)--> block of 64 UIDs, one query --> CachedSummary: ENVELOPE, BODYSTRUCTURE, From ... Subject, Date
//! ```
//!
//! Only the flags of a message change, and they are not part of a summary; so a block stays valid until it is evicted.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::civil::Date;

use super::memory::{Cached, Key};
use super::{Error, Mailbox, MessageMeta, Uid, sqlite};
use crate::imap::sort::{SortKeys, thread_of};
use crate::imap::{SEARCHED_FIELDS, Summary};
use crate::sync::lock;

/// A block covers the summaries of `1 << BLOCK_BITS` UIDs.
const BLOCK_BITS: u32 = 6;
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
    /// The id of the thread of the message, whose own email id must be given: that is used if it has no Message-ID and
    /// no reference. RFC 8474 §5.2.
    pub fn thread(&self, email: u64) -> u64 {
        thread_of(self.sort_keys, email)
    }

    /// The keys by which SORT and THREAD order the message.
    pub fn sort_keys(&self) -> SortKeys {
        SortKeys::from_bytes(self.sort_keys, self.sent_at)
    }
}

/// Reads the summaries of a mailbox; fastest in the order of UIDs.
pub struct SummaryReader {
    mailbox: Mailbox,
    block: Option<Arc<SummaryBlock>>,
}

#[derive(Debug)]
pub(super) struct SummaryBlock {
    /// The high bits of its UIDs.
    number: u32,
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
    /// A reader of the summaries of the messages of this mailbox; reads nothing yet.
    pub fn summaries(&self) -> SummaryReader {
        SummaryReader { mailbox: self.clone(), block: None }
    }
}

impl SummaryReader {
    /// The summary of a message; `None` if it is lost and the content is damaged, or if the message was expunged and
    /// its content is gone.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&mut self, message: &MessageMeta) -> Result<Option<CachedSummary<'_>>, Error> {
        let (uid, number) = (message.uid, message.uid >> BLOCK_BITS);
        if !self.block.as_ref().is_some_and(|block| block.number == number && block.contains(uid)) {
            self.block = Some(self.block_with(message, number)?);
        }
        Ok(self.block.as_deref().and_then(|block| block.summary(block.place(uid)?)))
    }

    /// The block with this `number`, the high bits of the UID, with the summary of the message: from memory, else read
    /// from the tables and kept in memory. For an expunged message, a block with its summary alone, not kept; an empty
    /// one if its content is gone or damaged.
    fn block_with(&self, message: &MessageMeta, number: u32) -> Result<Arc<SummaryBlock>, Error> {
        let key = Key::Summaries(self.mailbox.shared.id, number);
        let memory = &self.mailbox.mailboxes.inner.memory;
        if let Some(Cached::Summaries(block)) = lock(memory).find(key)
            && block.contains(message.uid)
        {
            return Ok(block.clone());
        }
        let block = Arc::new(self.load(number, message.uid)?);
        if block.contains(message.uid) {
            lock(memory).insert(key, Cached::Summaries(block.clone()), block.cost());
            return Ok(block);
        }
        // It was expunged; a copy, or a session that reads it, may still have its content.
        let mut block = SummaryBlock { number, entries: vec![], bytes: vec![] };
        match self.mailbox.mailboxes.summary_of(message.content) {
            Ok(Some(summary)) => block.add(message.uid, &summary),
            Ok(None) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        Ok(Arc::new(block))
    }

    /// Reads the block with this number from the tables; computes summaries that are lost, except of damaged contents.
    /// Summaries of more than 256 KiB are left out, except that of the UID `wanted`.
    fn load(&self, number: u32, wanted: Uid) -> Result<SummaryBlock, Error> {
        let first = number << BLOCK_BITS;
        let mut block = SummaryBlock { number, entries: vec![], bytes: vec![] };
        let mailboxes = &self.mailbox.mailboxes;
        let mut lacking_summary = BTreeMap::new();
        let stored = |uid, content, summary: Option<StoredSummary<'_>>| match summary {
            Some(StoredSummary { pieces, sent, sent_at }) => {
                block.push(uid, pieces, sent.and_then(date_of_number), sent_at)
            }
            None => drop(lacking_summary.insert(uid, content)),
        };
        let uids = first..=first + ((1 << BLOCK_BITS) - 1);
        let mailbox = self.mailbox.shared.id;
        let query = SummaryQuery { mailbox, uids, wanted, max_bytes: LARGE_SUMMARY_BYTES };
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

impl SummaryBlock {
    /// Appends the summary of the message with this UID; the caller keeps the entries in ascending order.
    fn add(&mut self, uid: Uid, summary: &Summary) {
        let mut pieces: [&[u8]; PIECES] = [&[]; PIECES];
        (pieces[0], pieces[1]) = (&summary.envelope, &summary.body_structure);
        pieces[2..].iter_mut().zip(&summary.fields).for_each(|(piece, field)| *piece = field.as_bytes());
        let sort_keys = summary.sort_keys.to_bytes();
        pieces[PIECES - 1] = &sort_keys;
        self.push(uid, pieces, summary.sent, summary.sort_keys.sent);
    }

    /// Appends an entry for this UID: the pieces of its summary, the day in its Date field, and when it was sent, in
    /// seconds since 1970. The caller keeps the entries in ascending order.
    fn push(&mut self, uid: Uid, pieces: [&[u8]; PIECES], sent: Option<Date>, sent_at: Option<i64>) {
        let mut bounds = [self.bytes.len() as u32; PIECES + 1];
        for (at, piece) in pieces.into_iter().enumerate() {
            self.bytes.extend_from_slice(piece);
            bounds[at + 1] = self.bytes.len() as u32;
        }
        self.entries.push(Entry { uid, bounds, sent, sent_at });
    }

    /// Whether the summary of the message with this UID is in the block.
    fn contains(&self, uid: Uid) -> bool {
        self.place(uid).is_some()
    }

    /// The index of the entry of a UID; `None` if the block has none.
    fn place(&self, uid: Uid) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    /// The summary at this index; `None` if there is no entry.
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

    /// About the memory that the block takes, in bytes.
    fn cost(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>() + size_of::<Self>()
    }
}

/// About the bytes that a summary takes in a block, for the limit of large ones.
fn summary_bytes(summary: &Summary) -> usize {
    let fields: usize = summary.fields.iter().map(String::len).sum();
    summary.envelope.len() + summary.body_structure.len() + fields
}

/// A day as it is stored: 20261231 for December 31, 2026.
pub(super) fn number_of_date(date: Date) -> i32 {
    i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day())
}

/// The day of a stored number; `None` if it is no date.
fn date_of_number(number: i32) -> Option<Date> {
    let part = |number: i32| number.unsigned_abs() as i8;
    Date::new((number / 10_000) as i16, part(number / 100 % 100), part(number % 100)).ok()
}
