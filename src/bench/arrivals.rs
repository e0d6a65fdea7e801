//! Watches messages arrive at the end of a chain of MTAs, by polling the mailbox's UIDNEXT, which is cheap for any IMAP
//! server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::load_connection::LoadConnection;
use super::{Error, Load, Sent};
use crate::mua::ImapWatch;
use crate::net::Interface;

/// Interval between two polls while many messages arrive.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Without a new message for this time, the missing ones are regarded as lost.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(60);

/// The INBOX at the end of a chain.
pub struct ArrivalWatcher(pub ImapWatch);

impl ArrivalWatcher {
    /// Runs a load and waits until all its messages have arrived; returns what was sent, and the seconds from its start
    /// until the last arrival. `arrived` is set to the number of arrivals so far.
    ///
    /// # Errors
    /// The load failed, the mailbox cannot be read, or no further message arrives for 60 s.
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
                sleep(POLL_INTERVAL).await;
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = load.run(interface, &sent) => outcome?,
            failed = watching => return Err(failed),
        };
        self.wait(before, outcome.messages(), arrived).await?;
        Ok((outcome, began.elapsed().as_secs_f64()))
    }

    /// Waits until `sent` messages have arrived since UIDNEXT was `before`; an error once none has arrived for
    /// [`ARRIVAL_TIMEOUT`].
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
            if ARRIVAL_TIMEOUT < since.elapsed() {
                return Err(Error::Missing { missing: sent - count, sent });
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends the messages of the load one by one on one connection, each after the one before has arrived; returns the
    /// time from sending to arrival of each in milliseconds.
    ///
    /// # Errors
    /// The server cannot be reached or refuses a message, the mailbox cannot be read, or a message does not arrive
    /// within 60 s.
    pub async fn one_by_one(&mut self, load: &Load, interface: &Interface) -> Result<Vec<f64>, Error> {
        let mut line = LoadConnection::open(interface, load).await?;
        let mut took = Vec::new();
        for number in 0..load.count {
            let before = self.0.uid_next().await?;
            let began = Instant::now();
            line.send(&load.messages, number).await?;
            while self.0.uid_next().await? == before {
                if ARRIVAL_TIMEOUT < began.elapsed() {
                    return Err(Error::Missing { missing: 1, sent: number + 1 });
                }
            }
            took.push(began.elapsed().as_secs_f64() * 1e3);
            sleep(POLL_INTERVAL).await;
        }
        line.quit().await;
        Ok(took)
    }
}
