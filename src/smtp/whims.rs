//! Replies that a server gives against its own judgement: what a fault makes of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Reply;
use crate::mail::Address;
use crate::net;
use crate::world::{Dice, later};

/// Senders and recipients that greylisting remembers; the oldest is forgotten first.
const REMEMBERED_MAX: usize = 100_000;

/// When in a transaction a whim strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before the first word.
    Greeting,
    /// At HELO, EHLO or LHLO.
    Hello,
    /// At MAIL.
    Mail,
    /// At RCPT.
    Rcpt,
    /// At the end of the message, before it is stored.
    Data,
    /// When the message is stored, before the client hears of it.
    Stored,
}

/// What the server does then.
#[derive(Clone, Debug, PartialEq)]
pub enum Whim {
    /// Says this instead of its own answer.
    Say(Reply),
    /// Hangs up without a word.
    HangUp,
    /// Says this until the same sender has waited so long at the same recipient: greylisting, RFC 6647 §2.1.
    Greylist(Reply, Duration),
}

/// When it does it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// At which moment.
    pub moment: Moment,
    /// Addresses that end like this, of the recipient or, at other moments, of the sender; empty for all.
    pub about: String,
    /// How often, from 0 to 1.
    pub share: f64,
    /// What it does.
    pub whim: Whim,
    /// Decides about the share.
    pub dice: Dice,
}

/// The whims of one server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Whims(Arc<Inner>);

#[derive(Default)]
struct Inner {
    count: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    drawn: u64,
    rules: BTreeMap<u64, (Rule, Grey)>,
}

/// Who was sent away, and when first.
type Grey = BTreeMap<(IpAddr, Option<Address>, Option<Address>), Timestamp>;

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// At which moment.
    pub moment: Moment,
    /// Where the client is.
    pub peer: IpAddr,
    /// The reverse-path.
    pub sender: Option<&'a Address>,
    /// The recipient, at RCPT; over LMTP (RFC 2033 §4.2) also when the message is answered.
    pub recipient: Option<&'a Address>,
    /// When.
    pub now: Timestamp,
}

impl Whims {
    /// From now on this rule holds; the answer lifts it.
    pub fn inflict(&self, rule: Rule) -> u64 {
        let mut table = self.table();
        table.drawn += 1;
        let id = table.drawn;
        table.rules.insert(id, (rule, Grey::new()));
        self.0.count.store(table.rules.len(), Ordering::Release);
        id
    }

    /// The rule is gone.
    pub fn lift(&self, id: u64) {
        let mut table = self.table();
        table.rules.remove(&id);
        self.0.count.store(table.rules.len(), Ordering::Release);
    }

    /// What happens instead of the server's own answer; `None` to go on.
    pub fn strike(&self, asked: Asked<'_>) -> Option<Whim> {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.table().rules.values_mut().find_map(|(rule, grey)| rule.strike(grey, asked))
    }

    /// The reply that is given instead of the server's own, if any.
    ///
    /// # Errors
    /// It hangs up.
    pub fn obey(&self, asked: Asked<'_>) -> Result<Option<Reply>, net::Error> {
        match self.strike(asked) {
            Some(Whim::HangUp) => Err(net::Error::Closed),
            Some(Whim::Say(reply) | Whim::Greylist(reply, _)) => Ok(Some(reply)),
            None => Ok(None),
        }
    }

    /// A panic elsewhere does not make the table wrong: each change to it is whole.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn strike(&self, grey: &mut Grey, asked: Asked<'_>) -> Option<Whim> {
        if self.moment != asked.moment || !self.is_about(asked.recipient.or(asked.sender)) {
            return None;
        }
        if let Whim::Greylist(reply, wait) = &self.whim {
            let key = (asked.peer, asked.sender.cloned(), asked.recipient.cloned());
            let first = *grey.entry(key).or_insert(asked.now);
            while REMEMBERED_MAX < grey.len() {
                grey.pop_first();
            }
            return (asked.now < later(first, *wait)).then(|| Whim::Say(reply.clone()));
        }
        (1.0 <= self.share || self.dice.share() < self.share).then(|| self.whim.clone())
    }

    fn is_about(&self, address: Option<&Address>) -> bool {
        self.about.is_empty() || address.is_some_and(|address| address.to_string().ends_with(&self.about))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &str = "come back later";

    fn rule(moment: Moment, about: &str, whim: Whim) -> Rule {
        Rule { moment, about: about.to_owned(), share: 1.0, whim, dice: Dice::seeded(1) }
    }

    fn asked(recipient: &Address, seconds: i64) -> Asked<'_> {
        let now = Timestamp::from_second(seconds).unwrap();
        Asked { moment: Moment::Rcpt, peer: [192, 0, 2, 1].into(), sender: None, recipient: Some(recipient), now }
    }

    #[test]
    fn a_whim_strikes_at_its_moment_and_its_addresses_until_it_is_lifted() {
        let (one, other) = ("a@x.test".parse().unwrap(), "a@y.test".parse().unwrap());
        let whims = Whims::default();
        let id = whims.inflict(rule(Moment::Rcpt, "@x.test", Whim::HangUp));
        assert_eq!(whims.strike(asked(&one, 0)), Some(Whim::HangUp));
        assert_eq!(whims.strike(asked(&other, 0)), None);
        assert_eq!(whims.strike(Asked { moment: Moment::Mail, ..asked(&one, 0) }), None);
        whims.lift(id);
        assert_eq!(whims.strike(asked(&one, 0)), None);
    }

    #[test]
    fn greylisting_lets_in_who_waited() {
        let (one, other) = ("a@x.test".parse().unwrap(), "b@x.test".parse().unwrap());
        let reply = Reply::new(451, (4, 7, 1), REPLY);
        let whims = Whims::default();
        whims.inflict(rule(Moment::Rcpt, "", Whim::Greylist(reply.clone(), Duration::from_secs(300))));
        let strikes = [(&one, 0), (&one, 299), (&other, 299), (&one, 300), (&other, 300), (&other, 599)];
        let turned_away = strikes.map(|(recipient, at)| whims.strike(asked(recipient, at)).is_some());
        assert_eq!(turned_away, [true, true, true, false, true, false]);
    }
}
