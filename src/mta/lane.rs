//! One lane for each next hop: its transactions wait in one line and share its connections.
//!
//! A dead hop fails all who wait for it at once, and holds up no other lane.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::Mta;
use super::deliver::{Attempt, Line, NoLine};
use super::route::NextHop;
use crate::mail::{Envelope, Letter};

/// How long an idle connection is kept for the next message.
const IDLE: Duration = Duration::from_secs(2);

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
}

impl Lanes {
    /// Sends a message to a next hop, and says what became of each recipient.
    pub(super) async fn send(&self, mta: &Mta, hop: &NextHop, envelope: Envelope, letter: Letter) -> Attempt {
        let count = envelope.recipients.len();
        let (answer, answered) = oneshot::channel();
        self.enter(mta, hop, Job { envelope, letter, answer });
        answered.await.unwrap_or_else(|_| Attempt::interrupted(count))
    }

    fn enter(&self, mta: &Mta, hop: &NextHop, job: Job) {
        let mut lanes = lock(&self.0);
        let lane = lanes.entry(hop.clone()).or_default().clone();
        let mut state = lock(&lane.state);
        state.jobs.push_back(job);
        if state.idle < state.jobs.len() && state.workers < mta.setup().settings.connections_max {
            state.workers += 1;
            tokio::spawn(mta.living(work(mta.clone(), hop.clone(), lane.clone())));
        }
        lane.arrived.notify_one();
    }

    /// Forgets all lanes; their workers are dead.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Ends a worker; the last one takes the lane away, unless a job has just come.
    fn leave(&self, hop: &NextHop, lane: &Lane) -> bool {
        let mut lanes = lock(&self.0);
        let mut state = lock(&lane.state);
        if !state.jobs.is_empty() {
            return false;
        }
        state.workers -= 1;
        if state.workers == 0 {
            lanes.remove(hop);
        }
        true
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
            Ok(attempt) => attempt,
            Err(failed) => {
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
