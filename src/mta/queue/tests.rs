//! The queue over restarts, and under the operator's hands.

use super::*;
use crate::mail::{JourneyId, Recipient};

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn store() -> Store {
    Store::in_memory(&[SCHEMA]).unwrap()
}

fn open(store: &Store) -> Queue {
    Queue::open("mta".into(), store.clone()).unwrap()
}

fn address(text: &str) -> Recipient {
    text.parse::<crate::mail::Address>().unwrap().into()
}

fn mail(stay: u64) -> QueuedMessage {
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

fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.read(|connection| connection.query_row(&sql, [], |row| row.get(0))).unwrap()
}

#[tokio::test]
async fn q0_what_was_not_committed_leaves_nothing() {
    let store = store();
    let queue = open(&store);
    let broken: Result<(), store::Error> = store
        .write(move |transaction| {
            insert(transaction, &"mta".into(), mail(1))?;
            Err(rusqlite::Error::InvalidQuery.into())
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

#[tokio::test]
async fn rows_of_a_host_lie_together_and_no_id_is_given_twice() {
    let store = store();
    let all = |store: &Store| -> Vec<(i64, String)> {
        let sql = "SELECT queue.id, host FROM queue JOIN queue_host ON number = id >> 32 ORDER BY queue.id";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        store.read(|it| it.prepare(sql)?.query_map([], read)?.collect()).unwrap()
    };
    for (number, host) in [(1, "one"), (2, "other"), (3, "one"), (4, "other")] {
        store.write(move |transaction| insert(transaction, &host.into(), mail(number))).await.unwrap();
    }
    let row = |number: i64, low: i64, host: &str| ((number << 32) + low, host.to_owned());
    assert_eq!(all(&store), [row(1, 1, "one"), row(1, 2, "one"), row(2, 1, "other"), row(2, 2, "other")]);
    let due = |host: &str| store.read(|connection| waiting(connection, &host.into())).unwrap();
    assert_eq!(due("one"), BTreeSet::from([(START, (1 << 32) + 1), (START, (1 << 32) + 2)]));
    assert_eq!(due("other"), BTreeSet::from([(START, (2 << 32) + 1), (START, (2 << 32) + 2)]));
    assert_eq!(due("third"), BTreeSet::new());
    let delete = |transaction: &Transaction<'_>| Ok::<_, store::Error>(transaction.execute("DELETE FROM queue", [])?);
    store.write(delete).await.unwrap();
    store.write(move |transaction| insert(transaction, &"one".into(), mail(5))).await.unwrap();
    assert_eq!(all(&store), [row(1, 3, "one")], "the row that is gone may still be referenced");
}
