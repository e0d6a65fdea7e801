//! Mail to users with quotas: what may fit some day waits, what never will comes back. RFC 3463 §3.3.

use super::*;
use crate::imap::{Flags, StoreMode, SystemFlags};

async fn world_with(users: &str) -> Running {
    let text = crate::world::JOURNEY.replace("users = [\"friend\"]", &format!("users = [{users}]"));
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let ground = Ground::simulated(World::parse("w.toml", &text).unwrap(), 1, start, true).unwrap();
    Running::start(ground, Doors::shut()).await.unwrap()
}

/// What the sender is told of failures, as status codes.
async fn failures(running: &Running) -> Vec<String> {
    let reports = maildrop(running, "me@163.test").await;
    let status = |report: &Bytes| {
        let report = String::from_utf8(report.to_vec()).unwrap();
        report.lines().find_map(|line| line.strip_prefix("Status: ").map(str::to_owned)).unwrap()
    };
    reports.iter().map(status).collect()
}

#[tokio::test(start_paused = true)]
async fn a_letter_to_a_full_mailbox_is_filed_once_there_is_room() {
    let running = world_with("{ name = \"friend\", quota = { messages = 1 } }").await;
    send(&running, "friend@sina.test", HOUR).await;
    send(&running, "friend@sina.test", HOUR * 3).await;
    assert_eq!(maildrop(&running, "friend@sina.test").await.len(), 1);
    assert_eq!(running.mtas["mta-sina"].queue().len(), 1);
    let inbox = running.mailboxes.open("friend@sina.test", "INBOX").unwrap();
    inbox.store(vec![1], StoreMode::Add, Flags { system: SystemFlags::DELETED, keywords: vec![] }).await.unwrap();
    inbox.expunge(None).await.unwrap();
    sleep(HOUR * 3).await;
    assert!(running.mtas.values().all(|mta| mta.queue().is_empty()));
    assert_eq!(maildrop(&running, "friend@sina.test").await.len(), 1);
    assert!(failures(&running).await.is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_larger_than_all_that_a_mailbox_may_hold_comes_back_at_once() {
    let running = world_with("{ name = \"friend\", quota = { storage = 100 } }").await;
    send(&running, "friend@sina.test", HOUR).await;
    assert!(running.mtas.values().all(|mta| mta.queue().is_empty()));
    assert_eq!(failures(&running).await, ["5.2.2"]);
    running.stop().await;
}
