//! Whom a host lets in: its rules by stage, rates and greylisting, as the world file declares them, with what it
//! remembers of its clients. A host that starts anew remembers nobody.

mod greylist;
mod rate;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use greylist::Greylist;
use rate::{Rates, What};

use super::Setup;
use crate::mail::{Address, Recipient, ReversePath};
use crate::smtp::Reply;
use crate::world::{Answer, Dice, Rule, Stage, World};

/// The gate of one host.
pub(super) struct Gate {
    dice: Dice,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    greylist: Greylist,
    rates: Rates,
    /// How often each rule has spoken, by its place.
    spoken: BTreeMap<usize, u32>,
}

/// A moment of a conversation, with all that is known by then.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) stage: Stage,
    pub(super) peer: IpAddr,
    /// What the client called itself.
    pub(super) helo: Option<&'a str>,
    /// The reverse-path, from MAIL on.
    pub(super) from: Option<&'a ReversePath>,
    /// At RCPT the one, behind it all that were accepted.
    pub(super) to: &'a [Recipient],
}

impl Gate {
    pub(super) fn new(dice: Dice) -> Self {
        Self { dice, memory: Mutex::default() }
    }

    /// Remembers nobody, as after a crash.
    pub(super) fn forget(&self) {
        *self.memory() = Memory::default();
    }

    /// What the first rule that applies says.
    pub(super) fn rule(&self, setup: &Setup, moment: Moment<'_>) -> Option<Reply> {
        let rules = &setup.settings.policy.rules;
        if rules.is_empty() {
            return None;
        }
        let spoken = &mut self.memory().spoken;
        let mut rules = rules.iter().enumerate().filter(|(_, rule)| applies(rule, &setup.world, moment));
        let (at, rule) = rules.find(|(at, rule)| self.strikes(rule, spoken.get(at).copied().unwrap_or(0)))?;
        *spoken.entry(at).or_default() += 1;
        Some(reply(&rule.reply))
    }

    fn strikes(&self, rule: &Rule, spoken: u32) -> bool {
        rule.times.is_none_or(|times| spoken < times)
            && (1.0 <= rule.probability || self.dice.share() < rule.probability)
    }

    /// Counts a message of this client; the reply is for one that is over its limit.
    pub(super) fn message(&self, setup: &Setup, peer: IpAddr) -> Option<Reply> {
        self.count(setup, peer, What::Message, "messages")
    }

    /// Counts a recipient.
    pub(super) fn recipient(&self, setup: &Setup, peer: IpAddr) -> Option<Reply> {
        self.count(setup, peer, What::Recipient, "recipients")
    }

    fn count(&self, setup: &Setup, peer: IpAddr, what: What, words: &str) -> Option<Reply> {
        let limit = setup.settings.policy.rate_limit.as_ref()?;
        if limit.exempt.contain(&setup.world, peer) {
            return None;
        }
        let wait = self.memory().rates.count(limit, peer, what, setup.clock.now())?;
        Some(later(&format!("Too many {words} from your address"), wait))
    }

    /// Lets a stranger wait. RFC 6647 §2.1, §5.
    pub(super) fn greylist(&self, setup: &Setup, peer: IpAddr, from: &ReversePath, to: &Address) -> Option<Reply> {
        let rule = setup.settings.policy.greylisting.as_ref()?;
        if rule.exempt.contain(&setup.world, peer) {
            return None;
        }
        let triplet = (peer, from.clone(), to.clone());
        let wait = self.memory().greylist.judge(rule, triplet, setup.clock.now())?;
        Some(later("Greylisted", wait))
    }

    /// A panic elsewhere does not make it wrong: each change to it is whole.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn applies(rule: &Rule, world: &World, moment: Moment<'_>) -> bool {
    rule.stage == moment.stage
        && rule.client.as_ref().is_none_or(|clients| clients.contain(world, moment.peer))
        && rule.helo.as_ref().is_none_or(|helo| moment.helo.is_some_and(|name| helo.fits(name)))
        && rule.from.as_ref().is_none_or(|from| moment.from.is_some_and(|path| from.fits_path(path.as_ref())))
        && rule.to.as_ref().is_none_or(|to| moment.to.iter().any(|recipient| to.fits_path(Some(&recipient.address))))
}

fn reply(answer: &Answer) -> Reply {
    Reply { enhanced: answer.enhanced, ..Reply::plain(answer.code, &answer.text) }
}

/// RFC 6647 §5, RFC 3463 §3.8.
fn later(why: &str, wait: Duration) -> Reply {
    Reply::new(450, (4, 7, 1), &format!("{why}, try again in {} s", wait.as_secs_f64().ceil()))
}
