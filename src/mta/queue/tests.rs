//! The queue after restarts, and the operations of the operator.

use jiff::{SignedDuration, Timestamp};

use super::sqlite::tests::{count, execute};
use super::*;
use crate::mail::{Envelope, Recipient};
use crate::mta::next_hop::{HopKind, NextHop};
use crate::mta::scheduler::Next;
use crate::mta::test_support::{mail, store};
use crate::world::{Clock, TlsMode};

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn open(store: &Store) -> Queue {
    let scheduler = Scheduler::new(Clock::starting_at(START), 1);
    Queue::open("mta".into(), store.clone(), None, Arc::new(scheduler)).unwrap()
}

fn address(text: &str) -> Recipient {
    text.parse::<crate::mail::Address>().unwrap().into()
}

/// A queue with one message, due, and its store.
async fn one() -> (Store, Queue, QueueId) {
    let store = store();
    let queue = open(&store);
    let receipt = queue.put(mail(1)).await.unwrap();
    (store, queue, receipt.id)
}

fn next(queue: &Queue) -> Next {
    queue.scheduler.next(START)
}

fn take(queue: &Queue) -> Entry {
    let Next::Due(row) = next(queue) else { panic!("nothing is due") };
    queue.load(row).unwrap().unwrap()
}

fn later(queued: &QueuedMessage) -> Settlement {
    let (due, reason) = (START + SignedDuration::from_mins(5), Some("busy".into()));
    let remaining = Remaining::RetryAt { envelope: queued.envelope.clone(), due, warned: false, reason };
    Settlement { remaining, reports: Vec::new() }
}

#[tokio::test]
async fn queue_q0_when_commit_fails_is_empty_after_restart() {
    let store = store();
    let queue = open(&store);
    let broken: Result<(), store::Error> = store
        .write(move |transaction| {
            sqlite::insert(transaction, &"mta".into(), mail(1))?;
            Err(store::Error::Full)
        })
        .await;
    assert!(broken.is_err() && next(&queue) == Next::Nothing && next(&open(&store)) == Next::Nothing);
    assert_eq!((count(&store, "queue"), count(&store, "content")), (0, 0));
}

/// The events of its arrival come before those of its first attempt.
#[tokio::test]
async fn put_all_when_durable_calls_back_before_the_message_is_due() {
    let store = store();
    let (queue, mut is_called) = (open(&store), false);
    let then = || {
        assert_eq!((next(&queue), count(&store, "queue")), (Next::Nothing, 1));
        is_called = true;
    };
    let _ = queue.put_all(mail(1).id, vec![mail(1)], vec![], then).await.unwrap();
    assert!(is_called && matches!(next(&queue), Next::Due(_)));
}

#[tokio::test]
async fn queue_q1_after_restart_has_waiting_message_with_its_bytes() {
    let (store, _, id) = one().await;
    let entry = take(&open(&store));
    assert_eq!((entry.queued.id, entry.attempts, entry.warned), (id, 0, false));
    assert_eq!(entry.queued.message.content.bytes().as_ref(), b"Subject: 1\r\n\r\nbody\r\n");
}

#[tokio::test]
async fn queue_q2_after_restart_sends_unsettled_message_again() {
    let (store, queue, id) = one().await;
    take(&queue);
    assert_eq!(next(&queue), Next::Nothing, "one attempt at a time");
    assert_eq!(take(&open(&store)).queued.id, id);
}

#[tokio::test]
async fn queue_q3_after_restart_has_bounce_and_not_the_settled_message() {
    let (store, queue, _) = one().await;
    let settlement = Settlement { reports: vec![mail(2)], ..Settlement::default() };
    queue.settle(&take(&queue), settlement).await.unwrap();
    let again = open(&store);
    assert_eq!(take(&again).queued.id, mail(2).id);
    assert_eq!((next(&again), count(&store, "content")), (Next::Nothing, 1));
}

#[tokio::test]
async fn queue_q3_recipient_settled_before_others_is_not_tried_again() {
    let (store, queue, _) = one().await;
    let entry = take(&queue);
    let envelope = Envelope { recipients: vec![address("other@sina.test")], ..entry.queued.envelope.clone() };
    queue
        .settle(&entry, Settlement { remaining: Remaining::InFlight(envelope), reports: vec![mail(2)] })
        .await
        .unwrap();
    assert_eq!(take(&queue).queued.id, mail(2).id, "the bounce may go");
    assert_eq!(next(&queue), Next::Nothing, "its other recipient is still tried");
    let again = take(&open(&store));
    assert_eq!((again.attempts, again.queued.envelope.recipients), (0, vec![address("other@sina.test")]));
}

