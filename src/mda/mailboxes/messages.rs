//! The messages of a mailbox at one moment, in blocks that two moments share where nothing differs.
//!
//! ```text
//! before   [0..255]  [256..511]  [512..767]     blocks by UID; each holds those of its UIDs that are there
//!              |         |            |
//! after    [0..255]  [256..511]  [512..767]'    one message has arrived: one block is new
//! ```
//!
//! So a change costs a block and a list of pointers however many messages there are, and two moments are compared by
//! looking only into blocks that they do not share.

use std::ops::Index;
use std::sync::Arc;

use super::{Changes, Message, Uid};

/// A block holds the messages of `1 << BLOCK_BITS` UIDs.
const BLOCK_BITS: u32 = 8;

/// Messages by ascending UID; the sequence number of a message is its place, from 1. Clones share what they hold.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// By ascending number; none is empty.
    blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
struct Block {
    /// The high bits of its UIDs.
    number: u32,
    /// How many messages there are in the blocks before it.
    start: usize,
    messages: Arc<Vec<Message>>,
}

impl Messages {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.blocks.last().map_or(0, Block::end)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Message> + Clone {
        self.blocks.iter().flat_map(|block| block.messages.iter())
    }

    /// Those from a place on, in order.
    pub fn iter_from(&self, place: usize) -> impl Iterator<Item = &Message> {
        let first = self.blocks.partition_point(|block| block.end() <= place);
        let skip = self.blocks.get(first).map_or(0, |block| place - block.start);
        self.blocks[first..].iter().flat_map(|block| block.messages.iter()).skip(skip)
    }

    /// The message at a place, from 0.
    pub fn get(&self, place: usize) -> Option<&Message> {
        let block = &self.blocks[self.blocks.partition_point(|block| block.start <= place).checked_sub(1)?];
        block.messages.get(place - block.start)
    }

    /// The one with the highest UID.
    pub fn last(&self) -> Option<&Message> {
        self.blocks.last()?.messages.last()
    }

    /// The message with this UID.
    pub fn find(&self, uid: Uid) -> Option<&Message> {
        let block = &self.blocks[self.block(uid).ok()?];
        block.place(uid).ok().map(|at| &block.messages[at])
    }

    /// The place of the message with this UID, from 0.
    pub fn place(&self, uid: Uid) -> Option<usize> {
        let block = &self.blocks[self.block(uid).ok()?];
        block.place(uid).ok().map(|at| block.start + at)
    }

    /// How many have a lower UID: the place of the first message from this UID on.
    pub fn count_before(&self, uid: Uid) -> usize {
        match self.block(uid) {
            Ok(at) => {
                let block = &self.blocks[at];
                block.start + block.place(uid).unwrap_or_else(|place| place)
            }
            Err(at) => self.blocks.get(at).map_or(self.len(), |block| block.start),
        }
    }

    /// Puts a message in its place, in the place of one with its UID if there is one.
    pub fn insert(&mut self, message: Message) {
        let at = match self.block(message.uid) {
            Ok(at) => at,
            Err(at) => {
                let number = message.uid >> BLOCK_BITS;
                let start = self.blocks.get(at).map_or(self.len(), |block| block.start);
                self.blocks.insert(at, Block { number, start, messages: Arc::default() });
                at
            }
        };
        let block = &mut self.blocks[at];
        let place = block.place(message.uid);
        let messages = Arc::make_mut(&mut block.messages);
        match place {
            Ok(place) => messages[place] = message,
            Err(place) => {
                messages.insert(place, message);
                self.blocks[at + 1..].iter_mut().for_each(|block| block.start += 1);
            }
        }
    }

    /// Changes the message with this UID, if it is there.
    pub(super) fn change(&mut self, uid: Uid, change: impl FnOnce(&mut Message)) {
        let Ok(at) = self.block(uid) else { return };
        let block = &mut self.blocks[at];
        if let Ok(place) = block.place(uid) {
            change(&mut Arc::make_mut(&mut block.messages)[place]);
        }
    }

