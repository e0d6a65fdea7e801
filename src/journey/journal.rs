//! The event log over a store: saves its events in batches, and answers from memory and store together.
//!
//! Everything since the last save is in memory, and so are all journeys that began since the oldest event there; the
//! store has the others. A journey that goes on after its events left the memory, as after a restart, is in both: memory
//! takes what the store knows of it before it answers.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::fault_history::FaultHistory;
use super::index::JourneyFilter;
use super::subscription::MAX_BATCH_BYTES;
use super::{Event, EventLog, Journey, JourneyState, sqlite};
use crate::mail::JourneyId;
use crate::net::Stop;
use crate::store::{self, Store, Transaction};
use crate::sync::{beside_others, lock};
use crate::world::Clock;

/// Stored journeys; beyond it, the oldest are removed, those that are settled first.
const MAX_JOURNEYS: u64 = 200_000;
/// Journeys that are removed by one commit.
const PRUNED_AT_ONCE: u64 = 100;
/// A log that was opened again does not give out numbers again that were read but not yet stored when its process was
/// killed: so many are skipped.
const SKIPPED_NUMBERS: u64 = 1_000_000;
/// How long events wait for others of their journeys, with which they are stored.
const SAVE_DELAY: Duration = Duration::from_millis(200);
/// The wait after a batch could not be stored, as on a full disk.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Some journeys of a list.
#[derive(Clone, Debug)]
pub struct JourneyPage {
    /// How many there are in all.
    pub total: u64,
    /// Newest first.
    pub journeys: Vec<JourneyState>,
    /// What to ask for as `before` to get the next ones, if there are more.
    pub next: Option<u64>,
}

