//! The messages of a mailbox at one moment, in blocks that are shared between views as long as they are equal.
//!
//! ```text
//! before   [0..255]  [256..511]  [512..767]     blocks by UID; each holds the existing messages of its UIDs
//!              |         |            |
//! after    [0..255]  [256..511]  [512..767]'    one message was added: one block is new
//! ```
//!
//! So a change costs one block and a list of pointers, however many messages there are, and a comparison of two views
//! skips the blocks that they share. A block knows its last change and how many of its messages are unseen, so that
//! these are found without a look at the others.

use std::collections::BTreeSet;
use std::ops::Index;
use std::sync::Arc;

use super::keywords::KeywordLists;
use super::{Changes, MessageMeta, Uid};
use crate::imap::SystemFlags;

/// A block covers `1 << BLOCK_BITS` UIDs.
const BLOCK_BITS: u32 = 8;

/// Messages by ascending UID; the sequence number of a message is its place, counted from 1. Clones share their blocks.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// By ascending number; none is empty.
    blocks: Vec<Block>,
    keywords: Arc<KeywordLists>,
}

#[derive(Clone, Debug)]
struct Block {
    /// The high bits of its UIDs.
    number: u32,
    /// The number of messages in the blocks before it.
    start: usize,
    /// The number of its messages, which is asked for more often than they are.
    len: u32,
    /// No message was changed later; some that were may be gone.
    last_change: u64,
    /// Messages without `\Seen`.
    unseen: u32,
    messages: Arc<Vec<MessageMeta>>,
}

impl Messages {
    /// The number of messages.
    pub fn len(&self) -> usize {
        self.blocks.last().map_or(0, Block::end)
    }

