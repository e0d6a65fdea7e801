//! Stores and reports the results of an attempt.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::attempt::{Attempt, Verdict};
use super::entry::{Entry, Remaining, Settlement};
use super::next_hop::NextHop;
use super::report::{self, Action, RecipientStatus};
use super::{Failure, Mta};
use crate::journey::EventKind;
use crate::mail::{Address, Envelope, JourneyId, QueueId, Recipient};
use crate::world::{Retry, Role, later};

/// The wait before the store is tried again.
pub(super) const STORE_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Recipients that share a next hop, and the result there. Events are recorded of those that it accepted.
pub(super) struct Outcome {
    pub(super) hop: NextHop,
    pub(super) recipients: Vec<Recipient>,
    pub(super) attempt: Attempt,
}

/// The recipients of an attempt by result.
#[derive(Default)]
struct Classified {
    /// Relayed, or delivered to the mailbox.
    accepted: Vec<(Recipient, Action, RecipientStatus)>,
    /// To be tried again.
    waiting: Vec<(Recipient, Failure)>,
    /// Failed for good.
    failed: Vec<(Recipient, Failure)>,
    /// The sender gets a report, once, that some still wait. RFC 5321 §4.5.4.1 leaves that to the host.
    is_late: bool,
}

/// Stores and reports the end of an attempt: all its recipients that are not settled yet are in `outcomes`. Those that
/// wait are due after the next retry interval; without any, the message is deleted.
pub(super) async fn settle_final(mta: &Mta, entry: &Entry, outcomes: Vec<Outcome>) {
    let (now, context) = (mta.context().clock.now(), mta.context());
    let due = later(now, context.settings.retry.wait(entry.attempts, &context.rng));
    let remaining = |classified: &Classified| {
        let waiting: Vec<_> = classified.waiting.iter().map(|(recipient, _)| recipient.clone()).collect();
        if waiting.is_empty() {
            return Remaining::None;
        }
        let envelope = Envelope { recipients: waiting, ..entry.queued.envelope.clone() };
        let reason = classified.waiting.first().map(|(_, failure)| failure.to_string());
        Remaining::RetryAt { envelope, due, warned: entry.warned || classified.is_late, reason }
    };
    settle(mta, entry, outcomes, now, remaining).await;
}

/// Stores and reports the recipients that were accepted or failed for good, while other recipients are still tried, and
/// removes them from the envelope of `entry`. Returns the outcomes of those to be tried again, for [`settle_final`],
/// which sets when.
pub(super) async fn settle_partial(mta: &Mta, entry: &mut Entry, outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let now = mta.context().clock.now();
    let is_over = is_over(mta, entry, now);
    let (open, ended): (Vec<_>, Vec<_>) = outcomes.into_iter().map(|outcome| outcome.split(is_over)).unzip();
    let over = |recipient: &Recipient| ended.iter().any(|outcome: &Outcome| outcome.recipients.contains(recipient));
    let mut envelope = entry.queued.envelope.clone();
    envelope.recipients.retain(|recipient| !over(recipient));
    if envelope.recipients.len() < entry.queued.envelope.recipients.len() {
        settle(mta, entry, ended, now, |_| Remaining::InFlight(envelope.clone())).await;
        entry.queued.envelope = envelope;
    }
    open
}

/// Whether the time for retries of the message is over at `now`, so that every failure is final.
fn is_over(mta: &Mta, entry: &Entry, now: Timestamp) -> bool {
    later(entry.queued.arrived, mta.context().settings.retry.give_up) <= now
}

impl Outcome {
    /// Returns the result that recipients of the message `id` just had at a next hop, after recording `Relayed` events
    /// of those that it accepted, one for each value of `leaves`: what the next host does with the message comes after
    /// that, and other destinations may take long. The first event takes the details and the transcript.
    pub(super) fn recorded(
        mta: &Mta,
        id: QueueId,
        hop: NextHop,
        recipients: Vec<Recipient>,
        mut attempt: Attempt,
    ) -> Self {
        let accepted = recipients.iter().zip(&attempt.verdicts).filter_map(|(recipient, verdict)| match verdict {
            Verdict::Accepted(reply) => Some((recipient.address.clone(), reply.to_string())),
            Verdict::Failed(_) => None,
        });
        let leaves = |address: &Address| leaves_world(mta, attempt.peer, address);
        let (left, others): (Vec<_>, Vec<_>) = accepted.partition(|(address, _)| leaves(address));
        for (accepted, leaves) in [(others, false), (left, true)] {
            let Some((_, reply)) = accepted.first().cloned() else { continue };
            let step = EventKind::Relayed {
                protocol: hop.protocol(),
                to: attempt.host.clone().unwrap_or_default(),
                recipients: accepted.into_iter().map(|(address, _)| address).collect(),
                reply,
                tls: attempt.tls.clone(),
                took_ms: attempt.duration.as_secs_f64() * 1e3,
                leaves,
                attempt: attempt.details.take(),
            };
            mta.context().emitter.report(id.journey, Some(id), step, attempt.transcript.take());
        }
        Self { hop, recipients, attempt }
    }

