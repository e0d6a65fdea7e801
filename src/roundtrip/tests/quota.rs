//! Mail to users with quotas: it is deferred if it may fit later, and bounces if it never can. RFC 3463 §3.3.

use super::*;
use crate::imap::{Flags, StoreMode, SystemFlags};

async fn world_with(users: &str) -> RunningWorld {
    let text = crate::world::JOURNEY.replace("users = [\"friend\"]", &format!("users = [{users}]"));
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, true).unwrap();
    RunningWorld::start(env, PublicPorts::none()).await.unwrap()
}

/// The status codes of the reports to the sender.
async fn failures(running: &RunningWorld) -> Vec<String> {
    let reports = maildrop(running, "me@163.test").await;
    let status = |report: &Bytes| {
        let report = String::from_utf8(report.to_vec()).unwrap();
        report.lines().find_map(|line| line.strip_prefix("Status: ").map(str::to_owned)).unwrap()
    };
    reports.iter().map(status).collect()
}

#[tokio::test(start_paused = true)]
async fn mail_to_a_full_mailbox_is_delivered_once_there_is_space() {
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
async fn mail_larger_than_the_quota_bounces_at_once() {
    let running = world_with("{ name = \"friend\", quota = { storage = 100 } }").await;
    send(&running, "friend@sina.test", HOUR).await;
    assert!(running.mtas.values().all(|mta| mta.queue().is_empty()));
    assert_eq!(failures(&running).await, ["5.2.2"]);
    running.stop().await;
}
