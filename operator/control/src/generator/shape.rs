//! When payments are due. Pure: elapsed time in, a count out; integers only.

use std::time::Duration;

/// The most payments per second that are asked for.
pub const RATE_MAX: u64 = 10_000_000;
/// The longest time that is looked at: beyond it nothing more becomes due.
const ELAPSED_MAX: Duration = Duration::from_hours(24 * 366);

/// How the rate goes over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// The same all the time.
    Steady {
        /// Payments per second.
        rate: u64,
    },
    /// One rate after the other; the last one stays.
    Steps(Vec<Step>),
    /// A rate with bursts on a beat, the first one at once.
    Bursts {
        /// Payments per second between the bursts.
        rate: u64,
        /// Payments per second within one.
        burst: u64,
        /// How long one is.
        length: Duration,
        /// From the begin of one to the begin of the next.
        every: Duration,
    },
}

/// A rate for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Payments per second.
    pub rate: u64,
    /// For how long.
    pub length: Duration,
}

impl Shape {
    /// How many payments are due within `elapsed` from the begin: it never falls.
    pub fn due_by(&self, elapsed: Duration) -> u64 {
        let elapsed = elapsed.min(ELAPSED_MAX);
        match self {
            Self::Steady { rate } => due(*rate, elapsed),
            Self::Steps(steps) => steps_due(steps, elapsed),
            Self::Bursts { rate, burst, length, every } => {
                let every_ns = every.as_nanos().max(1);
                let length_ns = length.as_nanos().min(every_ns);
                let (beats, rest) = (elapsed.as_nanos() / every_ns, elapsed.as_nanos() % every_ns);
                let burst_ns = beats * length_ns + rest.min(length_ns);
                let quiet_ns = elapsed.as_nanos() - burst_ns;
                let nanopayments = u128::from(*burst) * burst_ns + u128::from(*rate) * quiet_ns;
                u64::try_from(nanopayments / NANOS).unwrap_or(u64::MAX)
            }
        }
    }

    /// The highest rate of it.
    pub fn peak(&self) -> u64 {
        match self {
            Self::Steady { rate } => *rate,
            Self::Steps(steps) => steps.iter().map(|step| step.rate).max().unwrap_or(0),
            Self::Bursts { rate, burst, .. } => *rate.max(burst),
        }
    }

    /// Reads `500:10s,2000:30s`: each rate with its time.
    pub fn parse_steps(text: &str) -> Result<Vec<Step>, String> {
        let step = |text: &str| {
            let (rate, length) = text.split_once(':')?;
            Some(Step { rate: parse_rate(rate)?, length: parse_length(length)? })
        };
        let steps: Option<Vec<Step>> = text.split(',').map(step).collect();
        let steps = steps.filter(|steps| steps.len() <= STEPS_MAX);
        steps.ok_or_else(|| "is rates and times such as 500:10s,2000:30s, at most 100".to_owned())
    }

    /// Reads `5000:2s/30s`: the burst's rate, its length, and its beat.
    pub fn parse_burst(text: &str) -> Result<(u64, Duration, Duration), String> {
        let read = || {
            let (rate, times) = text.split_once(':')?;
            let (length, every) = times.split_once('/')?;
            let (length, every) = (parse_length(length)?, parse_length(every)?);
            (length <= every).then_some((parse_rate(rate)?, length, every))
        };
        read().ok_or_else(|| "is a rate, a length and a beat, such as 5000:2s/30s".to_owned())
    }
}

const NANOS: u128 = 1_000_000_000;
const STEPS_MAX: usize = 100;

fn parse_rate(text: &str) -> Option<u64> {
    text.parse().ok().filter(|rate| *rate <= RATE_MAX)
}

fn parse_length(text: &str) -> Option<Duration> {
    let ms = crate::duration::parse_ms(text).and_then(|ms| u64::try_from(ms).ok())?;
    Some(Duration::from_millis(ms)).filter(|length| *length <= ELAPSED_MAX)
}

fn due(rate: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(rate) * elapsed.as_nanos() / NANOS).unwrap_or(u64::MAX)
}

fn steps_due(steps: &[Step], elapsed: Duration) -> u64 {
    let (mut left, mut nanopayments) = (elapsed.as_nanos(), 0_u128);
    for (at, step) in steps.iter().enumerate() {
        let last = at + 1 == steps.len();
        let within = if last { left } else { left.min(step.length.as_nanos()) };
        nanopayments += u128::from(step.rate) * within;
        left -= within;
    }
    u64::try_from(nanopayments / NANOS).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_steady_rate_is_due_evenly_and_to_the_last_one() {
        let shape = Shape::Steady { rate: 3 };
        let due: Vec<u64> = (0..7).map(|thirds| shape.due_by(Duration::from_millis(thirds * 334))).collect();
        assert_eq!(due, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(shape.due_by(S(3600)), 10_800);
        assert_eq!(Shape::Steady { rate: 0 }.due_by(S(3600)), 0);
    }

    #[test]
    fn steps_follow_each_other_and_the_last_one_stays() {
        let steps = Shape::Steps(Shape::parse_steps("10:2s,0:1s,100:1s").unwrap());
        let due: Vec<u64> = (0..7).map(|second| steps.due_by(S(second))).collect();
        assert_eq!(due, [0, 10, 20, 20, 120, 220, 320]);
    }

    #[test]
    fn bursts_come_on_the_beat() {
        let (burst, length, every) = Shape::parse_burst("100:1s/3s").unwrap();
        let shape = Shape::Bursts { rate: 1, burst, length, every };
        let due: Vec<u64> = (0..8).map(|second| shape.due_by(S(second))).collect();
        assert_eq!(due, [0, 100, 101, 102, 202, 203, 204, 304]);
    }

    #[test]
    fn what_is_due_never_falls_and_never_overflows() {
        let shapes = [
            Shape::Steady { rate: RATE_MAX },
            Shape::Steps(Shape::parse_steps("7:1s,10000000:3ms,0:9s").unwrap()),
            Shape::Bursts { rate: 3, burst: RATE_MAX, length: S(1), every: S(1) },
        ];
        for shape in shapes {
            let mut before = 0;
            for tick in 0..40_000 {
                let now = shape.due_by(Duration::from_micros(tick * 337));
                assert!(now >= before, "{shape:?} at tick {tick}");
                before = now;
            }
            assert!(shape.due_by(Duration::MAX) >= before);
        }
    }

    #[test]
    fn what_is_no_shape_is_refused() {
        for text in ["", "5", "5:", "5:1", "5:1s,", "-5:1s", "10000001:1s", "5:0s"] {
            assert!(Shape::parse_steps(text).is_err(), "{text}");
        }
        for text in ["", "5:1s", "5:2s/1s", "5/1s:2s", "x:1s/2s"] {
            assert!(Shape::parse_burst(text).is_err(), "{text}");
        }
    }
}
