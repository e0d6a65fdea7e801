//! Generates the messages of a scenario, each at its time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::file::Pattern;
use super::scenario::Traffic;
use super::senders::{ComposedMessage, Senders};
use crate::host::RunningWorld;
use crate::mail::Address;
use crate::mua::Draft;
use crate::world::Rng;

/// Generates and posts all messages of one table.
pub(super) async fn run(traffic: Traffic, running: Arc<RunningWorld>, senders: Arc<Senders>, rng: Rng) {
    let table = &traffic.table;
    sleep(table.after).await;
    for number in 0..table.count {
        if 0 < number && number % table.burst == 0 {
            sleep(interval(table.every, table.pattern, &rng)).await;
        }
        senders.post(message(&traffic, &running, &rng, number));
    }
}

/// The time to the next burst. For independent senders, it is exponentially distributed.
fn interval(every: Duration, pattern: Pattern, rng: &Rng) -> Duration {
    match pattern {
        Pattern::Steady => every,
        Pattern::Poisson => every.mul_f64(-(1.0 - rng.next_f64()).ln()),
    }
}

/// The message with this number: between random addresses of the table, with the next message of its `mail` in turn, or
/// else a generated one.
fn message(traffic: &Traffic, running: &RunningWorld, rng: &Rng, number: usize) -> ComposedMessage {
    let table = &traffic.table;
    let pick = |list: &[Address]| list.get(rng.below(list.len() as u64) as usize).cloned();
    let from = pick(&traffic.from).unwrap_or_else(Address::postmaster);
    let to = choose(&traffic.to, table.recipients, rng);
    let message = match traffic.sources.get(number % traffic.sources.len().max(1)) {
        Some(source) => source.message.clone(),
        None => compose(&from, &to, table.size, running, rng),
    };
    ComposedMessage { from, to, message }
}

/// Chooses `count` different addresses at random; all of them if there are not more.
fn choose(among: &[Address], count: usize, rng: &Rng) -> Vec<Address> {
    if among.len() < count * 4 {
        let mut all = among.to_vec();
        rng.shuffle(&mut all);
        all.truncate(count);
        return all;
    }
    let mut chosen: Vec<Address> = Vec::with_capacity(count);
    while chosen.len() < count {
        let next = &among[rng.below(among.len() as u64) as usize];
        if !chosen.contains(next) {
            chosen.push(next.clone());
        }
    }
    chosen
}

/// Generates a message whose text has at least `size` bytes. One to several recipients names only its sender in To.
fn compose(from: &Address, to: &[Address], size: usize, running: &RunningWorld, rng: &Rng) -> Bytes {
    const LINE: &str = "The quick brown fox jumps over the lazy dog, and carries the mail.\n";
    let draft = Draft {
        from: from.clone(),
        // A message to many recipients, such as a newsletter, does not name them.
        to: if to.len() == 1 { to.to_vec() } else { vec![from.clone()] },
        cc: Vec::new(),
        subject: "News of the day".to_owned(),
        text: LINE.repeat(size.div_ceil(LINE.len())),
        attachments: Vec::new(),
        date: running.env.clock.now(),
        id: format!("{:016x}", rng.next_u64()),
    };
    // Writing to memory cannot fail.
    draft.write().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_with_poisson_pattern_has_configured_mean() {
        let rng = Rng::seeded(1);
        let every = Duration::from_secs(10);
        let sum: Duration = (0..10_000).map(|_| interval(every, Pattern::Poisson, &rng)).sum();
        assert!((9.8..10.2).contains(&(sum / 10_000).as_secs_f64()));
        assert_eq!(interval(every, Pattern::Steady, &rng), every);
    }

    #[test]
    fn choose_returns_distinct_recipients() {
        let among: Vec<Address> = (0..20).map(|at| format!("u{at}@x.test").parse().unwrap()).collect();
        for count in [1, 4, 6, 20] {
            let mut chosen = choose(&among, count, &Rng::seeded(2));
            chosen.sort();
            chosen.dedup();
            assert_eq!(chosen.len(), count);
        }
    }
}
