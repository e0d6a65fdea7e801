//! Plays a scenario on a runtime of its own, whose clock is paused: time jumps to whatever happens next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::expect::{Facts, percentile};
use super::judge::{Evidence, NOTHING_LEAKS, Violation};
use super::outbox::{Ledger, Outboxes};
use super::report::{Bucket, Pace, Queue, Report, Took, Worst};
use super::tally::{Counts, Notes, Tally, WORST_MAX};
use super::timeline::{self, Chronicle};
use super::{Error, Progress, Scenario, Trace, readers, traffic};
use crate::host::{Census, Doors, Fault, Ground, Running};
use crate::journey::Journal;

/// So many looks at the queues while the scenario lasts.
const SAMPLES: u32 = 400;
/// The shortest time from one look to the next.
const SAMPLE_MIN: Duration = Duration::from_secs(1);
/// So long after the last message nothing is left of it but what is stored.
const SETTLED: Duration = Duration::from_secs(2 * 60 * 60);
/// Queues in the report.
const QUEUES_MAX: usize = 20;
/// Stretches of time in the report.
const PACES: usize = 100;

/// Plays a scenario with a seed, to its end.
///
/// # Errors
/// The world does not start. What goes wrong in it stands in the report.
pub fn play(
    scenario: &Scenario,
    seed: u64,
    trace: Option<Trace>,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Error::Runtime(error.to_string()))?;
    runtime.block_on(Stage::set(scenario, seed, trace).play(progress))
}

/// What is handed around before the world starts.
struct Stage<'a> {
    scenario: &'a Scenario,
    seed: u64,
    tally: Tally,
    trace: Option<Trace>,
}

/// A scenario under way.
struct Play<'a> {
    scenario: &'a Scenario,
    seed: u64,
    running: Arc<Running>,
    ledger: Ledger,
    tally: Tally,
    chronicle: Chronicle,
    queues: BTreeMap<String, Vec<(f64, usize)>>,
    began: Instant,
    ended: Instant,
    /// Tasks before any mail was written.
    tasks: usize,
    /// What is left of mail that is gone, in a few words each.
    left: Vec<String>,
}

impl<'a> Stage<'a> {
    fn set(scenario: &'a Scenario, seed: u64, trace: Option<Trace>) -> Self {
        Self { scenario, seed, tally: Tally::default(), trace }
    }

    async fn play(self, progress: impl Fn(Progress)) -> Result<Report, Error> {
        let Self { scenario, seed, tally, trace } = self;
        let mut ground = Ground::simulated(scenario.world.clone(), seed, scenario.start, false)?;
        let (watching, flushing) = (tally.clone(), trace.clone());
        ground.journal = Journal::watched(ground.clock, false, move |event| watching.note(event, &trace));
        let running = Arc::new(Running::start(ground, Doors::shut()).await?);
        for host in running.ground.world.hosts.keys() {
            running.inflict(&Fault::DiskSlow { host: host.to_string(), by: scenario.disk }).await;
        }
        let now = Instant::now();
        let mut play = Play {
            scenario,
            seed,
            running,
            ledger: Ledger::default(),
            tally,
            chronicle: Chronicle::default(),
            queues: BTreeMap::new(),
            began: now,
            ended: now,
            tasks: tasks(),
            left: Vec::new(),
        };
        if play.run(&progress).await? {
            play.settle().await;
        }
        let report = play.report();
        play.running.stop().await;
        if let Some(trace) = flushing {
            trace.flush().map_err(|error| Error::Trace(error.to_string()))?;
        }
        report
    }
}