    /// Takes messages out; UIDs that are not there are passed over.
    pub(in crate::mda) fn remove(&mut self, uids: &[Uid]) {
        for uid in uids {
            let Ok(at) = self.block(*uid) else { continue };
            let block = &mut self.blocks[at];
            if let Ok(place) = block.place(*uid) {
                Arc::make_mut(&mut block.messages).remove(place);
            }
        }
        self.blocks.retain(|block| !block.messages.is_empty());
        let mut start = 0;
        for block in &mut self.blocks {
            block.start = start;
            start = block.end();
        }
    }

    /// Adds how this differs from an older moment of the same mailbox.
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

    /// Where the block of this UID is, or where it would be.
    fn block(&self, uid: Uid) -> Result<usize, usize> {
        self.blocks.binary_search_by_key(&(uid >> BLOCK_BITS), |block| block.number)
    }
}

impl Block {
    fn end(&self) -> usize {
        self.start + self.messages.len()
    }

    fn place(&self, uid: Uid) -> Result<usize, usize> {
        self.messages.binary_search_by_key(&uid, |message| message.uid)
    }
}

fn compare(before: &[Message], now: &[Message], changes: &mut Changes) {
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
    type Output = Message;

    /// The message at a place that exists.
    fn index(&self, place: usize) -> &Message {
        self.get(place).expect("a place in the mailbox")
    }
}

impl PartialEq for Messages {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl FromIterator<Message> for Messages {
    /// They must come by ascending UID.
    fn from_iter<I: IntoIterator<Item = Message>>(messages: I) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open: Vec<Message> = Vec::new();
        let mut start = 0;
        let mut close = |open: &mut Vec<Message>| {
            let Some(first) = open.first() else { return };
            let block = Block { number: first.uid >> BLOCK_BITS, start, messages: Arc::new(std::mem::take(open)) };
            start = block.end();
            blocks.push(block);
        };
        for message in messages {
            if open.first().is_some_and(|first| first.uid >> BLOCK_BITS != message.uid >> BLOCK_BITS) {
                close(&mut open);
            }
            open.push(message);
        }
        close(&mut open);
        Self { blocks }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::imap::Flags;
    use crate::world::Dice;

    fn message(uid: Uid, modseq: u64) -> Message {
        let (received, saved) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH);
        Message { uid, flags: Flags::default(), modseq, received, saved, size: 1, content: 1, email: 1 }
    }

    fn drawn(messages: &Messages) -> BTreeMap<Uid, u64> {
        messages.iter().map(|message| (message.uid, message.modseq)).collect()
    }

    /// Every way to look agrees with a plain map.
    fn check(messages: &Messages, model: &BTreeMap<Uid, u64>) {
        assert_eq!(drawn(messages), *model);
        assert_eq!((messages.len(), messages.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(messages.last().map(|message| message.uid), model.keys().last().copied());
        for (place, uid) in model.keys().enumerate() {
            assert_eq!((messages[place].uid, messages.place(*uid)), (*uid, Some(place)));
            assert_eq!((messages.count_before(*uid), messages.find(*uid).unwrap().uid), (place, *uid));
            assert_eq!(messages.iter_from(place).count(), model.len() - place);
        }
        assert_eq!(messages.get(model.len()), None);
        assert_eq!(messages.iter_from(model.len()).count(), 0);
    }

    #[test]
    fn a_list_in_blocks_is_as_good_as_a_plain_one() {
        for seed in 0..10 {
            let dice = Dice::seeded(seed);
            let (mut messages, mut model) = (Messages::default(), BTreeMap::new());
            for step in 1..200 {
                let uid = dice.below(2_000) as Uid + 1;
                match dice.below(4) {
                    0 | 1 => {
                        messages.insert(message(uid, step));
                        model.insert(uid, step);
                    }
                    2 => {
                        messages.change(uid, |message| message.modseq = step);
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
    fn a_change_leaves_the_other_blocks_shared() {
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
