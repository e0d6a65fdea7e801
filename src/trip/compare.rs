//! Compares what came out with what went in.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::mail::{JourneyId, Letter};

/// What came out for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// It is there once, and below the trace lines of the hosts every byte is as it was sent.
    Intact,
    /// It is there, but not as it was sent.
    Changed,
    /// It is there more than once.
    Doubled,
    /// It is not there.
    Missing,
}

/// What one protocol gave out, by journey.
pub(super) struct Pile(BTreeMap<Option<JourneyId>, Vec<Bytes>>);

impl Pile {
    pub(super) fn new(messages: Vec<Bytes>) -> Self {
        let mut pile: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for message in messages {
            pile.entry(Letter::new(message.clone()).journey()).or_default().push(message);
        }
        Self(pile)
    }

    /// How many messages belong to none of these journeys.
    pub(super) fn strangers(&self, journeys: &[JourneyId]) -> usize {
        let known = |id: &Option<JourneyId>| id.is_some_and(|id| journeys.contains(&id));
        self.0.iter().filter(|(id, _)| !known(id)).map(|(_, messages)| messages.len()).sum()
    }

    pub(super) fn compare(&self, journey: Option<JourneyId>, sent: &Bytes) -> Arrival {
        let found = journey.and_then(|journey| self.0.get(&Some(journey))).map_or(&[][..], Vec::as_slice);
        match found {
            [] => Arrival::Missing,
            [one] if is_intact(one, sent) => Arrival::Intact,
            [_] => Arrival::Changed,
            _ => Arrival::Doubled,
        }
    }
}

/// The end of what arrived is what was sent, and all before it is trace lines.
fn is_intact(arrived: &Bytes, sent: &Bytes) -> bool {
    let Some(start) = arrived.len().checked_sub(sent.len()) else { return false };
    arrived[start..] == sent[..] && Letter::new(arrived.slice(..start)).content.bytes().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "Received: from far away\r\nSubject: hi\r\n\r\nHello!\r\n";

    fn arrived(text: &str) -> Arrival {
        let id = JourneyId::of(1).stay(2);
        let stamped = format!("Received: from a by b with ESMTP id {id};\r\n\tnow\r\n{text}");
        let pile = Pile::new(vec![Bytes::from(stamped)]);
        pile.compare(Some(id.journey), &Bytes::from_static(SENT.as_bytes()))
    }

    #[test]
    fn only_trace_lines_may_stand_above_what_was_sent() {
        assert_eq!(arrived(SENT), Arrival::Intact);
        assert_eq!(arrived(&format!("Return-Path: <a@b>\r\n{SENT}")), Arrival::Intact);
        assert_eq!(arrived(&format!("X-Spam: no\r\n{SENT}")), Arrival::Changed);
        assert_eq!(arrived(&SENT.replace("Hello", "hello")), Arrival::Changed);
        assert_eq!(arrived(&SENT.replace("Hello!", "Hello! ")), Arrival::Changed);
        assert_eq!(arrived(&SENT[1..]), Arrival::Changed);
    }

    #[test]
    fn what_is_not_there_or_there_twice_is_told_apart() {
        let id = JourneyId::of(1).stay(2);
        let one = Bytes::from(format!("Received: from a by b id {id};\r\n\tnow\r\n{SENT}"));
        let sent = Bytes::from_static(SENT.as_bytes());
        assert_eq!(Pile::new(vec![]).compare(Some(id.journey), &sent), Arrival::Missing);
        assert_eq!(Pile::new(vec![one.clone(), one.clone()]).compare(Some(id.journey), &sent), Arrival::Doubled);
        assert_eq!(Pile::new(vec![one]).strangers(&[]), 1);
    }
}
