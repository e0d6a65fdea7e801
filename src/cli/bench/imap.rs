//! `postroad bench imap`: how fast an IMAP server answers, ours or any other.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::figure::{Figure, Figures, RARE_SUBJECT, RARE_TEXT, letter, repeat};
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
/// Letters in the case of one APPEND at a time.
const APPENDS: u32 = 1_000;
/// Connections that fill the mailbox.
const WRITERS: u32 = 10;
const READERS: usize = 4;
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
        let mut figures = Figures { quiet: self.aim.json, ..Figures::default() };
        self.fill(&target, &mut figures).await?;
        self.read(&target, &mut figures).await?;
        self.change(&target, &mut figures).await?;
        if let Some(count) = self.idle {
            idle(&target, count, &mut figures).await?;
        }
        if target.restart().await? {
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
        let dice = Dice::from_entropy();
        let letters: Vec<String> = (0..APPENDS.min(self.aim.messages)).map(|number| letter(number, &dice)).collect();
        let began = Instant::now();
        for letter in &letters {
            imap.append(ASIDE, letter).await?;
        }
        figures.rate("APPEND", "messages/s", letters.len() as f64, began.elapsed());
        let began = Instant::now();
        let writers = (0..WRITERS).map(|writer| append(target, writer, self.aim.messages));
        try_join_all(writers).await?;
        figures.rate("APPEND, 10 connections", "messages/s", f64::from(self.aim.messages), began.elapsed());
        Ok(())
    }

    async fn read(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let (count, time) = (f64::from(self.aim.messages), self.aim.time);
        let mut imap = selected(target).await?;
        for (what, command) in [
            ("FETCH 1:* FLAGS", "FETCH 1:* (FLAGS)"),
            ("FETCH 1:* metadata", METADATA),
            ("FETCH 1:* BODY.PEEK[]", BODIES),
        ] {
            let (rounds, took) = repeat(time, async || imap.say(command).await).await?;
            figures.rate(what, "messages/s", count * f64::from(rounds), took);
        }
        let mut readers = try_join_all((0..READERS).map(|_| selected(target))).await?;
        let (rounds, took) =
            repeat(time, async || try_join_all(readers.iter_mut().map(|imap| imap.say(BODIES))).await.map(drop))
                .await?;
        let what = "FETCH 1:* BODY.PEEK[], 4 connections";
        figures.rate(what, "messages/s", count * READERS as f64 * f64::from(rounds), took);
        for (what, key, text) in [("SEARCH SUBJECT", "SUBJECT", RARE_SUBJECT), ("SEARCH TEXT", "TEXT", RARE_TEXT)] {
            let command = format!("SEARCH {key} {text}");
            let (rounds, took) = repeat(time, async || imap.say(&command).await).await?;
            figures.add(Figure::new(what, "ms", "less", took.as_secs_f64() * 1e3 / f64::from(rounds)));
        }
        let dice = Dice::from_entropy();
        let (rounds, took) = repeat(time, async || {
            let number = dice.below(self.aim.messages.into()) + 1;
            imap.say(&format!("FETCH {number} (BODY.PEEK[])")).await
        })
        .await?;
        figures.rate("FETCH of a random message", "messages/s", rounds.into(), took);
        Ok(())
    }

    async fn change(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let mut imap = selected(target).await?;
        let mut sign = ['+', '-'].into_iter().cycle();
        let (rounds, took) = repeat(self.aim.time, async || {
            let sign = sign.next().unwrap_or('+');
            imap.say(&format!("STORE 1:* {sign}FLAGS.SILENT (\\Flagged)")).await
        })
        .await?;
        figures.rate("STORE 1:*", "messages/s", f64::from(self.aim.messages) * f64::from(rounds), took);
        let (rounds, took) = repeat(self.aim.time, async || Imap::open(target, 0).await?.say("LOGOUT").await).await?;
        figures.rate("login to logout", "sessions/s", rounds.into(), took);
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
    figures.add(Figure::new("first SELECT after a start", "ms", "less", began.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

async fn idle(target: &Target, count: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut writer = Imap::open(target, 0).await?;
    // The first one opens the mailbox for all.
    let mut waiting = vec![waiter(target).await?];
    let before = target.memory();
    while waiting.len() < count {
        let more = LOGINS_AT_ONCE.min(count - waiting.len());
        waiting.extend(try_join_all((0..more).map(|_| waiter(target))).await?);
    }
    if let (Some(before), Some(after)) = (before, target.memory()) {
        let each = after.saturating_sub(before) as f64 / 1024.0 / count as f64;
        figures.add(Figure::new(&format!("memory of each of {count} in IDLE"), "KiB", "less", each));
    }
    let letter = letter(1, &Dice::from_entropy());
    writer.append(MAILBOX, &letter).await?;
    let began = Instant::now();
    try_join_all(waiting.iter_mut().map(Imap::told)).await?;
    let took: Duration = began.elapsed();
    let what = format!("after APPEND, until {count} in IDLE are told");
    figures.add(Figure::new(&what, "ms", "less", took.as_secs_f64() * 1e3));
    Ok(())
}

async fn waiter(target: &Target) -> anyhow::Result<Imap> {
    let mut imap = selected(target).await?;
    imap.idle().await?;
    Ok(imap)
}
