//! The world's random numbers, all from one seed.

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
}

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

    fn of(seed: [u8; 32]) -> Self {
        Self { seed, generator: Arc::new(Mutex::new(ChaCha8Rng::from_seed(seed))) }
    }

    /// An independent generator, which depends on the seed and `name` only.
    pub fn fork(&self, name: &str) -> Self {
        Self::of(*blake3::keyed_hash(&self.seed, name.as_bytes()).as_bytes())
    }

    /// A random 64-bit number.
    pub fn next_u64(&self) -> u64 {
        lock(&self.generator).next_u64()
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-64 x end, which is negligible.
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 up to, but not including, 1.
    pub fn next_f64(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Shuffles a list.
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
