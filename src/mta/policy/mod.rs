//! The policy of a host: rules by stage, rate limits and greylisting, as the world file declares them, and its state about
//! clients, which a restart of the host clears.

mod greylist;
mod rate;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use greylist::Greylist;
use rate::{RateUnit, Rates};

use super::context::MtaContext;
use crate::mail::{Address, Recipient, ReversePath};
use crate::smtp::Reply;
use crate::sync::lock;
use crate::world::{PolicyReply, Rng, Rule, Stage, World};

/// The policy of one host, with its state.
pub(super) struct Policy {
    rng: Rng,
    state: Mutex<PolicyState>,
}

#[derive(Default)]
struct PolicyState {
    greylist: Greylist,
    rates: Rates,
    /// How often each rule has applied, by its index.
    applied: BTreeMap<usize, u32>,
}

/// A stage of an SMTP session, and what is known then.
#[derive(Clone, Copy)]
pub(super) struct PolicyContext<'a> {
    pub(super) stage: Stage,
    pub(super) peer: IpAddr,
    /// The argument of HELO or EHLO.
    pub(super) helo: Option<&'a str>,
    /// The reverse-path, from MAIL on.
    pub(super) from: Option<&'a ReversePath>,
    /// At RCPT the recipient in question, later all that were accepted.
    pub(super) to: &'a [Recipient],
}

impl Policy {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, state: Mutex::default() }
    }

    /// Clears the greylist, the counts of clients and those of rules, as after a crash.
    pub(super) fn reset(&self) {
        *self.state() = PolicyState::default();
    }

    /// Returns the reply of the first rule whose stage and conditions match and that triggers, and counts that the rule
    /// applied; `None` if there is none. A rule with a probability draws a random number.
    pub(super) fn rule(&self, context: &MtaContext, input: PolicyContext<'_>) -> Option<Reply> {
        let rules = &context.settings.policy.rules;
        if rules.is_empty() {
            return None;
        }
        let applied = &mut self.state().applied;
        let mut rules = rules.iter().enumerate().filter(|(_, rule)| matches(rule, &context.world, input));
        let (at, rule) = rules.find(|(at, rule)| self.triggers(rule, applied.get(at).copied().unwrap_or(0)))?;
        *applied.entry(at).or_default() += 1;
        Some(reply(&rule.reply))
    }

    /// Whether a rule that matches applies now: it has applied fewer than `times` times, and a random draw with its
    /// probability succeeds.
    fn triggers(&self, rule: &Rule, applied: u32) -> bool {
        rule.times.is_none_or(|times| applied < times)
            && (1.0 <= rule.probability || self.rng.next_f64() < rule.probability)
    }

    /// Counts a message of this client; if its limit is reached, counts nothing and returns the refusal (450). `None`
    /// for exempt clients and without a limit, too.
    pub(super) fn message(&self, context: &MtaContext, peer: IpAddr) -> Option<Reply> {
        self.count(context, peer, RateUnit::Message, "messages")
    }

    /// Counts a recipient of this client; if its limit is reached, counts nothing and returns the refusal (450). `None`
    /// for exempt clients and without a limit, too.
    pub(super) fn recipient(&self, context: &MtaContext, peer: IpAddr) -> Option<Reply> {
        self.count(context, peer, RateUnit::Recipient, "recipients")
    }

    /// Counts one more `unit` of this client; if its limit is reached, counts nothing and returns the refusal (450),
    /// which names the unit as `what`. `None` for exempt clients and without a limit, too.
    fn count(&self, context: &MtaContext, peer: IpAddr, unit: RateUnit, what: &str) -> Option<Reply> {
        let limit = context.settings.policy.rate_limit.as_ref()?;
        if limit.exempt.contains(&context.world, peer) {
            return None;
        }
        let wait = self.state().rates.count(limit, peer, unit, context.clock.now())?;
        Some(later(&format!("Too many {what} from your address"), wait))
    }

    /// Registers the triplet of client, sender and recipient; returns the refusal (450) while the client must wait.
    /// `None` for exempt clients and without greylisting, too. RFC 6647 §2.1, §5.
    pub(super) fn greylist(
        &self,
        context: &MtaContext,
        peer: IpAddr,
        from: &ReversePath,
        to: &Address,
    ) -> Option<Reply> {
        let rule = context.settings.policy.greylisting.as_ref()?;
        if rule.exempt.contains(&context.world, peer) {
            return None;
        }
        let triplet = (peer, from.clone(), to.clone());
        let wait = self.state().greylist.wait_for(rule, triplet, context.clock.now())?;
        Some(later("Greylisted", wait))
    }

    /// Locks the state.
    fn state(&self) -> MutexGuard<'_, PolicyState> {
        lock(&self.state)
    }
}

/// Whether the stage of the rule is that of the input, and all conditions of the rule hold; that on `to` holds if one
/// recipient matches. A condition on what is not known yet does not hold.
fn matches(rule: &Rule, world: &World, input: PolicyContext<'_>) -> bool {
    rule.stage == input.stage
        && rule.client.as_ref().is_none_or(|clients| clients.contains(world, input.peer))
        && rule.helo.as_ref().is_none_or(|helo| input.helo.is_some_and(|name| helo.matches(name)))
        && rule.from.as_ref().is_none_or(|from| input.from.is_some_and(|path| from.matches_path(path.as_ref())))
        && rule.to.as_ref().is_none_or(|to| input.to.iter().any(|recipient| to.matches_path(Some(&recipient.address))))
}

/// The SMTP reply that the world file declares: its code and text, and its enhanced status code, if it has one.
fn reply(answer: &PolicyReply) -> Reply {
    Reply { enhanced: answer.enhanced, ..Reply::plain(answer.code, &answer.text) }
}

/// The refusal 450 4.7.1, whose text says why and after how many seconds to try again. RFC 6647 §5, RFC 3463 §3.8.
fn later(why: &str, wait: Duration) -> Reply {
    Reply::new(450, (4, 7, 1), &format!("{why}, try again in {} s", wait.as_secs_f64().ceil()))
}
