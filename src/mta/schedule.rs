//! Takes each message when it is due, and tries its recipients: [`super::settle`] stores what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::lane::Turn;
use super::route::{NextHop, Protection};
use super::settle::{self, Outcome, PAUSE};
use super::{Entry, Mta};
use crate::mail::{Envelope, Recipient};
use crate::net::Stop;
use crate::world::{Retry, later};

/// Messages that are tried at once by one host.
const ATTEMPTS_MAX: usize = 400;
/// How long what is known of some recipients waits for the others, to share one commit and one report.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long transactions under way may go on after a stop.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn run(mta: Mta, stop: Stop, end: Stop) {
    let (attempts, seats) = (TaskTracker::new(), Arc::new(Semaphore::new(ATTEMPTS_MAX)));
    while let Some(Ok(seat)) = stop.run_until_cancelled(seats.clone().acquire_owned()).await {
        let Some(row) = stop.run_until_cancelled(mta.queue().next_due(&mta.setup().clock)).await else { break };
        // Most that are due while their hop is dead or busy go no further: they cost no task.
        let Some((mut entry, groups)) = begin(&mta, row) else { continue };
        let trying = mta.clone();
        attempts.spawn(mta.living(async move {
            try_all(&trying, &mut entry, groups).await;
            drop(seat);
        }));
    }
    attempts.close();
    // What does not end in time stays in the queue, and is tried again after the next start; never beside it.
    let _ = timeout(GRACE, attempts.wait()).await;
    end.cancel();
    attempts.wait().await;
}

/// The recipients of one message by where they go next.
type Groups = BTreeMap<NextHop, Vec<Recipient>>;

/// Begins an attempt for all recipients of one message, if it is its turn.
fn begin(mta: &Mta, row: i64) -> Option<(Entry, Groups)> {
    let loaded = mta.queue().load(row).inspect_err(|error| {
        tracing::error!(host = %mta.host(), %error, "the queue cannot be read; trying again soon");
        mta.queue().put_back(row, later(mta.setup().clock.now(), PAUSE));
    });
    let Some(entry) = loaded.ok()? else {
        mta.queue().forget(row);
        mta.lanes().excuse(mta, row);
        return None;
    };
    let groups = groups(mta, &entry);
    let (hops, sender) = (groups.keys().collect::<Vec<_>>(), &entry.mail.envelope.reverse_path);
    match mta.lanes().turn(mta, row, sender, &hops, is_urgent(mta, &entry)) {
        Turn::Go => {
            return Some((entry, groups));
        }
        Turn::Parked => mta.queue().keep(entry),
        Turn::Rest(until) => mta.queue().put_back(row, until),
    }
    None
}

/// The recipients by where they go next.
fn groups(mta: &Mta, entry: &Entry) -> Groups {
    let mut groups = Groups::new();
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

/// Tries all destinations at once. A slow one does not keep what the others took from being settled: whatever happens to
/// us meanwhile, it is not sent there again.
async fn try_all(mta: &Mta, entry: &mut Entry, groups: Groups) {
    let (envelope, letter) = (entry.mail.envelope.clone(), entry.mail.letter.clone());
    let mut tries: FuturesUnordered<_> = groups
        .into_iter()
        .map(|(hop, recipients)| {
            let envelope = Envelope { recipients: recipients.clone(), ..envelope.clone() };
            let letter = letter.clone();
            async move {
                let attempt = mta.lanes().send(mta, &hop, envelope, letter).await;
                Outcome { hop, recipients, attempt }
            }
        })
        .collect();
    let mut known = Vec::new();
    while let Some(outcome) = tries.next().await {
        known.push(outcome);
        let others = async {
            while let Some(outcome) = tries.next().await {
                known.push(outcome);
            }
        };
        if timeout(PATIENCE, others).await.is_err() {
            known = settle::part(mta, entry, known).await;
        }
    }
    settle::all(mta, entry, known).await;
}
