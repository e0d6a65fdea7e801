//! What was made to go wrong in the world, and from when to when: the latest faults, those of earlier processes over the same store
//! too. Journeys of that time are read with them.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{EventLog, sqlite};
use crate::store::{self, Store, Transaction};
use crate::sync::lock;

/// Faults that are kept; beyond it, the oldest are forgotten.
pub(super) const MAX_FAULTS: usize = 1000;

/// A fault, or a host that was switched off, while it lasted.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FaultRecord {
    /// Its number in this list, which grows.
    pub number: u64,
    /// A short description.
    pub title: String,
    /// When it began.
    pub since: Timestamp,
    /// When it ended; `None` while it lasts.
    pub until: Option<Timestamp>,
    /// The fault itself.
    #[schema(value_type = Object)]
    pub fault: Value,
}

/// The faults of a log, oldest first.
#[derive(Default)]
pub(super) struct FaultHistory(VecDeque<FaultRecord>);

impl FaultHistory {
    /// Reads the faults of a store. Those without an end get `ended`, the time at which the last process ended, or
    /// their beginning if that is later; this is not stored.
    pub(super) fn stored(store: &Store, ended: Timestamp) -> Result<Self, store::Error> {
        let mut records = store.read(sqlite::faults)?;
        for record in &mut records {
            record.until.get_or_insert(ended.max(record.since));
        }
        Ok(Self(records))
    }

    /// The fault with this number; `None` if there is none, or it was forgotten.
    fn record(&mut self, number: u64) -> Option<&mut FaultRecord> {
        self.0.iter_mut().find(|record| record.number == number)
    }
}

impl EventLog {
    /// Records and stores that a fault begins now, given as JSON; returns its number, for [`EventLog::fault_ended`].
    /// Beyond a thousand, the oldest is forgotten. That it cannot be stored is only logged.
    pub async fn fault_began(&self, title: String, fault: Value) -> u64 {
        let record = {
            let FaultHistory(records) = &mut *lock(&self.0.faults);
            let number = records.back().map_or(1, |last| last.number + 1);
            let record = FaultRecord { number, title, since: self.0.clock.now(), until: None, fault };
            records.push_back(record.clone());
            records.drain(..records.len().saturating_sub(MAX_FAULTS));
            record
        };
        let number = record.number;
        self.store_fault(record).await;
        number
    }

    /// Records and stores that the fault with this number ends now, in the place of an earlier end. Does nothing if
    /// there is none. That it cannot be stored is only logged.
    pub async fn fault_ended(&self, number: u64) {
        let record = {
            let mut history = lock(&self.0.faults);
            let Some(record) = history.record(number) else { return };
            record.until = Some(self.0.clock.now());
            record.clone()
        };
        self.store_fault(record).await;
    }

    /// The latest faults, newest first.
    pub fn faults(&self) -> Vec<FaultRecord> {
        lock(&self.0.faults).0.iter().rev().cloned().collect()
    }

    /// Stores a fault, or that it ended; a failure is logged. Does nothing for a log without a store.
    async fn store_fault(&self, record: FaultRecord) {
        let Some(store) = &self.0.store else { return };
        let stored =
            store.write_batched(move |transaction: &Transaction<'_>| sqlite::save_fault(transaction, &record)).await;
        if let Err(error) = stored {
            tracing::warn!(%error, "cannot store that a fault began or ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::Clock;

    fn event_log(store: &Store, at: &str) -> EventLog {
        EventLog::stored(store.clone(), Clock::starting_at(at.parse().unwrap()), 100, false).unwrap()
    }

    #[tokio::test]
    async fn faults_are_known_after_a_restart_and_those_that_lasted_have_ended() {
        let store = Store::in_memory(&[crate::journey::SCHEMA]).unwrap();
        let first = event_log(&store, "2026-01-01T00:00:00Z");
        let ended = first.fault_began("mta off".to_owned(), json!({ "kind": "off", "host": "mta" })).await;
        first.fault_ended(ended).await;
        first.fault_ended(77).await;
        let lasting = first.fault_began("cut".to_owned(), json!({ "kind": "cut" })).await;
        assert_eq!((ended, lasting, first.faults()[0].until), (1, 2, None));
        drop(first);
        let second = event_log(&store, "2026-01-02T00:00:00Z");
        let faults = second.faults();
        assert_eq!(faults.iter().map(|fault| &*fault.title).collect::<Vec<_>>(), ["cut", "mta off"]);
        assert_eq!(faults[1].fault["host"], "mta");
        assert!(faults.iter().all(|fault| fault.until.is_some_and(|until| fault.since <= until)));
        assert_eq!(second.fault_began("slow".to_owned(), json!({})).await, 3);
        for _ in 0..MAX_FAULTS {
            second.fault_began("more".to_owned(), json!({})).await;
        }
        assert_eq!(second.faults().len(), MAX_FAULTS);
        assert_eq!(event_log(&store, "2026-01-03T00:00:00Z").faults().len(), MAX_FAULTS);
    }
}
