//! The queue over restarts, and under the operator's hands.

use super::sqlite::tests::{count, execute};
use super::*;
use crate::mail::{Content, Recipient};

const START: Timestamp = Timestamp::UNIX_EPOCH;

pub(super) fn store() -> Store {
    Store::in_memory(&[SCHEMA]).unwrap()
}

fn open(store: &Store) -> Queue {
    Queue::open("mta".into(), store.clone()).unwrap()
}

fn address(text: &str) -> Recipient {
    text.parse::<crate::mail::Address>().unwrap().into()
}

pub(in crate::mta) fn mail(stay: u64) -> QueuedMessage {
    let recipients = vec![address("friend@sina.test")];
    QueuedMessage {
        id: JourneyId::from_random(stay).queue_id(stay),
        envelope: Envelope { recipients, ..Envelope::default() },
        message: Message {
            trace: "Received: from x\r\n".into(),
            content: Content::new(format!("Subject: {stay}\r\n\r\nbody\r\n").into()),
        },
        arrived: START,
    }
}

/// A queue with one message, due, and its store.
async fn one() -> (Store, Queue, QueueId) {
    let store = store();
    let queue = open(&store);
    let receipt = queue.put(mail(1)).await.unwrap();
    (store, queue, receipt.id)
}

fn next(queue: &Queue) -> Next {
    queue.index().next(START)
}

fn take(queue: &Queue) -> Entry {
    let Next::Due(row) = next(queue) else { panic!("nothing is due") };
    queue.load(row).unwrap().unwrap()
}

fn later(queued: &QueuedMessage) -> Settlement {
    let (due, reason) = (START + jiff::SignedDuration::from_mins(5), Some("busy".into()));
    let remaining = Remaining::RetryAt { envelope: queued.envelope.clone(), due, warned: false, reason };
    Settlement { remaining, reports: Vec::new() }
}

