//! Greylisting: mail of an unknown client, sender and recipient is deferred once, and accepted on the next try. RFC 6647
//! §2.1.
//!
//! ```text
//!  unknown ── first try: 450 ──▶ waits ── comes back in time ──▶ known ── mail ──▶ known for `lifetime` more
//!     ▲                            │ too late                      │ no mail for `lifetime`
//!     └────────────────────────────┴───────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::mail::{Address, ReversePath};
use crate::world::{Greylisting, later};

/// Maximum number of triplets; the one that expires first makes room.
const MAX_ENTRIES: usize = 100_000;

/// Client, sender and recipient.
pub(super) type Triplet = (IpAddr, ReversePath, Address);

/// The triplets that wait or are known.
#[derive(Default)]
pub(super) struct Greylist {
    seen: BTreeMap<Triplet, Seen>,
    /// The same, by expiry.
    ends: BTreeSet<(Timestamp, Triplet)>,
}

#[derive(Clone, Copy)]
struct Seen {
    until: Timestamp,
    /// When an unknown triplet is accepted; `None` for a known one.
    waits_until: Option<Timestamp>,
}

impl Greylist {
    /// Registers a try of this triplet at `now`, after removing those that have expired. Returns how long its client
    /// must still wait: `rule.delay` from the first try, which is forgotten after `rule.retry_within`. `None` accepts
    /// the triplet, which is known for `rule.lifetime` from now on.
    pub(super) fn wait_for(&mut self, rule: &Greylisting, triplet: Triplet, now: Timestamp) -> Option<Duration> {
        self.remove_expired(now);
        let waits_until = match self.seen.get(&triplet) {
            None => Some(later(now, rule.delay)),
            Some(seen) => seen.waits_until.filter(|until| now < *until),
        };
        let until = match (waits_until, self.seen.get(&triplet)) {
            (Some(_), Some(seen)) => seen.until,
            (Some(_), None) => later(now, rule.retry_within),
            (None, _) => later(now, rule.lifetime),
        };
        self.insert(triplet, Seen { until, waits_until });
        Duration::try_from(waits_until?.duration_since(now)).ok()
    }

    /// Sets the state of a triplet; if there are more than `MAX_ENTRIES` then, removes the one that expires first.
    fn insert(&mut self, triplet: Triplet, seen: Seen) {
        self.ends.insert((seen.until, triplet.clone()));
        if let Some(before) = self.seen.insert(triplet.clone(), seen)
            && before.until != seen.until
        {
            self.ends.remove(&(before.until, triplet));
        }
        if MAX_ENTRIES < self.seen.len() {
            self.remove_first();
        }
    }

    /// Removes all triplets that expire at `now` or before.
    fn remove_expired(&mut self, now: Timestamp) {
        while self.ends.first().is_some_and(|(until, _)| *until <= now) {
            self.remove_first();
        }
    }

    /// Removes the triplet that expires first, if there is one.
    fn remove_first(&mut self) {
        if let Some((_, triplet)) = self.ends.pop_first() {
            self.seen.remove(&triplet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Clients;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;

    fn rule() -> Greylisting {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        let exempt = Clients::default();
        Greylisting { delay: Duration::from_secs(300), retry_within: hours(24), lifetime: hours(240), exempt }
    }

    fn triplet(client: u8, to: &str) -> Triplet {
        ([192, 0, 2, client].into(), Some("ann@a.test".parse().unwrap()), to.parse().unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// RFC 6647 §2.1, §5.
    #[test]
    fn greylist_when_client_returns_in_time_accepts_and_remembers() {
        let (mut greylist, one) = (Greylist::default(), triplet(1, "bob@b.test"));
        for (seconds, waits) in [
            (0, Some(300)),
            (299, Some(1)),
            (300, None),
            (HOUR, None),
            (HOUR + 239 * HOUR, None),
            (HOUR + (239 + 240) * HOUR, Some(300)),
            (HOUR + (239 + 240 + 24) * HOUR, Some(300)),
            (HOUR + (239 + 240 + 24) * HOUR + 5 * MINUTE, None),
        ] {
            let wait = greylist.wait_for(&rule(), one.clone(), at(seconds));
            assert_eq!(wait.map(|wait| wait.as_secs()), waits, "after {seconds} s");
        }
    }

    #[test]
    fn greylist_with_other_triplet_waits_again() {
        let mut greylist = Greylist::default();
        let null = ([192, 0, 2, 1].into(), None, "bob@b.test".parse().unwrap());
        for other in [triplet(1, "bob@b.test"), triplet(2, "bob@b.test"), triplet(1, "cat@b.test"), null] {
            assert!(greylist.wait_for(&rule(), other, at(600)).is_some());
        }
        assert!(greylist.wait_for(&rule(), triplet(2, "bob@b.test"), at(900)).is_none());
    }

    #[test]
    fn greylist_when_full_keeps_known_triplets() {
        let mut greylist = Greylist::default();
        for seconds in [0, 300] {
            let _ = greylist.wait_for(&rule(), triplet(1, "bob@b.test"), at(seconds));
        }
        for number in 0..MAX_ENTRIES + 10 {
            let _ = greylist.wait_for(&rule(), triplet(2, &format!("u{number}@b.test")), at(301));
        }
        assert_eq!((greylist.seen.len(), greylist.ends.len()), (MAX_ENTRIES, MAX_ENTRIES));
        assert!(greylist.wait_for(&rule(), triplet(1, "bob@b.test"), at(302)).is_none());
    }
}
