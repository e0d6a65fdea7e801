//! When a message that could not be passed on is tried again. RFC 5321 §4.5.4.1.

use std::time::Duration;

use serde::Deserialize;

use super::{Dice, span};

/// The settings of one MTA; `[mta.NAME.retry]` in a world file.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Wait before the second attempt.
    #[serde(with = "span")]
    pub first: Duration,
    /// Each wait is so many times the one before.
    pub factor: f64,
    /// The wait never grows beyond this.
    #[serde(with = "span")]
    pub longest: Duration,
    /// By how large a share each wait is longer or shorter at random, so that what failed together does not come back
    /// together.
    pub jitter: f64,
    /// Tell the sender that the message is late.
    #[serde(with = "span")]
    pub warn: Duration,
    /// Give up and tell the sender.
    #[serde(with = "span")]
    pub give_up: Duration,
}

impl Retry {
    /// The wait after so many attempts that failed, before the last one.
    pub fn wait(&self, attempts: u32, dice: &Dice) -> Duration {
        let power = i32::try_from(attempts).unwrap_or(i32::MAX);
        let whole = (self.first.as_secs_f64() * self.factor.powi(power)).min(self.longest.as_secs_f64());
        let share = if self.jitter == 0.0 { 0.0 } else { self.jitter * (2.0 * dice.share() - 1.0) };
        Duration::try_from_secs_f64(whole * (1.0 + share)).unwrap_or(self.longest)
    }
}

impl Default for Retry {
    /// RFC 5321 §4.5.4.1 asks the internet's servers for 30 min and 4-5 days; the first wait here is short, since people
    /// watch.
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
    fn waits_grow_by_the_factor_up_to_the_longest_and_scatter_by_the_jitter() {
        let dice = Dice::seeded(1);
        let retry = Retry { first: Duration::from_secs(10), factor: 3.0, ..Retry::default() };
        let waits = [0, 1, 2, 5, 6, u32::MAX].map(|attempts| retry.wait(attempts, &dice).as_secs());
        assert_eq!(waits, [10, 30, 90, 2430, 3600, 3600]);
        let retry = Retry { jitter: 0.5, ..retry };
        let waits: Vec<_> = (0..1000).map(|_| retry.wait(1, &dice).as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (15.0..45.0).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 17.0) && waits.iter().any(|wait| 43.0 < *wait));
    }
}
