//! Pseudo-random inputs that are the same for the same seed.

/// SplitMix64: small, fast, and good enough to choose test inputs with. No secrets come from it.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator for this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % (bound as u64).max(1)) as usize
    }

    /// An input: mostly a few hundred bytes, sometimes very few.
    pub fn bytes(&mut self) -> Vec<u8> {
        let length = match self.below(8) {
            0 => self.below(16),
            1 | 2 => self.below(2000),
            _ => self.below(600),
        };
        (0..length).map(|_| self.number() as u8).collect()
    }
}