#[tokio::test]
async fn q0_what_was_not_committed_leaves_nothing() {
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

#[tokio::test]
async fn q1_what_waits_is_found_by_the_next_start_with_its_bytes() {
    let (store, _, id) = one().await;
    let entry = take(&open(&store));
    assert_eq!((entry.queued.id, entry.attempts, entry.warned), (id, 0, false));
    assert_eq!(entry.queued.message.content.bytes().as_ref(), b"Subject: 1\r\n\r\nbody\r\n");
}

#[tokio::test]
async fn q2_what_was_passed_on_and_not_settled_is_sent_again() {
    let (store, queue, id) = one().await;
    take(&queue);
    assert_eq!(next(&queue), Next::Nothing, "one attempt at a time");
    assert_eq!(take(&open(&store)).queued.id, id);
}

#[tokio::test]
async fn q3_what_is_settled_is_gone_and_its_bounce_is_there_since_the_same_commit() {
    let (store, queue, _) = one().await;
    let settlement = Settlement { reports: vec![mail(2)], ..Settlement::default() };
    queue.settle(&take(&queue), settlement).await.unwrap();
    let again = open(&store);
    assert_eq!(take(&again).queued.id, mail(2).id);
    assert_eq!((next(&again), count(&store, "content")), (Next::Nothing, 1));
}

#[tokio::test]
async fn q3_a_recipient_that_is_settled_before_the_others_is_not_tried_again() {
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
async fn a_held_message_waits_for_its_release_over_restarts() {
    let (store, queue, id) = one().await;
    assert_eq!(queue.hold(Selector::All).await.unwrap(), [id]);
    assert!(queue.hold(Selector::All).await.unwrap().is_empty(), "it is held already");
    for queue in [&queue, &open(&store)] {
        assert_eq!(next(queue), Next::Nothing);
        assert!(queue.flush(Selector::All, START).await.unwrap().is_empty());
        assert_eq!(queue.list(Selector::All, 9).unwrap().messages[0].state, State::Held);
    }
    assert_eq!(queue.release(Selector::One(id), START).await.unwrap(), [id]);
    assert_eq!(take(&queue).queued.id, id);
}

#[tokio::test]
async fn what_is_held_while_under_way_stays_when_its_attempt_fails() {
    let (store, queue, id) = one().await;
    let entry = take(&queue);
    assert_eq!(queue.hold(Selector::All).await.unwrap(), [id]);
    queue.settle(&entry, later(&entry.queued)).await.unwrap();
    assert_eq!(next(&queue), Next::Nothing);
    assert_eq!(next(&open(&store)), Next::Nothing);
}

#[tokio::test]
async fn a_flush_while_under_way_counts_when_the_attempt_fails() {
    let (_, queue, id) = one().await;
    let entry = take(&queue);
    assert_eq!(queue.flush(Selector::Journey(id.journey), START).await.unwrap(), [id]);
    assert_eq!(next(&queue), Next::Nothing, "never two attempts at once");
    queue.settle(&entry, later(&entry.queued)).await.unwrap();
    assert_eq!(take(&queue).attempts, 1);
}

#[tokio::test]
async fn what_is_under_way_is_not_deleted_and_all_else_leaves_nothing() {
    let (store, queue, id) = one().await;
    let entry = take(&queue);
    assert!(queue.delete(Selector::All, START).await.unwrap().is_empty());
    queue.settle(&entry, later(&entry.queued)).await.unwrap();
    let deleted = queue.delete(Selector::One(id), START).await.unwrap();
    assert_eq!(deleted, [(id, vec!["friend@sina.test".parse().unwrap()])]);
    assert_eq!((count(&store, "queue"), count(&store, "content"), queue.len()), (0, 0, 0));
}

#[tokio::test]
async fn the_list_tells_state_reason_and_header() {
    let (_, queue, id) = one().await;
    let entry = take(&queue);
    assert_eq!(queue.list(Selector::All, 9).unwrap().messages[0].state, State::Underway);
    queue.settle(&entry, later(&entry.queued)).await.unwrap();
    let _ = queue.put(mail(2)).await.unwrap();
    let listing = queue.list(Selector::One(id), 9).unwrap();
    let message = &listing.messages[0];
    assert_eq!((listing.total, message.state, message.attempts), (1, State::Waiting, 1));
    assert_eq!((message.reason.as_deref(), message.size), (Some("busy"), 38));
    assert_eq!(
        (queue.list(Selector::All, 1).unwrap().messages.len(), queue.list(Selector::All, 1).unwrap().total),
        (1, 2)
    );
    assert_eq!(queue.header(id).unwrap().unwrap(), "Received: from x\nSubject: 1\n");
}

#[tokio::test]
async fn what_is_parked_may_be_held_or_deleted_and_is_not_tried_twice() {
    let (_, queue, id) = one().await;
    let row = take(&queue).row;
    queue.park(row);
    assert_eq!((queue.list(Selector::All, 9).unwrap().messages[0].state, queue.len()), (State::Waiting, 1));
    assert_eq!(queue.flush(Selector::All, START).await.unwrap(), [id]);
    assert_eq!(next(&queue), Next::Nothing, "it waits for room, not for its time");
    assert!(queue.unpark(row, START) && !queue.unpark(row, START));
    assert_eq!((take(&queue).row, next(&queue)), (row, Next::Nothing));
    queue.park(row);
    assert_eq!(queue.hold(Selector::All).await.unwrap(), [id]);
    assert!(!queue.unpark(row, START));
    queue.release(Selector::All, START).await.unwrap();
    queue.park(take(&queue).row);
    assert_eq!(queue.delete(Selector::All, START).await.unwrap().len(), 1);
    assert!(!queue.unpark(row, START) && queue.is_empty());
}

/// What makes a row unreadable, and part of the reason that the operator reads.
const DAMAGE: [(&str, &str); 5] = [
    ("UPDATE queue SET envelope = '{}}'", "unreadable envelope"),
    ("UPDATE queue SET name = 'none'", "unreadable name"),
    ("UPDATE queue SET attempts = -1", "corrupt record"),
    ("UPDATE content SET bytes = x'00'", "damaged"),
    ("DELETE FROM content", "not found"),
];

#[tokio::test]
async fn unreadable_row_once_held_waits_with_its_reason_for_its_release() {
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
            let Listing { total, messages } = queue.list(Selector::All, 9).unwrap();
            assert_eq!((total, messages.len()), (1, usize::from(!damage.contains("name"))), "{damage}");
            for message in messages {
                assert_eq!((message.id, message.state, message.reason), (id, State::Held, Some(error.to_string())));
                assert_eq!(message.recipients.is_empty(), damage.contains("envelope"), "{damage}");
                assert!(queue.header(id).unwrap().unwrap().starts_with("Received: from x\n"));
            }
            queue.release(Selector::All, START).await.unwrap();
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
    let listed = queue.list(Selector::All, 9).unwrap().messages;
    let shown: Vec<_> = listed.iter().map(|message| (message.id, message.recipients.len())).collect();
    assert_eq!(shown, [(id, 0), (other, 1)]);
}

#[tokio::test]
async fn inventory_has_recipients_and_reports_and_leaves_out_what_is_unreadable() {
    let (store, queue, id) = one().await;
    execute(&store, "UPDATE queue SET envelope = ''").await;
    let from = Some("ann@sina.test".parse().unwrap());
    for (stay, reverse_path) in [(2, None), (3, from)] {
        let envelope = Envelope { reverse_path, ..mail(stay).envelope };
        let _ = queue.put(QueuedMessage { envelope, ..mail(stay) }).await.unwrap();
    }
    let Inventory { queued, reports } = inventory(&store).unwrap();
    let copy = |stay| ("mta".to_owned(), mail(stay).id.journey, "friend@sina.test".parse().unwrap());
    assert_eq!(queued, [copy(2), copy(3)], "{id} is unreadable");
    assert_eq!(reports.len(), 1);
    assert_eq!(store.get(reports[0]).unwrap(), mail(2).message.content);
    assert_eq!(store.refcount_errors().unwrap(), 0);
    execute(&store, "UPDATE content SET uses = 2 WHERE id = 1").await;
    assert_eq!(store.refcount_errors().unwrap(), 1);
}