#[tokio::test]
async fn hold_lasts_across_restarts_until_release() {
    let (store, queue, id) = one().await;
    assert_eq!(queue.hold(Selector::All, |_| {}).await.unwrap(), [id]);
    assert!(queue.hold(Selector::All, |_| {}).await.unwrap().is_empty(), "it is held already");
    for queue in [&queue, &open(&store)] {
        assert_eq!(next(queue), Next::Nothing);
        assert!(queue.flush(Selector::All, START, |_| {}).await.unwrap().is_empty());
        assert_eq!(queue.list(Selector::All, None, 9).unwrap().messages[0].state, State::Held);
    }
    assert_eq!(queue.release(Selector::One(id), START, |_| {}).await.unwrap(), [id]);
    assert_eq!(take(&queue).queued.id, id);
}

#[tokio::test]
async fn hold_of_a_message_in_flight_takes_effect_when_its_attempt_fails() {
    let (store, queue, id) = one().await;
    let entry = take(&queue);
    assert_eq!(queue.hold(Selector::All, |_| {}).await.unwrap(), [id]);
    queue.settle(&entry, later(&entry.queued)).await.unwrap();
    assert_eq!(next(&queue), Next::Nothing);
    assert_eq!(next(&open(&store)), Next::Nothing);
}

#[tokio::test]
async fn flush_of_a_message_in_flight_takes_effect_when_its_attempt_fails() {
    let (_, queue, id) = one().await;
    let entry = take(&queue);
    assert_eq!(queue.flush(Selector::Journey(id.journey), START, |_| {}).await.unwrap(), [id]);
    assert_eq!(next(&queue), Next::Nothing, "never two attempts at once");
    queue.settle(&entry, later(&entry.queued)).await.unwrap();
    assert_eq!(take(&queue).attempts, 1);
}

#[tokio::test]
async fn delete_leaves_messages_in_flight_and_nothing_of_others() {
    let (store, queue, id) = one().await;
    let entry = take(&queue);
    assert!(queue.delete(Selector::All, START).await.unwrap().is_empty());
    queue.settle(&entry, later(&entry.queued)).await.unwrap();
    let deleted = queue.delete(Selector::One(id), START).await.unwrap();
    assert_eq!(deleted, [(id, vec!["friend@sina.test".parse().unwrap()])]);
    assert_eq!((count(&store, "queue"), count(&store, "content"), queue.len()), (0, 0, 0));
}

#[tokio::test]
async fn list_has_state_reason_and_size_and_header_is_shown() {
    let (_, queue, id) = one().await;
    let entry = take(&queue);
    assert_eq!(queue.list(Selector::All, None, 9).unwrap().messages[0].state, State::Underway);
    queue.settle(&entry, later(&entry.queued)).await.unwrap();
    let _ = queue.put(mail(2)).await.unwrap();
    let listing = queue.list(Selector::One(id), None, 9).unwrap();
    let message = &listing.messages[0];
    assert_eq!((listing.total, message.state, message.attempts), (1, State::Waiting, 1));
    assert_eq!((message.reason.as_deref(), message.size), (Some("busy"), 38));
    assert_eq!(
        (queue.list(Selector::All, None, 1).unwrap().messages.len(), queue.list(Selector::All, None, 1).unwrap().total),
        (1, 2)
    );
    assert_eq!(queue.header(id).unwrap().unwrap(), "Received: from x\nSubject: 1\n");
}

#[tokio::test(start_paused = true)]
async fn parked_message_is_waiting_and_may_be_flushed_held_or_deleted() {
    let (_, queue, id) = one().await;
    let other = queue.put(mail(2)).await.unwrap().id;
    let hops = [NextHop { kind: HopKind::Exchange("a.test".to_owned()), tls: TlsMode::None, sender_requires: false }];
    let admit = |entry| queue.scheduler.admit(entry, &hops, false).map(|(_, mut slots)| slots.remove(0));
    let (first, second) = (take(&queue), take(&queue));
    let slot = admit(second.clone()).unwrap();
    assert!(admit(first).is_none(), "the only slot is taken");
    let listed = queue.list(Selector::All, None, 9).unwrap().messages;
    let why = |id| listed.iter().find(|message| message.id == id).unwrap().reason.as_deref();
    assert_eq!(listed.iter().find(|message| message.id == id).unwrap().state, State::Waiting);
    assert_eq!((why(id), why(other)), (Some("waits until fewer messages are under way to its next host"), None));
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.flush(Selector::One(id), START, |_| {}).await.unwrap(), [id]);
    assert_eq!(next(&queue), Next::Nothing, "it waits for a slot, not for its time");
    assert_eq!(queue.hold(Selector::One(id), |_| {}).await.unwrap(), [id]);
    queue.scheduler.complete(slot);
    assert_eq!((next(&queue), queue.len()), (Next::Nothing, 0));
    queue.release(Selector::One(id), START, |_| {}).await.unwrap();
    let first = take(&queue);
    let (row, slot) = (first.row, admit(first).unwrap());
    assert!(admit(second).is_none());
    assert_eq!(queue.delete(Selector::One(other), START).await.unwrap().len(), 1);
    queue.scheduler.complete(slot);
    queue.scheduler.reschedule(row, None);
    assert!(next(&queue) == Next::Nothing && queue.is_idle());
}
/// What makes a row unreadable, and part of the reason that the operator reads.
const DAMAGE: [(&str, &str); 5] = [
    ("UPDATE queue SET envelope = '{}}'", "unreadable envelope"),
    ("UPDATE queue SET name = 'none'", "unreadable name"),
    ("UPDATE queue SET attempts = -1", "corrupt record"),
    ("UPDATE content_bytes SET bytes = x'00'", "damaged"),
    ("DELETE FROM content", "not found"),
];

