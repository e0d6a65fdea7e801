//! The load: connections that each send one message after the other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::Instant;

use super::load_connection::LoadConnection;
use super::{Error, Messages};
use crate::net::Interface;

/// What to send, and how much.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server.
    pub server: SocketAddr,
    /// Letters go by DATA even where the server offers CHUNKING.
    pub by_data: bool,
    /// Each command is sent after the reply to the one before, even where the server offers PIPELINING.
    pub stepwise: bool,
    /// The messages.
    pub messages: Messages,
    /// Concurrent connections, which are opened before the measurement starts.
    pub connections: usize,
    /// The maximum number of messages.
    pub count: u64,
    /// The maximum time; messages that were started before are completed.
    pub time: Duration,
}

/// The time that each message took until it was accepted.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Time from the first message to the last reply.
    pub seconds: f64,
    /// Time per message in microseconds, sorted.
    took: Vec<u32>,
}

impl Sent {
    /// The number of accepted messages.
    pub fn messages(&self) -> u64 {
        self.took.len() as u64
    }

    /// The time within which this share of the messages, from 0 to 1, was accepted, in milliseconds; 0 if none was
    /// accepted.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let at = (self.took.len() as f64 * share).ceil() as usize;
        self.took.get(at.saturating_sub(1)).map_or(0.0, |took| f64::from(*took) / 1e3)
    }
}

impl Load {
    /// Opens all connections, then sends until the count or the time of the load is reached, and ends the connections
    /// with QUIT. Returns the time that each message took. `sent` is raised by 1 for each accepted message, so that the
    /// caller can show the progress.
    ///
    /// # Errors
    /// The server cannot be reached, closes a connection, or refuses a message.
    pub async fn run(&self, interface: &Interface, sent: &AtomicU64) -> Result<Sent, Error> {
        let lines = (0..self.connections).map(|_| LoadConnection::open(interface, self));
        let lines = try_join_all(lines).await?;
        let (began, numbers) = (Instant::now(), AtomicU64::new(0));
        let tasks = lines.into_iter().map(|line| line.work(self, began + self.time, &numbers, sent));
        let (mut took, mut lines) = (Vec::new(), Vec::new());
        for outcome in join_all(tasks).await {
            let (line, times) = outcome?;
            took.extend(times);
            lines.push(line);
        }
        let seconds = began.elapsed().as_secs_f64();
        took.sort_unstable();
        join_all(lines.into_iter().map(LoadConnection::quit)).await;
        Ok(Sent { seconds, took })
    }
}

impl LoadConnection {
    /// Sends messages one after the other until the count of the load or the time `end` is reached; returns the
    /// connection, and the time of each message in microseconds. Each has the next of `numbers`, which all connections
    /// of the load share, and raises `sent` by 1 once it is accepted. Stops at the first error.
    async fn work(
        mut self,
        load: &Load,
        end: Instant,
        numbers: &AtomicU64,
        sent: &AtomicU64,
    ) -> Result<(Self, Vec<u32>), Error> {
        let mut took = Vec::new();
        loop {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            if load.count <= number || end <= began {
                return Ok((self, took));
            }
            self.send(&load.messages, number).await?;
            took.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}
