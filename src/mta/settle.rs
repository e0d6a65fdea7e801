//! Stores and tells what came of an attempt.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::deliver::{Attempt, Verdict};
use super::queue::Rest;
use super::report::{self, Action, RecipientStatus};
use super::route::NextHop;
use super::{Entry, Failure, Mta, Settlement};
use crate::journey::{Protocol, Step};
use crate::mail::{Address, Envelope, JourneyId, Recipient};
use crate::world::{Retry, later};

/// The wait after the store failed.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// Recipients that share a next hop, and what became of them there.
pub(super) struct Outcome {
    pub(super) hop: NextHop,
    pub(super) recipients: Vec<Recipient>,
    pub(super) attempt: Attempt,
}

/// What becomes of each recipient after an attempt.
#[derive(Default)]
struct Sorted {
    /// Passed on, or in the mailbox.
    passed: Vec<(Recipient, Action, RecipientStatus)>,
    /// To be tried again.
    waiting: Vec<(Recipient, Failure)>,
    /// Given up.
    failed: Vec<(Recipient, Failure)>,
    /// The sender is told, once, that some still wait. RFC 5321 §4.5.4.1 leaves it to us.
    is_late: bool,
}

/// Settles the end of an attempt: all its recipients that are not settled yet are in `outcomes`.
pub(super) async fn all(mta: &Mta, entry: &Entry, outcomes: Vec<Outcome>) {
    let (now, setup) = (mta.setup().clock.now(), mta.setup());
    let due = later(now, setup.settings.retry.wait(entry.attempts, &setup.dice));
    let rest = |sorted: &Sorted| {
        let waiting: Vec<_> = sorted.waiting.iter().map(|(recipient, _)| recipient.clone()).collect();
        if waiting.is_empty() {
            return Rest::Nobody;
        }
        let envelope = Envelope { recipients: waiting, ..entry.mail.envelope.clone() };
        let reason = sorted.waiting.first().map(|(_, failure)| failure.to_string());
        Rest::Until { envelope, due, warned: entry.warned || sorted.is_late, reason }
    };
    settle(mta, entry, outcomes, now, rest).await;
}

/// Settles those that have arrived or failed for good while others are still tried. Those that wait are returned: their
/// time is set when the attempt ends.
pub(super) async fn part(mta: &Mta, entry: &mut Entry, outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let now = mta.setup().clock.now();
    let is_over = is_over(mta, entry, now);
    let (open, ended): (Vec<_>, Vec<_>) = outcomes.into_iter().map(|outcome| outcome.split(is_over)).unzip();
    let over = |recipient: &Recipient| ended.iter().any(|outcome: &Outcome| outcome.recipients.contains(recipient));
    let mut envelope = entry.mail.envelope.clone();
    envelope.recipients.retain(|recipient| !over(recipient));
    if envelope.recipients.len() < entry.mail.envelope.recipients.len() {
        settle(mta, entry, ended, now, |_| Rest::Underway(envelope.clone())).await;
        entry.mail.envelope = envelope;
    }
    open
}

/// Whether it is tried no more.
fn is_over(mta: &Mta, entry: &Entry, now: Timestamp) -> bool {
    later(entry.mail.arrived, mta.setup().settings.retry.give_up) <= now
}

impl Outcome {
    /// The recipients that wait, and those that have arrived or failed for good. What was said goes with the latter.
    fn split(self, is_over: bool) -> (Self, Self) {
        let Self { hop, recipients, attempt: Attempt { verdicts, host, keeps_dsn, tls, took, mut dialogue, unheard } } =
            self;
        let waits =
            |verdict: &Verdict| matches!(verdict, Verdict::Failed(failure) if !is_over && !failure.is_permanent());
        let (open, ended): (Vec<_>, Vec<_>) =
            recipients.into_iter().zip(verdicts).partition(|(_, verdict)| waits(verdict));
        let mut of = |part: Vec<(Recipient, Verdict)>| {
            let dialogue = if part.is_empty() { None } else { dialogue.take() };
            let (recipients, verdicts) = part.into_iter().unzip();
            let attempt =
                Attempt { verdicts, host: host.clone(), keeps_dsn, tls: tls.clone(), took, dialogue, unheard };
            Self { hop: hop.clone(), recipients, attempt }
        };
        let ended = of(ended);
        (of(open), ended)
    }
}

async fn settle(mta: &Mta, entry: &Entry, outcomes: Vec<Outcome>, now: Timestamp, rest: impl FnOnce(&Sorted) -> Rest) {
    let sorted = sort(mta, entry, &outcomes, now);
    let rest = rest(&sorted);
    let until = if let Rest::Until { due, .. } = rest { due } else { now };
    let reports = report::all(mta, &entry.mail, &sorted.told(), now);
    keep(mta, entry, Settlement { rest, reports: reports.clone() }).await;
    for report in &reports {
        let step = report::step(report, entry.mail.id.journey);
        mta.setup().recorder.report(report.id.journey, Some(report.id), step, None);
    }
    let journey = reports.first().map(|mail| mail.id.journey);
    tell(mta, entry, outcomes, &sorted, until, journey);
}

