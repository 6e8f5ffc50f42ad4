//! How the intake comes back after it was stopped: its rate doubles at even intervals until it is the full one. What has
//! waited meanwhile does not fall on the stages behind it all at once, and where they cannot go on, little has been taken
//! in by the time that shows. Pure: the time comes as an argument.

/// How often the rate doubles until it is the full one.
const DOUBLINGS: u32 = 8;
/// Records a second, all workers of the pipeline together, with which an intake without a limit begins. By the last
/// doubling it is more than most pipelines can do.
const UNLIMITED_FROM: u32 = 1_000;

/// A slow start that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowStart {
    began_ms: i64,
    lasts_ms: u64,
}

impl SlowStart {
    /// One that begins now; `None` when it takes no time.
    pub(super) fn new(now_ms: i64, lasts_ms: u64) -> Option<Self> {
        (lasts_ms > 0).then_some(Self { began_ms: now_ms, lasts_ms })
    }

    /// Whether the full rate holds again.
    pub(super) fn is_over(self, now_ms: i64) -> bool {
        self.doubled(now_ms) >= DOUBLINGS
    }

    /// Records a second that may be read now, at least one; `full` is what may be read once it is over, if there is a limit.
    pub(super) fn rate(self, full: Option<u32>, now_ms: i64) -> Option<u32> {
        let doubled = self.doubled(now_ms);
        match full {
            _ if doubled >= DOUBLINGS => full,
            Some(full) => Some((full >> (DOUBLINGS - doubled)).max(1)),
            None => Some(UNLIMITED_FROM << doubled),
        }
    }

    /// How often the rate has doubled.
    fn doubled(self, now_ms: i64) -> u32 {
        let elapsed_ms = u64::try_from(now_ms.saturating_sub(self.began_ms)).unwrap_or(0);
        let doubled = elapsed_ms.saturating_mul(u64::from(DOUBLINGS)) / self.lasts_ms.max(1);
        u32::try_from(doubled).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_grows_to_the_full_one_and_never_beyond_whatever_they_are() {
        for full in [None, Some(1), Some(5), Some(256), Some(1_000), Some(u32::MAX)] {
            for lasts_ms in [1_u64, 7, 800, 4_000, u64::MAX] {
                let slow = SlowStart::new(100, lasts_ms).unwrap();
                let mut last = 0;
                for elapsed_ms in (0..5_000).step_by(50) {
                    let now_ms = 100 + elapsed_ms;
                    let rate = slow.rate(full, now_ms);
                    assert_eq!(slow.is_over(now_ms), u64::try_from(elapsed_ms).unwrap() >= lasts_ms);
                    if slow.is_over(now_ms) {
                        assert_eq!(rate, full, "{full:?} in {lasts_ms} ms after {elapsed_ms}");
                        continue;
                    }
                    let rate = rate.expect("a limit meanwhile");
                    assert!(last <= rate && (1..=full.unwrap_or(u32::MAX)).contains(&rate), "{rate}");
                    last = rate;
                }
            }
        }
    }

    #[test]
    fn it_doubles_eight_times_at_even_intervals() {
        let slow = SlowStart::new(0, 4_000).unwrap();
        let rates = |full| (0..9).map(|step| slow.rate(full, step * 500)).collect::<Vec<_>>();
        let of = |first: u32| (0..8).map(move |step| Some(first << step));
        assert_eq!(rates(None), of(1_000).chain([None]).collect::<Vec<_>>());
        assert_eq!(rates(Some(25_600)), of(100).chain([Some(25_600)]).collect::<Vec<_>>());
        assert_eq!(slow.rate(None, 499), Some(1_000));
        assert_eq!(slow.rate(None, -499), Some(1_000), "a clock that was put back");
        assert!(SlowStart::new(0, 0).is_none());
    }
}
