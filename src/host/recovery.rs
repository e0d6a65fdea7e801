//! What a start finds in queues and mailboxes of which the event log knows nothing: the process was killed before the last
//! events were stored, or an older build ran. Afterwards, journeys, queues and mailboxes agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::Environment;
use crate::journey::{EventKind, JourneyFilter, JourneyState, RecipientStatus};
use crate::mail::{Address, JourneyId, ReversePath};
use crate::mda::{self, FiledMessage};
use crate::mta::{Mta, WaitingMessage};
use crate::store;
use crate::world::HostName;

/// Messages that are read at once.
const PAGE_MESSAGES: usize = 500;
/// What came so long before the newest stored event has its events.
const UNSTORED: Duration = Duration::from_secs(60);

/// Compares the queues of these MTAs and all mailboxes with the event log, and records the events that it lacks: of
/// messages found there, and of those that are gone from a queue. The log is expected to know what was found there more
/// than 60 s before its newest stored event. Does nothing for an event log without a store.
///
/// # Errors
/// The store cannot be read, or has no room.
pub(super) async fn recover(env: &Environment, mtas: &BTreeMap<HostName, Mta>) -> Result<(), store::Error> {
    if !env.event_log.is_stored() {
        return Ok(());
    }
    let since = env.event_log.last_stored()?.and_then(|last| last.checked_sub(UNSTORED).ok());
    let since = since.unwrap_or(Timestamp::MIN);
    let mut waiting = BTreeSet::new();
    for mta in mtas.values() {
        recover_queue(env, mta, since, &mut waiting).await?;
    }
    recover_mailboxes(env, since).await?;
    recover_lost(env, mtas, &waiting).await
}

/// Adds the messages in the queue of an MTA to `waiting`, with its host. For those that arrived from `since` on, adds
/// the events that the event log lacks, as [`found_in_queue`] does, and saves them after each page. Messages without an
/// id are left out.
async fn recover_queue(
    env: &Environment,
    mta: &Mta,
    since: Timestamp,
    waiting: &mut BTreeSet<(HostName, JourneyId)>,
) -> Result<(), store::Error> {
    let mut row = 0;
    loop {
        let page = mta.queue().messages_after(row, PAGE_MESSAGES)?;
        let Some(last) = page.last() else { return Ok(()) };
        row = last.row;
        for message in page {
            let Some(id) = message.id else { continue };
            waiting.insert((mta.host().clone(), id.journey));
            if since <= message.arrived {
                let known = env.event_log.journey_state(id.journey)?;
                found_in_queue(env, mta.host(), message, known);
            }
        }
        env.event_log.save_all().await?;
    }
}

/// Records that a message was found, and is held or deferred, for those of its recipients that `known` lacks or has as
/// open at another place. Settled ones are left alone.
fn found_in_queue(env: &Environment, host: &HostName, message: WaitingMessage, known: Option<JourneyState>) {
    let WaitingMessage { id: Some(id), reverse_path, recipients, arrived, due: until, is_held, reason, .. } = message
    else {
        return;
    };
    let is_unknown = |recipient: &Address| match known.as_ref().and_then(|known| known.recipients.get(recipient)) {
        Some(status) => status.is_open() && status.queue() != Some(&**host),
        None => true,
    };
    let recipients: Vec<_> = recipients.into_iter().filter(is_unknown).collect();
    if recipients.is_empty() {
        return;
    }
    let emitter = env.event_log.emitter(host);
    let kind = EventKind::Found { reverse_path, recipients: recipients.clone() };
    emitter.report_at(arrived, id.journey, Some(id), kind, None);
    let waits = match (is_held, reason) {
        (true, reason) => EventKind::Held { recipients, reason },
        (false, Some(reason)) => {
            EventKind::Deferred { recipients, to: None, reason, until, in_doubt: false, attempt: None }
        }
        (false, None) => return,
    };
    emitter.report(id.journey, Some(id), waits, None);
}

