//! Runs a scenario on its own runtime with a paused clock: time jumps to the next timer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::expect::{Results, percentile};
use super::invariants::{NOTHING_LEAKS, Observations, Violation};
use super::metrics::{MAX_SLOWEST, Metrics, Totals};
use super::report::{Bucket, Latency, Queue, Report, SimulatedHost, SlowestMessage, Throughput};
use super::senders::{Senders, SentLog};
use super::timeline::{self, FaultLog};
use super::{Error, Progress, Scenario, Trace, readers, traffic};
use crate::host::{Environment, Fault, Inventory, PublicPorts, RunningWorld};
use crate::journey::{EventLog, Journey, Subscription};
use crate::sync::lock;

/// Number of samples of the queue lengths during a run.
const SAMPLES: u32 = 400;
/// The shortest interval between two samples.
const MIN_SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long after the last message all its tasks may take to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);
/// Number of queues in the report.
const MAX_REPORTED_QUEUES: usize = 20;
/// Number of throughput intervals in the report.
const THROUGHPUT_INTERVALS: usize = 100;

/// Runs a scenario with a seed to its end, in virtual time on a runtime of its own, and returns the report. Events are
/// written to `trace`; `progress` is called at regular times.
///
/// # Errors
/// The world cannot be started, or `trace` cannot be written. Failures within the world are in the report.
pub fn play(
    scenario: &Scenario,
    seed: u64,
    trace: Option<Trace>,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Error::Runtime(error.to_string()))?;
    runtime.block_on(Setup { scenario, seed, trace }.run(progress))
}

/// Inputs of a run.
struct Setup<'a> {
    scenario: &'a Scenario,
    seed: u64,
    trace: Option<Trace>,
}

/// A running scenario.
struct Simulation<'a> {
    scenario: &'a Scenario,
    seed: u64,
    running: Arc<RunningWorld>,
    sent_log: SentLog,
    /// All events, which are read at each sample.
    events: Subscription,
    trace: Option<Trace>,
    metrics: Metrics,
    fault_log: FaultLog,
    queues: BTreeMap<String, Vec<(f64, usize)>>,
    began: Instant,
    ended: Instant,
    /// Number of tasks before the first message.
    tasks: usize,
    /// Descriptions of tasks and entries that remain of mail that is gone.
    left: Vec<String>,
}

impl Setup<'_> {
    /// Starts the world, runs the scenario, stops the world, and flushes the trace. If all mail was delivered or
    /// bounced, also checks that no tasks or entries remain.
    async fn run(self, progress: impl Fn(Progress)) -> Result<Report, Error> {
        let Self { scenario, seed, trace } = self;
        let mut env = Environment::simulated(scenario.world.clone(), seed, scenario.start, false)?;
        env.event_log = EventLog::until_discarded(env.clock);
        let events = env.event_log.subscribe(0);
        let running = Arc::new(RunningWorld::start(env, PublicPorts::none()).await?);
        for host in running.env.world.hosts.keys() {
            running.inject(&Fault::DiskSlow { host: host.to_string(), by: scenario.disk }).await;
        }
        let now = Instant::now();
        let mut simulation = Simulation {
            scenario,
            seed,
            running,
            sent_log: SentLog::default(),
            events,
            trace,
            metrics: Metrics::default(),
            fault_log: FaultLog::default(),
            queues: BTreeMap::new(),
            began: now,
            ended: now,
            tasks: tasks(),
            left: Vec::new(),
        };
        if simulation.run(&progress).await? {
            simulation.wait_idle().await;
        }
        let report = simulation.report();
        simulation.running.stop().await;
        if let Some(trace) = simulation.trace {
            trace.flush().map_err(|error| Error::Trace(error.to_string()))?;
        }
        report
    }
}

