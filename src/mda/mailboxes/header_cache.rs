//! What is kept of headers apart from the messages ([`KeptHeader`]), in blocks that are read with one query and kept in
//! memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::memory::{Cached, Key};
use super::{Error, Mailbox, MessageMeta, Uid, sqlite};
use crate::imap::KeptHeader;
use crate::sync::lock;

/// A block covers the header fields of `1 << BLOCK_BITS` UIDs.
const BLOCK_BITS: u32 = 6;

/// Reads the kept headers of a mailbox; fastest in the order of UIDs.
pub struct HeaderReader {
    mailbox: Mailbox,
    block: Option<Arc<HeaderBlock>>,
}

pub(super) struct HeaderBlock {
    number: u32,
    /// By ascending UID.
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// A message, and where its kept header is in the bytes of the block, if it has one.
struct Entry {
    uid: Uid,
    header: Option<KeptHeader<Range<usize>>>,
}

impl Mailbox {
    /// A reader of the kept headers of the messages of this mailbox; reads nothing yet.
    pub fn headers(&self) -> HeaderReader {
        HeaderReader { mailbox: self.clone(), block: None }
    }

    /// The trace fields of a message, each ended by CR LF; `None` if the message was expunged and they are not in
    /// memory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn trace(&self, message: &MessageMeta) -> Result<Option<Bytes>, Error> {
        Ok(self.traces(&[message])?.pop().flatten())
    }
}

impl HeaderReader {
    /// The kept header of a message, without its trace fields, from memory or the tables; `None` if it must be looked
    /// for in the message, because it is long or was lost, or because the message was expunged.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&mut self, message: &MessageMeta) -> Result<Option<KeptHeader<&[u8]>>, Error> {
        let number = message.uid >> BLOCK_BITS;
        if self.block.as_ref().is_none_or(|block| block.number != number || !block.contains(message.uid)) {
            let key = Key::Headers(self.mailbox.shared.id, number);
            let memory = &self.mailbox.mailboxes.inner.memory;
            let cached = match lock(memory).find(key) {
                Some(Cached::Headers(block)) if block.contains(message.uid) => Some(block.clone()),
                _ => None,
            };
            let block = match cached {
                Some(block) => block,
                None => {
                    let block = Arc::new(self.load(number)?);
                    lock(memory).insert(key, Cached::Headers(block.clone()), block.cost());
                    block
                }
            };
            self.block = Some(block);
        }
        Ok(self.block.as_deref().and_then(|block| block.find(message.uid)))
    }

    /// Reads the block with this number from the tables.
    fn load(&self, number: u32) -> Result<HeaderBlock, Error> {
        let mut block = HeaderBlock { number, entries: vec![], bytes: vec![] };
        let first = number << BLOCK_BITS;
        let uids = first..=first + ((1 << BLOCK_BITS) - 1);
        let visit = |uid, header: Option<KeptHeader<&[u8]>>| {
            let header = header.map(|KeptHeader { bytes, is_whole }| {
                let start = block.bytes.len();
                block.bytes.extend_from_slice(bytes);
                KeptHeader { bytes: start..block.bytes.len(), is_whole }
            });
            block.entries.push(Entry { uid, header });
        };
        let id = self.mailbox.shared.id;
        self.mailbox.mailboxes.store.read(|connection| sqlite::visit_headers(connection, id, &uids, visit))?;
        block.bytes.shrink_to_fit();
        Ok(block)
    }
}

impl HeaderBlock {
    /// Whether the message with this UID is in the block, with or without a kept header.
    fn contains(&self, uid: Uid) -> bool {
        self.place(uid).is_some()
    }

    /// The index of the entry of a UID; `None` if the block has none.
    fn place(&self, uid: Uid) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    /// The kept header of the message with this UID; `None` if it has none or is not in the block.
    fn find(&self, uid: Uid) -> Option<KeptHeader<&[u8]>> {
        let KeptHeader { bytes, is_whole } = self.entries[self.place(uid)?].header.as_ref()?;
        Some(KeptHeader { bytes: self.bytes.get(bytes.clone())?, is_whole: *is_whole })
    }

    /// About the memory that the block takes, in bytes.
    fn cost(&self) -> usize {
        self.bytes.len() + self.entries.capacity() * size_of::<Entry>() + size_of::<Self>()
    }
}