/// Records messages that came into mailboxes from `since` on and whose delivery the event log does not know.
async fn recover_mailboxes(env: &Environment, since: Timestamp) -> Result<(), store::Error> {
    let mut place = (0, 0);
    loop {
        let page = mda::filed_after(&env.store, place, since, PAGE_MESSAGES)?;
        let Some(last) = page.last() else { return Ok(()) };
        place = last.place;
        for message in page {
            let (Some(journey), Ok(account)) = (message.journey, message.account.parse::<Address>()) else { continue };
            let known = env.event_log.journey_state(journey)?;
            let is_it = |(recipient, status): (&Address, &RecipientStatus)| {
                recipient.key() == message.account && matches!(status, RecipientStatus::Delivered { .. })
            };
            if !known.iter().flat_map(|known| &known.recipients).any(is_it) {
                found_in_mailbox(env, journey, account, message, known);
            }
        }
        env.event_log.save_all().await?;
    }
}

/// Records the delivery of a message at the time when it was saved, and before it that the message was found, if its
/// journey is not known. Does nothing if the world has no such domain.
fn found_in_mailbox(
    env: &Environment,
    journey: JourneyId,
    account: Address,
    message: FiledMessage,
    known: Option<JourneyState>,
) {
    let Some(served) = env.world.domain(account.domain()) else { return };
    let emitter = env.event_log.emitter(&served.mailboxes);
    let FiledMessage { place: (_, uid), account: key, mailbox, saved, reverse_path, .. } = message;
    // The name by which it was sent, if that is known.
    let named = known.iter().flat_map(|known| known.recipients.keys()).find(|recipient| recipient.key() == key);
    let recipient = named.cloned().unwrap_or(account);
    if known.is_none() {
        let kind = found_event(reverse_path, recipient.clone());
        emitter.report_at(saved, journey, None, kind, None);
    }
    emitter.report_at(saved, journey, None, EventKind::Delivered { recipient, account: key, mailbox, uid }, None);
}

/// Makes the event that a message with this sender was found for this recipient.
fn found_event(reverse_path: ReversePath, recipient: Address) -> EventKind {
    EventKind::Found { reverse_path, recipients: vec![recipient] }
}

