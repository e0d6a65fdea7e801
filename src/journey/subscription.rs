//! The one way to read the event log: from a place of one's own, in batches.

use std::sync::Arc;

use super::{Event, EventLog};

/// Size of one batch of events.
pub(super) const MAX_BATCH_BYTES: usize = 512 * 1024;

/// A reader of the event log, which gets every event after its position once and in order. It slows down no one: if it is
/// so slow that events are dropped that it did not read, it gets their number.
pub struct Subscription {
    event_log: EventLog,
    /// The number of the last event that was read.
    position: u64,
}

/// The next events of a subscription were dropped before it read them; it goes on after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were dropped before they were read")]
pub struct Lagged {
    /// How many.
    pub missed: u64,
}

impl Subscription {
    pub(super) fn new(event_log: EventLog, position: u64) -> Self {
        Self { event_log, position }
    }

    /// The number of the last event that was read or reported as missed, or after which the subscription began.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next events, without waiting: none if all are read, otherwise at least one, up to 512 KiB unless the first
    /// is larger. The position moves behind them.
    ///
    /// # Errors
    /// Some were missed, and the position moves behind those. The next call returns the events after them.
    pub fn try_next(&mut self) -> Result<Vec<Arc<Event>>, Lagged> {
        let (events, missed) = self.event_log.read_after(self.position, MAX_BATCH_BYTES);
        if missed != 0 {
            self.position += missed;
            return Err(Lagged { missed });
        }
        if let Some(last) = events.last() {
            self.position = last.seq;
        }
        Ok(events)
    }

    /// The next events that the log still has, without waiting, as [`Subscription::try_next`] returns them; those before
    /// them that were missed are skipped.
    pub fn try_next_kept(&mut self) -> Vec<Arc<Event>> {
        loop {
            if let Ok(events) = self.try_next() {
                return events;
            }
        }
    }

    /// Waits for the next events; at least one.
    ///
    /// Cancel safe: what is not returned is not read.
    ///
    /// # Errors
    /// As for [`Subscription::try_next`].
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Lagged> {
        loop {
            // Numbers may be skipped, so that the newest one is higher than that of the last event.
            let newest = self.event_log.last_seq();
            let events = self.try_next()?;
            if !events.is_empty() {
                return Ok(events);
            }
            self.event_log.appended_after(newest).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::log::tests::{event_log, report};
    use crate::mail::{Side, Transcript};

    fn numbers(events: &[Arc<Event>]) -> Vec<u64> {
        events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn subscription_batch_has_at_least_one_event_and_is_bounded() {
        let event_log = event_log();
        let mut transcript = Transcript::default();
        (0..400).for_each(|_| transcript.note(Side::Client, &"😀".repeat(300)));
        report(&event_log, 2, &transcript);
        let mut subscription = event_log.subscribe(0);
        for expected in [vec![1], vec![2], vec![]] {
            assert_eq!(numbers(&subscription.try_next().unwrap()), expected);
        }
    }

    #[test]
    fn subscription_that_lags_is_told_how_many_events_it_missed() {
        let event_log = event_log();
        let mut subscription = event_log.subscribe_from_now();
        report(&event_log, 130, &Transcript::default());
        assert_eq!(subscription.try_next(), Err(Lagged { missed: 30 }));
        let rest = subscription.try_next().unwrap();
        assert_eq!((rest[0].seq, rest.len(), subscription.position()), (31, 100, 130));
        report(&event_log, 130, &Transcript::default());
        assert_eq!(numbers(&subscription.try_next_kept()), (161..=260).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn subscription_waits_for_the_next_event() {
        let event_log = event_log();
        let mut subscription = event_log.subscribe_from_now();
        let reporting = async { report(&event_log, 1, &Transcript::default()) };
        let (events, ()) = tokio::join!(subscription.next(), reporting);
        assert_eq!(numbers(&events.unwrap()), [1]);
    }
}
