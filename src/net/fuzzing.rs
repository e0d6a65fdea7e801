//! Shared by the fuzzing entry points of all protocols: a driver with an arbitrary peer, and random input.

use super::{Machine, Next};

/// Drives a session with input in chunks of `chunk` bytes, then the end of the stream; `owner` answers every event. The
/// session must end within a bounded number of steps.
///
/// # Panics
/// If the session violates the contract of [`Machine`].
pub fn drive<M: Machine>(machine: &mut M, input: &[u8], chunk: usize, mut owner: impl FnMut(&mut M, M::Event)) {
    let mut chunks = input.chunks(chunk.max(1)).filter(|chunk| !chunk.is_empty());
    for _ in 0..1000 + 20 * input.len() {
        match machine.next() {
            Next::Send(bytes) => assert!(!bytes.is_empty(), "an empty send"),
            Next::Event(event) => owner(machine, event),
            Next::AwaitOwner => panic!("every event is answered"),
            Next::Read => machine.receive(chunks.next().unwrap_or_default()),
            Next::Close => return,
        }
    }
    panic!("the session does not end");
}

/// Pieces of one random input.
#[cfg(test)]
const MAX_PIECES: u64 = 60;

/// Bytes with a meaning in some protocol.
#[cfg(test)]
const NOISE: &[u8] = b"\r\n.<>@\"\\: ";

/// Runs an entry point with random inputs that are composed of its own `words`, separated by `|`, and of noise: each
/// once after two random bytes, and once without. `name` seeds them, so that every run has the same.
#[cfg(test)]
pub(crate) fn run_random(name: &str, entry: fn(&[u8]), rounds: usize, words: &str) {
    let words: Vec<&str> = words.split('|').collect();
    let rng = crate::world::Rng::seeded(1).fork(name);
    for _ in 0..rounds {
        let mut text = vec![rng.next_u64() as u8, rng.next_u64() as u8];
        for _ in 0..rng.below(1 + rng.below(MAX_PIECES)) {
            match rng.below(10) {
                0 => text.push(rng.next_u64() as u8),
                1 => text.push(NOISE[rng.below(NOISE.len() as u64) as usize]),
                _ => text.extend_from_slice(words[rng.below(words.len() as u64) as usize].as_bytes()),
            }
        }
        entry(&text);
        entry(text.get(2..).unwrap_or_default());
    }
}
