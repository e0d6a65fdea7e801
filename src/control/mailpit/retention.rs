//! Deletes messages that the world does not keep any longer, with their journeys; and journeys that have no message, by the same
//! limits.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::change::delete_entries;
use super::{Answer, catalogue};
use crate::catalogue::{Filter, Search, Window};
use crate::host::RunningWorld;
use crate::journey::JourneyState;
use crate::mda::CopyFilter;
use crate::world::Keep;

/// Interval between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Messages that are deleted at once.
const BATCH: usize = 1000;
/// Journeys that are looked at, and deleted, at once.
const JOURNEY_BATCH: usize = 100;

/// Deletes every [`INTERVAL`] what is too old or too much, until it is dropped; returns at once if everything is kept.
/// A failure is logged, and the next look tries again.
pub(super) async fn run(running: Arc<RunningWorld>) {
    let (keep, mut place) = (running.env.world.keep, 0);
    while keep != Keep::default() {
        let pruned = async {
            prune(&running, keep).await?;
            prune_journeys(&running, keep, &mut place).await
        };
        if let Err(failure) = pruned.await {
            tracing::warn!(reason = failure.1, "cannot delete old messages; retrying");
        }
        sleep(INTERVAL).await;
    }
}

/// Deletes the messages that are older than `age`, and then the oldest ones if there are more than `messages`; a limit
/// that is `None` deletes nothing.
async fn prune(running: &RunningWorld, Keep { messages, age }: Keep) -> Answer<()> {
    if let Some(time) = age.and_then(|age| running.env.clock.now().checked_sub(age).ok()) {
        delete(running, Search::default().before(time), 0).await?;
    }
    let count = messages.map(NonZeroU64::get).and_then(|count| usize::try_from(count).ok());
    match count {
        Some(count) => delete(running, Search::default(), count).await,
        None => Ok(()),
    }
}

/// Deletes the messages that match, with all their copies, but keeps as many of the newest of them as `newest` says.
async fn delete(running: &RunningWorld, search: Search, newest: usize) -> Answer<()> {
    let filter = Filter { search, ..Filter::default() };
    let window = Window { below: i64::MAX, skip: newest, limit: BATCH };
    loop {
        let numbers = catalogue(running)?.numbers(&filter, window).await?;
        if numbers.is_empty() {
            return Ok(());
        }
        delete_entries(running, &numbers, &CopyFilter::default()).await?;
    }
}

/// Deletes settled journeys whose message is gone or was never listed: those that are too old, and the oldest if there are
/// more than messages are kept. `place` is the number of the journey that was looked at last: while none is found, each call
/// looks at a few more, and begins again at the end.
async fn prune_journeys(running: &RunningWorld, keep: Keep, place: &mut u64) -> Answer<()> {
    let event_log = &running.env.event_log;
    let oldest = keep.age.and_then(|age| running.env.clock.now().checked_sub(age).ok());
    loop {
        let page = event_log.oldest_settled(*place, JOURNEY_BATCH)?;
        let mut excess = keep.messages.map_or(0, |most| event_log.stored_journeys().saturating_sub(most.get()));
        let is_old = |state: &JourneyState| oldest.is_some_and(|oldest| state.began < oldest);
        *place = match page.last() {
            Some((last, newest)) if 0 < excess || is_old(newest) => *last,
            _ => 0,
        };
        let mut unlisted = Vec::new();
        for (_, state) in page {
            if (0 < excess || is_old(&state)) && catalogue(running)?.find(state.journey)?.is_none() {
                excess = excess.saturating_sub(1);
                unlisted.push(state.journey);
            }
        }
        if unlisted.is_empty() {
            return Ok(());
        }
        event_log.delete(unlisted).await?;
    }
}
