//! The number of messages and recipients of each client in the current period.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::world::{RateLimit, later};

/// Maximum number of clients; the one whose period began first makes room.
const MAX_CLIENTS: usize = 100_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateUnit {
    Message,
    Recipient,
}

/// The counts of each client since its period began.
#[derive(Default)]
pub(super) struct Rates {
    periods: BTreeMap<IpAddr, Period>,
    by_start: BTreeSet<(Timestamp, IpAddr)>,
}

#[derive(Clone, Copy)]
struct Period {
    start: Timestamp,
    messages: u32,
    recipients: u32,
}

impl Rates {
    /// Counts one more `unit` of the client and returns `None`; if the limit is reached, counts nothing and returns how
    /// long the period of the client still lasts. A period begins with the first call for a client, and ends after
    /// `limit.per`; those that have ended are removed first.
    pub(super) fn count(
        &mut self,
        limit: &RateLimit,
        client: IpAddr,
        unit: RateUnit,
        now: Timestamp,
    ) -> Option<Duration> {
        self.remove_expired(limit.per, now);
        if MAX_CLIENTS <= self.periods.len() && !self.periods.contains_key(&client) {
            self.remove_first();
        }
        let start = now;
        let period = self.periods.entry(client).or_insert(Period { start, messages: 0, recipients: 0 });
        self.by_start.insert((period.start, client));
        let (sent, max) = match unit {
            RateUnit::Message => (&mut period.messages, limit.messages),
            RateUnit::Recipient => (&mut period.recipients, limit.recipients),
        };
        if max.is_some_and(|max| max <= *sent) {
            return Duration::try_from(later(period.start, limit.per).duration_since(now)).ok();
        }
        *sent = sent.saturating_add(1);
        None
    }

    /// Removes the clients whose period, which lasts for `per`, is over at `now`.
    fn remove_expired(&mut self, per: Duration, now: Timestamp) {
        while self.by_start.first().is_some_and(|(start, _)| later(*start, per) <= now) {
            self.remove_first();
        }
    }

    /// Removes the client whose period began first, if there is one.
    fn remove_first(&mut self) {
        if let Some((_, client)) = self.by_start.pop_first() {
            self.periods.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RateUnit::{Message, Recipient};
    use super::*;
    use crate::world::Clients;

    fn limit() -> RateLimit {
        let exempt = Clients::default();
        RateLimit { per: Duration::from_secs(60), messages: Some(2), recipients: Some(3), exempt }
    }

    fn count(rates: &mut Rates, client: u8, unit: RateUnit, seconds: i64) -> Option<u64> {
        let now = Timestamp::from_second(seconds).unwrap();
        rates.count(&limit(), [192, 0, 2, client].into(), unit, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn rate_limit_when_exceeded_waits_for_the_end_of_the_period() {
        let mut rates = Rates::default();
        for (client, unit, seconds, waits) in [
            (1, Message, 0, None),
            (1, Recipient, 0, None),
            (1, Message, 10, None),
            (1, Message, 20, Some(40)),
            (2, Message, 20, None),
            (1, Recipient, 20, None),
            (1, Recipient, 20, None),
            (1, Recipient, 59, Some(1)),
            (1, Message, 60, None),
            (2, Message, 79, None),
            (2, Message, 79, Some(1)),
            (2, Message, 80, None),
        ] {
            assert_eq!(count(&mut rates, client, unit, seconds), waits, "{client} {unit:?} after {seconds} s");
        }
    }

    #[test]
    fn rate_table_is_bounded() {
        let (mut rates, now) = (Rates::default(), Timestamp::UNIX_EPOCH);
        for number in 0..MAX_CLIENTS as u32 + 10 {
            let client = std::net::Ipv4Addr::from(number).into();
            assert_eq!(rates.count(&limit(), client, Message, now), None);
        }
        assert_eq!((rates.periods.len(), rates.by_start.len()), (MAX_CLIENTS, MAX_CLIENTS));
    }
}
