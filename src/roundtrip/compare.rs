//! Compares the received messages with the sent ones.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::imap::without_binary;
use crate::mail::{JourneyId, Message};

/// The result of comparing a received message with the sent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// There is one copy, and below the trace lines of the hosts every byte is as sent; binary parts are in base64.
    Intact,
    /// There is one copy, but it differs from what was sent.
    Changed,
    /// There are several copies.
    Doubled,
    /// There is no copy.
    Missing,
}

/// The messages fetched by one protocol, by journey.
pub(super) struct ReceivedCopies {
    messages: BTreeMap<Option<JourneyId>, Vec<Bytes>>,
    /// They came over IMAP, whose BODY[] has no NUL.
    has_no_nul: bool,
}

impl ReceivedCopies {
    /// Groups messages, fetched by other protocols than IMAP, by the journey in their trace fields. They are compared
    /// byte by byte.
    pub(super) fn new(messages: Vec<Bytes>) -> Self {
        let mut copies: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for message in messages {
            copies.entry(Message::new(message.clone()).journey()).or_default().push(message);
        }
        Self { messages: copies, has_no_nul: false }
    }

    /// Groups messages fetched over IMAP by the journey in their trace fields. They are compared with 0x80 in the place
    /// of NUL in what was sent: a literal may not hold NUL, and servers send 0x80 instead. RFC 9051 §4.3.
    pub(super) fn over_imap(messages: Vec<Bytes>) -> Self {
        Self { has_no_nul: true, ..Self::new(messages) }
    }

    /// The number of messages that belong to none of these journeys, or to no journey at all.
    pub(super) fn unrelated(&self, journeys: &[JourneyId]) -> usize {
        let known = |id: &Option<JourneyId>| id.is_some_and(|id| journeys.contains(&id));
        self.messages.iter().filter(|(id, _)| !known(id)).map(|(_, messages)| messages.len()).sum()
    }

    /// Compares the copies of a journey with the message as it was sent, with its binary parts in base64. Without a
    /// journey, or without a copy of it, the message is missing.
    pub(super) fn compare(&self, journey: Option<JourneyId>, sent: &Bytes) -> Comparison {
        let found = journey.and_then(|journey| self.messages.get(&Some(journey))).map_or(&[][..], Vec::as_slice);
        // As a mailbox stores it, for readers that cannot take binary parts.
        let sent = without_binary(sent.clone());
        let without_nul = || sent.iter().map(|byte| if *byte == 0 { 0x80 } else { *byte }).collect();
        let sent: Bytes = if self.has_no_nul { without_nul() } else { sent };
        match found {
            [] => Comparison::Missing,
            [one] if is_intact(one, &sent) => Comparison::Intact,
            [_] => Comparison::Changed,
            _ => Comparison::Doubled,
        }
    }
}

/// Whether the received message ends with all bytes of the sent one, and has nothing but trace fields before them.
fn is_intact(arrived: &Bytes, sent: &Bytes) -> bool {
    let Some(start) = arrived.len().checked_sub(sent.len()) else { return false };
    arrived[start..] == sent[..] && Message::new(arrived.slice(..start)).content.bytes().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "Received: from far away\r\nSubject: hi\r\n\r\nHello!\r\n";

    fn arrived(text: &str) -> Comparison {
        let id = JourneyId::from_random(1).queue_id(2);
        let stamped = format!("Received: from a by b with ESMTP id {id};\r\n\tnow\r\n{text}");
        let copies = ReceivedCopies::new(vec![Bytes::from(stamped)]);
        copies.compare(Some(id.journey), &Bytes::from_static(SENT.as_bytes()))
    }

    #[test]
    fn comparison_allows_only_trace_lines_above_the_sent_message() {
        assert_eq!(arrived(SENT), Comparison::Intact);
        assert_eq!(arrived(&format!("Return-Path: <a@b>\r\n{SENT}")), Comparison::Intact);
        assert_eq!(arrived(&format!("X-Spam: no\r\n{SENT}")), Comparison::Changed);
        assert_eq!(arrived(&SENT.replace("Hello", "hello")), Comparison::Changed);
        assert_eq!(arrived(&SENT.replace("Hello!", "Hello! ")), Comparison::Changed);
        assert_eq!(arrived(&SENT[1..]), Comparison::Changed);
    }

    #[test]
    fn comparison_of_missing_and_repeated_messages_differs() {
        let id = JourneyId::from_random(1).queue_id(2);
        let one = Bytes::from(format!("Received: from a by b id {id};\r\n\tnow\r\n{SENT}"));
        let sent = Bytes::from_static(SENT.as_bytes());
        assert_eq!(ReceivedCopies::new(vec![]).compare(Some(id.journey), &sent), Comparison::Missing);
        assert_eq!(
            ReceivedCopies::new(vec![one.clone(), one.clone()]).compare(Some(id.journey), &sent),
            Comparison::Doubled
        );
        assert_eq!(ReceivedCopies::new(vec![one]).unrelated(&[]), 1);
    }
}
