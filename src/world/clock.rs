//! What time it is in the world.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The world's clock: the system's, or one that starts at a chosen moment and follows tokio's clock, which a
/// simulation pauses and advances.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Wall,
    Virtual { start: Timestamp, origin: Instant },
}

impl Clock {
    /// The time of the machine.
    pub fn wall() -> Self {
        Self(Kind::Wall)
    }

    /// Virtual time that stands at `start` now.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Kind::Virtual { start, origin: Instant::now() })
    }

    /// Whether it is not the machine's.
    pub fn is_virtual(&self) -> bool {
        matches!(self.0, Kind::Virtual { .. })
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Kind::Wall => Timestamp::now(),
            Kind::Virtual { start, origin } => later(start, origin.elapsed()),
        }
    }

    /// The moment of tokio's clock at which the world's clock will show `time`; now if that is past.
    pub fn instant(&self, time: Timestamp) -> Instant {
        let wait = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
        Instant::now() + wait
    }
}

/// `time` and a while more; the end of time where that is too far.
pub fn later(time: Timestamp, while_: Duration) -> Timestamp {
    SignedDuration::try_from(while_).ok().and_then(|add| time.checked_add(add).ok()).unwrap_or(Timestamp::MAX)
}

/// The date as a message header writes it, in UTC. RFC 5322 §3.3.
///
/// ```
/// assert_eq!(postroad::world::rfc5322_date(jiff::Timestamp::UNIX_EPOCH), "Thu, 1 Jan 1970 00:00:00 +0000");
/// ```
pub fn rfc5322_date(time: Timestamp) -> String {
    jiff::fmt::rfc2822::to_string(&time.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}
