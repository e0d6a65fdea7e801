//! Watches letters arrive at the end of a chain: asks for the mailbox's next unique id, which any IMAP server knows at
//! once, again and again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::line::Line;
use super::{Error, Load, Sent};
use crate::mua::ImapWatch;
use crate::net::Interface;

/// Between two looks while many letters come.
const PAUSE: Duration = Duration::from_millis(10);
/// Without a new letter for so long the rest is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// The INBOX at the end of a chain.
pub struct Arrivals(pub ImapWatch);

impl Arrivals {
    /// Sends a load, and waits until all of it is there; the seconds from the first letter to that.
    ///
    /// # Errors
    /// The load cannot be sent, or letters of it do not arrive.
    pub async fn of_load(
        &mut self,
        load: &Load,
        interface: &Interface,
        arrived: &AtomicU64,
    ) -> Result<(Sent, f64), Error> {
        let before = u64::from(self.0.uid_next().await?);
        let (began, sent) = (Instant::now(), AtomicU64::new(0));
        let watching = async {
            loop {
                match self.0.uid_next().await {
                    Ok(next) => arrived.store(u64::from(next) - before, Ordering::Relaxed),
                    Err(error) => return Error::from(error),
                }
                sleep(PAUSE).await;
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = load.run(interface, &sent) => outcome?,
            failed = watching => return Err(failed),
        };
        self.wait(before, outcome.letters(), arrived).await?;
        Ok((outcome, began.elapsed().as_secs_f64()))
    }

    async fn wait(&mut self, before: u64, sent: u64, arrived: &AtomicU64) -> Result<(), Error> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let count = u64::from(self.0.uid_next().await?) - before;
            arrived.store(count, Ordering::Relaxed);
            if sent <= count {
                return Ok(());
            }
            if last < count {
                (last, since) = (count, Instant::now());
            }
            if PATIENCE < since.elapsed() {
                return Err(Error::Missing { missing: sent - count, sent });
            }
            sleep(PAUSE).await;
        }
    }

    /// Sends letters one at a time, each when the one before is in the mailbox: how long each took, in milliseconds.
    ///
    /// # Errors
    /// As [`Arrivals::of_load`].
    pub async fn of_lone_letters(&mut self, load: &Load, interface: &Interface) -> Result<Vec<f64>, Error> {
        let mut line = Line::open(interface, load).await?;
        let mut took = Vec::new();
        for number in 0..load.count {
            let before = self.0.uid_next().await?;
            let began = Instant::now();
            line.send(&load.letters, number).await?;
            while self.0.uid_next().await? == before {
                if PATIENCE < began.elapsed() {
                    return Err(Error::Missing { missing: 1, sent: number + 1 });
                }
            }
            took.push(began.elapsed().as_secs_f64() * 1e3);
            sleep(PAUSE).await;
        }
        line.quit().await;
        Ok(took)
    }
}
