//! What a pod says of itself at `GET :9090/control`. Pure: the words and sums over them.

use std::collections::BTreeMap;

use kpay_crds::Amounts;
use serde::Deserialize;

use crate::names::Component;

/// The answer of one pod.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlReport {
    /// The pod's name.
    pub pod: String,
    /// Its kind.
    pub stage: Component,
    /// Version of its binary.
    #[serde(default)]
    pub version: Option<String>,
    /// The epoch that it has acted on; none before it has learned any.
    pub epoch: Option<i64>,
    /// Whether all its partitions are restored and a phase is known.
    #[serde(default)]
    pub ready: bool,
    /// Whether a worker holds an open transaction.
    #[serde(default)]
    pub open_transaction: bool,
    /// The partitions that it owns.
    #[serde(default)]
    pub partitions: Vec<PartitionReport>,
    /// Business figures; from the confirmed stage alone.
    #[serde(default)]
    pub figures: Option<Figures>,
}

/// One partition that a pod owns.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PartitionReport {
    /// Its number in the stage's input topic.
    pub partition: i32,
    /// Whether it is restored.
    pub state: PartitionState,
    /// Payments accepted (inflight) or finished (confirmed) since the topics were made.
    #[serde(default)]
    pub count: i64,
    /// Their value in minor units by currency.
    #[serde(default)]
    pub value: BTreeMap<String, i128>,
}

/// How far a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionState {
    /// Its state is being read back.
    Restoring,
    /// It is worked on.
    Running,
    /// It is restored and its intake is stopped.
    Paused,
}

/// Business figures of a confirmed pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Payments finished per second.
    #[serde(default)]
    pub per_second: f64,
    /// Of these, rejected or reversed.
    #[serde(default)]
    pub rejected_per_second: f64,
    /// 99th percentile from accepted to finished, ms.
    #[serde(default, rename = "latencyP99Ms")]
    pub latency_p99_ms: f64,
    /// Finished since midnight UTC.
    #[serde(default)]
    pub today: Totals,
}

/// A number of payments and their value. Wider than one payment: anybody may ask for amounts up to the largest there is,
/// and each is counted, also when it is rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Totals {
    /// How many.
    #[serde(default)]
    pub count: i64,
    /// In minor units by currency.
    #[serde(default)]
    pub value: BTreeMap<String, i128>,
}

impl Totals {
    /// As the status holds it; a value beyond its range stands at its end.
    pub fn amounts(&self) -> Amounts {
        let clamped =
            |value: i128| i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
        let value = self.value.iter().map(|(currency, value)| (currency.clone(), clamped(*value)));
        Amounts { count: self.count, value: value.collect() }
    }

    fn add(&mut self, count: i64, value: &BTreeMap<String, i128>) {
        self.count = self.count.saturating_add(count);
        for (currency, amount) in value {
            let sum = self.value.entry(currency.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
}

/// Why a pod gave no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReport {
    /// There is no such pod.
    #[error("there is no such pod")]
    Missing,
    /// It has no address yet.
    #[error("it has no address yet")]
    NoAddress,
    /// It did not answer in time.
    #[error("it does not answer on :9090")]
    Silent,
    /// It answered something else than a report.
    #[error("its answer on :9090/control is not understood")]
    Garbled,
}

/// What each pod said.
pub type Reports = BTreeMap<String, Result<ControlReport, NoReport>>;

/// The reports that came.
pub fn answered(reports: &Reports) -> impl Iterator<Item = &ControlReport> {
    reports.values().filter_map(|report| report.as_ref().ok())
}

/// Accepted − finished over all reported partitions. Each side is read at its own moment, so while payments
/// move it is an approximation, and never below 0.
pub fn in_flight(reports: &Reports) -> Amounts {
    let (accepted, finished) = (sum(reports, Component::Inflight), sum(reports, Component::Confirmed));
    let mut value = BTreeMap::new();
    for (currency, amount) in &accepted.value {
        let rest = amount.saturating_sub(finished.value.get(currency).copied().unwrap_or(0));
        if rest > 0 {
            value.insert(currency.clone(), rest);
        }
    }
    Totals { count: accepted.count.saturating_sub(finished.count).max(0), value }.amounts()
}

/// Payments and value that the pods of a stage report.
pub fn sum(reports: &Reports, stage: Component) -> Totals {
    let mut total = Totals::default();
    for partition in answered(reports).filter(|r| r.stage == stage).flat_map(|r| &r.partitions) {
        total.add(partition.count, &partition.value);
    }
    total
}

/// The figures of all confirmed pods as one: rates and totals add up, the percentile is the worst.
pub fn figures(reports: &Reports) -> Option<Figures> {
    let mut all: Option<Figures> = None;
    for figures in answered(reports).filter_map(|report| report.figures.as_ref()) {
        let total = all.get_or_insert_with(Figures::default);
        total.per_second += figures.per_second;
        total.rejected_per_second += figures.rejected_per_second;
        total.latency_p99_ms = total.latency_p99_ms.max(figures.latency_p99_ms);
        total.today.add(figures.today.count, &figures.today.value);
    }
    all
}

/// A figure as the status holds it: to one decimal.
pub fn rounded(figure: f64) -> f64 {
    if figure.is_finite() { (figure * 10.0).round() / 10.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_beyond_64_bits_is_understood_and_told_as_far_as_the_status_goes() {
        let value = "27670116110564327421"; // 3 × (2^63 − 1)
        let json = format!(
            r#"{{"pod": "p", "stage": "inflight", "epoch": 1, "partitions": [
                {{"partition": 0, "state": "running", "count": 3, "value": {{"USD": {value}, "EUR": -{value}}}}}]}}"#
        );
        let report: ControlReport = serde_json::from_str(&json).unwrap();
        let reports: Reports = [("p".to_owned(), Ok(report))].into();
        let total = sum(&reports, Component::Inflight);
        assert_eq!(total.value.get("USD"), Some(&value.parse().unwrap()));
        assert_eq!(total.amounts().value, [("EUR".into(), i64::MIN), ("USD".into(), i64::MAX)].into());
        assert_eq!(in_flight(&reports).value, [("USD".into(), i64::MAX)].into());
    }
}