    /// Whether there are no messages.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// All messages, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &MessageMeta> + Clone {
        self.blocks.iter().flat_map(|block| block.messages.iter())
    }

    /// The messages from this place on, counted from 0, in order; none if the place is beyond the last.
    pub fn iter_from(&self, place: usize) -> impl Iterator<Item = &MessageMeta> {
        let first = self.blocks.partition_point(|block| block.end() <= place);
        let skip = self.blocks.get(first).map_or(0, |block| place - block.start);
        self.blocks[first..].iter().flat_map(|block| block.messages.iter()).skip(skip)
    }

    /// The messages that were changed after a modification sequence, with their places from 0, in order.
    pub fn changed_after(&self, modseq: u64) -> impl Iterator<Item = (usize, &MessageMeta)> {
        let blocks = self.blocks.iter().filter(move |block| modseq < block.last_change);
        let messages = blocks.flat_map(|block| (block.start..).zip(block.messages.iter()));
        messages.filter(move |(_, message)| modseq < message.modseq)
    }

    /// The place, from 0, of the first message without `\Seen`; `None` if there is none.
    pub fn first_unseen(&self) -> Option<usize> {
        let block = self.blocks.iter().find(|block| block.unseen != 0)?;
        Some(block.start + block.messages.iter().position(is_unseen)?)
    }

    /// The keywords of the messages, each once, perhaps with some that messages no longer have, and without those of
    /// lists beyond the 1000 that are shared.
    pub fn keywords(&self) -> BTreeSet<&str> {
        self.keywords.words()
    }

    /// About the memory that the messages take, in bytes, blocks shared with other views included.
    pub fn bytes(&self) -> usize {
        let blocks = self.blocks.len() * (size_of::<Block>() + size_of::<Vec<MessageMeta>>());
        self.len() * size_of::<MessageMeta>() + blocks + self.keywords.bytes()
    }

    /// The message at a place, from 0; `None` if there is none.
    pub fn get(&self, place: usize) -> Option<&MessageMeta> {
        let block = &self.blocks[self.blocks.partition_point(|block| block.start <= place).checked_sub(1)?];
        block.messages.get(place - block.start)
    }

    /// The message with the highest UID; `None` if there are no messages.
    pub fn last(&self) -> Option<&MessageMeta> {
        self.blocks.last()?.messages.last()
    }

    /// The message with this UID; `None` if there is none.
    pub fn find(&self, uid: Uid) -> Option<&MessageMeta> {
        let block = &self.blocks[self.block(uid).ok()?];
        block.place(uid).ok().map(|at| &block.messages[at])
    }

    /// The place of the message with this UID, from 0; `None` if there is none.
    pub fn place(&self, uid: Uid) -> Option<usize> {
        let block = &self.blocks[self.block(uid).ok()?];
        block.place(uid).ok().map(|at| block.start + at)
    }

    /// The number of messages with a lower UID: the place, from 0, of the first message from this UID on.
    pub fn count_before(&self, uid: Uid) -> usize {
        match self.block(uid) {
            Ok(at) => {
                let block = &self.blocks[at];
                block.start + block.place(uid).unwrap_or_else(|place| place)
            }
            Err(at) => self.blocks.get(at).map_or(self.len(), |block| block.start),
        }
    }

    /// Inserts a message in the order of UIDs; replaces one with the same UID.
    pub fn insert(&mut self, mut message: MessageMeta) {
        message.keywords = KeywordLists::share(&mut self.keywords, message.keywords);
        let at = match self.block(message.uid) {
            Ok(at) => at,
            Err(at) => {
                let number = message.uid >> BLOCK_BITS;
                let start = self.blocks.get(at).map_or(self.len(), |block| block.start);
                self.blocks
                    .insert(at, Block { number, start, len: 0, last_change: 0, unseen: 0, messages: Arc::default() });
                at
            }
        };
        let block = &mut self.blocks[at];
        let place = block.place(message.uid);
        block.last_change = block.last_change.max(message.modseq);
        block.unseen += u32::from(is_unseen(&message));
        let messages = Arc::make_mut(&mut block.messages);
        match place {
            Ok(place) => {
                block.unseen -= u32::from(is_unseen(&messages[place]));
                messages[place] = message;
            }
            Err(place) => {
                messages.insert(place, message);
                block.len += 1;
                self.blocks[at + 1..].iter_mut().for_each(|block| block.start += 1);
            }
        }
    }

    /// Applies `change`, which must keep the UID, to the message with this UID; does nothing if it does not exist.
    pub(super) fn change(&mut self, uid: Uid, change: impl FnOnce(&mut MessageMeta)) {
        let Ok(at) = self.block(uid) else { return };
        let block = &mut self.blocks[at];
        if let Ok(place) = block.place(uid) {
            let message = &mut Arc::make_mut(&mut block.messages)[place];
            block.unseen -= u32::from(is_unseen(message));
            change(message);
            block.unseen += u32::from(is_unseen(message));
            block.last_change = block.last_change.max(message.modseq);
            message.keywords = KeywordLists::share(&mut self.keywords, std::mem::take(&mut message.keywords));
        }
    }

    /// Removes messages from this list; UIDs that do not exist are ignored.
    pub(in crate::mda) fn remove(&mut self, uids: &[Uid]) {
        for uid in uids {
            let Ok(at) = self.block(*uid) else { continue };
            let block = &mut self.blocks[at];
            if let Ok(place) = block.place(*uid) {
                let gone = Arc::make_mut(&mut block.messages).remove(place);
                block.unseen -= u32::from(is_unseen(&gone));
                block.len -= 1;
            }
        }
        self.blocks.retain(|block| block.len != 0);
        let mut start = 0;
        for block in &mut self.blocks {
            block.start = start;
            start = block.end();
        }
    }

    /// Adds to `changes` the UIDs of the messages that were expunged, added or changed since `older`, an earlier state
    /// of the same mailbox; ascending.
    pub(super) fn compare(&self, older: &Self, changes: &mut Changes) {
        let (mut before, mut now) = (older.blocks.iter().peekable(), self.blocks.iter().peekable());
        loop {
            match (before.peek(), now.peek()) {
                (Some(old), Some(new)) if old.number == new.number => {
                    if !Arc::ptr_eq(&old.messages, &new.messages) {
                        compare(&old.messages, &new.messages, changes);
                    }
                    before.next();
                    now.next();
                }
                (Some(old), new) if new.is_none_or(|new| old.number < new.number) => {
                    compare(&old.messages, &[], changes);
                    before.next();
                }
                (_, Some(new)) => {
                    compare(&[], &new.messages, changes);
                    now.next();
                }
                (Some(_), None) | (None, None) => return,
            }
        }
    }

    /// The index in `blocks` of the block for this UID; as an error, where that block would be inserted.
    fn block(&self, uid: Uid) -> Result<usize, usize> {
        self.blocks.binary_search_by_key(&(uid >> BLOCK_BITS), |block| block.number)
    }
}

