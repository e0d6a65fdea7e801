//! When a peer has been silent for too long.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for a whole conversation. Each wait has a later end than the one before, as a rule, and most are over long
/// before it: so the timer stays as it was set, and is set again when it rings too early.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when it is that late; without an end, never.
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
    async fn it_rings_at_the_end_of_each_wait_be_it_later_or_sooner_than_that_of_the_last() {
        let (mut alarm, start) = (Alarm::default(), Instant::now());
        let second = Duration::from_secs(1);
        for (wait, heard_after) in [(10, Some(4)), (10, None), (10, Some(1)), (3, None), (2, None), (60, None)] {
            let end = Instant::now() + second * wait;
            let heard = heard_after.map_or(Duration::MAX, |after| second * after);
            let rang = timeout(heard, poll_fn(|cx| alarm.poll(Some(end), cx))).await.is_ok();
            assert_eq!((rang, rang && Instant::now() != end), (heard_after.is_none(), false), "{wait}");
        }
        assert_eq!(start.elapsed(), second * (4 + 10 + 1 + 3 + 2 + 60));
        assert!(timeout(second * 9000, poll_fn(|cx| alarm.poll(None, cx))).await.is_err());
    }
}
