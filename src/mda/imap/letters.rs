//! Messages for FETCH: those that stand next to each other come by one read.

use std::collections::VecDeque;

use crate::mail::Letter;
use crate::mda::{Error, Mailbox, Uid, View};

/// So many messages, and about so many octets, are read ahead.
const AHEAD_MAX: usize = 64;
const AHEAD_OCTETS_MAX: u64 = 256 * 1024;

/// Reads messages of a view in the order of their places.
pub(super) struct Letters {
    mailbox: Mailbox,
    ahead: VecDeque<(Uid, Letter)>,
}

impl Letters {
    pub(super) fn new(mailbox: Mailbox) -> Self {
        Self { mailbox, ahead: VecDeque::new() }
    }

    /// The message at the first of these places, where the others will be asked for next; `None` when it is gone.
    pub(super) fn first(&mut self, view: &View, places: &[usize]) -> Result<Option<Letter>, Error> {
        let Some(message) = places.first().and_then(|place| view.messages.get(*place)) else { return Ok(None) };
        while self.ahead.front().is_some_and(|(uid, _)| *uid < message.uid) {
            self.ahead.pop_front();
        }
        if self.ahead.front().is_none_or(|(uid, _)| *uid != message.uid) {
            let run = places[..run_len(view, places)].iter().map(|place| &view.messages[*place]);
            self.ahead = self.mailbox.letters_of(run)?.into();
        }
        let found = self.ahead.front().is_some_and(|(uid, _)| *uid == message.uid);
        Ok(if found { self.ahead.pop_front().map(|(_, letter)| letter) } else { None })
    }
}

/// How many of the places are read at once: the first one, and those next to each other behind it.
fn run_len(view: &View, places: &[usize]) -> usize {
    let mut octets = 0;
    let is_near = |(place, next): &(&usize, usize)| {
        octets += view.messages[**place].size;
        **place == *next && (*next == places[0] || octets <= AHEAD_OCTETS_MAX)
    };
    places.iter().zip(places[0]..).take(AHEAD_MAX).take_while(is_near).count()
}
