//! Requests that wait: `wait=30s`, or a number of seconds.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::host::RunningWorld;
use crate::mail::JourneyId;
use crate::store;
use crate::world::span;

/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Returns when the wait that a request asks for, as in `30s` or as a number of seconds, ends if it begins now; in
/// [`MAX_WAIT`] at the latest. `None` if `wait` is `None`: the request does not wait.
///
/// # Errors
/// The text is not a duration; the error says so.
pub(super) fn deadline(wait: Option<&str>) -> Result<Option<Instant>, String> {
    let Some(text) = wait else { return Ok(None) };
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => span::parse(text)?,
    };
    Ok(Some(Instant::now() + wait.min(MAX_WAIT)))
}

/// Calls `look` now, and again whenever the event log has new events of any message, until it finds something; returns
/// what it found. Returns `None` when `deadline` has passed or the world stops.
///
/// # Errors
/// The first error of `look`.
pub async fn until<T, E>(
    running: &RunningWorld,
    deadline: Instant,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let stop = running.stopping();
    // Before the first look, so that no event is missed.
    let mut events = running.env.event_log.subscribe_from_now();
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        // Some that were missed are news, too.
        match timeout_at(deadline, stop.run_until_cancelled(events.next())).await {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Ok(None),
        }
    }
}

/// Waits until a journey is settled, the time is over, or the world stops; which of them is not returned. A journey
/// that is not known may still begin, so it is waited for, too.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn until_settled(
    running: &RunningWorld,
    journey: JourneyId,
    deadline: Instant,
) -> Result<(), store::Error> {
    let event_log = &running.env.event_log;
    let settled = until(running, deadline, || {
        Ok::<_, store::Error>(event_log.journey_state(journey)?.filter(|state| state.is_settled()))
    });
    settled.await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wait_is_a_duration_or_seconds_and_bounded() {
        let wait = |text: &str| deadline(Some(text)).map(|end| end.unwrap() - Instant::now());
        assert_eq!(wait("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(wait("2"), Ok(Duration::from_secs(2)));
        assert_eq!(wait("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(wait("5 days"), Ok(MAX_WAIT));
        assert_eq!(wait(&u64::MAX.to_string()), Ok(MAX_WAIT));
        assert!(wait("soon").is_err());
        assert_eq!(deadline(None), Ok(None));
    }
}
