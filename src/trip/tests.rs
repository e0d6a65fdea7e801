use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::host::{Doors, Ground};
use crate::world::World;

fn plan(texts: &[&str]) -> Plan {
    let sources = texts.iter().enumerate().map(|(at, text)| Source {
        name: at.to_string(),
        message: Bytes::from(text.to_string()),
        mended: false,
    });
    let (from, to) = World::journey().letter.unwrap();
    Plan { from, to, sources: sources.collect(), patience: Duration::from_secs(60) }
}

#[tokio::test(start_paused = true)]
async fn a_letter_travels_through_three_mtas_in_virtual_time() {
    let ground =
        Ground::simulated(World::journey(), 1, "2026-11-01T08:00:00Z".parse::<Timestamp>().unwrap(), true).unwrap();
    let running = Running::start(ground, Doors::shut()).await.unwrap();
    let report =
        travel(&running, plan(&["Subject: one\r\n\r\n.dot\r\n", "Subject: two\r\n\r\n\r\n"]), |_| {}).await.unwrap();
    for letter in &report.letters {
        for event in &letter.story.as_ref().unwrap().events {
            println!("{} {} {:?}", event.at, event.host, event.step);
        }
    }
    assert!(report.is_intact(), "{:#?}", report.letters);
    running.stop().await;
}
