//! What the resolver remembers: answers, also negative ones, until their time is up. RFC 1035 §7.4, RFC 2308 §5.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use tokio::time::Instant;

use super::question::Outcome;

/// So many answers are kept; then those that end soonest make room.
const ENTRIES_MAX: usize = 4096;
/// No answer is kept longer, whatever it says. RFC 1035 §3.2.1 leaves the limit to us.
const POSITIVE_MAX: Duration = Duration::from_secs(24 * 3600);
/// No negative answer is kept longer. RFC 2308 §5 finds one to three hours sensible.
const NEGATIVE_MAX: Duration = Duration::from_secs(3 * 3600);

type Key = (Name, u16);

/// A bounded table of answers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Key, (Instant, Outcome)>,
    /// The same keys in the order in which they end.
    ends: BTreeSet<(Instant, Key)>,
}

impl Cache {
    /// The answer to a question, if one is known and still holds.
    pub(super) fn find(&self, name: &Name, kind: RecordType, now: Instant) -> Option<Outcome> {
        let (end, outcome) = self.entries.get(&(name.clone(), kind.into()))?;
        (now < *end).then(|| outcome.clone())
    }

    /// Keeps an answer for as long as it says.
    pub(super) fn keep(&mut self, name: Name, kind: RecordType, outcome: Outcome, now: Instant) {
        let longest = if matches!(outcome, Outcome::Found { .. }) { POSITIVE_MAX } else { NEGATIVE_MAX };
        let time = Duration::from_secs(outcome.ttl().into()).min(longest);
        if time.is_zero() {
            return;
        }
        let key = (name, kind.into());
        if let Some((end, _)) = self.entries.remove(&key) {
            self.ends.remove(&(end, key.clone()));
        } else if self.entries.len() == ENTRIES_MAX
            && let Some((_, soonest)) = self.ends.pop_first()
        {
            self.entries.remove(&soonest);
        }
        self.ends.insert((now + time, key.clone()));
        self.entries.insert(key, (now + time, outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::super::zone::parse;
    use super::*;

    fn gone(ttl: u32) -> Outcome {
        Outcome::NoSuchName { ttl }
    }

    fn keep(cache: &mut Cache, name: &str, ttl: u32, now: Instant) {
        cache.keep(parse(name).unwrap(), RecordType::A, gone(ttl), now);
    }

    fn knows(cache: &Cache, name: &str, now: Instant) -> bool {
        cache.find(&parse(name).unwrap(), RecordType::A, now).is_some()
    }

    #[test]
    fn an_answer_is_forgotten_when_its_time_is_up() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        keep(&mut cache, "a.test", 60, now);
        assert!(knows(&cache, "A.TEST", now + Duration::from_secs(59)));
        assert!(!knows(&cache, "a.test", now + Duration::from_secs(60)));
        assert!(cache.find(&parse("a.test").unwrap(), RecordType::MX, now).is_none());
    }

    #[test]
    fn an_answer_without_time_to_live_is_not_kept() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        keep(&mut cache, "a.test", 0, now);
        assert!(!knows(&cache, "a.test", now));
    }

    #[test]
    fn a_negative_answer_lasts_three_hours_at_most() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        keep(&mut cache, "a.test", u32::MAX, now);
        assert!(!knows(&cache, "a.test", now + NEGATIVE_MAX));
    }

    #[test]
    fn the_answer_that_ends_soonest_makes_room() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        keep(&mut cache, "soon.test", 1, now);
        for number in 0..ENTRIES_MAX {
            keep(&mut cache, &format!("{number}.test"), 60, now);
            keep(&mut cache, &format!("{number}.test"), 90, now);
        }
        assert!(!knows(&cache, "soon.test", now) && knows(&cache, "0.test", now + Duration::from_secs(80)));
        assert_eq!((cache.entries.len(), cache.ends.len()), (ENTRIES_MAX, ENTRIES_MAX));
    }
}
