//! Takes each message when it is due, tries its recipients, and settles what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::deliver::{Attempt, Verdict};
use super::lane::Turn;
use super::report::{self, Action, Told};
use super::route::{NextHop, Protection};
use super::{Entry, Failure, Mta, Settlement};
use crate::journey::{Protocol, Step};
use crate::mail::{Address, Envelope, JourneyId, Recipient};
use crate::net::Stop;
use crate::store;
use crate::world::{Retry, later};

/// Messages that are tried at once by one host.
const ATTEMPTS_MAX: usize = 400;
/// The wait after the store failed.
const PAUSE: Duration = Duration::from_secs(5);
/// How long transactions under way may go on after a stop.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(mta: Mta, stop: Stop, end: Stop) {
    let (attempts, seats) = (TaskTracker::new(), Arc::new(Semaphore::new(ATTEMPTS_MAX)));
    while let Some(Ok(seat)) = stop.run_until_cancelled(seats.clone().acquire_owned()).await {
        let Some(row) = stop.run_until_cancelled(mta.queue().next_due(&mta.setup().clock)).await else { break };
        let trying = mta.clone();
        attempts.spawn(mta.living(async move {
            attempt(&trying, row).await;
            drop(seat);
        }));
    }
    attempts.close();
    // What does not end in time stays in the queue, and is tried again after the next start; never beside it.
    let _ = timeout(GRACE, attempts.wait()).await;
    end.cancel();
    attempts.wait().await;
}

/// One attempt for all recipients of one message.
async fn attempt(mta: &Mta, row: i64) {
    let tried = async {
        let Some(entry) = mta.queue().load(row)? else {
            mta.queue().forget(row);
            mta.lanes().excuse(mta, row);
            return Ok(());
        };
        let groups = groups(mta, &entry);
        let (hops, sender) = (groups.keys().collect::<Vec<_>>(), &entry.mail.envelope.reverse_path);
        match mta.lanes().turn(mta, row, sender, &hops, is_urgent(mta, &entry)) {
            Turn::Go => {}
            Turn::Parked => {
                mta.queue().keep(entry);
                return Ok(());
            }
            Turn::Rest(until) => {
                mta.queue().put_back(row, until);
                return Ok(());
            }
        }
        let outcomes = try_all(mta, &entry, groups).await;
        settle(mta, &entry, outcomes).await;
        Ok::<_, store::Error>(())
    };
    if let Err(error) = tried.await {
        tracing::error!(host = %mta.host(), %error, "the queue cannot be read or written; trying again soon");
        mta.queue().put_back(row, later(mta.setup().clock.now(), PAUSE));
    }
}

/// Recipients that share a next hop, and what became of them there.
type Outcome = (NextHop, Vec<Recipient>, Attempt);

/// The recipients by where they go next.
fn groups(mta: &Mta, entry: &Entry) -> BTreeMap<NextHop, Vec<Recipient>> {
    let mut groups: BTreeMap<NextHop, Vec<Recipient>> = BTreeMap::new();
    let protection = Protection::asked(&entry.mail.envelope, &entry.mail.letter);
    for recipient in &entry.mail.envelope.recipients {
        groups.entry(NextHop::of(mta, &recipient.address, protection)).or_default().push(recipient.clone());
    }
    groups
}

/// Whether there is something to tell the sender, wherever the message could not go.
fn is_urgent(mta: &Mta, entry: &Entry) -> bool {
    let (now, Retry { give_up, warn, .. }) = (mta.setup().clock.now(), mta.setup().settings.retry);
    let is_over = |time| later(entry.mail.arrived, time) <= now;
    is_over(give_up) || (!entry.warned && is_over(warn))
}

async fn try_all(mta: &Mta, entry: &Entry, groups: BTreeMap<NextHop, Vec<Recipient>>) -> Vec<Outcome> {
    let tries = groups.into_iter().map(|(hop, recipients)| async move {
        let envelope = Envelope { recipients: recipients.clone(), ..entry.mail.envelope.clone() };
        let attempt = mta.lanes().send(mta, &hop, envelope, entry.mail.letter.clone()).await;
        (hop, recipients, attempt)
    });
    join_all(tries).await
}

/// What becomes of each recipient after an attempt.
#[derive(Default)]
struct Sorted {
    /// Passed on, or in the mailbox.
    passed: Vec<(Recipient, Action, Told)>,
    /// To be tried again.
    waiting: Vec<(Recipient, Failure)>,
    /// Given up.
    failed: Vec<(Recipient, Failure)>,
    /// The sender is told, once, that some still wait. RFC 5321 §4.5.4.1 leaves it to us.
    is_late: bool,
}

async fn settle(mta: &Mta, entry: &Entry, outcomes: Vec<Outcome>) {
    let now = mta.setup().clock.now();
    let sorted = sort(mta, entry, &outcomes, now);
    let setup = mta.setup();
    let until = later(now, setup.settings.retry.wait(entry.attempts, &setup.dice));
    let reports = report::all(mta, &entry.mail, &sorted.told(), now);
    let waiting: Vec<_> = sorted.waiting.iter().map(|(recipient, _)| recipient.clone()).collect();
    let settlement = Settlement {
        waiting: (!waiting.is_empty())
            .then(|| (Envelope { recipients: waiting, ..entry.mail.envelope.clone() }, until)),
        warned: entry.warned || sorted.is_late,
        reason: sorted.waiting.first().map(|(_, failure)| failure.to_string()),
        reports: reports.clone(),
    };
    keep(mta, entry, settlement).await;
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
    let Retry { give_up, warn, .. } = mta.setup().settings.retry;
    let give_up = later(entry.mail.arrived, give_up);
    let mut sorted = Sorted::default();
    for (hop, recipients, attempt) in outcomes {
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
                    let told = Told { status: (2, 0, 0), host: attempt.host.clone(), words: Some(reply.to_string()) };
                    sorted.passed.push((recipient, action, told));
                }
                Verdict::Failed(failure) if failure.is_permanent() => sorted.failed.push((recipient, failure.clone())),
                Verdict::Failed(failure) if give_up <= now => {
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
    fn told(&self) -> Vec<(&Recipient, Action, Told)> {
        let passed = self.passed.iter().map(|(recipient, action, told)| (recipient, *action, told.clone()));
        let failed = self.failed.iter().map(|(recipient, failure)| (recipient, Action::Failed, Told::of(failure)));
        let late = self.waiting.iter().filter(|_| self.is_late);
        let late = late.map(|(recipient, failure)| (recipient, Action::Delayed, Told::of(failure)));
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
    for (hop, recipients, attempt) in outcomes {
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
