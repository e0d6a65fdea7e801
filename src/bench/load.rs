//! The load: connections that send one letter after the other, each as soon as the one before is accepted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::Instant;

use super::line::Line;
use super::{Error, Letters};
use crate::net::Interface;

/// What to send, and how much of it.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server.
    pub server: SocketAddr,
    /// Letters go by DATA even where the server offers CHUNKING.
    pub by_data: bool,
    /// What it gets.
    pub letters: Letters,
    /// Connections at once, open before the clock starts.
    pub connections: usize,
    /// No more letters than these.
    pub count: u64,
    /// No new letter after this time.
    pub time: Duration,
}

/// How long each letter took until it was accepted.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// From the first letter to the last reply.
    pub seconds: f64,
    /// In microseconds, in order.
    took: Vec<u32>,
}

impl Sent {
    /// How many were accepted.
    pub fn letters(&self) -> u64 {
        self.took.len() as u64
    }

    /// So large a share of the letters took no longer, in milliseconds.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let at = (self.took.len() as f64 * share).ceil() as usize;
        self.took.get(at.saturating_sub(1)).map_or(0.0, |took| f64::from(*took) / 1e3)
    }
}

impl Load {
    /// Sends it; `sent` counts along.
    ///
    /// # Errors
    /// The server cannot be reached, hangs up, or refuses a letter.
    pub async fn run(&self, interface: &Interface, sent: &AtomicU64) -> Result<Sent, Error> {
        let lines = (0..self.connections).map(|_| Line::open(interface, self));
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
        join_all(lines.into_iter().map(Line::quit)).await;
        Ok(Sent { seconds, took })
    }
}

impl Line {
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
            self.send(&load.letters, number).await?;
            took.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}
