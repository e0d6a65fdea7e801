//! `postroad bench imap`: how fast an IMAP server answers, ours or any other.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::figure::{Figure, Figures, LETTER_OCTETS_MIN, RARE_SUBJECT, RARE_TEXT, letter, repeat, whole};
use super::target::{Aim, Service, Target};
use super::wire::Imap;
use crate::world::Dice;

/// The mailbox that is made for it.
const MAILBOX: &str = "Bench";
/// Where APPEND is measured.
const ASIDE: &str = "BenchAside";
/// Everything that a client lists a mailbox with.
const METADATA: &str = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)";
const BODIES: &str = "FETCH 1:* (BODY.PEEK[])";
/// `* 1 FETCH (FLAGS ())` and its line end; the shortest metadata of a letter.
const FLAGS_OCTETS_MIN: usize = 23;
const METADATA_OCTETS_MIN: usize = 300;
/// Letters that are written before they are appended one by one.
const APPENDS: u32 = 100;
/// Connections that fill the mailbox.
const WRITERS: u32 = 10;
const READERS: usize = 4;
const FIRST_SELECT: &str = "first SELECT after a start";
/// Connections that log in at once, where many are needed.
const LOGINS_AT_ONCE: usize = 100;

/// How fast an IMAP server answers: what clients ask of a mailbox of 4 KiB messages. Without --target, ours, in a
/// process and a folder of its own.
#[derive(Debug, Args)]
pub(super) struct ImapBench {
    #[command(flatten)]
    aim: Aim,
    /// Also so many connections in IDLE: the memory of each, and the time until all are told of a message.
    #[arg(long, value_name = "N")]
    idle: Option<usize>,
}

