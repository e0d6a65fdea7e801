//! Journeys go with their messages: at once if they are settled, otherwise once they are. What comes of them later is dropped.

use std::collections::{BTreeSet, VecDeque};

use super::{EventLog, JourneyState, sqlite};
use crate::mail::JourneyId;
use crate::store::{self, Transaction};

/// The newest of the deleted journeys.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    ids: BTreeSet<JourneyId>,
    /// Oldest first.
    order: VecDeque<JourneyId>,
}

impl Remembered {
    /// Remembers a deleted journey, as the newest unless it is known; beyond [`sqlite::MAX_DELETED`], forgets the
    /// oldest.
    pub(super) fn insert(&mut self, journey: JourneyId) {
        if self.ids.insert(journey) {
            self.order.push_back(journey);
        }
        if sqlite::MAX_DELETED < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Whether the journey is among the deleted ones that are remembered.
    pub(super) fn contains(&self, journey: JourneyId) -> bool {
        self.ids.contains(&journey)
    }
}

/// Journeys that commits deleted with their messages, for [`EventLog::forget`] after them.
#[derive(Debug, Default)]
#[must_use]
pub struct DeletedJourneys {
    /// Those that the commits removed.
    removed: Vec<JourneyId>,
    /// Those that are not settled as far as the store knows.
    open: Vec<JourneyId>,
}

impl DeletedJourneys {
    /// Deletes the journey of a message in the commit that deletes the message, and adds it to these, for
    /// [`EventLog::forget`]. The store removes the journey now if it is settled there, otherwise once it is settled.
    ///
    /// # Errors
    /// The tables cannot be written.
    pub fn delete(&mut self, transaction: &Transaction<'_>, journey: JourneyId) -> Result<(), store::Error> {
        let is_removed = sqlite::delete(transaction, journey)?;
        if is_removed { &mut self.removed } else { &mut self.open }.push(journey);
        Ok(())
    }

    /// Adds the journeys that another commit deleted.
    pub fn extend(&mut self, other: Self) {
        self.removed.extend(other.removed);
        self.open.extend(other.open);
    }

    /// The ids of all these journeys, also of those that are not settled.
    pub fn ids(&self) -> impl Iterator<Item = JourneyId> {
        self.removed.iter().chain(&self.open).copied()
    }
}

impl EventLog {
    /// Removes these journeys from memory, after the commits that deleted them; those that are not settled yet, once
    /// they are. Journeys that are settled in memory but not in the store, which lacks the last events, are removed
    /// from the store here, in a commit of its own. Without a store, only memory changes.
    ///
    /// # Errors
    /// Journeys that were settled after the last save could not be removed; the next save does it.
    pub async fn forget(&self, DeletedJourneys { removed, open }: DeletedJourneys) -> Result<(), store::Error> {
        let settled: Vec<JourneyId> = {
            let mut state = self.state();
            state.stored_journeys = state.stored_journeys.saturating_sub(removed.len() as u64);
            for journey in removed {
                state.index.delete(journey);
            }
            open.into_iter().filter(|journey| state.index.delete(*journey)).collect()
        };
        let Some(store) = self.0.store.as_ref().filter(|_| !settled.is_empty()) else { return Ok(()) };
        let remove = move |transaction: &Transaction<'_>| sqlite::remove_all(transaction, &settled);
        let removed = store.freeing().write(remove).await?;
        let mut state = self.state();
        state.stored_journeys = state.stored_journeys.saturating_sub(removed);
        Ok(())
    }

    /// Deletes journeys from the store, in one commit, and from memory: those that are not settled yet go once they
    /// are.
    ///
    /// # Errors
    /// That could not be stored, and nothing changed.
    pub async fn delete(&self, journeys: Vec<JourneyId>) -> Result<(), store::Error> {
        let Some(store) = &self.0.store else {
            return self.forget(DeletedJourneys { removed: Vec::new(), open: journeys }).await;
        };
        let delete = move |transaction: &Transaction<'_>| {
            let mut deleted = DeletedJourneys::default();
            journeys.iter().try_for_each(|journey| deleted.delete(transaction, *journey))?;
            Ok::<_, store::Error>(deleted)
        };
        self.forget(store.freeing().write(delete).await?).await
    }

    /// How many journeys are stored; 0 for a log without a store.
    pub fn stored_journeys(&self) -> u64 {
        self.state().stored_journeys
    }

    /// Up to `limit` stored journeys that are settled and have a number above `after`, oldest first, with their
    /// numbers. Those whose state cannot be read are left out. None for a log without a store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn oldest_settled(&self, after: u64, limit: usize) -> Result<Vec<(u64, JourneyState)>, store::Error> {
        let Some(store) = &self.0.store else { return Ok(Vec::new()) };
        store.read(|connection| sqlite::oldest_settled(connection, after, limit))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::journey::status::tests::{address, delivered, received};
    use crate::journey::{EventKind, JourneyFilter, SCHEMA};
    use crate::store::Store;
    use crate::world::Clock;

    fn id(number: u64) -> JourneyId {
        JourneyId::from_random(number)
    }

