//! `postroad bench imap`: performance of an IMAP server, this one or another.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::figure::{Figure, Figures, MIN_MESSAGE_BYTES, RARE_SUBJECT, RARE_TEXT, check_length, message, repeat};
use super::target::{Service, Target, TargetArgs};
use super::wire::Imap;
use crate::world::Rng;

/// The mailbox for reading.
const READ_MAILBOX: &str = "Bench";
/// The mailbox for APPEND.
const APPEND_MAILBOX: &str = "BenchAside";
/// The metadata with which clients list a mailbox.
const METADATA: &str = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)";
const BODIES: &str = "FETCH 1:* (BODY.PEEK[])";
/// `* 1 FETCH (FLAGS ())` and its line end; the shortest metadata of a message.
const MIN_FLAGS_BYTES: usize = 23;
const MIN_METADATA_BYTES: usize = 300;
/// Messages that are written before they are appended one by one.
const APPEND_BATCH: u32 = 100;
/// Connections that fill the mailbox.
const WRITERS: u32 = 10;
const READERS: usize = 4;
const FIRST_SELECT: &str = "first SELECT after a start";
/// Number of concurrent logins.
const MAX_CONCURRENT_LOGINS: usize = 100;

/// Measures an IMAP server with a mailbox of 4 KiB messages. Without --target, starts a server of this program in its own
/// process with a temporary folder.
#[derive(Debug, Args)]
pub(super) struct ImapBench {
    #[command(flatten)]
    args: TargetArgs,
    /// Also measures this many connections in IDLE: memory of each, and the time until all are notified of a message.
    #[arg(long, value_name = "N")]
    idle: Option<usize>,
}