    /// Splits the outcome into that of the recipients that wait (none if `is_over`), and that of those that are
    /// settled. Details and transcript go with the latter, if there are any.
    fn split(self, is_over: bool) -> (Self, Self) {
        let Self {
            hop,
            recipients,
            attempt:
                Attempt { verdicts, host, peer, keeps_dsn, tls, duration, mut details, mut transcript, not_started },
        } = self;
        let waits =
            |verdict: &Verdict| matches!(verdict, Verdict::Failed(failure) if !is_over && !failure.is_permanent());
        let (open, ended): (Vec<_>, Vec<_>) =
            recipients.into_iter().zip(verdicts).partition(|(_, verdict)| waits(verdict));
        let mut of = |part: Vec<(Recipient, Verdict)>| {
            let (details, transcript) =
                if part.is_empty() { (None, None) } else { (details.take(), transcript.take()) };
            let (recipients, verdicts) = part.into_iter().unzip();
            let attempt = Attempt {
                verdicts,
                host: host.clone(),
                peer,
                keeps_dsn,
                tls: tls.clone(),
                duration,
                details,
                transcript,
                not_started,
            };
            Self { hop: hop.clone(), recipients, attempt }
        };
        let ended = of(ended);
        (of(open), ended)
    }
}

/// Stores the results, with the reports to the sender and the [`Remaining`] that `remaining` makes of the classified
/// recipients, trying until the store accepts that; then records the events of failures and of reports.
async fn settle(
    mta: &Mta,
    entry: &Entry,
    outcomes: Vec<Outcome>,
    now: Timestamp,
    remaining: impl FnOnce(&Classified) -> Remaining,
) {
    let classified = classify(mta, entry, &outcomes, now);
    let remaining = remaining(&classified);
    let until = if let Remaining::RetryAt { due, .. } = remaining { due } else { now };
    let reports = report::all(mta, &entry.queued, &classified.dsn_entries(), now);
    persist(mta, entry, Settlement { remaining, reports: reports.clone() }).await;
    let journey = reports.first().map(|queued| queued.id.journey);
    record_failures(mta, entry, outcomes, &classified, until, journey);
    for report in &reports {
        let step = report::reported_event(report, entry.queued.id.journey);
        mta.context().emitter.report(report.id.journey, Some(report.id), step, None);
    }
}

/// Whether no host of this world reports what becomes of a message that `peer` accepted for the recipient: the peer is
/// unknown, outside, a MUA, or an MTA with an external engine, unless that relays on to a domain of the world of which
/// it is no exchange.
fn leaves_world(mta: &Mta, peer: Option<IpAddr>, recipient: &Address) -> bool {
    let world = &mta.context().world;
    let Some(host) = peer.and_then(|peer| world.host_at(peer)) else { return true };
    match &host.role {
        Role::Mua => true,
        Role::Mta(settings) if !settings.engine.is_ours() => {
            world.domain(recipient.domain()).is_none_or(|served| served.mx.contains(&host.name))
        }
        Role::Mta(_) | Role::Mda(_) | Role::Dns => false,
    }
}

/// Stores the result of an attempt, trying again every `STORE_RETRY_INTERVAL` until the store accepts it: what the next
/// host accepted must not be sent again because the disk is full. Logs each error.
async fn persist(mta: &Mta, entry: &Entry, settlement: Settlement) {
    while let Err(error) = mta.queue().settle(entry, settlement.clone()).await {
        tracing::error!(host = %mta.host(), %error, "cannot record delivery result; retrying in 5 s");
        sleep(STORE_RETRY_INTERVAL).await;
    }
}

