//! `postroad run`: starts a world and sends messages through it once.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::common::{self, Endpoint, duration};
use super::http_access::HttpCredentials;
use super::table;
use crate::control::{self, Client};
use crate::host::{DataDir, Environment, PublicPorts, RunningWorld};
use crate::journey::{EventLog, Protocol};
use crate::mail::Address;
use crate::mua::{Draft, Source, read_sources};
use crate::net::Net;
use crate::roundtrip::{self, Plan, Progress, Report};
use crate::store::Store;
use crate::world::{Clock, Rng, World};

/// Events kept during a run: enough for about a hundred thousand messages.
const MAX_EVENTS: usize = 2_000_000;
/// How long events of other processes may take to arrive.
const EVENT_DELAY: Duration = Duration::from_millis(300);
/// The largest number of messages with a table each; more are summarized.
const MAX_TABLES: usize = 3;

/// Sends messages through the world once: starts it, submits, traces each hop, fetches over POP3 and IMAP and compares.
///
/// Exits with 0 only if every message arrived exactly once and intact over both protocols.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// A world file. Default: the built-in world.
    #[arg(env = "POSTROAD_WORLD")]
    world: Option<PathBuf>,
    /// Messages to send instead of a sample: a message file, an mbox, or a folder of these.
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    mail: Vec<PathBuf>,
    /// The sender, a user of the world.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Address>,
    /// The recipient.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,
    /// Starts no hosts: sends through hosts started by `postroad host`, and reads their events from this collector. Run it on
    /// the machine of the world's MUA.
    #[arg(long, value_name = "HOST:PORT", requires = "authority", env = "POSTROAD_COLLECTOR")]
    join: Option<Endpoint>,
    /// The folder of the certificate authority shared by those hosts.
    #[arg(long, value_name = "FOLDER", requires = "join", env = "POSTROAD_AUTHORITY")]
    authority: Option<PathBuf>,
    #[command(flatten)]
    credentials: HttpCredentials,
    /// Print the protocol transcript of each hop.
    #[arg(long)]
    transcript: bool,
    /// Timeout for the arrival of all messages.
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = duration)]
    timeout: Duration,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Run {
    /// Sends the messages through the world, in this process or with `--join` in others, fetches them, and prints the
    /// report. The exit code is 0 only if every message arrived exactly once and intact over both protocols, else 1.
    ///
    /// # Errors
    /// A file cannot be read, the world does not start, or a server refuses the user.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let world = common::world(self.world.as_deref())?;
        let (clock, rng) = (Clock::wall(), Rng::from_entropy());
        let plan = self.plan(&world, clock, &rng)?;
        let event_log = EventLog::new(clock, MAX_EVENTS, self.transcript || self.json);
        let report = match (&self.join, &self.authority) {
            (Some(collector), Some(authority)) => {
                let authority = Arc::new(DataDir::authority_in(authority, &world, clock)?);
                let (net, store) = (Net::sockets(), Store::in_memory(&[])?);
                let env = Environment {
                    net,
                    store,
                    catalogue: None,
                    clock,
                    rng,
                    event_log,
                    authority,
                    world: Arc::new(world),
                };
                self.join(&env, collector, plan).await?
            }
            _ => {
                let folder = tempfile::Builder::new().prefix("postroad-").tempdir()?;
                let data = DataDir::open(folder.path())?;
                let authority = Arc::new(data.authority(&world, clock)?);
                let (net, store) = (Net::loopback(world.addresses()), data.store()?);
                self.alone(
                    Environment {
                        net,
                        store,
                        catalogue: None,
                        clock,
                        rng,
                        event_log,
                        authority,
                        world: Arc::new(world),
                    },
                    plan,
                )
                .await?
            }
        };
        if self.json {
            println!(
                "{}",
                serde_json::to_string_pretty(&serde_json::json!({ "intact": report.is_intact(), "report": report }))?
            );
        } else {
            print!("{}", table::report(&report, MAX_TABLES, self.transcript));
        }
        Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Starts all hosts in this process without public ports, sends and fetches the messages, and stops the hosts.
    async fn alone(&self, env: Environment, plan: Plan) -> anyhow::Result<Report> {
        let running = RunningWorld::start(env, PublicPorts::none()).await?;
        let report = travel(&running.env, plan).await;
        running.stop().await;
        report
    }

    /// Sends and fetches the messages through the hosts of other processes, and follows their events at the collector.
    /// Waits [`EVENT_DELAY`] for the last of these, and updates the report.
    async fn join(&self, env: &Environment, collector: &Endpoint, plan: Plan) -> anyhow::Result<Report> {
        let collector =
            Client::new(env.net.interface(&[]), &collector.host, collector.port, self.credentials.of_client()?);
        let news = control::follow_events(env.event_log.clone(), collector).await?;
        let report = async {
            let mut report = travel(env, plan).await?;
            // The last events may still be in transit.
            tokio::time::sleep(EVENT_DELAY).await;
            report.refresh(&env.event_log);
            anyhow::Ok(report)
        };
        tokio::select! {
            biased;
            report = report => report,
            () = news => anyhow::bail!("the collector has no more events"),
        }
    }

    /// What to send: the messages of `--mail` or a sample, from `--from` to `--to`, for which the world file has
    /// defaults. A world without these, and a sender who is no user of the world, are errors.
    fn plan(&self, world: &World, clock: Clock, rng: &Rng) -> anyhow::Result<Plan> {
        let default = || world.message.clone();
        let (Some(from), Some(to)) = (
            self.from.clone().or_else(|| default().map(|(from, _)| from)),
            self.to.clone().or_else(|| default().map(|(_, to)| to)),
        ) else {
            anyhow::bail!("this world has no users; declare some under [domains], or use --from and --to");
        };
        anyhow::ensure!(world.has_mailbox(&from), "{from} is not a user of this world; `postroad check` lists them");
        let mut sources = Vec::new();
        for path in &self.mail {
            sources.extend(read_sources(path)?);
        }
        if self.mail.is_empty() {
            sources.push(sample(&from, &to, clock, rng)?);
        }
        Ok(Plan { from, to, sources, timeout: self.timeout })
    }
}