impl Block {
    /// The place in the mailbox, from 0, after the last message of the block.
    fn end(&self) -> usize {
        self.start + self.len as usize
    }

    /// The index of the message with this UID in the block, from 0; as an error, where it would be inserted.
    fn place(&self, uid: Uid) -> Result<usize, usize> {
        self.messages.binary_search_by_key(&uid, |message| message.uid)
    }
}

/// Adds to `changes` the UIDs that only `before` has, those that only `now` has, and those whose modification sequences
/// differ; both lists are by ascending UID.
fn compare(before: &[MessageMeta], now: &[MessageMeta], changes: &mut Changes) {
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    loop {
        match (before.peek(), now.peek()) {
            (Some(old), Some(new)) if old.uid == new.uid => {
                if old.modseq != new.modseq {
                    changes.changed.push(new.uid);
                }
                before.next();
                now.next();
            }
            (Some(old), new) if new.is_none_or(|new| old.uid < new.uid) => {
                changes.expunged.push(old.uid);
                before.next();
            }
            (_, Some(new)) => {
                changes.arrived.push(new.uid);
                now.next();
            }
            (Some(_), None) | (None, None) => return,
        }
    }
}

impl Index<usize> for Messages {
    type Output = MessageMeta;

    /// The message at a place, which must exist.
    fn index(&self, place: usize) -> &MessageMeta {
        self.get(place).expect("a place in the mailbox")
    }
}

impl PartialEq for Messages {
    /// Whether both have the same messages with the same metadata, however they are divided into blocks.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl FromIterator<MessageMeta> for Messages {
    /// The messages of a mailbox, given in any order, fastest by ascending UID; of several with the same UID the last
    /// counts.
    fn from_iter<I: IntoIterator<Item = MessageMeta>>(messages: I) -> Self {
        let mut builder = MessagesBuilder::default();
        messages.into_iter().for_each(|message| builder.push(message));
        builder.finish()
    }
}

/// Takes messages one by one, fastest by ascending UID.
#[derive(Default)]
pub(super) struct MessagesBuilder {
    messages: Messages,
    /// Those of one block, by ascending UID.
    open: Vec<MessageMeta>,
}

impl MessagesBuilder {
    /// Adds a message; replaces one with the same UID.
    pub(super) fn push(&mut self, mut message: MessageMeta) {
        let is_next =
            |last: &MessageMeta| last.uid >> BLOCK_BITS == message.uid >> BLOCK_BITS && last.uid < message.uid;
        if !self.open.last().is_none_or(is_next) {
            self.close();
        }
        message.keywords = KeywordLists::share(&mut self.messages.keywords, message.keywords);
        self.open.push(message);
    }

    /// The messages that were added.
    pub(super) fn finish(mut self) -> Messages {
        self.close();
        self.messages
    }

    /// Makes the open messages a block at the end, or inserts them one by one if their block is not after the last one;
    /// leaves no message open.
    fn close(&mut self) {
        let Some(first) = self.open.first() else { return };
        let number = first.uid >> BLOCK_BITS;
        if self.messages.blocks.last().is_some_and(|last| number <= last.number) {
            self.open.drain(..).for_each(|message| self.messages.insert(message));
            return;
        }
        let unseen = self.open.iter().filter(|message| is_unseen(message)).count() as u32;
        let last_change = self.open.iter().map(|message| message.modseq).max().unwrap_or_default();
        let mut messages = std::mem::replace(&mut self.open, Vec::with_capacity(1 << BLOCK_BITS));
        messages.shrink_to_fit();
        let (start, len) = (self.messages.len(), messages.len() as u32);
        self.messages.blocks.push(Block { number, start, len, last_change, unseen, messages: Arc::new(messages) });
    }
}

