//! Events between the processes of one world: each host sends its events to a collector, from which a client can read
//! the events of all hosts.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::client::{Client, ClientError};
use crate::journey::{Event, EventLog, Lagged, Subscription};
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
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventBatch {
    /// The host that the process runs.
    pub source: String,
    /// A random number chosen when the process starts.
    pub instance: u64,
    /// The events in their order.
    #[schema(value_type = Vec<Event>)]
    pub events: Vec<Arc<Event>>,
}

/// A page of the events after a number.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventPage {
    /// The number of the last of these events; of the newest one, if there is none after the given number.
    pub last: u64,
    /// How many events were dropped that would come before these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// The oldest events after the given number.
    #[schema(value_type = Vec<Event>)]
    pub events: Vec<Arc<Event>>,
}

/// Whether a count is 0, so that JSON leaves it out.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl EventPage {
    /// Returns the oldest events after number `since`, as many as fit into a page; a number above the newest is taken
    /// as the newest. `missed` is how many were dropped before the first of them.
    pub(super) fn after(event_log: &EventLog, since: u64) -> Self {
        let mut subscription = event_log.subscribe(since.min(event_log.last_seq()));
        let mut missed = 0;
        loop {
            match subscription.try_next() {
                Ok(events) => return Self { last: subscription.position(), missed, events },
                Err(Lagged { missed: more }) => missed += more,
            }
        }
    }
}

/// Sends the events of a subscription to a collector until `stop`, and then those that are left, for 2 s at most; what
/// cannot be sent is sent again. `source` is the host that this process runs, and `instance` a random number of this
/// start. While the collector is unreachable, events stay in the bounded event log; those that it drops are left out.
pub async fn send_events(events: Subscription, collector: Client, source: String, instance: u64, stop: Stop) {
    let mut sender = Sender { events, unsent: Vec::new(), collector, source, instance };
    while stop.run_until_cancelled(sender.send_next()).await.is_some() {}
    if timeout(SHUTDOWN_TIMEOUT, sender.send_rest()).await.is_err() {
        tracing::warn!("cannot send the last events to the collector");
    }
}

struct Sender {
    events: Subscription,
    /// Events that were read, and perhaps sent.
    unsent: Vec<Arc<Event>>,
    collector: Client,
    source: String,
    instance: u64,
}

impl Sender {
    /// Sends one batch: the unsent one, or the next events, for which it waits. After a failure, waits for
    /// [`RETRY_DELAY`]; the batch stays unsent. Events that the log dropped are left out, which is logged.
    async fn send_next(&mut self) {
        if self.unsent.is_empty() {
            match self.events.next().await {
                Ok(events) => self.unsent = events,
                Err(lagged) => return tracing::warn!("not sent to the collector: {lagged}"),
            }
        }
        if let Err(error) = self.send().await {
            tracing::debug!(%error, "cannot send events; retrying");
            sleep(RETRY_DELAY).await;
        }
    }

    /// Sends the unsent events and those that the log has now, without waiting for others, until all are sent or the
    /// first failure.
    async fn send_rest(&mut self) {
        loop {
            if self.unsent.is_empty() {
                self.unsent = self.events.try_next_kept();
            }
            if self.unsent.is_empty() || self.send().await.is_err() {
                return;
            }
        }
    }

    /// Sends the unsent events as one batch; after an error, they stay unsent.
    async fn send(&mut self) -> Result<(), ClientError> {
        let (source, instance, events) = (self.source.clone(), self.instance, self.unsent.clone());
        let batch = EventBatch { source, instance, events };
        self.collector.post::<serde_json::Value>(EVENTS, &batch).await?;
        self.unsent.clear();
        Ok(())
    }
}

/// Returns a future that copies the events that a collector gets from now on into an event log until it is dropped.
/// Events that the collector dropped before they were read are left out.
///
/// # Errors
/// The first request failed. Later failures are retried.
pub async fn follow_events(event_log: EventLog, collector: Client) -> Result<impl Future<Output = ()>, ClientError> {
    // No event is after this number: the page says which the newest is.
    let mut page: EventPage = collector.get(&format!("{EVENTS}?since={}", u64::MAX)).await?;
    Ok(async move {
        loop {
            match collector.get::<EventPage>(&format!("{EVENTS}?since={}", page.last)).await {
                Ok(next) if !next.events.is_empty() => {
                    page = next;
                    event_log.import("collector", 0, page.events.drain(..).map(Arc::unwrap_or_clone));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::EventKind;
    use crate::mail::{JourneyId, Side, Transcript};
    use crate::world::Clock;

    /// A log with so many events, each with a transcript that fills a fifth of a page.
    fn event_log(count: u64, capacity: usize) -> EventLog {
        let event_log = EventLog::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), capacity, true);
        let mut transcript = Transcript::default();
        (0..400).for_each(|_| transcript.note(Side::Server, &"x".repeat(250)));
        for number in 0..count {
            let (journey, recipients) = (JourneyId::from_random(number), vec!["a@x.test".parse().unwrap()]);
            let kind = EventKind::Released { recipients };
            event_log.emitter("mta").report(journey, None, kind, Some(transcript.clone()));
        }
        event_log
    }

    #[test]
    fn event_pages_lose_and_repeat_no_event() {
        let event_log = event_log(24, 100);
        let (mut since, mut seen) = (0, Vec::new());
        loop {
            let page = EventPage::after(&event_log, since);
            seen.extend(page.events.iter().map(|event| event.seq));
            assert_eq!((page.last, page.missed), (seen.last().copied().unwrap_or(since), 0));
            if page.events.is_empty() {
                break;
            }
            assert!(page.events.len() < 24, "all fit into one page");
            since = page.last;
        }
        assert_eq!(seen, (1..=24).collect::<Vec<_>>());
        assert_eq!(EventPage::after(&event_log, u64::MAX).last, 24);
    }

    #[test]
    fn event_page_says_how_many_events_were_dropped() {
        let page = EventPage::after(&event_log(10, 4), 2);
        assert_eq!((page.missed, page.events[0].seq, page.last), (4, 7, 10));
    }
}
