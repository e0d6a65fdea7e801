//! The timer for a connection's timeouts.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all waits of a connection. Most waits are over long before their end, and usually each one ends later
/// than the one before; so the timer is left as it is and only set again when it fires too early.
#[derive(Default)]
pub(super) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Ready once `end` has passed; never if it is `None`. Each call may have another end, which replaces the one
    /// before.
    pub(super) fn poll(&mut self, end: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(end) = end else { return Poll::Pending };
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if end < timer.deadline() {
            timer.as_mut().reset(end);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if end <= timer.deadline() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadline_with_changing_ends_fires_at_the_end_of_each_wait() {
        let (mut deadline, start) = (Deadline::default(), Instant::now());
        let second = Duration::from_secs(1);
        for (wait, answered_after) in [(10, Some(4)), (10, None), (10, Some(1)), (3, None), (2, None), (60, None)] {
            let end = Instant::now() + second * wait;
            let answered = answered_after.map_or(Duration::MAX, |after| second * after);
            let fired = timeout(answered, poll_fn(|cx| deadline.poll(Some(end), cx))).await.is_ok();
            assert_eq!((fired, fired && Instant::now() != end), (answered_after.is_none(), false), "{wait}");
        }
        assert_eq!(start.elapsed(), second * (4 + 10 + 1 + 3 + 2 + 60));
        assert!(timeout(second * 9000, poll_fn(|cx| deadline.poll(None, cx))).await.is_err());
    }
}
