//! The world's randomness: everything that is left to chance comes from one seed.

use std::sync::{Arc, Mutex, PoisonError};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A source of chance. Clones share it; forks have their own, so that what one host draws does not change what another
/// gets.
#[derive(Clone, Debug)]
pub struct Dice {
    seed: [u8; 32],
    rng: Arc<Mutex<ChaCha8Rng>>,
}

impl Dice {
    /// The same seed gives the same draws, on every machine.
    pub fn seeded(seed: u64) -> Self {
        Self::of(*blake3::hash(&seed.to_le_bytes()).as_bytes())
    }

    /// A seed from the operating system, for the live world.
    pub fn from_entropy() -> Self {
        let mut seed = [0; 32];
        ChaCha8Rng::from_os_rng().fill_bytes(&mut seed);
        Self::of(seed)
    }

    fn of(seed: [u8; 32]) -> Self {
        Self { seed, rng: Arc::new(Mutex::new(ChaCha8Rng::from_seed(seed))) }
    }

    /// Dice of their own for `name`, the same for the same name whatever was drawn before.
    pub fn fork(&self, name: &str) -> Self {
        Self::of(*blake3::keyed_hash(&self.seed, name.as_bytes()).as_bytes())
    }

    /// Any 64 bits.
    pub fn draw(&self) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-64 x end, of no weight here.
        ((u128::from(self.draw()) * u128::from(end)) >> 64) as u64
    }

    /// From 0 up to 1.
    pub fn share(&self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Puts a list into a random order.
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
    fn a_seed_gives_the_same_draws_and_forks_do_not_disturb_each_other() {
        let (one, two) = (Dice::seeded(7), Dice::seeded(7));
        let fork = one.fork("mta");
        one.draw();
        assert_eq!(fork.draw(), two.fork("mta").draw());
        assert_ne!(two.fork("mda").draw(), two.fork("mta").draw());
        assert_eq!(Dice::seeded(7).draw(), 5_691_958_609_736_047_975);
    }

    #[test]
    fn numbers_stay_below_their_end() {
        let dice = Dice::seeded(1);
        assert!((0..1000).all(|_| dice.below(3) < 3 && dice.share() < 1.0));
        assert_eq!(dice.below(0), 0);
        let mut list = [1, 2, 3, 4, 5];
        dice.shuffle(&mut list);
        list.sort_unstable();
        assert_eq!(list, [1, 2, 3, 4, 5]);
    }
}