impl ImapBench {
    /// Finds or starts the server, measures each wanted case on it and prints the figures. Deletes the two mailboxes at
    /// the end, unless it restarts its own server for the first SELECT. The exit code is 0.
    ///
    /// # Errors
    /// The server does not start, is unreachable, or refuses a command.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut target = self.args.find(Service::Imap, None).await?;
        let mut figures = self.args.figures();
        self.fill(&target, &mut figures).await?;
        self.read(&target, &mut figures).await?;
        self.change(&target, &mut figures).await?;
        if let Some(count) = self.idle {
            measure_idle(&target, count, &mut figures).await?;
        }
        if figures.wants(FIRST_SELECT) && target.restart().await? {
            first_select(&target, &mut figures).await?;
        } else {
            let mut imap = Imap::open(&target, 0).await?;
            imap.command(&format!("DELETE {READ_MAILBOX}")).await?;
            imap.command(&format!("DELETE {APPEND_MAILBOX}")).await?;
        }
        if self.args.json {
            println!("{}", serde_json::to_string_pretty(&figures.list)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Deletes both mailboxes and creates them anew. Measures APPEND over one connection, to the second mailbox, if
    /// wanted, and in any case over ten, which fill the first.
    async fn fill(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let mut imap = Imap::open(target, 0).await?;
        for mailbox in [READ_MAILBOX, APPEND_MAILBOX] {
            // The mailbox may not exist.
            let _ = imap.command(&format!("DELETE {mailbox}")).await;
            imap.command(&format!("CREATE {mailbox}")).await?;
        }
        if figures.wants("APPEND") {
            let (appended, elapsed) = self.append(&mut imap).await?;
            figures.rate("APPEND", "messages/s", f64::from(appended), elapsed);
        }
        let began = Instant::now();
        let writers = (0..WRITERS).map(|writer| append(target, writer, self.args.messages));
        try_join_all(writers).await?;
        figures.rate("APPEND, 10 connections", "messages/s", f64::from(self.args.messages), began.elapsed());
        Ok(())
    }

    /// Appends one message after the other to the second mailbox, in batches, until `--time` has passed without the
    /// first batch, which warms up. Returns the number and the time of the others.
    async fn append(&self, imap: &mut Imap) -> anyhow::Result<(u32, Duration)> {
        let (rng, count) = (Rng::from_entropy(), APPEND_BATCH.min(self.args.messages));
        let (mut appended, mut elapsed) = (0, Duration::ZERO);
        loop {
            let messages: Vec<_> = (0..count).map(|number| message(appended + number, &rng)).collect();
            let began = Instant::now();
            for message in &messages {
                imap.append(APPEND_MAILBOX, message).await?;
            }
            if appended != 0 {
                elapsed += began.elapsed();
            }
            appended += count;
            if self.args.time <= elapsed {
                return Ok((appended - count, elapsed));
            }
        }
    }

    /// Measures the wanted cases of FETCH, over one and over four connections, and of SEARCH on the filled mailbox.
    async fn read(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let (messages, time) = (self.args.messages as usize, self.args.time);
        let mut imap = open_selected(target).await?;
        for (what, command, least) in [
            ("FETCH 1:* FLAGS", "FETCH 1:* (FLAGS)", MIN_FLAGS_BYTES),
            ("FETCH 1:* metadata", METADATA, MIN_METADATA_BYTES),
            ("FETCH 1:* BODY.PEEK[]", BODIES, MIN_MESSAGE_BYTES),
        ] {
            if figures.wants(what) {
                let fetch = async || check_length(messages, least, imap.command(command).await?);
                let (rounds, elapsed) = repeat(time, fetch).await?;
                figures.rate(what, "messages/s", messages as f64 * f64::from(rounds), elapsed);
            }
        }
        let what = "FETCH 1:* BODY.PEEK[], 4 connections";
        if figures.wants(what) {
            let mut readers = try_join_all((0..READERS).map(|_| open_selected(target))).await?;
            let (rounds, elapsed) = repeat(time, async || {
                let answers = try_join_all(readers.iter_mut().map(|imap| imap.command(BODIES))).await?;
                answers.into_iter().try_for_each(|bytes| check_length(messages, MIN_MESSAGE_BYTES, bytes))
            })
            .await?;
            figures.rate(what, "messages/s", (messages * READERS) as f64 * f64::from(rounds), elapsed);
        }
        for (what, key, text) in [("SEARCH SUBJECT", "SUBJECT", RARE_SUBJECT), ("SEARCH TEXT", "TEXT", RARE_TEXT)] {
            if figures.wants(what) {
                let command = format!("SEARCH {key} {text}");
                let (rounds, elapsed) = repeat(time, async || imap.command(&command).await.map(drop)).await?;
                figures.add(Figure::new(what, "ms", "less", elapsed.as_secs_f64() * 1e3 / f64::from(rounds)));
            }
        }
        let what = "FETCH of a random message";
        if figures.wants(what) {
            let rng = Rng::from_entropy();
            let (rounds, elapsed) = repeat(time, async || {
                let number = rng.below(messages as u64) + 1;
                check_length(1, MIN_MESSAGE_BYTES, imap.command(&format!("FETCH {number} (BODY.PEEK[])")).await?)
            })
            .await?;
            figures.rate(what, "messages/s", rounds.into(), elapsed);
        }
        Ok(())
    }

    /// Measures, if wanted, STORE, which sets and clears `\Flagged` in turn on all messages, and sessions from login to
    /// logout.
    async fn change(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        if figures.wants("STORE 1:*") {
            let mut imap = open_selected(target).await?;
            let mut sign = ['+', '-'].into_iter().cycle();
            let (rounds, elapsed) = repeat(self.args.time, async || {
                let sign = sign.next().unwrap_or('+');
                imap.command(&format!("STORE 1:* {sign}FLAGS.SILENT (\\Flagged)")).await.map(drop)
            })
            .await?;
            figures.rate("STORE 1:*", "messages/s", f64::from(self.args.messages) * f64::from(rounds), elapsed);
        }
        if figures.wants("login to logout") {
            let visit = async || Imap::open(target, 0).await?.command("LOGOUT").await.map(drop);
            let (rounds, elapsed) = repeat(self.args.time, visit).await?;
            figures.rate("login to logout", "sessions/s", rounds.into(), elapsed);
        }
        Ok(())
    }
}

/// Fills the mailbox for reading over one of ten connections: appends the messages `writer`, `writer` + 10 and so on,
/// below `messages`.
async fn append(target: &Target, writer: u32, messages: u32) -> anyhow::Result<()> {
    let mut imap = Imap::open(target, 0).await?;
    let rng = Rng::from_entropy();
    for number in (writer..messages).step_by(WRITERS as usize) {
        imap.append(READ_MAILBOX, &message(number, &rng)).await?;
    }
    Ok(())
}

/// Opens a new connection as the first user, and returns it with the mailbox for reading selected.
async fn open_selected(target: &Target) -> anyhow::Result<Imap> {
    let mut imap = Imap::open(target, 0).await?;
    imap.command(&format!("SELECT {READ_MAILBOX}")).await?;
    Ok(imap)
}

/// Measures the first SELECT of the mailbox for reading after a restart, without the login, and adds the figure.
async fn first_select(target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
    let mut imap = Imap::open(target, 0).await?;
    let began = Instant::now();
    imap.command(&format!("SELECT {READ_MAILBOX}")).await?;
    figures.add(Figure::new(FIRST_SELECT, "ms", "less", began.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

/// Opens `count` connections in IDLE, and adds two figures: the memory that the server takes for each but the first,
/// which loads the mailbox (left out where memory cannot be measured), and the time from the end of an APPEND until all
/// are notified.
async fn measure_idle(target: &Target, count: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut writer = Imap::open(target, 0).await?;
    // The first connection loads the mailbox.
    let mut waiting = vec![open_idle(target).await?];
    let memory = || target.processes.usage().map(|usage| usage.resident);
    let before = memory();
    while waiting.len() < count {
        let more = MAX_CONCURRENT_LOGINS.min(count - waiting.len());
        waiting.extend(try_join_all((0..more).map(|_| open_idle(target))).await?);
    }
    if let (Some(before), Some(after)) = (before, memory()) {
        let each = after.saturating_sub(before) as f64 / 1024.0 / (waiting.len() - 1).max(1) as f64;
        figures.add(Figure::new(&format!("memory of each of {count} in IDLE"), "KiB", "less", each));
    }
    let message = message(1, &Rng::from_entropy());
    writer.append(READ_MAILBOX, &message).await?;
    let began = Instant::now();
    tokio::select! {
        notified = try_join_all(waiting.iter_mut().map(Imap::wait_for_message)) => drop(notified?),
        never = busy_loop() => match never {},
    }
    let elapsed: Duration = began.elapsed();
    let what = format!("after APPEND, until {count} in IDLE are notified");
    figures.add(Figure::new(&what, "ms", "less", elapsed.as_secs_f64() * 1e3));
    Ok(())
}

/// Yields to other tasks for ever and never returns, which keeps the thread busy, so that the time to wake the thread
/// is not part of the measurement.
async fn busy_loop() -> Infallible {
    loop {
        tokio::task::yield_now().await;
    }
}

/// Opens a new connection as the first user, and returns it in IDLE on the mailbox for reading.
async fn open_idle(target: &Target) -> anyhow::Result<Imap> {
    let mut imap = open_selected(target).await?;
    imap.idle().await?;
    Ok(imap)
}