/// Records as gone what the event log knows to wait in a queue of this process, but is not in `waiting`.
async fn recover_lost(
    env: &Environment,
    mtas: &BTreeMap<HostName, Mta>,
    waiting: &BTreeSet<(HostName, JourneyId)>,
) -> Result<(), store::Error> {
    let open = JourneyFilter { settled: Some(false), ..JourneyFilter::default() };
    let mut before = Some(u64::MAX);
    while let Some(number) = before {
        let page = env.event_log.journeys(&open, number, PAGE_MESSAGES)?;
        for state in page.journeys {
            for (host, _) in mtas.iter().filter(|(host, _)| !waiting.contains(&((*host).clone(), state.journey))) {
                let is_there = |status: &RecipientStatus| status.is_open() && status.queue() == Some(&**host);
                let gone = state.recipients.iter().filter(|(_, status)| is_there(status));
                let recipients: Vec<_> = gone.map(|(recipient, _)| recipient.clone()).collect();
                if !recipients.is_empty() {
                    env.event_log.emitter(host).report(state.journey, None, EventKind::Gone { recipients }, None);
                }
            }
        }
        env.event_log.save_all().await?;
        before = page.next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{FaultInjector, HostSelection, PublicPorts, RunningWorld, start};
    use crate::journey::{self, EventLog};
    use crate::mail::{Envelope, Message};
    use crate::mta::{self, QueuedMessage, Selector};
    use crate::store::Store;
    use crate::world::{World, later};

    const START: &str = "2026-11-01T08:00:00Z";
    const HOUR: Duration = Duration::from_secs(3600);

    /// A world over this store, so long after [`START`], with an event log that is stored or not.
    fn environment(store: &Store, after: Duration, is_stored: bool) -> Environment {
        let start = later(START.parse().unwrap(), after);
        let env = Environment::simulated(World::journey(), 1, start, false).unwrap();
        let event_log = match is_stored {
            true => EventLog::stored(store.clone(), env.clock, 1000, true).unwrap(),
            false => EventLog::new(env.clock, 1000, true),
        };
        Environment { store: store.clone(), event_log, ..env }
    }

    /// What a start makes of the store, before a host runs.
    async fn recovered(store: &Store, after: Duration) -> Environment {
        let env = environment(store, after, true);
        let faults = FaultInjector::new(&env.world, env.rng.fork("faults"));
        let mtas = start::mtas(&env, &faults, &start::uploads(&env.world), &HostSelection::All).unwrap();
        recover(&env, &mtas).await.unwrap();
        env
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    async fn put(running: &RunningWorld, number: u64, to: &str) -> JourneyId {
        let journey = JourneyId::from_random(number);
        let envelope = Envelope {
            reverse_path: Some(address("me@163.test")),
            recipients: vec![address(to).into()],
            ..Envelope::default()
        };
        // As the first host stamps it, so that the next ones know the journey.
        let text = format!("Received: from a.test by mx.163.test with SMTP id {};\r\n x\r\n\r\n", journey.queue_id(1));
        let (id, arrived) = (journey.queue_id(1), running.env.clock.now());
        let message = Message::new(text.into_bytes().into());
        let _ = running.mtas["mta-163"].queue().put(QueuedMessage { id, envelope, message, arrived }).await.unwrap();
        journey
    }

    #[tokio::test(start_paused = true)]
    async fn start_over_queues_and_mailboxes_without_events_finds_every_message() {
        let store = Store::in_memory(&[mta::SCHEMA, mda::SCHEMA, journey::SCHEMA]).unwrap();
        let running =
            RunningWorld::start(environment(&store, Duration::ZERO, false), PublicPorts::none()).await.unwrap();
        let delivered = put(&running, 1, "friend@sina.test").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        running.turn_off("mta-relay").await;
        let (waits, is_held) = (put(&running, 2, "friend@sina.test").await, put(&running, 3, "friend@sina.test").await);
        // Until the relay is known to be down.
        tokio::time::sleep(HOUR).await;
        assert_eq!(running.mtas["mta-163"].hold(Selector::Journey(is_held)).await.unwrap().len(), 1);
        running.stop().await;
        // It is found once, at whichever start.
        for start in 2..4 {
            let env = recovered(&store, HOUR * start).await;
            let state = |journey| env.event_log.journey_state(journey).unwrap().unwrap();
            let to = address("friend@sina.test");
            for (journey, expected) in [(delivered, "delivered"), (waits, "deferred"), (is_held, "held")] {
                let state = state(journey);
                let status = serde_json::to_value(&state.recipients[&to]).unwrap();
                assert_eq!((status["status"].as_str(), state.recipients.len()), (Some(expected), 1), "{state:?}");
                assert_eq!(state.reverse_path, Some(address("me@163.test")));
                let began = state.began.duration_since(START.parse().unwrap()).as_secs();
                assert_eq!(began, if journey == delivered { 0 } else { 60 });
            }
            assert_eq!(env.event_log.journeys(&JourneyFilter::default(), u64::MAX, 9).unwrap().total, 3);
            assert!(state(delivered).arrived_once());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn start_without_the_message_of_an_open_journey_says_that_it_is_gone() {
        let store = Store::in_memory(&[mta::SCHEMA, mda::SCHEMA, journey::SCHEMA]).unwrap();
        let env = environment(&store, Duration::ZERO, true);
        let (journey, to) = (JourneyId::from_random(1), address("friend@sina.test"));
        let kind = EventKind::Found { reverse_path: None, recipients: vec![to.clone()] };
        env.event_log.emitter("mta-163").report(journey, None, kind, None);
        env.event_log.save_all().await.unwrap();
        let state = recovered(&store, HOUR).await.event_log.journey_state(journey).unwrap().unwrap();
        assert_eq!(state.recipients[&to], RecipientStatus::Gone { at: "mta-163".to_owned() });
        assert!(state.is_settled());
    }
}
