//! Lets the faults of a scenario happen, each at its time, and cures them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::sleep;

use super::file::EpisodeTable;
use crate::host::{Fault, Running};
use crate::world::Dice;

/// A fault that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// In a few words.
    pub what: String,
    /// Since when.
    pub from: Timestamp,
    /// Until when; none if it lasted to the end.
    pub until: Option<Timestamp>,
    /// Whose memory was lost: the host that crashed or was turned off.
    pub(super) died: Option<String>,
}

/// Everything that happened. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Chronicle(Arc<Mutex<Vec<Happened>>>);

impl Chronicle {
    fn begin(&self, fault: &Fault, from: Timestamp) -> usize {
        let died = match fault {
            Fault::Off { host, .. } | Fault::Crash { host, .. } => Some(host.clone()),
            _ => None,
        };
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(Happened { what: fault.title(), from, until: None, died });
        list.len() - 1
    }

    fn end(&self, place: usize, until: Timestamp) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(happened) = list.get_mut(place) {
            happened.until = Some(until);
        }
    }

    pub(super) fn list(&self) -> Vec<Happened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One entry of the timeline, with all its returns.
pub(super) async fn unfold(episode: EpisodeTable, running: Arc<Running>, chronicle: Chronicle, dice: Dice) {
    sleep(episode.after).await;
    for time in 0..episode.times {
        let jitter = episode.jitter.mul_f64(dice.share());
        let next = tokio::time::Instant::now() + episode.every;
        sleep(jitter).await;
        let place = chronicle.begin(&episode.fault, running.ground.clock.now());
        let cure = running.inflict(&episode.fault).await;
        if episode.lasts == Duration::ZERO {
            // A crash may be over at once; anything else that has no end lasts to the end.
            return;
        }
        sleep(episode.lasts).await;
        if let Err(error) = running.cure(cure).await {
            tracing::error!(%error, fault = %episode.fault.title(), "a fault could not be cured");
        }
        chronicle.end(place, running.ground.clock.now());
        if time + 1 < episode.times {
            tokio::time::sleep_until(next).await;
        }
    }
}
