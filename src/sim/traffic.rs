//! Writes the messages of a scenario, each when its time has come.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::file::Pattern;
use super::outbox::{Outboxes, Written};
use super::scenario::Traffic;
use crate::host::Running;
use crate::mail::Address;
use crate::mua::Draft;
use crate::world::Dice;

/// Writes all messages of one table.
pub(super) async fn write(traffic: Traffic, running: Arc<Running>, outboxes: Arc<Outboxes>, dice: Dice) {
    let table = &traffic.table;
    sleep(table.after).await;
    for number in 0..table.count {
        if 0 < number && number % table.burst == 0 {
            sleep(gap(table.every, table.pattern, &dice)).await;
        }
        outboxes.post(letter(&traffic, &running, &dice, number));
    }
}

/// The time to the next burst. Independent senders leave gaps of an exponential distribution.
fn gap(every: Duration, pattern: Pattern, dice: &Dice) -> Duration {
    match pattern {
        Pattern::Steady => every,
        Pattern::Poisson => every.mul_f64(-(1.0 - dice.share()).ln()),
    }
}

fn letter(traffic: &Traffic, running: &Running, dice: &Dice, number: usize) -> Written {
    let table = &traffic.table;
    let pick = |list: &[Address]| list.get(dice.below(list.len() as u64) as usize).cloned();
    let from = pick(&traffic.from).unwrap_or_else(Address::postmaster);
    let to = choose(&traffic.to, table.recipients, dice);
    let message = match traffic.sources.get(number % traffic.sources.len().max(1)) {
        Some(source) => source.message.clone(),
        None => compose(&from, &to, table.size, running, dice),
    };
    Written { from, to, message }
}

/// So many different addresses.
fn choose(among: &[Address], count: usize, dice: &Dice) -> Vec<Address> {
    if among.len() < count * 4 {
        let mut all = among.to_vec();
        dice.shuffle(&mut all);
        all.truncate(count);
        return all;
    }
    let mut chosen: Vec<Address> = Vec::with_capacity(count);
    while chosen.len() < count {
        let next = &among[dice.below(among.len() as u64) as usize];
        if !chosen.contains(next) {
            chosen.push(next.clone());
        }
    }
    chosen
}

fn compose(from: &Address, to: &[Address], size: usize, running: &Running, dice: &Dice) -> Bytes {
    const LINE: &str = "The quick brown fox jumps over the lazy dog, and carries the mail.\n";
    let draft = Draft {
        from: from.clone(),
        // A newsletter does not name its readers.
        to: if to.len() == 1 { to.to_vec() } else { vec![from.clone()] },
        cc: Vec::new(),
        subject: "News of the day".to_owned(),
        text: LINE.repeat(size.div_ceil(LINE.len())),
        attachments: Vec::new(),
        date: running.ground.clock.now(),
        id: format!("{:016x}", dice.draw()),
    };
    // Writing to memory cannot fail.
    draft.write().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_of_independent_senders_have_the_mean_that_was_asked_for() {
        let dice = Dice::seeded(1);
        let every = Duration::from_secs(10);
        let sum: Duration = (0..10_000).map(|_| gap(every, Pattern::Poisson, &dice)).sum();
        assert!((9.8..10.2).contains(&(sum / 10_000).as_secs_f64()));
        assert_eq!(gap(every, Pattern::Steady, &dice), every);
    }

    #[test]
    fn the_recipients_of_a_message_are_different() {
        let among: Vec<Address> = (0..20).map(|at| format!("u{at}@x.test").parse().unwrap()).collect();
        for count in [1, 4, 6, 20] {
            let mut chosen = choose(&among, count, &Dice::seeded(2));
            chosen.sort();
            chosen.dedup();
            assert_eq!(chosen.len(), count);
        }
    }
}