impl EventLog {
    /// An event log whose events are stored, in a store that has [`SCHEMA`](super::SCHEMA); up to `capacity` of them
    /// are in memory, too. They are stored while [`EventLog::save`] runs, and have numbers above all that the store
    /// has. If `transcripts`, transcripts and conversations are recorded. Faults that lasted have ended with the last
    /// process.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn stored(store: Store, clock: Clock, capacity: usize, transcripts: bool) -> Result<Self, store::Error> {
        let (last, count) = store
            .read(|connection| Ok::<_, store::Error>((sqlite::last_seq(connection)?, sqlite::count(connection)?)))?;
        let deleted = store.read(sqlite::deleted)?;
        let start = if last == 0 { 0 } else { last + SKIPPED_NUMBERS };
        let ended = store.read(sqlite::last_time)?.unwrap_or_else(|| clock.now());
        let faults = FaultHistory::stored(&store, ended)?;
        let event_log = Self::over(store, start, clock, capacity, transcripts);
        *lock(&event_log.0.faults) = faults;
        let mut state = event_log.state();
        state.stored_journeys = count;
        for journey in deleted {
            state.index.delete(journey);
        }
        drop(state);
        Ok(event_log)
    }

    /// Stores events until `stop`, in batches that wait 200 ms for more or until a quarter of the capacity is not
    /// stored; then the rest. Failures are logged, and retried after a second until `stop`. Does nothing for a log
    /// without a store.
    pub async fn save(self, stop: Stop) {
        let Some(store) = self.0.store.clone() else { return };
        let wait = async |duration| stop.run_until_cancelled(sleep(duration)).await;
        loop {
            let saved = self.state().saved;
            let Some(()) = stop.run_until_cancelled(self.appended_after(saved)).await else { break };
            let many = self.appended_after(saved + self.0.capacity as u64 / 4);
            tokio::select! { _ = wait(SAVE_DELAY) => {}, () = many => {} }
            if let Err(error) = self.save_up_to(&store, self.last_seq()).await {
                tracing::error!(%error, "cannot store events; retrying in 1 s");
                wait(RETRY_INTERVAL).await;
            }
        }
        if let Err(error) = self.save_all().await {
            tracing::error!(%error, "cannot store the last events");
        }
    }

    /// Stores all events so far. Does nothing for a log without a store, and must not be used beside
    /// [`EventLog::save`].
    ///
    /// # Errors
    /// They could not be stored.
    pub async fn save_all(&self) -> Result<(), store::Error> {
        let Some(store) = &self.0.store else { return Ok(()) };
        self.save_up_to(store, u64::MAX).await
    }

    /// Stores events, batch by batch, until those up to the number `last` or all are stored; the last batch may go
    /// beyond it. Ends at the first error.
    async fn save_up_to(&self, store: &Store, last: u64) -> Result<(), store::Error> {
        while {
            let state = self.state();
            state.has_unsaved() && state.saved < last
        } {
            self.save_batch(store).await?;
        }
        Ok(())
    }

    /// Whether the log has a store.
    pub fn is_stored(&self) -> bool {
        self.0.store.is_some()
    }

    /// The time of the stored event with the highest number; `None` if there is none, or the log has no store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn last_stored(&self) -> Result<Option<Timestamp>, store::Error> {
        let Some(store) = &self.0.store else { return Ok(None) };
        store.read(sqlite::last_time)
    }

    /// The number of the last event that a reader had when it was stored; `None` if it never was, or the log has no
    /// store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn reader_position(&self, name: &str) -> Result<Option<u64>, store::Error> {
        let Some(store) = &self.0.store else { return Ok(None) };
        store.read(|connection| sqlite::reader_position(connection, name))
    }

    /// Stores `position`, the number of the last event that the reader of this name has, in the place of the one
    /// before. Does nothing for a log without a store.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn save_reader_position(&self, name: &str, position: u64) -> Result<(), store::Error> {
        let Some(store) = &self.0.store else { return Ok(()) };
        let name = name.to_owned();
        store.write_batched(move |transaction| sqlite::set_reader_position(transaction, &name, position)).await
    }

    /// Stores one batch of the oldest events that are not stored yet, and takes into the index what the store knew of
    /// their journeys. Beyond [`MAX_JOURNEYS`], the same commit removes some of the oldest settled journeys; beyond
    /// twice as many, also open ones. Events that left the memory before they were stored are lost, which is logged.
    async fn save_batch(&self, store: &Store) -> Result<(), store::Error> {
        let (saved, count, first) = {
            let state = self.state();
            (state.saved, state.stored_journeys, state.first_seq())
        };
        if saved + 1 < first {
            tracing::error!("{} events were not stored in time and are lost", first - saved - 1);
        }
        let (batch, _) = self.read_after(saved.max(first - 1), MAX_BATCH_BYTES);
        let Some(last) = batch.last().map(|event| event.seq) else { return Ok(()) };
        let bytes = batch.iter().map(|event| event.memory_bytes()).sum();
        let batch = beside_others(bytes, || sqlite::EventBatch::new(batch))?;
        let save = move |transaction: &Transaction<'_>| {
            let mut saved = sqlite::save(transaction, &batch)?;
            let count = count + saved.added;
            saved.removed += match count.saturating_sub(MAX_JOURNEYS).min(PRUNED_AT_ONCE) {
                0 => 0,
                most => sqlite::prune(transaction, most, 2 * MAX_JOURNEYS < count)?,
            };
            Ok::<_, store::Error>(saved)
        };
        let sqlite::Saved { known, added, removed } = store.write_batched(save).await?;
        let mut state = self.state();
        // Others may have been deleted meanwhile.
        (state.saved, state.stored_journeys) = (last, (state.stored_journeys + added).saturating_sub(removed));
        known.into_iter().for_each(|(journey, stored)| state.index.resolve(journey, stored.and_then(numbered_state)));
        drop(state);
        self.set_saved(last);
        Ok(())
    }

    /// Returns the events after number `seq`, from store or memory, as many as have `max_bytes` together, at least one
    /// if there is one; and how many were dropped that would come before them. If some were, no events are returned. If
    /// the store cannot be read, which is logged, those that are not in memory count as dropped.
    pub(super) fn read_after(&self, seq: u64, max_bytes: usize) -> (Vec<Arc<Event>>, u64) {
        let first = self.state().first_seq();
        if seq + 1 < first
            && let Some(store) = &self.0.store
        {
            let stored = store.read(|connection| sqlite::events_between(connection, seq, first, max_bytes));
            match stored {
                Ok(stored) if !stored.is_empty() => return (stored.into_iter().map(Arc::new).collect(), 0),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot read events");
                    return (Vec::new(), first - seq - 1);
                }
            }
        }
        let state = self.state();
        let missed = if self.0.store.is_some() { 0 } else { state.first_seq().saturating_sub(seq.saturating_add(1)) };
        let start = state.events.partition_point(|event| event.seq <= seq);
        let mut bytes = 0;
        let fits = |event: &&Arc<Event>| {
            let is_first = bytes == 0;
            bytes += event.memory_bytes();
            is_first || bytes <= max_bytes
        };
        let events = if missed == 0 { state.events.range(start..).take_while(fits).cloned().collect() } else { vec![] };
        (events, missed)
    }

    /// Takes into the index what the store knows of all unresolved journeys, which are in memory with events that may
    /// not be their first. A failure is logged. Does nothing for a log without a store.
    fn resolve(&self) {
        let Some(store) = &self.0.store else { return };
        let unresolved = self.state().index.unresolved();
        if unresolved.is_empty() {
            return;
        }
        let find = |connection: &_| -> Result<Vec<_>, store::Error> {
            let stored =
                unresolved.iter().map(|journey| Ok(sqlite::find(connection, *journey)?.and_then(numbered_state)));
            stored.collect()
        };
        match store.read(find) {
            Ok(stored) => {
                let index = &mut self.state().index;
                unresolved.iter().zip(stored).for_each(|(journey, stored)| index.resolve(*journey, stored));
            }
            Err(error) => tracing::error!(%error, "cannot read journeys"),
        }
    }

    /// What is stored of a journey; `None` if there is nothing, or the log has no store.
    fn find_stored(&self, journey: JourneyId) -> Result<Option<sqlite::Stored>, store::Error> {
        let Some(store) = &self.0.store else { return Ok(None) };
        store.read(|connection| sqlite::find(connection, journey))
    }

    /// What is known of a journey, from memory and store; `None` if there is none, or its stored state is unreadable.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn journey_state(&self, journey: JourneyId) -> Result<Option<JourneyState>, store::Error> {
        if !self.state().index.is_resolved(journey) {
            self.resolve();
        }
        if let Some((_, state)) = self.state().index.state(journey) {
            return Ok(Some(state.clone()));
        }
        Ok(self.find_stored(journey)?.and_then(|stored| stored.state))
    }

    /// A journey with its events, from memory and store: of very many, the newest. `None` if there is none. Without a
    /// store, or if its stored state cannot be read, it has only the events in memory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn journey(&self, journey: JourneyId) -> Result<Option<Journey>, store::Error> {
        if !self.state().index.is_resolved(journey) {
            self.resolve();
        }
        let found = self.state().index.journey(journey);
        let is_complete = |journey: &Journey| journey.events.len() as u64 == journey.event_count;
        match (found, &self.0.store) {
            (Some(found), None) => Ok(Some(found)),
            (Some(found), _) if is_complete(&found) => Ok(Some(found)),
            (_, None) => Ok(None),
            (found, Some(store)) => {
                let Some(stored) = self.find_stored(journey)? else { return Ok(found) };
                let events = store.read(|connection| sqlite::events_of(connection, journey, &stored))?;
                let Some(state) = stored.state else { return Ok(found) };
                Ok(Some(merged(state, events, found)))
            }
        }
    }

    /// Up to `limit` journeys that match the filter, with numbers below `before` ([`u64::MAX`] for the first page),
    /// newest first, and how many match with any number. Those whose state cannot be read are left out of the page.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn journeys(&self, filter: &JourneyFilter, before: u64, limit: usize) -> Result<JourneyPage, store::Error> {
        self.resolve();
        let wanted = limit.saturating_add(1);
        let (mut found, first, both) = {
            let state = self.state();
            let newest = state.index.matching(filter, before).take(wanted);
            let found: Vec<_> = newest.map(|(number, known)| (number, Some(known.clone()))).collect();
            let first = state.first_seq();
            (found, first, state.index.numbers_before(first))
        };
        if let Some(store) = &self.0.store {
            let stored = store.read(|connection| sqlite::page(connection, filter, before.min(first), wanted, &both));
            found.extend(stored?);
            found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        }
        let has_more = limit < found.len();
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(number, _)| *number);
        let journeys = found.into_iter().filter_map(|(_, state)| state).collect();
        Ok(JourneyPage { total: self.count(filter)?, journeys, next })
    }

    /// How many journeys in memory and store match the filter. They are counted by an index, without reading them.
    fn count(&self, filter: &JourneyFilter) -> Result<u64, store::Error> {
        match filter {
            JourneyFilter { to: None, from: None, settled: None } => {
                let state = self.state();
                Ok(state.stored_journeys + state.index.count_from(state.saved + 1))
            }
            JourneyFilter { settled: Some(true), .. } => {
                let of = |settled| self.count(&JourneyFilter { settled, ..filter.clone() });
                Ok(of(None)?.saturating_sub(of(Some(false))?))
            }
            filter => {
                let (count, first, both) = {
                    let state = self.state();
                    let first = state.first_seq();
                    (state.index.matching(filter, u64::MAX).count() as u64, first, state.index.numbers_before(first))
                };
                let Some(store) = &self.0.store else { return Ok(count) };
                let stored = store.read(|connection| sqlite::count_matching(connection, filter, first, &both))?;
                Ok(count + stored)
            }
        }
    }
}

