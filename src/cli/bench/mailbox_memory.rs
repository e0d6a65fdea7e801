//! The part of `postroad bench memory` about mailboxes: what a mailbox at hand takes, and whether many of them stay within
//! the budget.

use std::path::Path;

use anyhow::Context;
use futures_util::future::try_join_all;

use super::figure::{Figure, Figures};
use crate::bench::Processes;
use crate::host::DataDir;
use crate::imap::Flags;
use crate::mail::Message;
use crate::mda::{AppendMessage, Mailboxes};
use crate::world::Clock;

/// Messages of one APPEND.
const BATCH: usize = 1_000;
/// How often a mailbox is read side by side: memory that was freed before is used again first, and does not count.
const COPIES: usize = 16;
/// Accounts that are created at once.
const CREATED_AT_ONCE: usize = 500;

/// Fills a mailbox with `count` small messages, in a store in this folder, then reads it several times in this process.
/// Adds the memory of each message as figures, as the system and as the budget count it. An error where memory cannot
/// be measured.
pub(super) async fn measure_mailbox(figures: &mut Figures, folder: &Path, count: usize) -> anyhow::Result<()> {
    let (account, processes) = ("ann@a.test", Processes::new(vec![std::process::id()]));
    let fill = open(folder)?;
    fill.ensure_account(account).await?;
    for first in (0..count).step_by(BATCH) {
        let batch = (first..count.min(first + BATCH)).map(|number| {
            let message = Message::new(format!("Subject: {number}\r\n\r\nhello\r\n").into());
            AppendMessage { message, flags: Flags::default(), received: None }
        });
        fill.append(account, "INBOX", batch.collect()).await?;
    }
    drop(fill);
    let store = DataDir::open(folder)?.store()?;
    let copies: Vec<_> = (0..COPIES).map(|_| Mailboxes::new(store.clone(), Clock::wall())).collect();
    let resident = || processes.usage().map(|usage| usage.resident).context("memory can be measured on Linux only");
    let before = resident()?;
    let views = copies.iter().map(|mailboxes| mailboxes.open(account, "INBOX")?.view());
    let messages = views.map(|view| Ok(view?.messages.len())).sum::<Result<usize, crate::mda::Error>>()? / COPIES;
    let grown = resident()?.saturating_sub(before) as f64;
    let counted = copies.iter().map(|mailboxes| mailboxes.memory_use().bytes).sum::<usize>() as f64;
    let of_each = |bytes: f64| bytes / (COPIES * messages.max(1)) as f64;
    figures.add(Figure::new(&format!("each of {messages} messages at hand"), "bytes", "less", of_each(grown)));
    figures.add(Figure::new("the same, as counted for the budget", "bytes", "less", of_each(counted)));
    Ok(())
}

/// Creates `count` accounts with one message each and looks at the INBOX of each in turn under a budget for memory.
/// Adds as figures the most memory that was kept, in percent of the budget, and the number of mailboxes kept at the
/// end.
pub(super) async fn measure_accounts(figures: &mut Figures, folder: &Path, count: usize) -> anyhow::Result<()> {
    let mailboxes = open(folder)?;
    let account = |number: usize| format!("user{number}@a.test");
    for first in (0..count).step_by(CREATED_AT_ONCE) {
        let deliveries = (first..count.min(first + CREATED_AT_ONCE)).map(|number| {
            let (mailboxes, account) = (mailboxes.clone(), account(number));
            let message = Message::new(format!("Subject: {number}\r\n\r\nhello\r\n").into());
            async move { mailboxes.deliver(&account, None, &message).await }
        });
        try_join_all(deliveries).await?;
    }
    let budget = mailboxes.memory_use().bytes + count * 500;
    mailboxes.limit_memory(budget);
    let mut most = 0;
    for number in 0..count {
        let inbox = mailboxes.open(&account(number), "INBOX")?;
        let view = inbox.view()?;
        if let Some(message) = view.messages.get(0) {
            inbox.summaries().find(message)?;
        }
        most = most.max(mailboxes.memory_use().bytes);
    }
    let what = format!("{count} accounts looked at in turn, of the budget");
    figures.add(Figure::new(&what, "percent", "less", most as f64 / budget as f64 * 100.0));
    figures.add(Figure::new(
        "mailboxes at hand after that",
        "mailboxes",
        "more",
        mailboxes.memory_use().mailboxes as f64,
    ));
    Ok(())
}

/// Opens the store in this folder, which is created if it is missing, with its mailboxes.
fn open(folder: &Path) -> anyhow::Result<Mailboxes> {
    Ok(Mailboxes::new(DataDir::open(folder)?.store()?, Clock::wall()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn figures_of_mailboxes_are_within_the_budget() {
        let mut figures = Figures { quiet: true, ..Figures::default() };
        let folder = tempfile::tempdir().unwrap();
        measure_mailbox(&mut figures, &folder.path().join("one"), 2_500).await.unwrap();
        measure_accounts(&mut figures, &folder.path().join("many"), 40).await.unwrap();
        let [_, each, share, at_hand] = [0, 1, 2, 3].map(|at| figures.list[at].value);
        assert!((64.0..100.0).contains(&each), "{each}");
        assert!((50.0..=100.0).contains(&share) && (1.0..40.0).contains(&at_hand), "{share} {at_hand}");
    }
}
