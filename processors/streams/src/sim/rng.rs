//! A seeded generator (`SplitMix64`, Steele et al. 2014). Pure.

/// Draws the same numbers for the same seed.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator for this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound - 1`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % bound).unwrap_or(0)
    }

    /// A number from 0 to `most`; 0 when `most` is negative.
    pub fn up_to_ms(&mut self, most: i64) -> i64 {
        i64::try_from(self.below(usize::try_from(most).unwrap_or(0).saturating_add(1))).unwrap_or(0)
    }

    /// Whether something of this probability happens. Draws nothing for 0, so an unused fault changes no history.
    pub fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        let draw = u32::try_from(self.next_u64() >> 32).unwrap_or(0);
        f64::from(draw) < probability * f64::from(u32::MAX)
    }
}
