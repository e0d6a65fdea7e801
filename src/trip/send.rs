//! The sender's part of a trip.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join_all;

use super::{Error, Plan, Progress};
use crate::host::Ground;
use crate::mail::{Body, Dialogue, Envelope, JourneyId, Letter, QueueId};
use crate::mua::{Security, Server, Source, Submitter, Verdict};
use crate::world::port;

/// Connections that submit at once, where there are many messages.
const LINES: usize = 4;

/// A journey, or the provider's refusal.
type Outcome = Result<JourneyId, String>;

/// Submits every message; the outcomes are in the order of the sources.
pub(super) async fn all(
    ground: &Ground,
    plan: &Plan,
    progress: &impl Fn(Progress),
) -> Result<(Vec<Outcome>, Dialogue), Error> {
    let lines = plan.sources.len().div_ceil(8).clamp(1, LINES);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (desk, resolver) = ground.desk()?;
    let world = &ground.world;
    let provider = world.domain(plan.from.domain()).and_then(|served| served.mx.first());
    let provider = provider.and_then(|host| world.hosts.get(host)).map_or("", |host| host.fqdn.as_str());
    let addresses = super::fetch::addresses(&resolver, provider, port::SUBMISSIONS).await?;
    let server = Server { name: provider.to_owned(), addresses, security: Security::Immediate };
    let login = super::fetch::login(ground, &plan.from);
    let one_line = async || {
        let mut submitter = Submitter::connect(&desk, &server, Some(&login)).await?;
        let mut outcomes = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(source) = plan.sources.get(at) else { break };
            outcomes.push((at, submit(&mut submitter, plan, source).await?));
            progress(Progress::Submitted(done.fetch_add(1, Ordering::Relaxed) + 1));
        }
        Ok::<_, Error>((outcomes, submitter.quit().await))
    };
    let results = try_join_all((0..lines).map(|_| one_line())).await?;
    let mut dialogue = Dialogue::default();
    let mut outcomes = Vec::new();
    for (some, said) in results {
        outcomes.extend(some);
        dialogue.append(&said);
    }
    outcomes.sort_by_key(|(at, _)| *at);
    Ok((outcomes.into_iter().map(|(_, outcome)| outcome).collect(), dialogue))
}

async fn submit(submitter: &mut Submitter, plan: &Plan, source: &Source) -> Result<Outcome, Error> {
    let envelope = Envelope {
        reverse_path: Some(plan.from.clone()),
        recipients: vec![plan.to.clone().into()],
        body: Body::of(&source.message),
        ..Envelope::default()
    };
    let verdicts = submitter.submit(envelope, &Letter::new(source.message.clone())).await?;
    Ok(match verdicts.first() {
        Some(Verdict::Accepted(reply)) => named(&reply.to_string()).ok_or_else(|| format!("no queue id in: {reply}")),
        Some(Verdict::Refused { stage, reply }) => Err(format!("{stage}: {reply}")),
        None => Err("the provider gave no verdict".to_owned()),
    })
}

/// The journey in `250 2.0.0 OK: queued as JOURNEY-STAY`.
fn named(reply: &str) -> Option<JourneyId> {
    reply.split_ascii_whitespace().find_map(|word| word.parse::<QueueId>().ok()).map(|id| id.journey)
}
