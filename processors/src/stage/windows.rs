//! Confirmed payments by the minute, for the last hour. Pure: the time is an argument. Kept by the process alone, so a pod
//! that starts anew begins with nothing.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;
use kpay_domain::{Currency, Money, PaymentId};
use serde::{Deserialize, Serialize};

/// How many minutes are kept, with the running one.
pub const MINUTES_MAX: usize = 60;
/// How long one is.
pub const MINUTE_MS: i64 = 60_000;
/// Latencies above this count as this, in milliseconds.
const LATENCY_MAX_MS: u64 = 600_000;

/// The payments of one minute; also what a pod tells of it. The sizes are bounded by the histogram's buckets and the
/// number of currencies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Minute {
    /// Minutes since 1970.
    pub minute: i64,
    /// How many.
    pub count: u64,
    /// Minor units by currency.
    pub value: BTreeMap<String, i128>,
    /// How many took so many milliseconds, for those that there were: `[milliseconds, payments]`.
    pub latencies: Vec<(u64, u64)>,
    /// The payment of the most minor units.
    pub largest: Option<Largest>,
}

/// A large payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Largest {
    /// Of the payment.
    pub id: String,
    /// Minor units.
    pub value: i64,
    /// Of the amount.
    pub currency: String,
}

impl Minute {
    /// Adds the same minute of another pod.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for (currency, minor) in &other.value {
            let sum = self.value.entry(currency.clone()).or_default();
            *sum = sum.saturating_add(*minor);
        }
        self.latencies.extend_from_slice(&other.latencies);
        if other.largest.as_ref().is_some_and(|largest| self.exceeded_by(largest.value)) {
            self.largest.clone_from(&other.largest);
        }
    }

    fn exceeded_by(&self, value: i64) -> bool {
        self.largest.as_ref().is_none_or(|largest| largest.value < value)
    }

    /// The latencies at these quantiles, in milliseconds; `None` without payments.
    pub fn latencies_at<const N: usize>(&self, quantiles: [f64; N]) -> Option<[u64; N]> {
        let mut histogram = histogram();
        for (ms, count) in &self.latencies {
            histogram.saturating_record_n(*ms, *count);
        }
        (!histogram.is_empty()).then(|| quantiles.map(|quantile| histogram.value_at_quantile(quantile)))
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_MAX_MS, 2).expect("two digits up to ten minutes are valid bounds")
}

#[derive(Debug)]
struct Kept {
    minute: i64,
    count: u64,
    value: BTreeMap<Currency, i128>,
    latencies_ms: Histogram<u64>,
    largest: Option<(PaymentId, Money)>,
}

/// A payment that was confirmed.
#[derive(Debug, Clone)]
pub struct Paid {
    /// Its id.
    pub id: PaymentId,
    /// What was moved.
    pub amount: Money,
    /// From accepted to finished, in milliseconds.
    pub latency_ms: i64,
}

/// The last minutes in which there was something.
#[derive(Debug, Default)]
pub struct Minutes(VecDeque<Kept>);

impl Minutes {
    /// Takes what one committed transaction confirmed. A clock that goes back adds to the newest minute.
    pub fn record(&mut self, now_ms: i64, paid: &[Paid]) {
        let minute = now_ms.div_euclid(MINUTE_MS);
        if paid.is_empty() {
            return;
        }
        if self.0.back().is_none_or(|newest| newest.minute < minute) {
            let (value, latencies_ms) = (BTreeMap::new(), histogram());
            self.0.push_back(Kept { minute, count: 0, value, latencies_ms, largest: None });
            while self.0.len() > MINUTES_MAX {
                self.0.pop_front();
            }
        }
        let Some(newest) = self.0.back_mut() else { return };
        for Paid { id, amount, latency_ms } in paid {
            newest.count += 1;
            let sum = newest.value.entry(amount.currency).or_default();
            *sum = sum.saturating_add(i128::from(amount.minor));
            newest
                .latencies_ms
                .saturating_record(u64::try_from(*latency_ms).unwrap_or(0).min(LATENCY_MAX_MS));
            if newest.largest.as_ref().is_none_or(|(_, largest)| largest.minor < amount.minor) {
                newest.largest = Some((id.clone(), *amount));
            }
        }
    }

    /// The minutes from this one on in which there was something.
    pub fn since(&self, minute: i64) -> Vec<Minute> {
        let told = |kept: &Kept| Minute {
            minute: kept.minute,
            count: kept.count,
            value: kept
                .value
                .iter()
                .map(|(currency, minor)| (currency.as_str().to_owned(), *minor))
                .collect(),
            latencies: kept
                .latencies_ms
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect(),
            largest: kept.largest.as_ref().map(|(id, amount)| Largest {
                id: id.as_str().to_owned(),
                value: amount.minor,
                currency: amount.currency.as_str().to_owned(),
            }),
        };
        self.0.iter().filter(|kept| kept.minute >= minute).map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid(id: &str, minor: i64, latency_ms: i64) -> Paid {
        let amount = Money::new(minor, Currency::new("USD").unwrap());
        Paid { id: PaymentId::new(id).unwrap(), amount, latency_ms }
    }

    #[test]
    fn a_minute_has_what_was_confirmed_in_it_and_an_hour_is_kept() {
        let mut minutes = Minutes::default();
        minutes.record(59_999, &[paid("p-1", 5, 10), paid("p-2", 7, 20)]);
        minutes.record(60_000, &[paid("p-3", 1, 30)]);
        minutes.record(60_001, &[]);
        minutes.record(59_000, &[paid("p-4", 1, 30)]);
        let told = minutes.since(0);
        assert_eq!(told.iter().map(|m| (m.minute, m.count)).collect::<Vec<_>>(), [(0, 2), (1, 2)]);
        assert_eq!(told[0].value, BTreeMap::from([("USD".to_owned(), 12)]));
        assert_eq!(told[0].largest.as_ref().map(|l| (l.id.as_str(), l.value)), Some(("p-2", 7)));
        assert_eq!(minutes.since(1).len(), 1);
        for minute in 2..200 {
            minutes.record(minute * MINUTE_MS, &[paid("p-5", 1, 1)]);
        }
        let told = minutes.since(0);
        assert_eq!((told.len(), told[0].minute), (MINUTES_MAX, 140));
    }

    #[test]
    fn the_minutes_of_two_pods_are_as_one_pods_would_be() {
        let (mut one, mut two, mut both) = (Minutes::default(), Minutes::default(), Minutes::default());
        for number in 0..1_000_i64 {
            let (id, latency_ms) = (format!("p-{number}"), number * number % 70_000);
            let paid = [paid(&id, number, latency_ms)];
            if number % 3 == 0 {
                one.record(0, &paid);
            } else {
                two.record(0, &paid);
            }
            both.record(0, &paid);
        }
        let (mut merged, both) = (one.since(0).remove(0), both.since(0).remove(0));
        merged.merge(&two.since(0)[0]);
        let quantiles = [0.5, 0.99, 0.999];
        assert_eq!(merged.latencies_at(quantiles), both.latencies_at(quantiles));
        assert_eq!((merged.count, &merged.value, &merged.largest), (1_000, &both.value, &both.largest));
        assert_eq!(Minute::default().latencies_at(quantiles), None);
    }
}
