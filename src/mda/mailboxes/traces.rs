//! The trace lines of messages read last, at hand. With the contents that the store has at hand, they are whole letters,
//! and nobody has to ask the tables.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::Uid;

/// Traces kept in memory, of all mailboxes, in octets.
const OCTETS_MAX: usize = 16 * 1024 * 1024;
/// What an entry takes beside its octets, about.
const ENTRY_OCTETS: usize = 128;

/// A mailbox and a message in it; no other message ever has the same.
type Key = (i64, Uid);

/// Traces, oldest out first. A message never changes but for its flags, so what is here holds.
#[derive(Default)]
pub(super) struct Traces {
    by_key: BTreeMap<Key, Bytes>,
    order: VecDeque<Key>,
    octets: usize,
}

impl Traces {
    /// The trace lines of a message, which may have none; `None` when they are not at hand.
    pub(super) fn find(&self, mailbox: i64, uid: Uid) -> Option<Bytes> {
        self.by_key.get(&(mailbox, uid)).cloned()
    }

    pub(super) fn keep(&mut self, mailbox: i64, uid: Uid, trace: &Bytes) {
        let key = (mailbox, uid);
        if OCTETS_MAX < trace.len() || self.by_key.contains_key(&key) {
            return;
        }
        self.octets += trace.len() + ENTRY_OCTETS;
        self.by_key.insert(key, trace.clone());
        self.order.push_back(key);
        while OCTETS_MAX < self.octets
            && let Some(oldest) = self.order.pop_front()
        {
            self.octets -= self.by_key.remove(&oldest).map_or(0, |trace| trace.len() + ENTRY_OCTETS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_stay_until_there_is_no_more_room() {
        let (mut traces, trace) = (Traces::default(), Bytes::from(vec![b'x'; OCTETS_MAX / 4]));
        for uid in 1..=10 {
            traces.keep(1, uid, &trace);
            traces.keep(1, uid, &trace);
            assert!(traces.octets <= OCTETS_MAX && traces.by_key.len() == traces.order.len());
        }
        let found: Vec<Uid> = (1..=10).filter(|uid| traces.find(1, *uid).is_some()).collect();
        assert_eq!(found, [8, 9, 10]);
        assert_eq!(traces.find(2, 10), None);
    }
}
