//! Rules out messages that cannot contain a text, by precomputed filters, in blocks that are read with one query and
//! kept in memory.

use std::sync::Arc;

use super::memory::{Cached, Key};
use super::{Error, Mailbox, Uid, sqlite};
use crate::imap::search::{TrigramQuery, trace_text};
use crate::sync::lock;

/// A block covers the filters of `1 << BLOCK_BITS` UIDs.
const BLOCK_BITS: u32 = 6;

/// Checks the messages of a mailbox; fastest in the order of UIDs.
pub struct TextFilter {
    mailbox: Mailbox,
    queries: Vec<TrigramQuery>,
    block: Option<Arc<FilterBlock>>,
}

pub(super) struct FilterBlock {
    number: u32,
    /// By ascending UID.
    entries: Vec<Entry>,
    /// Of each entry in order: its filter, and the text of its trace lines.
    bytes: Vec<u8>,
}

struct Entry {
    uid: Uid,
    start: u32,
    filter_end: u32,
    end: u32,
    /// Without a stored filter, any text may be in the content.
    has_filter: bool,
    /// Any text may be in the trace lines.
    is_trace_unknown: bool,
}

impl Mailbox {
    /// A filter that rules out messages of this mailbox that cannot contain these texts; a text that is too short for
    /// trigrams rules out none.
    pub fn text_filter(&self, texts: &[impl AsRef<str>]) -> TextFilter {
        let queries: Vec<TrigramQuery> = texts.iter().map(|text| TrigramQuery::new(text.as_ref())).collect();
        TextFilter { mailbox: self.clone(), queries, block: None }
    }
}

impl TextFilter {
    /// For each text of the filter, in order, whether the message with this UID may contain it; `false` for all if the
    /// message was expunged and is in no cached block.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn may_hold(&mut self, uid: Uid) -> Result<impl Iterator<Item = bool>, Error> {
        let number = uid >> BLOCK_BITS;
        let is_known = |block: &Arc<FilterBlock>| block.number == number && block.place(uid).is_some();
        if !self.queries.is_empty() && !self.block.as_ref().is_some_and(is_known) {
            self.block = Some(self.block_with(uid, number)?);
        }
        let block = self.block.as_deref();
        let entry = block.and_then(|block| Some((block, block.place(uid)?)));
        Ok(self.queries.iter().map(move |query| entry.is_some_and(|(block, place)| block.may_hold(place, query))))
    }

    /// The block with this `number`, the high bits of the UID: from memory if that has the UID, else read from the
    /// tables and kept in memory.
    fn block_with(&self, uid: Uid, number: u32) -> Result<Arc<FilterBlock>, Error> {
        let key = Key::Filters(self.mailbox.shared.id, number);
        let memory = &self.mailbox.mailboxes.inner.memory;
        if let Some(Cached::Filters(block)) = lock(memory).find(key)
            && block.place(uid).is_some()
        {
            return Ok(block.clone());
        }
        let block = Arc::new(self.load(number)?);
        lock(memory).insert(key, Cached::Filters(block.clone()), block.cost());
        Ok(block)
    }

    /// Reads the block with this number from the tables.
    fn load(&self, number: u32) -> Result<FilterBlock, Error> {
        let mut block = FilterBlock { number, entries: vec![], bytes: vec![] };
        let first = number << BLOCK_BITS;
        let uids = first..=first + ((1 << BLOCK_BITS) - 1);
        let visit = |uid, filter: Option<&[u8]>, trace: &[u8]| block.push(uid, filter, trace_text(trace).as_deref());
        let (store, id) = (&self.mailbox.mailboxes.store, self.mailbox.shared.id);
        store.read(|connection| sqlite::visit_text_filters(connection, id, &uids, visit))?;
        block.bytes.shrink_to_fit();
        Ok(block)
    }
}

impl FilterBlock {
    /// Appends an entry for this UID with the bytes of its `filter` and the text of its `trace` lines; if either is
    /// `None`, the message may contain any text.
    fn push(&mut self, uid: Uid, filter: Option<&[u8]>, trace: Option<&[u8]>) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(filter.unwrap_or_default());
        let filter_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(trace.unwrap_or_default());
        let end = self.bytes.len() as u32;
        let (has_filter, is_trace_unknown) = (filter.is_some(), trace.is_none());
        self.entries.push(Entry { uid, start, filter_end, end, has_filter, is_trace_unknown });
    }

    /// The index of the entry of a UID; `None` if the block has none.
    fn place(&self, uid: Uid) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    /// Whether the message at this index may contain the text of the query: always if the text is too short for
    /// trigrams, or the filter or the text of the trace lines is missing.
    fn may_hold(&self, place: usize, query: &TrigramQuery) -> bool {
        let Entry { start, filter_end, end, has_filter, is_trace_unknown, .. } = self.entries[place];
        let part = |from: u32, to: u32| self.bytes.get(from as usize..to as usize).unwrap_or_default();
        !query.is_selective()
            || !has_filter
            || is_trace_unknown
            || query.may_be_in(part(start, filter_end))
            || query.may_be_in_trace(part(filter_end, end))
    }

    /// About the memory that the block takes, in bytes.
    fn cost(&self) -> usize {
        self.bytes.len() + self.entries.capacity() * size_of::<Entry>() + size_of::<Self>()
    }
}
