//! `postroad bench http`: how soon the HTTP interface answers, and what memory it takes, with many messages in the catalogue.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::time::{Instant, sleep};

use super::figure::{Figure, Figures, RARE_SUBJECT, RARE_TEXT, message};
use crate::bench::Processes;
use crate::catalogue::{self, Arrival, Catalogue};
use crate::control::{self, Access, Client};
use crate::host::{DataDir, Environment, PublicPorts, RunningWorld};
use crate::journey::{EventKind, EventLog, Protocol};
use crate::mail::{Address, Envelope, JourneyId, Message};
use crate::mua::{ClientContext, Security, Server, Submitter};
use crate::net::{Net, Trust};
use crate::store::{Error, Transaction};
use crate::world::{Clock, Rng, Service, World};

/// Messages of one commit.
const BATCH: u32 = 500;
/// Events in memory, as in `postroad serve`.
const MAX_EVENTS: usize = 50_000;
/// How long a request waits before the message that it waits for is sent.
const HEAD_START: Duration = Duration::from_millis(20);

/// Measures the HTTP interface of a world in this process with many messages, which are stored directly, and a journey for
/// each: the median time of a request on a connection of its own, how soon who waits for a message has it, and the memory.
#[derive(Debug, Args)]
pub(super) struct HttpBench {
    /// Number of 4 KiB messages.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000))]
    messages: u32,
    /// Requests of each kind.
    #[arg(long, value_name = "N", default_value_t = 51, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    requests: u32,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

impl HttpBench {
    /// Starts a world in this process, measures it and stops it; prints each figure once it is measured, or with
    /// `--json` all at the end. The exit code is 0.
    ///
    /// # Errors
    /// The world does not start, or a request fails.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut figures = Figures { quiet: self.json, ..Figures::default() };
        let folder = tempfile::Builder::new().prefix("postroad-bench-").tempdir()?;
        let running = start(folder.path()).await?;
        let measured = self.measure(&running, &mut figures).await;
        running.stop().await;
        measured?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&figures.list)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Fills and indexes the catalogue, then measures requests of each kind, the wait for a message, and the memory of
    /// each message, which is left out where it cannot be measured; adds the figures.
    async fn measure(&self, running: &RunningWorld, figures: &mut Figures) -> anyhow::Result<()> {
        let processes = Processes::new(vec![std::process::id()]);
        let resident = || processes.usage().map(|usage| usage.resident);
        let before = resident();
        let began = Instant::now();
        let newest = fill(running, self.messages).await?;
        figures.rate("stored", "messages/s", self.messages.into(), began.elapsed());
        let began = Instant::now();
        let catalogue = running.env.catalogue.as_ref().context("the world has a catalogue")?;
        catalogue.index().await?;
        figures.rate("indexed", "messages/s", self.messages.into(), began.elapsed());

        let at = running.bound_ports().get(&Service::Http).context("the world has an HTTP port")?;
        let client = Client::new(Net::sockets().interface(&[]), &at.ip().to_string(), at.port(), None);
        let half = self.messages / 2;
        for (what, path) in [
            ("a page of the list", "/api/v1/messages".to_owned()),
            ("a page in the middle of the list", format!("/api/v1/messages?start={half}")),
            ("search for a word of 1 %", format!("/api/v1/search?query={RARE_TEXT}")),
            ("search for a word of all", "/api/v1/search?query=report".to_owned()),
            ("newest match", format!("/api/v1/message/latest?query=subject:{RARE_SUBJECT}")),
            ("a message", format!("/api/v1/message/{newest}")),
            ("a page of journeys", "/api/v1/journeys".to_owned()),
            ("a journey", format!("/api/v1/journeys/{newest}")),
        ] {
            figures.add(Figure::new(what, "ms", "less", self.median_ms(&client, &path).await?));
        }
        let waited = self.median_wait_ms(running, &client).await?;
        figures.add(Figure::new("from an acceptance to who waits for it", "ms", "less", waited));
        if let (Some(before), Some(after)) = (before, resident()) {
            let each = after.saturating_sub(before) as f64 / f64::from(self.messages);
            figures.add(Figure::new("memory of each message", "bytes", "less", each));
        }
        Ok(())
    }

    /// The median time of a GET of this path, in milliseconds, after one that warms up. An answer of at most 200 bytes
    /// to that one is an error, since it must be empty.
    async fn median_ms(&self, client: &Client, path: &str) -> anyhow::Result<f64> {
        // Warms up.
        let answer = client.bytes(path).await?;
        anyhow::ensure!(200 < answer.len(), "the answer of {path} is empty");
        let mut times = Vec::new();
        for _ in 0..self.requests {
            let began = Instant::now();
            client.bytes(path).await?;
            times.push(began.elapsed());
        }
        Ok(median_ms(times))
    }

