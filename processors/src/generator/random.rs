//! Numbers that look random and are the same every time. Pure.

/// The finaliser of `SplitMix64` (Steele, Lea, Flood, 2014): spreads consecutive numbers evenly.
pub const fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `SplitMix64` from a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Random(u64);

impl Random {
    /// Those of item `number` of a run.
    pub(super) const fn of(seed: u64, number: u64) -> Self {
        Self(spread(seed) ^ spread(number.wrapping_add(0x5555)))
    }

    pub(super) const fn next(&mut self) -> u64 {
        let number = spread(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        number
    }

    /// Below `bound`, or 0 when that is 0 (Lemire's multiplication; the bias is below `bound` / 2^64).
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// True so many times of a million.
    pub(super) fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }
}