impl Play<'_> {
    /// Until the end, or until all mail has found its own: then `true`.
    async fn run(&mut self, progress: &impl Fn(Progress)) -> Result<bool, Error> {
        let busy = unleash(self.scenario, &self.running, &self.ledger, &self.chronicle)?;
        let end = self.began + self.scenario.lasts;
        let step = (self.scenario.lasts / SAMPLES).max(SAMPLE_MIN);
        while Instant::now() < end {
            sleep_until((Instant::now() + step).min(end)).await;
            self.sample();
            let counts = self.tally.counts();
            progress(self.progress(counts));
            let is_idle = *busy.lock().unwrap_or_else(PoisonError::into_inner) == 0;
            if is_idle && counts.open == 0 && self.ledger.pending() == 0 && self.scenario.readers.is_empty() {
                // What the last hop has yet to settle.
                sleep(SAMPLE_MIN).await;
                if self.running.mtas.values().all(|mta| mta.queue().is_empty()) {
                    self.ended = Instant::now();
                    return Ok(true);
                }
            }
        }
        self.ended = Instant::now();
        Ok(false)
    }

    /// Connections that wait for more end, and with them everything that was there for the mail.
    async fn settle(&mut self) {
        let end = Instant::now() + SETTLED;
        while self.tasks < tasks() && Instant::now() < end {
            sleep(SETTLED / 100).await;
        }
        match tasks().saturating_sub(self.tasks) {
            0 => {}
            more => self.left.push(format!("{more} tasks are still there after the last message")),
        }
        let restless = self.running.mtas.iter().filter(|(_, mta)| !mta.queue().is_at_rest());
        self.left.extend(restless.map(|(host, _)| format!("the queue of {host} keeps a message in mind that is gone")));
    }

    fn progress(&self, Counts { hops, open, delivered, bounced }: Counts) -> Progress {
        let queued = self.running.mtas.values().map(|mta| mta.queue().len()).sum();
        Progress { passed: self.began.elapsed(), written: self.ledger.len(), open, queued, delivered, bounced, hops }
    }

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

    fn report(&mut self) -> Result<Report, Error> {
        let census = Census::of(&self.running.ground.store).map_err(crate::host::Error::Store)?;
        let (sent, notes, faults) = (self.ledger.take(), self.tally.take(), self.chronicle.list());
        let evidence = Evidence { sent: &sent, notes: &notes, census: &census, happened: &faults };
        let (fates, mut violations) = evidence.judge();
        let left = std::mem::take(&mut self.left).into_iter();
        violations.extend(left.map(|what| Violation { promise: NOTHING_LEAKS, journey: None, what }));
        let took = journey_times(&notes);
        let queues = self.longest_queues();
        let expectations = Facts { fates, began: self.scenario.start, notes: &notes, took: &took, queues: &queues }
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
            refused: sent.iter().filter(|sent| sent.refused.is_some()).count() as u64,
            unsent: sent.iter().filter(|sent| sent.refused.is_none() && sent.journeys.is_empty()).count() as u64,
            fates,
            hops: notes.counts.hops,
            deferred: notes.deferred.len() as u64,
            retrieved: notes.retrieved,
            took: Took {
                p50: percentile(&took, 50.0),
                p95: percentile(&took, 95.0),
                p99: percentile(&took, 99.0),
                max: took.last().copied().unwrap_or(0.0),
            },
            expectations,
            violations,
            faults,
            queues: queues.into_iter().take(QUEUES_MAX).collect(),
            worst: worst(&notes),
            distribution: distribution(&took),
            pace: self.pace(&notes, seconds),
            events: notes.events,
            trace: notes.hash(),
        })
    }

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

    fn pace(&self, notes: &Notes, seconds: f64) -> Vec<Pace> {
        let width = (seconds / PACES as f64).max(f64::MIN_POSITIVE);
        let mut paces: Vec<_> = (0..PACES).map(|at| Pace { at: at as f64 * width, ..Pace::default() }).collect();
        let stretch = |at: jiff::Timestamp| {
            let place = (at.duration_since(self.scenario.start).as_secs_f64() / width) as usize;
            place.min(PACES - 1)
        };
        for (_, copy) in notes.courses.values().flat_map(|course| &course.copies) {
            copy.delivered.iter().for_each(|at| paces[stretch(*at)].delivered += 1);
        }
        notes.deferred.iter().for_each(|at| paces[stretch(*at)].deferred += 1);
        paces
    }
}

/// Lets everything happen that the scenario says. The answer counts what is still to come, readers apart.
pub(super) fn unleash(
    scenario: &Scenario,
    running: &Arc<Running>,
    ledger: &Ledger,
    chronicle: &Chronicle,
) -> Result<Arc<Mutex<usize>>, Error> {
    let dice = &running.ground.dice;
    let outboxes = Arc::new(Outboxes::new(running.clone(), ledger.clone())?);
    let busy = Arc::new(Mutex::new(0_usize));
    for (number, traffic) in scenario.traffic.iter().enumerate() {
        let dice = dice.fork(&format!("traffic {number}"));
        let write = traffic::write(traffic.clone(), running.clone(), outboxes.clone(), dice);
        tokio::spawn(counted(busy.clone(), write));
    }
    for (number, episode) in scenario.episodes.iter().enumerate() {
        let dice = dice.fork(&format!("fault {number}"));
        let unfold = timeline::unfold(episode.clone(), running.clone(), chronicle.clone(), dice);
        tokio::spawn(counted(busy.clone(), unfold));
    }
    for (number, reader) in scenario.readers.iter().enumerate() {
        for who in &reader.who {
            let dice = dice.fork(&format!("reader {number} {who}"));
            tokio::spawn(readers::read(who.clone(), reader.table.clone(), running.clone(), dice));
        }
    }
    Ok(busy)
}

/// Runs a task and counts it as long as it runs.
fn counted(busy: Arc<Mutex<usize>>, task: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send {
    *busy.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    async move {
        task.await;
        *busy.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

/// Of the copies of people's messages that arrived, in seconds, ascending.
fn journey_times(notes: &Notes) -> Vec<f64> {
    let people = notes.courses.values().filter(|course| course.is_of_people());
    let times = people.flat_map(|course| course.copies.iter().map(|(_, copy)| course.seconds(copy)));
    let mut times: Vec<_> = times.filter(|seconds| seconds.is_finite()).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// Buckets that double.
fn distribution(took: &[f64]) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    let (mut up_to, mut done) = (0.0625, 0);
    while done < took.len() {
        let end = took.partition_point(|time| *time <= up_to);
        buckets.push(Bucket { up_to, count: (end - done) as u64 });
        done = end;
        up_to *= 2.0;
    }
    buckets
}

/// Those that never arrived, then those that took longest.
fn worst(notes: &Notes) -> Vec<Worst> {
    let people = notes.courses.iter().filter(|(_, course)| course.is_of_people());
    let copies = people.flat_map(|(journey, course)| {
        course.copies.iter().map(move |(to, copy)| (course.seconds(copy), journey, course, to, copy))
    });
    let mut copies: Vec<_> = copies.collect();
    copies.sort_by(|one, other| other.0.total_cmp(&one.0));
    copies.truncate(WORST_MAX);
    let told = copies.into_iter().map(|(took, journey, course, to, copy)| Worst {
        journey: *journey,
        recipient: to.clone(),
        fate: match (took.is_finite(), &copy.reason) {
            (true, _) => format!("arrived after {}", super::report::human(took)),
            (false, Some(reason)) if copy.failed != 0 => format!("given up: {reason}"),
            (false, Some(reason)) => format!("waiting: {reason}"),
            (false, None) => "waiting".to_owned(),
        },
        events: course.story().to_vec(),
    });
    told.collect()
}

/// Tasks of this runtime: each connection, session and attempt is one.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
