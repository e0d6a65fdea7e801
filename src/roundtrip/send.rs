//! The sender's part of a round trip.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join_all;

use super::{Error, Plan, Progress};
use crate::host::Environment;
use crate::mail::{Body, Envelope, JourneyId, Message, QueueId, Transcript};
use crate::mua::{Security, Server, Source, Submitter, Verdict};
use crate::world::port;

/// Concurrent connections for submitting many messages.
const MAX_CONNECTIONS: usize = 4;

/// The journey of a submitted message, or the provider's refusal.
type Outcome = Result<JourneyId, String>;

/// Submits every message to the first MTA of the sender's domain, with a login, on up to [`MAX_CONNECTIONS`] at once;
/// returns the outcomes in the order of the sources, and the transcript of all connections. Calls `progress` after each
/// message. A connection that fails is an error of all; a refused message is not.
pub(super) async fn all(
    env: &Environment,
    plan: &Plan,
    progress: &impl Fn(Progress),
) -> Result<(Vec<Outcome>, Transcript), Error> {
    let connections = plan.sources.len().div_ceil(8).clamp(1, MAX_CONNECTIONS);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (context, resolver) = env.client_context()?;
    let world = &env.world;
    let provider = world.domain(plan.from.domain()).and_then(|served| served.mx.first());
    let provider = provider.and_then(|host| world.hosts.get(host));
    let provider = provider.ok_or_else(|| Error::NoProvider(plan.from.clone()))?.fqdn.as_str();
    let addresses = super::fetch::addresses(&resolver, provider, port::SUBMISSIONS).await?;
    let server = Server { name: provider.to_owned(), addresses, security: Security::Immediate };
    let login = super::fetch::login(env, &plan.from);
    let submit_remaining = async || {
        let mut submitter = Submitter::connect(&context, &server, Some(&login)).await?;
        let mut outcomes = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(source) = plan.sources.get(at) else { break };
            outcomes.push((at, submit(&mut submitter, plan, source).await?));
            progress(Progress::Submitted(done.fetch_add(1, Ordering::Relaxed) + 1));
        }
        Ok::<_, Error>((outcomes, submitter.quit().await))
    };
    let results = try_join_all((0..connections).map(|_| submit_remaining())).await?;
    let mut transcript = Transcript::default();
    let mut outcomes = Vec::new();
    for (some, part) in results {
        outcomes.extend(some);
        transcript.append(&part);
    }
    outcomes.sort_by_key(|(at, _)| *at);
    Ok((outcomes.into_iter().map(|(_, outcome)| outcome).collect(), transcript))
}

/// Submits one message and returns its journey, which it reads from the queue id in the reply. An `Err` within `Ok`
/// says why there is none: the stage and the reply of a refusal, why the message was not sent, or a reply without a
/// queue id. The outer error is that of the connection.
async fn submit(submitter: &mut Submitter, plan: &Plan, source: &Source) -> Result<Outcome, Error> {
    let envelope = Envelope {
        reverse_path: Some(plan.from.clone()),
        recipients: vec![plan.to.clone().into()],
        body: Body::of(&source.message),
        ..Envelope::default()
    };
    let verdicts = submitter.submit(envelope, &Message::new(source.message.clone())).await?;
    Ok(match verdicts.first() {
        Some(Verdict::Accepted(reply)) => {
            journey_of_reply(&reply.to_string()).ok_or_else(|| format!("no queue id in: {reply}"))
        }
        Some(Verdict::Refused { stage, reply }) => Err(format!("{stage}: {reply}")),
        Some(Verdict::NotSent(not_sent)) => Err(format!("not sent: {not_sent}")),
        None => Err("the provider gave no verdict".to_owned()),
    })
}

/// Returns the journey in a reply such as `250 2.0.0 OK: queued as JOURNEY-STAY`; `None` if no word of it is a queue
/// id.
fn journey_of_reply(reply: &str) -> Option<JourneyId> {
    reply.split_ascii_whitespace().find_map(|word| word.parse::<QueueId>().ok()).map(|id| id.journey)
}
