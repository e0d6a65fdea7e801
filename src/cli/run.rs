//! `postroad run`: the whole journey, once.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::common::{self, Endpoint, duration};
use super::table;
use crate::control::{self, Client};
use crate::host::{Data, Doors, Ground, Running};
use crate::journey::{Journal, Protocol};
use crate::mail::Address;
use crate::mua::{Draft, Source, read_sources};
use crate::net::Net;
use crate::store::Store;
use crate::trip::{self, Plan, Progress, Report};
use crate::world::{Clock, Dice, World};

/// Events kept while a trip runs: enough for the steps of some hundred thousand messages.
const EVENTS_MAX: usize = 2_000_000;
/// How long events of other processes may take to come here.
const AFTERMATH: Duration = Duration::from_millis(300);
/// With more messages than this, each gets a line of the summary instead of a table.
const TABLES_MAX: usize = 3;

/// Runs the whole journey once: starts the world, sends, follows each hop, fetches over POP3 and IMAP, compares.
///
/// Exits with 0 only if every message arrived, once and intact, by both protocols.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// A world file; without it, the default world.
    #[arg(env = "POSTROAD_WORLD")]
    world: Option<PathBuf>,
    /// Send these messages instead of a sample letter: a file with one message, an mbox, or a folder of them.
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    mail: Vec<PathBuf>,
    /// Who sends; a user of the world.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Address>,
    /// Who shall get it.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,
    /// Start nothing: send through the hosts that `postroad host` runs elsewhere, and follow the letters by what this
    /// collector of theirs hears. Run it where the world's MUA is.
    #[arg(long, value_name = "HOST:PORT", requires = "authority", env = "POSTROAD_COLLECTOR")]
    join: Option<Endpoint>,
    /// The folder of the certificate authority that those hosts share.
    #[arg(long, value_name = "FOLDER", requires = "join", env = "POSTROAD_AUTHORITY")]
    authority: Option<PathBuf>,
    /// Show what was said on each hop.
    #[arg(long)]
    transcript: bool,
    /// How long all messages may take to arrive.
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = duration)]
    timeout: Duration,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Run {
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read, the world does not start, or its servers do not talk to the user.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let world = common::world(self.world.as_deref())?;
        let (clock, dice) = (Clock::wall(), Dice::from_entropy());
        let plan = self.plan(&world, clock, &dice)?;
        let journal = Journal::new(clock, EVENTS_MAX, self.transcript || self.json);
        let report = match (&self.join, &self.authority) {
            (Some(collector), Some(authority)) => {
                let authority = Arc::new(Data::authority_in(authority, &world, clock)?);
                let (net, store) = (Net::sockets(), Store::in_memory(&[])?);
                let ground = Ground { net, store, clock, dice, journal, authority, world: Arc::new(world) };
                self.join(&ground, collector, plan).await?
            }
            _ => {
                let folder = tempfile::Builder::new().prefix("postroad-").tempdir()?;
                let data = Data::open(folder.path())?;
                let authority = Arc::new(data.authority(&world, clock)?);
                let (net, store) = (Net::loopback(world.addresses()), data.store()?);
                self.alone(Ground { net, store, clock, dice, journal, authority, world: Arc::new(world) }, plan).await?
            }
        };
        if self.json {
            println!(
                "{}",
                serde_json::to_string_pretty(&serde_json::json!({ "intact": report.is_intact(), "report": report }))?
            );
        } else {
            print!("{}", table::report(&report, TABLES_MAX, self.transcript));
        }
        Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// With every host in this process.
    async fn alone(&self, ground: Ground, plan: Plan) -> anyhow::Result<Report> {
        let running = Running::start(ground, Doors::shut()).await?;
        let report = travel(&running.ground, plan).await;
        running.stop().await;
        report
    }

    /// With hosts that run elsewhere.
    async fn join(&self, ground: &Ground, collector: &Endpoint, plan: Plan) -> anyhow::Result<Report> {
        let collector = Client::new(ground.net.interface(&[]), &collector.host, collector.port);
        let news = control::follow_events(ground.journal.clone(), collector).await?;
        let report = async {
            let mut report = travel(ground, plan).await?;
            // The last steps are still on their way here.
            tokio::time::sleep(AFTERMATH).await;
            report.retell(&ground.journal);
            anyhow::Ok(report)
        };
        tokio::select! {
            biased;
            report = report => report,
            () = news => anyhow::bail!("the collector has no more news"),
        }
    }

    fn plan(&self, world: &World, clock: Clock, dice: &Dice) -> anyhow::Result<Plan> {
        let letter = || world.letter.clone();
        let (Some(from), Some(to)) = (
            self.from.clone().or_else(|| letter().map(|(from, _)| from)),
            self.to.clone().or_else(|| letter().map(|(_, to)| to)),
        ) else {
            anyhow::bail!(
                "this world has no users to send a letter; declare some under [domains], or name --from and --to"
            );
        };
        anyhow::ensure!(world.has_mailbox(&from), "{from} is no user of this world; `postroad check` lists them");
        let mut sources = Vec::new();
        for path in &self.mail {
            sources.extend(read_sources(path)?);
        }
        if self.mail.is_empty() {
            sources.push(sample(&from, &to, clock, dice)?);
        }
        Ok(Plan { from, to, sources, patience: self.timeout })
    }
}

async fn travel(ground: &Ground, plan: Plan) -> anyhow::Result<Report> {
    let bar = Bar::new(plan.sources.len());
    let report = trip::travel(ground, plan, |progress| bar.show(progress)).await;
    bar.finish();
    Ok(report?)
}

fn sample(from: &Address, to: &Address, clock: Clock, dice: &Dice) -> anyhow::Result<Source> {
    let draft = Draft {
        from: from.clone(),
        to: vec![to.clone()],
        cc: Vec::new(),
        subject: "A letter by the post road".to_owned(),
        text: "Dear friend,\n\nthis letter has travelled from server to server, and each has put its stamp on it.\n\
               Read the Received lines from the bottom up, and you see the way it took.\n\nYours\n"
            .to_owned(),
        attachments: Vec::new(),
        date: clock.now(),
        id: format!("{:016x}", dice.draw()),
    };
    Ok(Source { name: "sample letter".to_owned(), message: draft.write()?.into(), mended: false })
}

/// One bar for each part of the trip, on a terminal only.
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

    fn show(&self, progress: Progress) {
        let (what, count) = match progress {
            Progress::Submitted(count) => ("submitting", count),
            Progress::Settled(count) => ("travelling", count),
            Progress::Fetched(Protocol::Pop3, count) => ("fetching over POP3", count),
            Progress::Fetched(_, count) => ("fetching over IMAP", count),
        };
        self.bar.set_message(what);
        self.bar.set_position(count.min(self.total) as u64);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
