//! Deletes messages that the world does not keep any longer.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::change::delete_entries;
use super::{Answer, catalogue};
use crate::catalogue::{Filter, Search, Window};
use crate::host::RunningWorld;
use crate::world::Keep;

/// Interval between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Messages that are deleted at once.
const BATCH: usize = 1000;

/// Deletes what is too old or too much until it is dropped; returns at once if everything is kept.
pub(super) async fn run(running: Arc<RunningWorld>) {
    let keep = running.env.world.keep;
    while keep != Keep::default() {
        if let Err(failure) = prune(&running, keep).await {
            tracing::warn!(reason = failure.1, "cannot delete old messages; retrying");
        }
        sleep(INTERVAL).await;
    }
}

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

/// Deletes what matches, but for the newest ones.
async fn delete(running: &RunningWorld, search: Search, newest: usize) -> Answer<()> {
    let filter = Filter { mailbox: None, search };
    let window = Window { below: i64::MAX, skip: newest, limit: BATCH };
    loop {
        let numbers = catalogue(running)?.numbers(&filter, window).await?;
        if numbers.is_empty() {
            return Ok(());
        }
        delete_entries(running, &numbers, None).await?;
    }
}
