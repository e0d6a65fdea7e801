//! Events between the processes of one world: each host sends its own to a collector, and whoever follows a journey
//! through all of them reads there.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};

use super::client::{Client, Failure};
use crate::journey::{Event, Journal};
use crate::net::Stop;

/// Where events are sent to, and read.
pub(super) const EVENTS: &str = "/api/v1/events";
/// The wait after the collector could not be reached.
const PAUSE: Duration = Duration::from_secs(1);
/// The wait before a reader asks for news again.
const POLL: Duration = Duration::from_millis(50);
/// How long the last events may take when a process stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Some events of one process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The host whose process it is.
    pub source: String,
    /// Drawn anew whenever the process starts.
    pub instance: u64,
    /// In the order of that process.
    pub events: Vec<Event>,
}

/// What is new at a collector.
#[derive(Debug, Serialize, Deserialize)]
pub struct News {
    /// The number of the last event that it has.
    pub last: u64,
    /// The oldest of those asked for.
    pub events: Vec<Event>,
}

/// Sends every event of this process to a collector, until it stops. Events that find no collector wait in the journal,
/// within its bounds.
pub async fn send_events(journal: Journal, collector: Client, source: String, instance: u64, stop: Stop) {
    let mut news = journal.follow();
    let mut next = 1;
    loop {
        let sent = send_batch(&journal, &collector, &source, instance, &mut next);
        let stopped = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            () = pace(sent, &mut news) => false,
        };
        if stopped {
            break;
        }
    }
    let last = async { while let Ok(true) = send_batch(&journal, &collector, &source, instance, &mut next).await {} };
    if timeout(FAREWELL, last).await.is_err() {
        tracing::warn!("the last events did not reach the collector");
    }
}

/// Sends one batch, and waits for a reason to send the next.
async fn pace(sent: impl Future<Output = Result<bool, Failure>>, news: &mut tokio::sync::broadcast::Receiver<Event>) {
    match sent.await {
        Ok(true) => {}
        Ok(false) => {
            // Missed ones are in the journal; a journal that is gone has no more.
            if let Err(RecvError::Closed) = news.recv().await {
                sleep(PAUSE).await;
            }
        }
        Err(error) => {
            tracing::debug!(%error, "events wait");
            sleep(PAUSE).await;
        }
    }
}

/// Whether there was one to send.
async fn send_batch(
    journal: &Journal,
    collector: &Client,
    source: &str,
    instance: u64,
    next: &mut u64,
) -> Result<bool, Failure> {
    let events = journal.batch_since(*next);
    let Some(last) = events.last().map(|event| event.seq) else { return Ok(false) };
    let batch = Batch { source: source.to_owned(), instance, events };
    collector.post::<serde_json::Value>(EVENTS, &batch).await?;
    *next = last + 1;
    Ok(true)
}

/// Copies what a collector hears from now on into a journal, until it is dropped.
///
/// # Errors
/// The collector cannot be asked even once; later it may be away for a while.
pub async fn follow_events(journal: Journal, collector: Client) -> Result<impl Future<Output = ()>, Failure> {
    let now: News = collector.get(&format!("{EVENTS}?since={}", u64::MAX)).await?;
    let mut next = now.last + 1;
    Ok(async move {
        loop {
            match collector.get::<News>(&format!("{EVENTS}?since={next}")).await {
                Ok(News { events, .. }) if !events.is_empty() => {
                    next = events.last().map_or(next, |event| event.seq + 1);
                    journal.adopt("collector", 0, events);
                }
                Ok(_) => sleep(POLL).await,
                Err(error) => {
                    tracing::debug!(%error, "no news");
                    sleep(PAUSE).await;
                }
            }
        }
    })
}
