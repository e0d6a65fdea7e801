//! The maildrop of one session: its messages when it was opened, and which are marked. RFC 1939 §5.

use super::Entry;

/// Messages by number, from 1; marked ones are treated as deleted.
#[derive(Debug)]
pub(super) struct Maildrop {
    messages: Vec<Message>,
}

#[derive(Debug)]
struct Message {
    entry: Entry,
    deleted: bool,
}

impl Maildrop {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self { messages: entries.into_iter().map(|entry| Message { entry, deleted: false }).collect() }
    }

    /// The message with this number, from 1; `None` if it does not exist or is marked.
    pub(super) fn find(&self, number: usize) -> Option<&Entry> {
        let message = self.messages.get(number.checked_sub(1)?)?;
        (!message.deleted).then_some(&message.entry)
    }

    /// The messages that are not marked, with their numbers, from 1, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Entry)> {
        (1..)
            .zip(&self.messages)
            .filter(|(_, message)| !message.deleted)
            .map(|(number, message)| (number, &message.entry))
    }

    /// Count and total size in bytes of the messages that are not marked, for STAT.
    pub(super) fn totals(&self) -> (usize, u64) {
        self.iter().fold((0, 0), |(count, bytes), (_, entry)| (count + 1, bytes + entry.size))
    }

    /// Marks the message with this number, from 1, as deleted; returns `false` if it does not exist or is marked
    /// already.
    pub(super) fn delete(&mut self, number: usize) -> bool {
        let message = number.checked_sub(1).and_then(|index| self.messages.get_mut(index));
        message.is_some_and(|message| !std::mem::replace(&mut message.deleted, true))
    }

    /// Removes all marks, for RSET.
    pub(super) fn reset(&mut self) {
        self.messages.iter_mut().for_each(|message| message.deleted = false);
    }

    /// The indexes of the marked messages, from 0, ascending.
    pub(super) fn deleted(&self) -> Vec<usize> {
        self.messages.iter().enumerate().filter(|(_, message)| message.deleted).map(|(index, _)| index).collect()
    }
}
