//! The world's clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The system's clock, or a virtual one that starts at a given time and follows tokio's clock, which simulations pause.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Wall,
    Virtual { start: Timestamp, origin: Instant },
}

impl Clock {
    /// The system's clock.
    pub fn wall() -> Self {
        Self(Kind::Wall)
    }

    /// A virtual clock that shows `start` now.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Kind::Virtual { start, origin: Instant::now() })
    }

    /// The current time of this clock.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Kind::Wall => Timestamp::now(),
            Kind::Virtual { start, origin } => later(start, origin.elapsed()),
        }
    }

    /// The instant of tokio's clock at which this clock shows `time`; the current instant if `time` is past.
    pub fn instant(&self, time: Timestamp) -> Instant {
        let wait = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
        Instant::now() + wait
    }
}

/// `time` plus a duration; the latest possible time if the sum is after that.
pub fn later(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|add| time.checked_add(add).ok()).unwrap_or(Timestamp::MAX)
}

/// The date in the format of message headers, in UTC. RFC 5322 §3.3.
///
/// ```
/// assert_eq!(postroad::world::rfc5322_date(jiff::Timestamp::UNIX_EPOCH), "Thu, 1 Jan 1970 00:00:00 +0000");
/// ```
pub fn rfc5322_date(time: Timestamp) -> String {
    jiff::fmt::rfc2822::to_string(&time.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}