    /// The median time from the acceptance of a message over SMTP to the answer of a request that waits for it, in
    /// milliseconds; a request that is answered before the acceptance counts as 0.
    async fn median_wait_ms(&self, running: &RunningWorld, client: &Client) -> anyhow::Result<f64> {
        let at = *running.bound_ports().get(&Service::Smtp).context("the world has an SMTP port")?;
        let context = ClientContext {
            interface: Net::sockets().interface(&[]),
            trust: Trust::any_certificate(running.env.clock),
            hello: "localhost".to_owned(),
            transcripts: false,
        };
        let server = Server { name: "localhost".to_owned(), addresses: vec![at], security: Security::Plain };
        let mut submitter = Submitter::connect(&context, &server, None).await?;
        let envelope = Envelope {
            reverse_path: Some("me@163.test".parse()?),
            recipients: vec!["friend@sina.test".parse::<Address>()?.into()],
            ..Envelope::default()
        };
        let mut times = Vec::new();
        for number in 0..self.requests {
            let path = format!("/api/v1/message/latest?query=subject:awaited{number}x&wait=30s");
            let message = Message::new(format!("Subject: awaited{number}x\r\n\r\nx\r\n").into_bytes().into());
            let waiting = async {
                client.bytes(&path).await?;
                anyhow::Ok(Instant::now())
            };
            let sending = async {
                sleep(HEAD_START).await;
                submitter.submit(envelope.clone(), &message).await?;
                anyhow::Ok(Instant::now())
            };
            let (answered, accepted) = tokio::try_join!(waiting, sending)?;
            times.push(answered.saturating_duration_since(accepted));
        }
        submitter.quit().await;
        Ok(median_ms(times))
    }
}

/// The median in milliseconds, the upper one of an even number. Panics without any times.
fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Starts the built-in world in this process on free ports, with its data in `folder`, and serves its HTTP interface,
/// which everybody may use.
async fn start(folder: &Path) -> anyhow::Result<Arc<RunningWorld>> {
    let (world, data, clock) = (Arc::new(World::journey()), DataDir::open(folder)?, Clock::wall());
    let store = data.store()?;
    let env = Environment {
        net: Net::loopback(world.addresses()),
        event_log: EventLog::stored(store.clone(), clock, MAX_EVENTS, true)?,
        catalogue: Some(Catalogue::new(store.clone())),
        store,
        clock,
        rng: Rng::seeded(1),
        authority: Arc::new(data.authority(&world, clock)?),
        world,
    };
    let ports = PublicPorts::free(&env.world.ports, Ipv4Addr::LOCALHOST.into());
    let mut running = RunningWorld::start(env, ports).await?;
    let listener = running.bind_public(Service::Http).await?.context("the world has an HTTP port")?;
    let running = Arc::new(running);
    running.spawn(control::serve(listener, running.clone(), Access::default(), running.stopping()));
    Ok(running)
}

/// Stores `count` messages in the catalogue, and events of a journey for each, without SMTP and mailboxes; returns the
/// id of the newest.
async fn fill(running: &RunningWorld, count: u32) -> anyhow::Result<JourneyId> {
    let (rng, clock) = (Rng::seeded(2), running.env.clock);
    let (from, to): (Address, Address) = ("me@163.test".parse()?, "friend@sina.test".parse()?);
    let (first, last) = (running.env.event_log.emitter("mta-163"), running.env.event_log.emitter("mda-sina"));
    let mut newest = JourneyId::from_random(0);
    for start in (0..count).step_by(BATCH as usize) {
        let mut arrivals = Vec::new();
        for number in start..count.min(start + BATCH) {
            let journey = JourneyId::from_random(rng.next_u64());
            let message = Message::new(message(number, &rng).into());
            let (recipients, reverse_path) = (vec![to.clone()], Some(from.clone()));
            let received = EventKind::Received {
                protocol: Protocol::Smtp,
                from: "localhost [127.0.0.1]".to_owned(),
                reverse_path: reverse_path.clone(),
                recipients: recipients.clone(),
                size: message.len(),
                tls: None,
                user: None,
                took_ms: 0.0,
                session: None,
            };
            first.report(journey, None, received, None);
            let (recipient, account, mailbox) = (to.clone(), to.key(), "INBOX".to_owned());
            last.report(journey, None, EventKind::Delivered { recipient, account, mailbox, uid: number + 1 }, None);
            let (addresses, arrived) = ([to.key()].into(), clock.now());
            arrivals.push(Arrival { journey, reverse_path, recipients, addresses, login: None, message, arrived });
            newest = journey;
        }
        let insert = move |transaction: &Transaction<'_>| {
            arrivals.iter().try_for_each(|arrival| catalogue::insert(transaction, arrival).map(drop))
        };
        running.env.store.write::<(), Error, _>(insert).await?;
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn http_bench_of_few_messages_has_every_figure() {
        let folder = tempfile::tempdir().unwrap();
        let running = start(folder.path()).await.unwrap();
        let mut figures = Figures { quiet: true, ..Figures::default() };
        let bench = HttpBench { messages: 300, requests: 1, json: true };
        bench.measure(&running, &mut figures).await.unwrap();
        assert!(10 < figures.list.len() && figures.list.iter().all(|figure| figure.value.is_finite()));
        running.stop().await;
    }
}