impl Simulation<'_> {
    /// Runs until the end of the scenario; returns true if all mail was delivered or bounced before.
    async fn run(&mut self, progress: &impl Fn(Progress)) -> Result<bool, Error> {
        let active = spawn_actors(self.scenario, &self.running, &self.sent_log, &self.fault_log)?;
        let end = self.began + self.scenario.lasts;
        let step = (self.scenario.lasts / SAMPLES).max(MIN_SAMPLE_INTERVAL);
        while Instant::now() < end {
            sleep_until((Instant::now() + step).min(end)).await;
            self.read_events();
            self.sample();
            let counts = self.metrics.counts;
            progress(self.progress(counts));
            let is_idle = *lock(&active) == 0;
            if is_idle && counts.open == 0 && self.sent_log.pending() == 0 && self.scenario.readers.is_empty() {
                // The last hop may not have recorded its delivery yet.
                sleep(MIN_SAMPLE_INTERVAL).await;
                if self.running.mtas.values().all(|mta| mta.queue().is_empty()) {
                    self.ended = Instant::now();
                    return Ok(true);
                }
            }
        }
        self.ended = Instant::now();
        Ok(false)
    }

    /// Counts the events since the last time. A simulation has no limit of events that it retains until then.
    fn read_events(&mut self) {
        while let Ok(events) = self.events.try_next()
            && !events.is_empty()
        {
            self.running.env.event_log.discard_through(self.events.position());
            for event in events {
                self.metrics.note(Arc::unwrap_or_clone(event), &self.trace);
            }
        }
    }

    /// Waits until idle connections are closed, and records tasks and queue entries that remain.
    async fn wait_idle(&mut self) {
        let end = Instant::now() + DRAIN_TIMEOUT;
        while self.tasks < tasks() && Instant::now() < end {
            sleep(DRAIN_TIMEOUT / 100).await;
        }
        match tasks().saturating_sub(self.tasks) {
            0 => {}
            more => self.left.push(format!("{more} tasks remain after the last message")),
        }
        let busy = self.running.mtas.iter().filter(|(_, mta)| !mta.queue().is_idle());
        self.left.extend(busy.map(|(host, _)| format!("the queue of {host} holds state for a message that is gone")));
    }

    /// The progress to report now: the totals as given, the time so far, and how many messages were written and are in
    /// the queues of all hosts.
    fn progress(&self, Totals { hops, open, delivered, bounced }: Totals) -> Progress {
        let queued = self.running.mtas.values().map(|mta| mta.queue().len()).sum();
        Progress { passed: self.began.elapsed(), written: self.sent_log.len(), open, queued, delivered, bounced, hops }
    }

    /// Records the length of each queue, if it has changed since the last sample.
    fn sample(&mut self) {
        let at = self.began.elapsed().as_secs_f64();
        for (host, mta) in self.running.mtas.iter() {
            let length = mta.queue().len();
            match self.queues.get_mut(&**host) {
                Some(samples) if samples.last().is_some_and(|(_, last)| *last != length) => samples.push((at, length)),
                None if length != 0 => drop(self.queues.insert(host.to_string(), vec![(0.0, 0), (at, length)])),
                Some(_) | None => {}
            }
        }
    }

    /// Makes the report of the run. Call it once: it takes the messages and metrics out of the simulation.
    fn report(&mut self) -> Result<Report, Error> {
        self.read_events();
        let inventory = Inventory::of(&self.running.env.store).map_err(crate::host::Error::Store)?;
        let (sent, state, faults) = (self.sent_log.take(), std::mem::take(&mut self.metrics), self.fault_log.list());
        let observations = Observations { sent: &sent, state: &state, inventory: &inventory, faults: &faults };
        let (counts, mut violations) = observations.check();
        let left = std::mem::take(&mut self.left).into_iter();
        violations.extend(left.map(|what| Violation { promise: NOTHING_LEAKS, journey: None, what }));
        let latencies = latencies(&state);
        let queues = self.longest_queues();
        let expectations =
            Results { counts, began: self.scenario.start, state: &state, latencies: &latencies, queues: &queues }
                .compare(&self.scenario.expect);
        let seconds = (self.ended - self.began).as_secs_f64();
        Ok(Report {
            scenario: self.scenario.name.clone(),
            about: self.scenario.about.clone(),
            seed: self.seed,
            passed: violations.is_empty() && expectations.iter().all(|verdict| verdict.held),
            began: self.scenario.start,
            seconds,
            written: sent.len() as u64,
            refused: sent.iter().filter(|sent| sent.is_refused()).count() as u64,
            unsent: sent.iter().filter(|sent| sent.refused.is_none() && sent.journeys.is_empty()).count() as u64,
            outcomes: counts,
            hops: state.counts.hops,
            deferred: state.deferred.len() as u64,
            retrieved: state.retrieved,
            latency: Latency {
                p50: percentile(&latencies, 50.0),
                p95: percentile(&latencies, 95.0),
                p99: percentile(&latencies, 99.0),
                max: latencies.last().copied().unwrap_or(0.0),
            },
            expectations,
            violations,
            faults,
            queues: queues.into_iter().take(MAX_REPORTED_QUEUES).collect(),
            worst: slowest(&state),
            distribution: distribution(&latencies),
            pace: self.throughput(&state, seconds),
            hosts: self.running.env.world.hosts.values().map(SimulatedHost::of).collect(),
            events: state.events,
            trace: state.hash(),
        })
    }

    /// All queues that were not always empty, longest first.
    fn longest_queues(&self) -> Vec<Queue> {
        let queue = |(host, samples): (&String, &Vec<(f64, usize)>)| Queue {
            host: host.clone(),
            longest: samples.iter().map(|(_, length)| *length).max().unwrap_or(0),
            samples: samples.clone(),
        };
        let mut queues: Vec<_> = self.queues.iter().map(queue).collect();
        queues.sort_by_key(|queue| std::cmp::Reverse(queue.longest));
        queues
    }

    /// Deliveries and temporary failures in each of 100 equal intervals of a run that took this many seconds.
    fn throughput(&self, state: &Metrics, seconds: f64) -> Vec<Throughput> {
        let width = (seconds / THROUGHPUT_INTERVALS as f64).max(f64::MIN_POSITIVE);
        let mut intervals: Vec<_> =
            (0..THROUGHPUT_INTERVALS).map(|at| Throughput { at: at as f64 * width, ..Throughput::default() }).collect();
        let interval = |at: jiff::Timestamp| {
            let index = (at.duration_since(self.scenario.start).as_secs_f64() / width) as usize;
            index.min(THROUGHPUT_INTERVALS - 1)
        };
        for (_, copy) in state.journeys.values().flat_map(|journey| &journey.copies) {
            copy.delivered.iter().for_each(|at| intervals[interval(*at)].delivered += 1);
        }
        state.deferred.iter().for_each(|at| intervals[interval(*at)].deferred += 1);
        intervals
    }
}

