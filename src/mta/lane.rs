//! One lane for each next hop: its transactions wait in one line and share its connections.
//!
//! A dead hop fails all who wait for it at once, is left alone for a while, and holds up no other lane.

mod seats;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::Mta;
use super::deliver::{Attempt, Line, NoLine};
use super::route::NextHop;
use crate::mail::{Envelope, Letter, ReversePath};
use crate::world::later;
use seats::Seats;
pub(super) use seats::Turn;

/// How long an idle connection is kept for the next message.
const IDLE: Duration = Duration::from_secs(2);
/// A dead hop is left alone no longer than this.
const REST_MAX: Duration = Duration::from_secs(5 * 60);
/// Lanes that are remembered though nobody is in them.
const REMEMBERED_MAX: usize = 1000;

/// The lanes of one MTA.
#[derive(Default)]
pub(super) struct Lanes(Mutex<BTreeMap<NextHop, Arc<Lane>>>);

/// One message for one next hop.
struct Job {
    envelope: Envelope,
    letter: Letter,
    answer: oneshot::Sender<Attempt>,
}

#[derive(Default)]
struct Lane {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    seats: Seats,
}

impl Lanes {
    /// Whether a message may go on to all these hops now. One that may has a seat in each lane until [`Lanes::send`] to it
    /// is over; one for which it is `urgent` does not wait for a hop that is dead.
    pub(super) fn turn(&self, mta: &Mta, row: i64, sender: &ReversePath, hops: &[&NextHop], urgent: bool) -> Turn {
        let (now, most) = (mta.setup().clock.now(), mta.setup().settings.connections_max);
        let mut lanes = lock(&self.0);
        if REMEMBERED_MAX < lanes.len() {
            lanes.retain(|_, lane| !lock(&lane.state).is_forgotten(now));
        }
        let found: Vec<_> = hops.iter().map(|hop| lanes.entry((*hop).clone()).or_default().clone()).collect();
        drop(lanes);
        let rests: Option<Vec<_>> = found.iter().map(|lane| lock(&lane.state).seats.rests(now)).collect();
        if let Some(until) = rests.and_then(|rests| rests.into_iter().min())
            && !urgent
        {
            excuse(mta, &found, row);
            return Turn::Rest(until);
        }
        for lane in &found {
            let mut state = lock(&lane.state);
            if !state.seats.has_room(row, most) {
                state.seats.park(sender.clone(), row);
                return Turn::Parked;
            }
        }
        found.iter().for_each(|lane| lock(&lane.state).seats.take(row));
        Turn::Go
    }

    /// A message that was called does not come.
    pub(super) fn excuse(&self, mta: &Mta, row: i64) {
        let lanes: Vec<_> = lock(&self.0).values().cloned().collect();
        excuse(mta, &lanes, row);
    }

    /// Lets dead hops be tried at once.
    pub(super) fn rouse(&self) {
        lock(&self.0).values().for_each(|lane| lock(&lane.state).seats.rouse());
    }

    /// Sends a message to a next hop where it has a seat, and says what became of each recipient.
    pub(super) async fn send(&self, mta: &Mta, hop: &NextHop, envelope: Envelope, letter: Letter) -> Attempt {
        let count = envelope.recipients.len();
        let (answer, answered) = oneshot::channel();
        let lane = self.enter(mta, hop, Job { envelope, letter, answer });
        let attempt = answered.await.unwrap_or_else(|_| Attempt::interrupted(count));
        let called = lock(&lane.state).seats.give_back(mta.setup().settings.connections_max);
        call(mta, &called);
        self.forget_blank(hop);
        attempt
    }

    fn enter(&self, mta: &Mta, hop: &NextHop, job: Job) -> Arc<Lane> {
        let mut lanes = lock(&self.0);
        let lane = lanes.entry(hop.clone()).or_default().clone();
        let mut state = lock(&lane.state);
        if let Some(why) = state.seats.why_rests(mta.setup().clock.now()) {
            let _ = job.answer.send(why.for_recipients(job.envelope.recipients.len()));
        } else {
            state.jobs.push_back(job);
            if state.idle < state.jobs.len() && state.workers < mta.setup().settings.connections_max {
                state.workers += 1;
                tokio::spawn(mta.living(work(mta.clone(), hop.clone(), lane.clone())));
            }
            lane.arrived.notify_one();
        }
        drop(state);
        lane
    }

    /// Forgets all lanes; their workers are dead.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Ends a worker, unless a job has just come.
    fn leave(&self, hop: &NextHop, lane: &Lane) -> bool {
        let mut state = lock(&lane.state);
        if !state.jobs.is_empty() {
            return false;
        }
        state.workers -= 1;
        drop(state);
        self.forget_blank(hop);
        true
    }

    fn forget_blank(&self, hop: &NextHop) {
        let mut lanes = lock(&self.0);
        let is_blank = lanes.get(hop).is_some_and(|lane| {
            let state = lock(&lane.state);
            state.workers == 0 && state.jobs.is_empty() && state.seats.is_blank()
        });
        if is_blank {
            lanes.remove(hop);
        }
    }
}

