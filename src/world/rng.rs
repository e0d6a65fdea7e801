//! The world's random numbers, all from one seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::sync::lock;

/// A seeded random number generator. Clones share their state; forks are independent, so that the numbers of one host
/// do not depend on those of another.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: [u8; 32],
    generator: Arc<Mutex<ChaCha8Rng>>,
    /// The last of the ascending numbers.
    ascending: Arc<AtomicU64>,
}

/// Ascending numbers are at most `1 << ASCENDING_GAP_BITS` apart.
const ASCENDING_GAP_BITS: u32 = 24;

impl Rng {
    /// A generator that yields the same numbers for the same seed on every machine.
    pub fn seeded(seed: u64) -> Self {
        Self::of(*blake3::hash(&seed.to_le_bytes()).as_bytes())
    }

    /// A generator with a seed from the operating system, for live worlds.
    pub fn from_entropy() -> Self {
        let mut seed = [0; 32];
        ChaCha8Rng::from_os_rng().fill_bytes(&mut seed);
        Self::of(seed)
    }

    /// A generator of this seed, at the start of its numbers. The ascending numbers begin at one from another stream.
    fn of(seed: [u8; 32]) -> Self {
        let mut generator = ChaCha8Rng::from_seed(seed);
        // Of a stream of its own, so that the numbers of the other do not depend on it.
        generator.set_stream(1);
        let ascending = Arc::new(AtomicU64::new(generator.next_u64()));
        Self { seed, generator: Arc::new(Mutex::new(ChaCha8Rng::from_seed(seed))), ascending }
    }

    /// An independent generator, which depends on the seed and `name` only: the same name gives the same numbers again,
    /// however many were drawn from this one.
    pub fn fork(&self, name: &str) -> Self {
        Self::of(*blake3::keyed_hash(&self.seed, name.as_bytes()).as_bytes())
    }

    /// A random 64-bit number.
    pub fn next_u64(&self) -> u64 {
        lock(&self.generator).next_u64()
    }

    /// The last ascending number plus a random gap of 1 to 2^24; the first follows a random number, and after the
    /// highest comes 0. Unique like a random number, but an index appends it instead of inserting it anywhere.
    pub fn next_ascending(&self) -> u64 {
        let gap = 1 + (self.next_u64() >> (u64::BITS - ASCENDING_GAP_BITS));
        self.ascending.fetch_add(gap, Ordering::Relaxed).wrapping_add(gap)
    }

    /// A random number from 0 up to, but not including, `end`; 0 when `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-64 x end, which is negligible.
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A random number from 0 up to, but not including, 1.
    pub fn next_f64(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Puts the elements of a list in a random order; each order is equally likely.
    pub fn shuffle<T>(&self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rng_with_the_same_seed_repeats_and_forks_are_independent() {
        let (one, two) = (Rng::seeded(7), Rng::seeded(7));
        let fork = one.fork("mta");
        one.next_u64();
        assert_eq!(fork.next_u64(), two.fork("mta").next_u64());
        assert_ne!(two.fork("mda").next_u64(), two.fork("mta").next_u64());
        assert_eq!(Rng::seeded(7).next_u64(), 5_691_958_609_736_047_975);
    }

    #[test]
    fn rng_ascending_numbers_ascend_with_gaps_from_a_random_start() {
        let numbers = |seed| {
            let rng = Rng::seeded(seed);
            (0..1_000).map(|_| rng.next_ascending()).collect::<Vec<_>>()
        };
        let found = numbers(1);
        let gaps = found.windows(2).map(|two| two[1].wrapping_sub(two[0]));
        assert!(gaps.clone().all(|gap| (1..=1 << ASCENDING_GAP_BITS).contains(&gap)));
        assert!(gaps.max() > Some(1 << (ASCENDING_GAP_BITS - 1)));
        assert_eq!(found, numbers(1));
        assert!(found[0].abs_diff(numbers(2)[0]) > 1 << 40);
    }

    #[test]
    fn rng_results_stay_below_their_limit() {
        let rng = Rng::seeded(1);
        assert!((0..1000).all(|_| rng.below(3) < 3 && rng.next_f64() < 1.0));
        assert_eq!(rng.below(0), 0);
        let mut list = [1, 2, 3, 4, 5];
        rng.shuffle(&mut list);
        list.sort_unstable();
        assert_eq!(list, [1, 2, 3, 4, 5]);
    }
}
