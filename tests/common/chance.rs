//! Reproducible randomness.

use std::time::Duration;

/// Pseudo-random numbers, the same ones for the same seed.
#[derive(Clone, Copy)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64, stream: u64) -> Chance {
        // Neighbouring seeds must not begin alike.
        let mut chance = Chance(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| chance.0 = chance.next());
        chance
    }

    /// Xorshift, by Marsaglia.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn number(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.number(least, most))
    }
}
