//! Injected SMTP replies that override what the server would have answered.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Reply;
use crate::mail::Address;
use crate::net;
use crate::sync::SharedTable;
use crate::world::{Rng, later};

/// Maximum number of greylisting entries of a rule.
const MAX_GREYLIST_ENTRIES: usize = 100_000;

/// The point of an SMTP session at which a fault applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultPoint {
    /// Before the greeting.
    Greeting,
    /// At HELO, EHLO or LHLO.
    Hello,
    /// At AUTH, once the user is named.
    Auth,
    /// At MAIL.
    Mail,
    /// At RCPT.
    Rcpt,
    /// At the end of the message, before it is stored.
    Data,
    /// After the message has been stored, before the reply.
    Stored,
}

/// What the server does instead of its own reply.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyFault {
    /// Sends this reply.
    Say(Reply),
    /// Closes the connection without a reply.
    HangUp,
    /// Sends this reply until the time since the first attempt of the same client, sender and recipient has passed:
    /// greylisting, RFC 6647 §2.1.
    Greylist(Reply, Duration),
}

/// An injected fault and when it applies.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The point of the session.
    pub point: FaultPoint,
    /// Addresses that end like this, of the recipient or, at other moments, of the sender; empty for all.
    pub address_suffix: String,
    /// Probability, from 0 to 1.
    pub probability: f64,
    /// The fault.
    pub fault: ReplyFault,
    /// Random numbers for the probability.
    pub rng: Rng,
}

/// The reply faults of one server. Cheap to clone.
#[derive(Clone, Default)]
pub struct ReplyFaults(SharedTable<(Rule, Grey)>);

/// The time of the first attempt by client, sender and recipient.
type Grey = BTreeMap<(IpAddr, Option<Address>, Option<Address>), Timestamp>;

/// The command that is about to be answered.
#[derive(Clone, Copy, Debug)]
pub struct FaultContext<'a> {
    /// The point of the session.
    pub point: FaultPoint,
    /// The client's address.
    pub peer: IpAddr,
    /// The reverse-path.
    pub sender: Option<&'a Address>,
    /// The recipient, at RCPT; over LMTP (RFC 2033 §4.2) also when the message is answered.
    pub recipient: Option<&'a Address>,
    /// The time.
    pub now: Timestamp,
}

impl ReplyFaults {
    /// Adds a rule, after those that are there; the returned id removes it.
    pub fn inject(&self, rule: Rule) -> u64 {
        self.0.insert((rule, Grey::new()))
    }

    /// Removes the rule with this id and the attempts that it noted; does nothing if there is none.
    pub fn clear(&self, id: u64) {
        self.0.remove(id);
    }

    /// The fault of the first rule that applies, if any. A greylisting rule notes the attempt and, while its wait
    /// lasts, applies as [`ReplyFault::Say`].
    pub fn apply(&self, context: FaultContext<'_>) -> Option<ReplyFault> {
        self.0.with(|rules| rules.values_mut().find_map(|(rule, grey)| rule.apply(grey, context)))
    }

    /// The reply of the first rule that applies, which replaces the server's own; `None` without one.
    ///
    /// # Errors
    /// [`net::Error::Closed`] if the fault is to close the connection.
    pub fn reply_override(&self, context: FaultContext<'_>) -> Result<Option<Reply>, net::Error> {
        match self.apply(context) {
            Some(ReplyFault::HangUp) => Err(net::Error::Closed),
            Some(ReplyFault::Say(reply) | ReplyFault::Greylist(reply, _)) => Ok(Some(reply)),
            None => Ok(None),
        }
    }
}

impl Rule {
    /// The fault of this rule, if the rule applies: by point, address and probability. A greylisting rule ignores the
    /// probability: it notes the first attempt in `grey`, of which it keeps at most 100,000, and returns its reply
    /// until the wait since then is over.
    fn apply(&self, grey: &mut Grey, context: FaultContext<'_>) -> Option<ReplyFault> {
        if self.point != context.point || !self.matches(context.recipient.or(context.sender)) {
            return None;
        }
        if let ReplyFault::Greylist(reply, wait) = &self.fault {
            let key = (context.peer, context.sender.cloned(), context.recipient.cloned());
            let first = *grey.entry(key).or_insert(context.now);
            while MAX_GREYLIST_ENTRIES < grey.len() {
                grey.pop_first();
            }
            return (context.now < later(first, *wait)).then(|| ReplyFault::Say(reply.clone()));
        }
        (1.0 <= self.probability || self.rng.next_f64() < self.probability).then(|| self.fault.clone())
    }

    /// Whether the address ends with the suffix of the rule, upper and lower case being different; without an address,
    /// only an empty suffix matches.
    fn matches(&self, address: Option<&Address>) -> bool {
        self.address_suffix.is_empty()
            || address.is_some_and(|address| address.to_string().ends_with(&self.address_suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &str = "come back later";

    fn rule(point: FaultPoint, address_suffix: &str, fault: ReplyFault) -> Rule {
        Rule { point, address_suffix: address_suffix.to_owned(), probability: 1.0, fault, rng: Rng::seeded(1) }
    }

    fn context(recipient: &Address, seconds: i64) -> FaultContext<'_> {
        let now = Timestamp::from_second(seconds).unwrap();
        FaultContext {
            point: FaultPoint::Rcpt,
            peer: [192, 0, 2, 1].into(),
            sender: None,
            recipient: Some(recipient),
            now,
        }
    }

    #[test]
    fn reply_fault_applies_at_its_point_and_addresses_until_cleared() {
        let (one, other) = ("a@x.test".parse().unwrap(), "a@y.test".parse().unwrap());
        let reply_faults = ReplyFaults::default();
        let id = reply_faults.inject(rule(FaultPoint::Rcpt, "@x.test", ReplyFault::HangUp));
        assert_eq!(reply_faults.apply(context(&one, 0)), Some(ReplyFault::HangUp));
        assert_eq!(reply_faults.apply(context(&other, 0)), None);
        assert_eq!(reply_faults.apply(FaultContext { point: FaultPoint::Mail, ..context(&one, 0) }), None);
        reply_faults.clear(id);
        assert_eq!(reply_faults.apply(context(&one, 0)), None);
    }

    #[test]
    fn greylist_fault_after_the_wait_lets_the_client_pass() {
        let (one, other) = ("a@x.test".parse().unwrap(), "b@x.test".parse().unwrap());
        let reply = Reply::new(451, (4, 7, 1), REPLY);
        let reply_faults = ReplyFaults::default();
        reply_faults.inject(rule(FaultPoint::Rcpt, "", ReplyFault::Greylist(reply.clone(), Duration::from_secs(300))));
        let strikes = [(&one, 0), (&one, 299), (&other, 299), (&one, 300), (&other, 300), (&other, 599)];
        let turned_away = strikes.map(|(recipient, at)| reply_faults.apply(context(recipient, at)).is_some());
        assert_eq!(turned_away, [true, true, true, false, true, false]);
    }
}