#[tokio::test]
async fn unreadable_row_is_held_with_its_reason_until_release() {
    for (damage, reason) in DAMAGE {
        let (store, _, id) = one().await;
        execute(&store, damage).await;
        store.cut_power().unwrap();
        let queue = open(&store);
        for _ in 0..2 {
            let Next::Due(row) = next(&queue) else { panic!("{damage}: nothing is due") };
            let error = queue.load(row).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            queue.hold_unreadable(row, &error).await.unwrap();
            assert!(queue.is_idle(), "{damage}: it would be tried again");
            let Listing { total, messages, .. } = queue.list(Selector::All, None, 9).unwrap();
            assert_eq!((total, messages.len()), (1, usize::from(!damage.contains("name"))), "{damage}");
            for message in messages {
                assert_eq!((message.id, message.state, message.reason), (id, State::Held, Some(error.to_string())));
                assert_eq!(message.recipients.is_empty(), damage.contains("envelope"), "{damage}");
                assert!(queue.header(id).unwrap().unwrap().starts_with("Received: from x\n"));
            }
            queue.release(Selector::All, START, |_| {}).await.unwrap();
        }
        let deleted = queue.delete(Selector::All, START).await.unwrap();
        assert_eq!((deleted.len(), count(&store, "queue")), (usize::from(!damage.contains("name")), 0), "{damage}");
        assert_eq!(count(&store, "content"), 0, "{damage}");
    }
}

#[tokio::test]
async fn list_with_an_unreadable_envelope_shows_all_other_messages() {
    let (store, queue, id) = one().await;
    execute(&store, "UPDATE queue SET envelope = ''").await;
    let other = queue.put(mail(2)).await.unwrap().id;
    let listed = queue.list(Selector::All, None, 9).unwrap().messages;
    let shown: Vec<_> = listed.iter().map(|message| (message.id, message.recipients.len())).collect();
    assert_eq!(shown, [(id, 0), (other, 1)]);
}

#[tokio::test]
async fn inventory_has_readable_recipients_and_reports() {
    let (store, queue, id) = one().await;
    execute(&store, "UPDATE queue SET envelope = ''").await;
    let from = Some("ann@sina.test".parse().unwrap());
    for (number, reverse_path) in [(2, None), (3, from)] {
        let envelope = Envelope { reverse_path, ..mail(number).envelope };
        let _ = queue.put(QueuedMessage { envelope, ..mail(number) }).await.unwrap();
    }
    let Inventory { queued, reports } = inventory(&store).unwrap();
    let copy = |number| ("mta".to_owned(), mail(number).id.journey, "friend@sina.test".parse().unwrap());
    assert_eq!(queued, [copy(2), copy(3)], "{id} is unreadable");
    assert_eq!(reports.len(), 1);
    assert_eq!(store.get(reports[0]).unwrap(), mail(2).message.content);
    assert_eq!(store.refcount_errors().unwrap(), 0);
    execute(&store, "UPDATE content SET uses = 2 WHERE id = 1").await;
    assert_eq!(store.refcount_errors().unwrap(), 1);
}

#[tokio::test]
async fn list_continues_behind_a_place_and_ends() {
    let (_, queue, _) = one().await;
    for number in 2..=5 {
        let _ = queue.put(mail(number)).await.unwrap();
    }
    let (mut seen, mut place, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = queue.list(Selector::All, place, 2).unwrap();
        assert_eq!(page.total, 5);
        seen.extend(page.messages.iter().map(|message| message.id));
        pages += 1;
        // As text and back, as a client sends it.
        place = page.next.map(|next| next.to_string().parse().unwrap());
        if place.is_none() {
            break;
        }
    }
    let all: Vec<_> = queue.list(Selector::All, None, 9).unwrap().messages.iter().map(|message| message.id).collect();
    assert_eq!((pages, seen), (3, all));
    assert!(["", "1", "1.", "a.b", "1.2.3"].iter().all(|text| text.parse::<QueuePlace>().is_err()));
}