/// Sends the messages through the running world and fetches them, with a progress bar on standard error; returns the
/// report.
async fn travel(env: &Environment, plan: Plan) -> anyhow::Result<Report> {
    let bar = Bar::new(plan.sources.len());
    let report = roundtrip::run(env, plan, |progress| bar.show(progress)).await;
    bar.finish();
    Ok(report?)
}

/// Composes a short sample message, dated now.
fn sample(from: &Address, to: &Address, clock: Clock, rng: &Rng) -> anyhow::Result<Source> {
    let draft = Draft {
        from: from.clone(),
        to: vec![to.clone()],
        cc: Vec::new(),
        subject: "A message by the post road".to_owned(),
        text: "Dear friend,\n\nthis message has been relayed from server to server, and each has added a Received field.\n\
               Read these fields from the bottom up to follow the route.\n\nYours\n"
            .to_owned(),
        attachments: Vec::new(),
        date: clock.now(),
        id: format!("{:016x}", rng.next_u64()),
    };
    Ok(Source { name: "sample message".to_owned(), message: draft.write()?.into(), normalized: false })
}

/// A progress bar for each phase, on a terminal only.
struct Bar {
    bar: ProgressBar,
    total: usize,
}

impl Bar {
    fn new(total: usize) -> Self {
        let style = ProgressStyle::with_template("{msg:28} {wide_bar:.cyan} {pos}/{len} {elapsed}");
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, total }
    }

    /// Sets the bar to the phase of `progress` and the number of messages that have passed that phase.
    fn show(&self, progress: Progress) {
        let (what, count) = match progress {
            Progress::Submitted(count) => ("submitting", count),
            Progress::Settled(count) => ("in transit", count),
            Progress::Fetched(Protocol::Pop3, count) => ("fetching over POP3", count),
            Progress::Fetched(_, count) => ("fetching over IMAP", count),
        };
        self.bar.set_message(what);
        self.bar.set_position(count.min(self.total) as u64);
    }

    /// Removes the bar from the terminal.
    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
