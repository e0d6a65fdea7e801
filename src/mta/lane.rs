//! One lane for each next hop: its transactions wait in one line and share its connections.
//!
//! Nobody opens a second connection before the first is up. A dead hop fails all who wait for it at once, is left alone
//! for a while, and holds up no other lane. Where some connections are up and one more is not to be had, the hop takes no
//! more than those.

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
/// Messages that go well until one connection more is tried, where one was too many before.
const GROWS_AFTER: usize = 100;
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

struct State {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    /// Workers whose last connection came up.
    up: usize,
    /// Workers that there may be.
    limit: usize,
    /// Messages that went well since the limit changed.
    passed: usize,
    seats: Seats,
}

impl Default for State {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), workers: 0, idle: 0, up: 0, limit: 1, passed: 0, seats: Seats::default() }
    }
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
                // Both at once: whoever calls it must find it.
                mta.queue().park(row);
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
        call(mta, &lane, called);
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
            state.hire(mta, hop, &lane);
            lane.arrived.notify_one();
        }
        drop(state);
        lane
    }

    /// Forgets all lanes; their workers are dead.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
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
    /// A worker for a job that nobody is there for.
    fn hire(&mut self, mta: &Mta, hop: &NextHop, lane: &Arc<Lane>) {
        if self.idle < self.jobs.len() && self.workers < self.limit {
            self.workers += 1;
            let worker = Worker { mta: mta.clone(), hop: hop.clone(), lane: lane.clone(), line: None, is_up: false };
            tokio::spawn(mta.living(worker.work()));
        }
    }

    /// Whether nobody is there, and the hop may be tried.
    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.workers == 0 && self.jobs.is_empty() && self.seats.is_free() && self.seats.rests(now).is_none()
    }
}

/// The seats that are kept for a message are given to others.
fn excuse(mta: &Mta, lanes: &[Arc<Lane>], row: i64) {
    for lane in lanes {
        let called = lock(&lane.state).seats.excuse(row, mta.setup().settings.connections_max);
        call(mta, lane, called);
    }
}