/// Stores what came of an attempt, as soon as the store allows it. What the next host took must not be sent to it again
/// because our own disk is full.
async fn keep(mta: &Mta, entry: &Entry, settlement: Settlement) {
    while let Err(error) = mta.queue().settle(entry, settlement.clone()).await {
        tracing::error!(host = %mta.host(), %error, "what became of a message cannot be stored; trying again soon");
        sleep(PAUSE).await;
    }
}

fn sort(mta: &Mta, entry: &Entry, outcomes: &[Outcome], now: Timestamp) -> Sorted {
    let Retry { warn, .. } = mta.setup().settings.retry;
    let is_over = is_over(mta, entry, now);
    let mut sorted = Sorted::default();
    for Outcome { hop, recipients, attempt } in outcomes {
        for (recipient, verdict) in recipients.iter().cloned().zip(&attempt.verdicts) {
            match verdict {
                Verdict::Accepted(reply) => {
                    let action = if hop.is_lmtp() {
                        Action::Delivered
                    } else if attempt.keeps_dsn {
                        // RFC 3461 §5.2.1: the next host took over the duty to tell.
                        Action::PassedOn
                    } else {
                        Action::Relayed
                    };
                    let told = RecipientStatus {
                        status: (2, 0, 0),
                        host: attempt.host.clone(),
                        text: Some(reply.to_string()),
                    };
                    sorted.passed.push((recipient, action, told));
                }
                Verdict::Failed(failure) if failure.is_permanent() => sorted.failed.push((recipient, failure.clone())),
                Verdict::Failed(failure) if is_over => {
                    let last = Box::new(failure.clone());
                    sorted.failed.push((recipient, Failure::Expired { attempts: entry.attempts + 1, last }));
                }
                Verdict::Failed(failure) => sorted.waiting.push((recipient, failure.clone())),
            }
        }
    }
    sorted.is_late = !sorted.waiting.is_empty() && !entry.warned && later(entry.mail.arrived, warn) <= now;
    sorted
}

impl Sorted {
    /// What there is to tell the sender about each recipient, as far as the sender wants to know.
    fn told(&self) -> Vec<(&Recipient, Action, RecipientStatus)> {
        let passed = self.passed.iter().map(|(recipient, action, told)| (recipient, *action, told.clone()));
        let failed =
            self.failed.iter().map(|(recipient, failure)| (recipient, Action::Failed, RecipientStatus::of(failure)));
        let late = self.waiting.iter().filter(|_| self.is_late);
        let late = late.map(|(recipient, failure)| (recipient, Action::Delayed, RecipientStatus::of(failure)));
        passed.chain(failed).chain(late).collect()
    }
}

/// Reports to the journal.
fn tell(
    mta: &Mta,
    entry: &Entry,
    outcomes: Vec<Outcome>,
    sorted: &Sorted,
    until: Timestamp,
    report: Option<JourneyId>,
) {
    let (journey, id) = (entry.mail.id.journey, Some(entry.mail.id));
    for Outcome { hop, recipients, attempt } in outcomes {
        let Attempt { verdicts, host, tls, took, mut dialogue, .. } = attempt;
        let accepted = recipients.iter().zip(&verdicts).filter_map(|(recipient, verdict)| match verdict {
            Verdict::Accepted(reply) => Some((recipient.address.clone(), reply)),
            Verdict::Failed(_) => None,
        });
        let accepted: Vec<_> = accepted.collect();
        if let Some(reply) = accepted.first().map(|(_, reply)| reply.to_string()) {
            let step = Step::Relayed {
                protocol: if hop.is_lmtp() { Protocol::Lmtp } else { Protocol::Smtp },
                to: host.unwrap_or_default(),
                recipients: accepted.into_iter().map(|(address, _)| address).collect(),
                reply,
                tls,
                took_ms: took.as_secs_f64() * 1e3,
            };
            mta.setup().recorder.report(journey, id, step, dialogue.take());
        }
        for (addresses, failure, is_final) in sorted.failures(&recipients) {
            let reason = failure.to_string();
            let (host, in_doubt) = (failure.host().map(str::to_owned), failure.is_in_doubt());
            let step = if is_final {
                Step::Failed { recipients: addresses, by: host, reason, report, in_doubt }
            } else {
                Step::Deferred { recipients: addresses, to: host, reason, until, in_doubt }
            };
            mta.setup().recorder.report(journey, id, step, dialogue.take());
        }
    }
}

impl Sorted {
    /// The failures among these recipients, those with the same words together.
    fn failures(&self, among: &[Recipient]) -> Vec<(Vec<Address>, &Failure, bool)> {
        let failed = self.failed.iter().map(|(recipient, failure)| (recipient, failure, true));
        let waiting = self.waiting.iter().map(|(recipient, failure)| (recipient, failure, false));
        let mut found: Vec<(Vec<Address>, &Failure, bool)> = Vec::new();
        for (recipient, failure, is_final) in failed.chain(waiting).filter(|(recipient, ..)| among.contains(recipient))
        {
            let address = recipient.address.clone();
            let words = failure.to_string();
            match found.iter_mut().find(|(_, known, last)| *last == is_final && known.to_string() == words) {
                Some((addresses, ..)) => addresses.push(address),
                None => found.push((vec![address], failure, is_final)),
            }
        }
        found
    }
}