/// Sorts the recipients into accepted, failed and waiting; once the time for retries is over, every failure is final.
/// An accepted one is delivered over LMTP, else passed on if the peer keeps DSN, else relayed. The message is late if
/// some wait, the time to warn is over, and no report has warned yet.
fn classify(mta: &Mta, entry: &Entry, outcomes: &[Outcome], now: Timestamp) -> Classified {
    let Retry { warn, .. } = mta.context().settings.retry;
    let is_over = is_over(mta, entry, now);
    let mut classified = Classified::default();
    for Outcome { hop, recipients, attempt } in outcomes {
        for (recipient, verdict) in recipients.iter().cloned().zip(&attempt.verdicts) {
            match verdict {
                Verdict::Accepted(reply) => {
                    let action = if hop.is_lmtp() {
                        Action::Delivered
                    } else if attempt.keeps_dsn {
                        // RFC 3461 §5.2.1: the next host has the duty to report.
                        Action::PassedOn
                    } else {
                        Action::Relayed
                    };
                    let status = RecipientStatus {
                        status: (2, 0, 0),
                        host: attempt.host.clone(),
                        text: Some(reply.to_string()),
                    };
                    classified.accepted.push((recipient, action, status));
                }
                Verdict::Failed(failure) if failure.is_permanent() => {
                    classified.failed.push((recipient, failure.clone()))
                }
                Verdict::Failed(failure) if is_over => {
                    let last = Box::new(failure.clone());
                    classified.failed.push((recipient, Failure::Expired { attempts: entry.attempts + 1, last }));
                }
                Verdict::Failed(failure) => classified.waiting.push((recipient, failure.clone())),
            }
        }
    }
    classified.is_late = !classified.waiting.is_empty() && !entry.warned && later(entry.queued.arrived, warn) <= now;
    classified
}

impl Classified {
    /// What may be reported about each recipient; those that wait are only among them if the message is late.
    fn dsn_entries(&self) -> Vec<(&Recipient, Action, RecipientStatus)> {
        let accepted = self.accepted.iter().map(|(recipient, action, status)| (recipient, *action, status.clone()));
        let failed =
            self.failed.iter().map(|(recipient, failure)| (recipient, Action::Failed, RecipientStatus::of(failure)));
        let late = self.waiting.iter().filter(|_| self.is_late);
        let late = late.map(|(recipient, failure)| (recipient, Action::Delayed, RecipientStatus::of(failure)));
        accepted.chain(failed).chain(late).collect()
    }
}

/// Records a `Deferred` event of recipients that wait until `until`, and a `Failed` event of those that failed, one for
/// each destination and reason; the latter name `report`, the journey of the report to the sender. The first of a
/// destination takes its details and transcript.
fn record_failures(
    mta: &Mta,
    entry: &Entry,
    outcomes: Vec<Outcome>,
    classified: &Classified,
    until: Timestamp,
    report: Option<JourneyId>,
) {
    let (journey, id) = (entry.queued.id.journey, Some(entry.queued.id));
    for Outcome { recipients, attempt, .. } in outcomes {
        let (mut details, mut transcript) = (attempt.details, attempt.transcript);
        for (addresses, failure, is_final) in classified.failures(&recipients) {
            let reason = failure.to_string();
            let (host, in_doubt) = (failure.host().map(str::to_owned), failure.is_in_doubt());
            let attempt = details.take();
            let step = if is_final {
                EventKind::Failed { recipients: addresses, by: host, reason, report, in_doubt, attempt }
            } else {
                EventKind::Deferred { recipients: addresses, to: host, reason, until, in_doubt, attempt }
            };
            mta.context().emitter.report(journey, id, step, transcript.take());
        }
    }
}

impl Classified {
    /// The failures of these recipients: for each reason, the addresses that share it, the failure, and `true` if that
    /// is final. Final ones come first, then those of recipients that wait.
    fn failures(&self, among: &[Recipient]) -> Vec<(Vec<Address>, &Failure, bool)> {
        let failed = self.failed.iter().map(|(recipient, failure)| (recipient, failure, true));
        let waiting = self.waiting.iter().map(|(recipient, failure)| (recipient, failure, false));
        let mut found: Vec<(Vec<Address>, &Failure, bool)> = Vec::new();
        for (recipient, failure, is_final) in failed.chain(waiting).filter(|(recipient, ..)| among.contains(recipient))
        {
            let address = recipient.address.clone();
            let reason = failure.to_string();
            match found.iter_mut().find(|(_, known, last)| *last == is_final && known.to_string() == reason) {
                Some((addresses, ..)) => addresses.push(address),
                None => found.push((vec![address], failure, is_final)),
            }
        }
        found
    }
}
