//! Due rows, slots and the operator's changes together.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::mail::{Content, ReversePath};
use crate::mta::Failure;
use crate::mta::next_hop::HopKind;
use crate::mta::test_support::mail;
use crate::world::{Rng, TlsMode};

/// A message of which two are in flight at most.
static LARGE: LazyLock<Bytes> = LazyLock::new(|| vec![b'x'; 25 << 20].into());
const START: Timestamp = Timestamp::UNIX_EPOCH;

fn hop(name: &str) -> NextHop {
    NextHop { kind: HopKind::Exchange(name.to_owned()), tls: TlsMode::None, sender_requires: false }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn entry(row: i64) -> Entry {
    let mut queued = mail(row as u64);
    queued.envelope.reverse_path = sender(row);
    if row % 3 == 0 {
        queued.message.content = Content::stored(LARGE.clone(), [0; 32]);
    }
    Entry { row, content: 0, due: queued.arrived, queued, attempts: 0, warned: false }
}

/// The entry of a row in flight.
fn load(scheduler: &Scheduler, row: i64) -> Entry {
    scheduler.take_cached(row).unwrap_or_else(|| entry(row))
}

/// Rows of the same ten come from the same sender.
fn sender(row: i64) -> ReversePath {
    format!("s{}@a.test", row / 10).parse().ok()
}

fn rows<const N: usize>(rows: [i64; N]) -> BTreeSet<i64> {
    BTreeSet::from(rows)
}

/// A scheduler with one slot for each destination that is not up yet, and these rows, due.
fn scheduler<const N: usize>(due: [i64; N]) -> Scheduler {
    let scheduler = Scheduler::new(Clock::starting_at(START), 1);
    scheduler.reset(due.into_iter().map(|row| (START, row)).collect());
    scheduler
}

/// Takes the next row and asks for its slots.
fn start(scheduler: &Scheduler, hops: &[NextHop]) -> (i64, Option<Vec<Slot>>) {
    let Next::Due(row) = scheduler.next(scheduler.clock.now()) else { panic!("no row is due") };
    (row, scheduler.admit(load(scheduler, row), hops, false).map(|(_, slots)| slots))
}

/// The row that is started, with one slot.
fn started(scheduler: &Scheduler, hop: &NextHop) -> (i64, Slot) {
    let (row, slots) = start(scheduler, std::slice::from_ref(hop));
    (row, slots.expect("a slot is free").remove(0))
}

fn parked(scheduler: &Scheduler, hop: &NextHop) -> i64 {
    let (row, slots) = start(scheduler, std::slice::from_ref(hop));
    assert!(slots.is_none(), "a slot is free");
    row
}

fn finish(scheduler: &Scheduler, row: i64, slots: impl IntoIterator<Item = Slot>) {
    slots.into_iter().for_each(|slot| scheduler.complete(slot));
    scheduler.reschedule(row, None);
}

fn down() -> ConnectError {
    ConnectError::new(Failure::Unreachable { host: String::new(), why: String::new() }, Duration::ZERO, None)
}

#[tokio::test(start_paused = true)]
async fn slot_that_becomes_free_goes_to_senders_in_turn() {
    let (scheduler, hop) = (scheduler([1, 11, 12, 21]), hop("a.test"));
    let (mut row, mut slot) = started(&scheduler, &hop);
    let parked: Vec<_> = (0..3).map(|_| parked(&scheduler, &hop)).collect();
    assert_eq!(parked, [11, 12, 21]);
    assert_eq!((scheduler.next(START), scheduler.len()), (Next::Nothing, 3));
    for next in [11, 21, 12] {
        finish(&scheduler, row, [slot]);
        (row, slot) = started(&scheduler, &hop);
        assert_eq!(row, next);
    }
    finish(&scheduler, row, [slot]);
    assert!(scheduler.is_idle());
}

#[tokio::test(start_paused = true)]
async fn reserved_slot_of_a_message_that_is_held_or_gone_goes_to_the_next() {
    type Leave = fn(&Scheduler, i64);
    let ways: [Leave; 3] = [
        |scheduler, row| scheduler.withdraw(&BTreeSet::from([row])),
        |scheduler, row| {
            assert_eq!(scheduler.claim(&BTreeSet::from([row])), BTreeSet::from([row]));
            scheduler.reschedule(row, None);
        },
        |scheduler, row| {
            assert_eq!(scheduler.next(START), Next::Due(row));
            drop(scheduler.take_cached(row));
            scheduler.reschedule(row, None);
        },
    ];
    for leave in ways {
        let (scheduler, hop) = (scheduler([1, 2, 3]), hop("a.test"));
        let (row, slot) = started(&scheduler, &hop);
        assert_eq!((parked(&scheduler, &hop), parked(&scheduler, &hop)), (2, 3));
        finish(&scheduler, row, [slot]);
        leave(&scheduler, 2);
        let (row, slot) = started(&scheduler, &hop);
        assert_eq!(row, 3);
        finish(&scheduler, row, [slot]);
        assert!(scheduler.is_idle());
    }
}

#[tokio::test(start_paused = true)]
async fn message_with_two_destinations_keeps_the_slot_of_one_while_parked_at_the_other() {
    let (scheduler, a, b) = (scheduler([1, 2, 3, 4]), hop("a.test"), hop("b.test"));
    let both = [a.clone(), b.clone()];
    let (first, at_a) = started(&scheduler, &a);
    let (second, at_b) = started(&scheduler, &b);
    assert!(start(&scheduler, &both).1.is_none(), "parked at a.test");
    finish(&scheduler, first, [at_a]);
    assert!(start(&scheduler, &both).1.is_none(), "parked at b.test");
    assert_eq!(parked(&scheduler, &a), 4, "the slot at a.test is reserved");
    finish(&scheduler, second, [at_b]);
    let (row, slots) = start(&scheduler, &both);
    assert_eq!(row, 3);
    finish(&scheduler, row, slots.unwrap());
    let (row, slot) = started(&scheduler, &a);
    finish(&scheduler, row, [slot]);
    assert!(scheduler.is_idle());
}

#[tokio::test(start_paused = true)]
async fn messages_with_the_same_two_destinations_do_not_wait_for_each_other() {
    let (scheduler, a, b) = (scheduler([1, 2, 3, 4, 5]), hop("a.test"), hop("b.test"));
    let both = [a.clone(), b.clone()];
    let (first, at_b) = started(&scheduler, &b);
    assert_eq!(start(&scheduler, &both).0, 2, "parked at b.test, since a.test is free");
    let (second, at_a) = started(&scheduler, &a);
    assert_eq!(start(&scheduler, &both).0, 4, "parked at a.test");
    finish(&scheduler, second, [at_a]);
    assert_eq!(start(&scheduler, &both).0, 4, "parked at b.test with the slot at a.test");
    finish(&scheduler, first, [at_b]);
    // Message 2 has the slot at b.test and cannot have that at a.test, for which it waits without the other.
    assert!(start(&scheduler, &both).1.is_none());
    for _ in 0..3 {
        let (row, slots) = start(&scheduler, &both);
        finish(&scheduler, row, slots.expect("no other attempt is in flight"));
    }
    assert!(scheduler.is_idle());
}

#[tokio::test(start_paused = true)]
async fn reserved_slot_at_a_destination_that_a_message_has_left_goes_to_the_next() {
    let (scheduler, a, b) = (scheduler([1, 2, 3]), hop("a.test"), hop("b.test"));
    let (row, slot) = started(&scheduler, &a);
    assert_eq!((parked(&scheduler, &a), parked(&scheduler, &a)), (2, 3));
    finish(&scheduler, row, [slot]);
    let (row, at_b) = started(&scheduler, &b);
    assert_eq!((row, at_b.hop()), (2, &b));
    let (row, at_a) = started(&scheduler, &a);
    assert_eq!(row, 3);
    finish(&scheduler, 2, [at_b]);
    finish(&scheduler, row, [at_a]);
    assert!(scheduler.is_idle());
}

#[tokio::test(start_paused = true)]
async fn message_held_while_in_flight_is_not_parked_nor_cached() {
    let (scheduler, hop) = (scheduler([1, 2]), hop("a.test"));
    let (row, slot) = started(&scheduler, &hop);
    assert_eq!(scheduler.next(START), Next::Due(2));
    scheduler.withdraw(&rows([2]));
    assert!(scheduler.admit(load(&scheduler, 2), &[hop], false).is_none());
    finish(&scheduler, row, [slot]);
    assert!(scheduler.is_idle());
}

#[tokio::test(start_paused = true)]
async fn message_changed_while_in_flight_is_due_as_the_operator_said_last() {
    let scheduler = scheduler([1]);
    for (held, woken, due) in
        [(false, false, Some(at(9))), (false, true, Some(at(3))), (true, false, None), (true, true, Some(at(3)))]
    {
        let now = at(100);
        assert_eq!(scheduler.next(now), Next::Due(1));
        if held {
            scheduler.withdraw(&rows([1]));
        }
        if woken {
            scheduler.wake(&rows([1]), at(3));
        }
        assert_eq!((scheduler.next(now), scheduler.in_flight()), (Next::Nothing, rows([1])));
        assert!(scheduler.claim(&rows([1])).is_empty());
        scheduler.reschedule(1, Some(at(9)));
        assert_eq!(scheduler.next(at(1)), due.map_or(Next::Nothing, Next::At));
        scheduler.wake(&rows([1]), START);
    }
}

#[tokio::test(start_paused = true)]
async fn destination_that_is_down_is_tried_at_the_end_of_its_back_off() {
    let (scheduler, a, b) = (scheduler([1, 2, 3]), hop("a.test"), hop("b.test"));
    let (row, slot) = started(&scheduler, &a);
    parked(&scheduler, &a);
    let jobs = scheduler.mark_down(&a, &down(), |failures| at(60 + i64::from(failures)));
    assert_eq!((jobs.len(), scheduler.next(START), scheduler.len()), (0, Next::Due(3), 1));
    scheduler.complete(slot);
    scheduler.reschedule(row, Some(at(30)));
    // A destination that is up does not wait for one that is down.
    let (_, slots) = scheduler.admit(load(&scheduler, 3), &[a.clone(), b.clone()], false).unwrap();
    finish(&scheduler, 3, slots);
    assert_eq!(scheduler.next(at(30)), Next::Due(1));
    assert!(scheduler.admit(load(&scheduler, 1), std::slice::from_ref(&a), false).is_none());
    assert_eq!(scheduler.next(at(30)), Next::At(at(60)), "both wait for the end of the back-off");
    assert_eq!(scheduler.next(at(60)), Next::Due(1));
    let (_, slots) = scheduler.admit(load(&scheduler, 1), std::slice::from_ref(&a), true).expect("a report is due");
    finish(&scheduler, 1, slots);
    assert_eq!(scheduler.next(at(60)), Next::Due(2));
    scheduler.clear_backoff();
    let (_, slots) = scheduler.admit(load(&scheduler, 2), &[a], false).expect("the operator ended the back-off");
    finish(&scheduler, 2, slots);
    assert!(scheduler.is_idle());
}

#[tokio::test(start_paused = true)]
async fn permanent_error_fails_the_jobs_and_starts_no_back_off() {
    let (scheduler, hop) = (scheduler([1, 2]), hop("a.test"));
    let (row, slot) = started(&scheduler, &hop);
    parked(&scheduler, &hop);
    let entry = entry(1);
    let recipients = entry.queued.envelope.recipients.clone();
    let (job, _completed) = Job::new(&entry, recipients, scheduler.begin_attempt(1));
    assert!(scheduler.with_destination(&hop, |destination| destination.submit(job, START)), "starts a worker");
    let error = ConnectError::new(Failure::NullMx("a.test".to_owned()), Duration::ZERO, None);
    assert_eq!(scheduler.mark_down(&hop, &error, |_| panic!("no back-off")).len(), 1);
    assert_eq!((scheduler.next(START), scheduler.len()), (Next::Nothing, 1), "the other one is still parked");
    finish(&scheduler, row, [slot]);
    assert_eq!(started(&scheduler, &hop).0, 2);
}

#[tokio::test(start_paused = true)]
async fn attempts_at_once_are_limited() {
    let scheduler = Scheduler::new(Clock::starting_at(START), 1);
    scheduler.reset((0..500).map(|row| (START, row)).collect());
    let in_flight = std::iter::from_fn(|| match scheduler.next(START) {
        Next::Due(row) => Some(row),
        Next::At(_) | Next::Nothing => None,
    });
    assert_eq!(in_flight.count(), 400);
    scheduler.reschedule(0, None);
    assert_eq!((scheduler.next(START), scheduler.next(START)), (Next::Due(400), Next::Nothing));
}

/// As many hosts as there are rows: each has a free slot.
#[tokio::test(start_paused = true)]
async fn large_messages_beyond_the_memory_for_them_wait_in_order() {
    let scheduler = scheduler([3, 6, 9, 12, 13, 15]);
    let admit = |row| {
        let slots = start(&scheduler, &[hop(&format!("{row}.test"))]);
        assert_eq!(slots.0, row);
        slots.1
    };
    let (three, six) = (admit(3).expect("there is memory"), admit(6).expect("there is memory"));
    assert!(admit(9).is_none() && admit(12).is_none(), "no memory is free");
    let small = admit(13).expect("a small message does not wait");
    assert!(admit(15).is_none(), "no memory is free");
    assert_eq!((scheduler.next(START), scheduler.len()), (Next::Nothing, 3));
    let why = "waits for memory that other large messages take";
    assert_eq!(scheduler.waits(&rows([3, 9, 13])), [(9, why)].into());
    scheduler.wake(&rows([9]), START);
    scheduler.withdraw(&rows([12]));
    finish(&scheduler, 3, three);
    let nine = admit(9).expect("it is its turn");
    finish(&scheduler, 6, six);
    let fifteen = admit(15).expect("the one before is on hold");
    for (row, slots) in [(9, nine), (13, small), (15, fifteen)] {
        finish(&scheduler, row, slots);
    }
    assert!(scheduler.is_idle());
}

/// One destination takes no data, as over a stalled link.
#[tokio::test(start_paused = true)]
async fn large_messages_to_one_destination_do_not_hold_up_those_to_others() {
    let scheduler = Scheduler::new(Clock::starting_at(START), 9);
    scheduler.reset([3, 6, 9, 12, 15].into_iter().map(|row| (START, row)).collect());
    let (stalled, other) = ([hop("stalled.test")], [hop("other.test")]);
    let (three, six) = (start(&scheduler, &stalled), start(&scheduler, &stalled));
    assert!(three.1.is_some() && six.1.is_none(), "a destination has half of the memory");
    let (nine, twelve) = (start(&scheduler, &other), start(&scheduler, &other));
    assert!(nine.1.is_some() && twelve.1.is_none());
    let (row, fifteen) = start(&scheduler, &stalled);
    assert!(row == 15 && fifteen.is_none());
    // The one to the other destination has waited for less long.
    finish(&scheduler, 9, nine.1.unwrap());
    let (row, twelve) = start(&scheduler, &other);
    assert_eq!((row, scheduler.next(START)), (12, Next::Nothing));
    finish(&scheduler, 12, twelve.expect("there is memory"));
    finish(&scheduler, 3, three.1.unwrap());
    for wanted in [6, 15] {
        let (row, slots) = start(&scheduler, &stalled);
        assert_eq!(row, wanted);
        finish(&scheduler, row, slots.expect("it is its turn"));
    }
    assert!(scheduler.is_idle());
}

/// Attempts, operators and failing destinations in any order: each row is somewhere, each slot is released.
#[tokio::test(start_paused = true)]
async fn random_operations_lose_no_row_and_no_slot() {
    for seed in 0..200 {
        let (rng, scheduler) = (Rng::seeded(seed), Scheduler::new(Clock::starting_at(START), 1));
        let below = |limit: usize| rng.below(limit as u64) as usize;
        let hops = [hop("a.test"), hop("b.test"), hop("c.test")];
        let (mut attempts, mut held, mut count) = (Vec::new(), BTreeSet::new(), 0_i64);
        for _ in 0..300 {
            let now = scheduler.clock.now();
            match below(12) {
                0..=2 => {
                    count += 1;
                    scheduler.add(vec![entry(count)]);
                }
                3..=6 => {
                    if let Next::Due(row) = scheduler.next(now) {
                        let hops: Vec<_> = hops.iter().skip(below(3)).take(1 + below(2)).cloned().collect();
                        let admitted = scheduler.admit(load(&scheduler, row), &hops, below(9) == 0);
                        attempts.extend(admitted.map(|(entry, slots)| (entry.row, slots)));
                    }
                }
                7 | 8 if !attempts.is_empty() => {
                    let (row, slots) = attempts.swap_remove(below(attempts.len()));
                    slots.into_iter().for_each(|slot| scheduler.complete(slot));
                    // The store knows which are held.
                    scheduler.reschedule(row, Some(now).filter(|_| !held.contains(&row)));
                }
                9 => {
                    let row = 1 + below(count.max(1) as usize) as i64;
                    match held.remove(&row) || count < row {
                        true => scheduler.wake(&rows([row]).into_iter().filter(|row| *row <= count).collect(), now),
                        false => {
                            held.insert(row);
                            scheduler.withdraw(&rows([row]));
                        }
                    }
                }
                10 => drop(scheduler.mark_down(&hops[below(3)], &down(), |_| now)),
                _ => scheduler.with_destination(&hops[below(3)], Destination::on_success),
            }
            let in_flight = scheduler.in_flight().len();
            let somewhere = scheduler.len() + in_flight + held.difference(&scheduler.in_flight()).count();
            assert_eq!(somewhere, count as usize, "seed {seed}");
        }
        for (row, slots) in attempts {
            finish(&scheduler, row, slots);
        }
        let mut left = scheduler.len();
        while let Next::Due(row) = scheduler.next(scheduler.clock.now()) {
            if let Some((entry, slots)) = scheduler.admit(load(&scheduler, row), &hops, true) {
                finish(&scheduler, entry.row, slots);
                left -= 1;
            }
        }
        assert!(left == 0 && scheduler.is_idle(), "seed {seed}: {left} rows were lost");
    }
}
