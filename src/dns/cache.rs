//! The resolver's cache of positive and negative answers. RFC 1035 §7.4, RFC 2308 §5.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use tokio::time::Instant;

use super::question::Outcome;
use super::zone;

/// The size of the cache; beyond it, the entry that expires first is evicted.
const MAX_ENTRIES: usize = 4096;
/// Upper limit of the TTL. RFC 1035 §3.2.1 allows implementations to have one.
const MAX_POSITIVE_TTL: Duration = Duration::from_secs(24 * 3600);
/// Upper limit of the TTL of negative answers. RFC 2308 §5 recommends one to three hours.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(3 * 3600);

type Key = (Name, u16);

/// A bounded cache of answers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Key, (Instant, Outcome)>,
    /// The same keys in the order of their expiry.
    expiries: BTreeSet<(Instant, Key)>,
    /// How often something was forgotten.
    generation: u64,
}

impl Cache {
    /// The cached answer to a question; `None` if there is none, or it has expired at `now`.
    pub(super) fn get(&self, name: &Name, kind: RecordType, now: Instant) -> Option<Outcome> {
        let (expiry, outcome) = self.entries.get(&(name.clone(), kind.into()))?;
        (now < *expiry).then(|| outcome.clone())
    }

    /// A number for a query that begins now, to be passed to [`Cache::insert_unless_forgotten`]: the answer is stored
    /// only if nothing is forgotten meanwhile.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Removes the answers about this domain and the names below it, whatever its case and final dot; all answers if
    /// `domain` is empty. Answers to queries that are under way are not stored then, whatever their name.
    pub(super) fn forget(&mut self, domain: &str) {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let is_below = |(name, _): &Key| {
            let name = zone::text(name);
            let front = name.strip_suffix(&domain);
            domain.is_empty() || front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
        };
        self.generation += 1;
        self.entries.retain(|key, _| !is_below(key));
        self.expiries.retain(|(_, key)| !is_below(key));
    }

    /// Stores an answer for its TTL, up to a limit. `generation` is what [`Cache::generation`] returned when the query
    /// began; if anything was forgotten since, the answer is not stored.
    pub(super) fn insert_unless_forgotten(
        &mut self,
        generation: u64,
        name: Name,
        kind: RecordType,
        outcome: Outcome,
        now: Instant,
    ) {
        if generation == self.generation {
            self.insert(name, kind, outcome, now);
        }
    }

    /// Stores an answer for its TTL, up to `MAX_POSITIVE_TTL` for records and `MAX_NEGATIVE_TTL` for all else; not at
    /// all if the TTL is 0. If the cache is full, the entry that expires first is evicted.
    fn insert(&mut self, name: Name, kind: RecordType, outcome: Outcome, now: Instant) {
        let limit = if matches!(outcome, Outcome::Found { .. }) { MAX_POSITIVE_TTL } else { MAX_NEGATIVE_TTL };
        let time = Duration::from_secs(outcome.ttl().into()).min(limit);
        if time.is_zero() {
            return;
        }
        let key = (name, kind.into());
        if let Some((expiry, _)) = self.entries.remove(&key) {
            self.expiries.remove(&(expiry, key.clone()));
        } else if self.entries.len() == MAX_ENTRIES
            && let Some((_, soonest)) = self.expiries.pop_first()
        {
            self.entries.remove(&soonest);
        }
        self.expiries.insert((now + time, key.clone()));
        self.entries.insert(key, (now + time, outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::super::zone::parse;
    use super::*;

    fn no_such_name(ttl: u32) -> Outcome {
        Outcome::NoSuchName { ttl }
    }

    fn insert(cache: &mut Cache, name: &str, ttl: u32, now: Instant) {
        cache.insert(parse(name).unwrap(), RecordType::A, no_such_name(ttl), now);
    }

    fn contains(cache: &Cache, name: &str, now: Instant) -> bool {
        cache.get(&parse(name).unwrap(), RecordType::A, now).is_some()
    }

    #[test]
    fn cache_entry_after_its_ttl_is_not_returned() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        insert(&mut cache, "a.test", 60, now);
        assert!(contains(&cache, "A.TEST", now + Duration::from_secs(59)));
        assert!(!contains(&cache, "a.test", now + Duration::from_secs(60)));
        assert!(cache.get(&parse("a.test").unwrap(), RecordType::MX, now).is_none());
    }

    #[test]
    fn cache_entry_with_zero_ttl_is_not_stored() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        insert(&mut cache, "a.test", 0, now);
        assert!(!contains(&cache, "a.test", now));
    }

    #[test]
    fn cache_negative_entry_expires_after_three_hours() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        insert(&mut cache, "a.test", u32::MAX, now);
        assert!(!contains(&cache, "a.test", now + MAX_NEGATIVE_TTL));
    }

    #[test]
    fn cache_forgets_a_domain_and_answers_of_queries_under_way() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let names = ["a.test", "mx.a.test", "xa.test", "b.test"];
        names.iter().for_each(|name| insert(&mut cache, name, 60, now));
        let before = cache.generation();
        cache.forget("A.test.");
        assert_eq!(names.map(|name| contains(&cache, name, now)), [false, false, true, true]);
        cache.insert_unless_forgotten(before, parse("a.test").unwrap(), RecordType::A, no_such_name(60), now);
        assert!(!contains(&cache, "a.test", now), "an answer from before");
        cache.insert_unless_forgotten(
            cache.generation(),
            parse("a.test").unwrap(),
            RecordType::A,
            no_such_name(60),
            now,
        );
        assert!(contains(&cache, "a.test", now));
        cache.forget("");
        assert_eq!((cache.entries.len(), cache.expiries.len()), (0, 0));
    }

    #[test]
    fn cache_when_full_evicts_the_entry_that_expires_first() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        insert(&mut cache, "soon.test", 1, now);
        for number in 0..MAX_ENTRIES {
            insert(&mut cache, &format!("{number}.test"), 60, now);
            insert(&mut cache, &format!("{number}.test"), 90, now);
        }
        assert!(!contains(&cache, "soon.test", now) && contains(&cache, "0.test", now + Duration::from_secs(80)));
        assert_eq!((cache.entries.len(), cache.expiries.len()), (MAX_ENTRIES, MAX_ENTRIES));
    }
}
