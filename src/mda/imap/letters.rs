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
            self.ahead = self.mailbox.letters(message.uid, last_of_run(view, places))?.into();
        }
        let found = self.ahead.front().is_some_and(|(uid, _)| *uid == message.uid);
        Ok(if found { self.ahead.pop_front().map(|(_, letter)| letter) } else { None })
    }
}

/// The UID up to which to read.
fn last_of_run(view: &View, places: &[usize]) -> Uid {
    let (mut octets, mut last) = (0, 0);
    for (place, next) in places.iter().zip(places[0]..).take(AHEAD_MAX) {
        let message = &view.messages[*place];
        octets += message.size;
        if last != 0 && (*place != next || AHEAD_OCTETS_MAX < octets) {
            break;
        }
        last = message.uid;
    }
    last
}
