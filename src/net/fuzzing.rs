//! What the fuzzing entry points of all protocols have in common: a peer that says anything, and texts to say.

use super::{Machine, Next};

/// Lets a session hear everything in chunks, then the end; its owner answers every event. It must come to an end itself,
/// and soon.
///
/// # Panics
/// If the session does what no [`Machine`] may do.
pub fn hear<M: Machine>(machine: &mut M, words: &[u8], chunk: usize, mut owner: impl FnMut(&mut M, M::Event)) {
    let mut chunks = words.chunks(chunk.max(1)).filter(|chunk| !chunk.is_empty());
    for _ in 0..1000 + 20 * words.len() {
        match machine.next() {
            Next::Send(bytes) => assert!(!bytes.is_empty(), "there was something to send"),
            Next::Event(event) => owner(machine, event),
            Next::Answer => panic!("every event was answered"),
            Next::Read => machine.receive(chunks.next().unwrap_or_default()),
            Next::Close => return,
        }
    }
    panic!("the session does not end");
}

/// Texts of up to so many pieces.
#[cfg(test)]
const PIECES_MAX: u64 = 60;

/// Octets that mean something somewhere.
#[cfg(test)]
const NOISE: &[u8] = b"\r\n.<>@\"\\: ";

/// Runs an entry point over texts that are put together of its own words, which are parted by `|`, and of noise.
#[cfg(test)]
pub(crate) fn shake(name: &str, entry: fn(&[u8]), rounds: usize, words: &str) {
    let words: Vec<&str> = words.split('|').collect();
    let dice = crate::world::Dice::seeded(1).fork(name);
    for _ in 0..rounds {
        let mut text = vec![dice.draw() as u8, dice.draw() as u8];
        for _ in 0..dice.below(1 + dice.below(PIECES_MAX)) {
            match dice.below(10) {
                0 => text.push(dice.draw() as u8),
                1 => text.push(NOISE[dice.below(NOISE.len() as u64) as usize]),
                _ => text.extend_from_slice(words[dice.below(words.len() as u64) as usize].as_bytes()),
            }
        }
        entry(&text);
        entry(text.get(2..).unwrap_or_default());
    }
}
