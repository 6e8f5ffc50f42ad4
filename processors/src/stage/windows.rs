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
pub(super) const LATENCY_MAX_MS: u64 = 600_000;

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

/// Latencies in milliseconds.
pub(super) fn histogram() -> Histogram<u64> {
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

/// The payments that an open transaction confirms. Of the largest alone the id is kept: an id may cost an allocation.
#[derive(Debug, Default)]
pub struct Paid {
    at_ms: i64,
    /// What was moved, and the milliseconds from accepted to finished.
    amounts: Vec<(Money, i64)>,
    largest: Option<(PaymentId, Money)>,
}

impl Paid {
    /// Adds a payment that was confirmed at `at_ms`.
    pub fn add(&mut self, id: &PaymentId, amount: Money, latency_ms: i64, at_ms: i64) {
        self.at_ms = at_ms;
        self.amounts.push((amount, latency_ms));
        if exceeds(&amount, self.largest.as_ref()) {
            self.largest = Some((id.clone(), amount));
        }
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.amounts.clear();
        self.largest = None;
    }
}

fn exceeds(amount: &Money, largest: Option<&(PaymentId, Money)>) -> bool {
    largest.is_none_or(|(_, largest)| largest.minor < amount.minor)
}

/// The last minutes in which there was something.
#[derive(Debug, Default)]
pub struct Minutes(VecDeque<Kept>);

impl Minutes {
    /// Takes what one committed transaction confirmed. A clock that goes back adds to the newest minute.
    pub fn record(&mut self, paid: &Paid) {
        let Paid { at_ms, amounts, largest } = paid;
        let minute = at_ms.div_euclid(MINUTE_MS);
        if amounts.is_empty() {
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
        for (amount, latency_ms) in amounts {
            newest.count += 1;
            let sum = newest.value.entry(amount.currency).or_default();
            *sum = sum.saturating_add(i128::from(amount.minor));
            newest
                .latencies_ms
                .saturating_record(u64::try_from(*latency_ms).unwrap_or(0).min(LATENCY_MAX_MS));
        }
        if largest.as_ref().is_some_and(|(_, amount)| exceeds(amount, newest.largest.as_ref())) {
            newest.largest.clone_from(largest);
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

    fn paid(at_ms: i64, payments: &[(&str, i64, i64)]) -> Paid {
        let mut paid = Paid::default();
        for (id, minor, latency_ms) in payments {
            let amount = Money::new(*minor, Currency::new("USD").unwrap());
            paid.add(&PaymentId::new(id).unwrap(), amount, *latency_ms, at_ms);
        }
        paid
    }

    #[test]
    fn a_minute_has_what_was_confirmed_in_it_and_an_hour_is_kept() {
        let mut minutes = Minutes::default();
        minutes.record(&paid(59_999, &[("p-1", 5, 10), ("p-2", 7, 20)]));
        minutes.record(&paid(60_000, &[("p-3", 1, 30)]));
        minutes.record(&paid(60_001, &[]));
        minutes.record(&paid(59_000, &[("p-4", 1, 30)]));
        let told = minutes.since(0);
        assert_eq!(told.iter().map(|m| (m.minute, m.count)).collect::<Vec<_>>(), [(0, 2), (1, 2)]);
        assert_eq!(told[0].value, BTreeMap::from([("USD".to_owned(), 12)]));
        assert_eq!(told[0].largest.as_ref().map(|l| (l.id.as_str(), l.value)), Some(("p-2", 7)));
        assert_eq!(minutes.since(1).len(), 1);
        for minute in 2..200 {
            minutes.record(&paid(minute * MINUTE_MS, &[("p-5", 1, 1)]));
        }
        let told = minutes.since(0);
        assert_eq!((told.len(), told[0].minute), (MINUTES_MAX, 140));
    }

    #[test]
    fn the_minutes_of_two_pods_are_as_one_pods_would_be() {
        let (mut one, mut two, mut both) = (Minutes::default(), Minutes::default(), Minutes::default());
        for number in 0..1_000_i64 {
            let (id, latency_ms) = (format!("p-{number}"), number * number % 70_000);
            let paid = paid(0, &[(&id, number, latency_ms)]);
            if number % 3 == 0 {
                one.record(&paid);
            } else {
                two.record(&paid);
            }
            both.record(&paid);
        }
        let (mut merged, both) = (one.since(0).remove(0), both.since(0).remove(0));
        merged.merge(&two.since(0)[0]);
        let quantiles = [0.5, 0.99, 0.999];
        assert_eq!(merged.latencies_at(quantiles), both.latencies_at(quantiles));
        assert_eq!((merged.count, &merged.value, &merged.largest), (1_000, &both.value, &both.largest));
        assert_eq!(Minute::default().latencies_at(quantiles), None);
    }
}
