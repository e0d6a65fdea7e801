//! When to retry a message that could not be relayed. RFC 5321 §4.5.4.1.

use std::time::Duration;

use serde::Deserialize;

use super::{Rng, span};

/// The settings of one MTA; `[mta.NAME.retry]` in a world file.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Delay before the second attempt.
    #[serde(with = "span")]
    pub first: Duration,
    /// The factor by which each delay is longer than the one before.
    pub factor: f64,
    /// The maximum delay.
    #[serde(with = "span")]
    pub longest: Duration,
    /// The share by which each delay is randomly longer or shorter, so that messages which failed together are not
    /// retried together.
    pub jitter: f64,
    /// The age at which the sender gets a warning.
    #[serde(with = "span")]
    pub warn: Duration,
    /// The age at which delivery fails and the sender gets a report.
    #[serde(with = "span")]
    pub give_up: Duration,
}

impl Retry {
    /// The delay before the next attempt: `first` times `factor` to the power of `attempts`, at most `longest`.
    /// `attempts` is the number of failed attempts but the first, 0 after that. The jitter is applied last, so that the
    /// delay may be longer than `longest`; without it, no random number is drawn.
    pub fn wait(&self, attempts: u32, rng: &Rng) -> Duration {
        let power = i32::try_from(attempts).unwrap_or(i32::MAX);
        let seconds = (self.first.as_secs_f64() * self.factor.powi(power)).min(self.longest.as_secs_f64());
        let share = if self.jitter == 0.0 { 0.0 } else { self.jitter * (2.0 * rng.next_f64() - 1.0) };
        Duration::try_from_secs_f64(seconds * (1.0 + share)).unwrap_or(self.longest)
    }
}

impl Default for Retry {
    /// RFC 5321 §4.5.4.1 recommends 30 minutes and 4-5 days; the first delays here are short, which suits a test world.
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        let (first, longest) = (Duration::from_secs(1), hour);
        Self { first, factor: 2.0, longest, jitter: 0.0, warn: hour * 4, give_up: hour * 24 * 5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_wait_grows_by_the_factor_up_to_the_longest_with_jitter() {
        let rng = Rng::seeded(1);
        let retry = Retry { first: Duration::from_secs(10), factor: 3.0, ..Retry::default() };
        let waits = [0, 1, 2, 5, 6, u32::MAX].map(|attempts| retry.wait(attempts, &rng).as_secs());
        assert_eq!(waits, [10, 30, 90, 2430, 3600, 3600]);
        let retry = Retry { jitter: 0.5, ..retry };
        let waits: Vec<_> = (0..1000).map(|_| retry.wait(1, &rng).as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (15.0..45.0).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 17.0) && waits.iter().any(|wait| 43.0 < *wait));
    }
}