/// Whether the message lacks `\Seen`.
fn is_unseen(message: &MessageMeta) -> bool {
    !message.flags.contains(SystemFlags::SEEN)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::world::Rng;

    fn message(uid: Uid, modseq: u64) -> MessageMeta {
        let flags = if modseq.is_multiple_of(3) { SystemFlags::NONE } else { SystemFlags::SEEN };
        let keywords = if modseq.is_multiple_of(4) { vec!["work".to_owned()].into() } else { Default::default() };
        MessageMeta { uid, flags, keywords, modseq, received: 0, saved: 0, size: 1, content: 1, email: 1 }
    }

    fn modseqs(messages: &Messages) -> BTreeMap<Uid, u64> {
        messages.iter().map(|message| (message.uid, message.modseq)).collect()
    }

    /// Every accessor agrees with a plain map.
    fn check(messages: &Messages, model: &BTreeMap<Uid, u64>) {
        assert_eq!(modseqs(messages), *model);
        assert_eq!((messages.len(), messages.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(messages.last().map(|message| message.uid), model.keys().last().copied());
        for (place, uid) in model.keys().enumerate() {
            assert_eq!((messages[place].uid, messages.place(*uid)), (*uid, Some(place)));
            assert_eq!((messages.count_before(*uid), messages.find(*uid).unwrap().uid), (place, *uid));
            assert_eq!(messages.iter_from(place).count(), model.len() - place);
        }
        let first_unseen = model.values().position(|modseq| modseq.is_multiple_of(3));
        assert_eq!(messages.first_unseen(), first_unseen);
        let last = model.values().copied().max().unwrap_or_default();
        for modseq in [0, last / 2, last.saturating_sub(1), last] {
            let changed = messages.changed_after(modseq).map(|(place, message)| (place, message.uid));
            let wanted =
                model.iter().enumerate().filter(|(_, (_, own))| modseq < **own).map(|(at, (uid, _))| (at, *uid));
            assert!(changed.eq(wanted), "after {modseq}");
        }
        assert_eq!(messages.get(model.len()), None);
        assert_eq!(messages.iter_from(model.len()).count(), 0);
    }

    #[test]
    fn messages_built_in_any_order_are_in_order() {
        let rng = Rng::seeded(1);
        let mut uids: Vec<Uid> = (1..2_000).step_by(3).collect();
        let expected: Messages = uids.iter().map(|uid| message(*uid, u64::from(*uid))).collect();
        rng.shuffle(&mut uids);
        let built: Messages = uids.iter().map(|uid| message(*uid, u64::from(*uid))).collect();
        assert_eq!(built, expected);
        check(&built, &modseqs(&expected));
    }

    #[test]
    fn messages_after_random_changes_equal_a_plain_map() {
        for seed in 0..10 {
            let rng = Rng::seeded(seed);
            let (mut messages, mut model) = (Messages::default(), BTreeMap::new());
            for step in 1..200 {
                let uid = rng.below(2_000) as Uid + 1;
                match rng.below(4) {
                    0 | 1 => {
                        messages.insert(message(uid, step));
                        model.insert(uid, step);
                    }
                    2 => {
                        let now = message(uid, step);
                        messages.change(uid, |message| *message = now);
                        model.entry(uid).and_modify(|modseq| *modseq = step);
                    }
                    _ => {
                        let uids: Vec<Uid> = (uid..uid + 300).collect();
                        messages.remove(&uids);
                        model.retain(|uid, _| !uids.contains(uid));
                    }
                }
                check(&messages, &model);
                assert_eq!(messages, messages.iter().cloned().collect());
            }
        }
    }

    #[test]
    fn messages_after_a_change_share_the_other_blocks() {
        let before: Messages = (1..=1_000).map(|uid| message(uid, 1)).collect();
        let mut after = before.clone();
        after.change(300, |message| message.modseq = 2);
        after.remove(&[1_000]);
        after.insert(message(5_000, 3));
        let shared = before.blocks.iter().zip(&after.blocks);
        let shared: Vec<bool> = shared.map(|(a, b)| Arc::ptr_eq(&a.messages, &b.messages)).collect();
        assert_eq!(shared, [true, false, true, false]);
        let mut changes = Changes::default();
        after.compare(&before, &mut changes);
        assert_eq!(changes, Changes { expunged: vec![1_000], arrived: vec![5_000], changed: vec![300] });
    }
}
