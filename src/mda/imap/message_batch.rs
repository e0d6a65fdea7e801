//! Reads messages for FETCH: adjacent ones with one query.

use std::collections::VecDeque;

use crate::mail::Message;
use crate::mda::{Error, Mailbox, Uid, View};

/// How many messages, and about how many bytes, are read ahead.
const MAX_READ_AHEAD: usize = 64;
const MAX_READ_AHEAD_BYTES: u64 = 256 * 1024;

/// Reads messages of a view in the order of their places.
pub(super) struct MessageBatch {
    mailbox: Mailbox,
    read_ahead: VecDeque<(Uid, Message)>,
}

impl MessageBatch {
    pub(super) fn new(mailbox: Mailbox) -> Self {
        Self { mailbox, read_ahead: VecDeque::new() }
    }

    /// The message at the first of these places, ascending; the others are requested next, and read ahead if they are
    /// adjacent. `None` if it was expunged or `places` is empty; fails if it is damaged.
    pub(super) fn first(&mut self, view: &View, places: &[usize]) -> Result<Option<Message>, Error> {
        let Some(meta) = places.first().and_then(|place| view.messages.get(*place)) else { return Ok(None) };
        while self.read_ahead.front().is_some_and(|(uid, _)| *uid < meta.uid) {
            self.read_ahead.pop_front();
        }
        if self.read_ahead.front().is_none_or(|(uid, _)| *uid != meta.uid) {
            let run = places[..run_len(view, places)].iter().map(|place| &view.messages[*place]);
            self.read_ahead = self.mailbox.messages_of(run)?.into();
        }
        let found = self.read_ahead.front().is_some_and(|(uid, _)| *uid == meta.uid);
        Ok(if found { self.read_ahead.pop_front().map(|(_, message)| message) } else { None })
    }
}

/// How many of the places, at least one, are read with one query: the first, and those adjacent to it up to 64 messages
/// and about 256 KiB.
fn run_len(view: &View, places: &[usize]) -> usize {
    let mut bytes = 0;
    let is_near = |(place, next): &(&usize, usize)| {
        bytes += view.messages[**place].size;
        **place == *next && (*next == places[0] || bytes <= MAX_READ_AHEAD_BYTES)
    };
    places.iter().zip(places[0]..).take(MAX_READ_AHEAD).take_while(is_near).count()
}