/// Those who were parked come up again, now; for those who are gone, others.
fn call(mta: &Mta, lane: &Lane, rows: Vec<i64>) {
    let (now, most) = (mta.setup().clock.now(), mta.setup().settings.connections_max);
    let mut rows = VecDeque::from(rows);
    while let Some(row) = rows.pop_front() {
        if !mta.queue().unpark(row, now) {
            rows.extend(lock(&lane.state).seats.excuse(row, most));
        }
    }
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

/// Makes transactions of a lane, one after the other, on one connection while it lasts.
struct Worker {
    mta: Mta,
    hop: NextHop,
    lane: Arc<Lane>,
    line: Option<Line>,
    /// Its last connection came up.
    is_up: bool,
}

impl Worker {
    async fn work(mut self) {
        loop {
            let Some(job) = self.lane.next().await else {
                if let Some(line) = self.line.take() {
                    line.quit().await;
                }
                if self.leaves() {
                    return;
                }
                continue;
            };
            match self.transact(&job).await {
                Ok(attempt) => {
                    self.went_well();
                    // Whoever asked is only gone when the MTA stops; the message stays in the queue then.
                    let _ = job.answer.send(attempt);
                }
                Err(failed) => {
                    let Some(job) = self.give_back(job) else { return };
                    self.give_up(job, &failed);
                }
            }
        }
    }

    /// Whether it may go, unless a job has just come.
    fn leaves(&self) -> bool {
        let mut state = lock(&self.lane.state);
        if !state.jobs.is_empty() {
            return false;
        }
        state.workers -= 1;
        state.up -= usize::from(self.is_up);
        if state.up == 0 {
            (state.limit, state.passed) = (1, 0);
        }
        drop(state);
        self.mta.lanes().forget_blank(&self.hop);
        true
    }

    /// Its connection is up: the hop answers, and others may connect, too.
    fn came_up(&mut self) {
        let state = &mut *lock(&self.lane.state);
        state.seats.note_alive();
        if state.up == 0 {
            state.limit = self.mta.setup().settings.connections_max;
            for _ in 0..state.jobs.len().min(state.limit) {
                state.hire(&self.mta, &self.hop, &self.lane);
            }
        }
        state.up += usize::from(!self.is_up);
        self.is_up = true;
    }

    fn went_well(&self) {
        let state = &mut *lock(&self.lane.state);
        state.seats.note_alive();
        state.passed += 1;
        if GROWS_AFTER < state.passed {
            state.passed = 0;
            state.limit = (state.limit + 1).min(self.mta.setup().settings.connections_max);
        }
    }

    /// Leaves its job to others if they are connected while it cannot be: it is one too many, and goes.
    fn give_back(&mut self, job: Job) -> Option<Job> {
        let state = &mut *lock(&self.lane.state);
        state.up -= usize::from(std::mem::take(&mut self.is_up));
        if state.up == 0 {
            return Some(job);
        }
        state.workers -= 1;
        (state.limit, state.passed) = (state.up, 0);
        state.jobs.push_front(job);
        self.lane.arrived.notify_one();
        None
    }

    /// Whoever waits for this hop would meet the same failure, one after the other; and nobody comes near a dead hop
    /// for a while.
    fn give_up(&self, job: Job, failed: &NoLine) {
        let (setup, now) = (self.mta.setup(), self.mta.setup().clock.now());
        let wait = |failures| later(now, setup.settings.retry.wait(failures, &setup.dice).min(REST_MAX));
        let (jobs, parked) = {
            let state = &mut *lock(&self.lane.state);
            (state.limit, state.passed) = (1, 0);
            let parked = if failed.is_permanent() { None } else { Some(state.seats.note_dead(failed.clone(), wait)) };
            (std::mem::take(&mut state.jobs), parked)
        };
        if let Some((parked, until)) = parked {
            for row in parked {
                self.mta.queue().unpark(row, until);
            }
        }
        for job in jobs.into_iter().chain([job]) {
            let _ = job.answer.send(failed.for_recipients(job.envelope.recipients.len()));
        }
    }

    /// One transaction, on the open connection or a new one; where the peer takes only so much on a connection (RFC
    /// 9422), the rest on others. The error is that of connecting first.
    async fn transact(&mut self, job: &Job) -> Result<Attempt, NoLine> {
        let mut attempt = self.part(&job.envelope, &job.letter).await?;
        while let Some(rest) = job.envelope.recipients.get(attempt.verdicts.len()..).filter(|rest| !rest.is_empty()) {
            let envelope = Envelope { recipients: rest.to_vec(), ..job.envelope.clone() };
            let next = match self.part(&envelope, &job.letter).await {
                Ok(next) => next,
                Err(failed) => failed.for_recipients(rest.len()),
            };
            attempt = attempt.and(next);
        }
        Ok(attempt)
    }

    /// As many recipients, from the first on, as one connection has room for; at least one.
    async fn part(&mut self, envelope: &Envelope, letter: &Letter) -> Result<Attempt, NoLine> {
        if let Some(open) = self.line.take() {
            match open.room(&envelope.recipients) {
                0 => open.quit().await,
                room => {
                    let (attempt, open) = open.send(&first(envelope, room), letter).await;
                    if !attempt.unheard {
                        self.line = open;
                        return Ok(attempt);
                    }
                }
            }
        }
        let fresh = Line::open(&self.mta, &self.hop).await?;
        self.came_up();
        let room = fresh.room(&envelope.recipients).max(1);
        let (attempt, open) = fresh.send(&first(envelope, room), letter).await;
        self.line = open;
        Ok(attempt)
    }
}

fn first(envelope: &Envelope, count: usize) -> Envelope {
    let recipients = envelope.recipients.iter().take(count).cloned().collect();
    Envelope { recipients, ..envelope.clone() }
}

/// A panic elsewhere does not make these tables wrong: each change to them is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
