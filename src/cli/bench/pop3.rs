//! `postroad bench pop3`: how fast a POP3 server hands out mail, ours or any other.

use std::process::ExitCode;

use clap::Args;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::super::common::Endpoint;
use super::figure::{Figures, letter, repeat};
use super::target::{Aim, Service, Target};
use super::wire::{Imap, Pop3};
use crate::world::Dice;

/// Maildrops, one for each of the connections at once.
const MAILDROPS: usize = 4;
/// Commands on their way at once, where they are pipelined.
const PIPELINED: usize = 100;

/// How fast a POP3 server hands out mail: maildrops of 4 KiB messages, one command after the other, pipelined, and over
/// four connections. Without --target, ours, in a process and a folder of its own.
#[derive(Debug, Args)]
pub(super) struct Pop3Bench {
    #[command(flatten)]
    aim: Aim,
    /// The IMAP server behind --target, through which the maildrops are filled.
    #[arg(long, value_name = "HOST:PORT", requires = "target")]
    imap: Option<Endpoint>,
}

impl Pop3Bench {
    /// Does it.
    ///
    /// # Errors
    /// The server does not start, cannot be reached, or does not do what it is asked.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let target = self.aim.find(Service::Pop3, self.imap.as_ref()).await?;
        let mut figures = self.aim.figures();
        try_join_all((0..MAILDROPS).map(|user| fill(&target, user, self.aim.messages))).await?;
        let mut alone = Pop3::open(&target, 0).await?;
        for (what, at_once) in [("RETR", 1), ("RETR, pipelined", PIPELINED)] {
            if !figures.wants(what) {
                continue;
            }
            let all = 1..alone.messages + 1;
            let (rounds, took) = repeat(self.aim.time, async || alone.retrieve(all.clone(), at_once).await).await?;
            figures.rate(what, "messages/s", alone.messages as f64 * f64::from(rounds), took);
        }
        alone.say("QUIT").await?;
        self.together(&target, &mut figures).await?;
        if figures.wants("login to QUIT") {
            let visit = async || Pop3::open(&target, 0).await?.say("QUIT").await.map(drop);
            let (rounds, took) = repeat(self.aim.time, visit).await?;
            figures.rate("login to QUIT", "sessions/s", rounds.into(), took);
        }
        if self.aim.json {
            println!("{}", serde_json::to_string_pretty(&figures.list)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// RETR over several connections, each with a maildrop of its own.
    async fn together(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let what = "RETR, pipelined, 4 connections";
        if !figures.wants(what) {
            return Ok(());
        }
        let mut readers = try_join_all((0..MAILDROPS).map(|user| Pop3::open(target, user))).await?;
        let count: usize = readers.iter().map(|pop3| pop3.messages).sum();
        let (rounds, took) = repeat(self.aim.time, async || {
            let all = readers.iter_mut().map(|pop3| pop3.retrieve(1..pop3.messages + 1, PIPELINED));
            try_join_all(all).await.map(drop)
        })
        .await?;
        figures.rate(what, "messages/s", count as f64 * f64::from(rounds), took);
        for pop3 in &mut readers {
            pop3.say("QUIT").await?;
        }
        Ok(())
    }
}

/// Puts new letters into an INBOX, and takes out what was there.
async fn fill(target: &Target, user: usize, messages: u32) -> anyhow::Result<()> {
    let (mut imap, dice, began) = (Imap::open(target, user).await?, Dice::from_entropy(), Instant::now());
    imap.say("SELECT INBOX").await?;
    // An empty mailbox has no message 1.
    let _ = imap.say("STORE 1:* +FLAGS.SILENT (\\Deleted)").await;
    imap.say("EXPUNGE").await?;
    for number in 0..messages {
        imap.append("INBOX", &letter(number, &dice)).await?;
    }
    tracing::debug!(user, took = ?began.elapsed(), "a maildrop is filled");
    imap.say("LOGOUT").await.map(drop)
}