/// Spawns the tasks of all senders, faults and readers. Returns the number of active tasks, readers excluded.
pub(super) fn spawn_actors(
    scenario: &Scenario,
    running: &Arc<RunningWorld>,
    sent_log: &SentLog,
    fault_log: &FaultLog,
) -> Result<Arc<Mutex<usize>>, Error> {
    let rng = &running.env.rng;
    let senders = Arc::new(Senders::new(running.clone(), sent_log.clone())?);
    let active = Arc::new(Mutex::new(0_usize));
    for (number, traffic) in scenario.traffic.iter().enumerate() {
        let rng = rng.fork(&format!("traffic {number}"));
        let send = traffic::run(traffic.clone(), running.clone(), senders.clone(), rng);
        tokio::spawn(counted(active.clone(), send));
    }
    for (number, fault) in scenario.faults.iter().enumerate() {
        let rng = rng.fork(&format!("fault {number}"));
        let fault = timeline::run_fault(fault.clone(), running.clone(), fault_log.clone(), rng);
        tokio::spawn(counted(active.clone(), fault));
    }
    for (number, reader) in scenario.readers.iter().enumerate() {
        for user in &reader.users {
            let rng = rng.fork(&format!("reader {number} {user}"));
            tokio::spawn(readers::run(user.clone(), reader.table.clone(), running.clone(), rng));
        }
    }
    Ok(active)
}

/// Wraps a task so that it counts as active until it ends.
fn counted(active: Arc<Mutex<usize>>, task: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send {
    *lock(&active) += 1;
    async move {
        task.await;
        *lock(&active) -= 1;
    }
}

/// Latencies of the delivered copies of user messages, in seconds, ascending.
fn latencies(state: &Metrics) -> Vec<f64> {
    let messages = state.journeys.values().filter(|journey| journey.is_user_message());
    let times = messages.flat_map(|journey| journey.expected_copies().map(|(_, copy)| journey.seconds(copy)));
    let mut times: Vec<_> = times.filter(|seconds| seconds.is_finite()).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// A histogram of ascending latencies. The bounds of its buckets double from 62.5 ms on, up to the longest latency.
fn distribution(latencies: &[f64]) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    let (mut up_to, mut done) = (0.0625, 0);
    while done < latencies.len() {
        let end = latencies.partition_point(|time| *time <= up_to);
        buckets.push(Bucket { up_to, count: (end - done) as u64 });
        done = end;
        up_to *= 2.0;
    }
    buckets
}

/// The copies of user messages that never arrived, then those with the highest latency, at most [`MAX_SLOWEST`].
fn slowest(state: &Metrics) -> Vec<SlowestMessage> {
    let messages = state.journeys.iter().filter(|(_, journey)| journey.is_user_message());
    let copies = messages.flat_map(|(id, journey)| {
        journey.expected_copies().map(move |(to, copy)| (journey.seconds(copy), id, journey, to, copy))
    });
    let mut copies: Vec<_> = copies.collect();
    copies.sort_by(|one, other| other.0.total_cmp(&one.0));
    copies.truncate(MAX_SLOWEST);
    let slowest = copies.into_iter().map(|(latency, id, journey, to, copy)| SlowestMessage {
        recipient: to.clone(),
        outcome: match (latency.is_finite(), &copy.reason) {
            (true, _) => format!("arrived after {}", super::report::human(latency)),
            (false, Some(reason)) if copy.failed != 0 => format!("failed: {reason}"),
            (false, Some(reason)) => format!("waiting: {reason}"),
            (false, None) => "waiting".to_owned(),
        },
        journey: Journey::of(*id, journey.began, journey.events().iter().cloned().map(Arc::new).collect()),
    });
    slowest.collect()
}

/// Number of tasks on this runtime; each connection, session and attempt is one.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