    fn open(store: &Store) -> EventLog {
        EventLog::stored(store.clone(), Clock::starting_at(Timestamp::UNIX_EPOCH), 100, false).unwrap()
    }

    fn report(log: &EventLog, number: u64, kind: EventKind) {
        log.emitter("mta").report(id(number), None, kind, None);
    }

    /// The journeys that a log lists, which are as many as it says.
    fn listed(log: &EventLog) -> Vec<JourneyId> {
        let page = log.journeys(&JourneyFilter::default(), u64::MAX, 100).unwrap();
        assert_eq!(page.total, page.journeys.len() as u64);
        let ids: Vec<_> = page.journeys.iter().rev().map(|state| state.journey).collect();
        ids.iter().for_each(|id| assert!(log.journey(*id).unwrap().is_some()));
        ids
    }

    fn in_memory() -> EventLog {
        EventLog::new(Clock::starting_at(Timestamp::UNIX_EPOCH), 100, false)
    }

    #[tokio::test]
    async fn deletion_of_a_journey_takes_it_from_memory_and_store_once_it_is_settled() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        for log in [open(&store), in_memory()] {
            (0..4).for_each(|number| report(&log, number, received(&["ann@x.test"])));
            report(&log, 1, delivered("ann@x.test"));
            log.save_all().await.unwrap();
            report(&log, 2, delivered("ann@x.test"));
            log.delete([0, 1, 2].map(id).to_vec()).await.unwrap();
            assert_eq!(listed(&log), [0, 3].map(id), "2 is settled in memory, 0 is not");
            log.save_all().await.unwrap();
            report(&log, 0, delivered("ann@x.test"));
            log.save_all().await.unwrap();
            assert_eq!(listed(&log), [3].map(id));
            let late = EventKind::Gone { recipients: vec![address("ann@x.test")] };
            (0..3).for_each(|number| report(&log, number, late.clone()));
            log.save_all().await.unwrap();
            assert_eq!(listed(&log), [3].map(id), "what comes late makes no journey");
            assert!((0..3).all(|number| log.journey(id(number)).unwrap().is_none()));
        }
        assert_eq!(listed(&open(&store)), [3].map(id));
    }

    #[tokio::test]
    async fn deletion_of_an_open_journey_outlives_the_process() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        let log = open(&store);
        (0..2).for_each(|number| report(&log, number, received(&["ann@x.test"])));
        log.save_all().await.unwrap();
        log.delete(vec![id(0)]).await.unwrap();
        let log = open(&store);
        assert_eq!(listed(&log), [0, 1].map(id));
        (0..2).for_each(|number| report(&log, number, delivered("ann@x.test")));
        log.save_all().await.unwrap();
        assert_eq!(listed(&log), [id(1)]);
        assert_eq!(listed(&open(&store)), [id(1)]);
        // The batch in which both began is there for the other one; when that goes, so do all but the newest.
        let events = |log: &EventLog| log.subscribe(0).try_next().unwrap().len();
        assert_eq!(events(&open(&store)), 4);
        log.delete(vec![id(1)]).await.unwrap();
        assert_eq!(events(&open(&store)), 2);
        report(&log, 2, received(&["ann@x.test"]));
        log.save_all().await.unwrap();
        assert_eq!(events(&open(&store)), 1);
    }

    /// What settles it is stored in a later batch than all that came before.
    #[tokio::test]
    async fn deletion_of_the_only_journey_leaves_no_events_once_others_come() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        let log = open(&store);
        report(&log, 0, received(&["ann@x.test"]));
        log.save_all().await.unwrap();
        log.delete(vec![id(0)]).await.unwrap();
        report(&log, 0, delivered("ann@x.test"));
        log.save_all().await.unwrap();
        assert_eq!(log.subscribe(0).try_next().unwrap().len(), 2, "in memory");
        let log = open(&store);
        assert_eq!(log.subscribe(0).try_next().unwrap().len(), 1, "the newest batch");
    }

    #[tokio::test]
    async fn log_without_journeys_goes_on_with_its_numbers_after_a_restart() {
        let store = Store::in_memory(&[SCHEMA]).unwrap();
        let log = open(&store);
        report(&log, 1, received(&["ann@x.test"]));
        report(&log, 1, delivered("ann@x.test"));
        log.save_all().await.unwrap();
        log.delete(vec![id(1)]).await.unwrap();
        let (last, log) = (log.last_seq(), open(&store));
        assert!(listed(&log).is_empty());
        assert!(last <= log.last_seq(), "a reader that was at {last} would miss what comes");
    }

    #[test]
    fn remembered_journeys_are_limited_and_the_oldest_go() {
        let mut remembered = Remembered::default();
        (0..=sqlite::MAX_DELETED as u64).for_each(|number| remembered.insert(id(number)));
        assert!(!remembered.contains(id(0)) && remembered.contains(id(1)));
        assert_eq!((remembered.ids.len(), remembered.order.len()), (sqlite::MAX_DELETED, sqlite::MAX_DELETED));
    }
}