impl ImapBench {
    /// Does it.
    ///
    /// # Errors
    /// The server does not start, cannot be reached, or does not do what it is asked.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut target = self.aim.find(Service::Imap, None).await?;
        let mut figures = self.aim.figures();
        self.fill(&target, &mut figures).await?;
        self.read(&target, &mut figures).await?;
        self.change(&target, &mut figures).await?;
        if let Some(count) = self.idle {
            idle(&target, count, &mut figures).await?;
        }
        if figures.wants(FIRST_SELECT) && target.restart().await? {
            first_select(&target, &mut figures).await?;
        } else {
            let mut imap = Imap::open(&target, 0).await?;
            imap.say(&format!("DELETE {MAILBOX}")).await?;
            imap.say(&format!("DELETE {ASIDE}")).await?;
        }
        if self.aim.json {
            println!("{}", serde_json::to_string_pretty(&figures.list)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// APPEND, over one connection and over ten.
    async fn fill(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let mut imap = Imap::open(target, 0).await?;
        for mailbox in [MAILBOX, ASIDE] {
            // There may be none.
            let _ = imap.say(&format!("DELETE {mailbox}")).await;
            imap.say(&format!("CREATE {mailbox}")).await?;
        }
        if figures.wants("APPEND") {
            let (appended, took) = self.append(&mut imap).await?;
            figures.rate("APPEND", "messages/s", f64::from(appended), took);
        }
        let began = Instant::now();
        let writers = (0..WRITERS).map(|writer| append(target, writer, self.aim.messages));
        try_join_all(writers).await?;
        figures.rate("APPEND, 10 connections", "messages/s", f64::from(self.aim.messages), began.elapsed());
        Ok(())
    }

    /// One letter after the other for a time, behind some that warm up.
    async fn append(&self, imap: &mut Imap) -> anyhow::Result<(u32, Duration)> {
        let (dice, count) = (Dice::from_entropy(), APPENDS.min(self.aim.messages));
        let (mut appended, mut took) = (0, Duration::ZERO);
        loop {
            let letters: Vec<_> = (0..count).map(|number| letter(appended + number, &dice)).collect();
            let began = Instant::now();
            for letter in &letters {
                imap.append(ASIDE, letter).await?;
            }
            if appended != 0 {
                took += began.elapsed();
            }
            appended += count;
            if self.aim.time <= took {
                return Ok((appended - count, took));
            }
        }
    }

    async fn read(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let (messages, time) = (self.aim.messages as usize, self.aim.time);
        let mut imap = selected(target).await?;
        for (what, command, least) in [
            ("FETCH 1:* FLAGS", "FETCH 1:* (FLAGS)", FLAGS_OCTETS_MIN),
            ("FETCH 1:* metadata", METADATA, METADATA_OCTETS_MIN),
            ("FETCH 1:* BODY.PEEK[]", BODIES, LETTER_OCTETS_MIN),
        ] {
            if figures.wants(what) {
                let fetch = async || whole(messages, least, imap.say(command).await?);
                let (rounds, took) = repeat(time, fetch).await?;
                figures.rate(what, "messages/s", messages as f64 * f64::from(rounds), took);
            }
        }
        let what = "FETCH 1:* BODY.PEEK[], 4 connections";
        if figures.wants(what) {
            let mut readers = try_join_all((0..READERS).map(|_| selected(target))).await?;
            let (rounds, took) = repeat(time, async || {
                let answers = try_join_all(readers.iter_mut().map(|imap| imap.say(BODIES))).await?;
                answers.into_iter().try_for_each(|octets| whole(messages, LETTER_OCTETS_MIN, octets))
            })
            .await?;
            figures.rate(what, "messages/s", (messages * READERS) as f64 * f64::from(rounds), took);
        }
        for (what, key, text) in [("SEARCH SUBJECT", "SUBJECT", RARE_SUBJECT), ("SEARCH TEXT", "TEXT", RARE_TEXT)] {
            if figures.wants(what) {
                let command = format!("SEARCH {key} {text}");
                let (rounds, took) = repeat(time, async || imap.say(&command).await.map(drop)).await?;
                figures.add(Figure::new(what, "ms", "less", took.as_secs_f64() * 1e3 / f64::from(rounds)));
            }
        }
        let what = "FETCH of a random message";
        if figures.wants(what) {
            let dice = Dice::from_entropy();
            let (rounds, took) = repeat(time, async || {
                let number = dice.below(messages as u64) + 1;
                whole(1, LETTER_OCTETS_MIN, imap.say(&format!("FETCH {number} (BODY.PEEK[])")).await?)
            })
            .await?;
            figures.rate(what, "messages/s", rounds.into(), took);
        }
        Ok(())
    }

    async fn change(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        if figures.wants("STORE 1:*") {
            let mut imap = selected(target).await?;
            let mut sign = ['+', '-'].into_iter().cycle();
            let (rounds, took) = repeat(self.aim.time, async || {
                let sign = sign.next().unwrap_or('+');
                imap.say(&format!("STORE 1:* {sign}FLAGS.SILENT (\\Flagged)")).await.map(drop)
            })
            .await?;
            figures.rate("STORE 1:*", "messages/s", f64::from(self.aim.messages) * f64::from(rounds), took);
        }
        if figures.wants("login to logout") {
            let visit = async || Imap::open(target, 0).await?.say("LOGOUT").await.map(drop);
            let (rounds, took) = repeat(self.aim.time, visit).await?;
            figures.rate("login to logout", "sessions/s", rounds.into(), took);
        }
        Ok(())
    }
}

/// One of ten that fill the mailbox.
async fn append(target: &Target, writer: u32, messages: u32) -> anyhow::Result<()> {
    let mut imap = Imap::open(target, 0).await?;
    let dice = Dice::from_entropy();
    for number in (writer..messages).step_by(WRITERS as usize) {
        imap.append(MAILBOX, &letter(number, &dice)).await?;
    }
    Ok(())
}

async fn selected(target: &Target) -> anyhow::Result<Imap> {
    let mut imap = Imap::open(target, 0).await?;
    imap.say(&format!("SELECT {MAILBOX}")).await?;
    Ok(imap)
}

/// How long the first client waits that opens the mailbox after a start.
async fn first_select(target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
    let mut imap = Imap::open(target, 0).await?;
    let began = Instant::now();
    imap.say(&format!("SELECT {MAILBOX}")).await?;
    figures.add(Figure::new(FIRST_SELECT, "ms", "less", began.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

async fn idle(target: &Target, count: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut writer = Imap::open(target, 0).await?;
    // The first one opens the mailbox for all.
    let mut waiting = vec![waiter(target).await?];
    let memory = || target.processes.usage().map(|usage| usage.resident);
    let before = memory();
    while waiting.len() < count {
        let more = LOGINS_AT_ONCE.min(count - waiting.len());
        waiting.extend(try_join_all((0..more).map(|_| waiter(target))).await?);
    }
    if let (Some(before), Some(after)) = (before, memory()) {
        let each = after.saturating_sub(before) as f64 / 1024.0 / count as f64;
        figures.add(Figure::new(&format!("memory of each of {count} in IDLE"), "KiB", "less", each));
    }
    let letter = letter(1, &Dice::from_entropy());
    writer.append(MAILBOX, &letter).await?;
    let began = Instant::now();
    tokio::select! {
        told = try_join_all(waiting.iter_mut().map(Imap::told)) => drop(told?),
        never = stay_awake() => match never {},
    }
    let took: Duration = began.elapsed();
    let what = format!("after APPEND, until {count} in IDLE are told");
    figures.add(Figure::new(&what, "ms", "less", took.as_secs_f64() * 1e3));
    Ok(())
}

/// Keeps a thread from sleeping: a server does not wake the processors of clients elsewhere, so it need not wake ours.
async fn stay_awake() -> Infallible {
    loop {
        tokio::task::yield_now().await;
    }
}

async fn waiter(target: &Target) -> anyhow::Result<Imap> {
    let mut imap = selected(target).await?;
    imap.idle().await?;
    Ok(imap)
}
