//! Events between the processes of one world: each host sends its events to a collector, from which a client can read
//! the events of all hosts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};

use super::client::{Client, ClientError};
use crate::journey::{Event, EventLog};
use crate::net::Stop;

/// Path to which events are sent and from which they are read.
pub(super) const EVENTS: &str = "/api/v1/events";
/// Delay after a failed request to the collector.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Interval between two requests for new events.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Timeout for sending the last events at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// A batch of events of one process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventBatch {
    /// The host that the process runs.
    pub source: String,
    /// A random number chosen when the process starts.
    pub instance: u64,
    /// The events in their order.
    pub events: Vec<Event>,
}

/// A page of events from a collector.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventPage {
    /// The number of the collector's last event.
    pub last: u64,
    /// The oldest of the requested events.
    pub events: Vec<Event>,
}

/// Sends every event of this process to a collector until shutdown. While the collector is unreachable, events stay in
/// the bounded event log.
pub async fn send_events(event_log: EventLog, collector: Client, source: String, instance: u64, stop: Stop) {
    let mut news = event_log.follow();
    let mut next = 1;
    loop {
        let sent = send_batch(&event_log, &collector, &source, instance, &mut next);
        let stopped = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            () = pace(sent, &mut news) => false,
        };
        if stopped {
            break;
        }
    }
    let last = async { while let Ok(true) = send_batch(&event_log, &collector, &source, instance, &mut next).await {} };
    if timeout(SHUTDOWN_TIMEOUT, last).await.is_err() {
        tracing::warn!("cannot send the last events to the collector");
    }
}

/// Sends one batch, and waits until there may be another.
async fn pace(
    sent: impl Future<Output = Result<bool, ClientError>>,
    news: &mut tokio::sync::broadcast::Receiver<Event>,
) {
    match sent.await {
        Ok(true) => {}
        Ok(false) => {
            // Skipped events are in the log; a closed log has no more.
            if let Err(RecvError::Closed) = news.recv().await {
                sleep(RETRY_DELAY).await;
            }
        }
        Err(error) => {
            tracing::debug!(%error, "cannot send events; retrying");
            sleep(RETRY_DELAY).await;
        }
    }
}

/// Sends one batch of events; returns false if there are none.
async fn send_batch(
    event_log: &EventLog,
    collector: &Client,
    source: &str,
    instance: u64,
    next: &mut u64,
) -> Result<bool, ClientError> {
    let events = event_log.batch_since(*next);
    let Some(last) = events.last().map(|event| event.seq) else { return Ok(false) };
    let batch = EventBatch { source: source.to_owned(), instance, events };
    collector.post::<serde_json::Value>(EVENTS, &batch).await?;
    *next = last + 1;
    Ok(true)
}

/// Returns a future that copies the new events of a collector into an event log until it is dropped.
///
/// # Errors
/// The first request failed. Later failures are retried.
pub async fn follow_events(event_log: EventLog, collector: Client) -> Result<impl Future<Output = ()>, ClientError> {
    let now: EventPage = collector.get(&format!("{EVENTS}?since={}", u64::MAX)).await?;
    let mut next = now.last + 1;
    Ok(async move {
        loop {
            match collector.get::<EventPage>(&format!("{EVENTS}?since={next}")).await {
                Ok(EventPage { events, .. }) if !events.is_empty() => {
                    next = events.last().map_or(next, |event| event.seq + 1);
                    event_log.import("collector", 0, events);
                }
                Ok(_) => sleep(POLL_INTERVAL).await,
                Err(error) => {
                    tracing::debug!(%error, "cannot read events; retrying");
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    })
}