impl State {
    /// Whether nobody is there, and the hop may be tried.
    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.workers == 0 && self.jobs.is_empty() && self.seats.is_free() && self.seats.rests(now).is_none()
    }
}

/// The seats that are kept for a message are given to others.
fn excuse(mta: &Mta, lanes: &[Arc<Lane>], row: i64) {
    for lane in lanes {
        let called = lock(&lane.state).seats.excuse(row, mta.setup().settings.connections_max);
        call(mta, &called);
    }
}

/// Those who were parked come up again, now.
fn call(mta: &Mta, rows: &[i64]) {
    let now = mta.setup().clock.now();
    rows.iter().for_each(|row| mta.queue().put_back(*row, now));
}

impl Lane {
    /// The next job, if one comes before the connection has been idle for too long.
    async fn next(&self) -> Option<Job> {
        timeout(IDLE, async {
            loop {
                let arrived = self.arrived.notified();
                if let Some(job) = lock(&self.state).jobs.pop_front() {
                    return job;
                }
                lock(&self.state).idle += 1;
                // Counted back also when the wait is cut off.
                let _idle = Idle(self);
                arrived.await;
            }
        })
        .await
        .ok()
    }
}

struct Idle<'a>(&'a Lane);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).idle -= 1;
    }
}

/// Makes the transactions of a lane, one after the other, on one connection while it lasts.
async fn work(mta: Mta, hop: NextHop, lane: Arc<Lane>) {
    let mut line: Option<Line> = None;
    loop {
        let Some(job) = lane.next().await else {
            if let Some(line) = line.take() {
                line.quit().await;
            }
            if mta.lanes().leave(&hop, &lane) {
                return;
            }
            continue;
        };
        let attempt = match transact(&mta, &hop, &mut line, &job).await {
            Ok(attempt) => {
                lock(&lane.state).seats.note_alive();
                attempt
            }
            Err(failed) => {
                rest(&mta, &lane, &failed);
                // Whoever waits for this hop would meet the same failure, one after the other.
                for waiting in std::mem::take(&mut lock(&lane.state).jobs) {
                    let _ = waiting.answer.send(failed.for_recipients(waiting.envelope.recipients.len()));
                }
                failed.for_recipients(job.envelope.recipients.len())
            }
        };
        // Whoever asked is only gone when the MTA stops; the message stays in the queue then.
        let _ = job.answer.send(attempt);
    }
}

/// Nobody comes near a dead hop for a while.
fn rest(mta: &Mta, lane: &Lane, failed: &NoLine) {
    let (setup, now) = (mta.setup(), mta.setup().clock.now());
    let wait = |failures| later(now, setup.settings.retry.wait(failures, &setup.dice).min(REST_MAX));
    let (parked, until) = lock(&lane.state).seats.note_dead(failed.clone(), wait);
    parked.into_iter().for_each(|row| mta.queue().put_back(row, until));
}

/// One transaction, on the open connection or a new one; where the peer takes only so much on a connection (RFC 9422),
/// the rest on others. The error is that of connecting first.
async fn transact(mta: &Mta, hop: &NextHop, line: &mut Option<Line>, job: &Job) -> Result<Attempt, NoLine> {
    let mut attempt = part(mta, hop, line, &job.envelope, &job.letter).await?;
    while let Some(rest) = job.envelope.recipients.get(attempt.verdicts.len()..).filter(|rest| !rest.is_empty()) {
        let envelope = Envelope { recipients: rest.to_vec(), ..job.envelope.clone() };
        let next = match part(mta, hop, line, &envelope, &job.letter).await {
            Ok(next) => next,
            Err(failed) => failed.for_recipients(rest.len()),
        };
        attempt = attempt.and(next);
    }
    Ok(attempt)
}

/// As many recipients, from the first on, as one connection has room for; at least one.
async fn part(
    mta: &Mta,
    hop: &NextHop,
    line: &mut Option<Line>,
    envelope: &Envelope,
    letter: &Letter,
) -> Result<Attempt, NoLine> {
    if let Some(open) = line.take() {
        match open.room(&envelope.recipients) {
            0 => open.quit().await,
            room => {
                let (attempt, open) = open.send(&first(envelope, room), letter).await;
                if !attempt.unheard {
                    *line = open;
                    return Ok(attempt);
                }
            }
        }
    }
    let fresh = Line::open(mta, hop).await?;
    let room = fresh.room(&envelope.recipients).max(1);
    let (attempt, open) = fresh.send(&first(envelope, room), letter).await;
    *line = open;
    Ok(attempt)
}

fn first(envelope: &Envelope, count: usize) -> Envelope {
    let recipients = envelope.recipients.iter().take(count).cloned().collect();
    Envelope { recipients, ..envelope.clone() }
}

/// A panic elsewhere does not make these tables wrong: each change to them is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
