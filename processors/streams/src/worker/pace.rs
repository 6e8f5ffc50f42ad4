//! How many records a worker may read: its share of the pipeline's rate, by a token bucket. Pure: the time comes as an
//! argument, and whole numbers make the shares add up to the rate exactly.

use std::time::Duration;

/// What a bucket holds at most beyond one record, in milliseconds of its rate: without room beyond the record that is
/// due, what runs over between two looks would be lost to the rate.
const BURST_MS: u64 = 100;
/// An empty bucket waits for so much of its rate, so that a fast one is not emptied record by record, each in a
/// transaction of its own.
const REFILL_MS: u64 = 10;

/// The bucket of one worker. It counts in parts of a record: a thousandth, divided by the partitions of the topic; so
/// a worker with some of them gains `rate × owned` parts in a millisecond.
#[derive(Debug)]
pub(super) struct Pace {
    /// Parts of one record.
    record: u64,
    /// Parts in the bucket.
    level: u64,
    rate: Option<u32>,
    filled_ms: i64,
}

impl Pace {
    /// For a topic with so many partitions.
    pub(super) fn new(partitions: i32) -> Self {
        let record = u64::try_from(partitions).unwrap_or(1).max(1) * 1_000;
        Self { record, level: 0, rate: None, filled_ms: 0 }
    }

    /// How many records may be read now with `owned` of the partitions, if there is a limit.
    pub(super) fn allowed(&mut self, rate: Option<u32>, owned: usize, now_ms: i64) -> Option<usize> {
        if self.rate != rate {
            // What was saved up at another rate is not spent at this one.
            *self = Self { record: self.record, level: 0, rate, filled_ms: now_ms };
        }
        let gain = Self::gain(rate?, owned);
        let elapsed_ms = u64::try_from(now_ms.saturating_sub(self.filled_ms)).unwrap_or(0);
        self.filled_ms = now_ms;
        let most = gain.saturating_mul(BURST_MS).saturating_add(self.record);
        self.level = self.level.saturating_add(gain.saturating_mul(elapsed_ms)).min(most);
        Some(usize::try_from(self.level / self.record).unwrap_or(usize::MAX))
    }

    /// So many records were read.
    pub(super) fn spend(&mut self, records: usize) {
        if self.rate.is_some() {
            self.level = self.level.saturating_sub(self.record.saturating_mul(records as u64));
        }
    }

    /// How long until an empty bucket is worth a look.
    pub(super) fn due(&self, owned: usize) -> Duration {
        let gain = self.rate.map_or(0, |rate| Self::gain(rate, owned));
        let enough = self.record.max(gain.saturating_mul(REFILL_MS));
        Duration::from_millis(enough.saturating_sub(self.level).div_ceil(gain.max(1)))
    }

    fn gain(rate: u32, owned: usize) -> u64 {
        u64::from(rate).saturating_mul(owned as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a bucket lets through in so many milliseconds, looked at every `step_ms`.
    fn read(rate: u32, owned: usize, total_ms: i64, step_ms: usize) -> usize {
        let mut pace = Pace::new(8);
        let mut sum = 0;
        for now_ms in (0..=total_ms).step_by(step_ms) {
            let records = pace.allowed(Some(rate), owned, now_ms).unwrap();
            pace.spend(records);
            sum += records;
        }
        sum
    }

    #[test]
    fn the_shares_add_up_to_the_rate_whatever_they_are() {
        for rate in [1, 5, 7, 333, 1_000, 123_456] {
            for shares in [vec![8], vec![4, 4], vec![1; 8], vec![3, 5], vec![2, 6, 0]] {
                let whole: usize = shares.iter().map(|owned| read(rate, *owned, 80_000, 10)).sum();
                assert_eq!(whole, rate as usize * 80, "{rate}/s in {shares:?}");
            }
        }
    }

    #[test]
    fn what_is_not_used_is_not_saved_for_longer_than_a_burst() {
        for (rate, most) in [(1, 1), (5, 1), (1_000, 101)] {
            let mut pace = Pace::new(8);
            assert_eq!(pace.allowed(Some(rate), 8, 0), Some(0), "nothing before the time for it");
            assert_eq!(pace.allowed(Some(rate), 8, 60_000), Some(most), "{rate}/s");
        }
    }

    #[test]
    fn a_change_of_rate_begins_with_an_empty_bucket_and_no_rate_is_no_limit() {
        let mut pace = Pace::new(1);
        assert_eq!(pace.allowed(None, 1, 0), None);
        assert_eq!(pace.allowed(Some(1_000), 1, 0), Some(0));
        assert_eq!(pace.allowed(Some(1_000), 1, 100), Some(100));
        assert_eq!(pace.allowed(Some(10), 1, 100), Some(0));
        assert_eq!(pace.due(1), Duration::from_millis(100));
        assert_eq!(pace.allowed(Some(10), 1, 200), Some(1));
        assert_eq!(pace.allowed(None, 1, 200), None);
    }

    #[test]
    fn an_empty_bucket_is_looked_at_when_the_next_record_is_due() {
        let mut pace = Pace::new(8);
        assert_eq!(pace.allowed(Some(4), 2, 0), Some(0));
        assert_eq!(pace.due(2), Duration::from_secs(1), "a quarter of four a second");
        assert_eq!(pace.allowed(Some(4), 2, 999), Some(0));
        assert_eq!(pace.due(2), Duration::from_millis(1));
        assert_eq!(pace.allowed(Some(4), 2, 1_000), Some(1));
    }
}
