//! `postroad bench pop3`: performance of a POP3 server, this one or another.

use std::process::ExitCode;

use clap::Args;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::super::common::Endpoint;
use super::figure::{Figures, message, repeat};
use super::target::{Service, Target, TargetArgs};
use super::wire::{Imap, Pop3};
use crate::world::Rng;

/// Maildrops, one for each concurrent connection.
const MAILDROPS: usize = 4;
/// Number of pipelined commands.
const PIPELINED: usize = 100;

/// Measures a POP3 server with maildrops of 4 KiB messages: one command after the other, pipelined, and over four
/// connections. Without --target, starts a server of this program in its own process with a temporary folder.
#[derive(Debug, Args)]
pub(super) struct Pop3Bench {
    #[command(flatten)]
    args: TargetArgs,
    /// The IMAP server of --target, used to fill the maildrops.
    #[arg(long, value_name = "HOST:PORT", requires = "target")]
    imap: Option<Endpoint>,
}

impl Pop3Bench {
    /// Finds or starts the server, fills its maildrops over IMAP, measures each wanted case of RETR and of sessions,
    /// and prints the figures. The exit code is 0.
    ///
    /// # Errors
    /// The server does not start, is unreachable, or refuses a command.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let target = self.args.find(Service::Pop3, self.imap.as_ref()).await?;
        let mut figures = self.args.figures();
        try_join_all((0..MAILDROPS).map(|user| refill_inbox(&target, user, self.args.messages))).await?;
        let mut alone = Pop3::open(&target, 0).await?;
        for (what, at_once) in [("RETR", 1), ("RETR, pipelined", PIPELINED)] {
            if !figures.wants(what) {
                continue;
            }
            let all = 1..alone.messages + 1;
            let (rounds, elapsed) = repeat(self.args.time, async || alone.retrieve(all.clone(), at_once).await).await?;
            figures.rate(what, "messages/s", alone.messages as f64 * f64::from(rounds), elapsed);
        }
        alone.command("QUIT").await?;
        self.concurrent(&target, &mut figures).await?;
        if figures.wants("login to QUIT") {
            let visit = async || Pop3::open(&target, 0).await?.command("QUIT").await.map(drop);
            let (rounds, elapsed) = repeat(self.args.time, visit).await?;
            figures.rate("login to QUIT", "sessions/s", rounds.into(), elapsed);
        }
        if self.args.json {
            println!("{}", serde_json::to_string_pretty(&figures.list)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Measures pipelined RETR over four connections, each with its own maildrop, if that case is wanted.
    async fn concurrent(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let what = "RETR, pipelined, 4 connections";
        if !figures.wants(what) {
            return Ok(());
        }
        let mut readers = try_join_all((0..MAILDROPS).map(|user| Pop3::open(target, user))).await?;
        let count: usize = readers.iter().map(|pop3| pop3.messages).sum();
        let (rounds, elapsed) = repeat(self.args.time, async || {
            let all = readers.iter_mut().map(|pop3| pop3.retrieve(1..pop3.messages + 1, PIPELINED));
            try_join_all(all).await.map(drop)
        })
        .await?;
        figures.rate(what, "messages/s", count as f64 * f64::from(rounds), elapsed);
        for pop3 in &mut readers {
            pop3.command("QUIT").await?;
        }
        Ok(())
    }
}

/// Over IMAP, deletes all messages in the INBOX of the benchmark user with this number, then appends `messages` new
/// ones of 4 KiB.
async fn refill_inbox(target: &Target, user: usize, messages: u32) -> anyhow::Result<()> {
    let (mut imap, rng, began) = (Imap::open(target, user).await?, Rng::from_entropy(), Instant::now());
    imap.command("SELECT INBOX").await?;
    // An empty mailbox has no message 1.
    let _ = imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").await;
    imap.command("EXPUNGE").await?;
    for number in 0..messages {
        imap.append("INBOX", &message(number, &rng)).await?;
    }
    tracing::debug!(user, took = ?began.elapsed(), "maildrop filled");
    imap.command("LOGOUT").await.map(drop)
}