/// The number and the state of a journey, for [`JourneyIndex::resolve`](super::index::JourneyIndex::resolve); `None` if
/// the state is unreadable.
fn numbered_state(stored: sqlite::Stored) -> Option<(u64, JourneyState)> {
    Some((stored.number, stored.state?))
}

/// A journey of its stored `state` and events, and those in memory that are newer, which are added to the state. The
/// events are in the order of their times.
fn merged(mut state: JourneyState, stored: Vec<Event>, newer: Option<Journey>) -> Journey {
    let last = state.last_seq;
    let mut events: Vec<_> = stored.into_iter().map(Arc::new).collect();
    let newer = newer.into_iter().flat_map(|journey| journey.events).filter(|event| last < event.seq);
    events.extend(newer);
    events.sort_by_key(|event| event.at);
    state.add_all(events.iter().map(|event| &**event));
    Journey { state, events }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::status::tests::{address, delivered, received};
    use crate::journey::{EventKind, SCHEMA};
    use crate::mail::{Address, Side, Transcript};
    use crate::world::Rng;

    fn open_at(store: &Store, clock: Clock) -> EventLog {
        EventLog::stored(store.clone(), clock, 40, true).unwrap()
    }

    fn open(store: &Store) -> EventLog {
        open_at(store, Clock::starting_at(Timestamp::UNIX_EPOCH))
    }

    const USERS: [&str; 3] = ["ann@x.test", "bob@x.test", "me@x.test"];

    /// Records the same random events in both logs, at some distance.
    async fn report(rng: &Rng, logs: [&EventLog; 2], count: usize) {
        for _ in 0..count {
            sleep(Duration::from_millis(rng.next_u64() % 3)).await;
            let (journey, user) = (JourneyId::from_random(rng.next_u64() % 50), USERS[rng.next_u64() as usize % 3]);
            let kind = match rng.next_u64() % 4 {
                0 => received(&[user, USERS[0]]),
                1 | 2 => delivered(user),
                _ => EventKind::Released { recipients: vec![address(user)] },
            };
            for log in logs {
                log.emitter("mta").report(journey, None, kind.clone(), None);
            }
        }
    }

    /// What both logs must agree about.
    fn shown(state: &JourneyState) -> JourneyState {
        JourneyState { last_seq: 0, ..state.clone() }
    }

    fn filters() -> Vec<JourneyFilter> {
        let users: [Option<Address>; 3] = [None, Some(address(USERS[0])), Some(address(USERS[2]))];
        let mut filters = Vec::new();
        for to in &users {
            for from in &users {
                for settled in [None, Some(true), Some(false)] {
                    filters.push(JourneyFilter { to: to.clone(), from: from.clone(), settled });
                }
            }
        }
        filters
    }

    fn assert_equal(log: &EventLog, reference: &EventLog, when: &str) {
        for filter in filters() {
            let expected = reference.journeys(&filter, u64::MAX, usize::MAX).unwrap();
            let (mut found, mut before) = (Vec::new(), Some(u64::MAX));
            while let Some(number) = before {
                let page = log.journeys(&filter, number, 7).unwrap();
                assert!(page.journeys.len() <= 7);
                assert_eq!(page.total, expected.total, "{when} {filter:?}");
                found.extend(page.journeys);
                before = page.next;
            }
            assert!(found.iter().map(shown).eq(expected.journeys.iter().map(shown)), "{when} {filter:?}: {found:?}");
        }
        for number in 0..50 {
            let id = JourneyId::from_random(number);
            let (found, expected) = (log.journey(id).unwrap(), reference.journey(id).unwrap());
            assert_eq!(found.is_some(), expected.is_some(), "{when} {id}");
            let (Some(found), Some(expected)) = (found, expected) else { continue };
            assert_eq!(shown(&found.state), shown(&expected.state), "{when}");
            let kinds = |journey: &Journey| journey.events.iter().map(|event| event.kind.clone()).collect::<Vec<_>>();
            assert_eq!(kinds(&found), kinds(&expected), "{when}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stored_log_with_little_memory_and_restarts_answers_as_one_that_has_all_in_memory() {
        for seed in 0..6 {
            let (rng, store) = (Rng::seeded(seed), Store::in_memory(&[SCHEMA]).unwrap());
            let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
            let (mut log, reference) = (open_at(&store, clock), EventLog::new(clock, usize::MAX, false));
            for round in 0..12 {
                report(&rng, [&log, &reference], 1 + rng.next_u64() as usize % 39).await;
                assert_equal(&log, &reference, &format!("seed {seed} round {round}, not stored yet"));
                log.save_all().await.unwrap();
                assert_equal(&log, &reference, &format!("seed {seed} round {round}, stored"));
                if rng.next_u64().is_multiple_of(4) {
                    log = open_at(&store, clock);
                    assert_equal(&log, &reference, &format!("seed {seed} round {round}, opened again"));
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn subscription_reads_every_event_from_store_and_memory_once() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        let (rng, reference) =
            (Rng::seeded(1), EventLog::new(Clock::starting_at(Timestamp::UNIX_EPOCH), usize::MAX, false));
        for _ in 0..3 {
            let log = open(&store);
            for _ in 0..9 {
                report(&rng, [&log, &reference], 30).await;
                log.save_all().await.unwrap();
            }
        }
        let log = open(&store);
        report(&rng, [&log, &reference], 5).await;
        let (mut subscription, mut kinds, mut last) = (log.subscribe(0), Vec::new(), 0);
        while let events = subscription.try_next().unwrap()
            && !events.is_empty()
        {
            assert!(events.iter().all(|event| std::mem::replace(&mut last, event.seq) < event.seq));
            kinds.extend(events.iter().map(|event| event.kind.clone()));
        }
        assert_eq!(kinds, reference.since(0).into_iter().map(|event| event.kind).collect::<Vec<_>>());
        // It waits for what comes, although numbers were skipped.
        let mut subscription = open(&store).subscribe(0);
        while !subscription.try_next().unwrap().is_empty() {}
        let waiting = tokio::time::timeout(Duration::from_millis(20), subscription.next());
        assert!(waiting.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn subscription_to_events_that_cannot_be_read_is_told_how_many_it_missed() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        let (rng, log) = (Rng::seeded(1), open(&store));
        report(&rng, [&log, &EventLog::new(Clock::starting_at(Timestamp::UNIX_EPOCH), 1, false)], 100).await;
        log.save_all().await.unwrap();
        let first = log.state().first_seq();
        assert!(1 < first, "the oldest are in the store only");
        sqlite::execute(&store, "DROP TABLE event_batch").await;
        let mut subscription = log.subscribe(0);
        assert_eq!(subscription.try_next().unwrap_err().missed, first - 1);
        assert_eq!(subscription.try_next().unwrap()[0].seq, first);
    }

    #[tokio::test(start_paused = true)]
    async fn page_with_an_unreadable_journey_leads_to_the_next_one() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        let log = open(&store);
        for number in 0..9 {
            log.emitter("mta").report(JourneyId::from_random(number), None, received(&[USERS[0]]), None);
        }
        assert_eq!(log.unsaved_count(), 9);
        log.save_all().await.unwrap();
        assert_eq!(log.unsaved_count(), 0);
        sqlite::execute(&store, "UPDATE journey SET state = '?' WHERE number = 3").await;
        let log = open(&store);
        let (mut found, mut before) = (0, Some(u64::MAX));
        while let Some(number) = before {
            let page = log.journeys(&JourneyFilter::default(), number, 1).unwrap();
            (found, before) = (found + page.journeys.len(), page.next);
        }
        assert_eq!(found, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn prune_removes_the_oldest_settled_journeys_with_all_that_belongs_to_them() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        let log = open(&store);
        for number in 0..4 {
            let (id, emitter) = (JourneyId::from_random(number), log.emitter("mta"));
            emitter.report(id, None, received(&["ann@x.test"]), None);
            if number != 0 {
                emitter.report(id, None, delivered("ann@x.test"), None);
            }
        }
        log.save_all().await.unwrap();
        let prune = |even_open| store.write(move |transaction| sqlite::prune(transaction, 2, even_open));
        assert_eq!(prune(false).await.unwrap(), 2);
        let left = |log: &EventLog| {
            let all = JourneyFilter { to: Some(address("ann@x.test")), ..JourneyFilter::default() };
            let page = log.journeys(&all, u64::MAX, 9).unwrap();
            let events = log.subscribe(0).try_next().unwrap().len();
            (page.journeys.iter().rev().map(|state| state.journey).collect::<Vec<_>>(), events)
        };
        let ids = |numbers: &[u64]| numbers.iter().map(|number| JourneyId::from_random(*number)).collect::<Vec<_>>();
        assert_eq!(left(&open(&store)), (ids(&[0, 3]), 7), "that of 0 is not settled; its batch stays");
        assert_eq!(prune(true).await.unwrap(), 2);
        assert_eq!(left(&open(&store)), (vec![], 7), "the newest batch has the number of the newest event");
        let log = open(&store);
        log.emitter("mta").report(JourneyId::from_random(5), None, received(&["bob@x.test"]), None);
        log.save_all().await.unwrap();
        assert_eq!(left(&open(&store)), (vec![], 1), "until there is a newer one");
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_are_stored_take_less_memory_than_those_that_wait_for_it() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        let log = EventLog::stored(store, Clock::starting_at(Timestamp::UNIX_EPOCH), usize::MAX, true).unwrap();
        let mut transcript = Transcript::default();
        (0..400).for_each(|_| transcript.note(Side::Server, &"x".repeat(300)));
        let report = |count| super::super::log::tests::report(&log, count, &transcript);
        report(200);
        assert_eq!(log.state().events.len(), 200, "others would be lost");
        log.save_all().await.unwrap();
        report(1);
        let state = log.state();
        let bytes: usize = state.events.iter().map(|event| event.retained_bytes()).sum();
        assert!((15 << 20..=16 << 20).contains(&bytes), "{bytes}");
    }
}
